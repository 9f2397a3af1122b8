"""Plots drawn as vectors: histograms, settings against their neutral value, seconds by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ..settings import NEUTRAL, PRESETS, RANGES
from .facts import number
from .sheet import ACCENT, BODY, FAINT, GREY, INK, NOTE, Colour, Sheet

ROW = 6.2
"""Millimetres from one bar to the next."""

_FILL: Colour = (205, 209, 215)
_CHANNELS: tuple[tuple[str, Colour], ...] = (
    ("brightness", ACCENT),
    ("red", (186, 62, 58)),
    ("green", (56, 132, 84)),
    ("blue", (52, 96, 186)),
)
_LABEL, _VALUE = 23.0, 15.0
_THICK = 1.7
_STAGES = ("decode", "scene", "network", "faces", "tuning", "encode")
_MOST_STAGES = 8
_TICKS: tuple[tuple[int, Literal["left", "centre", "right"]], ...] = ((0, "left"), (128, "centre"), (255, "right"))


def draw_histograms(
    sheet: Sheet, boxes: Sequence[tuple[float, float]], y: float, height: float, before: np.ndarray, after: np.ndarray
) -> None:
    """One plot a row of the histograms, in boxes of (x, width) below y: before filled, after as a line."""
    for (x, width), (name, colour), filled, line in zip(boxes, _CHANNELS, before, after, strict=False):
        sheet.text(x, y, sheet.texts.named(name), BODY)
        base = y + 3 + height
        # black borders and burnt-out skies are spikes at the ends that would flatten all the rest
        inner = max(filled[2:-2].max(), line[2:-2].max())
        highest = 1.05 * (inner or max(filled.max(), line.max(), 1e-9))
        steps = np.linspace(x, x + width, len(filled))
        outline, curve = (_points(steps, base - np.minimum(shares / highest, 1) * height) for shares in (filled, line))
        sheet.area([(x, base), *outline, (x + width, base)], _FILL)
        sheet.line(curve, colour, 0.3)
        sheet.rule(x, base, width, GREY)
        for level, align in _TICKS:
            sheet.text(x + width * level / 255, base + 3.4, str(level), NOTE, colour=GREY, align=align)


def _points(across: np.ndarray, down: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(across.tolist(), down.tolist(), strict=True))


def draw_legend(sheet: Sheet, right: float, y: float) -> None:
    """What is filled and what is a line, ending at `right`."""
    texts = sheet.texts
    start = right - sheet.width(texts.after, NOTE)
    sheet.text(start, y, texts.after, NOTE, colour=GREY)
    sheet.line([(start - 6, y - 0.8), (start - 1.5, y - 0.8)], ACCENT, 0.3)
    start -= 10 + sheet.width(texts.before, NOTE)
    sheet.text(start, y, texts.before, NOTE, colour=GREY)
    sheet.bar(start - 5, y - 1.8, 3.5, 2, _FILL)


def draw_settings(sheet: Sheet, x: float, y: float, width: float, preset: object, settings: Mapping[str, Any]) -> float:
    """A bar for each slider from its neutral position to its value; gives the baseline for what follows."""
    texts = sheet.texts
    on = settings.get("tuning") is not False
    known = PRESETS.get(str(preset))
    for name in ("strength", "denoise", "sharpen", "saturation", "contrast"):
        value = number(settings.get(name))
        used = known is None or known.denoises if name == "denoise" else on
        low, high = RANGES[name]
        start, track = x + _LABEL, width - _LABEL - _VALUE
        sheet.text(x, y, texts.named(name), BODY, colour=INK if used else GREY)
        sheet.rule(start, y - 1.1, track)
        neutral = start + track * (NEUTRAL.get(name, 0.0) - low) / (high - low)
        if value is not None and used:
            place = start + track * (min(max(value, low), high) - low) / (high - low)
            sheet.bar(neutral, y - 1.1 - _THICK / 2, place - neutral, _THICK, ACCENT)
        sheet.line([(neutral, y - 2.7), (neutral, y + 0.5)], INK if used else FAINT, 0.25)
        words = texts.unused if not used else texts.unknown if value is None else f"{value:.2f}"
        sheet.text(x + width, y, words, BODY, colour=INK if used else GREY, align="right")
        y += ROW
    return y


def draw_seconds(sheet: Sheet, x: float, y: float, width: float, seconds: Mapping[str, Any]) -> float:
    """A bar for each stage and the total below; gives the baseline for what follows."""
    texts = sheet.texts
    numbers = {name: number(value) for name, value in seconds.items()}
    total = numbers.pop("total", None)
    ordered = sorted(numbers, key=lambda name: _STAGES.index(name) if name in _STAGES else len(_STAGES))
    stages = {name: value for name in ordered if (value := numbers[name]) is not None}
    longest = max(stages.values(), default=0.0) or 1.0
    for name, value in list(stages.items())[:_MOST_STAGES]:
        sheet.text(x, y, texts.named(name), BODY, within=_LABEL - 2)
        track = width - _LABEL - _VALUE
        sheet.rule(x + _LABEL, y - 1.1, track)
        sheet.bar(x + _LABEL, y - 1.1 - _THICK / 2, max(track * value / longest, 0.2), _THICK, ACCENT)
        sheet.text(x + width, y, texts.seconds.format(f"{value:,.2f}"), BODY, align="right")
        y += ROW
    sheet.text(x, y, texts.total, BODY, bold=True)
    words = texts.unknown if total is None else texts.seconds.format(f"{total:,.2f}")
    sheet.text(x + width, y, words, BODY, bold=True, align="right")
    return y + ROW
