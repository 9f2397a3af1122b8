"""Data classes: the facts of an image file, a rectangle, a decoded image; and a cache of decoded
images."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np

from ..metadata import Metadata
from ..metadata.gain_map import GainMap
from .downscaling import Span, block_means, ceil_div, downscaled_size, spans

_LAPLACIANS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_LAPLACIAN_NORM = 6
"""The norm of their weights, by which the Laplacians multiply the standard deviation of white
noise."""
_NORMAL_MEDIAN = 0.6745
"""The median absolute value of normal noise with a standard deviation of 1."""
_BINS_PER_LEVEL = 8
_BINS = 16 * 512 * _BINS_PER_LEVEL
_WHITE_SHARE = 3 / 16
"""The share of the variance of colour noise to ignore. At half the size, a quarter of the variance
of white noise is left."""
# Colour noise below the first value can be detail of the photo. A JPEG contains less colour detail
# than other files, but only a part of the colour noise of its photo, hence the factors.
_COLOUR_DETAIL = 1.5
_COLOUR_FACTOR = 1.5
_COLOUR_DETAIL_OF_JPEG = 1.0
_COLOUR_FACTOR_OF_JPEG = 3.0
_GREY = np.array([[0.299, 0.587, 0.114]], np.float32)
_RED_MINUS_GREEN = np.array([[1, -1, 0]], np.float32)
_BLUE_MINUS_GREEN = np.array([[0, -1, 1]], np.float32)
_STRIP_ROWS = 256
_MIN_STRIP_ROWS = 32
_STRIP_PIXELS = 1 << 21

# Two octaves of edges: what a first blur removes, and what a second one removes from the rest. In
# photos that were downscaled by averaging the first has at least half of the second's energy, after
# a blur of 1 px at most a fifth.
_FINE_SIGMA = 0.7
_COARSE_SIGMA = 1.6
BLUR_MARGIN = 10
"""At least the sum of the radii of the wider blur, 7, and of the mean of the weights, 2."""
_SHARP_RATIO = 0.5
_SOFT_RATIO = 0.2
_NO_EDGES = 1.0
"""The energy of the coarser octave per pixel, below which an image has no edges."""


@dataclass(frozen=True)
class Facts:
    """Facts in the header of a file.

    `width` and `height` are those after the EXIF orientation (1 to 8) is applied. `mode` is
    Pillow's, or one like "RGB;16" for what Pillow cannot hold; `bits` per channel, 8 or 16, are
    those after decoding; `profile` is the name in the ICC profile; `frames` is 1 unless the file is
    animated or has several pages, of which the first is used; `dpi` is the resolution that the file
    states.
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
    dpi: float | None = None


@dataclass(frozen=True)
class Box:
    """A rectangle in input pixels."""

    left: int
    top: int
    width: int
    height: int

    def expand(self, margin: int, width: int, height: int) -> Box:
        """Return the box with a margin on every side, within an image of `width` x `height`."""
        left = max(self.left - margin, 0)
        top = max(self.top - margin, 0)
        right = min(self.left + self.width + margin, width)
        bottom = min(self.top + self.height + margin, height)
        return Box(left, top, right - left, bottom - top)

    def align_to_grid(self, step: int, width: int, height: int) -> Box:
        """Return the box enlarged to whole blocks of `step` x `step` px, within an image."""
        left = self.left // step * step
        top = self.top // step * step
        right = min(ceil_div(self.left + self.width, step) * step, width)
        bottom = min(ceil_div(self.top + self.height, step) * step, height)
        return Box(left, top, right - left, bottom - top)

    def downscale(self, factor: int) -> Box:
        """Return the same region of the downscaled image; the box must be on its grid."""
        height, width = downscaled_size(self.height, self.width, factor)
        return Box(self.left // factor, self.top // factor, width, height)


@dataclass(frozen=True)
class Degradation:
    """Degradation of a photo: noise and colour noise, in levels of 8 bits, and softness, 0 to 1.

    Colour noise is the part that differs between the channels; 0 if it could be detail.
    """

    noise: float = 0.0
    softness: float = 0.0
    colour_noise: float = 0.0


NO_DEGRADATION = Degradation()


@dataclass(frozen=True, eq=False)
class SourceImage:
    """A decoded image in orientation 1.

    `rgb` is uint8 or uint16 [H, W, 3] in the colour space of the profile `icc` (None: sRGB).
    `alpha` is [H, W] of the same dtype, 0 transparent, not premultiplied; pixels with alpha 0 have
    the nearest visible colour. `grey`: the three channels are equal, and the result has to be grey.
    `icc` and `metadata` are for the result: the profile fits its colour type, the metadata state
    orientation 1 and have no thumbnail. `variants` are the part of the metadata that each of
    `metadata.CHOICES` keeps. The other fields describe the file.
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
    variants: Mapping[str, Metadata] = field(default_factory=Metadata().variants)
    jpeg_table: tuple[int, ...] = ()
    """The luminance quantisation table of a JPEG, 64 steps row by row; empty for other formats."""
    jpeg_chroma_table: tuple[int, ...] = ()
    """The chrominance table; also empty for a JPEG without colour."""
    first_block: tuple[int, int] = (0, 0)
    """The first row and column, 0 to 7, where a block of a JPEG begins."""
    gain_map: GainMap | None = None
    """The HDR gain map of the whole photo, also of a part."""

    @property
    def metadata(self) -> Metadata:
        return self.variants["keep"]

    @property
    def width(self) -> int:
        return self.rgb.shape[1]

    @property
    def height(self) -> int:
        return self.rgb.shape[0]

    @property
    def levels(self) -> int:
        """Highest value of a channel: 255 or 65535."""
        return int(np.iinfo(self.rgb.dtype).max)

    @property
    def bits(self) -> int:
        return self.rgb.dtype.itemsize * 8

    def rows(self, first: int, last: int, columns: slice = slice(None)) -> np.ndarray:
        """Return the rows [first, last) with their alpha, if there is any, [n, W, 3 or 4], or some
        columns of them."""
        colour = self.rgb[first:last, columns]
        if self.alpha is None:
            return colour
        return np.dstack([colour, self.alpha[first:last, columns]])

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the noise, in levels of 8 bits, from the response to two crossed
        Laplacians.

        Immerkaer, "Fast Noise Variance Estimation", 1996, with the median, which edges change less
        than the mean.
        """
        return self._noise_of(_GREY)

    @cached_property
    def colour_noise(self) -> float:
        """Colour noise that survives the networks, as standard deviation in levels of 8 bits.

        The networks remove most of the white noise, but not the correlated noise of a camera, which
        is stronger at half the size. Of two differences between channels, the one with less noise
        counts, because a photo can have colour detail in the other one.
        """
        full = self._colour_noise_at(1)
        half = self._colour_noise_at(2)
        variance = half**2 - _WHITE_SHARE * full**2
        noise = math.sqrt(max(variance, 0))
        if self.jpeg_table:
            return _COLOUR_FACTOR_OF_JPEG * max(noise - _COLOUR_DETAIL_OF_JPEG, 0)
        return _COLOUR_FACTOR * max(noise - _COLOUR_DETAIL, 0)

    def _colour_noise_at(self, reduction: int) -> float:
        """Return the smaller noise of the two differences between channels.

        They are averaged down by `reduction`.
        """
        red = self._noise_of(_RED_MINUS_GREEN, reduction)
        blue = self._noise_of(_BLUE_MINUS_GREEN, reduction)
        return min(red, blue)

    def _noise_of(self, weights: np.ndarray, reduction: int = 1) -> float:
        """Return the noise of the sum of the channels with `weights` [1, 3].

        It is averaged down by `reduction`.
        """
        counts = np.zeros(_BINS, np.int64)
        kernel = _LAPLACIANS * (_BINS_PER_LEVEL * 255 / self.levels)
        for first, last in self._strips():
            low = max(first - reduction, 0)
            rows = self.rgb[low : last + reduction].astype(np.float32)
            plane = block_means(cv2.transform(rows, weights), reduction)
            start = (first - low) // reduction
            end = ceil_div(last - low, reduction)
            response = np.abs(cv2.filter2D(plane, -1, kernel)[start:end])
            counts += np.bincount(response.astype(np.int32).ravel(), minlength=_BINS)
        median = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
        return median / _BINS_PER_LEVEL / _NORMAL_MEDIAN / _LAPLACIAN_NORM

    @cached_property
    def softness(self) -> float:
        """Softness: 0 if sharp at its own size, 1 if as soft as after a blur of 1 px or more.

        Measured by the energy of the finer of two octaves, relative to the other, near strong
        edges, where noise has no influence.
        """
        fine = coarse = 0.0
        for first, last in self._strips():
            low = max(first - BLUR_MARGIN, 0)
            rows = self.rgb[low : last + BLUR_MARGIN].astype(np.float32)
            rows *= np.float32(255 / self.levels)
            inside = slice(first - low, last - low)
            fine_energy, coarse_energy = edge_energies(rows)
            fine += float(fine_energy[inside].sum(dtype=float))
            coarse += float(coarse_energy[inside].sum(dtype=float))
        return blur_of(fine, coarse, self.width * self.height)

    def _strips(self) -> Iterator[Span]:
        """Yield (first, last) rows of strips from top to bottom; `first` is even."""
        fitting = min(_STRIP_ROWS, _STRIP_PIXELS // self.width)
        count = max(_MIN_STRIP_ROWS, fitting)
        return spans(self.height, count // 2 * 2)

    @property
    def degradation(self) -> Degradation:
        return Degradation(self.noise, self.softness, self.colour_noise)

    def crop(self, box: Box) -> SourceImage:
        """Return a copy of the part inside `box`, which does not keep the whole in memory."""
        rows = slice(box.top, box.top + box.height)
        columns = slice(box.left, box.left + box.width)
        down, across = self.first_block
        first_block = ((down - box.top) % 8, (across - box.left) % 8)
        rgb = self.rgb[rows, columns].copy()
        alpha = self.alpha
        if alpha is not None:
            alpha = alpha[rows, columns].copy()
        return replace(self, rgb=rgb, alpha=alpha, first_block=first_block)

    def downscale(self, factor: int) -> SourceImage:
        """Return the image downscaled by averaging blocks of `factor` x `factor` pixels.

        The last one is cached, because every preview needs it and its measurements.
        """
        if factor == 1:
            return self
        cached = self._last_reduced.get(factor)
        if cached is not None:
            return cached
        rgb = block_means(self.rgb, factor)
        alpha = self.alpha
        if alpha is not None:
            alpha = block_means(alpha, factor)
        reduced = replace(self, rgb=rgb, alpha=alpha, jpeg_table=(), jpeg_chroma_table=())
        self._last_reduced.clear()
        self._last_reduced[factor] = reduced
        return reduced

    @cached_property
    def _last_reduced(self) -> dict[int, SourceImage]:
        return {}

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels and of the cached downscaled image."""
        total = self.rgb.nbytes
        if self.alpha is not None:
            total += self.alpha.nbytes
        if self.gain_map:
            total += self.gain_map.pixels.nbytes
        reduced = list(self._last_reduced.values())  # Another thread can change it.
        return total + sum(image.nbytes for image in reduced)


class ImageCache:
    """Cache of decoded images. Thread-safe.

    Holds at most `max_bytes` of pixels, each image for `seconds` after its last use; a larger image
    is never cached.
    """

    def __init__(self, max_bytes: int = 400_000_000, seconds: float = 300):
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._lock = threading.Lock()
        # Each with the time of its last use.
        self._entries: dict[Hashable, tuple[Future[SourceImage], float]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable, read: Callable[[], SourceImage]) -> SourceImage:
        """Return the image cached under `key`, else the one that `read` returns; threads share one
        call of `read`."""
        with self._lock:
            is_new = key not in self._entries
            future, _ = self._entries.pop(key, (Future[SourceImage](), 0.0))
            self._entries[key] = (future, time.monotonic())
        if is_new:
            try:
                future.set_result(read())
            except BaseException as error:
                # Before waiting threads continue, so that their next request reads again.
                self.drop(key)
                future.set_exception(error)
        try:
            return future.result()
        finally:
            self._trim()

    def drop(self, key: Hashable) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def sweep(self) -> None:
        """Drop images that were not used for long."""
        oldest = time.monotonic() - self._seconds
        with self._lock:
            for key, (future, used) in list(self._entries.items()):
                if future.done() and used <= oldest:
                    del self._entries[key]

    def _trim(self) -> None:
        """Drop images that are too large, then those used least recently, until the rest fits."""
        with self._lock:
            finished = {key: future for key, (future, _) in self._entries.items() if future.done()}
            sizes = {key: future.result().nbytes for key, future in finished.items()}
            # The sort is stable: entries are in the order of their last use, because `get` adds
            # them again.
            for key in sorted(sizes, key=lambda key: sizes[key] <= self._max_bytes):
                if sum(sizes.values()) > self._max_bytes:
                    del sizes[key], self._entries[key]


def edge_energies(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the energy of the finer and of the coarser octave near strong edges, [H, W].

    `rgb` is float32 [H, W, 3]. Values within BLUR_MARGIN of the border depend on how it is
    continued.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    once = cv2.GaussianBlur(grey, (0, 0), _FINE_SIGMA)
    twice = cv2.GaussianBlur(grey, (0, 0), _COARSE_SIGMA)
    fine = (grey - once) ** 2
    coarse = cv2.absdiff(once, twice) ** 2
    weight = cv2.blur(coarse, (5, 5))
    return weight * fine, weight * coarse


def blur_of(fine: float, coarse: float, pixels: int) -> float:
    """Return the blur, 0 to 1, from the sums of `edge_energies` over `pixels`; 0 without edges."""
    if coarse < _NO_EDGES * pixels:
        return 0.0
    blur = (_SHARP_RATIO - fine / coarse) / (_SHARP_RATIO - _SOFT_RATIO)
    return float(np.clip(blur, 0, 1))
