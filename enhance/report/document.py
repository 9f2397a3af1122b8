"""A PDF document with the report's fonts, colours and footer."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Literal

from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout, WrapMode, XPos, YPos
from PIL import Image

from ..i18n import DEFAULT_LANGUAGE, load_language, match_language, translate
from ..store.names import REPORT_CREATOR

Colour = tuple[int, int, int]
INK = (28, 30, 34)
GREY = (112, 117, 125)
_RULE = (214, 217, 222)

MARGIN = 18.0
GAP = 6.0
TITLE = 20.0
LEAD = 11.0
HEADING = 9.5
BODY = 8.0
NOTE = 6.8
_BOTTOM = 20.0
_PADDING = (0.9, 1.5, 0.9, 0)
"""Top, right, bottom and left of a cell."""
_LABEL = FontFace(color=GREY)
_FONTS = Path(__file__).parent / "fonts"
_REPLACEMENT = "□"
_QUALITY = 90


class ReportDocument(FPDF):
    """An A4 document in one language.

    `output` returns it. Positions are millimetres, font sizes points.

    `kind` is "report" or "summary", the prefix of the key of the title. `language` is one of
    `enhance.i18n.LANGUAGES`; any other is treated as English. `name` is that of the file on which
    the document reports: it is part of the title in the metadata. `keywords` goes into the
    metadata.
    """

    def __init__(self, language: str, kind: str, name: str = "", keywords: str = "") -> None:
        super().__init__(format="A4", unit="mm")
        self.language = match_language(language) or DEFAULT_LANGUAGE
        self._heading = self.translate(f"{kind}_title")
        title = self._heading
        if name:
            title += f": {name}"
        self.set_margin(MARGIN)
        self.c_margin = 0
        self.set_auto_page_break(True, _BOTTOM)
        self.add_font("sans", "", _FONTS / "NotoSansSC-Regular.woff")
        self.add_font("sans", "B", _FONTS / "NotoSansSC-Bold.woff")
        self.set_title(self.normalize_text(title))
        self.set_creator(REPORT_CREATOR)
        self.set_keywords(keywords)
        self.set_lang(self.language)
        self.set_draw_color(*_RULE)
        self.set_line_width(0.15)

    def translate(self, key: str, **values: object) -> str:
        """Return the sentence of `key` in the document's language."""
        return translate(self.language, key, **values)

    def normalize_text(self, text: str) -> str:
        """Replace characters that the font lacks, so that any file name can be printed.

        fpdf2 calls this for all text on pages.
        """
        available = self.fonts["sans"].cmap  # type: ignore[union-attr]
        printable = ""
        for character in unicodedata.normalize("NFC", text):
            if ord(character) in available or character == "\n":
                printable += character
            elif character.isspace():
                printable += " "
            else:
                printable += _REPLACEMENT
        return printable

    def paragraph(
        self,
        text: str,
        size: float = BODY,
        *,
        colour: Colour = INK,
        style: Literal["", "B"] = "",
        width: float = 0,
    ) -> None:
        """Write `text` at the current position and go to the next line.

        It wraps at `width`, 0 for the right margin.

        The bold font holds only the report's own words.
        """
        self.set_font("sans", style, size)
        self.set_text_color(*colour)
        self.multi_cell(
            width,
            size * 0.51,
            text,
            align="L",
            wrapmode=self._wrapping,
            new_x=XPos.LEFT,
            new_y=YPos.NEXT,
        )

    def start(self, when: datetime) -> None:
        """Begin the first page with the title and with the date and time of `when`, in its own time
        zone."""
        self.add_page()
        self.paragraph(self._heading, TITLE, style="B")
        month = self.translate("report_months").split()[when.month - 1]
        date = self.translate("report_date", day=when.day, month=month, year=when.year, time=when)
        self.paragraph(date, NOTE, colour=GREY)
        self.ln(3)

    def heading(self, key: str) -> None:
        """Write a section heading with a line below it."""
        self.ln(4)
        self.paragraph(self.translate(key), HEADING, style="B")
        self.line(self.l_margin, self.y + 0.6, self.w - self.r_margin, self.y + 0.6)
        self.ln(1.6)

    def rows(
        self, rows: Iterable[Iterable[str]], widths: tuple[float, ...], *, headings: bool = False
    ) -> None:
        """Write a table that continues on as many pages as it needs; `widths` are relative.

        The first column holds labels. The last cell of a short row spans the rest of it. With
        `headings` the first row is repeated on each page.
        """
        self.set_font("sans", "", BODY)
        self.set_text_color(*INK)
        with self.table(
            align="LEFT",
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            col_widths=widths,
            first_row_as_headings=headings,
            headings_style=_LABEL,
            line_height=BODY * 0.51,
            padding=_PADDING,
            text_align="LEFT",
            wrapmode=self._wrapping,
        ) as table:
            for label, *texts in rows:
                row = table.row()
                row.cell(label, style=_LABEL)
                *others, last = texts
                for text in others:
                    row.cell(text)
                row.cell(last, colspan=len(widths) - len(texts))

    def framed_image(
        self, image: Image.Image, x: float, y: float, width: float, alt_text: str
    ) -> float:
        """Draw an image in sRGB as JPEG, `width` wide, and return the y below it."""
        height = width * image.height / image.width
        content = io.BytesIO()
        image.save(content, "JPEG", quality=_QUALITY, subsampling=0)
        self.image(content, x, y, width, height, alt_text=self.normalize_text(alt_text))
        self.rect(x, y, width, height)
        return y + height

    def footer(self) -> None:
        """Write the number of the page; fpdf2 calls this at its end and replaces {nb}."""
        self.set_y(-12)
        number = self.translate("report_page", number=self.page_no(), pages="{nb}")
        self.paragraph(number, NOTE, colour=GREY)

    @property
    def _wrapping(self) -> WrapMode:
        if load_language(self.language).space:
            return WrapMode.WORD
        return WrapMode.CHAR
