"""Models of one's own for a program that calls the app: listed, compared, and counted together."""

from __future__ import annotations

import pytest
from gradio_client import handle_file
from PIL import Image

from ..own_models import added
from .test_metrics import counts


@pytest.fixture
def own(site, monkeypatch):
    """Two models of one's own beside one preset that is quick."""
    presets = site.enhancer.presets
    with added("compact-2x", "esrgan-8x"):
        few = [one for one in presets() if one["own"] or one["name"] == "anime-fast"]
        monkeypatch.setattr(site.enhancer, "presets", lambda *_: few)
        yield


def test_they_are_listed_and_compared_with_their_scale(site, client, own):
    listed = {one["name"]: (one["scale"], one["network"]) for one in client.predict(api_name="/presets")}
    assert listed["compact-2x"] == (2, "Compact")
    assert listed["esrgan-8x"] == (8, "ESRGAN")
    before, file = counts(site), handle_file(site.photo("own.png", 24, 24))

    sheet, info = client.predict(image=file, size=16, api_name="/compare")
    made, _ = client.predict(image=file, preset="compact-2x", api_name="/enhance")

    assert [one["name"] for one in info["presets"]] == ["anime-fast", "compact-2x", "esrgan-8x"]
    assert all(one["status"] == "done" for one in info["presets"])
    with Image.open(sheet) as image:
        assert image.height > 2 * 8 * 16
    with Image.open(made) as image:
        assert image.size == (48, 48)
    new = counts(site) - before
    assert new["enhance_pictures_total", "comparison", "done", "all"] == 1
    assert new["enhance_pictures_total", "task", "done", "own"] == 1
