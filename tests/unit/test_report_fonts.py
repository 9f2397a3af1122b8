"""The fonts of the report: their glyphs, size, outlines and licence."""

from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

import enhance.report
from enhance.i18n import LANGUAGES, catalogue

FOLDER = Path(enhance.report.__file__).parent / "fonts"


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


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_weights_have_the_glyphs_of_the_texts(letters, language):
    """If this fails after a change of texts, run `python -m docs.make_fonts --bold`."""
    words = {key: set(map(ord, text)) for key, text in catalogue(language).items()}
    own = [codes for key, codes in words.items() if key.startswith(("report_", "summary_"))]

    assert not {chr(code) for code in set().union(*words.values()) - letters["Regular"]}
    assert not {chr(code) for code in set().union(*own) - letters["Bold"]}
