"""The plan of a run from /analyse: settings, size, times, suggestions, problems and the
signature."""

from __future__ import annotations

import json
import re
import secrets
from contextlib import ExitStack
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image

from enhance import Settings
from enhance.config import Config
from enhance.presets import available_presets
from enhance.settings import SIZE_FIELDS

from ..site import SETTINGS, Site, WatchedEnhancer, served
from .calls import answer_to, upload, upload_file

PLAN = {"api_name": "/analyse"}
KEY = secrets.token_hex(16)


def plan_of(site: Site, image: Any, language: str = "en", **given: Any) -> dict[str, Any]:
    """Return the plan of an uploaded image by plain HTTP."""
    url, headers = (
        f"{site.url}gradio_api/call/v2/analyse",
        {"accept-language": language, "x-enhance-key": KEY},
    )
    event = httpx.post(url, json={"image": image, **given}, headers=headers).json()["event_id"]
    answer = httpx.get(f"{url}/{event}", timeout=60, headers=headers).text
    assert "event: complete" in answer, answer
    return json.loads(answer.rpartition("data: ")[2])[0]


def test_a_plan_states_the_photo_the_size_and_the_times(site, client):
    path = site.files / "located.jpg"
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 24.0)})
    image = Image.new("RGB", (90, 60), "grey")
    image.paste(Image.effect_noise((10, 10), 90), (60, 20))
    image.save(path, exif=exif, quality=95)
    plan = client.predict(image=handle_file(path), preset="precise", scale=2, **PLAN)

    photo = plan["photo"]
    expected = {
        "name": "located.jpg",
        "width": 90,
        "height": 60,
        "bits": 8,
        "format": "JPEG",
        "has_location": True,
    }
    assert photo | expected == photo
    assert photo["bytes"] == path.stat().st_size
    assert np.allclose(photo["focus"], (65 / 90, 25 / 60), atol=0.1)
    assert plan["result"] == {"width": 180, "height": 120}
    assert set(plan["presets"]) == {*available_presets()} - {"auto"}
    assert plan["presets"]["precise"]["estimated_seconds"] == plan["estimated_seconds"] > 0
    assert plan["time"] == f"About {plan['presets']['precise']['text']}"
    assert plan["problem"] is None
    region = httpx.get(f"{site.url}{photo['address']}?left=0&top=0&width=64&height=32&step=1")
    assert region.headers["content-type"] == "image/jpeg"


def test_a_plan_without_settings_is_that_of_auto(site, client):
    file = handle_file(site.photo("auto.png", 60, 70))
    plan = client.predict(image=file, **PLAN)
    _, run = client.predict(image=file, api_name="/enhance")

    auto = plan["auto"]
    assert {name: auto[name] for name in ("preset", "reason", "analysis")} == run["auto"]
    assert auto["text"].endswith(f"{plan['presets'][auto['preset']]['text']}.")
    assert plan["settings"] == run["settings"] | {"preset": run["preset"], "tile": run["tile"]}
    assert plan["signature"] == run["signature"]
    assert plan["faster"] is None
    chinese = plan_of(site, upload(site, "auto.png", 60), "zh-CN")
    assert re.search("[一-鿿]", chinese["auto"]["text"] + chinese["time"])


@pytest.mark.parametrize("preset", ["auto", "precise", "anime-fast", "original"])
@pytest.mark.parametrize(
    "size",
    [
        {},
        {"scale": 2},
        {"scale": 8},
        {"long_side": 50},
        {"print_width": 1.016, "dpi": 150},
        {"reduce": 2},
    ],
)
def test_plan_and_preview_and_run_have_the_same_signature(site, client, preset, size):
    file = handle_file(site.photo("signed.png", 20, 30))
    given = {"image": file, "preset": preset, "contrast": 1.1, **size}
    plan = client.predict(**given, **PLAN)
    *_, preview = client.predict(**given, left=4, top=4, width=12, height=12, api_name="/preview")
    _, run = client.predict(**given, api_name="/enhance")

    assert plan["signature"] == preview["signature"] == run["signature"]
    assert plan["settings"] == run["settings"] | {"preset": run["preset"], "tile": run["tile"]}
    assert (plan["result"]["width"], plan["result"]["height"]) == (
        run["output"]["width"],
        run["output"]["height"],
    )


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"scale": 20}, {"scale": 16}),
        ({"preset": "gentle-2x", "scale": 4}, {"scale": 2}),
        ({"preset": "precise", "reduce": 3, "scale": 4}, {"scale": None}),
        ({"long_side": 99_999}, {"long_side": 960}),
        ({"long_side": 1}, {"long_side": 4}),
        ({"print_width": 100.0}, {"dpi": 24}),
        ({"scale": 2, "long_side": 50}, {"scale": None, "long_side": None}),
        ({"strength": 3}, {"strength": 1}),
        ({"strength": "much"}, {"strength": None}),
        ({"reduce": 1.5}, {"reduce": 2}),
        ({"tile": 1}, {"tile": 64}),
        ({"tuning": "no"}, {"tuning": True}),
        ({"preset": "sharper"}, {"preset": "auto"}),
        ({"format": "bmp"}, {"format": "png"}),
        ({"quality": 200}, {"quality": 92}),
        ({"metadata": "all"}, {"metadata": "keep"}),
        ({"label": 3}, {"label": True}),
        ({"background": "pink"}, {"background": "white"}),
    ],
)
def test_a_setting_that_is_not_possible_is_a_problem_with_the_values_that_solve_it(
    site, given, changed
):
    image = upload(site, "problem.png", 60)
    for language in ("en", "zh-CN"):
        plan = plan_of(site, image, language, **given)
        problem = plan["problem"]
        assert bool(re.search("[一-鿿]", problem["text"])) == (language == "zh-CN")
        assert problem["solutions"][0]["values"] == changed
        assert problem["solutions"][0]["text"]
        assert plan["signature"] is None
        assert plan["presets"]
    solved = plan_of(site, image, **given | changed)
    assert solved["problem"] is None
    assert {**solved, "signature": None, "problem": None} == {
        **plan_of(site, image, **given),
        "problem": None,
    }


@pytest.mark.parametrize("given", [{"long_side": 99_999}, {"long_side": 2}, {"print_width": 100.0}])
def test_with_largest_a_size_that_is_not_possible_is_replaced_by_the_nearest_one(
    site, client, given
):
    image = upload(site, "nearest.png", 60)
    plan = plan_of(site, image, **given, largest=True)
    solution = plan_of(site, image, **given)["problem"]["solutions"][0]["values"]
    assert plan["problem"] is None
    assert plan["result"] == plan_of(site, image, **given | solution)["result"]
    file = handle_file(site.photo("nearest.png", 60, 60))
    region = {"left": 0, "top": 0, "width": 9, "height": 9}
    *_, preview = client.predict(image=file, **given, **region, largest=True, api_name="/preview")
    assert preview["signature"] == plan["signature"]


def test_two_mistakes_are_solved_one_after_the_other(site):
    image = upload(site, "mistakes.png", 60)
    given: dict[str, Any] = {"strength": 3, "long_side": 99_999}
    first = plan_of(site, image, **given)["problem"]["solutions"][0]["values"]
    second = plan_of(site, image, **given | first)["problem"]["solutions"][0]["values"]
    assert plan_of(site, image, **given | first | second)["problem"] is None


def test_a_file_that_is_no_image_is_an_error(site):
    text = upload_file(site.url, "text.png", b"no image")
    answer = answer_to(site, "analyse", [text, *[None] * len(SIZE_FIELDS)])
    assert "event: error" in answer
    assert "unsupported format" in answer


def test_a_hazy_photo_gets_a_tip_with_the_values_that_carry_it_out(site, client, monkeypatch):
    veil = np.linspace(0.3, 0.7, 120)[:, None, None]
    hazy = (
        np.asarray(Image.open(site.photo("clear.png", 120, 160)), float) * (1 - veil) + 235 * veil
    )
    Image.fromarray(np.rint(hazy).astype(np.uint8)).save(path := site.files / "hazy.png")
    (tip,) = client.predict(image=handle_file(path), **PLAN)["tips"]
    assert "hazy" in tip["text"]
    assert [one["values"] for one in tip["solutions"]] == [{"preset": "dehaze"}]
    assert (
        client.predict(image=handle_file(path), **tip["solutions"][0]["values"], **PLAN)["tips"]
        == []
    )

    def estimate(_width: int, _height: int, settings: Settings, *_: int) -> float:
        return 300.0 if settings.preset == "gentle" else 10.0

    monkeypatch.setattr(site.enhancer, "estimate", estimate)
    plan = client.predict(image=handle_file(path), preset="gentle", scale=8, **PLAN)
    values = [one["values"] for tip in plan["tips"] for one in tip["solutions"]]
    assert {"scale": 4} in values
    assert {"preset": plan["faster"]["preset"]} in values


def test_the_first_plan_of_a_server_comes_without_times_before_it_is_complete(site, tmp_path):
    enhancer, content = (
        WatchedEnhancer("cpu", config=Config(data=tmp_path / "data")),
        site.photo("1.png", 40, 40),
    )
    with served(enhancer) as url, ExitStack() as pause:
        pause.enter_context(enhancer.paused("estimate"))
        image = upload_file(url, "1.png", content.read_bytes())
        address = f"{url}gradio_api/call/v2/analyse"
        event = httpx.post(address, json={"image": image}).json()["event_id"]
        with httpx.stream("GET", f"{address}/{event}", timeout=60) as stream:
            lines = (
                line.removeprefix("data: ")
                for line in stream.iter_lines()
                if line.startswith("data: ")
            )
            plans = (plan for line in lines if "photo" in (plan := json.loads(line)[0]))
            first = next(plans)
            pause.close()
            last = next(plans)
    assert (first["presets"], first["time"], first["estimated_seconds"]) == ({}, "", None)
    assert last["presets"]
    assert last["time"]
    same = ("settings", "result", "photo", "signature", "problem")
    assert [first[name] for name in same] == [last[name] for name in same]


def test_a_preset_that_is_not_installed_has_a_plan_without_a_signature(site):
    image = upload(site, "missing.png", 40)
    plan = plan_of(site, image, preset="fast")
    assert (plan["settings"]["preset"], plan["signature"]) == ("fast", None)
    assert "fast" not in plan["presets"]
    small = plan_of(site, image, scale=1)
    assert small["settings"]["preset"] == "resize"
    assert small["signature"]
    assert set(small["presets"]) == {*available_presets()} - {"auto"}


def test_nobody_else_gets_the_regions_of_a_photo(site, connect):
    file = handle_file(site.photo("own.png", 64, 64))
    addresses = []
    for _ in range(2):
        client = connect(headers={"x-enhance-key": secrets.token_hex(16)})
        addresses.append(client.predict(image=file, **PLAN)["photo"]["address"])
    assert addresses[0] != addresses[1]


@pytest.mark.parametrize("count", [4, 7])
def test_earlier_clients_get_what_they_got_before(site, count):
    image = upload(site, "before.png", 40)
    answer = answer_to(site, "analyse", [image, 2, None, None, None, None, None][:count])
    plan = json.loads(answer.rpartition("data: ")[2])[0]
    before = site.enhancer.recommend(
        site.enhancer.read(site.files / "before.png"), Settings(scale=2)
    )
    assert plan["auto"] | before["auto"] == plan["auto"]
    assert plan["settings"] == before["settings"]
    assert plan["faster"] == before["faster"]
    assert plan["problem"] is None
    assert plan["signature"]
    assert set(SETTINGS) - {"format", "quality", "metadata"} <= set(plan["settings"])
