"""Measures of the similarity of a result to the original and to the degraded photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import piq
import torch

from .cases import Case, Output
from .photos import Pixels


@dataclass(frozen=True)
class Measure:
    """A measure of a result. `better` is 1 if higher is better, -1 if lower is better, 0 if neither counts."""

    name: str
    of: Callable[[Case, Output], float]
    better: int = 0
    form: str = ".1f"


def _piq_measure(how: Callable[..., Any]) -> Callable[[Case, Output], float]:
    """Return 100 times one of piq's measures of similarity to the reference."""

    def of(case: Case, output: Output) -> float:
        pair = (torch.from_numpy(one.copy()).permute(2, 0, 1)[None] / 255 for one in (output.pixels, case.reference))
        return 100 * float(how(*pair))

    return of


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(float(np.mean((one.astype(np.float64) - other) ** 2)), 1e-12)))


def _keep(case: Case, output: Output) -> float:
    """Return the PSNR between the downscaled result and the degraded photo."""
    down = cv2.resize(output.pixels.astype(np.float32), case.degraded.shape[1::-1], interpolation=cv2.INTER_AREA)
    return _psnr(down, case.degraded)


def _flat(case: Case, output: Output) -> float:
    """Return the additional noise in the smooth parts of the result, as RMS in levels."""
    ripples = []
    for pixels in (case.reference, output.pixels):
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
        ripples.append(grey - cv2.GaussianBlur(grey, (0, 0), 3))
    spread = np.sqrt(cv2.blur(ripples[0] ** 2, (15, 15)))
    smooth = spread <= max(2.0, float(np.quantile(spread, 0.1)))
    true, given = (float(np.sqrt(np.mean(one[smooth] ** 2))) for one in ripples)
    return given - true


def _clipped(pixels: Pixels) -> float:
    """Return the percentage of values that are 0 or 255."""
    return 100 * float(np.mean((pixels == 0) | (pixels == 255)))


PSNR = Measure("PSNR", lambda case, output: _psnr(output.pixels, case.reference))
SSIM = Measure("SSIM", _piq_measure(piq.ssim))
HAARPSI = Measure("HaarPSI", _piq_measure(piq.haarpsi), better=1)
FSIM = Measure("FSIM", _piq_measure(piq.fsim), better=1)
GMSD = Measure("GMSD", _piq_measure(piq.gmsd), better=-1)
MDSI = Measure("MDSI", _piq_measure(piq.mdsi), better=-1)
KEEP = Measure("keep", _keep)
FLAT = Measure("flat", _flat, form="+.2f")
CLIPPED = Measure("clipped", lambda _, output: _clipped(output.pixels), form=".2f")
FIDELITY = Measure("fidelity_db", lambda _, output: output.fidelity_db)

ALL = (PSNR, SSIM, HAARPSI, FSIM, GMSD, MDSI, KEEP, FLAT, CLIPPED, FIDELITY)
QUICK = (PSNR, HAARPSI, GMSD, MDSI, KEEP, FLAT)
"""The fast ones."""
