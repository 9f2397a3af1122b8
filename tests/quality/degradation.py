"""Degradations of photos that were downscaled by 4, as files."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial

import cv2
import numpy as np
from PIL import Image

from .cases import Case, case_of_file
from .photos import Pixels

Degrade = Callable[[Pixels], bytes]
"""Returns the file of a degraded photo."""
_SEED = 5


def rounded(values: np.ndarray) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), sigma)


def noisy(pixels: Pixels, sigma: float) -> Pixels:
    return rounded(pixels + np.random.default_rng(1).normal(0, sigma, pixels.shape))


def as_png(pixels: Pixels) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def as_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rounded(pixels)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _phone(pixels: Pixels) -> bytes:
    """Blur, shot noise, colour noise and JPEG 75."""
    noise = np.random.default_rng(_SEED)
    light = blurred(pixels, 0.5).astype(np.float32)
    shot = noise.normal(size=light.shape) * 0.25 * np.sqrt(light + 1)
    colour = 3 * cv2.GaussianBlur(noise.normal(size=light.shape), (0, 0), 1)
    return as_jpeg(light + shot + colour + noise.normal(0, 1.5, light.shape), 75)


def _web(pixels: Pixels) -> bytes:
    """Sharpening and JPEG 50."""
    light = pixels.astype(np.float32)
    return as_jpeg(light + 0.6 * (light - blurred(light, 1)), 50)


def _soft(pixels: Pixels) -> bytes:
    """Blur and correlated grain."""
    grain = cv2.GaussianBlur(
        np.random.default_rng(_SEED).normal(size=pixels.shape[:2]), (0, 0), 0.8
    )
    return as_png(rounded(blurred(pixels, 1.1) + (5 * grain / grain.std())[..., None]))


def _saved_twice(pixels: Pixels) -> bytes:
    """JPEG 75, a crop that moves the blocks, and JPEG 95."""
    larger = cv2.copyMakeBorder(pixels, 3, 0, 5, 0, cv2.BORDER_REFLECT)
    with Image.open(io.BytesIO(as_jpeg(larger, 75))) as first:
        return as_jpeg(np.asarray(first)[3:, 5:], 95)


DEGRADATIONS: Mapping[str, Degrade] = {
    "clean": as_png,
    "phone": _phone,
    "web": _web,
    "soft": _soft,
    "noise 3": lambda pixels: as_png(noisy(pixels, 3)),
    "JPEG 90": partial(as_jpeg, quality=90),
    "saved twice": _saved_twice,
}
"""The columns of the table in docs/analysis.md."""


def file_of(reference: Pixels, degrade: Degrade) -> bytes:
    """Return the file of a photo that is downscaled by 4 and degraded."""
    height, width = reference.shape[:2]
    small = Image.fromarray(reference).resize((width // 4, height // 4), Image.Resampling.LANCZOS)
    return degrade(np.asarray(small))


def case_of(reference: Pixels, degrade: Degrade) -> Case:
    """Return a photo that is downscaled by 4, degraded and saved."""
    return case_of_file(reference, file_of(reference, degrade))
