"""/compare: the square by every preset that is here, for a program that calls the app."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from .test_endpoints import wait_until
from .test_endpoints_surface import answer_to


@pytest.fixture(autouse=True)
def two_presets(site, monkeypatch):
    """Of the presets two, which are quick for a small square, and one without its weights."""
    presets = site.enhancer.presets()
    few = [one for one in presets if one["name"] in ("anime-fast", "dehaze", "fast")]
    monkeypatch.setattr(site.enhancer, "presets", lambda *_: few)


def test_compare_gives_a_sheet_and_the_facts_of_each_preset(site, client):
    file = handle_file(site.photo("compared.png", 40, 48))

    sheet, info = client.predict(image=file, x=20, y=20, size=16, api_name="/compare")

    assert sheet.endswith("compared-presets.png")
    with Image.open(sheet) as image:
        assert image.size == (info["output"]["width"], info["output"]["height"])
    assert info["square"] == {"left": 12, "top": 12, "width": 16, "height": 16}
    assert [one["name"] for one in info["presets"]] == ["anime-fast", "dehaze"]
    assert all(one["seconds"] > 0 and one["fidelity_db"] > 20 for one in info["presets"])
    assert info["input"]["name"] == "compared.png"
    assert info["output"]["path"] is None
    before, after, _ = client.predict(image=file, x=20, y=20, size=16, preset="anime-fast", api_name="/preview")
    pixels = np.asarray(Image.open(sheet))
    assert np.array_equal(pixels[24:88, 24:88], np.asarray(Image.open(before)))
    assert np.array_equal(pixels[24:88, 308:372], np.asarray(Image.open(after)))


def test_the_sheet_is_in_the_callers_language_and_what_is_wrong_too(site, connect):
    file = handle_file(site.photo("language.png", 12, 12))
    chinese = connect(headers={"accept-language": "zh-CN"})
    english, other = (one.predict(image=file, size=8, api_name="/compare")[0] for one in (connect(), chinese))
    assert not np.array_equal(np.asarray(Image.open(english)), np.asarray(Image.open(other)))
    with pytest.raises(AppError, match="size 应为"):
        chinese.predict(image=file, size=0, api_name="/compare")


def test_a_cancelled_comparison_frees_the_engine_and_leaves_no_file(site, client):
    results = Path(site.page) / "results"
    before = set(results.glob("*/*")) if results.exists() else set()
    job = client.submit(image=handle_file(site.photo("stopped.png", 300, 300)), size=256, api_name="/compare")
    wait_until(lambda: job.status().progress_data)

    job.cancel()

    wait_until(nothing_goes_on, seconds=30)
    assert set(results.glob("*/*")) == before


def nothing_goes_on() -> bool:
    return not any(thread.name == "enhance-run" for thread in threading.enumerate())


def test_a_preview_of_someone_else_is_served_while_a_comparison_goes_on(site, connect):
    slow, quick = connect(), connect()
    job = slow.submit(image=handle_file(site.photo("going.png", 300, 300)), size=256, api_name="/compare")
    wait_until(lambda: job.status().progress_data)

    quick.predict(image=handle_file(site.photo("meanwhile.png", 24, 24)), preset="anime-fast", api_name="/preview")

    assert not job.done(), "the preview waited for the comparison"
    job.cancel()
    wait_until(nothing_goes_on, seconds=30)


def test_a_path_of_the_server_is_no_picture_of_a_comparison(site):
    secret = site.photo("../secret.png", 16, 16)
    given = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    assert "event: complete" not in answer_to(site, "compare", [given, None, None, 16])
