"""Images in memory: arrays, tensors, Pillow images, bytes and file objects as files, and results in
the same form."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

import numpy as np
from numpy import ndarray
from PIL.Image import Image

from ..errors import PictureError
from ..files import storage_errors
from ..processes import temporary_path
from .png import encode_png

if TYPE_CHECKING:
    import torch
    from typing_extensions import TypeIs

InMemory: TypeAlias = "bytes | BinaryIO | ndarray | Image | torch.Tensor"
"""An image in memory.

- `bytes` or a binary file object: the content of an image file.
- NumPy array: [H, W, C], [C, H, W] or [H, W]; uint8, uint16, or floating point from 0 to 1.
- Pillow image: with its ICC profile and EXIF.
- PyTorch tensor: [C, H, W], [H, W, C] or [H, W]; uint8 or floating point from 0 to 1.

There are 1, 3 or 4 channels. If both orders of axes are possible, an array is [H, W, C] and a
tensor is [C, H, W]. Colours are RGB in sRGB, and alpha is not premultiplied.
"""

_CHANNELS = (1, 3, 4)
_MARGIN = 0.5
"""Values of floating point are clipped to 0..1. Those beyond this margin have another range, such
as 0..255."""


@contextmanager
def as_file(source: Path | str | InMemory, folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the path of an image file with the content of `source`, and its name.

    An image in memory becomes a temporary file in `folder`; pixels of floating point become 16-bit.
    Raises PictureError if `source` is not an image, StorageError.
    """
    if isinstance(source, str | Path):
        yield Path(source), Path(source).name
        return
    name = getattr(source, "name", None)  # of an open file
    if not isinstance(name, str):
        name = "image"
    path = temporary_path(folder / "image.png")
    try:
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _write(source, path)
        yield path, Path(name).name
    finally:
        path.unlink(missing_ok=True)


def _write(source: InMemory, path: Path) -> None:
    if isinstance(source, bytes | bytearray | memoryview):
        path.write_bytes(source)
    elif is_array(source):
        path.write_bytes(encode_png(to_pixels(source)))
    elif isinstance(source, Image):
        _save_pillow(source, path)
    elif hasattr(source, "read") and not isinstance(source, io.TextIOBase):
        with path.open("wb") as file:
            shutil.copyfileobj(cast(BinaryIO, source), file)
    else:
        raise PictureError("source_type", given=type(source).__name__)


def _save_pillow(image: Image, path: Path) -> None:
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        mode = "RGBA" if image.has_transparency_data else "RGB"
        image = image.convert(mode)
    icc = image.info.get("icc_profile")
    image.save(path, "PNG", compress_level=1, icc_profile=icc, exif=image.getexif())


def to_pixels(image: ndarray | torch.Tensor) -> ndarray:
    """Return the pixels of an array or a tensor, uint8 or uint16 [H, W, 1, 3 or 4].

    Raises PictureError for another shape, another type or values of another range.
    """
    array = _to_array(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in _CHANNELS or 0 in array.shape:
        raise PictureError("array_shape", given=list(image.shape))
    if array.dtype in (np.uint8, np.uint16):
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise PictureError("array_type", given=image.dtype)
    low = float(array.min())
    high = float(array.max())
    if not (low >= -_MARGIN and high <= 1 + _MARGIN):  # also for NaN
        raise PictureError("array_range", low=low, high=high)
    levels = np.clip(array, 0, 1) * np.float32(65535)
    return np.rint(levels).astype(np.uint16)


def like(pixels: ndarray, image: ndarray | torch.Tensor) -> Any:
    """Return pixels with the type and the order of axes of `image`.

    `pixels` are uint8 or uint16 [H, W, C]. A tensor is on the same device.
    """
    array = _to_array(image)
    if array.ndim == 2:
        pixels = pixels[..., 0]
    if np.issubdtype(array.dtype, np.floating):
        pixels = (pixels / np.float32(65535)).astype(array.dtype)
    if _has_channels_first(image):
        pixels = np.moveaxis(pixels, 2, 0)
    if not _is_tensor(image):
        return pixels
    tensor = sys.modules["torch"].from_numpy(np.ascontiguousarray(pixels))
    return tensor.to(image.device, image.dtype)


def is_batch(image: object) -> bool:
    """Return whether `image` is an array or a tensor of several images.

    These are [B, H, W, C] or [B, C, H, W].
    """
    return is_array(image) and image.ndim == 4


def map_batch(function: Callable[[Any], Any], batch: Any) -> Any:
    """Return the batch of the results of `function` for each image; all need the same shape."""
    results = [function(image) for image in batch]
    if _is_tensor(batch):
        return sys.modules["torch"].stack(results)
    return np.stack(results)


def is_array(image: object) -> TypeIs[ndarray | torch.Tensor]:
    """Return whether `image` is a NumPy array or a PyTorch tensor."""
    return isinstance(image, ndarray) or _is_tensor(image)


def _is_tensor(image: object) -> TypeIs[torch.Tensor]:
    # Nothing can be a tensor before PyTorch is imported, which takes seconds.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def _has_channels_first(image: ndarray | torch.Tensor) -> bool:
    """Return whether an image is [C, H, W]. A tensor that could be both is, an array is not."""
    if image.ndim != 3 or image.shape[0] not in _CHANNELS:
        return False
    return _is_tensor(image) or image.shape[2] not in _CHANNELS


def _to_array(image: ndarray | torch.Tensor) -> ndarray:
    """Return an array, or a tensor as an array, with the channels last."""
    if _is_tensor(image):
        tensor = image.detach()
        if tensor.is_floating_point():
            tensor = tensor.float()  # NumPy has no bfloat16.
        array = tensor.cpu().numpy()
    else:
        array = image
    if _has_channels_first(image):
        array = np.moveaxis(array, 0, 2)
    return array
