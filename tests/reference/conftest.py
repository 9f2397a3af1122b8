"""basicsr cannot be imported beside a current torchvision without the module that this supplies."""

from __future__ import annotations

from contextlib import suppress

from enhance.bench import supply_functional_tensor

with suppress(ImportError):
    supply_functional_tensor()
