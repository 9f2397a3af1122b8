"""Plots drawn as vectors: histograms, settings against their neutral value, seconds by stage."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import cv2
import numpy as np

from ..output.rendition import grey_of, seen_of
from ..settings import NEUTRAL, RANGES
from ..texts import name_of
from .sheet import ACCENT, BODY, FAINT, GREY, INK, NOTE, Colour, Sheet

BINS = 128
_FILL: Colour = (205, 209, 215)
_CHANNELS: tuple[tuple[str, Colour], ...] = (
    ("brightness", ACCENT),
    ("red", (186, 62, 58)),
    ("green", (56, 132, 84)),
    ("blue", (52, 96, 186)),
)
_ROW = 6.2  # mm from one bar to the next
_LABEL, _VALUE = 23.0, 15.0
_THICK = 1.7
_SLIDERS = ("strength", "fidelity", "denoise", "sharpen", "saturation", "contrast")
_STAGES = ("wait", "decode", "scene", "network", "tuning", "encode")
_MOST_STAGES = 8
_TICKS: tuple[tuple[int, Literal["left", "centre", "right"]], ...] = ((0, "left"), (128, "centre"), (255, "right"))


class Histogram:
    """Counts the seen pixels of strips: brightness, and unless `grey` red, green and blue."""

    def __init__(self, grey: bool) -> None:
        self._counts = np.zeros((1 if grey else 4, BINS))

    def add(self, strip: np.ndarray) -> None:
        """Take uint8 RGB or RGBA [n, W, C]."""
        seen = seen_of(strip)
        for row, plane in enumerate((grey_of(strip), *cv2.split(strip))[: len(self._counts)]):
            self._counts[row] += cv2.calcHist([plane], [0], seen, [BINS], [0, 256]).ravel()

    @property
    def shares(self) -> np.ndarray:
        """[1 or 4, BINS]; every row sums to 1, or to 0 if nothing was seen."""
        return self._counts / np.maximum(self._counts.sum(axis=1, keepdims=True), 1)


def draw_histograms(
    sheet: Sheet, boxes: Sequence[tuple[float, float]], y: float, height: float, before: np.ndarray, after: np.ndarray
) -> None:
    """One plot a row of the histograms, in boxes of (x, width) below y: before filled, after as a line."""
    for (x, width), (name, colour), filled, line in zip(boxes, _CHANNELS, before, after, strict=False):
        sheet.text(x, y, sheet.say(f"report_{name}"), BODY)
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
    before, after = sheet.say("report_before"), sheet.say("report_after")
    start = right - sheet.width(after, NOTE)
    sheet.text(start, y, after, NOTE, colour=GREY)
    sheet.line([(start - 6, y - 0.8), (start - 1.5, y - 0.8)], ACCENT, 0.3)
    start -= 10 + sheet.width(before, NOTE)
    sheet.text(start, y, before, NOTE, colour=GREY)
    sheet.bar(start - 5, y - 1.8, 3.5, 2, _FILL)


def draw_settings(
    sheet: Sheet, x: float, y: float, width: float, values: Mapping[str, float | None], unused: Collection[str]
) -> float:
    """A bar for each slider from its neutral position to its value; gives the baseline for what follows.

    A value that is None is not known; the sliders named in `unused` made no difference.
    """
    for name in _SLIDERS:
        value, used = values.get(name), name not in unused
        low, high = RANGES[name]
        start, track = x + _LABEL, width - _LABEL - _VALUE
        sheet.text(x, y, sheet.say(name), BODY, colour=INK if used else GREY)
        sheet.rule(start, y - 1.1, track)
        neutral = start + track * (NEUTRAL.get(name, 0.0) - low) / (high - low)
        if value is not None and used:
            place = start + track * (min(max(value, low), high) - low) / (high - low)
            sheet.bar(neutral, y - 1.1 - _THICK / 2, place - neutral, _THICK, ACCENT)
        sheet.line([(neutral, y - 2.7), (neutral, y + 0.5)], INK if used else FAINT, 0.25)
        number = sheet.say("report_unknown") if value is None else f"{value:.2f}"
        words = number if used else sheet.say("report_unused")
        sheet.text(x + width, y, words, BODY, colour=INK if used else GREY, align="right")
        y += _ROW
    return y


def draw_seconds(sheet: Sheet, x: float, y: float, width: float, seconds: Mapping[str, float | None]) -> float:
    """A bar for each stage and the `total` below; gives the baseline for what follows."""
    known = {name: value for name, value in seconds.items() if value is not None}
    total = known.pop("total", None)
    ordered = sorted(known, key=lambda name: _STAGES.index(name) if name in _STAGES else len(_STAGES))
    longest = max(known.values(), default=0.0) or 1.0
    for name in ordered[:_MOST_STAGES]:
        sheet.text(x, y, name_of(sheet.language, "report_stage", name), BODY, within=_LABEL - 2)
        track = width - _LABEL - _VALUE
        sheet.rule(x + _LABEL, y - 1.1, track)
        sheet.bar(x + _LABEL, y - 1.1 - _THICK / 2, max(track * known[name] / longest, 0.2), _THICK, ACCENT)
        sheet.text(x + width, y, _seconds(sheet, known[name]), BODY, align="right")
        y += _ROW
    sheet.text(x, y, sheet.say("report_total"), BODY, bold=True)
    words = sheet.say("report_unknown") if total is None else _seconds(sheet, total)
    sheet.text(x + width, y, words, BODY, bold=True, align="right")
    return y + _ROW


def _seconds(sheet: Sheet, value: float) -> str:
    return sheet.say("report_seconds", number=f"{value:,.2f}")
