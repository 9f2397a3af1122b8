"""Pixels of any kind become RGB or grey and alpha, part by part, with a colour profile that fits them.

Profiles are kept, not applied, where the result can carry them: an RGB profile with RGB pixels, a grey one with grey
pixels. Only what a PNG cannot hold (CMYK, Lab) is converted, to sRGB.

Pillow cannot hold more than 8 bits a channel, so OpenCV decodes 16 bit PNG and 16 to 64 bit TIFF. It leaves a PNG as
stored, but turns a TIFF upright by itself. Both decode whole pictures only; of a PNG they are given a few rows at a
time. The PictureErrors lack the file's name: the caller adds it as `name`.
"""

from __future__ import annotations

import io
import logging
import mmap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import cv2
import numpy as np
from PIL import Image, ImageChops, ImageCms

from ..errors import PictureError
from .containers import FewRows, chunk_content, content_of, pixel_chunks, scan_chunks, tiff_tags
from .header import Header, open_with_pillow
from .image import Box

logger = logging.getLogger(__name__)

# OpenCV prints what it finds odd in a file; the messages of this program say it better.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_WHITE = 65535

_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
BLOCK = 256
"""The rows that transparent pixels are looked at in: farther into the invisible no convolution looks in earnest."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """The pixels of a file as it stores them, on demand, and a profile that fits them.

    `part` gives those in a box as uint8 or, if `deep`, uint16 [h, w, C]: grey or RGB, and alpha if there is any. Those
    that come `by_rows` can be had once only, in boxes of full width from top to bottom.
    """

    height: int
    width: int
    grey: bool
    has_alpha: bool
    deep: bool
    icc: bytes | None
    part: Callable[[Box], np.ndarray]
    by_rows: bool = False


@dataclass(frozen=True, eq=False)
class _Kind:
    """What becomes of a Pillow image, and how: `values` gives a part of it as [h, w, C]."""

    grey: bool
    has_alpha: bool
    icc: bytes | None
    values: Callable[[Image.Image], np.ndarray]


def profile_name(icc: bytes | None) -> str | None:
    """The name that the profile gives itself; None if there is none or it is broken."""
    profile = _opened(icc)
    if profile is None:
        return None
    try:
        name = ImageCms.getProfileDescription(profile)
    except ImageCms.PyCMSError:
        name = ""
    return "".join(letter for letter in name if letter.isprintable()).strip() or "unnamed"


def profile_space(icc: bytes | None) -> str | None:
    """Colour space of a working profile: "RGB", "GRAY", "CMYK", "Lab", or another word; None if it is broken."""
    profile = _opened(icc)
    if profile is None:
        return None
    space = cast(Any, profile.profile).xcolor_space.strip()
    try:
        if space in _MODE_OF_SPACE:
            ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), _MODE_OF_SPACE[space], "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        logger.info("the colour profile does not work and was left out: %s", error)
        return None
    return space


def fitting_profile(icc: bytes | None, grey: bool) -> bytes | None:
    """The profile if the output may carry it (grey or RGB pixels, as said), else None."""
    space = profile_space(icc)
    if space == ("GRAY" if grey else "RGB"):
        return icc
    if space is not None:
        logger.info("the %s profile does not fit the picture and was left out", space)
    return None


def pillow_pixels(header: Header, file: BinaryIO) -> Pixels:
    """The pixels of an open file of 8 bits or fewer, in any of Pillow's modes; raises what decoders raise."""
    if header.format == "PNG":
        chunks = scan_chunks(file)
        rows = FewRows(file, chunks)
        if rows.possible and header.orientation <= 2:
            return _png_by_rows(header, rows)
        file = io.BytesIO(pixel_chunks(file, chunks))
    image = open_with_pillow(header.format, file)
    image.load()
    if header.format != "TIFF" and image.size != (header.width, header.height):
        raise ValueError(f"{image.size} came out, {header.width} x {header.height} was announced")
    kind, (width, height) = _kind_of(image, header), image.size

    def part(box: Box) -> np.ndarray:
        return kind.values(image.crop((box.left, box.top, box.left + box.width, box.top + box.height)))

    return Pixels(height, width, kind.grey, kind.has_alpha, False, kind.icc, part)


def deep_pixels(header: Header, file: BinaryIO) -> Pixels:
    """The same of more bits, as uint16; ValueError if they are damaged, PictureError if they do not fit."""
    if header.format == "PNG":
        return _deep_png(header, file)
    tags = tiff_tags(file)
    stored = _decoded(content_of(file))
    lowest, highest = stored.min(), stored.max()
    white_is_zero = stored.ndim == 2 and tags.get(262) == 0
    premultiplied = header.has_alpha and max(tags.get(338, (2,))) == 1

    def part(box: Box) -> np.ndarray:
        values = _ordered(to_16_bit(_cut(stored, box), lowest, highest))
        values = values if values.shape[2] == 1 or header.has_alpha else values[..., :3]
        if premultiplied:
            return np.dstack([_divided(values[..., :3], values[..., 3]), values[..., 3]])
        return _WHITE - values if white_is_zero else values

    grey, has_alpha = stored.ndim == 2, stored.ndim == 3 and header.has_alpha
    height, width = stored.shape[:2]
    return Pixels(height, width, grey, has_alpha, True, fitting_profile(header.icc, grey), part)


def to_16_bit(values: np.ndarray, lowest: Any, highest: Any) -> np.ndarray:
    """Numbers of any type as uint16, where the range of the whole picture leaves no doubt about what white is.

    Floats must lie in 0..1. Integers up to 65535 are taken as they are, larger ones as using their type's full range.
    PictureError for anything else.
    """
    if values.dtype == np.uint16:
        return values
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


def bled(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Blocks of BLOCK rows [n, W, C], from top to bottom, with colour under the transparent pixels; alpha is last.

    These get the colour of the nearest visible pixel: what hides there is often black or white, and enlarging would
    draw it into the visible edge. Bands of two blocks are looked at with one more above and below, so that the memory
    grows with the width only; what has nothing visible within 256 rows may stay as it is.
    """
    held: list[np.ndarray] = []
    above, coming = 0, iter(blocks)
    while True:
        while len(held) < above + 3 and (block := next(coming, None)) is not None:
            held.append(block)
        band = held[above : above + 2]
        if not band:
            return
        window = np.concatenate(held)
        first = sum(map(len, held[:above]))
        _bleed(window, first, first + sum(map(len, band)))
        done = window[first : first + sum(map(len, band))]
        yield from (done[row : row + BLOCK] for row in range(0, len(done), BLOCK))
        held, above = held[above + 1 :], 1


def _bleed(window: np.ndarray, first: int, last: int) -> None:
    """Give the transparent pixels of the rows [first, last) of a window the colour of the nearest visible one in it."""
    hidden = window[..., -1] == 0
    core = hidden[first:last]
    if not core.any() or hidden.all():
        return
    labels = cv2.distanceTransformWithLabels(
        hidden.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )[1].ravel()
    visible = np.flatnonzero(~hidden).astype(np.int32)
    place_of_label = np.zeros(len(visible) + 1, np.int32)
    place_of_label[labels[visible]] = visible
    targets = np.flatnonzero(core) + first * window.shape[1]
    pixels = window.reshape(-1, window.shape[2])
    pixels[targets, :-1] = pixels[place_of_label[labels[targets]], :-1]


def _opened(icc: bytes | None) -> ImageCms.ImageCmsProfile | None:
    if not icc:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (ImageCms.PyCMSError, OSError) as error:
        logger.info("the colour profile is damaged and was left out: %s", error)
        return None


def _has_grey_palette(image: Image.Image) -> bool:
    """Whether all palette entries in use are grey."""
    used = [index for _, index in image.getcolors(256) or []]
    palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    entries = palette[[index for index in used if isinstance(index, int) and index < len(palette)]]
    return bool((entries == entries[:, :1]).all())


def _kind_of(image: Image.Image, header: Header) -> _Kind:
    """What becomes of an image, from its mode, its palette and what it says of transparency."""
    space = profile_space(header.icc)
    if image.mode in ("CMYK", "LAB"):
        # Pillow reads each CMYK JPEG as inverted, which holds only where Adobe's marker says so
        inverted = header.format == "JPEG" and "adobe" not in image.info
        to_srgb = _to_srgb(image.mode, header.icc if space == "CMYK" else None)
        return _Kind(False, False, None, lambda part: to_srgb(ImageChops.invert(part) if inverted else part))
    grey = image.mode in ("1", "L", "LA", "La") or (image.mode == "P" and space != "RGB" and _has_grey_palette(image))
    has_alpha = image.has_transparency_data
    mode = ("LA" if grey else "RGBA") if has_alpha else ("L" if grey else "RGB")
    tones = _tones_in_srgb(header.icc) if grey and space == "RGB" else None

    def values(part: Image.Image) -> np.ndarray:
        part = part.convert(mode)
        if tones is not None:
            part = part.point(tones if mode == "L" else tones + list(range(256)))
        return np.asarray(part).reshape(part.height, part.width, -1)

    return _Kind(grey, has_alpha, fitting_profile(header.icc, grey), values)


def _to_srgb(mode: str, icc: bytes | None) -> Callable[[Image.Image], np.ndarray]:
    """CMYK through its profile, or without one by the plain formula; Lab from the D50 white of TIFF and ICC."""
    source = _opened(icc) if mode == "CMYK" else ImageCms.createProfile("LAB")
    if source is None:
        return lambda part: np.asarray(part.convert("RGB"))
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return lambda part: np.asarray(ImageCms.applyTransform(part, transform))


def _tones_in_srgb(icc: bytes | None) -> list[int]:
    """Of grey pixels with an RGB profile, which a grey PNG cannot carry: their tones, seen through it, in sRGB."""
    profile = _opened(icc)
    assert profile is not None
    ramp = Image.merge("RGB", [Image.frombytes("L", (256, 1), bytes(range(256)))] * 3)
    tones = ImageCms.profileToProfile(ramp, profile, ImageCms.createProfile("sRGB"))
    assert tones is not None
    return list(tones.getchannel("G").tobytes())


def _png_by_rows(header: Header, rows: FewRows) -> Pixels:
    def image_of(data: bytes) -> Image.Image:
        image = open_with_pillow("PNG", io.BytesIO(data))
        image.load()
        return image

    kind = _kind_of(image_of(rows.blank()), header)

    def part(box: Box) -> np.ndarray:
        image = image_of(rows.take(box.height))
        width, height = image.size
        rows.go_on(image.crop((0, height - 1, width, height)).tobytes())
        return kind.values(image.crop((0, height - box.height, width, height)))

    return Pixels(header.height, header.width, kind.grey, kind.has_alpha, False, kind.icc, part, by_rows=True)


def _deep_png(header: Header, file: BinaryIO) -> Pixels:
    chunks = scan_chunks(file)
    colour_type = chunk_content(file, chunks[0])[9]
    keys = [np.frombuffer(chunk_content(file, chunk), ">u2") for chunk in chunks if chunk.kind == b"tRNS"]
    chunks = [chunk for chunk in chunks if chunk.kind != b"tRNS"]
    rows = FewRows(file, chunks)
    by_rows = rows.possible and header.orientation <= 2
    stored = None if by_rows else _decoded(pixel_chunks(file, chunks))

    def part(box: Box) -> np.ndarray:
        values = _ordered(_cut(stored, box) if stored is not None else _decoded(rows.take(box.height)))
        if colour_type == 4:  # OpenCV has no grey with alpha and repeats the grey
            values = values[..., [0, 3]]
        if by_rows:
            rows.go_on(values[-1].astype(">u2").tobytes())
            values = values[-box.height :]
        if colour_type in (4, 6) or not keys:
            return values
        transparent = (values == keys[0]).all(axis=2)
        return np.dstack([values, np.where(transparent, np.uint16(0), np.uint16(_WHITE))])

    grey, has_alpha = colour_type in (0, 4), colour_type in (4, 6) or bool(keys)
    return Pixels(header.height, header.width, grey, has_alpha, True, fitting_profile(header.icc, grey), part, by_rows)


def _decoded(data: bytes | mmap.mmap | memoryview) -> np.ndarray:
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("OpenCV cannot decode it")
    return values


def _ordered(values: np.ndarray) -> np.ndarray:
    """[h, w, C] in the order R, G, B, alpha from what OpenCV gives."""
    if values.ndim == 2:
        return values[..., None]
    return cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA if values.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def _cut(values: np.ndarray, box: Box) -> np.ndarray:
    return values[box.top : box.top + box.height, box.left : box.left + box.width]


def _divided(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colour freed from the alpha it was multiplied with, rounded; exact in uint32, as 65535 squared just fits."""
    divisor = np.maximum(alpha, 1).astype(np.uint32)[..., None]
    whole = (colour.astype(np.uint32) * _WHITE + divisor // 2) // divisor
    return np.minimum(whole, _WHITE).astype(np.uint16)
