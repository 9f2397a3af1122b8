"""A file becomes pixels: limits, orientation, colour profile, alpha and 16 bits, with one clear sentence if it cannot.

This is what the worker process does, because a made-up file can make a decoder hang, crash or fill the memory. The rest
of the program calls `inspect` and `read_picture` of `worker`.
"""

from __future__ import annotations

import hashlib
import io
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
from dataclasses import dataclass, fields
from logging.handlers import QueueHandler
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import psutil

from ..errors import PictureError, is_memory_short
from .chunks import pixel_chunks, scan_chunks
from .colour import Pixels, bleed, deep_pixels, pixels_from_pillow, profile_name, uninverted_cmyk
from .header import Header, open_with_pillow, read_header
from .picture import Facts, Picture

logger = logging.getLogger(__name__)

# Pillow warns of odd metadata. One filter, set once: warnings.catch_warnings is not safe with several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

_ROOM = (512 << 20) + (os.cpu_count() or 1) * (16 << 20)  # of address space: threads' stacks, allocators' reserves

# At the peak, as measured for each kind of file with alpha; Pillow keeps RGB in four bytes, and then it is copied.
_BYTES_PER_PIXEL = {"JPEG": 18, "WEBP": 28, "AVIF": 26, "HEIF": 26}
_OTHER_BYTES, _DEEP_BYTES, _DEEPEST_BYTES = 22, 70, 140

# The slowest here, on one slow core: 0.15 s a megapixel of 8 bits, and 0.8 s of 64.
_SECONDS, _SECONDS_PER_MEGAPIXEL, _DEEP_SECONDS_PER_MEGAPIXEL = 10.0, 0.5, 1.5

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
        has_location=header.metadata.has_location,
    )


def decode(path: Path, max_pixels: int, max_bytes: int | None, begin: Callable[[Need], None]) -> Picture:
    """The decoded picture; of an animation or a file with several pages, the first.

    `begin` is told what it takes before any decoder is. `max_bytes` None is as many bytes as so many pixels can take.
    Raises PictureError with one sentence for a person.
    """
    with _one_sentence(path.name or str(path)):
        with _opened(path, max_pixels, max_bytes) as (file, size):
            header = read_header(file, max_pixels=max_pixels)
            begin(_need(header, size))
            file.seek(0)
            data = file.read(size)
        pixels = deep_pixels(header, data) if header.deep else _pillow_pixels(header, data)
        if pixels.colour.shape[0] * pixels.colour.shape[1] != header.width * header.height:
            raise ValueError(f"{pixels.colour.shape} came out, {header.width} x {header.height} was announced")
        # both TIFF decoders have turned it already
        orientation = 1 if header.format == "TIFF" else header.orientation
        colour = _upright(pixels.colour, orientation)
        alpha = None if pixels.alpha is None else _upright(pixels.alpha, orientation)
        rgb = colour if colour.ndim == 3 else np.repeat(colour[..., None], 3, axis=2)
        if alpha is not None:
            rgb, alpha = np.require(rgb, requirements=["C", "W"]), np.ascontiguousarray(alpha)
            bleed(rgb, alpha)
        return Picture(
            name=path.name,
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            format=header.format,
            mode=header.mode,
            rgb=np.ascontiguousarray(rgb),
            alpha=alpha,
            grey=colour.ndim == 2,
            icc=pixels.icc,
            metadata=header.metadata.upright(),
        )


def _need(header: Header, size: int) -> Need:
    pixels = header.width * header.height
    if header.deep:
        each = _DEEPEST_BYTES if header.mode.endswith("64F") else _DEEP_BYTES
    else:
        each = _BYTES_PER_PIXEL.get(header.format, _OTHER_BYTES)
    pace = _DEEP_SECONDS_PER_MEGAPIXEL if header.deep else _SECONDS_PER_MEGAPIXEL
    return Need(pixels, pixels * each + 2 * size, _SECONDS + pace * pixels / 1e6)


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
    return values


class _Line:
    """The child's end of the conversation: what it says goes with the notes that were logged since."""

    def __init__(self) -> None:
        self._sink = os.fdopen(os.dup(1), "wb")
        self._heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._notes: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        log = logging.getLogger("enhance")
        log.addHandler(QueueHandler(self._notes))
        log.setLevel(logging.INFO)
        threading.Thread(target=self._listen, daemon=True).start()

    def answer(self, what: object, *arrays: np.ndarray) -> None:
        notes = []
        while not self._notes.empty():
            note = self._notes.get()
            notes.append((note.name, note.levelno, note.getMessage()))
        pickle.dump((what, notes), self._sink)
        for values in arrays:
            self._sink.write(values.reshape(-1).view(np.uint8).data)
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
    picture = decode(path, max_pixels, max_bytes, begin)
    arrays = {name: values for name in ("rgb", "alpha") if (values := getattr(picture, name)) is not None}
    facts = {one.name: getattr(picture, one.name) for one in fields(picture) if one.name not in ("rgb", "alpha")}
    facts |= {"alpha": None, "arrays": {name: (values.shape, values.dtype.str) for name, values in arrays.items()}}
    line.answer(facts, *arrays.values())


def _limit_memory(more: int) -> None:
    """Let the process take so many bytes more than it has, and some room; only Linux counts them."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = psutil.Process().memory_info().vms + more + _ROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
