"""The summary of a batch: one line a file, what came of it and why not, on as many A4 pages as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..files import place_whole
from .sheet import ACCENT, BODY, GREY, HEAD, INK, LEFT, NOTE, TITLE, WIDTH, Sheet, leading
from .texts_zh import texts_for

_TOP, _BOTTOM = 48.0, 276.0
_ROW = 6.2
_FILE, _RESULT, _SIZE, _TIME = LEFT + 10, LEFT + 112, LEFT + 156, LEFT + WIDTH


@dataclass(frozen=True)
class Line:
    """One file of a batch: its name, its `state`, and the result's figures or the reason why there is none."""

    name: str
    state: str
    pixels: tuple[int, int] | None = None
    bytes: int = 0
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class _Words:
    title: str
    counts: str
    columns: tuple[str, str, str, str]
    states: dict[str, str]


_ENGLISH = _Words(
    "Batch report",
    "{done} of {all} pictures done, {failed} failed, {seconds} s in all",
    ("File", "Result", "Size", "Time"),
    {"failed": "failed", "cancelled": "not done: stopped before", "waiting": "not done", "running": "not done"},
)
_CHINESE = _Words(
    "批量处理报告",
    "共 {all} 张图片，完成 {done} 张，失败 {failed} 张，用时 {seconds} 秒",
    ("文件", "结果", "大小", "用时"),
    {"failed": "失败", "cancelled": "未处理：已停止", "waiting": "未处理", "running": "未处理"},
)


def write_summary(
    path: str | Path, lines: Sequence[Line], settings: str, *, language: str = "en", when: datetime | None = None
) -> Path:
    """Write the summary to `path`, whole or not at all; `settings` is one line that says how the batch was done.

    Raises StorageError.
    """
    words = _CHINESE if language.startswith("zh") else _ENGLISH
    when = (when or datetime.now()).astimezone()
    sheet = Sheet(texts_for(language), words.title, when)
    pages = _paged(lines)
    for number, page in enumerate(pages):
        sheet.page()
        _draw_head(sheet, words, lines, settings, when)
        first = sum(len(earlier) for earlier in pages[:number])
        for place, line in enumerate(page):
            _draw_line(sheet, words, first + place + 1, line, _TOP + 8 + place * _ROW)
        note = sheet.texts.page.format(number + 1, len(pages))
        sheet.text(LEFT + WIDTH, 287, note, NOTE, colour=GREY, align="right")
    path = Path(path)
    place_whole(path, lambda temporary: temporary.write_bytes(sheet.document()))
    return path


def _paged(lines: Sequence[Line]) -> list[Sequence[Line]]:
    most = int((_BOTTOM - _TOP - 8) // _ROW) + 1
    return [lines[first : first + most] for first in range(0, len(lines), most)] or [lines]


def _draw_head(sheet: Sheet, words: _Words, lines: Sequence[Line], settings: str, when: datetime) -> None:
    counts = words.counts.format(
        done=sum(line.state == "done" for line in lines),
        all=len(lines),
        failed=sum(line.state == "failed" for line in lines),
        seconds=f"{sum(line.seconds for line in lines):,.1f}",
    )
    sheet.text(LEFT, 25, words.title, TITLE, bold=True)
    sheet.text(LEFT + WIDTH, 25, sheet.texts.date(when), NOTE, colour=GREY, align="right")
    sheet.text(LEFT, 33, counts, HEAD)
    sheet.text(LEFT, 33 + leading(HEAD), settings, BODY, colour=GREY, within=WIDTH)
    for x, label in zip((_FILE, _RESULT, _SIZE, _TIME), words.columns, strict=True):
        sheet.text(x, _TOP, label, NOTE, colour=GREY, align="left" if x in (_FILE, _RESULT) else "right")
    sheet.rule(LEFT, _TOP + 2, WIDTH)


def _draw_line(sheet: Sheet, words: _Words, number: int, line: Line, y: float) -> None:
    sheet.text(_FILE - 4, y, str(number), NOTE, colour=GREY, align="right")
    sheet.rule(LEFT, y + 2, WIDTH)
    if line.state == "done" and line.pixels is not None:
        sheet.text(_FILE, y, line.name, BODY, within=_RESULT - _FILE - 4)
        sheet.text(_RESULT, y, f"{line.pixels[0]} × {line.pixels[1]}", BODY)
        sheet.text(_SIZE, y, f"{line.bytes / 1e6:,.1f} MB", BODY, align="right")
        sheet.text(_TIME, y, f"{line.seconds:,.1f} s", BODY, align="right")
        return
    taken = sheet.text(_FILE, y, line.name, BODY, colour=INK, within=55)
    state = words.states.get(line.state, line.state)
    why = f"{state}: {line.reason}" if line.reason else state
    sheet.text(_FILE + taken + 4, y, why, BODY, colour=ACCENT, within=WIDTH - 14 - taken)
