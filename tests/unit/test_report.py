"""The PDF report: its content, languages, images of all kinds, and bounded memory."""

import tracemalloc
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from enhance.output.png_reader import PngReader
from enhance.output.result import write_png
from enhance.report import make_report
from enhance.report.document import ReportDocument
from enhance.settings import Settings

from .report_runs import facts_of, info_of, run_of, text_of

NOON = datetime(2025, 3, 9, 12, 0, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def cat() -> np.ndarray:
    return np.ascontiguousarray(data.chelsea()[:120, 100:280])


def report_on(path: Path, pixels: np.ndarray, settings: Settings | None = None, language="en", **more) -> bytes:
    image, result = run_of(path, pixels, settings)
    return make_report(info_of(image, settings, **more), result, image, language=language, when=NOON)


@pytest.fixture(scope="module")
def english(tmp_path_factory, cat) -> Path:
    """One report for all tests that only read it."""
    folder = tmp_path_factory.mktemp("english")
    path = folder / "report.pdf"
    path.write_bytes(report_on(folder / "猫.png", cat))
    return path


@pytest.fixture(scope="module")
def document() -> ReportDocument:
    return ReportDocument("en", "", "", NOON)


def test_a_report_has_two_a4_pages_with_text_title_and_language(english, tmp_path):
    facts = facts_of(english, tmp_path)

    assert "Pages:           2" in facts
    assert "A4" in facts
    assert "Title:           Enhancement report: 猫.png" in facts
    assert b"/Lang (en)" in english.read_bytes()
    assert "Enhancement report" in text_of(english, tmp_path, page=1)


def test_the_report_has_all_facts_of_the_run_but_no_server_paths(english, tmp_path):
    text = text_of(english, tmp_path)
    assert "private" not in text

    for words in (
        *("猫.png", "猫-4x.png", "180 × 120 px", "720 × 480 px", "1,234,567 bytes", "Gentle", "RGB, 8-bit"),
        *("0123456789abcdef0123456789abcdef", "5" * 32, "7" * 32, "3" * 32),
        *(
            "realesrgan-x4plus",
            "Hugging Face",
            "CC-BY-NC-4.0, not for commercial use",
            "cpu · bf16",
            "up to 192 px",
            "very high (24.5 dB in the areas",
            "61.2 dB",
        ),
        "13.0 s",
        *("Strength 0.6", "Fidelity 1", "Sharpen 0.05", "Saturation 1", "Contrast 1"),
    ):
        assert words in text, words


def test_a_chinese_report_has_no_english(tmp_path, cat):
    document = report_on(tmp_path / "猫（最终版）.png", cat, language="zh-CN")

    text = text_of(document, tmp_path)
    assert all(words in text for words in ("照片增强报告", "猫（最终版）.png", "2025 年 3 月 9 日"))
    assert not any(word in text for word in ("Before", "After", "Settings", "seconds"))
    assert b"/Lang (zh-CN)" in document


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((2, 3, 4), 0, np.uint8),  # Fully transparent.
        np.tile(data.astronaut()[100:102], (1, 80, 1)),  # Wider than 16 bits.
        np.tile(data.astronaut()[:, 100:101], (40, 1, 1)),
        np.dstack([data.camera()[:60, :90], data.camera()[100:160, :90]]),
        data.astronaut()[:60, :90].astype(np.uint16) * 257,
    ],
    ids=["transparent", "40960-wide", "20480-tall", "grey-alpha", "16-bit"],
)
def test_every_kind_of_image_gets_two_pages(tmp_path, pixels):
    document = report_on(tmp_path / "image.png", np.ascontiguousarray(pixels))

    assert "Pages:           2" in facts_of(document, tmp_path)
    assert "Processing" in text_of(document, tmp_path, page=2)


def test_the_same_run_gives_the_same_bytes(tmp_path, cat):
    assert report_on(tmp_path / "cat.png", cat) == report_on(tmp_path / "cat.png", cat)


def test_the_stored_png_gives_the_same_report_as_the_run(tmp_path, cat):
    image, result = run_of(tmp_path / "cat.png", cat, Settings("gentle", scale=2.5))
    write_png(result, tmp_path / "out.png", signature="5" * 64)

    with PngReader(tmp_path / "out.png") as rows:
        from_disk = make_report(info_of(image), rows, image, when=NOON)

    assert text_of(from_disk, tmp_path) == text_of(make_report(info_of(image), result, image, when=NOON), tmp_path)


class Endless:
    """A result of any height that needs no memory."""

    channels = 3

    def __init__(self, height: int) -> None:
        self.size = height, 1200
        self._strip = np.random.default_rng(0).integers(0, 255, (1200, 1200, 3), np.uint8)

    def rows(self, first: int, last: int) -> np.ndarray:
        return self._strip[: last - first].copy()


def test_memory_does_not_grow_with_the_height_of_the_result(tmp_path):
    """The additional pixels take 14 MB; the report's memory grows far less."""
    peaks = []
    for height in (1200, 5200):
        image, _ = run_of(tmp_path / "in.png", np.zeros((height // 4, 300, 3), np.uint8))
        tracemalloc.start()
        make_report(info_of(image), Endless(height), image)
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()

    assert peaks[1] - peaks[0] < 7, peaks
