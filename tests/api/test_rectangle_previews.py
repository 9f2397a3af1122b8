"""Previews of rectangles: their pixels, the network outputs that are kept for sliders, and their
end."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image

from enhance.images import Box
from enhance.images.downscaling import block_means
from enhance.web import streams
from enhance.web.kept_previews import KeptPreviews, Key
from enhance.web.owners import Owner

from ..site import Site, wait_until
from .calls import FAST, answer_to, begin, listen, upload, values_for

PREVIEW = {**FAST, "api_name": "/preview"}
PLACE = {"left": 20, "top": 10, "width": 40, "height": 30}
OTHER = {**PLACE, "left": 0}
THIRD = {**PLACE, "top": 0}


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def start(site: Site, **given: Any) -> str:
    """Call /preview with named parameters; return the address of its events."""
    url = f"{site.url}gradio_api/call/v2/preview"
    return f"{url}/{httpx.post(url, json=given).json()['event_id']}"


def events(site: Site, **given: Any) -> list[tuple[str, Any]]:
    """Return the events of a call of /preview, each with its name and its data."""
    answer = httpx.get(start(site, **given), timeout=60).text
    parts = [one.split("\ndata: ") for one in answer.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data)) for name, data in parts]


def owner() -> dict[str, str]:
    """Return the header of a new owner."""
    return {"x-enhance-key": secrets.token_hex(16)}


@pytest.mark.parametrize(
    "size", [{}, {"scale": 2}, {"long_side": 150}, {"scale": 6}, {"reduce": 2}]
)
def test_a_rectangle_has_the_signature_and_the_pixels_of_the_run(site, client, size):
    file = handle_file(site.photo("rectangle.png", 70, 90))
    given = {"preset": "anime-fast", "sharpen": 0.3, **size}
    path, run = client.predict(image=file, **given, api_name="/enhance")
    before, after, info = client.predict(image=file, **given, **PLACE, api_name="/preview")

    assert info["signature"] == run["signature"]
    assert (info["preview"], info["quick"]) == (PLACE, False)
    window = info["window"]
    rows = slice(window["top"], window["top"] + window["height"])
    columns = slice(window["left"], window["left"] + window["width"])
    assert np.array_equal(pixels(after), pixels(path)[rows, columns])
    assert pixels(before).shape == pixels(after).shape


def test_the_part_of_a_rectangle_inside_the_photo_and_its_middle_are_previewed(site, client):
    file = handle_file(site.photo("wide.png", 12, 600))
    wide = {"left": 0, "top": -4, "width": 600, "height": 400}
    *_, info = client.predict(image=file, **wide, **PREVIEW)
    assert info["preview"] == {"left": 44, "top": 0, "width": 512, "height": 12}


@pytest.mark.parametrize("photo_size", [(700, 900), (2000, 2400)])
def test_a_result_smaller_than_the_photo_is_previewed_everywhere(
    site, client, tmp_path, photo_size
):
    height, width = photo_size
    levels = np.add.outer(np.arange(height) // 20, np.arange(width) // 20) % 50 * 5
    photo = tmp_path / "large.png"
    Image.fromarray(levels.astype(np.uint8)).convert("RGB").save(photo)
    given = {
        "image": handle_file(photo),
        "preset": "resize",
        "long_side": width // 2,
        "contrast": 1.2,
    }
    path, run = client.predict(**given, api_name="/enhance")
    everything = {"left": 0, "top": 0, "width": width, "height": height}
    before, after, info = client.predict(**given, **everything, api_name="/preview")

    assert (info["signature"], info["preview"]) == (run["signature"], everything)
    assert (info["input"]["width"], info["window"]["width"]) == (width, width // 2)
    # A large area has the resolution of a screen.
    step = round(width / 2 / pixels(after).shape[1])
    assert step == (2 if height * width > 4e6 else 1)
    result = block_means(pixels(path), step)
    assert np.abs(pixels(after).astype(float) - result).mean() < 2
    assert pixels(before).shape == pixels(after).shape


def test_a_slider_needs_no_network_and_nobody_else_gets_the_kept_output(site, connect):
    file, calls = handle_file(site.photo("kept.png", 64, 80)), site.enhancer.calls
    one, other = connect(headers=owner()), connect(headers=owner())

    def networks(client: Any, **given: Any) -> int:
        """Return how many networks a preview runs. Each has the pixels of a fresh one."""
        before = calls["preview"]
        _, after, info = client.predict(image=file, **given, **PREVIEW)
        count = calls["preview"] - before
        _, fresh, expected = connect().predict(image=file, **given, **PREVIEW)
        assert np.array_equal(pixels(after), pixels(fresh))
        same = ("signature", "settings", "fidelity_db", "auto", "input", "preview", "window")
        assert [info[name] for name in same] == [expected[name] for name in same]
        return count

    assert networks(one, **PLACE) == 1
    assert networks(one, **PLACE, contrast=1.2) == 0
    assert networks(one, **PLACE, scale=2) == 0
    assert networks(one, **PLACE, reduce=2) == 1
    assert networks(one, **PLACE) == 0, "an output of another network replaces none"
    assert networks(other, **PLACE) == 1
    assert networks(connect(), **PLACE) == 1
    assert networks(one, **OTHER) == 1
    assert networks(one, **PLACE) == 0
    assert networks(one, **THIRD) == 1
    assert networks(one, **PLACE) == 0
    assert networks(one, **OTHER) == 1, (
        "the third region has replaced the one that was used least recently"
    )


def test_kept_outputs_have_a_limited_size_and_are_released_when_they_are_idle():
    def preview(megabytes: int) -> Any:
        kept = SimpleNamespace(region=SimpleNamespace(nbytes=megabytes * 1_000_000))
        kept.without_images = lambda: kept
        return kept

    def keys() -> Iterator[Key]:
        yield from (
            Key(Owner(f"key {n}", "a"), "photo", Box(0, 0, 8, 8), "network") for n in range(100)
        )

    kept = KeptPreviews()
    for key in keys():
        kept.keep(key, preview(20))
        assert kept.nbytes <= 256_000_000
    assert kept.nbytes == 240_000_000
    assert sum(kept.find(key) is not None for key in keys()) == 12
    other = next(keys())._replace(owner=Owner("session b", "another address"))
    kept.keep(other, preview(40))
    for key in keys():
        kept.keep(key, preview(20))
    assert kept.find(other) is not None, "invented owners replace only outputs of their own address"
    kept.keep(next(keys()), preview(300))
    assert kept.nbytes == 40_000_000, "an output that is larger than the limit is not kept"

    idle = KeptPreviews(seconds=0)
    idle.keep(next(keys()), preview(1))
    idle.sweep()
    assert idle.nbytes == 0


def test_threads_share_the_kept_outputs():
    kept, limit = KeptPreviews(max_bytes=10), 10
    one: Any = SimpleNamespace(region=SimpleNamespace(nbytes=4))
    one.without_images = lambda: one

    def use(number: int) -> int:
        most = 0
        for n in range(300):
            key = Key(Owner(f"key {number % 3}", "a"), "photo", Box(n % 4, 0, 8, 8), str(n % 5))
            kept.keep(key, one)
            kept.find(key)
            kept.sweep()
            most = max(most, kept.nbytes)
        return most

    with ThreadPoolExecutor(8) as threads:
        assert max(threads.map(use, range(8))) <= limit
    assert kept.nbytes == 8


def test_a_quick_preview_comes_first_without_the_signature(site, monkeypatch):
    monkeypatch.setattr("enhance.web.preview._QUICK_SECONDS", 0.0)
    received = events(site, image=upload(site, "quick.png", 64), **PLACE, **FAST)
    infos = [data[2] for name, data in received if name == "generating" and "preview" in data[2]]

    assert [one["quick"] for one in infos] == [True, False]
    assert [one["preset"] for one in infos] == ["precise", "anime-fast"]
    assert infos[0]["signature"] is None
    assert received[-1][0] == "complete"
    assert received[-1][1][2]["signature"] == infos[1]["signature"]


def test_a_preview_ends_when_its_stream_closes_and_when_nobody_opens_it(site, monkeypatch):
    monkeypatch.setattr(streams, "UNREAD_SECONDS", 2.0)
    image, enhancer = upload(site, "left.png", 48), site.enhancer
    with enhancer.paused("preview"):
        for listens in (True, False):
            before = enhancer.calls["preview"]
            address = start(site, image=image, **PLACE, **FAST)
            wait_until(lambda before=before: enhancer.calls["preview"] > before)
            if listens:
                with httpx.stream("GET", address, timeout=20) as stream:
                    next(stream.iter_lines())
            wait_until(lambda: enhancer.scheduler.count("preview") == 0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"left": 1}, "left, top, width and height"),
        (PLACE | {"left": 64}, "64 × 64"),
        (PLACE | {"width": 0}, "64 × 64"),
        (PLACE | {"height": 10**400}, ""),
        (PLACE | {"top": 1.5}, "top cannot be 1.5"),
        (PLACE | {"top": "a"}, "top"),
    ],
)
def test_a_wrong_rectangle_is_a_message(site, given, words):
    (name, message) = events(site, image=upload(site, "wrong.png", 64), **given, **FAST)[-1]
    if not words:
        assert name == "complete"
        return
    assert name == "error"
    assert words in str(message)


def test_calls_of_earlier_clients_stay_valid_and_the_format_is_ignored_but_not_documented(
    site, http
):
    image = upload(site, "earlier.png", 24)
    assert "event: complete" in answer_to(
        site, "preview", values_for("preview", image, format="jpeg")
    )
    received = events(site, image=image, **FAST, format="jpeg", label=False, size=16)
    assert received[-1][1][0]["path"].endswith("before.png")
    assert "event: complete" in listen(
        site, "analyse", begin(site, "analyse", [image, 2, *[None] * 5])
    )

    paths = http.get("gradio_api/openapi.json").json()["paths"]
    encoding = {"format", "quality", "metadata", "label", "background"}
    for endpoint, documented in (("enhance", encoding), ("preview", set())):
        body = paths[f"/gradio_api/call/v2/{endpoint}"]["post"]["requestBody"]["content"][
            "application/json"
        ]
        assert body["schema"]["properties"].keys() & encoding == documented
