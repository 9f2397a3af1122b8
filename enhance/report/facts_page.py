"""The second page: the two files, how the result was made, the settings, and what was measured.

Every value of a run's `info` may be missing, and none of them breaks the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

from ..errors import SettingsError
from ..info import faithfulness, settings_in
from ..picture import Picture
from ..picture.colour import profile_name
from ..settings import Settings, all_presets
from ..tasks import download_name
from ..texts import PixelCount, name_of, say_print, source_in_words
from .findings import Findings
from .sheet import (
    BODY,
    GREY,
    LEAD,
    LEFT,
    NOTE,
    WIDTH,
    Sheet,
    column,
    draw_heading,
    draw_histograms,
    draw_legend,
    draw_seconds,
    draw_settings,
    leading,
)

_START = 25.0
_ROW = 6.0
_LABEL = 27.0
_PLOT = 27.0
_GAP = 9.0
_COLOURS = {
    **dict.fromkeys(("1", "L", "I", "F"), "report_grey"),
    "LA": "report_grey_alpha",
    "RGBA": "report_rgb_alpha",
    "P": "report_palette",
}
_Row = tuple[str, str]
_Wide = tuple[str, str, str]


def at(info: Mapping[str, Any], *keys: str) -> Any:
    """The value under the keys one inside the other; None where one is missing."""
    value: Any = info
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def finished_at(info: Mapping[str, Any]) -> datetime | None:
    """When the run finished, in this machine's time zone; None if that is not known."""
    try:
        return datetime.fromisoformat(str(at(info, "finished"))).astimezone()
    except ValueError:
        return None


def _group(info: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The facts under `key`; none if there are none."""
    value = info.get(key)
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    """The value if it is a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _short(value: float) -> str:
    """A number with the digits that count: 0.00032, 0.123, 1.23, 12.3, 1,234."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}" if size >= 0.01 or size == 0 else f"{value:.2g}"


def draw_facts(sheet: Sheet, info: Mapping[str, Any], picture: Picture, findings: Findings) -> None:
    """Draw all of the page but its foot; `picture` is the input."""
    y = _draw_files(sheet, _START, _file_rows(sheet, info, picture, findings.size))
    y = _draw_run(sheet, y + _GAP, (_made_of(sheet, info), _made_with(sheet, info)))
    y = _draw_bars(sheet, y + _GAP, info) + _GAP - 1
    draw_heading(sheet, LEFT, y, WIDTH, sheet.say("report_light"))
    draw_legend(sheet, LEFT + WIDTH, y)
    sheet.rule(LEFT, y + 2.2, WIDTH)
    before, after = findings.histograms
    one = len(before) == 1
    boxes = [(LEFT, WIDTH)] if one else [column(place, 4) for place in range(4)]
    draw_histograms(sheet, boxes, y + 8, _PLOT, before, after)
    _draw_measures(sheet, y + _PLOT + 24, info, findings)


def _draw_files(sheet: Sheet, y: float, files: Sequence[_Wide]) -> float:
    """The table of both files; gives the baseline under it."""
    before, after = LEFT + _LABEL, LEFT + _LABEL + (WIDTH - _LABEL + 6) / 2
    within = after - before - 6
    draw_heading(sheet, LEFT, y, WIDTH, sheet.say("report_files"))
    sheet.text(before, y, sheet.say("report_before"), BODY, colour=GREY)
    sheet.text(after, y, sheet.say("report_after"), BODY, colour=GREY)
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


def _draw_run(sheet: Sheet, y: float, run: tuple[list[_Row], list[_Row]]) -> float:
    draw_heading(sheet, LEFT, y, WIDTH, sheet.say("report_made"))
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
    settings = {name: _number(value) for name, value in _group(info, "settings").items()}
    seconds = {name: _number(value) for name, value in _group(info, "seconds").items()}
    (left, width), (right, _) = column(0, 2), column(1, 2)
    preset = all_presets().get(str(at(info, "preset")))
    unused = set() if preset is not None and preset.denoises else {"denoise"}
    note = "report_settings_note"
    if at(info, "settings", "tuning") is False:
        unused |= {"strength", "fidelity", "sharpen", "saturation", "contrast"}
        note = "report_tuning_off"
    draw_heading(sheet, left, y, width, sheet.say("report_settings"), sheet.say(note))
    draw_heading(sheet, right, y, width, sheet.say("report_time"))
    sheet.rule(left, y + 2.2, width)
    sheet.rule(right, y + 2.2, width)
    start = y + 2.2 + _ROW - 0.4
    ends = [draw_settings(sheet, left, start, width, settings, unused)]
    ends.append(draw_seconds(sheet, right, start, width, seconds))
    if at(info, "cached"):
        ends[1] = sheet.paragraph(right, ends[1], sheet.say("report_cached"), NOTE, width, colour=GREY, lines=2)
    return max(ends)


def _draw_measures(sheet: Sheet, y: float, info: Mapping[str, Any], findings: Findings) -> None:
    """Four numbers in the grid of the plots, each with a sentence that says what it is."""
    draw_heading(sheet, LEFT, y, WIDTH, sheet.say("report_fidelity"))
    sheet.rule(LEFT, y + 2.2, WIDTH)
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
        sheet.text(x, y + 7.5, sheet.say(label), BODY, colour=GREY, within=width)
        sheet.text(x, y + 14, value, LEAD, bold=True, within=width)
        sheet.paragraph(x, y + 19, note, NOTE, width, colour=GREY, lines=5)


def _decibels(value: object, sheet: Sheet) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        return sheet.say("report_unknown")
    return sheet.say("report_identical") if math.isinf(value) else f"{value:.1f} dB"


def _file_rows(sheet: Sheet, info: Mapping[str, Any], picture: Picture, size: tuple[int, int]) -> list[_Wide]:
    """What there is to say of the two files: label, before, after. `size` is the result's width and height."""
    say, unknown = sheet.say, sheet.say("report_unknown")
    made = ("L" if picture.grey else "RGB") + ("" if picture.alpha is None else "A")
    prints = [say_print(sheet.language, *one) for one in ((picture.width, picture.height), size)]
    given = _bytes(sheet, picture.bytes, picture.format), _bytes(sheet, at(info, "output", "bytes"), "PNG")
    return [
        (say("report_name"), str(at(info, "input", "name") or picture.name), _result_name(sheet, info)),
        (say("report_size"), _pixels(sheet, picture.width, picture.height), _pixels(sheet, *size)),
        (say("fact_print"), prints[0], prints[1]),
        (say("report_file_size"), *given),
        (say("report_colour"), _colours(sheet, picture.mode, picture), _colours(sheet, made, picture)),
        ("SHA-256", picture.sha256, str(at(info, "output", "sha256") or unknown)),
    ]


def _result_name(sheet: Sheet, info: Mapping[str, Any]) -> str:
    """The result's name as the person has it: that of the download where the program keeps it under the task's id."""
    name, settings = at(info, "input", "name"), _settings(info)
    path = PurePath(str(at(info, "output", "path") or sheet.say("report_unknown")))
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
    source = source_in_words(sheet.language, source) if isinstance(source, str) else source
    rows = [
        (sheet.say("report_preset"), _given(sheet, preset and name_of(sheet.language, "preset", str(preset)))),
        (sheet.say("scale"), _given(sheet, settings and settings.size_in_words(sheet.language))),
        (sheet.say("report_model"), _given(sheet, at(info, "model", "name"))),
        (sheet.say("report_source"), _given(sheet, source)),
        (sheet.say("report_checksum"), _given(sheet, at(info, "model", "sha256"))),
    ]
    faces = _count(at(info, "faces"))
    if faces is not None:
        rows.insert(2, (sheet.say("report_faces"), str(faces)))
    return rows


def _made_with(sheet: Sheet, info: Mapping[str, Any]) -> list[_Row]:
    """What the result was made with, as label and value: the device, and how fast it was."""
    speed, memory = _number(at(info, "megapixels_per_second")), _number(at(info, "peak_memory_mb"))
    tile, device = _number(at(info, "tile")), [str(at(info, key)) for key in ("device", "precision") if at(info, key)]
    tiles = None if tile is None else sheet.say("report_tile", pixels=f"{tile:.0f}")
    speeds = None if speed is None else sheet.say("report_megapixels_a_second", number=PixelCount(1e6 * speed))
    return [
        (sheet.say("report_device"), _given(sheet, " · ".join(device))),
        (sheet.say("tile"), _given(sheet, tiles)),
        (sheet.say("report_speed"), _given(sheet, speeds)),
        (sheet.say("fidelity"), _fidelity(sheet, _number(at(info, "fidelity_db")))),
        (sheet.say("report_memory"), _given(sheet, None if memory is None else f"{memory:,.0f} MB")),
        (sheet.say("report_signature"), _given(sheet, at(info, "signature"))),
    ]


def _fidelity(sheet: Sheet, decibels: float | None) -> str:
    if decibels is None:
        return sheet.say("report_unknown")
    return f"{decibels:.1f} dB · {sheet.say(f'fidelity_{faithfulness(decibels)}')}"


def _given(sheet: Sheet, value: object) -> str:
    return sheet.say("report_unknown") if value in (None, "") else str(value)


def _pixels(sheet: Sheet, width: int, height: int) -> str:
    megapixels = PixelCount(width * height).sentence(sheet.language)
    return f"{sheet.say('report_pixels', width=f'{width:,}', height=f'{height:,}')} · {megapixels}"


def _bytes(sheet: Sheet, count: object, kind: str) -> str:
    exact = _number(count)
    if exact is None:
        return sheet.say("report_unknown")
    return f"{sheet.say('report_bytes', number=f'{exact:,.0f}')} · {kind}"


def _colours(sheet: Sheet, mode: str, picture: Picture) -> str:
    kind, profile = mode.partition(";")[0], profile_name(picture.icc)
    words = sheet.say("report_bits", colour=sheet.say(_COLOURS[kind]) if kind in _COLOURS else kind, bits=picture.bits)
    if profile == "unnamed":
        profile = sheet.say("report_profile_unnamed")
    return f"{words} · {profile}" if profile else words


def _count(faces: object) -> int | None:
    """How many faces: from a number, a list of them, or a fact with a count."""
    if isinstance(faces, Mapping):
        faces = faces.get("found", faces.get("count"))
    if isinstance(faces, list | tuple):
        return len(faces)
    return faces if isinstance(faces, int) and not isinstance(faces, bool) else None
