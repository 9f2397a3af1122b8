"""The paper: an A4 page measured in millimetres from its top left corner, with type, hairlines, pictures and plots.

Sizes of type are points. Text is placed by its baseline; what the fonts lack is drawn as a placeholder.
"""

from __future__ import annotations

import io
import logging
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from fpdf import FPDF, ViewerPreferences
from PIL import Image, ImageCms

from ..picture import Picture
from ..settings import NEUTRAL, RANGES
from ..texts import broken, name_of, say

logger = logging.getLogger(__name__)

Colour = tuple[int, int, int]
INK: Colour = (28, 30, 34)
GREY: Colour = (112, 117, 125)
FAINT: Colour = (214, 217, 222)
ACCENT: Colour = (23, 92, 148)
WHITE: Colour = (255, 255, 255)

CREATOR = "Enhance report"
"""What every PDF of this room says it was made by."""

LEFT, WIDTH = 18.0, 174.0
GUTTER = 6.0
TITLE, LEAD, HEAD, BODY, NOTE = 20.0, 11.0, 9.5, 8.0, 6.8

_FOOT = 287.0
_FONTS = Path(__file__).parent / "fonts"
_PLACEHOLDER = "□"
_HAIRLINE = 0.15
_QUALITY = 90
_MM = 25.4 / 72
_CHECK, _LIGHT, _DARK = 2.0, 255, 226  # mm of a checkerboard's square, and its two tones
_FEWEST = 240  # a side with fewer pixels is enlarged, so that no viewer blurs it
_FILL: Colour = (205, 209, 215)
_CHANNELS: tuple[tuple[str, Colour], ...] = (
    ("brightness", ACCENT),
    ("red", (186, 62, 58)),
    ("green", (56, 132, 84)),
    ("blue", (52, 96, 186)),
)
_ROW = 6.2  # mm from one bar to the next
_LABEL, _VALUE, _THICK = 23.0, 15.0, 1.7
_SLIDERS = ("strength", "fidelity", "denoise", "sharpen", "saturation", "contrast")
_STAGES = ("wait", "decode", "scene", "network", "tuning", "encode")
_MOST_STAGES = 8
_TICKS: tuple[tuple[int, Literal["left", "centre", "right"]], ...] = ((0, "left"), (128, "centre"), (255, "right"))


class Sheet:
    """A document in the making; `page` begins a page, `document` gives the finished PDF.

    `language` is one of the catalogue's; `title` and `subject` describe the document, `when` is its date, and `about`
    the picture that it is about, if it is one.
    """

    def __init__(self, language: str, title: str, subject: str, when: datetime, about: Picture | None = None) -> None:
        self.language = language
        self._in_srgb = _to_srgb(about.icc if about else None, grey=bool(about and about.grey))
        self._pdf = FPDF(format="A4", unit="mm")
        self._pdf.set_auto_page_break(False)
        self._pdf.set_margin(0)
        for style, name in (("", "Regular"), ("B", "Bold")):
            self._pdf.add_font("sans", style, _FONTS / f"NotoSansSC-{name}.woff")
        self._pdf.set_title(self.clean(title))
        self._pdf.set_subject(subject)
        self._pdf.set_creator(CREATOR)
        self._pdf.set_keywords(about.sha256 if about else "")
        self._pdf.set_lang(language)
        self._pdf.set_creation_date(when)
        self._pdf.viewer_preferences = ViewerPreferences(display_doc_title=True)

    def say(self, key: str, **values: object) -> str:
        """The catalogue's sentence in the document's language."""
        return say(self.language, key, **values)

    def page(self) -> None:
        self._pdf.add_page()

    def document(self) -> bytes:
        return bytes(self._pdf.output())

    def clean(self, text: str) -> str:
        """The text with a placeholder for each letter that the font lacks, and without marks that are not seen."""
        known = self._letters("")
        kept = []
        for letter in unicodedata.normalize("NFC", text):
            if ord(letter) in known:
                kept.append(letter)
            elif letter.isspace() or unicodedata.category(letter) == "Cc":
                kept.append(" ")
            elif unicodedata.category(letter) not in ("Cf", "Mn", "Me") and not 0x1F3FB <= ord(letter) <= 0x1F3FF:
                kept.append(_PLACEHOLDER)
        return "".join(kept)

    def width(self, text: str, size: float, bold: bool = False) -> float:
        """Millimetres that the text takes."""
        self._set_type(text, size, bold)
        return self._pdf.get_string_width(text)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = BODY,
        *,
        colour: Colour = INK,
        bold: bool = False,
        align: Literal["left", "right", "centre"] = "left",
        within: float | None = None,
    ) -> float:
        """Write one line with its baseline at y, shortened in its middle to `within` mm; gives the width it took."""
        text = self.clean(text)
        if within is not None:
            text = self._shortened(text, size, bold, within)
        taken = self.width(text, size, bold)
        start = x - {"left": 0.0, "right": taken, "centre": taken / 2}[align]
        self._pdf.set_text_color(*colour)
        self._pdf.text(start, y, text)
        return taken

    def paragraph(
        self, x: float, y: float, text: str, size: float, within: float, *, colour: Colour = INK, lines: int = 9
    ) -> float:
        """Write at most `lines` lines, broken at `within` mm; gives the baseline for what follows."""
        broken = self.broken(self.clean(text), size, within)
        if len(broken) > lines:
            broken[lines - 1 :] = [self._shortened("".join(broken[lines - 1 :]), size, False, within)]
        for line in broken:
            self.text(x, y, line, size, colour=colour)
            y += leading(size)
        return y

    def broken(self, text: str, size: float, within: float) -> list[str]:
        """Lines no wider than `within`, broken after spaces and hyphens, and anywhere in Chinese and in long words."""
        return broken(text, lambda part: self.width(part, size), within)

    def rule(self, x: float, y: float, width: float, colour: Colour = FAINT) -> None:
        """A horizontal hairline."""
        self.line([(x, y), (x + width, y)], colour, _HAIRLINE)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, thick: float) -> None:
        self._pdf.set_draw_color(*colour)
        self._pdf.set_line_width(thick)
        self._pdf.polyline(points)

    def area(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon."""
        self._pdf.set_fill_color(*colour)
        self._pdf.polygon(points, style="F")

    def bar(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """A filled rectangle; a negative width goes to the left."""
        self._pdf.set_fill_color(*colour)
        self._pdf.rect(x + min(width, 0), y, abs(width), height, style="F")

    def frame(self, x: float, y: float, width: float, height: float, colour: Colour, thick: float = _HAIRLINE) -> None:
        self._pdf.set_draw_color(*colour)
        self._pdf.set_line_width(thick)
        self._pdf.rect(x, y, width, height)

    def picture(self, pixels: np.ndarray, x: float, y: float, width: float, height: float, meaning: str) -> None:
        """Pixels of the picture, uint8 RGB or RGBA [h, w, C], as JPEG in a frame, with words for who cannot see it."""
        sink, square = io.BytesIO(), _CHECK * pixels.shape[1] / width
        _printable(pixels, self._in_srgb, square).save(sink, "JPEG", quality=_QUALITY, subsampling=0)
        self._pdf.image(sink, x, y, width, height, alt_text=self.clean(meaning))
        self.frame(x, y, width, height, FAINT)

    def head(self, title: str, *notes: str) -> None:
        """The page's title, and notes on the right, the last one on its line."""
        self.text(LEFT, 25, title, TITLE, bold=True)
        for place, note in enumerate(reversed(notes)):
            self.text(LEFT + WIDTH, 25 - 4.8 * place, note, NOTE, colour=GREY, align="right")

    def heading(self, x: float, y: float, width: float, words: str, note: str = "", *, ruled: bool = True) -> None:
        """A section's heading with its baseline at y, a quiet note at the right end of its line, and a hairline."""
        taken = self.text(x, y, words, HEAD, bold=True)
        if note:
            self.text(x + width, y, note, NOTE, colour=GREY, align="right", within=width - taken - 4)
        if ruled:
            self.rule(x, y + 2.2, width)

    def foot(self, number: int, pages: int, name: str = "") -> None:
        """The page's number, and below a hairline the name of what it is about."""
        if name:
            self.rule(LEFT, _FOOT - 4.5, WIDTH)
            self.text(LEFT, _FOOT, name, NOTE, colour=GREY, within=WIDTH * 0.7)
        note = self.say("report_page", number=number, pages=pages)
        self.text(LEFT + WIDTH, _FOOT, note, NOTE, colour=GREY, align="right")

    def _letters(self, style: str) -> Iterable[int]:
        return self._pdf.fonts[f"sans{style}"].cmap  # type: ignore[union-attr]

    def _set_type(self, text: str, size: float, bold: bool) -> None:
        # the bold font is small: names that it cannot write are written in the regular one
        heavy = bold and all(ord(letter) in self._letters("B") for letter in text)
        self._pdf.set_font("sans", "B" if heavy else "", size)

    def _shortened(self, text: str, size: float, bold: bool, within: float) -> str:
        """The text, or as much of its beginning and its end as fits around an ellipsis."""
        if self.width(text, size, bold) <= within:
            return text
        low, high = 0, len(text)
        while low < high:
            kept = (low + high + 1) // 2
            fits = self.width(_without_middle(text, kept), size, bold) <= within
            low, high = (kept, high) if fits else (low, kept - 1)
        return _without_middle(text, low)


def _to_srgb(icc: bytes | None, *, grey: bool) -> Callable[[np.ndarray], np.ndarray]:
    """What turns uint8 RGB [h, w, 3] in the space of the profile `icc` (a grey one if `grey`) into sRGB."""
    if icc is None:
        return lambda pixels: pixels
    try:
        profile, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(profile, target, "L" if grey else "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        logger.info("the report shows the colours without their profile: %s", error)
        return lambda pixels: pixels

    def convert(pixels: np.ndarray) -> np.ndarray:
        image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
        return np.asarray(ImageCms.applyTransform(image, transform))

    return convert


def _printable(pixels: np.ndarray, convert: Callable[[np.ndarray], np.ndarray], square: float) -> Image.Image:
    """uint8 RGB or RGBA [h, w, C] as an RGB picture to print; `square` is a checkerboard's square in pixels."""
    height, width = pixels.shape[:2]
    times = max(1, min(-(-_FEWEST // min(height, width)), 4 * _FEWEST // max(height, width)))
    if times > 1:
        pixels = pixels.repeat(times, axis=0).repeat(times, axis=1)
    colour = convert(np.ascontiguousarray(pixels[..., :3]))
    if pixels.shape[2] == 4:
        rows, columns = ((np.arange(side) / max(1.0, square * times)).astype(int) for side in pixels.shape[:2])
        board = np.where((rows[:, None] + columns) % 2, _DARK, _LIGHT).astype(np.float32)[..., None]
        alpha = pixels[..., 3:].astype(np.float32) / 255
        colour = cv2.convertScaleAbs(colour * alpha + board * (1 - alpha))
    return Image.fromarray(colour)


def date_in_words(language: str, when: datetime) -> str:
    """Day and minute, in the time zone of `when`."""
    month = say(language, f"report_month_{when.month}")
    return say(language, "report_date", day=when.day, month=month, year=when.year, time=f"{when:%H:%M}")


def leading(size: float) -> float:
    """Millimetres from one baseline to the next."""
    return size * _MM * 1.45


def column(number: int, of: int) -> tuple[float, float]:
    """The left edge and the width of one of `of` equal columns, the first is 0."""
    width = (WIDTH - GUTTER * (of - 1)) / of
    return LEFT + number * (width + GUTTER), width


def _without_middle(text: str, kept: int) -> str:
    end = kept // 3
    return text[: kept - end].rstrip() + "…" + text[len(text) - end :].lstrip()


def draw_histograms(
    sheet: Sheet, boxes: Sequence[tuple[float, float]], y: float, height: float, before: np.ndarray, after: np.ndarray
) -> None:
    """One plot a row of the histograms, in boxes of (x, width) below y: before filled, after as a line."""
    for (x, width), (name, colour), filled, line in zip(boxes, _CHANNELS, before, after, strict=False):
        sheet.text(x, y, sheet.say(f"report_{name}"))
        base = y + 3 + height
        # black borders and burnt-out skies are spikes at the ends that would flatten all the rest
        inner = max(filled[2:-2].max(), line[2:-2].max())
        highest = 1.05 * (inner or max(filled.max(), line.max(), 1e-9))
        steps = np.linspace(x, x + width, len(filled)).tolist()
        rises = (base - np.minimum(shares / highest, 1) * height for shares in (filled, line))
        outline, curve = (list(zip(steps, rise.tolist(), strict=True)) for rise in rises)
        sheet.area([(x, base), *outline, (x + width, base)], _FILL)
        sheet.line(curve, colour, 0.3)
        sheet.rule(x, base, width, GREY)
        for level, align in _TICKS:
            sheet.text(x + width * level / 255, base + 3.4, str(level), NOTE, colour=GREY, align=align)


def draw_legend(sheet: Sheet, right: float, y: float) -> None:
    """What is filled and what is a line, ending at `right`."""
    before, after = sheet.say("report_before"), sheet.say("report_after")
    start = right - sheet.width(after, NOTE)
    sheet.text(start, y, after, NOTE, colour=GREY)
    sheet.line([(start - 6, y - 0.8), (start - 1.5, y - 0.8)], ACCENT, 0.3)
    start -= 10 + sheet.width(before, NOTE)
    sheet.text(start, y, before, NOTE, colour=GREY)
    sheet.bar(start - 5, y - 1.8, 3.5, 2, _FILL)


def draw_settings(
    sheet: Sheet, x: float, y: float, width: float, values: Mapping[str, float | None], unused: Collection[str]
) -> float:
    """A bar for each slider from its neutral position to its value; gives the baseline for what follows.

    A value that is None is not known; the sliders named in `unused` made no difference.
    """
    for name in _SLIDERS:
        value, used = values.get(name), name not in unused
        low, high = RANGES[name]
        start, track = x + _LABEL, width - _LABEL - _VALUE
        sheet.text(x, y, sheet.say(name), colour=INK if used else GREY)
        sheet.rule(start, y - 1.1, track)
        neutral = start + track * (NEUTRAL.get(name, 0.0) - low) / (high - low)
        if value is not None and used:
            place = start + track * (min(max(value, low), high) - low) / (high - low)
            sheet.bar(neutral, y - 1.1 - _THICK / 2, place - neutral, _THICK, ACCENT)
        sheet.line([(neutral, y - 2.7), (neutral, y + 0.5)], INK if used else FAINT, 0.25)
        number = sheet.say("report_unknown") if value is None else f"{value:.2f}"
        words = number if used else sheet.say("report_unused")
        sheet.text(x + width, y, words, colour=INK if used else GREY, align="right")
        y += _ROW
    return y


def draw_seconds(sheet: Sheet, x: float, y: float, width: float, seconds: Mapping[str, float | None]) -> float:
    """A bar for each stage and the `total` below; gives the baseline for what follows."""
    known = {name: value for name, value in seconds.items() if value is not None}
    total = known.pop("total", None)
    ordered = sorted(known, key=lambda name: _STAGES.index(name) if name in _STAGES else len(_STAGES))
    longest = max(known.values(), default=0.0) or 1.0
    for name in ordered[:_MOST_STAGES]:
        sheet.text(x, y, name_of(sheet.language, "report_stage", name), within=_LABEL - 2)
        track = width - _LABEL - _VALUE
        sheet.rule(x + _LABEL, y - 1.1, track)
        sheet.bar(x + _LABEL, y - 1.1 - _THICK / 2, max(track * known[name] / longest, 0.2), _THICK, ACCENT)
        sheet.text(x + width, y, _seconds(sheet, known[name]), align="right")
        y += _ROW
    sheet.text(x, y, sheet.say("report_total"), bold=True)
    words = sheet.say("report_unknown") if total is None else _seconds(sheet, total)
    sheet.text(x + width, y, words, bold=True, align="right")
    return y + _ROW


def _seconds(sheet: Sheet, value: float) -> str:
    return sheet.say("report_seconds", number=f"{value:,.2f}")
