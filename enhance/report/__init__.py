"""The report: two A4 pages about one enhanced picture that a studio can send to a client, as PDF.

The first page shows the whole picture and three places of it before and after; the second has the facts of the run,
the settings and what was measured. Everything is taken in one pass over the result's rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ..output.png_rows import FinishedRows
from ..picture import Picture
from ..whole import place_whole
from .facts import at, file_rows, finished_at, run_rows
from .facts_page import draw_facts
from .findings import examine
from .frame import draw_foot, draw_head
from .layout import layout_for
from .pictures_page import draw_pictures
from .prints import to_srgb
from .sheet import Sheet
from .texts_zh import texts_for

__all__ = ["make_report", "write_report"]


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
    of the PNG on disk), `picture` the decoded input. `language` is "en" or "zh-CN"; `when` (now) is the PDF's own date,
    and the one on its first page where `info` does not know when the run finished.
    Raises StorageError if the file cannot be written, PictureError if the PNG cannot be read.
    """
    document = make_report(info, result, picture, language=language, when=when)
    path = Path(path)
    place_whole(path, lambda temporary: temporary.write_bytes(document))
    return path


def make_report(
    info: Mapping[str, Any],
    result: FinishedRows,
    picture: Picture,
    *,
    language: str = "en",
    when: datetime | None = None,
) -> bytes:
    """The report as the bytes of a PDF; the same input and date give the same bytes."""
    texts = texts_for(language)
    when = (when or datetime.now()).astimezone()
    height, width = result.size
    layout = layout_for(width, height)
    findings = examine(result, picture, layout.wanted)
    name = str(at(info, "input", "name") or picture.name)
    sizes = tuple(
        texts.pixels.format(f"{w:,}", f"{h:,}") for w, h in ((picture.width, picture.height), (width, height))
    )
    summary = [f"{sizes[0]} → {sizes[1]}", texts.preset_name(at(info, "preset")), at(info, "model", "name")]
    sheet = Sheet(texts, f"{texts.title}: {name}", when)
    sheet.page()
    draw_head(sheet, info, name, " · ".join(str(part) for part in summary if part), finished_at(info) or when)
    draw_pictures(sheet, findings, layout, (sizes[0], sizes[1]), to_srgb(picture.icc, picture.grey))
    draw_foot(sheet, 1, name)
    sheet.page()
    draw_facts(sheet, info, file_rows(info, picture, result.size, texts), run_rows(info, texts), findings)
    draw_foot(sheet, 2, name)
    return sheet.document()
