"""The report: two A4 pages about one enhanced picture that a studio can send to a client, as PDF.

The first page shows the whole picture and three places of it before and after; the second has the facts of the run,
the settings and what was measured. Everything is taken in one pass over the result's rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ..files import place_whole
from ..output.png_rows import FinishedRows
from ..picture import Picture
from ..texts import DEFAULT_LANGUAGE, name_of, say, spoken
from .facts_page import at, draw_facts, finished_at
from .findings import examine
from .pictures_page import draw_head, draw_pictures, layout_for, to_srgb
from .sheet import CREATOR, Sheet, draw_foot

__all__ = ["make_report", "write_report"]

_PAGES = 2


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
    layout = layout_for(width, height)
    findings = examine(result, picture, layout.wanted)
    name, preset = str(at(info, "input", "name") or picture.name), at(info, "preset")
    title = f"{say(language, 'report_title')}: {name}"
    sheet = Sheet(language, title, say(language, "report_subject"), when, keywords=picture.sha256)
    before, after = (
        sheet.say("report_pixels", width=f"{w:,}", height=f"{h:,}")
        for w, h in ((picture.width, picture.height), (width, height))
    )
    summary = [f"{before} → {after}", preset and name_of(language, "preset", str(preset)), at(info, "model", "name")]
    sheet.page()
    task = str(at(info, "task_id") or sheet.say("report_unknown"))
    draw_head(sheet, name, " · ".join(str(part) for part in summary if part), task, finished_at(info) or when)
    draw_pictures(sheet, findings, layout, (before, after), to_srgb(picture.icc, picture.grey))
    draw_foot(sheet, 1, _PAGES, name)
    sheet.page()
    draw_facts(sheet, info, picture, findings)
    draw_foot(sheet, 2, _PAGES, name)
    return sheet.document()
