"""Comparisons with RealESRGANer and other PNG encoders, and whole runs of two presets. `make bench`
includes them."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from docs.measure_engine import MODEL, TILE, best_seconds, sample_image
from enhance import models
from enhance.engine.device_thread import DEVICE_THREAD
from enhance.engine.engine import Engine
from enhance.enhancer import Enhancer
from enhance.formats.png import encode_png
from enhance.settings import Settings

PRESETS = ("original", "precise")
"""The presets whose complete runs are compared: one with the default network, and the fastest."""
_TIMES = 2


def measure_peers(seconds: dict[str, float]) -> dict[str, Any]:
    """Measure the other programs on the CPU; `seconds` are those of the engine by precision, for
    the same image."""
    image, engine = sample_image(), Engine("cpu")
    enlarged = engine.enlarge(image, MODEL, tile=TILE)
    engine.release()
    return {
        "reference": _reference(image, seconds),
        "whole": _whole_runs(image),
        "png": _encoders(enlarged),
    }


def table(figures: dict[str, Any]) -> str:
    """Return the figures as text."""
    reference, whole = figures["reference"], figures["whole"]
    if "seconds" in reference:
        ratios = ", ".join(
            f"{ratio} times as long as {name}" for name, ratio in reference["ratio"].items()
        )
        lines = [
            f"RealESRGANer {reference['precision']:<12} {reference['seconds']:8.2f} s   {ratios}"
        ]
    else:
        lines = [f"RealESRGANer              not measured: {reference['reason']}"]
    if "ratio" in whole:
        slow, quick = PRESETS
        times = f"{quick} is {whole['ratio']} times as fast as {slow} ({whole[slow]} s)"
        lines.append(f"file to PNG {quick:<13} {whole[quick]:8.2f} s   {times}")
    else:
        lines.append(f"file to PNG               not measured: {whole['reason']}")
    lines.append("")
    for name, one in figures["png"].items():
        lines.append(f"PNG {name:<21} {one['seconds']:8.3f} s   {one['bytes'] / 1e6:.2f} MB")
    return "\n".join(lines)


def import_reference() -> tuple[Any, Any]:
    """Return RRDBNet of basicsr and RealESRGANer of realesrgan. Raises ImportError if they are not
    installed."""
    supply_functional_tensor()
    network = importlib.import_module("basicsr.archs.rrdbnet_arch").RRDBNet
    return network, importlib.import_module("realesrgan").RealESRGANer


def supply_functional_tensor() -> None:
    """Add the module that basicsr imports and torchvision removed in 0.17, with the one function
    that it needs.

    Raises ImportError if torchvision is not installed.
    """
    name = "torchvision.transforms.functional_tensor"
    if name not in sys.modules:
        supplied = types.ModuleType(name)
        functional = importlib.import_module("torchvision.transforms.functional")
        supplied.__dict__["rgb_to_grayscale"] = functional.rgb_to_grayscale
        sys.modules[name] = supplied


def _reference(image: np.ndarray, ours: dict[str, float]) -> dict[str, Any]:
    try:
        network, upscaler = import_reference()
    except Exception as error:  # With incompatible packages, basicsr raises many errors.
        return {"reason": f"basicsr and realesrgan are not installed ({type(error).__name__})"}
    # On the thread of the engine, because the OpenMP threads of a second one would slow this one
    # down.
    with contextlib.redirect_stdout(io.StringIO()):
        seconds, _ = DEVICE_THREAD.call(lambda: run_reference(image, network, upscaler))
    ratio = {name: round(seconds / one, 2) for name, one in ours.items()}
    return {"seconds": round(seconds, 2), "precision": "fp32", "ratio": ratio}


def run_reference(image: np.ndarray, network: Any, upscaler: Any) -> tuple[float, np.ndarray]:
    """Return the seconds and the result of RealESRGANer for an RGB image."""
    reference = load_reference(network, upscaler)
    started = time.perf_counter()
    result, _ = reference.enhance(image[:, :, ::-1])
    return time.perf_counter() - started, result[..., ::-1]


def load_reference(network: Any, upscaler: Any) -> Any:
    """Return a RealESRGANer on the CPU, as it is after its first run."""
    state = models.read_state_dict(models.ensure(MODEL))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save({"params_ema": state}, path)
        model = network(3, 3, num_block=23)
        reference = upscaler(4, str(path), model=model, tile=TILE, device="cpu")
        with contextlib.redirect_stdout(io.StringIO()):
            reference.enhance(sample_image()[:16, :16, ::-1])
    return reference


def _whole_runs(image: np.ndarray) -> dict[str, Any]:
    """Measure the time from the input file to the PNG with the presets of PRESETS, each as the best
    of a few runs."""
    names = {preset: Settings.from_preset(preset).model for preset in PRESETS}
    if missing := [name for name in names.values() if models.locate(name) is None]:
        return {"reason": f"{', '.join(missing)} not installed"}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        enhancer = Enhancer("cpu", data=folder)
        small, large, result = (
            Path(folder) / name for name in ("small.png", "large.png", "result.png")
        )
        Image.fromarray(image[:16, :16]).save(small)
        Image.fromarray(image).save(large)
        for preset in PRESETS * _TIMES:
            for source in (small, large):  # the first run loads the model and is not counted
                started = time.perf_counter()
                enhancer.run(source, preset, output=result)
                taken = time.perf_counter() - started
                result.unlink()
            seconds[preset] = min(taken, seconds.get(preset, taken))
        enhancer.release()
    slow, quick = (seconds[preset] for preset in PRESETS)
    return {
        **{preset: round(one, 2) for preset, one in seconds.items()},
        "ratio": round(slow / quick, 1),
    }


def _encoders(pixels: np.ndarray) -> dict[str, Any]:
    def pillow() -> bytes:
        sink = io.BytesIO()
        Image.fromarray(pixels).save(sink, "PNG", compress_level=1)
        return sink.getvalue()

    encoders: dict[str, Callable[[], bytes]] = {
        "ours": lambda: encode_png(pixels),
        "Pillow level 1": pillow,
        "OpenCV level 1": lambda: cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[
            1
        ].tobytes(),
    }
    logging.getLogger("PIL").setLevel(logging.WARNING)
    return {
        name: {"seconds": round(best_seconds(encode, 3), 4), "bytes": len(encode())}
        for name, encode in encoders.items()
    }
