"""What both pages share: the head with the title and the names, section headings, and the foot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .facts import at
from .sheet import BODY, GREY, HEAD, INK, LEAD, LEFT, NOTE, TITLE, WIDTH, Sheet

PAGES = 2
_FOOT = 287.0


def draw_head(sheet: Sheet, info: Mapping[str, Any], name: str, summary: str, when: datetime) -> None:
    """The first page's head: title and date, task, the picture's name and what became of it."""
    texts = sheet.texts
    right = LEFT + WIDTH
    sheet.text(LEFT, 25, texts.title, TITLE, bold=True)
    sheet.text(right, 20.2, texts.date(when), NOTE, colour=GREY, align="right")
    sheet.text(right, 25, texts.task.format(at(info, "task_id") or texts.unknown), NOTE, colour=GREY, align="right")
    sheet.text(LEFT, 34, name, LEAD, within=WIDTH)
    sheet.text(LEFT, 39.5, summary, BODY, colour=GREY, within=WIDTH)
    sheet.rule(LEFT, 44, WIDTH)


def draw_heading(sheet: Sheet, x: float, y: float, width: float, words: str, note: str = "") -> None:
    """A section's heading with its baseline at y, and a quiet note at the right end of its line."""
    taken = sheet.text(x, y, words, HEAD, bold=True, colour=INK)
    if note:
        sheet.text(x + width, y, note, NOTE, colour=GREY, align="right", within=width - taken - 4)


def draw_foot(sheet: Sheet, number: int, name: str) -> None:
    sheet.rule(LEFT, _FOOT - 4.5, WIDTH)
    sheet.text(LEFT, _FOOT, name, NOTE, colour=GREY, within=WIDTH * 0.7)
    sheet.text(LEFT + WIDTH, _FOOT, sheet.texts.page.format(number, PAGES), NOTE, colour=GREY, align="right")
