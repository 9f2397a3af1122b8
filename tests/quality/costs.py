"""The cost of networks and sliders in CPU seconds per megapixel of the photo."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from skimage import data

from enhance import PRESETS, Enhancer, Settings, models
from enhance.images import SourceImage
from enhance.output.deblocking import deblocked_rows, without_steps
from enhance.output.fidelity import Rows
from enhance.output.result import ResultRows, Scene

from .cases import jpeg_case

_TIMES = 7
_ROWS = 64


def slider_costs() -> dict[str, float]:
    """Return the CPU seconds per megapixel of each step of the tuning, the minimum of several rounds."""
    photo = np.ascontiguousarray(np.tile(data.astronaut(), (2, 2, 1)))
    network = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    image = SourceImage("photo", "0" * 64, 0, "PNG", "RGB", photo, None, False, None)
    compressed = jpeg_case(photo, photo, 75).image
    plain = Settings.from_preset("gentle", strength=1.0, fidelity=0.0)

    strips = _strips(4 * len(photo))

    def result(settings: Settings) -> ResultRows:
        seen = Scene().photo(image, settings, image.degradation)
        return ResultRows(image, lambda first, last: network[first:last], settings, seen)

    def tuned(settings: Settings) -> Callable[[], object]:
        return lambda: [*map(result(settings).rows, *zip(*strips, strict=True))]

    def smooth() -> Rows:
        return without_steps(lambda first, last: network[first:last], Scene().photo(compressed, plain), 4, 1.0)

    rows = result(plain).rows(0, 4 * len(photo))
    works = {
        "tuning without either": tuned(plain),
        "tuning with strength below 1": tuned(plain.changed(strength=0.6)),
        "tuning with fidelity": tuned(plain.changed(fidelity=1)),
        "tuning with both": tuned(plain.changed(strength=0.6, fidelity=1)),
        "measuring the fidelity": lambda: _measure(result(plain), rows),
        "removing JPEG blocks": lambda: deblocked_rows(compressed)(0, len(photo)),
        "the same, and their steps from the network's output": lambda: [*map(smooth(), *zip(*strips, strict=True))],
        "the photo's noise and softness, once": lambda: replace(image).degradation,
    }
    rounds = [
        [_spent(work) for work in works.values()] for _ in range(_TIMES)
    ]  # timed alternately, because the speed of a computer varies
    megapixels = photo.shape[0] * photo.shape[1] / 1e6
    return {what: min(spent) / megapixels for what, spent in zip(works, zip(*rounds, strict=True), strict=True)}


def network_costs(enhancer: Enhancer) -> dict[str, float]:
    """Return the CPU seconds per megapixel of each installed network at its default precision."""
    photo, spent = np.ascontiguousarray(data.astronaut()[:128, :192]), {}
    for model in dict.fromkeys(preset.model for preset in PRESETS.values()):
        if model and models.locate(model) is not None:
            enhancer.upscale(photo[:16, :16], model)
            seconds = min(_spent(lambda model=model: enhancer.upscale(photo, model)) for _ in range(3))
            spent[f"network, {model} at {enhancer.engine.precision(8, model)}"] = seconds
    return {what: 1e6 * seconds / (photo.shape[0] * photo.shape[1]) for what, seconds in spent.items()}


def costs_table(enhancer: Enhancer) -> str:
    """Return the cost of networks and sliders in Markdown."""
    lines = ["| | seconds |", "| --- | ---: |"]
    values = network_costs(enhancer) | slider_costs()
    return "\n".join([*lines, *(f"| {what} | {float(f'{spent:.2g}'):g} |" for what, spent in values.items())])


def _measure(result: ResultRows, rows: np.ndarray) -> None:
    meter = result.meter()
    for first, last in _strips(len(rows)):
        meter.add(rows[first:last])
    meter.fidelity()


def _strips(height: int) -> list[tuple[int, int]]:
    return [(first, min(first + _ROWS, height)) for first in range(0, height, _ROWS)]


def _spent(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
