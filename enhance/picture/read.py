"""A file becomes pixels: limits, orientation, colour profile, alpha and 16 bits, with one clear sentence if it cannot.

`inspect` tells what the header says, `read_picture` gives everything that the enlarged picture needs. Neither decodes
before the limits are checked, and neither changes the file or any global setting of the libraries while it runs.
"""

from __future__ import annotations

import hashlib
import io
import logging
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import PictureError
from .colour import Pixels, bleed, pixels_from_pillow, profile_name, uninverted_cmyk
from .exif import upright_block
from .header import Header, open_with_pillow, read_header
from .picture import Facts, Picture
from .png_chunks import pixel_chunks, scan_chunks
from .sixteen_bit import deep_pixels

logger = logging.getLogger(__name__)

# Pillow warns of odd metadata. One filter, set once: warnings.catch_warnings is not safe with several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

MOST_PIXELS = 400_000_000
"""The largest picture that is read where the caller names no other limit."""

_MOST_BYTES_PER_PIXEL = 8  # 16 bit RGBA without compression
_ROOM_FOR_METADATA = 64 << 20


def inspect(path: str | Path, *, max_pixels: int | None = MOST_PIXELS, max_bytes: int | None = None) -> Facts:
    """What the file's header tells, without decoding a pixel.

    The limits are those of `read_picture`. Raises PictureError with one sentence for a person.
    """
    path = Path(path)
    max_pixels = MOST_PIXELS if max_pixels is None else max_pixels
    with _one_sentence(path.name or str(path)), _opened(path, max_pixels, max_bytes) as (file, size):
        header = read_header(file, max_pixels=max_pixels, count_frames=True)
    width, height = header.upright_size
    return Facts(
        name=path.name,
        bytes=size,
        format=header.format,
        mode=header.mode,
        width=width,
        height=height,
        bits=header.bits,
        orientation=header.orientation,
        profile=profile_name(header.icc),
        has_alpha=header.has_alpha,
        frames=header.frames,
    )


def read_picture(path: str | Path, *, max_pixels: int | None = MOST_PIXELS, max_bytes: int | None = None) -> Picture:
    """The decoded picture; of an animation or a file with several pages, the first.

    `max_pixels` None is the default; `max_bytes` None is as many bytes as so many pixels can take. Raises PictureError
    with one sentence for a person: no such file, no picture, damaged or cut off, too large, of a kind that is not
    supported.
    """
    path = Path(path)
    max_pixels = MOST_PIXELS if max_pixels is None else max_pixels
    with _one_sentence(path.name or str(path)):
        with _opened(path, max_pixels, max_bytes) as (file, size):
            data = file.read(size)
        header = read_header(io.BytesIO(data), max_pixels=max_pixels)
        pixels = deep_pixels(header, data) if header.deep else _pillow_pixels(header, data)
        # both TIFF decoders have turned it already
        orientation = 1 if header.format == "TIFF" else header.orientation
        colour = _upright(pixels.colour, orientation)
        alpha = None if pixels.alpha is None else _upright(pixels.alpha, orientation)
        rgb = colour if colour.ndim == 3 else np.repeat(colour[..., None], 3, axis=2)
        if alpha is not None:
            bleed(rgb, alpha)
        return Picture(
            name=path.name,
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            format=header.format,
            mode=header.mode,
            rgb=rgb,
            alpha=alpha,
            grey=colour.ndim == 2,
            icc=pixels.icc,
            exif=upright_block(header.exif),
        )


@contextmanager
def _opened(path: Path, max_pixels: int, max_bytes: int | None) -> Iterator[tuple[BinaryIO, int]]:
    """The file, open for reading, and its size in bytes, after a look at both."""
    most = max_pixels * _MOST_BYTES_PER_PIXEL + _ROOM_FOR_METADATA if max_bytes is None else max_bytes
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise PictureError("picture_folder")
        if not stat.S_ISREG(about.st_mode):
            raise PictureError("picture_no_file")
        if about.st_size == 0:
            raise PictureError("picture_empty")
        if about.st_size > most:
            megabytes, limit = f"{about.st_size / 1e6:,.1f}", f"{most / 1e6:,.1f}"
            raise PictureError("picture_too_many_bytes", megabytes=megabytes, limit=limit)
        file = path.open("rb")
    except FileNotFoundError:
        raise PictureError("picture_missing") from None
    except PermissionError:
        raise PictureError("picture_no_permission") from None
    except (OSError, ValueError) as error:
        raise PictureError("picture_unopened", reason=str(error)) from error
    with file:
        yield file, about.st_size


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Turn whatever reading raises into one sentence that has the file's name in it."""
    try:
        yield
    except PictureError as error:
        error.values.setdefault("name", name)
        raise
    except MemoryError as error:
        raise PictureError("picture_memory_short", name=name) from error
    except Exception as error:  # decoders raise nearly every type there is when a file is damaged on purpose
        logger.info("%s cannot be decoded: %r", name, error)
        if isinstance(error, EOFError) or "truncated" in str(error):
            raise PictureError("picture_cut_off", name=name) from error
        raise PictureError("picture_damaged", name=name) from error


def _pillow_pixels(header: Header, data: bytes) -> Pixels:
    if header.format == "PNG":
        data = pixel_chunks(data, scan_chunks(io.BytesIO(data)))
    with open_with_pillow(header.format, io.BytesIO(data)) as image:
        image.load()
        if header.format != "TIFF" and image.size != (header.width, header.height):
            raise ValueError(f"{image.size} came out, {header.width} x {header.height} was announced")
        upright_cmyk = uninverted_cmyk(image) if (header.format, image.mode) == ("JPEG", "CMYK") else image
        return pixels_from_pillow(upright_cmyk, header.icc)


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """[H, W] or [H, W, C] turned and mirrored as the EXIF orientation asks (EXIF 2.32, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    # a copy where Pillow or OpenCV keep the memory, because the colour under transparent pixels is written to
    return np.require(values, requirements=["C", "W"])
