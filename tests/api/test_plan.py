"""The plan of a run from /analyse: settings, size, times, suggestions, problems and the
signature."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from enhance import Settings
from enhance.config import Config
from enhance.presets import available_presets
from enhance.web.addresses import Addresses
from enhance.web.metrics import Metrics
from enhance.web.owners import Owner
from enhance.web.params import API_DEFAULTS, API_PLAN
from enhance.web.plan import Planner
from enhance.web.preview import Previews

from ..site import SETTINGS, WatchedEnhancer, served
from .calls import answer_to, upload, upload_file
from .users import User, new_key

AREA = {"left": 4, "top": 4, "width": 12, "height": 12}


def test_a_plan_states_the_photo_the_size_and_the_times(site, owner, connect):
    file = site.files / "located.jpg"
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 24.0)})
    image = Image.new("RGB", (90, 60), "grey")
    image.paste(Image.effect_noise((10, 10), 90), (60, 20))
    image.save(file, exif=exif, quality=95)
    plan = owner.call("analyse", file, preset="precise", scale=2)

    photo = plan["photo"]
    expected = {"name": "located.jpg", "width": 90, "height": 60, "bits": 8, "has_location": True}
    assert photo | expected == photo
    assert photo["bytes"] == file.stat().st_size
    assert np.allclose(photo["focus"], (65 / 90, 25 / 60), atol=0.1)
    assert plan["result"] == {"width": 180, "height": 120}
    assert {*plan["presets"]} == {*available_presets()} - {"auto"}
    assert plan["presets"]["precise"]["estimated_seconds"] == plan["estimated_seconds"] > 0
    assert plan["time"] == f"About {plan['presets']['precise']['text']}"
    assert plan["problem"] is None
    address = f"{site.url}{photo['address']}?left=0&top=0&width=64&height=32&step=1"
    assert httpx.get(address).headers["content-type"] == "image/jpeg"
    theirs = User(connect).call("analyse", file)
    assert theirs["photo"]["address"] != photo["address"]


def test_a_plan_without_settings_is_that_of_auto(site, owner, connect):
    file = site.photo("auto.png", 60, 70)
    plan = owner.call("analyse", file)
    _, run = owner.call("enhance", file, preset="auto")

    auto = plan["auto"]
    assert {name: auto[name] for name in ("preset", "reason", "analysis")} == run["auto"]
    assert (auto["analysis"]["width"], auto["analysis"]["kind"]) == (70, "photo")
    assert auto["text"].endswith(f"{plan['presets'][auto['preset']]['text']}.")
    assert plan["settings"] == run["settings"] | {"preset": run["preset"], "tile": run["tile"]}
    assert plan["signature"] == run["signature"]
    assert plan["faster"] is None
    chinese = User(connect, new_key() | {"accept-language": "zh-CN"}).call("analyse", file)
    assert re.search("[一-鿿]", chinese["auto"]["text"])
    assert re.search("[一-鿿]", chinese["time"])


@pytest.mark.parametrize(
    ("preset", "size"),
    [
        ("auto", {}),
        ("auto", {"long_side": 50}),
        ("precise", {"scale": 2}),
        ("precise", {"print_width": 1.016, "dpi": 150}),
        ("anime-fast", {"scale": 8}),
        ("anime-fast", {"reduce": 2}),
        ("original", {}),
    ],
)
def test_plan_and_preview_and_run_have_the_same_signature(site, owner, preset, size):
    file = site.photo("signed.png", 20, 30)
    given = {"preset": preset, "contrast": 1.1, **size}
    plan = owner.call("analyse", file, **given)
    *_, preview = owner.call("preview", file, **given, **AREA)
    _, run = owner.call("enhance", file, **given)

    assert plan["signature"] == preview["signature"] == run["signature"]
    assert plan["settings"] == run["settings"] | {"preset": run["preset"], "tile": run["tile"]}
    assert plan["result"].items() <= run["output"].items()


@pytest.mark.parametrize(
    ("given", "solution"),
    [
        ({"scale": 20}, {"scale": 16}),
        ({"preset": "gentle-2x", "scale": 4}, {"scale": 2}),
        ({"preset": "precise", "reduce": 3, "scale": 4}, {"scale": None}),
        ({"long_side": 99_999}, {"long_side": 960}),
        ({"print_width": 100.0}, {"dpi": 24}),
        ({"scale": 2, "long_side": 50}, {"scale": None, "long_side": None}),
        ({"strength": 3}, {"strength": 1}),
        ({"reduce": 1.5}, {"reduce": 2}),
        ({"tuning": "no"}, {"tuning": True}),
        ({"preset": "sharper"}, {"preset": "auto"}),
        ({"format": "gif"}, {"format": "png"}),
        ({"quality": 200}, {"quality": 92}),
        ({"background": "pink"}, {"background": "white"}),
    ],
)
def test_a_setting_that_is_not_possible_is_a_problem_with_values_that_solve_it(
    site, given, solution
):
    file = site.photo("problem.png", 60, 60)
    planner = Planner(
        site.enhancer, Previews(site.enhancer, Metrics()), Addresses("secret", {"page": site.page})
    )
    given = dict.fromkeys(API_PLAN) | API_DEFAULTS | given

    def plan(**values: Any) -> Any:
        return planner.plan(Owner("key a", ""), file, given | values, "en", is_timed=False)

    wrong = plan()
    solved = plan(**solution)
    assert wrong["problem"]["solutions"][0]["values"] == solution
    assert wrong["signature"] is None
    assert solved["problem"] is None
    same = ("settings", "result", "photo", "auto")
    assert [wrong[name] for name in same] == [solved[name] for name in same]


def test_a_plan_has_the_problem_of_each_mistake_and_no_signature(site, owner, connect):
    file = site.photo("mistakes.png", 60, 60)
    chinese = User(connect, new_key() | {"accept-language": "zh-CN"})
    given = {"strength": 3, "long_side": 99_999}
    for values in ({"strength": 1}, {"long_side": 960}):
        plan = owner.call("analyse", file, **given)
        (solution, *_) = plan["problem"]["solutions"]
        assert solution["values"] == values
        assert solution["text"]
        assert plan["signature"] is None
        assert plan["presets"]
        translated = chinese.call("analyse", file, **given)["problem"]
        assert re.search("[一-鿿]", translated["text"])
        assert not re.search("[一-鿿]", plan["problem"]["text"])
        given |= values
    plan = owner.call("analyse", file, **given)
    assert plan["problem"] is None
    assert plan["signature"]


def test_with_largest_a_size_that_is_not_possible_is_replaced_by_the_nearest_one(site, owner):
    file = site.photo("nearest.png", 60, 60)
    given = {"preset": "auto", "long_side": 99_999, "largest": True}
    plan = owner.call("analyse", file, **given)
    *_, preview = owner.call("preview", file, **given, **AREA)
    assert plan["problem"] is None
    assert plan["result"] == {"width": 960, "height": 960}
    assert preview["signature"] == plan["signature"]


def test_a_plan_has_tips_with_the_values_that_carry_them_out(site, owner, monkeypatch):
    veil = np.linspace(0.3, 0.7, 120)[:, None, None]
    clear = np.asarray(Image.open(site.photo("clear.png", 120, 160)), float)
    file = site.files / "hazy.png"
    Image.fromarray(np.rint(clear * (1 - veil) + 235 * veil).astype(np.uint8)).save(file)
    (tip,) = owner.call("analyse", file)["tips"]
    assert "hazy" in tip["text"]
    assert [one["values"] for one in tip["solutions"]] == [{"preset": "dehaze"}]
    assert owner.call("analyse", file, preset="dehaze")["tips"] == []

    def estimate(_width: int, _height: int, settings: Settings, *_: int) -> float:
        return 300.0 if settings.preset == "gentle" else 10.0

    monkeypatch.setattr(site.enhancer, "estimate", estimate)
    plan = owner.call("analyse", file, preset="gentle", scale=8)
    values = [one["values"] for tip in plan["tips"] for one in tip["solutions"]]
    assert {"scale": 4} in values
    assert {"preset": plan["faster"]["preset"]} in values


def test_the_first_plan_of_a_server_comes_without_times_before_it_is_complete(site, tmp_path):
    enhancer = WatchedEnhancer("cpu", config=Config(data=tmp_path / "data"))
    content = site.photo("1.png", 40, 40).read_bytes()
    with served(enhancer, agents=False) as url, ExitStack() as pause:
        pause.enter_context(enhancer.paused("estimate"))
        address = f"{url}gradio_api/call/v2/analyse"
        image = {"image": upload_file(url, "1.png", content)}
        event = httpx.post(address, json=image).json()["event_id"]
        plans = []
        with httpx.stream("GET", f"{address}/{event}") as stream:
            for line in stream.iter_lines():
                if '"photo"' in line:
                    plans.append(json.loads(line.removeprefix("data: "))[0])
                    pause.close()
    first, last = plans[0], plans[-1]
    assert (first["presets"], first["time"], first["estimated_seconds"]) == ({}, "", None)
    assert last["presets"]
    assert last["time"]
    same = ("settings", "result", "photo", "signature", "problem")
    assert [first[name] for name in same] == [last[name] for name in same]


def test_a_preset_that_is_not_installed_has_a_plan_without_a_signature(site, owner):
    file = site.photo("missing.png", 40, 40)
    plan = owner.call("analyse", file, preset="fast")
    assert (plan["settings"]["preset"], plan["signature"]) == ("fast", None)
    assert "fast" not in plan["presets"]


def test_earlier_clients_get_what_they_got_before(site):
    image = upload(site, "before.png", 40)
    answer = answer_to(site, "analyse", [image, 2, None, None])
    plan = json.loads(answer.rpartition("data: ")[2])[0]
    photo = site.enhancer.read(site.files / "before.png")
    before = site.enhancer.recommend(photo, Settings(scale=2))
    assert plan["auto"] | before["auto"] == plan["auto"]
    assert (plan["settings"], plan["faster"]) == (before["settings"], before["faster"])
    assert {*SETTINGS} - {"format", "quality", "metadata"} <= {*plan["settings"]}
