"""Exact, fast and safe photo enhancement with Real-ESRGAN.

    from enhance import Enhancer, Settings
    result = Enhancer().run("photo.jpg", Settings.from_preset("gentle"))

The names below are the public ones. They are loaded when first used, so that importing the package costs nothing;
PyTorch is not imported before the first image.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .enhancer import Enhancer
    from .errors import (
        Cancelled,
        EnhanceError,
        MemoryShortError,
        PictureError,
        SettingsError,
        StorageError,
        WeightsError,
    )
    from .info import Result
    from .output.formats import Encoding
    from .preview import Preview
    from .settings import PRESETS, Settings, signature

__all__ = [
    "PRESETS",
    "Cancelled",
    "Encoding",
    "EnhanceError",
    "Enhancer",
    "MemoryShortError",
    "PictureError",
    "Preview",
    "Result",
    "Settings",
    "SettingsError",
    "StorageError",
    "WeightsError",
    "signature",
]


_MODULES = {
    "PRESETS": "settings",
    "Encoding": "output.formats",
    "Enhancer": "enhancer",
    "Preview": "preview",
    "Result": "info",
    "Settings": "settings",
    "signature": "settings",
}
"""The modules of public names; all others are in `errors`."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
