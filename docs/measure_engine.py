"""The peak speed of this computer and the share of it that the engine reaches on the CPU, for `make
bench`."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import psutil
import torch
import torch.nn.functional as F

from docs.measure_memory import peak_memory
from enhance import models
from enhance.engine.device import PRECISIONS
from enhance.engine.device_thread import DEVICE_THREAD
from enhance.engine.engine import Engine
from enhance.size import Size

MODEL = "realesrgan-x4plus"
SIDE = 384
TILE = 192


def measure() -> dict[str, Any]:
    """Measure this computer. The figures are in seconds, shares of 1, MB and 1e9 multiply-adds per
    second."""
    image, automatic = sample_image(), Engine("cpu")
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    threads = DEVICE_THREAD.call(torch.get_num_threads)
    figures: dict[str, Any] = {
        "machine": f"{platform.machine()}, {cores} cores, {threads} threads, device "
        f"{automatic.device}",
        "picture": f"{SIDE} x {SIDE}",
        "peak": {},
        "engine": {},
    }
    for name in dict.fromkeys(("fp32", automatic.precision())):
        engine = Engine("cpu", name)
        expected = engine.estimate(MODEL, Size(SIDE, SIDE))
        seconds = _seconds(engine, image)
        engine.release()
        peak = peak_speed(PRECISIONS[name])
        reached = models.graph_of(MODEL).work * SIDE**2 / seconds
        figures["peak"][name] = round(peak / 1e9, 1)
        figures["engine"][name] = {
            "seconds": round(seconds, 2),
            "expected_seconds": round(expected, 2),
            "share_of_peak": round(reached / peak, 3),
            "peak_memory_mb": peak_memory(MODEL, name, SIDE, SIDE),
        }
    return figures


def table(figures: dict[str, Any]) -> str:
    """Return the figures as text."""
    lines = [f"{figures['machine']}, image {figures['picture']}, model {MODEL}, tile {TILE}", ""]
    lines += [f"peak {name:<20} {peak:8.1f} GMAC/s" for name, peak in figures["peak"].items()]
    lines.append("")
    for name, one in figures["engine"].items():
        lines.append(
            f"row streaming {name:<11} {one['seconds']:8.2f} s   {one['share_of_peak']:4.0%} of "
            f"peak   "
            f"{one['peak_memory_mb']} MB peak memory   {one['expected_seconds']:.2f} s estimated"
        )
    return "\n".join(lines)


def sample_image() -> np.ndarray:
    """Return a smooth image with some noise, uint8 [384, 384, 3]. The content does not affect the
    time."""
    random = np.random.default_rng(7)
    soft = cv2.resize(
        random.integers(0, 256, (12, 12, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )
    return cv2.add(soft, random.integers(0, 12, soft.shape, np.uint8))


def peak_speed(kind: torch.dtype) -> float:
    """Return the multiply-adds per second of the fastest operation.

    These are a matrix product and two 3x3 convolutions, because PyTorch computes them with
    different libraries.
    """
    side = 2048

    def fastest() -> float:
        first, second = (torch.randn(side, side).to(kind) for _ in range(2))
        product = best_seconds(lambda: first @ second, 6)
        speeds = [_convolution_speed(kind, channels) for channels in (128, 256)]
        return max(side**3 / product, *speeds)

    with torch.inference_mode():
        return DEVICE_THREAD.call(fastest)


def _convolution_speed(kind: torch.dtype, channels: int, side: int = 128) -> float:
    """Return the multiply-adds per second of a 3x3 convolution."""
    form = torch.channels_last
    image = torch.randn(1, channels, side, side).to(kind, memory_format=form)
    weight = torch.randn(channels, channels, 3, 3).to(kind, memory_format=form)
    seconds = best_seconds(lambda: F.conv2d(image, weight, padding=1), 6)
    return channels**2 * 9 * side**2 / seconds


def best_seconds(work: Callable[[], object], times: int) -> float:
    """Return the shortest of several times of `work`, after one that is not counted."""
    work()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _seconds(engine: Engine, image: np.ndarray) -> float:
    """Return the seconds of the network, without those of loading it."""
    for _ in engine.stream(image[:16, :16], MODEL, tile=TILE):
        pass
    started = time.perf_counter()
    for _ in engine.stream(image, MODEL, tile=TILE):
        pass
    return time.perf_counter() - started
