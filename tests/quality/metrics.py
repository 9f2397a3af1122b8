"""The similarity of a result to the original photo and to the degraded one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from .cases import Case, Upscaled
from .photos import Pixels


@dataclass(frozen=True)
class Metric:
    """A figure of a result. `better` is 1 where more is better, -1 where less is better, 0 where neither is."""

    name: str
    of: Callable[[Case, Upscaled], float]
    better: int = 0
    form: str = ".1f"


def _of_piq(name: str) -> Callable[[Case, Upscaled], float]:
    """Return 100 times a metric of piq, which takes seconds to import."""

    def of(case: Case, result: Upscaled) -> float:
        function: Callable[..., Any] = getattr(importlib.import_module("piq"), name)
        pair = (torch.from_numpy(one.copy()).permute(2, 0, 1)[None] / 255 for one in (result.pixels, case.reference))
        return 100 * float(function(*pair))

    return of


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(float(np.mean((one.astype(np.float64) - other) ** 2)), 1e-12)))


def _keep(case: Case, result: Upscaled) -> float:
    """Return the PSNR of the downscaled result and the degraded photo."""
    down = cv2.resize(result.pixels.astype(np.float32), case.degraded.shape[1::-1], interpolation=cv2.INTER_AREA)
    return _psnr(down, case.degraded)


def _flat(case: Case, result: Upscaled) -> float:
    """Return how much rougher the smooth parts of the photo are in the result, in levels (RMS)."""
    ripples = []
    for pixels in (case.reference, result.pixels):
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
        ripples.append(grey - cv2.GaussianBlur(grey, (0, 0), 3))
    spread = np.sqrt(cv2.blur(ripples[0] ** 2, (15, 15)))
    smooth = spread <= max(2.0, float(np.quantile(spread, 0.1)))
    expected, actual = (float(np.sqrt(np.mean(one[smooth] ** 2))) for one in ripples)
    return actual - expected


def _clipped(pixels: Pixels) -> float:
    """Return the percentage of values at the ends of the range."""
    return 100 * float(np.mean((pixels == 0) | (pixels == 255)))


def block_steps(pixels: Pixels, distance: int = 8) -> float:
    """Return the mean difference of neighbours across the borders of blocks, divided by that of all others."""
    light, borders, others = pixels.astype(float).mean(2), [], []
    for lines in (light, light.T):
        differences = np.abs(np.diff(lines, axis=0)).mean(1)
        is_border = np.arange(1, len(differences) + 1) % distance == 0
        borders.append(differences[is_border].mean())
        others.append(differences[~is_border].mean())
    return sum(borders) / sum(others)


def grid_steps(results: Sequence[Pixels], distance: int) -> float:
    """Return the mean difference across the borders of blocks, divided by that halfway between them.

    Result i of n, an even number, is that of the photo without its first i / n blocks. Each row of the photo that is a
    border in one result is halfway between borders in another one, so the influence of the content is removed.
    """
    shift, border, halfway = distance // len(results), 0.0, 0.0
    for number, pixels in enumerate(results):
        start = distance - shift * (number + 1)  # Of the part that all results show.
        light = pixels[start:, start:].astype(float).mean(2)
        light = light[: pixels.shape[0] - distance + shift, : pixels.shape[1] - distance + shift]
        for lines in (light, light.T):
            differences = np.abs(np.diff(lines, axis=0)).mean(1)
            position = (np.arange(1, len(differences) + 1) + start) % distance
            border += differences[position == 0].sum()
            halfway += differences[position == distance // 2].sum()
    return border / halfway


PSNR = Metric("PSNR", lambda case, result: _psnr(result.pixels, case.reference))
SSIM = Metric("SSIM", _of_piq("ssim"))
HAARPSI = Metric("HaarPSI", _of_piq("haarpsi"), better=1)
FSIM = Metric("FSIM", _of_piq("fsim"), better=1)
GMSD = Metric("GMSD", _of_piq("gmsd"), better=-1)
MDSI = Metric("MDSI", _of_piq("mdsi"), better=-1)
KEEP = Metric("keep", _keep)
FLAT = Metric("flat", _flat, form="+.2f")
CLIPPED = Metric("clipped", lambda _, result: _clipped(result.pixels), form=".2f")
FIDELITY = Metric("fidelity_db", lambda _, result: result.fidelity_db)

ALL = (PSNR, SSIM, HAARPSI, FSIM, GMSD, MDSI, KEEP, FLAT, CLIPPED, FIDELITY)
QUICK = (PSNR, HAARPSI, GMSD, MDSI, KEEP, FLAT)
"""Metrics that take little time."""
