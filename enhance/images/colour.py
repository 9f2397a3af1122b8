"""Decoding of any kind of pixels to grey or RGB with alpha.

Profiles are passed on, not applied, if the result can carry them: an RGB profile with RGB pixels, a
grey one with grey pixels. Only what a PNG cannot hold (CMYK, Lab) is converted, to sRGB.

Pillow holds colour of 8 bits at most, so OpenCV decodes 16-bit PNGs and TIFFs. PictureErrors lack
the file's name; the caller adds it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from operator import methodcaller
from typing import BinaryIO, TypeAlias

import cv2
import numpy as np
from numpy import ndarray
from PIL import Image, ImageChops, ImageCms

from ..errors import PictureError
from ..metadata.png_chunks import pixel_chunks
from ..metadata.profiles import open_profile, profile_space
from ..size import Size
from . import jxl_reader, raw
from .downscaling import spans, widen
from .file_types import open_with_pillow
from .header import Header
from .image import Box

# OpenCV prints warnings about unusual files. The messages of this program replace them.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_REACH = 256
"""Rows above and below in which the nearest visible pixel is searched. No network has a larger
receptive radius."""
BLOCK = 2 * _REACH
CONVERTED_MODES = ("CMYK", "LAB")
"""Pillow's modes of the images that are converted to sRGB."""


Part: TypeAlias = Callable[[Box], ndarray]
"""A function that returns the pixels of a file in a box, as stored: uint8 or, of an image of 16
bits, uint16 [h, w, C], grey or RGB, then alpha if there is any."""
_Decoded: TypeAlias = tuple[Size, Part]
"""The size and the pixels."""


def decode_pixels(header: Header, file: BinaryIO) -> Part:
    """Return the pixels of an open file.

    Raises PictureError if it is a camera raw file of an unusual sensor, and ValueError or any
    exception of a decoder if they are damaged.
    """
    decoders = {"JXL": _jxl_pixels, "RAW": _raw_pixels}
    if header.bits > 8:
        decoders |= {"PNG": _deep_pixels, "TIFF": _deep_pixels}
    if header.format == "PNG":
        file = io.BytesIO(pixel_chunks(file))
    size, part = decoders.get(header.format, _pillow_pixels)(header, file)
    if size != header.size:
        raise ValueError("the header states another size")
    return part


def _pillow_pixels(header: Header, file: BinaryIO) -> _Decoded:
    """Decode an image in any of Pillow's modes."""
    image = open_with_pillow(header.format, file)
    image.load()
    mode = "RGB"
    if image.mode in ("1", "L", "LA", "La"):
        mode = "L"
    if image.mode == "I;16":  # a grey HEIC
        mode = image.mode
    if image.has_transparency_data:
        mode += "A"
    convert = methodcaller("convert", mode)
    if image.mode in CONVERTED_MODES:
        convert = _conversion_to_srgb(header, image)

    def part(box: Box) -> ndarray:
        cropped = image.crop((box.left, box.top, box.right, box.bottom))
        return np.asarray(convert(cropped)).reshape(box.height, box.width, -1)

    return Size(*image.size), part


def _conversion_to_srgb(header: Header, image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Return the conversion of parts of an image in CMYK or Lab to sRGB.

    CMYK is converted by its profile, or without one by Pillow's formula. Lab has the white point
    D50.
    """
    source = None
    if image.mode == "LAB":
        source = ImageCms.createProfile("LAB")
    elif profile_space(header.icc) == "CMYK":
        source = open_profile(header.icc)
    convert = methodcaller("convert", "RGB")
    if source is not None:
        convert = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        ).apply
    # Pillow reads every CMYK JPEG as inverted, but only those with Adobe's marker are.
    if header.format == "JPEG" and "adobe" not in image.info:
        return lambda part: convert(ImageChops.invert(part))
    return convert


def _deep_pixels(header: Header, file: BinaryIO) -> _Decoded:
    """Decode an image of 16 bits. OpenCV applies the orientation of a TIFF."""
    file.seek(0)
    stored = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise ValueError("OpenCV cannot decode it")

    def part(box: Box) -> ndarray:
        values = np.atleast_3d(box.cut(stored))
        if header.mode == "LA;16":  # OpenCV returns it as blue, green, red and alpha.
            return values[..., 2:]
        if header.has_alpha:
            return cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA)
        if stored.ndim == 2:
            return values
        return cv2.cvtColor(values[..., :3], cv2.COLOR_BGR2RGB)

    return Size.of_shape(stored.shape), part


def _jxl_pixels(header: Header, file: BinaryIO) -> _Decoded:
    file.seek(0)
    codestream = jxl_reader.codestream_of(file.read())
    library = jxl_reader.load_library()
    library.set_num_threads(1)
    dtype = "uint16" if header.bits > 8 else "uint8"
    _, stored = library.decode_to_numpy(codestream, dtype=dtype)
    return _array_pixels(stored)


def _raw_pixels(header: Header, file: BinaryIO) -> _Decoded:
    with raw.open_raw(file) as opened:
        stored = raw.develop(opened)
    # LibRaw stretches or rotates the images of a few sensors.
    if Size.of_shape(stored.shape) != header.size:
        raise PictureError("image_camera_raw")
    return _array_pixels(stored)


def _array_pixels(stored: ndarray) -> _Decoded:
    return Size.of_shape(stored.shape), lambda box: box.cut(stored)


def fill_transparent(rows: Callable[[int, int], ndarray], height: int) -> Iterator[ndarray]:
    """Yield blocks of rows in which transparent pixels have the colour of the nearest visible one.

    `rows` returns some rows of an image of `height` [n, W, C], with alpha last. Their own colour is
    often black or white, and upscaling would draw it into the visible edge. Each block of BLOCK
    rows is processed with half as many above and below, so that memory grows with the width only.
    Pixels without a visible one within 256 rows can stay as they are.
    """
    for first, last in spans(height, BLOCK):
        low, high = widen(first, last, _REACH, height)
        window = np.array(rows(low, high))
        _fill_rows(window, first - low, last - low)
        yield window[first - low : last - low]


def _fill_rows(window: ndarray, first: int, last: int) -> None:
    """Give transparent pixels in rows [first, last) the nearest visible colour in the window."""
    hidden = window[..., -1] == 0
    core = hidden[first:last]
    if not core.any() or hidden.all():
        return
    _, labels = cv2.distanceTransformWithLabels(
        hidden.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the visible pixels row by row, from 1.
    nearest = np.flatnonzero(~hidden)[labels[first:last][core] - 1]
    pixels = window.reshape(-1, window.shape[2])
    window[first:last, :, :-1][core] = pixels[nearest, :-1]


def in_srgb(pixels: ndarray, icc: bytes | None) -> ndarray:
    """Convert grey or colour from a profile that fits it to RGB in sRGB; alpha stays.

    `pixels` are uint8 or uint16 [H, W, C], the result is uint8. A damaged profile is ignored.
    """
    pixels = to_8_bits(pixels)
    channels = pixels.shape[2]
    stored = pixels[..., :3]
    if channels < 3:
        stored = pixels[..., 0]
    image = Image.fromarray(np.ascontiguousarray(stored))
    profile = open_profile(icc)
    if profile is not None:
        with suppress(ImageCms.PyCMSError, OSError, ValueError):
            srgb = ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB") or image
    colour = np.asarray(image.convert("RGB"))
    if channels in (2, 4):
        return np.dstack([colour, pixels[..., -1]])
    return colour


def to_8_bits(values: ndarray) -> ndarray:
    if values.dtype == np.uint8:
        return values
    # OpenCV drops the axis of a single channel.
    return cv2.convertScaleAbs(values, alpha=1 / 257).reshape(values.shape)


def grey_as_rgb(values: ndarray) -> ndarray:
    """Return grey [h, w, 1 or 2] as RGB [h, w, 3 or 4]; alpha stays."""
    colour = np.repeat(values[..., :1], 3, axis=2)
    return np.concatenate([colour, values[..., 1:]], axis=2)
