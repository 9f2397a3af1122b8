"""A small picture of a large one, made from its strips as they pass by: what a screen shows and a report prints.

And pictures beside each other on a sheet, with words below them.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageFont

from ..files import write_atomically
from ..i18n import wrap
from ..images import Picture, read_picture
from .png import encode_png
from .png_reader import PngRows

LIMIT = 2560
"""The longest side of a rendition in pixels."""

_LISTED = 96
_STRIP = 128
_ROUNDING = 1e-6
_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SRGB = _PROFILE.tobytes()
"""The ICC profile of sRGB."""
_FONT = Path(__file__).parents[1] / "report" / "fonts" / "NotoSansSC-Regular.woff"
_NARROWEST, _WIDEST, _GAP = 260, 2048, 24
_INK, _GREY, _PAPER, _EMPTY = (28, 30, 34), (98, 102, 110), (255, 255, 255), (236, 237, 240)


class AreaAverage:
    """Averages a picture of `height` rows, strip by strip, to `new_height` x `new_width`, neither of them larger.

    A new pixel is the mean of just what it covers, whatever the strips; `finished` counts the new rows so far. Where
    the last pixels are only partly averaged, `height` and `width` have a fraction.
    """

    def __init__(self, height: float, new_height: int, new_width: int, width: float | None = None):
        self.finished = 0
        self._covered = width
        self._length, self._width, self._ratio = new_height, new_width, height / new_height
        self._taken = 0
        self._begun: np.ndarray | float = 0.0  # the sum of what has arrived of the next row

    def add(self, rows: np.ndarray) -> np.ndarray:
        """The new rows that are whole with these `rows` [n, W, C] of the picture, float32 [m, new_width, C]."""
        first, last = self._taken, self._taken + len(rows)
        across = self._width / (self._covered or rows.shape[1])
        rows = rows.astype(np.float32)
        if first % self._ratio == last % self._ratio == 0:  # whole blocks need no sums
            self._taken, self.finished = last, round(last / self._ratio)
            size = None if self._covered else (self._width, self.finished - round(first / self._ratio))
            means = cv2.resize(rows, size, fx=across, fy=1 / self._ratio, interpolation=cv2.INTER_AREA)
            return means.reshape(-1, self._width, rows.shape[2])
        narrow = cv2.resize(rows, None, fx=across, fy=1, interpolation=cv2.INTER_AREA)
        narrow = narrow.reshape(len(rows), self._width, -1)
        end = min(math.ceil(last / self._ratio - _ROUNDING), self._length)
        borders = np.clip(np.arange(self.finished, end + 1) * self._ratio, first, last) - first
        sums = np.diff(_integral(narrow, borders), axis=0)
        sums[0] += self._begun
        whole = end if end * self._ratio <= last + _ROUNDING else end - 1
        means = sums[: whole - self.finished] / np.float32(self._ratio)
        self._taken, self.finished, self._begun = last, whole, sums[-1] if whole < end else 0.0
        return means


def _integral(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The sum of everything above each place: rows [n, ...], places 0..n with fractions; gives [len(places), ...]."""
    sums = np.zeros((len(rows) + 1, *rows.shape[1:]), np.float32)
    np.cumsum(rows, axis=0, out=sums[1:])
    whole = np.minimum(places.astype(np.int64), len(rows) - 1)
    share = (places - whole).astype(np.float32).reshape(-1, *[1] * (rows.ndim - 1))
    return sums[whole] + share * rows[whole]


class Thumbnail:
    """Averages strips of a picture of `height` x `width` into `pixels`, 8 bit RGB or RGBA, of `size` (height, width).

    Strips are [n, width, C] from top to bottom, or with `columns` [height, n, C] from left to right. The size is that
    of the picture, reduced to `limit` px a side, unless one that is not larger is given. `exact`: a small pixel is the
    mean of just what it covers, whatever the strips; else each strip fills whole pixels, which is many times faster.
    `pixels` can be looked at any time: what has not arrived is black, or transparent.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        channels: int = 3,
        columns: bool = False,
        limit: int = LIMIT,
        size: tuple[int, int] | None = None,
        exact: bool = False,
    ):
        self.size = size or small_size(width, height, limit)
        self.pixels = np.zeros((*self.size, 4 if channels in (2, 4) else 3), np.uint8)
        self._columns, self._exact = columns, exact
        self._length, self._across = self.size[::-1] if columns else self.size
        self._ratio = (width if columns else height) / self._length
        self._taken = 0
        self._averages = AreaAverage(width if columns else height, self._length, self._across)

    def add(self, strip: np.ndarray) -> None:
        """Take the next strip, uint8 or uint16, of 1 to 4 channels."""
        first = self._taken
        self._taken += strip.shape[1 if self._columns else 0]
        if self._exact:
            self._add_shares(cv2.transpose(strip) if self._columns else strip)
        else:
            self._add_whole(strip, round(first / self._ratio), round(self._taken / self._ratio))

    def _add_whole(self, strip: np.ndarray, low: int, high: int) -> None:
        """Let the strip fill the pixels [low, high), the nearest to it."""
        if high > low:
            size = (high - low, self._across) if self._columns else (self._across, high - low)
            reduced = to_screen(cv2.resize(_halved(strip, size), size, interpolation=cv2.INTER_AREA))
            self.pixels[(slice(None), slice(low, high)) if self._columns else slice(low, high)] = reduced

    def _add_shares(self, rows: np.ndarray) -> None:
        """Let every row count by its share where it lies across a border between two pixels."""
        levels, first = np.iinfo(rows.dtype).max, self._averages.finished
        means = self._averages.add(rows)
        if len(means):
            screen = to_screen(cv2.convertScaleAbs(means, alpha=255 / levels).reshape(means.shape))
            pixels = np.swapaxes(self.pixels, 0, 1) if self._columns else self.pixels
            pixels[first : self._averages.finished] = screen


def _halved(strip: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The strip at half its size where it is to become smaller than that: averaging whole pixels is many times faster.

    An odd row or column at the end is left out; `size` is width and height.
    """
    height, width = strip.shape[0] // 2, strip.shape[1] // 2
    if width < size[0] or height < size[1]:
        return strip
    return cv2.resize(strip[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def to_screen(pixels: np.ndarray) -> np.ndarray:
    """Any of 1 to 4 channels, uint8 or uint16, as uint8 RGB, or RGBA where there is an alpha channel."""
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if pixels.shape[2] == 2:
        return np.dstack([cv2.cvtColor(np.ascontiguousarray(pixels[..., 0]), cv2.COLOR_GRAY2RGB), pixels[..., 1]])
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.shape[2] == 1 else pixels


def on_white(values: np.ndarray) -> np.ndarray:
    """Grey or colour over white as uint8 [n, W, 1 or 3], rounded once."""
    levels = int(np.iinfo(values.dtype).max)
    alpha = values[..., -1:].astype(np.uint64)
    mixed = values[..., :-1].astype(np.uint64) * alpha + np.uint64(levels) * (levels - alpha)
    divisor = np.uint64(levels * (levels // 255))
    return ((mixed + divisor // 2) // divisor).astype(np.uint8)


def grey_in_srgb(icc: bytes | None) -> np.ndarray:
    """The tones of grey in sRGB, uint8 [256], seen through a grey profile: RGB files can carry no such profile."""
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    with suppress(ImageCms.PyCMSError, OSError):
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc)) if icc else None
        seen = profile and ImageCms.profileToProfile(ramp, profile, _PROFILE, outputMode="RGB")
        if seen:
            return np.asarray(seen)[0, :, 1]
    return np.asarray(ramp)[0]


def reduce(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A whole picture brought to `size` (height, width) for the screen, whether that is smaller or larger."""
    return to_screen(_resized(pixels, size))


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    smaller = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(pixels, (size[1], size[0]), interpolation=how)


def save_for_screen(pixels: np.ndarray, path: Path, icc: bytes | None = None) -> Path:
    """Encode uint8 RGB as a JPEG that shows no artefacts, RGBA as PNG, beside `path`; gives the file's path."""
    image = Image.fromarray(pixels)
    if pixels.shape[2] == 4:
        path = path.with_suffix(".png")
        image.save(path, compress_level=1, icc_profile=icc)
    else:
        path = path.with_suffix(".jpg")
        image.save(path, quality=93, subsampling=0, icc_profile=icc)
    return path


def save_png(pixels: np.ndarray, path: Path, icc: bytes | None) -> Path:
    """A picture as a PNG file, whole or not at all; gives its path. Raises StorageError."""
    content = encode_png(pixels, icc=icc)
    write_atomically(path, lambda part: part.write_bytes(content))
    return path


def data_address(pixels: np.ndarray, limit: int = LIMIT) -> str:
    """The picture at `limit` px a side or less as a `data:` address: a JPEG, for what a moment or a list shows."""
    data = io.BytesIO()
    small = reduce(pixels[..., :3], small_size(pixels.shape[1], pixels.shape[0], limit))
    Image.fromarray(small).save(data, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def listed_address(path: Path | None) -> str:
    """The same of a file, as small as a list shows it; empty where there is none that can be read."""
    if path is None:
        return ""
    with suppress(OSError), Image.open(path) as image:
        return data_address(np.asarray(image.convert("RGB")), _LISTED)
    return ""


def save_address(address: str, place: Path) -> Path:
    """The picture of such an address as a file at `place`. Raises StorageError."""
    write_atomically(place, lambda part: part.write_bytes(base64.b64decode(address.partition(",")[2])))
    return place


def icc_for_screen(picture: Picture) -> bytes | None:
    """The profile for what is shown of the picture; a grey profile does not fit the RGB that a screen gets."""
    return None if picture.grey else picture.icc


def small_size(width: int, height: int, limit: int) -> tuple[int, int]:
    """Height and width of a picture brought to at most `limit` px a side, never larger than it is."""
    factor = max(1.0, max(width, height) / limit)
    return max(1, round(height / factor)), max(1, round(width / factor))


def whole_picture(picture: Picture, size: tuple[int, int]) -> np.ndarray:
    """The picture at `size` (height, width), 8 bit, its transparency with it.

    Colour and transparency meet only there: together at their own size they would be a copy of a whole large picture.
    """
    if picture.alpha is None:
        return reduce(picture.rgb, size)
    return to_screen(np.dstack([_resized(plane, size) for plane in (picture.rgb, picture.alpha)]))


def save_small(source: Path, place: Path, limit: int, max_pixels: int, max_bytes: int) -> Path:
    """A picture file at `limit` px a side or less, for the screen, beside `place`. Raises PictureError, OSError."""
    picture = read_picture(source, max_pixels=max_pixels, max_bytes=max_bytes)
    size = small_size(picture.width, picture.height, limit)
    return save_for_screen(whole_picture(picture, size), place, icc_for_screen(picture))


def save_small_result(result: Path, place: Path, limit: int, before: Path | None) -> Path:
    """The same of a finished PNG, in constant memory; `before` is the input's, which has the colour profile of both."""
    icc = None
    if before is not None:
        with Image.open(before) as image:
            icc = image.info.get("icc_profile")
    with PngRows(result) as rows:
        height, width = rows.size
        small = None
        for first in range(0, height, _STRIP):
            strip = rows.rows(first, min(first + _STRIP, height))
            small = small or Thumbnail(height, width, channels=strip.shape[2], limit=limit)
            small.add(strip)
    assert small is not None
    return save_for_screen(small.pixels, place, icc)


@dataclass(frozen=True, eq=False)
class Labelled:
    """A picture of a sheet: what it is called, what is said of it, uint8 or uint16 [h, w, C] or None: there is none."""

    name: str
    about: str
    pixels: np.ndarray | None


def draw_sheet(cells: Sequence[Labelled], icc: bytes | None = None) -> np.ndarray:
    """The pictures in a grid on white, pixel for pixel, with their words below them: uint8 [H, W, 3] in sRGB.

    `icc` is the profile of them all. In place of a picture that there is none of is an empty one as large as the first.
    One of more than 2,048 px a side is brought to that: a network of 16x makes more of a square than a sheet can hold.
    """
    cells = [replace(cell, pixels=None if cell.pixels is None else _bounded(cell.pixels)) for cell in cells]
    sizes = [cell.pixels.shape[:2] for cell in cells if cell.pixels is not None]
    high, wide = max(size[0] for size in sizes), max(_NARROWEST, *(size[1] for size in sizes))
    large, small = _font(wide // 16), _font(wide // 22)
    lines = [wrap(cell.about, small.getlength, wide) for cell in cells]
    under = round(1.7 * large.size + 1.4 * small.size * max(map(len, lines)))
    columns = math.ceil(math.sqrt(len(cells)))
    across, down = wide + _GAP, high + under + _GAP
    sheet = Image.new("RGB", (columns * across + _GAP, -(-len(cells) // columns) * down + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, cell in enumerate(cells):
        left, top = _GAP + number % columns * across, _GAP + number // columns * down
        empty = Image.new("RGB", sizes[0][::-1], _EMPTY)
        sheet.paste(empty if cell.pixels is None else srgb_image(cell.pixels, icc), (left, top))
        draw.text((left, top + high + 0.2 * large.size), cell.name, _INK, large)
        for line, words in enumerate(lines[number]):
            draw.text((left, top + high + 1.7 * large.size + 1.4 * small.size * line), words, _GREY, small)
    return np.asarray(sheet)


def _bounded(pixels: np.ndarray) -> np.ndarray:
    """Pixels as they are, or with the longest side that a sheet takes."""
    height, width = pixels.shape[:2]
    return pixels if max(height, width) <= _WIDEST else reduce(pixels, small_size(width, height, _WIDEST))


def srgb_image(pixels: np.ndarray, icc: bytes | None) -> Image.Image:
    """Return pixels of any kind as an 8-bit sRGB image, on white where they are transparent.

    A damaged profile is ignored.
    """
    shown = to_screen(pixels)
    image = Image.fromarray(np.ascontiguousarray(shown[..., :3]))
    if icc is not None:
        with suppress(ImageCms.PyCMSError, OSError, ValueError):
            image = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(icc)), _PROFILE) or image
    if shown.shape[2] == 4:
        alpha = Image.fromarray(np.ascontiguousarray(shown[..., 3]))
        image = Image.composite(image, Image.new("RGB", image.size, _PAPER), alpha)
    return image


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONT), max(14, size))
