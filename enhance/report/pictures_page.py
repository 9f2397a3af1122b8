"""The first page: the whole picture before and after, and three places pixel for pixel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .findings import Findings, Look
from .frame import draw_heading
from .layout import TOP, Layout
from .places import Place
from .prints import printable
from .sheet import ACCENT, BODY, FAINT, GREY, GUTTER, LEFT, NOTE, WIDTH, Colour, Sheet, column

_WHITE: Colour = (255, 255, 255)
_CHECK = 2.0  # mm of a checkerboard's square
_BADGE = 3.4

Convert = Callable[[np.ndarray], np.ndarray]


def draw_pictures(sheet: Sheet, findings: Findings, layout: Layout, sizes: tuple[str, str], convert: Convert) -> None:
    """Draw under the head; `sizes` says in words how large the two pictures are."""
    draw_heading(sheet, LEFT, TOP, WIDTH, sheet.texts.whole)
    below = _draw_whole(sheet, findings, layout, sizes, convert)
    _draw_places(sheet, findings.places, layout, below + 8, convert)


def _draw_whole(sheet: Sheet, findings: Findings, layout: Layout, sizes: tuple[str, str], convert: Convert) -> float:
    """Both whole pictures with their captions; gives where they end."""
    texts = sheet.texts
    width, height = layout.whole
    y = TOP + 3
    for number, (words, size) in enumerate(zip((texts.before, texts.after), sizes, strict=True)):
        x = LEFT if layout.stacked else column(number, 2)[0]
        top = y + number * (height + 6) if layout.stacked else y
        pixels = findings.whole.after if number else findings.whole.before
        square = _CHECK * pixels.shape[1] / width
        sheet.picture(printable(pixels, convert, square), x, top, width, height, f"{words}, {size}")
        sheet.frame(x, top, width, height, FAINT)
        taken = sheet.text(x, top + height + 4, words, BODY, bold=True)
        sheet.text(x + taken + 2.5, top + height + 4, size, BODY, colour=GREY)
        if number == 0:
            _mark(sheet, findings, (x, top, width, height))
    return y + height + 5 + (height + 6 if layout.stacked else 0)


def _mark(sheet: Sheet, findings: Findings, box: tuple[float, float, float, float]) -> None:
    """Frames on the whole picture that say where the three places are."""
    x, y, width, height = box
    for number, (place, _) in enumerate(findings.places, 1):
        result_width, result_height = findings.size
        across, down = width / result_width, height / result_height
        left, top = x + place.left * across, y + place.top * down
        sheet.frame(left, top, place.width * across, place.height * down, _WHITE, 0.7)
        sheet.frame(left, top, place.width * across, place.height * down, ACCENT, 0.3)
        _badge(sheet, max(x, left), max(y, top), number)


def _badge(sheet: Sheet, x: float, y: float, number: int) -> None:
    sheet.bar(x, y, _BADGE, _BADGE, ACCENT)
    sheet.text(x + _BADGE / 2, y + _BADGE - 0.95, str(number), NOTE, colour=_WHITE, bold=True, align="centre")


def _draw_places(sheet: Sheet, places: list[tuple[Place, Look]], layout: Layout, y: float, convert: Convert) -> None:
    texts = sheet.texts
    width, height = layout.place
    first = places[0][0]
    draw_heading(sheet, LEFT, y, WIDTH, texts.places, texts.places_note.format(first.width, first.height))
    y += 6
    for number, (place, look) in enumerate(places):
        x = LEFT + number * (width + GUTTER)
        _badge(sheet, x, y - 2.6, number + 1)
        taken = sheet.text(x + _BADGE + 1.5, y, texts.named(place.kind), BODY, bold=True)
        sheet.text(x + _BADGE + taken + 3.5, y, texts.place_at.format(place.left, place.top), NOTE, colour=GREY)
        for row, (pixels, words) in enumerate(((look.before, texts.before), (look.after, texts.after))):
            top = y + 6 + row * (height + 6)
            image = printable(pixels, convert, _CHECK * pixels.shape[1] / width)
            sheet.picture(image, x, top, width, height, f"{texts.named(place.kind)}, {words}")
            sheet.frame(x, top, width, height, FAINT)
    for row, words in enumerate((texts.before_note, texts.after_note)):
        sheet.text(LEFT, y + 4.6 + row * (height + 6), words, NOTE, colour=GREY)
