"""The two pages of a report: the whole picture and three places of it before and after, and then the facts.

Every value of a run's `info` may be missing, and none of them breaks a page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

from ..errors import SettingsError
from ..info import faithfulness, settings_in
from ..picture import Picture
from ..picture.colour import profile_name
from ..settings import NEUTRAL, Settings, all_presets
from ..tasks import download_name
from ..texts import PixelCount, name_of, say_print, source_in_words
from .findings import Findings, Wanted
from .sheet import (
    ACCENT,
    BODY,
    GREY,
    LEAD,
    LEFT,
    NOTE,
    WHITE,
    WIDTH,
    Sheet,
    column,
    date_in_words,
    draw_histograms,
    draw_legend,
    draw_seconds,
    draw_settings,
    leading,
)

_TOP, _BOTTOM = 52.0, 279.0  # where the content of the first page begins below the head, and where it ends
_PLACE_PIXELS = 320
_WIDE = 2.6  # wider pictures lie one above the other
_TALLEST = 92.0
_CAPTION, _HEADING, _BETWEEN, _LINE = 5.5, 6.0, 8.0, 5.5
_LOWEST_PLACE, _HIGHEST_PLACE = 40.0, 62.0
_DOTS = 300 / 25.4
_BADGE = 3.4

_START, _GAP, _ROW, _BELOW = 25.0, 9.0, 6.0, 7.0  # _BELOW: from a heading to the first row under it
_LABEL, _PLOT = 27.0, 27.0
_COLOURS = {
    **dict.fromkeys(("1", "L", "I", "F"), "report_grey"),
    "LA": "report_grey_alpha",
    "RGBA": "report_rgb_alpha",
    "P": "report_palette",
}
_Row = tuple[str, str]
_Wide = tuple[str, str, str]


@dataclass(frozen=True)
class Layout:
    """Sizes in mm (width, height) of one whole picture and of one place; `stacked`: after lies below before."""

    whole: tuple[float, float]
    place: tuple[float, float]
    stacked: bool

    @classmethod
    def of(cls, width: int, height: int) -> Layout:
        """That for a picture of this shape."""
        stacked = width / height > _WIDE
        across = WIDTH if stacked else column(0, 2)[1]
        factor = min(across / width, _TALLEST / height)
        whole = max(1.0, width * factor), max(1.0, height * factor)
        taken = (2 if stacked else 1) * (whole[1] + _CAPTION)
        rest = _BOTTOM - _TOP - _HEADING - taken - _BETWEEN - _HEADING - _CAPTION - 2 * _LINE
        return cls(whole, (column(0, 3)[1], min(max(rest / 2, _LOWEST_PLACE), _HIGHEST_PLACE)), stacked)

    @property
    def wanted(self) -> Wanted:
        """The pixels that printing at these sizes needs."""
        wide, tall = (max(1, round(side * _DOTS)) for side in self.whole)
        return Wanted((tall, wide), (round(_PLACE_PIXELS * self.place[1] / self.place[0]), _PLACE_PIXELS))


def draw_pictures(
    sheet: Sheet, words: tuple[str, str, str], when: datetime, findings: Findings, layout: Layout, sizes: Sequence[str]
) -> None:
    """Draw all of the first page but its foot: `words` are the picture's name, what became of it, and the task.

    `sizes` says in words how large the two pictures are.
    """
    name, summary, task = words
    date = date_in_words(sheet.language, when)
    sheet.head(sheet.say("report_title"), date, sheet.say("report_task", task=task))
    sheet.text(LEFT, 34, name, LEAD, within=WIDTH)
    sheet.text(LEFT, 39.5, summary, colour=GREY, within=WIDTH)
    sheet.rule(LEFT, 44, WIDTH)
    sheet.heading(LEFT, _TOP, WIDTH, sheet.say("report_whole"), ruled=False)
    _draw_places(sheet, findings, layout, _draw_whole(sheet, findings, layout, sizes) + 8)


def _draw_whole(sheet: Sheet, findings: Findings, layout: Layout, sizes: Sequence[str]) -> float:
    """Both whole pictures with their captions; gives where they end."""
    width, height = layout.whole
    looks = findings.whole.before, findings.whole.after
    for number, (pixels, size) in enumerate(zip(looks, sizes, strict=True)):
        words = sheet.say(("report_before", "report_after")[number])
        x = LEFT if layout.stacked else column(number, 2)[0]
        top = _TOP + 3 + (number * (height + 6) if layout.stacked else 0)
        sheet.picture(pixels, x, top, width, height, f"{words}, {size}")
        taken = sheet.text(x, top + height + 4, words, bold=True)
        sheet.text(x + taken + 2.5, top + height + 4, size, colour=GREY)
        if number == 0:
            _mark(sheet, findings, (x, top, width, height))
    return _TOP + 3 + height + 5 + (height + 6 if layout.stacked else 0)


def _mark(sheet: Sheet, findings: Findings, box: tuple[float, float, float, float]) -> None:
    """Frames on the whole picture that say where the three places are."""
    x, y, width, height = box
    for number, (place, _) in enumerate(findings.places, 1):
        result_width, result_height = findings.size
        across, down = width / result_width, height / result_height
        left, top = x + place.left * across, y + place.top * down
        for colour, thick in ((WHITE, 0.7), (ACCENT, 0.3)):
            sheet.frame(left, top, place.width * across, place.height * down, colour, thick)
        _badge(sheet, max(x, left), max(y, top), number)


def _badge(sheet: Sheet, x: float, y: float, number: int) -> None:
    sheet.bar(x, y, _BADGE, _BADGE, ACCENT)
    sheet.text(x + _BADGE / 2, y + _BADGE - 0.95, str(number), NOTE, colour=WHITE, bold=True, align="centre")


def _draw_places(sheet: Sheet, findings: Findings, layout: Layout, y: float) -> None:
    width, height = layout.place
    first, _ = findings.places[0]
    note = sheet.say("report_places_note", width=first.width, height=first.height)
    sheet.heading(LEFT, y, WIDTH, sheet.say("report_places"), note, ruled=False)
    y += 6
    for number, (place, look) in enumerate(findings.places):
        x, _ = column(number, 3)
        _badge(sheet, x, y - 2.6, number + 1)
        kind = sheet.say(f"report_place_{place.kind}")
        taken = sheet.text(x + _BADGE + 1.5, y, kind, bold=True)
        where = sheet.say("report_place_at", left=place.left, top=place.top)
        sheet.text(x + _BADGE + taken + 3.5, y, where, NOTE, colour=GREY)
        for row, (pixels, words) in enumerate(((look.before, "report_before"), (look.after, "report_after"))):
            sheet.picture(pixels, x, y + 6 + row * (height + 6), width, height, f"{kind}, {sheet.say(words)}")
    for row, words in enumerate(("report_before_note", "report_after_note")):
        sheet.text(LEFT, y + 4.6 + row * (height + 6), sheet.say(words), NOTE, colour=GREY)


def at(info: Mapping[str, Any], *keys: str) -> Any:
    """The value under the keys one inside the other; None where one is missing."""
    value: Any = info
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _number(value: object) -> float | None:
    """The value if it is a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _numbers(info: Mapping[str, Any], key: str) -> dict[str, float | None]:
    """The numbers among the facts under `key`."""
    found = at(info, key)
    return {name: _number(value) for name, value in found.items()} if isinstance(found, Mapping) else {}


def _short(value: float) -> str:
    """A number with the digits that count: 0.00032, 0.123, 1.23, 12.3, 1,234."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}" if size >= 0.01 or size == 0 else f"{value:.2g}"


def draw_facts(sheet: Sheet, info: Mapping[str, Any], picture: Picture, findings: Findings) -> None:
    """Draw all of the second page but its foot; `picture` is the input."""
    y = _draw_files(sheet, _START, _file_rows(sheet, info, picture, findings.size))
    y = _draw_run(sheet, y + _GAP, (_made_of(sheet, info), _made_with(sheet, info)))
    y = _draw_bars(sheet, y + _GAP, info) + _GAP - 1
    sheet.heading(LEFT, y, WIDTH, sheet.say("report_light"))
    draw_legend(sheet, LEFT + WIDTH, y)
    before, after = findings.histograms
    boxes = [(LEFT, WIDTH)] if len(before) == 1 else [column(place, 4) for place in range(4)]
    draw_histograms(sheet, boxes, y + 8, _PLOT, before, after)
    _draw_measures(sheet, y + _PLOT + 24, info, findings)


def _draw_files(sheet: Sheet, y: float, files: Sequence[_Wide]) -> float:
    """The table of both files; gives the baseline under it."""
    before, after = LEFT + _LABEL, LEFT + _LABEL + (WIDTH - _LABEL + 6) / 2
    within = after - before - 6
    sheet.heading(LEFT, y, WIDTH, sheet.say("report_files"))
    sheet.text(before, y, sheet.say("report_before"), colour=GREY)
    sheet.text(after, y, sheet.say("report_after"), colour=GREY)
    y += _BELOW
    for label, one, other in files:
        sheet.text(LEFT, y, label, colour=GREY)
        ends = [_draw_value(sheet, x, y, words, within) for x, words in ((before, one), (after, other))]
        y = max(ends) + _ROW
        sheet.rule(LEFT, y - _ROW + 2, WIDTH)
    return y


def _draw_value(sheet: Sheet, x: float, y: float, words: str, within: float) -> float:
    """A value on one line or two, a checksum in two halves; gives its last baseline."""
    if len(words) == 64 and " " not in words:
        lines = [words[:32], words[32:]]
    else:
        first, *rest = sheet.broken(sheet.clean(words), BODY, within) or [""]
        lines = [first, "".join(rest)] if rest else [first]
    for place, line in enumerate(lines):
        sheet.text(x, y + place * leading(BODY), line, within=within)
    return y + (len(lines) - 1) * leading(BODY)


def _draw_run(sheet: Sheet, y: float, run: tuple[list[_Row], list[_Row]]) -> float:
    sheet.heading(LEFT, y, WIDTH, sheet.say("report_made"))
    ends = []
    for place, rows in enumerate(run):
        x, width = column(place, 2)
        baseline = y + _BELOW
        for label, value in rows:
            sheet.text(x, baseline, label, colour=GREY, within=_LABEL - 2)
            baseline = _draw_value(sheet, x + _LABEL, baseline, value, width - _LABEL) + _ROW - 0.4
        ends.append(baseline)
    return max(ends)


def _draw_bars(sheet: Sheet, y: float, info: Mapping[str, Any]) -> float:
    """Settings on the left, seconds on the right."""
    (left, width), (right, _) = column(0, 2), column(1, 2)
    preset = all_presets().get(str(at(info, "preset")))
    unused = set() if preset is not None and preset.denoises else {"denoise"}
    note = "report_settings_note"
    if at(info, "settings", "tuning") is False:
        unused, note = unused | {*NEUTRAL}, "report_tuning_off"
    sheet.heading(left, y, width, sheet.say("report_settings"), sheet.say(note))
    sheet.heading(right, y, width, sheet.say("report_time"))
    start = y + 2.2 + _ROW - 0.4
    lowest = draw_settings(sheet, left, start, width, _numbers(info, "settings"), unused)
    end = draw_seconds(sheet, right, start, width, _numbers(info, "seconds"))
    if at(info, "cached"):
        end = sheet.paragraph(right, end, sheet.say("report_cached"), NOTE, width, colour=GREY, lines=2)
    return max(lowest, end)


def _draw_measures(sheet: Sheet, y: float, info: Mapping[str, Any], findings: Findings) -> None:
    """Four numbers in the grid of the plots, each with a sentence that says what it is."""
    sheet.heading(LEFT, y, WIDTH, sheet.say("report_fidelity"))
    unknown, likeness = sheet.say("report_unknown"), findings.likeness
    sharp = " → ".join(unknown if value is None else _short(value) for value in findings.sharpness)
    agreement = _decibels(at(info, "agreement_db"), sheet)
    compared = sheet.say("report_psnr_note", width=f"{likeness.width:,}", height=f"{likeness.height:,}")
    previewed = sheet.say("report_not_measured" if agreement == unknown else "report_agreement_note")
    measures = [
        ("report_psnr", _decibels(likeness.psnr, sheet), compared),
        ("report_ssim", unknown if likeness.ssim is None else f"{likeness.ssim:.4f}", sheet.say("report_ssim_note")),
        ("report_sharpness", sharp, sheet.say("report_sharpness_note")),
        ("report_agreement", agreement, previewed),
    ]
    for place, (label, value, note) in enumerate(measures):
        x, width = column(place, 4)
        sheet.text(x, y + 7.5, sheet.say(label), colour=GREY, within=width)
        sheet.text(x, y + 14, value, LEAD, bold=True, within=width)
        sheet.paragraph(x, y + 19, note, NOTE, width, colour=GREY, lines=5)


def _decibels(value: object, sheet: Sheet) -> str:
    if value == math.inf:
        return sheet.say("report_identical")
    return _given(sheet, _number(value), "{:.1f} dB")


def _file_rows(sheet: Sheet, info: Mapping[str, Any], picture: Picture, size: tuple[int, int]) -> list[_Wide]:
    """What there is to say of the two files: label, before, after. `size` is the result's width and height."""
    say, own = sheet.say, (picture.width, picture.height)
    made = ("L" if picture.grey else "RGB") + ("" if picture.alpha is None else "A")
    given = _bytes(sheet, picture.bytes, picture.format), _bytes(sheet, at(info, "output", "bytes"), "PNG")
    return [
        (say("report_name"), str(at(info, "input", "name") or picture.name), _result_name(sheet, info)),
        (say("report_size"), _pixels(sheet, *own), _pixels(sheet, *size)),
        (say("fact_print"), say_print(sheet.language, *own), say_print(sheet.language, *size)),
        (say("report_file_size"), *given),
        (say("report_colour"), _colours(sheet, picture.mode, picture), _colours(sheet, made, picture)),
        ("SHA-256", picture.sha256, _given(sheet, at(info, "output", "sha256"))),
    ]


def _result_name(sheet: Sheet, info: Mapping[str, Any]) -> str:
    """The result's name as the person has it: that of the download where the program keeps it under the task's id."""
    name, settings = at(info, "input", "name"), _settings(info)
    path = PurePath(_given(sheet, at(info, "output", "path")))
    kept = path.stem == at(info, "task_id") and isinstance(name, str)
    return download_name(name, settings) if kept and settings else path.name


def _settings(info: Mapping[str, Any]) -> Settings | None:
    """The settings of the run, where the facts have them whole."""
    try:
        return settings_in(dict(info))
    except (KeyError, TypeError, SettingsError):
        return None


def _made_of(sheet: Sheet, info: Mapping[str, Any]) -> list[_Row]:
    """What the result was made from, as label and value: the preset, the scale, the model."""
    settings, preset, source = _settings(info), at(info, "preset"), at(info, "model", "source")
    faces = _number(at(info, "faces", "found"))
    return [
        (sheet.say("report_preset"), _given(sheet, preset and name_of(sheet.language, "preset", str(preset)))),
        (sheet.say("scale"), _given(sheet, settings and settings.size_in_words(sheet.language))),
        *([] if faces is None else [(sheet.say("report_faces"), f"{faces:.0f}")]),
        (sheet.say("report_model"), _given(sheet, at(info, "model", "name"))),
        (sheet.say("report_source"), _given(sheet, source and source_in_words(sheet.language, str(source)))),
        (sheet.say("report_checksum"), _given(sheet, at(info, "model", "sha256"))),
    ]


def _made_with(sheet: Sheet, info: Mapping[str, Any]) -> list[_Row]:
    """What the result was made with, as label and value: the device, and how fast it was."""
    speed, fidelity = _number(at(info, "megapixels_per_second")), _number(at(info, "fidelity_db"))
    tile, device = _number(at(info, "tile")), [str(at(info, key)) for key in ("device", "precision") if at(info, key)]
    tiles = None if tile is None else sheet.say("report_tile", pixels=f"{tile:.0f}")
    speeds = None if speed is None else sheet.say("report_megapixels_a_second", number=PixelCount(1e6 * speed))
    faithful = None if fidelity is None else f"{fidelity:.1f} dB · {sheet.say(f'fidelity_{faithfulness(fidelity)}')}"
    return [
        (sheet.say("report_device"), _given(sheet, " · ".join(device))),
        (sheet.say("tile"), _given(sheet, tiles)),
        (sheet.say("report_speed"), _given(sheet, speeds)),
        (sheet.say("fidelity"), _given(sheet, faithful)),
        (sheet.say("report_memory"), _given(sheet, _number(at(info, "peak_memory_mb")), "{:,.0f} MB")),
        (sheet.say("report_signature"), _given(sheet, at(info, "signature"))),
    ]


def _given(sheet: Sheet, value: object, form: str = "{}") -> str:
    return sheet.say("report_unknown") if value in (None, "") else form.format(value)


def _pixels(sheet: Sheet, width: int, height: int) -> str:
    megapixels = PixelCount(width * height).sentence(sheet.language)
    return f"{sheet.say('report_pixels', width=f'{width:,}', height=f'{height:,}')} · {megapixels}"


def _bytes(sheet: Sheet, count: object, kind: str) -> str:
    exact = _number(count)
    said = None if exact is None else f"{sheet.say('report_bytes', number=f'{exact:,.0f}')} · {kind}"
    return _given(sheet, said)


def _colours(sheet: Sheet, mode: str, picture: Picture) -> str:
    kind, profile = mode.partition(";")[0], profile_name(picture.icc)
    words = sheet.say("report_bits", colour=sheet.say(_COLOURS[kind]) if kind in _COLOURS else kind, bits=picture.bits)
    if profile == "unnamed":
        profile = sheet.say("report_profile_unnamed")
    return f"{words} · {profile}" if profile else words
