"""Upscale photos with Real-ESRGAN.

    from enhance import Enhancer, Settings, enhance

    large = enhance(image, scale=4)  # a Pillow image, an array, a tensor or a path
    with Enhancer() as enhancer:
        result = enhancer.run("photo.jpg", Settings("gentle", strength=0.5))
        result.save("large.jpg")

- `enhance` upscales one image and returns the same kind of image.
- `Enhancer` upscales many images and creates previews. `Result`, `Preview` and `Info` are what it
  returns, and it calls a `Progress` with the finished rows, all rows and the seconds left.
- `Settings` are the settings of a run, `PRESETS` the presets, and `Encoding` is the format of a
  file. `signature` identifies the pixels of a result.
- `EnhanceError` is the base class of the errors `Cancelled`, `MemoryShortError`, `PictureError`,
  `SettingsError`, `StorageError` and `WeightsError`.

The names are loaded when they are first used, and PyTorch is imported with the first image.
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
    from .jobs.progress import Progress
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
