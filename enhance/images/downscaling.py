"""Spans of rows, and downscaling by the means of blocks of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import cv2
import numpy as np
from numpy import ndarray

Span: TypeAlias = tuple[int, int]
"""Rows or columns [first, last)."""


def spans(length: int, step: int, start: int = 0) -> Iterator[Span]:
    """Yield [first, last) of parts of `step` rows from `start` to `length`.

    The last one can have fewer.
    """
    return ((first, min(first + step, length)) for first in range(start, length, step))


def widen(first: int, last: int, margin: int, length: int) -> Span:
    """Return the span with `margin` more rows or columns on each side, as far as there are any."""
    return max(first - margin, 0), min(last + margin, length)


def ceil_div(number: int, divisor: int) -> int:
    """Return the quotient, rounded up."""
    return -(-number // divisor)


def block_means(pixels: ndarray, factor: int) -> ndarray:
    """Return the mean of each block of `factor` x `factor` px, also of incomplete ones."""
    height, width, *channels = pixels.shape
    means = np.empty((ceil_div(height, factor), ceil_div(width, factor), *channels), pixels.dtype)
    for rows, down in _whole_and_rest(height, factor):
        for columns, across in _whole_and_rest(width, factor):
            part = means[down, across]
            size = part.shape[1::-1]
            cv2.resize(pixels[rows, columns], size, dst=part, interpolation=cv2.INTER_AREA)
    return means


def _whole_and_rest(length: int, factor: int) -> Iterator[tuple[slice, slice]]:
    """Yield the slice of whole blocks and that of the incomplete block, as far as there are any,
    each with the slice of its means."""
    blocks = length // factor
    for first, last in spans(length, max(1, blocks) * factor):
        yield slice(first, last), slice(first // factor, ceil_div(last, factor))
