"""The similarity of a result to the original photo."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

from .cases import Case, Upscaled


def haarpsi(case: Case, result: Upscaled) -> float:
    """Return 100 times the HaarPSI (Reisenhofer et al., 2018). More is better."""
    # Imported here, because piq takes seconds to import.
    function: Callable[..., Any] = importlib.import_module("piq").haarpsi
    pair = (
        torch.from_numpy(one.copy()).permute(2, 0, 1)[None] / 255
        for one in (result.pixels, case.reference)
    )
    return 100 * float(function(*pair))
