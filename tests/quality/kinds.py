"""How often the analysis mistakes the kind of an image: the table in docs/analysis.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import cv2
import numpy as np

from enhance.analysis import analyse

from .cases import Case, jpeg_case
from .kind_images import SETS, Pixels
from .tables import row, rule

_QUALITIES = 90, 70, 50
_SMALLEST = 100
_SMALL = 70
"""The shorter side of small drawings, which have few flat blocks."""


def _sizes(image: Pixels, kind: str) -> Iterator[tuple[str, Pixels]]:
    """Return an image in several sizes with their names."""
    shorter = min(image.shape[:2])
    for name, factor in (("whole", 1.0), ("halved", 0.5)):
        if factor * shorter >= _SMALLEST:
            yield name, _resized(image, factor)
    if kind == "drawing":
        yield f"{_SMALL} px", _resized(image, _SMALL / shorter)


def _resized(image: Pixels, factor: float) -> Pixels:
    if factor == 1:
        return image
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def _files(image: Pixels) -> Iterator[tuple[str, Case]]:
    """Return an image as PNG and as JPEG of several qualities."""
    pixels = np.ascontiguousarray(image)
    yield "PNG", Case(pixels, pixels)
    for quality in _QUALITIES:
        yield f"JPEG {quality}", jpeg_case(pixels, pixels, quality)


def table() -> str:
    """Return a table with the number of images of each set, and how many of them have a wrong
    kind."""
    counts, errors = Counter[tuple[str, str]](), Counter[tuple[str, str, str]]()
    for name, (kind, images) in SETS.items():
        for image in images():
            for size, resized in _sizes(image, kind):
                counts[name, size] += 1
                for file, case in _files(resized):
                    errors[name, size, file] += analyse(case.image).kind != kind
    files = ("PNG", *(f"JPEG {quality}" for quality in _QUALITIES))
    lines = [
        row("set", "size", "images", *(f"wrong, {file}" for file in files)),
        rule(2, 1 + len(files)),
    ]
    for (name, size), count in counts.items():
        lines.append(
            row(name, size, str(count), *(str(errors[name, size, file]) for file in files))
        )
    return "\n".join(lines)
