"""The fonts that travel with the report: what they cover, how large they are, and that their licence is with them."""

from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

import enhance
from enhance.report.texts import ENGLISH
from enhance.report.texts_zh import CHINESE, texts_for

FOLDER = Path(enhance.__file__).parent / "fonts"


@pytest.fixture(scope="module")
def letters() -> dict[str, set[int]]:
    return {
        style: set(TTFont(FOLDER / f"NotoSansSC-{style}.woff").getBestCmap() or ()) for style in ("Regular", "Bold")
    }


def test_the_font_covers_latin_and_all_of_gb_2312(letters):
    latin = {*range(0x20, 0x7F), *range(0xA0, 0x180)}
    pairs = (bytes([high, low]) for high in range(0xB0, 0xF8) for low in range(0xA1, 0xFF))
    hanzi = {ord(pair.decode("gb2312")) for pair in pairs if pair.decode("gb2312", "ignore")}

    assert len(hanzi) == 6763
    assert latin <= letters["Regular"]
    assert hanzi <= letters["Regular"]
    assert ord("□") in letters["Regular"]


@pytest.mark.parametrize("words", [ENGLISH, CHINESE], ids=["en", "zh-CN"])
def test_both_weights_have_every_letter_of_the_reports_words(letters, words):
    """If this fails after a change of words: python -m enhance.fonts.make_subset."""
    used = {ord(letter) for text in words.all for letter in text}

    assert not {chr(code) for code in used - letters["Regular"]}
    assert not {chr(code) for code in used - letters["Bold"]}


def test_the_fonts_are_small_and_their_licence_is_with_them():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.woff")) < 3_000_000
    licence = (FOLDER / "OFL.txt").read_text()
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    assert "Adobe" in licence


def test_the_outlines_are_of_the_kind_that_every_pdf_reader_takes():
    font = TTFont(FOLDER / "NotoSansSC-Regular.woff")

    assert "glyf" in font
    assert "CFF " not in font


def test_english_is_the_language_for_whoever_speaks_neither():
    assert texts_for("zh-CN") is texts_for("zh") is CHINESE
    assert texts_for("en") is texts_for("de") is ENGLISH


def test_both_languages_have_the_same_places_for_values():
    for one, other in zip(ENGLISH.all, CHINESE.all, strict=True):
        assert one.count("{}") == other.count("{}"), (one, other)
