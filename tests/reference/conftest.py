"""basicsr imports a torchvision module that no longer exists; this supplies the one function it needs from it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType

_MISSING = "torchvision.transforms.functional_tensor"


def _supply_functional_tensor() -> None:
    if find_spec("torchvision") is None or find_spec(_MISSING):
        return
    from torchvision.transforms.functional import rgb_to_grayscale

    module = ModuleType(_MISSING)
    module.__dict__["rgb_to_grayscale"] = rgb_to_grayscale
    sys.modules[_MISSING] = module


_supply_functional_tensor()
