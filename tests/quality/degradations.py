"""Degradations of photos, most of them in two strengths."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from PIL import Image

from .photos import Pixels

Degrade = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Degradation:
    """A degradation of a small photo in one or more strengths, which share a cell of the tables."""

    name: str
    strengths: tuple[Degrade, ...]


def blur(pixels: Pixels, sigma: float) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), sigma)


def add_noise(pixels: Pixels, sigma: float) -> Pixels:
    grain = np.random.default_rng(1).normal(0, sigma, pixels.shape)
    return np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)


def as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    code = io.BytesIO()
    Image.fromarray(pixels).save(code, "JPEG", quality=quality)
    return np.asarray(Image.open(code))


def add_haze(pixels: Pixels, near: float, far: float) -> Pixels:
    """Add light grey haze that becomes denser from the bottom (`near`) to the top (`far`)."""
    veil = np.linspace(far, near, pixels.shape[0])[:, None, None]
    return np.rint(pixels * (1 - veil) + 228 * veil).astype(np.uint8)


SHARP = Degradation("sharp", (lambda x: x,))
DEGRADATIONS = (
    SHARP,
    Degradation(
        "blur 0.6 / 1.0, noise 3 / 6", (lambda x: add_noise(blur(x, 0.6), 3), lambda x: add_noise(blur(x, 1.0), 6))
    ),
    Degradation("noise 6 / 10", (lambda x: add_noise(x, 6), lambda x: add_noise(x, 10))),
    Degradation("soft: blur 1.0 / 1.5", (lambda x: blur(x, 1.0), lambda x: blur(x, 1.5))),
    Degradation("JPEG 60 / 40", (lambda x: as_jpeg(x, 60), lambda x: as_jpeg(x, 40))),
    Degradation("JPEG 85 / 75", (lambda x: as_jpeg(x, 85), lambda x: as_jpeg(x, 75))),
    Degradation(
        "phone, good / poor",
        (lambda x: as_jpeg(add_noise(blur(x, 0.6), 4), 80), lambda x: as_jpeg(add_noise(blur(x, 1.0), 6), 70)),
    ),
)
"""Typical degradations; phone is blur 0.6, noise 4, JPEG 80, or blur 1.0, noise 6, JPEG 70."""
HAZE = (Degradation("haze, light / thick", (lambda x: add_haze(x, 0.2, 0.5), lambda x: add_haze(x, 0.45, 0.75))),)
DRAWING_DEGRADATIONS = (
    SHARP,
    Degradation("soft: blur 0.6 / 1.0", (lambda x: blur(x, 0.6), lambda x: blur(x, 1.0))),
    Degradation("JPEG 60 / 40", (lambda x: as_jpeg(x, 60), lambda x: as_jpeg(x, 40))),
)


def soften(pixels: Pixels, factor: int, shift: int = 0) -> Pixels:
    """Downscale by averaging and upscale again; the averages begin `shift` pixels before the image."""
    height, width = (-(-(side + shift) // factor) * factor for side in pixels.shape[:2])
    around = (shift, height - shift - pixels.shape[0], shift, width - shift - pixels.shape[1])
    padded = cv2.copyMakeBorder(pixels, *around, cv2.BORDER_REFLECT)
    small = cv2.resize(padded, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(soft[shift : shift + pixels.shape[0], shift : shift + pixels.shape[1]])


SOFT = (
    *(
        Degradation(f"soft by {factor}", (partial(soften, factor=factor), partial(soften, factor=factor, shift=1)))
        for factor in (2, 4)
    ),
    Degradation("blur 1.5 / 2.0", (partial(blur, sigma=1.5), partial(blur, sigma=2.0))),
)
"""Downscaled and upscaled on the grid of the image or on a shifted one, and blurred."""
