"""A decoded picture, what its file's header told, a rectangle in it, and such pictures kept for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np

from .metadata import Metadata

_LAPLACIANS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_STEPS = 8
_STRIP, _STRIP_PIXELS = 256, 1 << 21
_LEAST_STRIP = 32

# Two octaves of an edge: what the first blur takes off it, and what the second takes of the rest. Of photos that were
# made small by averaging the first has half of the second's energy or more, after a blur of 1 px a fifth or less.
_OCTAVES = 0.7, 1.6
_OCTAVES_HALO = 10
_SHARP, _SOFT = 0.5, 0.2
_NO_EDGES = 1.0


@dataclass(frozen=True)
class Facts:
    """What a file's header tells. `width` and `height` are what one sees, after the EXIF orientation (1..8) is applied.

    `mode` is Pillow's word, or one like "RGB;16" for what Pillow cannot hold; `bits` a channel, 8 or 16, that reading
    gives; `profile` the ICC profile's own name; `frames` 1 unless animated or of several pages (the first is used);
    `has_location` whether its metadata tell where it was taken.
    """

    name: str
    bytes: int
    format: str
    mode: str
    width: int
    height: int
    bits: int
    orientation: int
    profile: str | None
    has_alpha: bool
    frames: int
    has_location: bool = False


@dataclass(frozen=True)
class Box:
    """A rectangle in input pixels."""

    left: int
    top: int
    width: int
    height: int

    def grown(self, margin: int, width: int, height: int) -> Box:
        """The box with `margin` more on every side, inside a picture of `width` x `height`."""
        left, top = max(self.left - margin, 0), max(self.top - margin, 0)
        right, bottom = min(self.left + self.width + margin, width), min(self.top + self.height + margin, height)
        return Box(left, top, right - left, bottom - top)

    def on_grid(self, step: int, width: int, height: int) -> Box:
        """The box grown to whole blocks of `step` x `step`, or to the border of a picture of `width` x `height`."""
        left, top = self.left // step * step, self.top // step * step
        right, bottom = (-(-end // step) * step for end in (self.left + self.width, self.top + self.height))
        return Box(left, top, min(right, width) - left, min(bottom, height) - top)

    def reduced(self, factor: int) -> Box:
        """The blocks that the box touches, of a picture averaged down by `factor`."""
        height, width = reduced_size(self.height, self.width, factor)
        return Box(self.left // factor, self.top // factor, width, height)


@dataclass(frozen=True)
class Measurements:
    """What a photo suffers from: noise, a standard deviation in levels of 8 bits, and softness, 0 to 1."""

    noise: float = 0.0
    softness: float = 0.0


FLAWLESS = Measurements()


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, the right way up.

    `rgb` is uint8 or uint16 [H, W, 3], R, G, B, in the space of the profile `icc` (None: sRGB). `alpha` is [H, W] of
    the same dtype, 0 transparent, not multiplied into rgb; rgb under alpha 0 has the nearest visible colour. `grey`:
    the three channels are equal, and the output shall be grey. `icc` and `metadata` are for the output: the profile
    fits its colour type, the metadata say orientation 1 and have no thumbnail. `format`, `mode`, `bytes` and `sha256`
    describe the file.
    """

    name: str
    sha256: str
    bytes: int
    format: str
    mode: str
    rgb: np.ndarray
    alpha: np.ndarray | None
    grey: bool
    icc: bytes | None
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def width(self) -> int:
        return self.rgb.shape[1]

    @property
    def height(self) -> int:
        return self.rgb.shape[0]

    @property
    def levels(self) -> int:
        """The highest value of a channel: 255 or 65535."""
        return int(np.iinfo(self.rgb.dtype).max)

    @property
    def bits(self) -> int:
        return self.rgb.dtype.itemsize * 8

    @cached_property
    def noise(self) -> float:
        """The standard deviation of the noise, in levels of 8 bits, from what two crossed Laplacians leave of it.

        Immerkaer, "Fast Noise Variance Estimation", 1996, with the median for the mean, which edges move less.
        """
        counts = np.zeros(16 * 256 * _STEPS, np.int64)
        for first, last in self._strips():
            low, high = max(first - 1, 0), min(last + 1, self.height)
            grey = cv2.cvtColor(self.rgb[low:high].astype(np.float32), cv2.COLOR_RGB2GRAY)
            ripple = cv2.filter2D(grey, -1, _LAPLACIANS * (_STEPS * 255 / self.levels))[first - low :][: last - first]
            counts += np.bincount(np.abs(ripple).astype(np.int32).ravel(), minlength=len(counts))
        middle = int(np.searchsorted(np.cumsum(counts), self.width * self.height / 2))
        return middle / _STEPS / 0.6745 / 6

    @cached_property
    def softness(self) -> float:
        """0 for a picture that is sharp at its own size, 1 for one as soft as if it had been blurred by 1 px or more.

        It is what the finer of two octaves has of the other's energy, where that is strong: noise has no say there.
        """
        fine = broad = 0.0
        for first, last in self._strips():
            low = max(first - _OCTAVES_HALO, 0)
            rows = self.rgb[low : last + _OCTAVES_HALO].astype(np.float32) * np.float32(255 / self.levels)
            grey = cv2.cvtColor(rows, cv2.COLOR_RGB2GRAY)
            once, twice = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in _OCTAVES)
            broader = cv2.absdiff(once, twice) ** 2
            weight = cv2.blur(broader, (5, 5))
            inside = slice(first - low, last - low)
            fine += float((weight * (grey - once) ** 2)[inside].sum(dtype=float))
            broad += float((weight * broader)[inside].sum(dtype=float))
        if broad < _NO_EDGES * self.width * self.height:
            return 0.0
        return float(np.clip((_SHARP - fine / broad) / (_SHARP - _SOFT), 0, 1))

    def _strips(self) -> Iterator[tuple[int, int]]:
        """Rows [first, last) from top to bottom, the fewer the wider the picture."""
        count = max(_LEAST_STRIP, min(_STRIP, _STRIP_PIXELS // self.width))
        return ((first, min(first + count, self.height)) for first in range(0, self.height, count))

    @property
    def flaws(self) -> Measurements:
        return Measurements(self.noise, self.softness)

    def cut(self, box: Box) -> Picture:
        """The part inside `box`, copied so that it does not keep the whole in memory; the facts of the file stay."""
        rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        alpha = None if self.alpha is None else self.alpha[rows, columns].copy()
        return replace(self, rgb=self.rgb[rows, columns].copy(), alpha=alpha)

    def reduced(self, factor: int) -> Picture:
        """The means of blocks of `factor` x `factor` pixels, in the picture's own type; the facts of the file stay.

        The last one is kept with the picture: every preview asks for it, and for its flaws.
        """
        if factor == 1:
            return self
        kept = self._last_reduced.get(factor)
        if kept is None:
            alpha = None if self.alpha is None else _averaged(self.alpha, factor)
            kept = replace(self, rgb=_averaged(self.rgb, factor), alpha=alpha)
            self._last_reduced.clear()
            self._last_reduced[factor] = kept
        return kept

    @cached_property
    def _last_reduced(self) -> dict[int, Picture]:
        """By its factor, the one that was asked for last."""
        return {}

    @property
    def kept_bytes(self) -> int:
        """What its pixels take in memory, those of the reduced one with them."""
        own = self.rgb.nbytes + (0 if self.alpha is None else self.alpha.nbytes)
        return own + sum(one.kept_bytes for one in list(self._last_reduced.values()))


@dataclass(eq=False)
class _Kept:
    picture: Picture
    until: float


class ImageCache:
    """Decoded pictures that may be needed again in a moment.

    Keeps at most `most_bytes` of pixels, each for `seconds` after its last use; a larger picture is never kept.
    """

    def __init__(self, most_bytes: int = 400_000_000, seconds: float = 300):
        self._most_bytes, self._seconds = most_bytes, seconds
        self._lock = threading.Lock()
        self._kept: dict[Hashable, _Kept] = {}
        self._reading: dict[Hashable, Future[Picture]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def picture(self, key: Hashable, read: Callable[[], Picture]) -> Picture:
        """The picture kept under `key`, else the one that `read` gives; several threads share one call of `read`."""
        with self._lock:
            kept = self._kept.pop(key, None)
            shared = None if kept else self._reading.get(key)
            own = self._reading.setdefault(key, Future()) if kept is None and shared is None else None
        if shared is not None:
            return shared.result()
        if own is None:
            assert kept is not None
            picture = kept.picture
        else:
            picture = self._read(key, own, read)
        if picture.kept_bytes <= self._most_bytes:
            self._keep(key, picture)
        return picture

    def _read(self, key: Hashable, reading: Future[Picture], read: Callable[[], Picture]) -> Picture:
        try:
            picture = read()
        except BaseException as error:
            reading.set_exception(error)
            raise
        else:
            reading.set_result(picture)
            return picture
        finally:
            with self._lock:
                del self._reading[key]

    def drop(self, key: Hashable) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def sweep(self) -> None:
        """Drop what was not used for long."""
        now = time.monotonic()
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if kept.until > now}

    def _keep(self, key: Hashable, picture: Picture) -> None:
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = _Kept(picture, time.monotonic() + self._seconds)
            while sum(kept.picture.kept_bytes for kept in self._kept.values()) > self._most_bytes:
                self._kept.pop(next(iter(self._kept)))


def reduced_size(height: int, width: int, factor: int) -> tuple[int, int]:
    """Height and width after averaging down: what is left of a block at the right and lower border counts too."""
    return -(-height // factor), -(-width // factor)


def _averaged(pixels: np.ndarray, factor: int) -> np.ndarray:
    """The mean of each block, at the right and lower border of as much of it as there is."""
    height, width = pixels.shape[:2]
    means = np.empty((*reduced_size(height, width, factor), *pixels.shape[2:]), pixels.dtype)
    for rows, down in _whole_and_rest(height, factor, _STRIP):
        for columns, across in _whole_and_rest(width, factor, width):
            part = means[down, across]
            part[...] = cv2.resize(pixels[rows, columns], part.shape[1::-1], interpolation=cv2.INTER_AREA)
    return means


def _whole_and_rest(length: int, factor: int, most: int) -> Iterator[tuple[slice, slice]]:
    """The pixels of `most` whole blocks at a time and what is left after them all, and which means that makes."""
    blocks = length // factor
    for first in range(0, blocks, most):
        last = min(first + most, blocks)
        yield slice(first * factor, last * factor), slice(first, last)
    if blocks * factor < length:
        yield slice(blocks * factor, length), slice(blocks, blocks + 1)
