"""Small versions of images for the screen and the report, built strip by strip from large ones."""

from __future__ import annotations

import base64
import io
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy import ndarray
from PIL import Image, ImageCms

from ..errors import PictureError
from ..files import write_atomically
from ..images import Box, SourceImage
from ..images.colour import grey_as_rgb, in_srgb, to_8_bits
from ..size import Size
from .png import encode_png
from .png_reader import PngReader, read_region

LIST_SIDE = 96
"""The longest side of the image of a list entry, in pixels."""
_MAX_LISTED_PIXELS = 100_000_000
"""Larger results get no thumbnail in a list, because it would take too long."""
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
"""The ICC profile of sRGB."""


class Thumbnail:
    """A small version of an image, built from strips [n, width, C] from top to bottom.

    `size` is that of the image, and no side of the thumbnail is longer than `limit`.
    `pixels`, uint8 RGB or RGBA, are black or transparent where no strip has arrived.
    """

    def __init__(self, size: Size, limit: int, channels: int = 3):
        self.size = small_size(size, limit)
        screen_channels = 4 if channels in (2, 4) else 3
        self.pixels = np.zeros((*self.size.shape, screen_channels), np.uint8)
        self._ratio = size.height / self.size.height
        self._added = 0

    def add(self, strip: ndarray) -> None:
        """Add the next strip, uint8 or uint16, with 1 to 4 channels.

        It fills the nearest whole pixels.
        """
        low = round(self._added / self._ratio)
        self._added += len(strip)
        high = round(self._added / self._ratio)
        if high > low:
            size = Size(self.size.width, high - low)
            self.pixels[low:high] = resize_for_screen(strip, size)


def overview(result: PngReader, limit: int) -> ndarray:
    """Return a finished result at most `limit` px per side, uint8 RGB or RGBA.

    Raises PictureError.
    """
    step = max(1, result.size.long_side // limit)
    return resize_to_fit(read_region(result.rows, Box(0, 0, *result.size), step), limit)


def to_screen(pixels: ndarray) -> ndarray:
    """Convert 1 to 4 channels of uint8 or uint16 to uint8 RGB, with alpha to RGBA."""
    pixels = to_8_bits(pixels)
    if pixels.shape[2] < 3:
        return grey_as_rgb(pixels)
    return pixels


def resize_for_screen(pixels: ndarray, size: Size) -> ndarray:
    """Resize an image to `size` and convert it to uint8 RGB or RGBA."""
    return to_screen(_resize(pixels, size))


def resize_to_fit(pixels: ndarray, limit: int) -> ndarray:
    """Resize an image to at most `limit` px per side and convert it to uint8 RGB or RGBA."""
    return resize_for_screen(pixels, small_size(Size.of_shape(pixels.shape), limit))


def _resize(pixels: ndarray, size: Size) -> ndarray:
    is_smaller = size.pixels < Size.of_shape(pixels.shape).pixels
    interpolation = cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC
    resized = cv2.resize(pixels, size, interpolation=interpolation)
    return resized.reshape(*size.shape, -1)  # OpenCV drops the axis of a single channel.


def small_size(size: Size, limit: int) -> Size:
    """Return the size of an image reduced to at most `limit` px per side."""
    factor = max(1.0, size.long_side / limit)
    return Size(max(1, round(size.width / factor)), max(1, round(size.height / factor)))


def whole_image(image: SourceImage, size: Size) -> ndarray:
    """Return the image at `size`, uint8 RGB or RGBA, without a copy at its own size."""
    planes = [_resize(image.rgb, size)]
    if image.alpha is not None:
        planes.append(_resize(image.alpha, size))
    return to_screen(np.dstack(planes))


def most_detailed_point(pixels: ndarray) -> tuple[float, float]:
    """Return where an image has the most detail: shares of its width and height, 0 to 1.

    `pixels` are uint8 [h, w, 3 or 4]. This is the maximum of the mean absolute Laplacian over a
    sixth of the longer side, with less weight at the border.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    side = max(height, width) // 6 | 1
    detail = cv2.blur(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), (side, side))
    weights = np.outer(_weights_of_places(height), _weights_of_places(width))
    row, column = divmod(int(np.argmax(detail * weights)), width)
    return (column + 0.5) / width, (row + 0.5) / height


def _weights_of_places(length: int) -> ndarray:
    return 0.3 + np.sin(np.pi * (np.arange(length) + 0.5) / length)


def icc_for_screen(image: SourceImage) -> bytes | None:
    """Return the profile for the RGB image on the screen; a grey profile does not fit it."""
    return None if image.grey else image.icc


def srgb_image(pixels: ndarray, icc: bytes | None) -> Image.Image:
    """Return pixels of 1 to 4 channels as an 8-bit sRGB image, on white where they are transparent.

    A damaged profile is ignored.
    """
    image = Image.fromarray(in_srgb(pixels, icc))
    if image.mode == "RGB":
        return image
    shown = Image.new("RGB", image.size, "white")
    shown.paste(image, mask=image)
    return shown


def encode_for_screen(pixels: ndarray, icc: bytes | None) -> tuple[bytes, str]:
    """Return an image of 1 to 4 channels as a file for the screen, and its media type.

    Without transparency, it is a JPEG without visible artifacts, otherwise a PNG.
    """
    pixels = to_screen(pixels)
    if pixels.shape[2] == 4:
        return encode_png(pixels, icc=icc), "image/png"
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", icc_profile=icc, quality=93, subsampling=0)
    return data.getvalue(), "image/jpeg"


def save_png(pixels: ndarray, path: Path, icc: bytes | None, mark: bytes | None = None) -> Path:
    """Save an image as a PNG atomically; return its path. Raises StorageError."""
    content = encode_png(pixels, icc=icc, mark=mark)
    write_atomically(path, lambda part: part.write_bytes(content))
    return path


def data_url(pixels: ndarray, icc: bytes | None) -> str:
    """Return an image with the profile `icc`, uint8 RGB or RGBA, as the data URL of an sRGB
    JPEG."""
    data = io.BytesIO()
    srgb_image(pixels, icc).save(data, "JPEG", quality=80)
    encoded = base64.b64encode(data.getvalue()).decode()
    return f"data:image/jpeg;base64,{encoded}"


def thumbnail_of(png: Path) -> str:
    """Return the thumbnail of a result for a list as a `data:` URL, or "" if the result is too
    large."""
    with suppress(PictureError, OSError), PngReader(png) as result:
        if result.size.pixels <= _MAX_LISTED_PIXELS:
            icc = result.icc if result.channels > 2 else None
            return data_url(overview(result, LIST_SIDE), icc)
    return ""
