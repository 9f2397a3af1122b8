"""Exact, fast and safe photo enhancement with Real-ESRGAN.

    from enhance import Enhancer, Settings, enhance
    large = enhance(image, scale=4)  # an array, a tensor, a Pillow image or a path
    result = Enhancer().run("photo.jpg", Settings("gentle", strength=0.5))

The names below are the public ones. They are loaded when first used, so that importing the package
costs nothing; PyTorch is not imported before the first image.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .enhancer import Enhancer, enhance
    from .errors import (
        Cancelled,
        EnhanceError,
        MemoryShortError,
        PictureError,
        SettingsError,
        StorageError,
        WeightsError,
    )
    from .formats.encoding import Encoding
    from .info import Info, Result
    from .jobs.scheduler import Progress
    from .preview import Preview
    from .settings import PRESETS, Settings, signature

__all__ = [
    "PRESETS",
    "Cancelled",
    "Encoding",
    "EnhanceError",
    "Enhancer",
    "Info",
    "MemoryShortError",
    "PictureError",
    "Preview",
    "Progress",
    "Result",
    "Settings",
    "SettingsError",
    "StorageError",
    "WeightsError",
    "enhance",
    "signature",
]


_MODULES = {
    "PRESETS": "settings",
    "Encoding": "formats.encoding",
    "Enhancer": "enhancer",
    "Info": "info",
    "Preview": "preview",
    "Progress": "jobs.scheduler",
    "Result": "info",
    "Settings": "settings",
    "enhance": "enhancer",
    "signature": "settings",
}
"""The modules of public names; all others are in `errors`."""


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
