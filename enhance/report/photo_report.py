"""The PDF report of one result: a page with photo, result and settings, and a page with all facts.

Any value of `info` can be missing or malformed; the report shows a dash in its place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np

from ..errors import SettingsError
from ..files import write_atomically
from ..i18n import DEFAULT_LANGUAGE, PixelCount, format_print_size, match_language, name_of, translate, translate_source
from ..images import Picture
from ..images.colour import profile_name
from ..info import faithfulness, settings_in
from ..output.resample import Span, enlarge_part
from ..output.thumbnails import Thumbnail, icc_for_screen, small_size, to_screen, whole_picture
from ..settings import Settings
from ..store import download_name
from .document import CREATOR, GAP, GREY, LEAD, MARGIN, NOTE, TITLE, ReportDocument, format_date

_STRIP_PIXELS = 1 << 20
_WHOLE_HEIGHT, _DETAIL_HEIGHT = 78.0, 52.0
_DETAIL_WIDTH_PIXELS = 480
_PANORAMA = 2.6
_DOTS_PER_MM = 300 / 25.4
_COLOURS = {
    **dict.fromkeys(("1", "L", "I", "F"), "report_grey"),
    "LA": "report_grey_alpha",
    "RGBA": "report_rgb_alpha",
    "P": "report_palette",
}
_STAGES = ("wait", "decode", "scene", "network", "tuning", "encode")


class FinishedRows(Protocol):
    """The pixels of a result: `enhance.output.result.ResultRows` or `enhance.output.png_reader.PngReader`."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    def rows(self, first: int, last: int) -> np.ndarray:
        """Return the rows [first, last) [n, width, channels], uint8 or uint16."""
        ...


def write_report(
    path: str | Path,
    info: Mapping[str, Any],
    result: FinishedRows,
    picture: Picture,
    *,
    language: str = DEFAULT_LANGUAGE,
    when: datetime | None = None,
) -> Path:
    """Write the report atomically to `path` and return `path`.

    `info` is that of a run, `result` the finished rows, `picture` the decoded input. `language` is "en" or "zh-CN"; any
    other is treated as English. `when` is the date of the PDF, by default now. Raises StorageError if the file cannot
    be written, PictureError if the result cannot be read.
    """
    document = make_report(info, result, picture, language=language, when=when)
    path = Path(path)
    write_atomically(path, lambda temporary: temporary.write_bytes(document))
    return path


def place_beside(result: Path, input_sha256: str) -> Path:
    """Return the path for the report of a result: its name with .pdf, or with -report where another file has that.

    An earlier report of the same input is replaced.
    """
    endings = itertools.chain(["", "-report"], (f"-report-{number}" for number in itertools.count(2)))
    places = (result.with_name(f"{result.stem}{ending}.pdf") for ending in endings)
    return next(place for place in places if not place.exists() or _is_report(place, input_sha256))


def _is_report(path: Path, input_sha256: str) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return f"/Creator ({CREATOR})".encode() in content and f"/Keywords ({input_sha256})".encode() in content


def make_report(
    info: Mapping[str, Any],
    result: FinishedRows,
    picture: Picture,
    *,
    language: str = DEFAULT_LANGUAGE,
    when: datetime | None = None,
) -> bytes:
    """Return the report as PDF; the same arguments, `when` included, give the same bytes."""
    language = match_language(language) or DEFAULT_LANGUAGE
    when = (when or datetime.now()).astimezone()
    name = str(_at(info, "input", "name") or picture.name)
    title = f"{translate(language, 'report_title')}: {name}"
    document = ReportDocument(language, title, translate(language, "report_subject"), when, picture.sha256, name)
    document.add_page()
    document.paragraph(document.translate("report_title"), TITLE, bold=True)
    document.paragraph(format_date(language, _finished_at(info) or when), NOTE, colour=GREY)
    document.ln(3)
    document.paragraph(name if len(name) <= 160 else f"{name[:100]}…{name[-50:]}", LEAD)
    document.ln(2)
    _draw_images(document, picture, result)
    document.ln(2)
    document.rows(_summary(document, info, result.size), (30, 144))
    document.add_page()
    document.heading(document.translate("report_files"))
    before, after = document.translate("report_before"), document.translate("report_after")
    document.rows([("", before, after), *_file_rows(document, info, picture, result.size)], (30, 72, 72))
    document.heading(document.translate("report_made"))
    document.rows(_run_rows(document, info), (42, 132))
    return document.write_pdf()


@dataclass(frozen=True)
class _Detail:
    """A region of the result, in its pixels: the rows and the columns."""

    rows: Span
    columns: Span


def _draw_images(document: ReportDocument, picture: Picture, result: FinishedRows) -> None:
    """Draw the whole photo and the middle of it, each before and after, reading the result once from top to bottom."""
    height, width = result.size
    stacked = width / height > _PANORAMA
    across = document.epw if stacked else (document.epw - GAP) / 2
    shown = min(across, _WHOLE_HEIGHT * width / height)
    small = small_size(width, height, round(max(shown, shown * height / width) * _DOTS_PER_MM))
    detail = _middle(height, width)
    after, crop = _read(result, small, detail)

    def colours(rows: Span, columns: Span) -> np.ndarray:
        part = slice(*rows), slice(*columns)
        colour = picture.rgb[part]
        return to_screen(colour if picture.alpha is None else np.dstack([colour, picture.alpha[part]]))

    of = picture.height, picture.width
    enlarged = enlarge_part(colours, of, result.size, detail.rows, detail.columns)
    sizes = _pixels(document, picture.width, picture.height), _pixels(document, width, height)
    _draw_pair(document, (whole_picture(picture, small), after), sizes, icc_for_screen(picture), shown, stacked)
    document.ln(2)
    size = f"{detail.columns[1] - detail.columns[0]} × {detail.rows[1] - detail.rows[0]}"
    captions = document.translate("report_detail_before"), document.translate("report_detail_after", size=size)
    detail_width = min((document.epw - GAP) / 2, _DETAIL_HEIGHT * crop.shape[1] / crop.shape[0])
    _draw_pair(document, (enlarged, crop), captions, icc_for_screen(picture), detail_width, False)


def _middle(height: int, width: int) -> _Detail:
    """Return the middle of a result, as large as the page shows pixel for pixel."""
    wide = min(width, _DETAIL_WIDTH_PIXELS)
    tall = min(height, round(_DETAIL_WIDTH_PIXELS * 0.62))
    top, left = (height - tall) // 2, (width - wide) // 2
    return _Detail((top, top + tall), (left, left + wide))


def _read(result: FinishedRows, small: tuple[int, int], detail: _Detail) -> tuple[np.ndarray, np.ndarray]:
    """Return the whole result at the size `small` and the region `detail` of it, uint8 RGB or RGBA [h, w, C]."""
    height, width = result.size
    step, rendition, crops = max(8, _STRIP_PIXELS // width), None, []
    for first in range(0, height, step):
        strip = to_screen(result.rows(first, min(first + step, height)))
        rendition = rendition or Thumbnail(height, width, channels=strip.shape[2], size=small)
        rendition.add(strip)
        low, high = max(detail.rows[0], first), min(detail.rows[1], first + len(strip))
        if low < high:
            crops.append(strip[low - first : high - first, slice(*detail.columns)].copy())
    assert rendition is not None
    return rendition.pixels, np.concatenate(crops)


def _draw_pair(
    document: ReportDocument,
    images: tuple[np.ndarray, np.ndarray],
    captions: tuple[str, str],
    icc: bytes | None,
    width: float,
    stacked: bool,
) -> None:
    """Draw before and after side by side, or one above the other, each with its caption below."""
    top, bottom = document.y, document.y
    for number, (pixels, caption) in enumerate(zip(images, captions, strict=True)):
        words = document.translate(("report_before", "report_after")[number])
        x = MARGIN if stacked or number == 0 else MARGIN + (document.epw + GAP) / 2
        y = bottom if stacked else top
        document.set_y(document.picture(pixels, icc, x, y, width, f"{words}: {caption}") + 1)
        document.set_x(x)
        document.paragraph(f"{words} · {caption}", NOTE, colour=GREY, width=(document.epw - GAP) / 2)
        bottom = max(bottom, document.y) + (2 if stacked else 0)
    document.set_xy(MARGIN, bottom)


def _summary(document: ReportDocument, info: Mapping[str, Any], size: tuple[int, int]) -> list[tuple[str, str]]:
    """Return what was done, as label and value."""
    settings, preset, fidelity = _settings(info), _at(info, "preset"), _number(_at(info, "fidelity_db"))
    agreement, total = _decibels(document, _at(info, "agreement_db")), _number(_at(info, "seconds", "total"))
    grade = None if fidelity is None else document.translate(f"fidelity_{faithfulness(fidelity)}")
    sliders = None if settings is None else " · ".join(settings.describe(document.language).split(" · ")[2:])
    time = "" if total is None else document.translate("report_seconds", number=f"{total:,.1f}")
    if _at(info, "cached"):
        time = f"{time} · {document.translate('report_cached')}"
    faces = _number(_at(info, "faces", "found"))
    return [
        (document.translate("report_preset"), _or_dash(preset and name_of(document.language, "preset", str(preset)))),
        (document.translate("report_settings"), _or_dash(sliders)),
        (document.translate("report_output_size"), _pixels(document, *size[::-1])),
        *([] if faces is None else [(document.translate("report_faces"), f"{faces:.0f}")]),
        (document.translate("fidelity"), _or_dash(grade and f"{grade} · {fidelity:.1f} dB")),
        *([(document.translate("report_agreement"), agreement)] if agreement else []),
        (document.translate("report_time"), _or_dash(time)),
    ]


def _file_rows(
    document: ReportDocument, info: Mapping[str, Any], picture: Picture, size: tuple[int, int]
) -> list[tuple[str, str, str]]:
    """Return the facts of the input and of the output file: label, before, after. `size` is height and width."""
    own, made = (picture.width, picture.height), size[::-1]
    mode = ("L" if picture.grey else "RGB") + ("" if picture.alpha is None else "A")
    output_bytes = _bytes(document, _at(info, "output", "bytes"), str(_at(info, "output", "format") or "png"))
    return [
        (document.translate("report_name"), str(_at(info, "input", "name") or picture.name), _result_name(info)),
        (document.translate("report_size"), _pixels(document, *own), _pixels(document, *made)),
        (
            document.translate("fact_print"),
            format_print_size(document.language, *own),
            format_print_size(document.language, *made),
        ),
        (document.translate("report_file_size"), _bytes(document, picture.bytes, picture.format), output_bytes),
        (
            document.translate("report_colour"),
            _colours(document, picture.mode, picture),
            _colours(document, mode, picture),
        ),
        ("SHA-256", _two_lines(picture.sha256), _two_lines(_or_dash(_at(info, "output", "sha256")))),
    ]


def _run_rows(document: ReportDocument, info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the facts of the run, as label and value."""
    source, speed = _at(info, "model", "source"), _number(_at(info, "megapixels_per_second"))
    memory, tile = _number(_at(info, "peak_memory_mb")), _number(_at(info, "tile"))
    device = [str(_at(info, key)) for key in ("device", "precision") if _at(info, key)]
    speeds = speed and document.translate("report_megapixels_a_second", number=PixelCount(1e6 * speed))
    return [
        (document.translate("report_model"), _or_dash(_at(info, "model", "name"))),
        (document.translate("report_source"), _or_dash(source and translate_source(document.language, str(source)))),
        (document.translate("report_checksum"), _or_dash(_at(info, "model", "sha256"))),
        (document.translate("report_device"), _or_dash(" · ".join(device))),
        (document.translate("tile"), _or_dash(tile and document.translate("report_tile", pixels=f"{tile:.0f}"))),
        (document.translate("report_speed"), _or_dash(speeds)),
        (document.translate("report_memory"), _or_dash(memory and f"{memory:,.0f} MB")),
        (document.translate("report_stages"), _or_dash(_stages(document, info))),
        (document.translate("report_task"), _or_dash(_at(info, "task_id"))),
        (document.translate("report_signature"), _or_dash(_at(info, "signature"))),
    ]


def _stages(document: ReportDocument, info: Mapping[str, Any]) -> str:
    """Return the seconds of each stage in one line."""
    times = [(stage, _number(_at(info, "seconds", stage))) for stage in _STAGES]
    return " · ".join(
        name_of(document.language, "report_stage", stage)
        + " "
        + document.translate("report_seconds", number=f"{time:,.2f}")
        for stage, time in times
        if time is not None
    )


def _finished_at(info: Mapping[str, Any]) -> datetime | None:
    """Return when the run finished, in the time zone of this computer; None if that is not known."""
    try:
        return datetime.fromisoformat(str(_at(info, "finished"))).astimezone()
    except ValueError:
        return None


def _result_name(info: Mapping[str, Any]) -> str:
    """Return the file name of the result: that of the download if the file is stored under the id of its task."""
    name, settings = _at(info, "input", "name"), _settings(info)
    path = PurePath(_or_dash(_at(info, "output", "path")))
    if path.stem == _at(info, "task_id") and isinstance(name, str) and settings:
        return download_name(name, settings)
    return path.name


def _settings(info: Mapping[str, Any]) -> Settings | None:
    """Return the settings of the run; None if `info` lacks some."""
    try:
        return settings_in(dict(info))
    except (KeyError, TypeError, SettingsError):
        return None


def _at(info: Mapping[str, Any], *keys: str) -> Any:
    """Return the value under nested keys; None where one is missing."""
    value: Any = info
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _number(value: object) -> float | None:
    """Return the value if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _or_dash(value: object) -> str:
    return "–" if value in (None, "", 0) else str(value)


def _two_lines(checksum: str) -> str:
    return f"{checksum[:32]}\n{checksum[32:]}".strip()


def _decibels(document: ReportDocument, value: object) -> str:
    if value == math.inf:
        return document.translate("report_identical")
    number = _number(value)
    return "" if number is None else f"{number:.1f} dB"


def _pixels(document: ReportDocument, width: int, height: int) -> str:
    megapixels = PixelCount(width * height).sentence(document.language)
    return f"{document.translate('report_pixels', width=f'{width:,}', height=f'{height:,}')} · {megapixels}"


def _bytes(document: ReportDocument, count: object, kind: str) -> str:
    number = _number(count)
    return _or_dash(number and f"{document.translate('report_bytes', number=f'{number:,.0f}')} · {kind.upper()}")


def _colours(document: ReportDocument, mode: str, picture: Picture) -> str:
    kind, profile = mode.partition(";")[0], profile_name(picture.icc)
    colour = document.translate(_COLOURS[kind]) if kind in _COLOURS else kind
    words = document.translate("report_bits", colour=colour, bits=picture.bits)
    if profile == "unnamed":
        profile = document.translate("report_profile_unnamed")
    return f"{words} · {profile}" if profile else words
