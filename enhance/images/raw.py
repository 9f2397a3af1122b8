"""Camera raw files, developed by LibRaw: camera white balance, no automatic exposure, 16-bit sRGB.

LibRaw is optional. PictureErrors raised here lack the file's name; the caller adds it.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
from typing import Any, BinaryIO

from numpy import ndarray
from PIL import JpegImagePlugin

from ..errors import PictureError

SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw")
ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}
"""The EXIF orientation by the value `flip` of LibRaw."""
_SRGB_CURVE = (2.4, 12.92)


def is_available() -> bool:
    return importlib.util.find_spec("rawpy") is not None


def open_raw(file: BinaryIO) -> Any:
    """Return LibRaw with the file's header.

    Raises PictureError if it does not support the file or is not installed.
    """
    try:
        rawpy = importlib.import_module("rawpy")
    except ImportError as error:
        raise PictureError("image_library_missing", format="RAW", library="rawpy") from error
    raw = rawpy.RawPy()
    file.seek(0)
    try:
        raw.open_buffer(file)
    except rawpy.LibRawNonFatalError as error:
        raise PictureError("image_camera_raw") from error
    return raw


def develop(raw: Any) -> ndarray:
    """Return the image as uint16 [H, W, 1 or 3] in sRGB, in the orientation of the sensor.

    Unless `adjust_maximum_thr` is 0, LibRaw brightens images without saturated pixels.
    """
    values = raw.postprocess(
        use_camera_wb=True,
        no_auto_bright=True,
        adjust_maximum_thr=0.0,
        output_bps=16,
        gamma=_SRGB_CURVE,
        user_flip=0,
    )  # Its colour space is sRGB unless another is named.
    if values.ndim == 2:
        return values[..., None]
    return values


def preview_exif(raw: Any) -> bytes | None:
    """Return the EXIF block of the embedded JPEG preview, for files that are not TIFF.

    The result is None if there is none.
    """
    try:
        preview = JpegImagePlugin.JpegImageFile(io.BytesIO(raw.extract_thumb().data))
    # The preview is missing or of another kind, for which LibRaw has many errors.
    except Exception:
        return None
    return preview.info.get("exif")
