"""Pixels of any kind become RGB or grey and alpha, with a colour profile that fits them.

Profiles are kept, not applied, where the result can carry them: an RGB profile with RGB pixels, a grey one with grey
pixels. Only what a PNG cannot hold (CMYK, Lab) is converted, to sRGB.

Pillow cannot hold more than 8 bits a channel, so OpenCV decodes 16 bit PNG and 16 to 64 bit TIFF. It leaves a PNG as
stored, but turns a TIFF upright by itself. The PictureErrors lack the file's name: the caller adds it as `name`.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from PIL import Image, ImageChops, ImageCms

from ..errors import PictureError
from .chunks import chunk_content, pixel_chunks, scan_chunks, tiff_tags
from .header import Header

logger = logging.getLogger(__name__)

# OpenCV prints what it finds odd in a file; the messages of this program say it better.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_WHITE = 65535

_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
_BAND = 512
_REACH = 256  # farther into the invisible no convolution looks in earnest


@dataclass(frozen=True, eq=False)
class Pixels:
    """Decoded pixels: colour [H, W] (grey) or [H, W, 3] (RGB), alpha [H, W] or None, uint8 or uint16, and a profile."""

    colour: np.ndarray
    alpha: np.ndarray | None
    icc: bytes | None


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


def pixels_from_pillow(image: Image.Image, icc: bytes | None) -> Pixels:
    """Colour, alpha and fitting profile of a Pillow image of 8 bits or fewer, in any of its modes."""
    space = profile_space(icc)
    if image.mode in ("CMYK", "LAB"):
        return Pixels(np.asarray(_to_srgb(image, icc if space == "CMYK" else None)), None, None)
    grey = image.mode in ("1", "L", "LA", "La") or (image.mode == "P" and space != "RGB" and _has_grey_palette(image))
    with_alpha = image.has_transparency_data
    image = image.convert(("LA" if grey else "RGBA") if with_alpha else ("L" if grey else "RGB"))
    if grey and space == "RGB":
        image = _grey_to_srgb(image, icc)
    values = np.asarray(image)
    if not with_alpha:
        return Pixels(values, None, fitting_profile(icc, grey))
    colour = values[..., 0] if grey else values[..., :3]
    return Pixels(np.ascontiguousarray(colour), np.ascontiguousarray(values[..., -1]), fitting_profile(icc, grey))


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


def uninverted_cmyk(image: Image.Image) -> Image.Image:
    """A CMYK JPEG as it was meant. Pillow reads each as inverted, which holds only where Adobe's marker says so."""
    return image if "adobe" in image.info else ImageChops.invert(image)


def bleed(rgb: np.ndarray, alpha: np.ndarray) -> None:
    """Give fully transparent pixels of rgb [H, W, 3] the colour of the nearest visible one, in place.

    What hides under alpha [H, W] == 0 is often black or white, and enlarging would draw it into the visible edge.
    Works by bands of rows, so that the extra memory grows with the width only; what has nothing visible within 256
    rows may stay as it is.
    """
    height, width = alpha.shape
    for top in range(0, height, _BAND):
        first, last = max(0, top - _REACH), min(height, top + _BAND + _REACH)
        hidden = alpha[first:last] == 0
        core = hidden[top - first : top - first + _BAND]
        if not core.any() or hidden.all():
            continue
        _, labels = cv2.distanceTransformWithLabels(
            hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        labels = labels.ravel()
        visible = np.flatnonzero(~hidden)
        place_of_label = np.zeros(len(visible) + 1, np.intp)
        place_of_label[labels[visible]] = visible
        targets = np.flatnonzero(core) + (top - first) * width
        window = rgb[first:last].reshape(-1, 3)
        window[targets] = window[place_of_label[labels[targets]]]


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


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """CMYK through its profile, or without one by the plain formula; Lab from the D50 white of TIFF and ICC."""
    source = _opened(icc) if image.mode == "CMYK" else ImageCms.createProfile("LAB")
    if source is None:
        return image.convert("RGB")
    converted = ImageCms.profileToProfile(
        image,
        source,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None
    return converted


def _grey_to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Grey pixels with an RGB profile, which a grey PNG cannot carry: their tones, seen through it, in sRGB."""
    profile = _opened(icc)
    assert profile is not None
    ramp = Image.merge("RGB", [Image.frombytes("L", (256, 1), bytes(range(256)))] * 3)
    tones = ImageCms.profileToProfile(ramp, profile, ImageCms.createProfile("sRGB"))
    assert tones is not None
    table = list(tones.getchannel("G").tobytes())
    return image.point(table if image.mode == "L" else table + list(range(256)))


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
