"""The plan of a run from /analyse: settings, size, times, suggestions, problems and the
signature."""

import json
import re
from unittest.mock import Mock

import httpx
import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image

from enhance import enhancer
from enhance.presets import available_presets

from ..site import SETTINGS
from .calls import answer_to, upload
from .users import User, new_key

AREA = {"left": 4, "top": 4, "width": 12, "height": 12}


def test_a_plan_states_the_photo_the_size_and_the_times(site, owner):
    file = site.files / "located.jpg"
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 24.0)})
    Image.new("RGB", (90, 60), "grey").save(file, exif=exif)
    plan = owner.call("analyse", file, preset="precise", scale=2)

    photo = plan["photo"]
    expected = {"name": "located.jpg", "width": 90, "height": 60, "bits": 8, "has_location": True}
    assert photo | expected == photo
    assert plan["result"] == {"width": 180, "height": 120}
    assert {*plan["presets"]} == {*available_presets()} - {"auto"}
    assert plan["presets"]["precise"]["estimated_seconds"] == plan["estimated_seconds"] > 0
    assert plan["problem"] is None
    address = f"{site.url}{photo['address']}?left=0&top=0&width=64&height=32&step=1"
    assert httpx.get(address).headers["content-type"] == "image/jpeg"


def test_a_plan_without_settings_is_that_of_auto(site, owner, connect):
    file = site.photo("auto.png", 60, 70)
    plan = owner.call("analyse", file)
    _, run = owner.call("enhance", file, preset="auto")

    auto = plan["auto"]
    assert {name: auto[name] for name in ("preset", "reason", "analysis")} == run["auto"]
    assert plan["settings"] == run["settings"] | {"preset": run["preset"], "tile": run["tile"]}
    assert plan["signature"] == run["signature"]
    given = {"strength": 3}
    chinese = User(connect, new_key() | {"accept-language": "zh-CN"}).call("analyse", file, **given)
    for text in (chinese["auto"]["text"], chinese["time"], chinese["problem"]["text"]):
        assert re.search("[一-鿿]", text)


@pytest.mark.parametrize(
    ("preset", "size"),
    [
        ("auto", {"long_side": 50}),
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


@pytest.mark.parametrize("given", [{}, {"job": "decoded-once"}])
def test_a_photo_is_decoded_and_analysed_once_for_its_plan_a_preview_and_its_run(
    site, owner, monkeypatch, given
):
    steps = {name: Mock(wraps=getattr(enhancer, name)) for name in ("read_image", "analyse")}
    for name, step in steps.items():
        monkeypatch.setattr(enhancer, name, step)
    file = site.photo(f"once{len(given)}.png", 44, 52 + len(given))
    owner.call("analyse", file)
    owner.call("preview", file, preset="auto", **AREA)
    owner.call("enhance", file, preset="auto", **given)
    assert [step.call_count for step in steps.values()] == [1, 1]


@pytest.mark.parametrize(
    ("given", "solution"),
    [
        ({"preset": "gentle-2x", "scale": 4}, {"scale": 2}),
        ({"preset": "precise", "reduce": 3, "scale": 4}, {"scale": None}),
        ({"long_side": 99_999}, {"long_side": 960}),
        ({"print_width": 100.0}, {"dpi": 24}),
        ({"scale": 2, "long_side": 50}, {"scale": None, "long_side": None}),
        ({"strength": 3}, {"strength": None}),
        ({"tuning": "no"}, {"tuning": True}),
        ({"background": "pink"}, {"background": "white"}),
    ],
)
def test_a_setting_that_is_not_possible_is_a_problem_with_values_that_solve_it(
    site, client, given, solution
):
    image = handle_file(site.photo("problem.png", 60, 60))
    wrong, solved = (
        client.predict(image, **values, api_name="/analyse") for values in (given, given | solution)
    )
    assert wrong["problem"]["solutions"][0]["values"] == solution
    assert wrong["signature"] is None
    assert solved["problem"] is None
    same = ("settings", "result", "photo", "auto")
    assert [wrong[name] for name in same] == [solved[name] for name in same]


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
    assert [one["values"] for one in tip["solutions"]] == [{"preset": "dehaze"}]

    def estimate(model, *_):
        return 300.0 if model == "realesrgan-x4plus" else 10.0

    monkeypatch.setattr(site.enhancer.engine, "estimate", estimate)
    plan = owner.call("analyse", file, preset="gentle")
    values = [one["values"] for tip in plan["tips"] for one in tip["solutions"]]
    assert {"preset": plan["faster"]["preset"]} in values


def test_a_preset_that_is_not_installed_has_a_plan_without_a_signature(site, owner):
    file = site.photo("missing.png", 40, 40)
    plan = owner.call("analyse", file, preset="fast")
    assert (plan["settings"]["preset"], plan["signature"]) == ("fast", None)
    assert "fast" not in plan["presets"]


def test_earlier_clients_send_fewer_values(site):
    answer = answer_to(site, "analyse", [upload(site, "before.png", 40), 2, None, None])
    plan = json.loads(answer.rpartition("data: ")[2])[0]
    assert plan["settings"]["scale"] == 2
    assert {*SETTINGS} - {"format", "quality", "metadata"} <= {*plan["settings"]}
