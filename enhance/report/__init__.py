"""What can be filed: two A4 pages about one enhanced picture, and the summary of a batch, both as PDF.

The first page shows the whole picture and three places of it before and after; the second has the facts of the run,
the settings and what was measured. Everything is taken in one pass over the result's rows. The summary has a line a
file, with what came of it or why not; beside it go the same as a table, and all as one ZIP.
"""

from __future__ import annotations

import csv
import io
import itertools
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..files import place_whole
from ..output.finished import FinishedRows
from ..picture import Picture
from ..texts import DEFAULT_LANGUAGE, name_of, say, spoken
from .findings import examine
from .pages import Layout, at, draw_facts, draw_pictures
from .sheet import (
    ACCENT,
    CREATOR,
    GREY,
    HEAD,
    INK,
    LEFT,
    NOTE,
    WIDTH,
    Sheet,
    date_in_words,
    leading,
)

_PAGES = 2
_TOP, _BOTTOM = 48.0, 276.0
_ROW = 6.2
_FILE, _RESULT, _SIZE, _TIME = LEFT + 10, LEFT + 112, LEFT + 156, LEFT + WIDTH
COLUMNS = (
    "file",
    "state",
    "reason",
    "result",
    "width",
    "height",
    "bytes",
    "seconds",
    "signature",
    "sha256",
    "fidelity_db",
)


def write_report(
    path: str | Path,
    info: Mapping[str, Any],
    result: FinishedRows,
    picture: Picture,
    *,
    language: str = "en",
    when: datetime | None = None,
) -> Path:
    """Write the report to `path`, whole or not at all; gives the path.

    `info` is what a run gives (any of its keys may be missing), `result` the finished rows (`ResultRows`, or `PngRows`
    of the PNG on disk), `picture` the decoded input. `language` is "en" or "zh-CN"; any other is taken for English.
    `when` (now) is the PDF's own date, and the one on its first page where `info` does not know when the run finished.
    Raises StorageError if the file cannot be written, PictureError if the PNG cannot be read.
    """
    document = make_report(info, result, picture, language=language, when=when)
    path = Path(path)
    place_whole(path, lambda temporary: temporary.write_bytes(document))
    return path


def place_beside(result: Path, input_sha256: str) -> Path:
    """Where the report of a result goes: a PDF of its name, or of one with -report where another file has that.

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
    language: str = "en",
    when: datetime | None = None,
) -> bytes:
    """The report as the bytes of a PDF; the same input and date give the same bytes."""
    language = spoken(language) or DEFAULT_LANGUAGE
    when = (when or datetime.now()).astimezone()
    height, width = result.size
    layout = Layout.of(width, height)
    findings = examine(result, picture, layout.wanted)
    name, preset = str(at(info, "input", "name") or picture.name), at(info, "preset")
    title = f"{say(language, 'report_title')}: {name}"
    sheet = Sheet(language, title, say(language, "report_subject"), when, picture)
    before, after = (
        sheet.say("report_pixels", width=f"{w:,}", height=f"{h:,}")
        for w, h in ((picture.width, picture.height), (width, height))
    )
    summary = [f"{before} → {after}", preset and name_of(language, "preset", str(preset)), at(info, "model", "name")]
    sheet.page()
    task = str(at(info, "task_id") or sheet.say("report_unknown"))
    words = name, " · ".join(str(part) for part in summary if part), task
    draw_pictures(sheet, words, _finished_at(info) or when, findings, layout, (before, after))
    sheet.foot(1, _PAGES, name)
    sheet.page()
    draw_facts(sheet, info, picture, findings)
    sheet.foot(2, _PAGES, name)
    return sheet.document()


def _finished_at(info: Mapping[str, Any]) -> datetime | None:
    """When the run finished, in this machine's time zone; None if that is not known."""
    try:
        return datetime.fromisoformat(str(at(info, "finished"))).astimezone()
    except ValueError:
        return None


@dataclass(frozen=True)
class Line:
    """One file of a batch: its name, its `state`, and the result's figures or the reason why there is none.

    `pixels` is the result's width and height, `result` its file, `title` what that is called in the ZIP.
    """

    name: str
    state: str
    pixels: tuple[int, int] | None = None
    bytes: int = 0
    seconds: float = 0.0
    reason: str = ""
    result: Path | None = None
    title: str = ""
    signature: str = ""
    sha256: str = ""
    fidelity_db: float | None = None


def write_zip(path: Path, lines: Sequence[Line], settings: str, *, language: str = DEFAULT_LANGUAGE) -> Path:
    """The results, `report.csv` and `summary.pdf` as one ZIP at `path`, whole or not at all, never held in memory.

    Raises StorageError.
    """

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for line in lines:
                if line.result is not None:
                    archive.write(line.result, line.title)
            archive.writestr("report.csv", table(lines, language), zipfile.ZIP_DEFLATED)
            archive.writestr("summary.pdf", summary(lines, settings, language=language))

    place_whole(path, write)
    return path


def table(lines: Sequence[Line], language: str = DEFAULT_LANGUAGE) -> str:
    """The batch as CSV (RFC 4180), with the byte order mark that makes spreadsheets read it as UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(say(language, f"table_{name}") for name in COLUMNS)
    for line in lines:
        row: list[object] = [line.name, say(language, f"table_{line.state}"), line.reason, line.title]
        if line.pixels is not None:
            row += [*line.pixels, line.bytes, line.seconds, line.signature, line.sha256]
            row += [line.fidelity_db]
        writer.writerow([_harmless(value) for value in row] + [""] * (len(COLUMNS) - len(row)))
    return "\ufeff" + text.getvalue()


def _harmless(value: object) -> object:
    """The value, or a text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def summary(
    lines: Sequence[Line], settings: str, *, language: str = DEFAULT_LANGUAGE, when: datetime | None = None
) -> bytes:
    """The summary as the bytes of a PDF, on as many A4 pages as it takes; `settings` says how the batch was done.

    It and the lines' reasons are in `language` already: "en" or "zh-CN"; any other is taken for English.
    """
    language = spoken(language) or DEFAULT_LANGUAGE
    when = (when or datetime.now()).astimezone()
    sheet = Sheet(language, say(language, "summary_title"), say(language, "summary_subject"), when)
    pages, drawn = _paged(lines), 0
    counts = sheet.say(
        "summary_counts",
        done=sum(line.state == "done" for line in lines),
        pictures=len(lines),
        failed=sum(line.state == "failed" for line in lines),
        seconds=f"{sum(line.seconds for line in lines):,.1f}",
    )
    for number, page in enumerate(pages):
        sheet.page()
        _draw_head(sheet, counts, settings, when)
        for place, line in enumerate(page):
            _draw_line(sheet, drawn + place + 1, line, _TOP + 8 + place * _ROW)
        drawn += len(page)
        sheet.foot(number + 1, len(pages))
    return sheet.document()


def _paged(lines: Sequence[Line]) -> list[Sequence[Line]]:
    most = int((_BOTTOM - _TOP - 8) // _ROW) + 1
    return [lines[first : first + most] for first in range(0, len(lines), most)] or [lines]


def _draw_head(sheet: Sheet, counts: str, settings: str, when: datetime) -> None:
    sheet.head(sheet.say("summary_title"), date_in_words(sheet.language, when))
    sheet.text(LEFT, 33, counts, HEAD)
    sheet.text(LEFT, 33 + leading(HEAD), settings, colour=GREY, within=WIDTH)
    for x, name in ((_FILE, "file"), (_RESULT, "result"), (_SIZE, "size"), (_TIME, "time")):
        align = "left" if x in (_FILE, _RESULT) else "right"
        sheet.text(x, _TOP, sheet.say(f"summary_column_{name}"), NOTE, colour=GREY, align=align)
    sheet.rule(LEFT, _TOP + 2, WIDTH)


def _draw_line(sheet: Sheet, number: int, line: Line, y: float) -> None:
    sheet.text(_FILE - 4, y, str(number), NOTE, colour=GREY, align="right")
    sheet.rule(LEFT, y + 2, WIDTH)
    if line.state == "done" and line.pixels is not None:
        sheet.text(_FILE, y, line.name, within=_RESULT - _FILE - 4)
        sheet.text(_RESULT, y, f"{line.pixels[0]:,} × {line.pixels[1]:,}")
        sheet.text(_SIZE, y, f"{line.bytes / 1e6:,.1f} MB", align="right")
        sheet.text(_TIME, y, sheet.say("report_seconds", number=f"{line.seconds:,.1f}"), align="right")
        return
    taken = sheet.text(_FILE, y, line.name, colour=INK, within=55)
    why = name_of(sheet.language, "summary_state", line.state)
    if line.reason:
        why = sheet.say("summary_why", state=why, reason=line.reason)
    sheet.text(_FILE + taken + 4, y, why, colour=ACCENT, within=WIDTH - 14 - taken)
