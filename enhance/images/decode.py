"""Decoding of an image file in the worker process: limits, orientation, colour profile, alpha and
16 bits.

A crafted file can make a decoder hang, crash or fill the memory, so the rest of the program uses
`inspect_image` and `read_image` of `worker`, and every failure becomes one PictureError.

The upright image is sent in strips, so that memory holds only the decoder's own copy: one, three or
four bytes per pixel with Pillow.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import psutil
from numpy import ndarray

from ..errors import PictureError, is_memory_short
from ..metadata import Metadata
from ..metadata.containers import map_file
from ..metadata.gain_map import GainMap, decode_map
from ..metadata.png_chunks import read_metadata, scan_chunks
from ..metadata.profiles import fitting_profile, profile_name
from .colour import (
    BLOCK,
    CONVERTED_MODES,
    Part,
    decode_pixels,
    fill_transparent,
    grey_as_rgb,
)
from .downscaling import spans
from .file_types import detect_format
from .header import Header, read_header
from .image import Box, FileFacts, SourceImage

# Pillow warns about unusual metadata. warnings.catch_warnings is not safe with several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

# Address space for the stacks of threads and for what allocators reserve.
_EXTRA_MEMORY = (512 << 20) + (os.cpu_count() or 1) * (16 << 20)

# Bytes per pixel at the peak, measured with the worst of each kind: a progressive CMYK JPEG, a
# lossless WebP, an AVIF of full colour, a progressive JPEG XL, a TIFF in one piece, a TIFF of four
# 32-bit numbers, and a PNG.
_BYTES_PER_PIXEL = {
    8: {"JPEG": 12, "WEBP": 18, "AVIF": 16, "HEIF": 12, "JXL": 48},
    16: {"PNG": 18, "JXL": 52},
}
"""By bits and format."""
_OTHER_BYTES = {8: 10, 16: 34}
_FILL_BYTES = 50  # per pixel of the rows in which `fill_transparent` works

# The slowest files on one slow core take 0.15 s per megapixel of 8 bits and 0.8 s of 64 bits.
_SECONDS = 10.0
_SECONDS_PER_MEGAPIXEL = {8: 0.5, 16: 1.5}

_REVERSED_ROWS = (3, 4, 7, 8)
_REVERSED_COLUMNS = (2, 3, 6, 7)
"""Orientations that reverse rows or columns, after rows and columns are exchanged for 5 to 8."""
_STRIP_PIXELS = 1 << 20

_WEBP_CANVASES = 2 * 4 * 16_383**2
_MAX_BYTES_PER_PIXEL = 8  # 16-bit RGBA without compression
_MAX_METADATA_BYTES = 64 << 20


@dataclass(frozen=True)
class DecodeBudget:
    """Limits for decoding an image: bytes of memory, and seconds."""

    memory: int
    seconds: float


def read_file_facts(path: Path, max_pixels: int, max_bytes: int | None) -> FileFacts:
    """Return the facts in the file's header without decoding a pixel. Raises PictureError."""
    with _picture_errors(), _open_checked(path, max_pixels, max_bytes) as (file, size):
        header = read_header(file, max_pixels=max_pixels)
    width, height = header.upright_size
    dpi = header.metadata.dpi or ()
    return FileFacts(
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
        has_location=header.metadata.has_location,
        dpi=min(dpi, default=None),
    )


def read_variants(path: Path) -> dict[str, Metadata]:
    """Return the part of a finished PNG's metadata that each of `metadata.CHOICES` keeps.

    Raises PictureError.
    """
    with _picture_errors(), path.open("rb") as file:
        metadata = read_metadata(file, scan_chunks(file))
        return metadata.without_damage().variants()


def decode(
    path: Path,
    max_pixels: int,
    max_bytes: int | None,
    begin: Callable[[DecodeBudget], None],
) -> Iterator[Any]:
    """Decode an image; of an animation or a file with several pages, the first.

    Yield the size and whether there is alpha, together with a SourceImage without pixels; then
    strips from top to bottom, uint8 or uint16 [n, W, 3 or 4], RGB and alpha if there is any.
    `begin` is called before a decoder receives the file. `max_bytes` None is the size of
    `max_pixels` pixels without compression. Raises PictureError.
    """
    with _picture_errors(), _open_checked(path, max_pixels, max_bytes) as (file, size):
        before = os.fstat(file.fileno())
        header = read_header(file, max_pixels=max_pixels)
        begin(_budget(header, size))
        sha256 = _sha256(file)
        part = decode_pixels(header, file)
        pixel = part(Box(0, 0, 1, 1))
        channels = pixel.shape[2]
        grey = channels < 3
        has_alpha = channels in (2, 4)
        upright_size = header.upright_size
        icc = None
        if header.mode not in CONVERTED_MODES:
            icc = fitting_profile(header.icc, grey)
        image = SourceImage(
            name=path.name,
            sha256=sha256,
            bytes=size,
            format=header.format,
            mode=header.mode,
            rgb=np.empty((0, 0, 3), pixel.dtype),
            alpha=None,
            grey=grey,
            icc=icc,
            variants=header.metadata.upright().variants(),
            jpeg_tables=_upright_tables(header),
            first_block=_first_block(header),
            gain_map=_gain_map(header, file),
        )
        yield (upright_size, has_alpha), image
        rows = partial(_upright_rows, part, header)
        if has_alpha:
            yield from fill_transparent(rows, upright_size.height)
        else:
            fitting = _STRIP_PIXELS // upright_size.width
            for first, last in spans(upright_size.height, max(1, fitting)):
                yield rows(first, last)
        _check_unchanged(file, before, sha256)


def _first_block(header: Header) -> tuple[int, int]:
    """Return the first row and column where a block of 8 x 8 px begins in the upright image.

    Blocks begin at the first stored row and column, which can be the last ones of the upright
    image.
    """
    width, height = header.upright_size
    row = height % 8 if header.orientation in _REVERSED_ROWS else 0
    column = width % 8 if header.orientation in _REVERSED_COLUMNS else 0
    return row, column


def _check_unchanged(file: BinaryIO, before: os.stat_result, sha256: str) -> None:
    """Raise ValueError if the content of the file has changed.

    A file in use gets a new time every few seconds, so that it is not deleted. That is no change of
    its content.
    """
    after = os.fstat(file.fileno())
    if before.st_mtime_ns != after.st_mtime_ns and _sha256(file) != sha256:
        raise ValueError("the file changed while it was read")


def _gain_map(header: Header, file: BinaryIO) -> GainMap | None:
    """Return the gain map in orientation 1; None if there is none or it is damaged."""
    if header.gain_map is None:
        return None
    stored = decode_map(file, header.gain_map)
    if stored is None:
        return None
    upright = np.ascontiguousarray(_upright(stored, header.orientation))
    return GainMap(upright, header.gain_map)


def _sha256(file: BinaryIO) -> str:
    return hashlib.sha256(map_file(file)).hexdigest()


def _upright_rows(part: Part, header: Header, first: int, last: int) -> ndarray:
    """Return the rows [first, last) of the upright image, [n, W, 3 or 4]."""
    start = first
    if header.orientation in _REVERSED_ROWS:
        start = header.upright_size.height - last
    box = Box(0, start, header.size.width, last - first)
    if header.orientation >= 5:
        box = Box(start, 0, last - first, header.size.height)
    values = _upright(part(box), header.orientation)
    if values.shape[2] < 3:
        return grey_as_rgb(values)
    return values


def _budget(header: Header, size: int) -> DecodeBudget:
    """Return the limits for decoding a file of `size` bytes."""
    bits = header.bits
    bytes_per_pixel = _BYTES_PER_PIXEL[bits].get(header.format, _OTHER_BYTES[bits])
    pixels = header.size.pixels
    memory = pixels * bytes_per_pixel + 2 * size
    if header.has_alpha:
        width, height = header.upright_size
        memory += _FILL_BYTES * width * min(2 * BLOCK, height)
    if header.gain_map:
        pixels += header.gain_map.size.pixels
        memory += header.gain_map.size.pixels * _BYTES_PER_PIXEL[8]["JPEG"]
    return DecodeBudget(memory, _SECONDS + _SECONDS_PER_MEGAPIXEL[bits] * pixels / 1e6)


@contextmanager
def _open_checked(
    path: Path,
    max_pixels: int,
    max_bytes: int | None,
) -> Iterator[tuple[BinaryIO, int]]:
    """Open the file and return it with its size in bytes. Raises PictureError."""
    if max_bytes is None:
        max_bytes = max_pixels * _MAX_BYTES_PER_PIXEL + _MAX_METADATA_BYTES
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise PictureError("image_folder")
        if not path.is_file():
            raise PictureError("image_no_file")
        if size == 0:
            raise PictureError("image_empty")
        if size > max_bytes:
            megabytes = size / 1e6
            raise PictureError("image_too_many_bytes", megabytes=megabytes, limit=max_bytes / 1e6)
        file = path.open("rb")
    except FileNotFoundError:
        raise PictureError("image_missing") from None
    except PermissionError:
        raise PictureError("image_no_permission") from None
    except (OSError, ValueError) as error:
        raise PictureError("image_unopened", reason=error) from error
    with file:
        yield file, size


@contextmanager
def _picture_errors() -> Iterator[None]:
    """Convert every exception to a PictureError, to which `worker` adds the file's name."""
    try:
        yield
    except PictureError:
        raise
    except Exception as error:  # Decoders raise almost any type for crafted files.
        if is_memory_short(error):
            raise PictureError("image_too_much_memory") from error
        key = "image_damaged"
        if isinstance(error, EOFError) or "truncated" in str(error):
            key = "image_incomplete"
        # Its message can contain the name of a file, so it is not logged.
        raise PictureError(key, cause=type(error).__name__) from error


def _upright(values: ndarray, orientation: int) -> ndarray:
    """Apply an EXIF orientation (EXIF 2.32, tag 0x0112) to pixels [h, w] or [h, w, C]."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in _REVERSED_ROWS:
        values = values[::-1]
    if orientation in _REVERSED_COLUMNS:
        values = values[:, ::-1]
    return values


def _upright_tables(header: Header) -> tuple[tuple[int, ...], ...]:
    """Return the quantisation tables, each 64 steps row by row, for the upright image."""
    if header.orientation < 5:
        return header.jpeg_tables
    turned = [np.reshape(table, (8, 8)).T.ravel() for table in header.jpeg_tables]
    return tuple(tuple(table.tolist()) for table in turned)


class _Parent:
    """The connection to the parent process over standard input and output."""

    def __init__(self) -> None:
        self._sink = os.fdopen(os.dup(1), "wb")  # a copy, because `serve` redirects standard output
        self._received = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: object) -> None:
        pickle.dump(message, self._sink, protocol=5)  # Protocol 5 does not copy arrays.
        self._sink.flush()

    def receive(self) -> Any:
        return self._received.get()

    def _listen(self) -> None:
        """Read in a thread, so that the process ends with its parent even while it decodes."""
        with suppress(Exception):
            while True:
                self._received.put(pickle.load(sys.stdin.buffer))
        os._exit(0)


def serve() -> None:
    """Answer requests of the parent process until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = _Parent()
    # Libraries print to both streams. They are redirected last, so that an error at the start is
    # still printed.
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    parent.send("ready")
    while True:
        try:
            _answer(parent, *parent.receive())
        except PictureError as error:
            parent.send(error)


def _answer(parent: _Parent, task: str, path: Path, max_pixels: int, max_bytes: int | None) -> None:
    def begin(budget: DecodeBudget) -> None:
        parent.send(budget)
        if not parent.receive():
            raise PictureError("image_memory_short")
        _limit_memory(budget.memory * 5 // 4)

    with suppress(OSError, ValueError):  # The reader reports these errors.
        # For the header, until the budget of the pixels is known.
        _limit_memory(_header_memory(path))
    if task == "facts":
        parent.send(read_file_facts(path, max_pixels, max_bytes))
        return
    if task == "variants":
        parent.send(read_variants(path))
        return
    for message in decode(path, max_pixels, max_bytes, begin):
        parent.send(message)
    parent.send(None)


def _header_memory(path: Path) -> int:
    """Return the bytes that reading a header needs.

    For a WebP, Pillow reserves two canvases of RGBA already then.
    """
    size = 4 * path.stat().st_size
    if path.is_file():
        with path.open("rb") as file:
            if detect_format(file.read(64)) == "WEBP":
                size += _WEBP_CANVASES
    return size


def _limit_memory(more: int) -> None:
    """Limit the address space to its present size, `more` bytes and a reserve; only on Linux."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = psutil.Process().memory_info().vms + more + _EXTRA_MEMORY
        with suppress(ValueError):  # The system has a lower limit.
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
