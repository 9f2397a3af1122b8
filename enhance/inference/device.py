"""Which device and which precision a run takes on this machine, and how fast that is."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from functools import cache

import torch

from ..errors import SettingsError
from .kernels import Kernel, Pointwise
from .models import known_graph
from .turns import DEVICE_THREAD, Turn

_PROBE_SHARE = 0.85
"""What a whole network reaches of a single convolution's speed; the first real run replaces the guess."""
_REMEMBERED_SECONDS = 60.0
"""How much earlier work speaks for a speed: a machine that gets busy is believed within a minute of work."""

_TYPES = ("cpu", "cuda", "mps")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` takes CUDA, then Apple's MPS, then the processor.

    Raises SettingsError for a device that this machine or this build of PyTorch does not have.
    """
    return DEVICE_THREAD.do(lambda: _find_device(name), Turn(urgent=True))


def _find_device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in _TYPES:
            raise ValueError(f"{name} computes nothing")
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


@cache
def _multiplies_bf16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; where it does not, bf16 is slower than fp32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return DEVICE_THREAD.do(lambda: any(getattr(torch.cpu, probe, bool)() for probe in probes), Turn(urgent=True))


class Speedometer:
    """Multiply-adds a second on one device, by model and precision."""

    def __init__(self, device: torch.device):
        self._device = device
        self._measured: dict[tuple[str, torch.dtype], tuple[float, float]] = {}
        """The rate, and the seconds of work that speak for it."""
        self._lock = threading.Lock()

    def record(self, model: str, dtype: torch.dtype, pixels: float, seconds: float) -> None:
        """Remember that `pixels` pixels of a picture took `seconds`; each second counts, the last minute's most."""
        if seconds <= 0 or pixels <= 0:
            return
        rate = known_graph(model).work * pixels / seconds
        with self._lock:
            before, known = self._measured.get((model, dtype), (rate, 0.0))
            mean = (before * known + rate * seconds) / (known + seconds)
            self._measured[model, dtype] = mean, min(known + seconds, _REMEMBERED_SECONDS)

    def seconds(self, model: str, dtype: torch.dtype, pixels: float) -> float:
        """How long a picture of `pixels` pixels takes the network called `model`."""
        return known_graph(model).work * pixels / self._rate(model, dtype)

    def _rate(self, model: str, dtype: torch.dtype) -> float:
        with self._lock:
            own = self._measured.get((model, dtype))
            others = [rate for (_, kind), (rate, _) in self._measured.items() if kind == dtype]
        if own is not None:
            return own[0]
        if not others:
            others = [DEVICE_THREAD.do(lambda: self._probe(dtype), Turn(urgent=True))]
            with self._lock:
                self._measured.setdefault(("", dtype), (others[0], 0.0))
        return min(others)

    def _probe(self, dtype: torch.dtype) -> float:
        channels, height, width = 64, 34, 384
        rows = torch.zeros(height, width, channels, dtype=dtype, device=self._device)
        weight = torch.zeros(channels, channels, 3, 3, dtype=dtype, device=self._device)
        weight = weight.contiguous(memory_format=torch.channels_last)
        kernel = Kernel(weight, torch.zeros(channels, dtype=dtype, device=self._device), Pointwise("leaky", 0.2), 1)
        best = float("inf")
        with torch.inference_mode():
            for _ in range(4):
                started = time.perf_counter()
                kernel(rows).sum().item()
                best = min(best, time.perf_counter() - started)
        return _PROBE_SHARE * 9 * channels**2 * (height - 2) * width / best
