"""Benchmark of this computer: its peak, the share of it that the engine reaches, and RealESRGANer on the same image."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import platform
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import torch
from PIL import Image

from . import models
from .engine.device import PRECISIONS
from .engine.engine import Engine
from .enhancer import Enhancer
from .info import PeakMemory
from .output.png import encode_png
from .scheduler import SCHEDULER
from .settings import Settings

MODEL = "realesrgan-x4plus"
SIDE = 384
TILE = 192
_TIMES = 2
WHOLE = ("original", "precise")
"""The presets whose complete runs are compared: one with the default network, and the fastest."""


def measure(device: str = "auto", precision: str = "auto") -> dict[str, Any]:
    """Measure this computer. The figures are in seconds, shares of 1, MB and 1e9 multiply-adds per second."""
    picture = _picture()
    automatic = Engine(device, precision)
    figures: dict[str, Any] = {
        "machine": _machine(automatic),
        "picture": f"{SIDE} x {SIDE}",
        "peak": {
            name: round(matrix_peak(kind, automatic.device) / 1e9, 1)
            for name, kind in PRECISIONS.items()
            if name in {"fp32", automatic.precision()}
        },
        "engine": {},
    }
    enlarged = np.empty(0)
    for name in dict.fromkeys(("fp32", automatic.precision())):
        expected = Engine(device, name).estimate(MODEL, SIDE, SIDE)
        engine = automatic if name == automatic.precision() else Engine(device, name)
        seconds, memory, enlarged = _run(engine, picture)
        reached = models.graph_of(MODEL).work * SIDE**2 / seconds / 1e9
        figures["engine"][name] = {
            "seconds": round(seconds, 2),
            "expected_seconds": round(expected, 2),
            "share_of_peak": round(reached / figures["peak"][name], 3),
            "peak_memory_mb": round(memory),
        }
        engine.release()
    figures["reference"] = _reference(picture, automatic.device, figures["engine"])
    figures["whole"] = whole_runs(device, precision, picture)
    figures["png"] = _encoders(enlarged)
    return figures


def table(figures: dict[str, Any]) -> str:
    """Return the figures as text."""
    lines = [f"{figures['machine']}, image {figures['picture']}, model {MODEL}, tile {TILE}", ""]
    lines += [f"matrix-product peak {name:<5} {peak:8.1f} GMAC/s" for name, peak in figures["peak"].items()]
    lines.append("")
    for name, one in figures["engine"].items():
        lines.append(
            f"row streaming {name:<11} {one['seconds']:8.2f} s   {one['share_of_peak']:4.0%} of peak   "
            f"{one['peak_memory_mb']} MB peak memory   {one['expected_seconds']:.2f} s estimated"
        )
    lines.append("")
    reference = figures["reference"]
    if "seconds" in reference:
        ratios = ", ".join(f"{ratio} times as long as {name}" for name, ratio in reference["ratio"].items())
        lines.append(f"RealESRGANer {reference['precision']:<12} {reference['seconds']:8.2f} s   {ratios}")
    else:
        lines.append(f"RealESRGANer              not measured: {reference['reason']}")
    whole = figures["whole"]
    if "ratio" in whole:
        slow, quick = WHOLE
        times = f"{quick} is {whole['ratio']} times as fast as {slow} ({whole[slow]} s)"
        lines.append(f"file to PNG {quick:<13} {whole[quick]:8.2f} s   {times}")
    else:
        lines.append(f"file to PNG               not measured: {whole['reason']}")
    lines.append("")
    for name, one in figures["png"].items():
        lines.append(f"PNG {name:<21} {one['seconds']:8.3f} s   {one['bytes'] / 1e6:.2f} MB")
    return "\n".join(lines)


def whole_runs(device: str, precision: str, picture: np.ndarray) -> dict[str, Any]:
    """Measure the time from the input file to the PNG with the presets of WHOLE, each as the best of a few runs."""
    names = {preset: Settings.from_preset(preset).model for preset in WHOLE}
    if missing := [name for name in names.values() if models.locate(name) is None]:
        return {"reason": f"{', '.join(missing)} not installed"}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        enhancer = Enhancer(device, precision, data=folder)
        small, large, result = (Path(folder) / name for name in ("small.png", "large.png", "result.png"))
        Image.fromarray(picture[:16, :16]).save(small)
        Image.fromarray(picture).save(large)
        for preset in WHOLE * _TIMES:
            for source in (small, large):  # the first run loads the model and is not counted
                started = time.perf_counter()
                enhancer.run(source, preset, output=result)
                taken = time.perf_counter() - started
                result.unlink()
            seconds[preset] = min(taken, seconds.get(preset, taken))
        enhancer.release()
    slow, quick = (seconds[preset] for preset in WHOLE)
    return {**{preset: round(one, 2) for preset, one in seconds.items()}, "ratio": round(slow / quick, 1)}


def import_reference() -> tuple[Any, Any]:
    """Return RRDBNet of basicsr and RealESRGANer of realesrgan. Raises ImportError if they are not installed."""
    supply_functional_tensor()
    network = importlib.import_module("basicsr.archs.rrdbnet_arch").RRDBNet
    return network, importlib.import_module("realesrgan").RealESRGANer


def supply_functional_tensor() -> None:
    """Add the module that basicsr imports and torchvision removed in 0.17, with the one function that it needs.

    Raises ImportError if torchvision is not installed.
    """
    name = "torchvision.transforms.functional_tensor"
    if name not in sys.modules:
        supplied = types.ModuleType(name)
        functional = importlib.import_module("torchvision.transforms.functional")
        supplied.__dict__["rgb_to_grayscale"] = functional.rgb_to_grayscale
        sys.modules[name] = supplied


def _machine(engine: Engine) -> str:
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    threads = SCHEDULER.call(torch.get_num_threads)
    return f"{platform.machine()}, {cores} cores, {threads} threads, device {engine.device}"


def _picture() -> np.ndarray:
    """Return a smooth image with some noise. The content does not affect the time."""
    random = np.random.default_rng(7)
    soft = cv2.resize(random.integers(0, 256, (12, 12, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return cv2.add(soft, random.integers(0, 12, soft.shape, np.uint8))


def matrix_peak(kind: torch.dtype, device: torch.device) -> float:
    """Return the multiply-adds per second of a large matrix product."""
    size = 2048

    def multiply() -> float:
        first, second = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
        return _best(lambda: (first @ second)[0, 0].item(), 6)

    return size**3 / SCHEDULER.call(multiply)


def _best(work: Callable[[], object], times: int) -> float:
    work()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _run(engine: Engine, picture: np.ndarray) -> tuple[float, float, np.ndarray]:
    for _ in engine.stream(picture[:16, :16], MODEL, tile=TILE):
        pass  # loads the model, which is not timed for the reference either
    memory = PeakMemory(engine.device.type)
    started = time.perf_counter()
    strips = list(engine.stream(picture, MODEL, tile=TILE, progress=lambda *_: memory.sample()))
    return time.perf_counter() - started, memory.sample(), np.concatenate(strips)


def _reference(picture: np.ndarray, device: torch.device, ours: dict[str, Any]) -> dict[str, Any]:
    try:
        network, upscaler = import_reference()
    except Exception as error:  # basicsr raises many errors with incompatible packages, not only ImportError
        return {"reason": f"basicsr and realesrgan are not installed ({type(error).__name__})"}
    # On the thread of the engine, because the OpenMP threads of a second one would slow this one down.
    seconds = SCHEDULER.call(lambda: _reference_seconds(picture, device, network, upscaler))
    ratio = {name: round(seconds / one["seconds"], 2) for name, one in ours.items()}
    kind = "fp16" if device.type == "cuda" else "fp32"
    return {"seconds": round(seconds, 2), "precision": kind, "ratio": ratio}


def _reference_seconds(picture: np.ndarray, device: torch.device, network: Any, upscaler: Any) -> float:
    state = models.read_state_dict(models.ensure(MODEL))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "weights.pth"
        torch.save({"params_ema": state}, path)
        on_gpu = device.type == "cuda"
        model = network(3, 3, num_block=23)
        reference = upscaler(4, str(path), model=model, tile=TILE, half=on_gpu, device=device)
        reference.enhance(picture[:16, :16, ::-1])  # the first run initialises the GPU libraries
        started = time.perf_counter()
        reference.enhance(picture[:, :, ::-1])
        return time.perf_counter() - started


def _encoders(pixels: np.ndarray) -> dict[str, Any]:
    def pillow() -> bytes:
        sink = io.BytesIO()
        Image.fromarray(pixels).save(sink, "PNG", compress_level=1)
        return sink.getvalue()

    encoders: dict[str, Callable[[], bytes]] = {
        "ours": lambda: encode_png(pixels),
        "Pillow level 1": pillow,
        "OpenCV level 1": lambda: cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes(),
    }
    logging.getLogger("PIL").setLevel(logging.WARNING)
    return {name: {"seconds": round(_best(encode, 3), 4), "bytes": len(encode())} for name, encode in encoders.items()}
