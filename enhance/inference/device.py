"""Which device and which precision a run takes on this machine."""

from __future__ import annotations

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
        raise SettingsError(f"The device “{name}” is not available here; use --device auto or cpu.") from error
    return device


def pick_precision(name: str, device: torch.device, bits: int = 8) -> str:
    """`fp32`, `bf16` or `fp16`: the fastest that leaves no visible trace on a picture of `bits` bits a channel.

    Raises SettingsError for an unknown name.
    """
    if name not in (*PRECISIONS, "auto"):
        raise SettingsError(f"Unknown precision “{name}”; choose auto, {', '.join(PRECISIONS)}.")
    if bits > 8:
        return "fp32"
    if name != "auto":
        return name
    if device.type == "cuda":
        return "fp16"
    return "bf16" if device.type == "cpu" and _multiplies_bf16() else "fp32"


def _multiplies_bf16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; where it does not, bf16 is slower than fp32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)
