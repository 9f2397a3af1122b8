"""How near a result is to the truth, and to what was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import piq
import torch

from .cases import Case, Made
from .photos import Pixels


@dataclass(frozen=True)
class Measure:
    """One figure of a result; `better` is 1 where more of it is better, -1 where less is, 0 where it only tells."""

    name: str
    of: Callable[[Case, Made], float]
    better: int = 0
    form: str = ".1f"


def _of_piq(how: Callable[..., Any]) -> Callable[[Case, Made], float]:
    """100 times one of piq's measures of likeness to the truth."""

    def of(case: Case, made: Made) -> float:
        pair = (torch.from_numpy(one.copy()).permute(2, 0, 1)[None] / 255 for one in (made.pixels, case.truth))
        return 100 * float(how(*pair))

    return of


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(float(np.mean((one.astype(np.float64) - other) ** 2)), 1e-12)))


def _keep(case: Case, made: Made) -> float:
    """The PSNR of the result averaged down against what was given."""
    down = cv2.resize(made.pixels.astype(np.float32), case.given.shape[1::-1], interpolation=cv2.INTER_AREA)
    return _psnr(down, case.given)


def _flat(case: Case, made: Made) -> float:
    """How much more the smooth parts of the truth ripple in the result than in the truth: levels, RMS."""
    ripples = []
    for pixels in (case.truth, made.pixels):
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
        ripples.append(grey - cv2.GaussianBlur(grey, (0, 0), 3))
    spread = np.sqrt(cv2.blur(ripples[0] ** 2, (15, 15)))
    smooth = spread <= max(2.0, float(np.quantile(spread, 0.1)))
    true, given = (float(np.sqrt(np.mean(one[smooth] ** 2))) for one in ripples)
    return given - true


def _clipped(pixels: Pixels) -> float:
    """The share of values at the ends of the range, in percent."""
    return 100 * float(np.mean((pixels == 0) | (pixels == 255)))


PSNR = Measure("PSNR", lambda case, made: _psnr(made.pixels, case.truth))
SSIM = Measure("SSIM", _of_piq(piq.ssim))
HAARPSI = Measure("HaarPSI", _of_piq(piq.haarpsi), better=1)
FSIM = Measure("FSIM", _of_piq(piq.fsim), better=1)
GMSD = Measure("GMSD", _of_piq(piq.gmsd), better=-1)
MDSI = Measure("MDSI", _of_piq(piq.mdsi), better=-1)
KEEP = Measure("keep", _keep)
FLAT = Measure("flat", _flat, form="+.2f")
CLIPPED = Measure("clipped", lambda _, made: _clipped(made.pixels), form=".2f")
FIDELITY = Measure("fidelity_db", lambda _, made: made.fidelity_db)

ALL = (PSNR, SSIM, HAARPSI, FSIM, GMSD, MDSI, KEEP, FLAT, CLIPPED, FIDELITY)
QUICK = (PSNR, HAARPSI, GMSD, MDSI, KEEP, FLAT)
"""Those that take little time."""
