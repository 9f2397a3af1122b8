"""A PDF document with the report's fonts, colours and footer."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from fpdf import FPDF, FontFace, ViewerPreferences
from fpdf.enums import TableBordersLayout, WrapMode, XPos, YPos
from PIL import Image

from ..i18n import DEFAULT_LANGUAGE, match_language, sentence_space, translate
from ..store.names import REPORT_CREATOR

Colour = tuple[int, int, int]
INK: Colour = (28, 30, 34)
GREY: Colour = (112, 117, 125)
_RULE: Colour = (214, 217, 222)

MARGIN = 18.0
GAP = 6.0
TITLE = 20.0
LEAD = 11.0
HEADING = 9.5
BODY = 8.0
NOTE = 6.8
_BOTTOM = 20.0
_PADDING = (0.9, 1.5, 0.9, 0)
_LAST_PADDING = (0.9, 0, 0.9, 0)
"""Top, right, bottom and left of a cell. The last column ends at the margin."""
_FONTS = Path(__file__).parent / "fonts"
_REPLACEMENT = "□"
_QUALITY = 90
_MIN_IMAGE_SIDE = 240


_PAGES = "\ue000"
"""Stands for the number of pages, which fpdf2 inserts at the end. One character takes the width of
a digit."""


class ReportDocument(FPDF):
    """An A4 document in one language.

    `output` returns it. Positions are millimetres, font sizes points.

    `kind` is "report" or "summary", the prefix of the keys of title and subject. `language` is one
    of `enhance.i18n.LANGUAGES`; any other is treated as English. `name` is that of the file on
    which the document reports: it is part of the title in the metadata, and below every page.
    `keywords` goes into the metadata.
    """

    def __init__(self, language: str, kind: str, name: str = "", keywords: str = "") -> None:
        super().__init__(format="A4", unit="mm")
        self.language = match_language(language) or DEFAULT_LANGUAGE
        self._name = name
        self._heading = self.translate(f"{kind}_title")
        title = self._heading
        if name:
            title += f": {name}"
        self.set_margin(MARGIN)
        self.c_margin = 0
        self.alias_nb_pages(_PAGES)
        self.set_auto_page_break(True, _BOTTOM)
        self.add_font("sans", "", _FONTS / "NotoSansSC-Regular.woff")
        self.add_font("sans", "B", _FONTS / "NotoSansSC-Bold.woff")
        self.set_title(self.clean(title))
        self.set_subject(self.translate(f"{kind}_subject"))
        self.set_creator(REPORT_CREATOR)
        self.set_keywords(keywords)
        self.set_lang(self.language)
        self.created = datetime.now().astimezone()
        self.set_creation_date(self.created)
        self.viewer_preferences = ViewerPreferences(display_doc_title=True)
        self.set_draw_color(*_RULE)
        self.set_line_width(0.15)

    def translate(self, key: str, **values: object) -> str:
        """Return the sentence of `key` in the document's language."""
        return translate(self.language, key, **values)

    def clean(self, text: str) -> str:
        """Replace characters that the font lacks and remove invisible ones, so that any file name
        can be printed."""
        available = self.fonts["sans"].cmap  # type: ignore[union-attr]
        cleaned = ""
        for character in unicodedata.normalize("NFC", text):
            category = unicodedata.category(character)
            is_skin_tone = 0x1F3FB <= ord(character) <= 0x1F3FF  # of an emoji
            if ord(character) in available or character == _PAGES:
                cleaned += character
            elif character.isspace() or category == "Cc":
                cleaned += " "
            # Format characters, combining marks and skin tones are shown as part of another
            # character.
            elif category not in ("Cf", "Mn", "Me") and not is_skin_tone:
                cleaned += _REPLACEMENT
        return cleaned

    def paragraph(
        self,
        text: str,
        size: float = BODY,
        *,
        colour: Colour = INK,
        bold: bool = False,
        width: float = 0,
        align: Literal["L", "R"] = "L",
    ) -> None:
        """Write `text` at the current position and go to the next line.

        It wraps at `width`, 0 for the right margin.

        The bold font holds only the report's own words.
        """
        style: Literal["", "B"] = ""
        if bold:
            style = "B"
        self.set_font("sans", style, size)
        self.set_text_color(*colour)
        self.multi_cell(
            width,
            size * 0.51,
            self.clean(text),
            align=align,
            wrapmode=self._wrapping,
            new_x=XPos.LEFT,
            new_y=YPos.NEXT,
        )

    def start(self, when: datetime) -> None:
        """Begin the first page with the title and with the date and time of `when`, in its own time
        zone."""
        self.add_page()
        self.paragraph(self._heading, TITLE, bold=True)
        month = self.translate("report_months").split()[when.month - 1]
        date = self.translate(
            "report_date", day=when.day, month=month, year=when.year, time=f"{when:%H:%M}"
        )
        self.paragraph(date, NOTE, colour=GREY)
        self.ln(3)

    def heading(self, text: str) -> None:
        """Write a section heading with a line below it."""
        self.ln(4)
        self.paragraph(text, HEADING, bold=True)
        self.line(self.l_margin, self.y + 0.6, self.w - self.r_margin, self.y + 0.6)
        self.ln(1.6)

    def rows(
        self,
        rows: Iterable[Sequence[str]],
        widths: Sequence[float],
        *,
        headings: bool = False,
        align: Sequence[Literal["LEFT", "RIGHT"]] | None = None,
    ) -> None:
        """Write a table that continues on as many pages as it needs; `widths` are relative.

        With `headings` the first row is repeated on each page; otherwise the first column holds
        labels. The last cell of a short row spans the rest of it.
        """
        self.set_font("sans", "", BODY)
        self.set_text_color(*INK)
        with self.table(
            align="LEFT",
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            col_widths=tuple(widths),
            first_row_as_headings=headings,
            headings_style=FontFace(color=GREY),
            line_height=BODY * 0.51,
            padding=_PADDING,
            text_align=tuple(align or ["LEFT"] * len(widths)),
            wrapmode=self._wrapping,
        ) as table:
            for number, cells in enumerate(rows):
                row = table.row()
                last = len(cells) - 1
                for column, text in enumerate(cells):
                    style = None
                    if (headings and number == 0) or (not headings and column == 0):
                        style = FontFace(color=GREY)
                    text = "\n".join(map(self.clean, text.split("\n")))
                    if column < last:
                        row.cell(text, style=style, padding=_PADDING)
                    else:
                        span = len(widths) - last
                        row.cell(text, colspan=span, style=style, padding=_LAST_PADDING)

    def framed_image(
        self, image: Image.Image, x: float, y: float, width: float, alt_text: str
    ) -> float:
        """Draw an image in sRGB as JPEG, `width` wide, and return the y below it."""
        height = width * image.height / image.width
        factor = -(-_MIN_IMAGE_SIDE // min(image.size))
        # Viewers blur very small images.
        if factor > 1 and max(image.size) * factor <= 4 * _MIN_IMAGE_SIDE:
            image = image.resize((image.width * factor, image.height * factor), 0)
        content = io.BytesIO()
        image.save(content, "JPEG", quality=_QUALITY, subsampling=0)
        self.image(content, x, y, width, height, alt_text=self.clean(alt_text))
        self.rect(x, y, width, height)
        return y + height

    def footer(self) -> None:
        """Write the footer; fpdf2 calls this at the end of every page."""
        self.set_y(-12)
        number = self.translate("report_page", number=self.page_no(), pages=_PAGES)
        self.paragraph(number, NOTE, colour=GREY, align="R")
        self.set_y(-12)
        text = self.clean(self._name)
        self.set_font("sans", "", NOTE)
        while len(text) > 1 and self.get_string_width(text) > 0.7 * self.epw:
            text = text[: len(text) * 9 // 10].rstrip("…") + "…"
        self.paragraph(text, NOTE, colour=GREY)

    @property
    def _wrapping(self) -> WrapMode:
        if sentence_space(self.language):
            return WrapMode.WORD
        return WrapMode.CHAR
