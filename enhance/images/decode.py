"""Decoding of an image file in the worker process: limits, orientation, colour profile, alpha and 16 bits.

A crafted file can make a decoder hang, crash or fill the memory, so the rest of the program uses `inspect` and
`read_image` of `worker`, and every failure becomes one PictureError.

The upright image is sent in strips, so that memory holds only the decoder's own copy: one, three or four bytes per
pixel with Pillow.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import pickle
import queue
import signal
import stat
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging.handlers import QueueHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import psutil
from PIL import Image

from ..errors import PictureError, is_memory_short
from ..logs import hide_messages
from .colour import BLOCK, Pixels, decode_pixels, fill_transparent, profile_name
from .containers import LARGEST_BLOCK, map_file, scan_chunks
from .gain_map import MAX_PIXELS, GainMap, from_apple
from .header import Header, open_auxiliary, open_with_pillow, png_metadata, read_header
from .image import Box, Facts, SourceImage, block_means
from .metadata import Metadata

logger = logging.getLogger(__name__)

# Pillow warns about unusual metadata. warnings.catch_warnings is not safe with several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

# Address space for the stacks of threads and for what allocators reserve.
_EXTRA_MEMORY = (512 << 20) + (os.cpu_count() or 1) * (16 << 20)

# Bytes per pixel at the peak, measured with the worst of each kind: a progressive CMYK JPEG, a lossless WebP, an AVIF
# of full colour, a progressive JPEG XL, a TIFF in one piece, a TIFF of four 32-bit numbers, and a PNG.
_BYTES_PER_PIXEL = {"JPEG": 12, "WEBP": 18, "AVIF": 16, "HEIF": 12, "JXL": 48}
_DEEP_BYTES_PER_PIXEL = {"PNG": 18, "JXL": 52}
_OTHER_BYTES, _OTHER_DEEP_BYTES = 10, 34
_FILL_BYTES = 50  # per pixel of the rows in which `fill_transparent` works

# The slowest files on one slow core take 0.15 s per megapixel of 8 bits and 0.8 s of 64 bits.
_SECONDS, _SECONDS_PER_MEGAPIXEL, _DEEP_SECONDS_PER_MEGAPIXEL = 10.0, 0.5, 1.5

_REVERSED_ROWS, _REVERSED_COLUMNS = (3, 4, 7, 8), (2, 3, 6, 7)
"""Orientations that reverse rows or columns, after rows and columns are exchanged for 5 to 8."""
_STRIP_PIXELS = 1 << 20

_MAX_BYTES_PER_PIXEL = 8  # 16-bit RGBA without compression
_MAX_METADATA_BYTES = 64 << 20


@dataclass(frozen=True)
class DecodeBudget:
    """Limits for decoding an image: bytes of memory, and seconds."""

    memory: int
    seconds: float


def read_facts(path: Path, max_pixels: int, max_bytes: int | None) -> Facts:
    """Return the facts in the file's header without decoding a pixel. Raises PictureError."""
    with _picture_errors(path.name or str(path)), _open_checked(path, max_pixels, max_bytes) as (file, size):
        header = read_header(file, max_pixels=max_pixels, decoding=False)
    width, height = header.upright_size
    facts = {name: getattr(header, name) for name in ("format", "mode", "bits", "orientation", "has_alpha", "frames")}
    facts |= {"profile": profile_name(header.icc), "has_location": header.metadata.has_location}
    return Facts(path.name, size, width=width, height=height, dpi=min(header.metadata.dpi or [0]) or None, **facts)


def read_variants(path: Path) -> dict[str, Metadata]:
    """Return the part of a finished PNG's metadata that each of `metadata.CHOICES` keeps. Raises PictureError."""
    with _picture_errors(path.name), path.open("rb") as file:
        # The size and the resolution of the result can have made a block a little longer.
        return png_metadata(file, scan_chunks(file)).without_large_blocks(LARGEST_BLOCK).variants()


def decode(path: Path, max_pixels: int, max_bytes: int | None, begin: Callable[[DecodeBudget], None]) -> Iterator[Any]:
    """Decode an image; of an animation or a file with several pages, the first.

    Yield shape, dtype and a SourceImage without pixels as one tuple; then strips from top to bottom, uint8 or uint16
    [n, W, 3 or 4], RGB and alpha if there is any. `begin` is called before a decoder receives the file.
    `max_bytes` None is the size of `max_pixels` pixels without compression. Raises PictureError.
    """
    with _picture_errors(path.name or str(path)), _open_checked(path, max_pixels, max_bytes) as (file, size):
        before = os.fstat(file.fileno())
        header = read_header(file, max_pixels=max_pixels)
        begin(_budget(header, size))
        sha256 = _sha256(file)
        pixels = decode_pixels(header, file)
        # Both TIFF decoders apply the orientation.
        orientation, stored = header.orientation, (header.width, header.height)
        if header.format == "TIFF":
            orientation, stored = 1, header.upright_size
        if (pixels.width, pixels.height) != stored:
            raise ValueError(f"the size is {pixels.width} x {pixels.height} instead of {stored}")
        height, width = (pixels.width, pixels.height) if orientation >= 5 else (pixels.height, pixels.width)
        dtype = "uint16" if pixels.deep else "uint8"
        image = SourceImage(
            *(path.name, sha256, size, header.format, header.mode),
            rgb=np.empty((0, 0, 3), dtype),
            alpha=None,
            grey=pixels.grey,
            icc=pixels.icc,
            variants=header.metadata.upright().variants(),
            jpeg_table=_upright_table(header.jpeg_table, orientation),
            jpeg_chroma_table=_upright_table(header.jpeg_chroma_table, orientation),
            # Blocks begin at the first stored row and column, which can be the last ones of the upright image.
            first_block=(height % 8 * (orientation in _REVERSED_ROWS), width % 8 * (orientation in _REVERSED_COLUMNS)),
            gain_map=_gain_map(header, file),
        )
        yield (height, width, 4 if pixels.has_alpha else 3), dtype, image
        strips = _upright_strips(pixels, orientation)
        yield from fill_transparent(strips) if pixels.has_alpha else strips
        after = os.fstat(file.fileno())
        # A file in use gets a new time every few seconds, so that it is not deleted. That is no change of its content.
        # The checksum and the header were read before the pixels, so either could belong to other content.
        is_touched = (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size)
        if is_touched and (_sha256(file) != sha256 or read_header(file, max_pixels=max_pixels) != header):
            raise ValueError("the file changed while it was read")


def _gain_map(header: Header, file: BinaryIO) -> GainMap | None:
    """Return the gain map in orientation 1, at most MAX_PIXELS; None if there is none or it is damaged."""
    found = header.gain_map
    if found is None:
        return None
    try:
        with _open_map(file, found.position) as image:
            values = np.asarray(image if image.mode == "L" else image.convert("RGB"))
    except Exception as error:  # The photo itself can be read.
        logger.info("The gain map cannot be decoded: %s", error)
        return None
    factor = math.ceil(math.sqrt(found.width * found.height / MAX_PIXELS))
    values = block_means(values, factor) if factor > 1 else values
    values = from_apple(values, found.headroom) if found.headroom else values
    return GainMap(np.ascontiguousarray(_upright(values, header.orientation)), found)


def _open_map(file: BinaryIO, position: tuple[int, int] | int) -> Image.Image:
    if isinstance(position, int):
        return open_auxiliary(file, position).to_pillow()
    start, length = position
    file.seek(start)
    return open_with_pillow("JPEG", io.BytesIO(file.read(length)))


def _sha256(file: BinaryIO) -> str:
    return hashlib.sha256(map_file(file)).hexdigest()


def _upright_strips(pixels: Pixels, orientation: int) -> Iterator[np.ndarray]:
    """Yield strips of the image [n, W, 3 or 4] with the EXIF orientation applied."""
    height, width = (pixels.width, pixels.height) if orientation >= 5 else (pixels.height, pixels.width)
    count = BLOCK if pixels.has_alpha else max(1, _STRIP_PIXELS // width)
    for first in range(0, height, count):
        last = min(first + count, height)
        low, high = (height - last, height - first) if orientation in _REVERSED_ROWS else (first, last)
        columns = Box(low, 0, high - low, pixels.height)
        box = columns if orientation >= 5 else Box(0, low, pixels.width, high - low)
        values = _upright(pixels.part(box), orientation)
        channels = [0, 0, 0, 1][: 4 if pixels.has_alpha else 3]
        yield np.ascontiguousarray(values[..., channels] if pixels.grey else values)


def _budget(header: Header, size: int) -> DecodeBudget:
    pixels = header.width * header.height
    known, other = (_DEEP_BYTES_PER_PIXEL, _OTHER_DEEP_BYTES) if header.bits > 8 else (_BYTES_PER_PIXEL, _OTHER_BYTES)
    each = known.get(header.format, other)
    width, height = header.upright_size
    fill = _FILL_BYTES * width * min(2 * BLOCK, height) if header.has_alpha else 0
    attached = header.gain_map.width * header.gain_map.height if header.gain_map else 0
    more = fill + attached * _BYTES_PER_PIXEL["JPEG"] + 2 * size
    pace = _DEEP_SECONDS_PER_MEGAPIXEL if header.bits > 8 else _SECONDS_PER_MEGAPIXEL
    return DecodeBudget(pixels * each + more, _SECONDS + pace * (pixels + attached) / 1e6)


@contextmanager
def _open_checked(path: Path, max_pixels: int, max_bytes: int | None) -> Iterator[tuple[BinaryIO, int]]:
    """Open the file and return it with its size in bytes. Raises PictureError."""
    limit = max_pixels * _MAX_BYTES_PER_PIXEL + _MAX_METADATA_BYTES if max_bytes is None else max_bytes
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise PictureError("image_folder")
        if not stat.S_ISREG(about.st_mode):
            raise PictureError("image_no_file")
        if about.st_size == 0:
            raise PictureError("image_empty")
        if about.st_size > limit:
            megabytes = f"{about.st_size / 1e6:,.1f}"
            raise PictureError("image_too_many_bytes", megabytes=megabytes, limit=f"{limit / 1e6:,.1f}")
        file = path.open("rb")
    except FileNotFoundError:
        raise PictureError("image_missing") from None
    except PermissionError:
        raise PictureError("image_no_permission") from None
    except (OSError, ValueError) as error:
        raise PictureError("image_unopened", reason=error) from error
    with file:
        yield file, about.st_size


@contextmanager
def _picture_errors(name: str) -> Iterator[None]:
    """Convert every exception to a PictureError with the file's name."""
    try:
        yield
    except PictureError as error:
        error.values.setdefault("name", name)
        raise
    except Exception as error:  # Decoders raise almost any type for crafted files.
        if is_memory_short(error):
            raise PictureError("image_too_much_memory", name=name) from error
        logger.info("An image cannot be decoded: %s", error)
        if isinstance(error, EOFError) or "truncated" in str(error):
            raise PictureError("image_incomplete", name=name) from error
        raise PictureError("image_damaged", name=name) from error


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation (EXIF 2.32, tag 0x0112) to pixels [h, w] or [h, w, C]."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in _REVERSED_ROWS:
        values = values[::-1]
    if orientation in _REVERSED_COLUMNS:
        values = values[:, ::-1]
    return values


def _upright_table(table: tuple[int, ...], orientation: int) -> tuple[int, ...]:
    """Return a quantisation table, 64 steps row by row, for the image with the EXIF orientation applied."""
    if not table or orientation < 5:
        return table
    return tuple(np.reshape(table, (8, 8)).T.ravel().tolist())


class _Parent:
    """The connection to the parent process over standard input and output."""

    def __init__(self) -> None:
        self._sink = os.fdopen(os.dup(1), "wb")  # a copy, because `serve` redirects standard output
        self._received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        records: Any = SimpleNamespace(put_nowait=self.send)
        hide_messages()
        log = logging.getLogger("enhance")
        log.addHandler(QueueHandler(records))
        log.setLevel(logging.INFO)
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: object) -> None:
        """Send an answer or a log record."""
        pickle.dump(message, self._sink, protocol=5)  # Protocol 5 does not copy arrays.
        self._sink.flush()

    def receive(self) -> Any:
        return self._received.get()

    def _listen(self) -> None:
        """Read in a thread of its own, so that the process ends with its parent even while it decodes."""
        with suppress(Exception):
            while True:
                self._received.put(pickle.load(sys.stdin.buffer))
        os._exit(0)


def serve() -> None:
    """Answer requests of the parent process until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = _Parent()
    for number in (1, 2):  # Libraries print here. This comes last, so that an error at the start is still printed.
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
        _limit_memory(4 * path.stat().st_size)  # for the header, until the budget of the pixels is known
    if task == "inspect":
        parent.send(read_facts(path, max_pixels, max_bytes))
        return
    if task == "variants":
        parent.send(read_variants(path))
        return
    for message in decode(path, max_pixels, max_bytes, begin):
        parent.send(message)
    parent.send(None)


def _limit_memory(more: int) -> None:
    """Limit the address space to its present size, `more` bytes and a reserve; only on Linux."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = psutil.Process().memory_info().vms + more + _EXTRA_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
