"""Degradations of photos, in two strengths each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from .photos import Pixels

Degrade = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Degradation:
    """A degradation in one or more strengths, which share a cell of the tables."""

    name: str
    strengths: tuple[Degrade, ...]
    qualities: tuple[int | None, ...] = (None, None)
    """The JPEG quality of each strength, or None."""


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), sigma)


def noisy(pixels: Pixels, sigma: float) -> Pixels:
    grain = np.random.default_rng(1).normal(0, sigma, pixels.shape)
    return np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)


def hazed(pixels: Pixels, near: float, far: float) -> Pixels:
    """Add a light grey haze that increases from the bottom to the top."""
    veil = np.linspace(far, near, pixels.shape[0])[:, None, None]
    return np.rint(pixels * (1 - veil) + 228 * veil).astype(np.uint8)


def unchanged(pixels: Pixels) -> Pixels:
    return pixels


SHARP = Degradation("sharp", (unchanged,))
DEGRADATIONS = (
    SHARP,
    Degradation(
        "blur 0.6 / 1.0, noise 3 / 6", (lambda x: noisy(blurred(x, 0.6), 3), lambda x: noisy(blurred(x, 1.0), 6))
    ),
    Degradation("noise 6 / 10", (lambda x: noisy(x, 6), lambda x: noisy(x, 10))),
    Degradation("soft: blur 1.0 / 1.5", (lambda x: blurred(x, 1.0), lambda x: blurred(x, 1.5))),
    Degradation("JPEG 60 / 40", (unchanged, unchanged), (60, 40)),
    Degradation("JPEG 85 / 75", (unchanged, unchanged), (85, 75)),
    Degradation(
        "phone, good / poor",
        (lambda x: noisy(blurred(x, 0.6), 4), lambda x: noisy(blurred(x, 1.0), 6)),
        (80, 70),
    ),
)
"""Typical degradations. phone is blur 0.6, noise 4, JPEG 80, or blur 1.0, noise 6, JPEG 70."""
HAZE = (Degradation("haze, light / thick", (lambda x: hazed(x, 0.2, 0.5), lambda x: hazed(x, 0.45, 0.75))),)
OF_DRAWINGS = (
    SHARP,
    Degradation("soft: blur 0.6 / 1.0", (lambda x: blurred(x, 0.6), lambda x: blurred(x, 1.0))),
    Degradation("JPEG 60 / 40", (unchanged, unchanged), (60, 40)),
)


def softened(pixels: Pixels, factor: int, moved: int = 0) -> Pixels:
    """Downscale by averaging and enlarge again. `moved` shifts the grid of the averages by this many pixels."""
    height, width = (-(-(side + moved) // factor) * factor for side in pixels.shape[:2])
    around = (moved, height - moved - pixels.shape[0], moved, width - moved - pixels.shape[1])
    padded = cv2.copyMakeBorder(pixels, *around, cv2.BORDER_REFLECT)
    small = cv2.resize(padded, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(soft[moved : moved + pixels.shape[0], moved : moved + pixels.shape[1]])


SOFT = (
    *(
        Degradation(f"soft by {factor}", (partial(softened, factor=factor), partial(softened, factor=factor, moved=1)))
        for factor in (2, 4)
    ),
    Degradation("blur 1.5 / 2.0", (partial(blurred, sigma=1.5), partial(blurred, sigma=2.0))),
)
"""Downscaled and enlarged, on the grid of the image and on a shifted one; and blurred."""
