"""Pictures of more than 8 bits a channel, which Pillow cannot hold: 16 bit PNG, and 16 to 64 bit TIFF.

OpenCV decodes them. It leaves a PNG as stored, but turns a TIFF upright by itself. The PictureErrors raised here lack
the file's name: the caller adds it to their values as `name`.
"""

from __future__ import annotations

import io

import cv2
import numpy as np

from ..errors import PictureError
from .colour import Pixels, fitting_profile
from .header import Header, tiff_tags
from .png_chunks import chunk_content, pixel_chunks, scan_chunks

# OpenCV prints what it finds odd in a file; the messages of this program say it better.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_WHITE = 65535


def deep_pixels(header: Header, data: bytes) -> Pixels:
    """The pixels of a whole file in memory as uint16; ValueError if it is damaged, PictureError if they do not fit."""
    colour, alpha = _png(data) if header.format == "PNG" else _tiff(header, data)
    return Pixels(colour, alpha, fitting_profile(header.icc, grey=colour.ndim == 2))


def to_16_bit(values: np.ndarray) -> np.ndarray:
    """Numbers of any type as uint16, where their range leaves no doubt about what white is.

    Floats must lie in 0..1. Integers up to 65535 are taken as they are, larger ones as using their type's full range.
    PictureError for anything else.
    """
    if values.dtype == np.uint16:
        return values
    lowest, highest = values.min(), values.max()
    if values.dtype.kind == "f":
        if not (lowest >= 0 and highest <= 1):  # this way round it catches what is not a number, too
            raise PictureError("picture_numbers_unclear", lowest=f"{lowest:g}", highest=f"{highest:g}")
        return np.rint(values * values.dtype.type(_WHITE)).astype(np.uint16)
    if lowest < 0:
        raise PictureError("picture_numbers_negative")
    if highest <= _WHITE:
        return values.astype(np.uint16)
    range_in_bits = values.dtype.itemsize * 8 - (values.dtype.kind == "i")
    return (values >> (range_in_bits - 16)).astype(np.uint16)


def _decoded(data: bytes) -> np.ndarray:
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("OpenCV cannot decode it")
    values = to_16_bit(values)
    if values.ndim == 2:
        return values
    return cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA if values.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def _png(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    file = io.BytesIO(data)
    chunks = scan_chunks(file)
    keys = [np.frombuffer(chunk_content(file, chunk), ">u2") for chunk in chunks if chunk.kind == b"tRNS"]
    colour_type = chunk_content(file, chunks[0])[9]
    values = _decoded(pixel_chunks(data, [chunk for chunk in chunks if chunk.kind != b"tRNS"]))
    if colour_type == 4:  # OpenCV has no grey with alpha and repeats the grey
        return np.ascontiguousarray(values[..., 0]), np.ascontiguousarray(values[..., 3])
    if colour_type == 6:
        return np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3])
    if not keys:
        return values, None
    is_key = values == keys[0]
    transparent = is_key if values.ndim == 2 else is_key.all(axis=2)
    return values, np.where(transparent, np.uint16(0), np.uint16(_WHITE))


def _tiff(header: Header, data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    tags = tiff_tags(io.BytesIO(data))
    values = _decoded(data)
    if values.ndim == 2:
        white_is_zero = tags.get(262) == 0
        return _WHITE - values if white_is_zero else values, None
    colour = np.ascontiguousarray(values[..., :3])
    if not header.has_alpha:
        return colour, None
    alpha = np.ascontiguousarray(values[..., 3])
    premultiplied = max(tags.get(338, (2,))) == 1
    return _divided(colour, alpha) if premultiplied else colour, alpha


def _divided(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colour freed from the alpha it was multiplied with, rounded; exact in uint32, as 65535 squared just fits."""
    divisor = np.maximum(alpha, 1).astype(np.uint32)[..., None]
    whole = (colour.astype(np.uint32) * _WHITE + divisor // 2) // divisor
    return np.minimum(whole, _WHITE).astype(np.uint16)
