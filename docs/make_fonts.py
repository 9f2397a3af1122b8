"""Make the two fonts of the report from Noto Sans CJK SC: `python -m docs.make_fonts` in the
project folder.

enhance/report/fonts/README.md describes their content. This needs Debian's fonts-noto-cjk,
fonts-noto-core and unicode-data (or the same files in other folders), and fontTools, which fpdf2
installs.
"""

from __future__ import annotations

import argparse
import bz2
import logging
from pathlib import Path
from typing import Any

from fontTools import subset
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.pens.transformPen import TransformPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable

import enhance.report
from enhance.i18n import LANGUAGES, catalogue

log = logging.getLogger(__name__)

_FOLDER = Path(enhance.report.__file__).parent / "fonts"
_FAMILY = "Noto Sans SC Report"
_OWNERS = "Copyright 2014-2021 Adobe (http://www.adobe.com/). Copyright 2015-2020 Google LLC."
_SIMPLIFIED, _KOREAN = 2, 1  # faces of the collection
_PROPORTIONAL = (
    "·‘’“”•"  # one em wide in the simplified Chinese face, with Latin widths in the Korean one
)
_TIGHTENED, _BEARING = "×÷±≈≤≥…", 60  # one em wide in every face
_ELLIPSIS = "…"  # centred vertically in Chinese, but on the baseline in file names of any language
_HANZI = range(0x3400, 0x10000)
_EUROPEAN = (
    range(0x100, 0x250),
    range(0x370, 0x530),
    range(0x1E00, 0x1F00),
)  # Latin, Greek, Cyrillic, Vietnamese
_COARSE, _FINE = 3.0, 1.0  # thousandths of the em that a curve may move: in hanzi, in letters
_PLACEHOLDER = 0x25A1
_UNUSED_LIMITS = (
    *("maxTwilightPoints", "maxStorage", "maxFunctionDefs", "maxInstructionDefs"),
    *("maxStackElements", "maxSizeOfInstructions", "maxComponentElements"),
)


def letters() -> set[int]:
    """Return the code points of Latin-1, and of punctuation and signs for text in any language."""
    blocks = [range(0x20, 0x7F), range(0xA0, 0x100), range(0x2010, 0x2040), range(0x3001, 0x3020)]
    return {code for block in blocks for code in block} | {_PLACEHOLDER, *map(ord, "€™−≈≤≥∞×→·…")}


def bold_words() -> set[int]:
    """Return the code points of the texts that only the report and the batch summary have, such as
    headings."""
    texts = (item for language in LANGUAGES for item in catalogue(language).items())
    return {
        ord(letter)
        for key, text in texts
        if key.startswith(("report_", "summary_"))
        for letter in text
    }


def double_bytes(codec: str, first: range) -> set[int]:
    """Return the code points of all two-byte characters of `codec` whose first byte is in
    `first`."""
    pairs = (
        bytes([high, low]).decode(codec, errors="ignore")
        for high in first
        for low in range(0x40, 0xFF)
    )
    return {ord(pair) for pair in pairs if len(pair) == 1}


def listed(folder: Path, *fields: str) -> set[int]:
    """Return the code points that have one of these fields in the Unihan database."""
    found: set[int] = set()
    for path in folder.glob("Unihan_*.txt.bz2"):
        with bz2.open(path, "rt", encoding="utf-8") as lines:
            parts = (line.split("\t") for line in lines if line.startswith("U+"))
            found |= {int(part[0][2:], 16) for part in parts if part[1] in fields}
    if not found:
        raise SystemExit(
            f"{folder} contains no Unihan_*.txt.bz2 files. Install Debian's unicode-data."
        )
    return found


def make(
    source: Path, codes: set[int], style: str, target: Path, latin: Path | None = None
) -> None:
    """Write a WOFF file with the glyphs of `codes` from the font collection `source`, with
    quadratic curves.

    European letters that the collection lacks are taken from the font `latin`.
    """
    font: Any = TTFont(source, fontNumber=_SIMPLIFIED, lazy=True, recalcTimestamp=False)
    korean: Any = TTFont(source, fontNumber=_KOREAN, lazy=True).getBestCmap()
    for table in font["cmap"].tables:
        if table.isUnicode() and table.format in (4, 12):  # the faces share their glyphs
            table.cmap.update({ord(mark): korean[ord(mark)] for mark in _PROPORTIONAL})
    options = subset.Options(
        hinting=False, desubroutinize=True, notdef_outline=True, layout_features=[]
    )
    options.drop_tables += ["BASE", "GDEF", "GPOS", "GSUB", "VORG", "vhea", "vmtx"]
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=codes)
    cutter.subset(font)
    _draw_quadratic(font)
    if latin is not None:
        _add_letters(font, TTFont(latin))
    for record in font["name"].names:
        whole = f"{_FAMILY} {style}"
        named = {0: _OWNERS, 1: _FAMILY, 3: whole, 4: whole, 6: whole.replace(" ", "-")}
        record.string = named.get(record.nameID, record.string)
    font.flavor = "woff"
    font.save(target)
    log.info(
        "%s: %d glyphs, %d bytes", target.name, len(font.getGlyphOrder()), target.stat().st_size
    )


def _draw_quadratic(font: Any) -> None:
    """Replace cubic outlines (CFF) by quadratic ones (TrueType), which every PDF reader and printer
    supports."""
    glyphs, order = font.getGlyphSet(), font.getGlyphOrder()
    coarse = {name for code, name in font.getBestCmap().items() if code in _HANZI}
    drawn = {}
    for name in order:
        pen = TTGlyphPen(glyphs)
        glyphs[name].draw(
            Cu2QuPen(pen, _COARSE if name in coarse else _FINE, reverse_direction=True)
        )
        drawn[name] = pen.glyph()
    font["loca"], font["glyf"] = newTable("loca"), newTable("glyf")
    font["glyf"].glyphOrder, font["glyf"].glyphs = order, drawn
    for name, glyph in drawn.items():
        glyph.recalcBounds(font["glyf"])
        font["hmtx"][name] = font["hmtx"][name][0], getattr(glyph, "xMin", 0)
    _tighten(font)
    del font["CFF "]
    font["maxp"].tableVersion = 0x00010000
    font["maxp"].__dict__.update(dict.fromkeys(_UNUSED_LIMITS, 0), maxZones=1)
    font["post"].formatType = 3.0
    font.sfntVersion = "\x00\x01\x00\x00"


def _add_letters(font: Any, latin: Any) -> None:
    """Add the European letters that `font` lacks from `latin`, scaled to the same cap height."""
    known, offered, glyphs = font.getBestCmap(), latin.getBestCmap(), latin.getGlyphSet()
    scale = (
        font["OS/2"].sCapHeight
        / latin["OS/2"].sCapHeight
        * font["head"].unitsPerEm
        / latin["head"].unitsPerEm
    )
    added = {
        code: f"latin{code:04X}"
        for block in _EUROPEAN
        for code in block
        if code in offered and code not in known
    }
    for code, name in added.items():
        pen = TTGlyphPen(None)
        whole = DecomposingRecordingPen(glyphs)
        glyphs[offered[code]].draw(whole)
        whole.replay(TransformPen(pen, (scale, 0, 0, scale, 0, 0)))
        glyph = font["glyf"][name] = pen.glyph()
        glyph.recalcBounds(font["glyf"])
        font["hmtx"][name] = round(glyphs[offered[code]].width * scale), getattr(glyph, "xMin", 0)
    for table in font["cmap"].tables:
        if table.isUnicode() and table.format in (4, 12):
            table.cmap.update(added)


def _tighten(font: Any) -> None:
    """Remove the white space next to signs that are one em wide, and move the ellipsis to the
    baseline."""
    for sign in _TIGHTENED:
        name = font.getBestCmap()[ord(sign)]
        glyph = font["glyf"][name]
        glyph.coordinates.translate(
            (_BEARING - glyph.xMin, -glyph.yMin if sign == _ELLIPSIS else 0)
        )
        glyph.recalcBounds(font["glyf"])
        font["hmtx"][name] = glyph.xMax + _BEARING, glyph.xMin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts/opentype/noto"))
    parser.add_argument("--latin", type=Path, default=Path("/usr/share/fonts/truetype/noto"))
    parser.add_argument("--unihan", type=Path, default=Path("/usr/share/unicode"))
    parser.add_argument(
        "--bold",
        action="store_true",
        help="make only the bold font, which needs no Unihan database",
    )
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    log.setLevel(logging.INFO)
    make(
        given.fonts / "NotoSansCJK-Bold.ttc",
        letters() | bold_words(),
        "Bold",
        _FOLDER / "NotoSansSC-Bold.woff",
    )
    if given.bold:
        return
    hanzi = double_bytes("gb2312", range(0xA1, 0xFF)) | double_bytes("big5", range(0xA1, 0xC7))
    european = {code for block in _EUROPEAN for code in block}
    regular = letters() | european | hanzi | listed(given.unihan, "kTGH", "kIICore")
    latin = given.latin / "NotoSans-Regular.ttf"
    make(
        given.fonts / "NotoSansCJK-Regular.ttc",
        regular,
        "Regular",
        _FOLDER / "NotoSansSC-Regular.woff",
        latin,
    )


if __name__ == "__main__":
    main()
