"""The first page: what the report is about, the whole picture before and after, and three places pixel for pixel."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import cv2
import numpy as np
from PIL import Image, ImageCms

from .findings import Findings, Look, Place, Wanted
from .sheet import (
    ACCENT,
    BODY,
    FAINT,
    GREY,
    GUTTER,
    LEAD,
    LEFT,
    NOTE,
    TITLE,
    WIDTH,
    Colour,
    Sheet,
    column,
    date_in_words,
    draw_heading,
)

logger = logging.getLogger(__name__)

_TOP, _BOTTOM = 52.0, 279.0  # where the content begins below the head, and where it ends
_PLACE_PIXELS = 320
_WIDE = 2.6  # wider pictures lie one above the other
_TALLEST = 92.0
_CAPTION, _HEADING, _BETWEEN, _ROW = 5.5, 6.0, 8.0, 5.5
_HALF, _THIRD = (WIDTH - GUTTER) / 2, (WIDTH - 2 * GUTTER) / 3
_LOWEST_PLACE, _HIGHEST_PLACE = 40.0, 62.0
_DOTS = 300 / 25.4

_WHITE: Colour = (255, 255, 255)
_CHECK = 2.0  # mm of a checkerboard's square
_LIGHT, _DARK = 255, 226
_BADGE = 3.4
_FEWEST = 240  # a side with fewer pixels is enlarged, so that no viewer blurs it

Convert = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Layout:
    """Sizes in mm (width, height) of one whole picture and of one place; `stacked`: after lies below before."""

    whole: tuple[float, float]
    place: tuple[float, float]
    stacked: bool

    @property
    def wanted(self) -> Wanted:
        """The pixels that printing at these sizes needs."""
        wide, tall = (max(1, round(side * _DOTS)) for side in self.whole)
        return Wanted((tall, wide), (round(_PLACE_PIXELS * self.place[1] / self.place[0]), _PLACE_PIXELS))


def layout_for(width: int, height: int) -> Layout:
    """The layout for a picture of this shape."""
    stacked = width / height > _WIDE
    across = WIDTH if stacked else _HALF
    factor = min(across / width, _TALLEST / height)
    whole = max(1.0, width * factor), max(1.0, height * factor)
    taken = whole[1] + _CAPTION if not stacked else 2 * (whole[1] + _CAPTION)
    rest = _BOTTOM - _TOP - _HEADING - taken - _BETWEEN - _HEADING - _CAPTION - 2 * _ROW
    place_height = min(max(rest / 2, _LOWEST_PLACE), _HIGHEST_PLACE)
    return Layout(whole, (_THIRD, place_height), stacked)


def draw_head(sheet: Sheet, name: str, summary: str, task: str, when: datetime) -> None:
    """Title and date, the task, the picture's name and what became of it."""
    right = LEFT + WIDTH
    sheet.text(LEFT, 25, sheet.say("report_title"), TITLE, bold=True)
    sheet.text(right, 20.2, date_in_words(sheet.language, when), NOTE, colour=GREY, align="right")
    sheet.text(right, 25, sheet.say("report_task", task=task), NOTE, colour=GREY, align="right")
    sheet.text(LEFT, 34, name, LEAD, within=WIDTH)
    sheet.text(LEFT, 39.5, summary, BODY, colour=GREY, within=WIDTH)
    sheet.rule(LEFT, 44, WIDTH)


def draw_pictures(sheet: Sheet, findings: Findings, layout: Layout, sizes: tuple[str, str], convert: Convert) -> None:
    """Draw under the head; `sizes` says in words how large the two pictures are."""
    draw_heading(sheet, LEFT, _TOP, WIDTH, sheet.say("report_whole"))
    below = _draw_whole(sheet, findings, layout, sizes, convert)
    _draw_places(sheet, findings.places, layout, below + 8, convert)


def _draw_whole(sheet: Sheet, findings: Findings, layout: Layout, sizes: tuple[str, str], convert: Convert) -> float:
    """Both whole pictures with their captions; gives where they end."""
    width, height = layout.whole
    y = _TOP + 3
    for number, (key, size) in enumerate(zip(("report_before", "report_after"), sizes, strict=True)):
        words = sheet.say(key)
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
    width, height = layout.place
    first = places[0][0]
    note = sheet.say("report_places_note", width=first.width, height=first.height)
    draw_heading(sheet, LEFT, y, WIDTH, sheet.say("report_places"), note)
    y += 6
    for number, (place, look) in enumerate(places):
        x = LEFT + number * (width + GUTTER)
        _badge(sheet, x, y - 2.6, number + 1)
        kind = sheet.say(f"report_place_{place.kind}")
        taken = sheet.text(x + _BADGE + 1.5, y, kind, BODY, bold=True)
        where = sheet.say("report_place_at", left=place.left, top=place.top)
        sheet.text(x + _BADGE + taken + 3.5, y, where, NOTE, colour=GREY)
        for row, (pixels, words) in enumerate(((look.before, "report_before"), (look.after, "report_after"))):
            top = y + 6 + row * (height + 6)
            image = printable(pixels, convert, _CHECK * pixels.shape[1] / width)
            sheet.picture(image, x, top, width, height, f"{kind}, {sheet.say(words)}")
            sheet.frame(x, top, width, height, FAINT)
    for row, words in enumerate(("report_before_note", "report_after_note")):
        sheet.text(LEFT, y + 4.6 + row * (height + 6), sheet.say(words), NOTE, colour=GREY)


def to_srgb(icc: bytes | None, grey: bool) -> Callable[[np.ndarray], np.ndarray]:
    """What turns uint8 RGB [h, w, 3] in the space of the profile `icc` (a grey one if `grey`) into sRGB."""
    if icc is None:
        return lambda pixels: pixels
    mode = "L" if grey else "RGB"
    try:
        profile, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(profile, target, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        logger.info("the report shows the colours without their profile: %s", error)
        return lambda pixels: pixels

    def convert(pixels: np.ndarray) -> np.ndarray:
        image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
        return np.asarray(ImageCms.applyTransform(image, transform))

    return convert


def printable(pixels: np.ndarray, convert: Callable[[np.ndarray], np.ndarray], square: float) -> Image.Image:
    """uint8 RGB or RGBA [h, w, C] as an RGB picture to print; `square` is a checkerboard's square in pixels."""
    times = -(-_FEWEST // min(pixels.shape[:2]))
    longest = 4 * _FEWEST // max(pixels.shape[:2])
    times = max(1, min(times, longest))
    if times > 1:
        pixels = np.repeat(np.repeat(pixels, times, axis=0), times, axis=1)
    colour = convert(np.ascontiguousarray(pixels[..., :3]))
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        board = _checkerboard(pixels.shape[:2], max(1.0, square * times))[..., None]
        colour = cv2.convertScaleAbs(colour * alpha + board * (1 - alpha))
    return Image.fromarray(colour)


def _checkerboard(size: tuple[int, ...], square: float) -> np.ndarray:
    rows, columns = ((np.arange(side) / square).astype(np.int64) for side in size[:2])
    return np.where((rows[:, None] + columns) % 2, _DARK, _LIGHT).astype(np.float32)
