"""Which device and which precision a run takes on this machine."""

from __future__ import annotations

from collections.abc import Collection

import torch

from ..errors import SettingsError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` takes CUDA, then Apple's MPS, then the processor.

    Raises SettingsError for a device that this machine or this build of PyTorch does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise SettingsError("device_missing", device=name) from error
    return device


def check_precision(name: str) -> None:
    """Raises SettingsError unless `name` is auto or a precision."""
    if name not in (*PRECISIONS, "auto"):
        raise SettingsError("precision_unknown", precision=name, known=", ".join(PRECISIONS))


def pick_precision(name: str, device: torch.device, bits: int = 8, supported: Collection[str] = PRECISIONS) -> str:
    """`fp32`, `bf16` or `fp16`: the fastest that leaves no visible trace on a picture of `bits` bits a channel.

    `supported` are those that the network declares: another one gives way to fp32.
    """
    if bits > 8:
        return "fp32"
    if name == "auto":
        fast = {"cuda": "fp16", "cpu": "bf16"}.get(device.type, "fp32")
        name = "fp32" if device.type == "cpu" and not _multiplies_bf16() else fast
    return name if name in supported else "fp32"


def _multiplies_bf16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; where it does not, bf16 is slower than fp32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)
