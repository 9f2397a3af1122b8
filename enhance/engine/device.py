"""The device: its choice, its precision, its free memory, and the transfer of pixels."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy import ndarray
from torch import Tensor

from ..errors import EnhanceError, SettingsError
from .device_thread import DEVICE_THREAD
from .kernels import RowReader

log = logging.getLogger(__name__)

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_TYPES = ("cpu", "cuda", "mps")
_LEAST_BF16_SPEEDUP = 1.2
"""The minimum speed-up of bf16 over fp32. CPUs with native bf16 reach 2, those with matrix tiles
(AMX) 6."""
_TRIAL_BATCH = (1, 66, 130, 64)
_TRIAL_WEIGHT = (32, 3, 3, 64)
_TRIAL_TIMES = 25
_USABLE_SHARE = 0.8
"""The share of the free GPU memory that a stream can use: CUDA's libraries need more than is
counted."""


def pick_device(name: str) -> torch.device:
    """Return the device called `name`.

    `auto` is CUDA, else Apple's MPS, else the CPU. Only on the device's thread.

    Raises SettingsError for a device that this machine or this build of PyTorch does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        if device.type not in _TYPES:
            raise ValueError(f"{name} computes nothing")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise SettingsError("device_missing", device=name) from error
    return device


def pick_precision(
    name: str,
    device: torch.device,
    bits: int = 8,
    supported: Collection[str] = PRECISIONS,
) -> str:
    """Return fp32, bf16 or fp16: the fastest without visible loss for an image of `bits` bits per
    channel.

    The result is fp32 if `supported`, the precisions of the network, does not contain it.
    """
    if bits > 8:
        return "fp32"
    if name == "auto":
        name = {"cuda": "fp16", "cpu": "bf16"}.get(device.type, "fp32")
        if name == "bf16" and not _is_bf16_faster():
            name = "fp32"
    if name in supported:
        return name
    return "fp32"


def cpu_supports(feature: str) -> bool:
    """Return whether the CPU has a feature, `avx512_bf16` or `amx_tile`, and PyTorch can detect
    it."""
    probe = getattr(torch.cpu, f"_is_{feature}_supported", None)
    return probe is not None and probe()


@cache  # One measurement for the process, because it is the computer's.
def _is_bf16_faster() -> bool:
    """Return whether the CPU computes bfloat16 natively, and much faster than float32.

    Some Xeons without access to the matrix tiles have an instruction that takes twice as long.
    """
    if not (cpu_supports("avx512_bf16") or cpu_supports("amx_tile")):
        return False
    single, short = DEVICE_THREAD.call(lambda: _convolution_seconds(torch.float32, torch.bfloat16))
    log.info("A convolution takes %.2f ms at fp32 and %.2f ms at bf16", 1e3 * single, 1e3 * short)
    return single > _LEAST_BF16_SPEEDUP * short


def _convolution_seconds(*dtypes: torch.dtype) -> list[float]:
    """Return the shortest time of a typical convolution in each precision, measured alternately on
    one core.

    Several cores are seldom free at the same time on a busy computer, and the times would be those
    of other programs.
    """
    cores = torch.get_num_threads()
    batch = torch.zeros(_TRIAL_BATCH).permute(0, 3, 1, 2)
    weight = torch.zeros(_TRIAL_WEIGHT).permute(0, 3, 1, 2)
    operands = {dtype: (batch.to(dtype), weight.to(dtype)) for dtype in dtypes}
    shortest = dict.fromkeys(dtypes, math.inf)
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for dtype in dtypes * _TRIAL_TIMES:
                started = time.perf_counter()
                F.conv2d(*operands[dtype])
                shortest[dtype] = min(shortest[dtype], time.perf_counter() - started)
    finally:
        torch.set_num_threads(cores)
    return [shortest[dtype] for dtype in dtypes]


def row_reader(image: ndarray, device: torch.device) -> RowReader:
    """Return a function that reads the rows of an image [H, W, 3] of 8 or 16 bits for the
    network."""
    levels = np.iinfo(image.dtype).max

    def rows(first: int, last: int) -> Tensor:
        part = np.array(image[first:last], np.float32, order="C")  # Some devices have no uint16.
        return torch.from_numpy(part).to(device).div_(levels)

    return rows


def to_pixels(rows: Tensor, dtype: np.dtype) -> ndarray:
    """Return rows in 0..1 as pixels of 8 or 16 bits. Raises EnhanceError if a value is not
    finite."""
    if not torch.isfinite(rows).all():
        raise EnhanceError("not_finite")
    levels = np.iinfo(dtype).max
    integer = torch.uint8 if levels == 255 else torch.int32
    scaled = rows.clamp(0, 1).mul_(levels).round_()
    return scaled.to(integer).cpu().numpy().astype(dtype, copy=False)


def free_memory(device: torch.device) -> float:
    """Return the bytes that a stream can use on a CUDA device."""
    # PyTorch keeps memory that it has freed for later tensors.
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free, _ = torch.cuda.mem_get_info(device)
    return _USABLE_SHARE * (free + cached)


def wait_for_device(device: torch.device) -> None:
    """Wait until a GPU has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
