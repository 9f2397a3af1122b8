"""The second page: the two files, how the result was made, the settings, and what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .facts import Row, Wide, at, group, short
from .findings import Findings
from .frame import draw_heading
from .plots import draw_histograms, draw_legend, draw_seconds, draw_settings
from .sheet import BODY, GREY, LEAD, LEFT, NOTE, WIDTH, Sheet, column, leading

_START = 25.0
_ROW = 6.0
_LABEL = 27.0
_PLOT = 27.0
_GAP = 9.0


def draw_facts(
    sheet: Sheet, info: Mapping[str, Any], files: Sequence[Wide], run: tuple[list[Row], list[Row]], findings: Findings
) -> None:
    texts = sheet.texts
    y = _draw_files(sheet, _START, files)
    y = _draw_run(sheet, y + _GAP, run)
    y = _draw_bars(sheet, y + _GAP, info) + _GAP - 1
    draw_heading(sheet, LEFT, y, WIDTH, texts.light)
    draw_legend(sheet, LEFT + WIDTH, y)
    sheet.rule(LEFT, y + 2.2, WIDTH)
    before, after = findings.histograms
    one = len(before) == 1
    boxes = [(LEFT, WIDTH)] if one else [column(place, 4) for place in range(4)]
    draw_histograms(sheet, boxes, y + 8, _PLOT, before, after)
    _draw_measures(sheet, y + _PLOT + 24, info, findings)


def _draw_files(sheet: Sheet, y: float, files: Sequence[Wide]) -> float:
    """The table of both files; gives the baseline under it."""
    texts = sheet.texts
    before, after = LEFT + _LABEL, LEFT + _LABEL + (WIDTH - _LABEL + 6) / 2
    within = after - before - 6
    draw_heading(sheet, LEFT, y, WIDTH, texts.files)
    sheet.text(before, y, texts.before, BODY, colour=GREY)
    sheet.text(after, y, texts.after, BODY, colour=GREY)
    sheet.rule(LEFT, y + 2.2, WIDTH)
    y += 2.2 + _ROW - 1.2
    for label, one, other in files:
        sheet.text(LEFT, y, label, BODY, colour=GREY)
        ends = [_draw_value(sheet, x, y, words, within) for x, words in ((before, one), (after, other))]
        y = max(ends) + _ROW
        sheet.rule(LEFT, y - _ROW + 2, WIDTH)
    return y


def _draw_value(sheet: Sheet, x: float, y: float, words: str, within: float) -> float:
    """A value on one line or two, a checksum in two halves; gives its last baseline."""
    if len(words) == 64 and " " not in words:
        lines = [words[:32], words[32:]]
    else:
        lines = sheet.broken(sheet.clean(words), BODY, within)
        if len(lines) > 2:
            lines = [lines[0], "".join(lines[1:])]
    for place, line in enumerate(lines):
        sheet.text(x, y + place * leading(BODY), line, BODY, within=within)
    return y + max(0, len(lines) - 1) * leading(BODY)


def _draw_run(sheet: Sheet, y: float, run: tuple[list[Row], list[Row]]) -> float:
    draw_heading(sheet, LEFT, y, WIDTH, sheet.texts.made)
    sheet.rule(LEFT, y + 2.2, WIDTH)
    ends = []
    for place, rows in enumerate(run):
        x, width = column(place, 2)
        baseline = y + 2.2 + _ROW - 1.2
        for label, value in rows:
            sheet.text(x, baseline, label, BODY, colour=GREY, within=_LABEL - 2)
            baseline = _draw_value(sheet, x + _LABEL, baseline, value, width - _LABEL) + _ROW - 0.4
        ends.append(baseline)
    return max(ends)


def _draw_bars(sheet: Sheet, y: float, info: Mapping[str, Any]) -> float:
    """Settings on the left, seconds on the right."""
    texts = sheet.texts
    settings, seconds = group(info, "settings"), group(info, "seconds")
    (left, width), (right, _) = column(0, 2), column(1, 2)
    off = settings.get("tuning") is False
    draw_heading(sheet, left, y, width, texts.settings, texts.tuning_off if off else texts.settings_note)
    draw_heading(sheet, right, y, width, texts.time)
    sheet.rule(left, y + 2.2, width)
    sheet.rule(right, y + 2.2, width)
    start = y + 2.2 + _ROW - 0.4
    ends = [draw_settings(sheet, left, start, width, at(info, "preset"), settings)]
    ends.append(draw_seconds(sheet, right, start, width, seconds))
    if at(info, "cached"):
        ends[1] = sheet.paragraph(right, ends[1], texts.cached, NOTE, width, colour=GREY, lines=2)
    return max(ends)


def _draw_measures(sheet: Sheet, y: float, info: Mapping[str, Any], findings: Findings) -> None:
    """Four numbers in the grid of the plots, each with a sentence that says what it is."""
    texts = sheet.texts
    draw_heading(sheet, LEFT, y, WIDTH, texts.fidelity)
    sheet.rule(LEFT, y + 2.2, WIDTH)
    sharp = [texts.unknown if value is None else short(value) for value in findings.sharpness]
    likeness = findings.likeness
    agreement = _decibels(at(info, "agreement_db"), sheet)
    measured = agreement != texts.unknown
    compared = texts.psnr_note.format(f"{likeness.width:,}", f"{likeness.height:,}")
    measures = [
        (texts.psnr, _decibels(likeness.psnr, sheet), compared),
        (texts.ssim, texts.unknown if likeness.ssim is None else f"{likeness.ssim:.4f}", texts.ssim_note),
        (texts.sharpness, " → ".join(sharp), texts.sharpness_note),
        (texts.agreement, agreement, texts.agreement_note if measured else texts.not_measured),
    ]
    for place, (label, value, note) in enumerate(measures):
        x, width = column(place, 4)
        sheet.text(x, y + 7.5, label, BODY, colour=GREY, within=width)
        sheet.text(x, y + 14, value, LEAD, bold=True, within=width)
        sheet.paragraph(x, y + 19, note, NOTE, width, colour=GREY, lines=5)


def _decibels(value: object, sheet: Sheet) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        return sheet.texts.unknown
    return sheet.texts.identical if math.isinf(value) else f"{value:.1f} dB"
