"""/compare: an area with every preset that is available."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gradio_client import handle_file
from PIL import Image

from ..site import wait_until


def test_compare_returns_a_sheet_and_the_facts_of_each_preset(site, client):
    file = handle_file(site.photo("compared.png", 40, 48))

    sheet, info = client.predict(image=file, x=20, y=20, size=16, api_name="/compare")

    assert sheet.endswith("compared-presets.png")
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape[:2] == (info["output"]["height"], info["output"]["width"])
    presets = client.predict(api_name="/presets")
    available = [one["name"] for one in presets if one["available"]]
    assert ["auto", *(one["name"] for one in info["presets"])] == available
    assert all(one["seconds"] > 0 and one["fidelity_db"] > 20 for one in info["presets"])
    assert (info["input"]["name"], info["output"]["path"]) == ("compared.png", None)
    first = info["presets"][0]["name"]
    before, after, _ = client.predict(
        image=file, x=20, y=20, size=16, preset=first, api_name="/preview"
    )
    assert np.array_equal(pixels[24:88, 24:88], np.asarray(Image.open(before)))
    assert np.array_equal(pixels[24:88, 308:372], np.asarray(Image.open(after)))


def test_previews_run_during_a_comparison_and_a_cancelled_one_leaves_no_file(site, connect):
    slow, quick = connect(), connect()
    results = Path(site.page) / "results"
    before = set(results.glob("*/*-presets.png"))
    with site.enhancer.paused("cell"):
        job = slow.submit(
            image=handle_file(site.photo("going.png", 40, 40)), size=32, api_name="/compare"
        )
        wait_until(lambda: job.status().progress_data)
        quick.predict(
            image=handle_file(site.photo("meanwhile.png", 24, 24)),
            preset="anime-fast",
            api_name="/preview",
        )
        assert not job.done(), "the preview waited for the comparison"
        job.cancel()
        wait_until(lambda: site.enhancer.scheduler.count("comparison") == 0)
    assert set(results.glob("*/*-presets.png")) == before
