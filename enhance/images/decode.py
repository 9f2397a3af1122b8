"""A file becomes pixels: limits, orientation, colour profile, alpha and 16 bits, with one clear sentence if it cannot.

This is what the worker process does, because a made-up file can make a decoder hang, crash or fill the memory. The rest
of the program calls `inspect` and `read_picture` of `worker`.

The upright picture leaves by strips, and is never whole here in its final form. What a decoder makes is: Pillow takes
one, three or four bytes a pixel for it. Only PNGs are decoded by rows.
"""

from __future__ import annotations

import hashlib
import logging
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
from typing import Any, BinaryIO

import numpy as np
import psutil

from ..errors import PictureError, is_memory_short
from ..logs import hide_messages
from .colour import BLOCK, Pixels, bled, deep_pixels, pillow_pixels, profile_name
from .containers import content_of
from .header import Header, read_header
from .image import Box, Facts

logger = logging.getLogger(__name__)

# Pillow warns of odd metadata. One filter, set once: warnings.catch_warnings is not safe with several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

_ROOM = (512 << 20) + (os.cpu_count() or 1) * (16 << 20)  # of address space: threads' stacks, allocators' reserves

# At the peak, as measured for the worst of each kind: a progressive CMYK JPEG, a lossless WebP, an AVIF of full colour,
# a TIFF in one piece, of four numbers of 32 or 64 bits. PNGs come by rows, unless they are interlaced or to be turned.
_BYTES_PER_PIXEL = {"JPEG": 12, "WEBP": 18, "AVIF": 16, "HEIF": 12}
_OTHER_BYTES, _DEEP_PNG_BYTES, _DEEP_BYTES, _DEEPEST_BYTES = 10, 18, 34, 68
_BLED_BYTES = 48  # a pixel of the rows in which colour is found for the transparent ones

# The slowest here, on one slow core: 0.15 s a megapixel of 8 bits, and 0.8 s of 64.
_SECONDS, _SECONDS_PER_MEGAPIXEL, _DEEP_SECONDS_PER_MEGAPIXEL = 10.0, 0.5, 1.5

_STRIP_PIXELS = 1 << 20

_MOST_BYTES_PER_PIXEL = 8  # 16 bit RGBA without compression
_ROOM_FOR_METADATA = 64 << 20


@dataclass(frozen=True)
class Need:
    """What decoding a picture takes: its pixels, and bytes of memory and seconds at the most."""

    pixels: int
    memory: int
    seconds: float


def look(path: Path, max_pixels: int, max_bytes: int | None) -> Facts:
    """What the file's header tells, without decoding a pixel.

    Raises PictureError with one sentence for a person.
    """
    with _one_sentence(path.name or str(path)), _opened(path, max_pixels, max_bytes) as (file, size):
        header = read_header(file, max_pixels=max_pixels, count_frames=True, only_head=True)
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
        has_location=header.metadata.has_location,
    )


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture whose pixels are still to come, and what is known of it: all of a `Picture` but rgb and alpha.

    `strips` gives [n, W, 3 or 4], uint8 or uint16, from top to bottom: RGB, and alpha if there is any.
    """

    shape: tuple[int, int, int]
    dtype: str
    facts: dict[str, Any]
    strips: Iterator[np.ndarray]


def decode(path: Path, max_pixels: int, max_bytes: int | None, begin: Callable[[Need], None]) -> Decoded:
    """The decoded picture by strips; of an animation or a file with several pages, the first.

    `begin` is told what it takes before any decoder is. `max_bytes` None is as many bytes as so many pixels can take.
    Raises PictureError with one sentence for a person, also while its strips are taken.
    """
    strips = _decoding(path, max_pixels, max_bytes, begin)
    shape, dtype, facts = next(strips)
    return Decoded(shape, dtype, facts, strips)


def _decoding(path: Path, max_pixels: int, max_bytes: int | None, begin: Callable[[Need], None]) -> Iterator[Any]:
    """Shape, type and facts of the picture, and then its strips."""
    with _one_sentence(path.name or str(path)), _opened(path, max_pixels, max_bytes) as (file, size):
        before = os.fstat(file.fileno())
        header = read_header(file, max_pixels=max_pixels)
        begin(_need(header, size))
        pixels = deep_pixels(header, file) if header.deep else pillow_pixels(header, file)
        if pixels.height * pixels.width != header.width * header.height:
            announced = f"{header.width} x {header.height} was announced"
            raise ValueError(f"{pixels.width} x {pixels.height} came out, {announced}")
        # both TIFF decoders have turned it already
        orientation = 1 if header.format == "TIFF" else header.orientation
        height, width = pixels.height, pixels.width
        upright = (width, height) if orientation >= 5 else (height, width)
        facts = {
            "name": path.name,
            "sha256": hashlib.sha256(content_of(file)).hexdigest(),
            "bytes": size,
            "format": header.format,
            "mode": header.mode,
            "grey": pixels.grey,
            "icc": pixels.icc,
            "metadata": header.metadata.upright(),
        }
        yield (*upright, 4 if pixels.has_alpha else 3), "uint16" if pixels.deep else "uint8", facts
        strips = _upright_strips(pixels, orientation)
        yield from bled(strips) if pixels.has_alpha else strips
        after = os.fstat(file.fileno())
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise ValueError("it was changed while it was read")


def _upright_strips(pixels: Pixels, orientation: int) -> Iterator[np.ndarray]:
    """The picture's rows [n, W, 3 or 4] in order, turned as the EXIF orientation asks."""
    height, width = (pixels.width, pixels.height) if orientation >= 5 else (pixels.height, pixels.width)
    count = BLOCK if pixels.has_alpha else max(1, _STRIP_PIXELS // width)
    for first in range(0, height, count):
        last = min(first + count, height)
        low, high = (height - last, height - first) if orientation in (3, 4, 7, 8) else (first, last)
        columns = Box(low, 0, high - low, pixels.height)
        box = columns if orientation >= 5 else Box(0, low, pixels.width, high - low)
        values = _upright(pixels.part(box), orientation)
        channels = [0, 0, 0, 1][: 4 if pixels.has_alpha else 3]
        yield np.ascontiguousarray(values[..., channels] if pixels.grey else values)


def _need(header: Header, size: int) -> Need:
    pixels = header.width * header.height
    each = _BYTES_PER_PIXEL.get(header.format, _OTHER_BYTES)
    if header.deep:
        each = _DEEPEST_BYTES if header.mode.endswith("64F") else _DEEP_BYTES
        each = _DEEP_PNG_BYTES if header.format == "PNG" else each
    width, height = header.upright_size
    bled = _BLED_BYTES * width * min(4 * BLOCK, height) if header.has_alpha else 0
    pace = _DEEP_SECONDS_PER_MEGAPIXEL if header.deep else _SECONDS_PER_MEGAPIXEL
    return Need(pixels, pixels * each + bled + 2 * size, _SECONDS + pace * pixels / 1e6)


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
    except Exception as error:  # decoders raise nearly every type there is when a file is damaged on purpose
        if is_memory_short(error):
            raise PictureError("picture_too_much_memory", name=name) from error
        logger.info("An image cannot be decoded: %s", error)
        if isinstance(error, EOFError) or "truncated" in str(error):
            raise PictureError("picture_cut_off", name=name) from error
        raise PictureError("picture_damaged", name=name) from error


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """[h, w, C] turned and mirrored as the EXIF orientation asks (EXIF 2.32, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


class _Line:
    """The child's end of the conversation: what it says goes with the notes that were logged since."""

    def __init__(self) -> None:
        self._sink = os.fdopen(os.dup(1), "wb")
        self._heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._notes: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        hide_messages()
        log = logging.getLogger("enhance")
        log.addHandler(QueueHandler(self._notes))
        log.setLevel(logging.INFO)
        threading.Thread(target=self._listen, daemon=True).start()

    def answer(self, what: object, pixels: np.ndarray | None = None) -> None:
        notes = []
        while not self._notes.empty():
            note = self._notes.get()
            notes.append((note.name, note.levelno, note.getMessage()))
        pickle.dump((what, notes), self._sink)
        if pixels is not None:
            self._sink.write(pixels.reshape(-1).view(np.uint8).data)
        self._sink.flush()

    def hear(self) -> Any:
        return self._heard.get()

    def _listen(self) -> None:
        """Beside the decoder, so that the end of the parent is the end of the child, whatever it is doing."""
        with suppress(Exception):
            while True:
                self._heard.put(pickle.load(sys.stdin.buffer))
        os._exit(0)


def serve() -> None:
    """What the worker process does: one request after the other, until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = _Line()
    for number in (1, 2):  # the libraries' own messages, once nothing of ours can fail any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    line.answer("ready")
    while True:
        try:
            _answer(line, *line.hear())
        except PictureError as error:
            line.answer(error)


def _answer(line: _Line, task: str, path: Path, max_pixels: int, max_bytes: int | None) -> None:
    def begin(need: Need) -> None:
        line.answer(need)
        if not line.hear():
            raise PictureError("picture_memory_short")
        _limit_memory(need.memory * 5 // 4)

    with suppress(OSError, ValueError):
        _limit_memory(4 * path.stat().st_size)
    if task == "look":
        line.answer(look(path, max_pixels, max_bytes))
        return
    decoded = decode(path, max_pixels, max_bytes, begin)
    line.answer((decoded.shape, decoded.dtype, decoded.facts))
    for strip in decoded.strips:
        line.answer(len(strip), strip)
    line.answer(0)


def _limit_memory(more: int) -> None:
    """Let the process take so many bytes more than it has, and some room; only Linux counts them."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = psutil.Process().memory_info().vms + more + _ROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
