"""Settings, presets and the signature."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from enhance import PRESETS, Settings, SettingsError, signature
from enhance import settings as settings_module
from enhance.models import graph_of
from enhance.output.resample import result_size, with_possible_size
from enhance.settings import RANGES, network_key, print_sides


def sign(settings: Settings, *, image="a" * 64, model="b" * 64, precision="bf16") -> str:
    return signature(image, settings, model, precision)


@pytest.mark.parametrize("name", PRESETS)
def test_a_setting_that_is_not_given_has_the_value_of_the_preset(name):
    assert Settings(name) == Settings.from_preset(name) == Settings.from_preset(name, strength=None, reduce=None)
    assert Settings(name, contrast=1.2).as_dict() == Settings(name).as_dict() | {"contrast": 1.2}
    for setting, value in PRESETS[name].settings.items():
        assert getattr(Settings(name), setting) == value


LIMITS = RANGES | {"scale": (1, 16), "long_side": (1, 999999), "megapixels": (0.0001, 999999)}


@pytest.mark.parametrize("name", LIMITS)
def test_a_value_out_of_range_is_rejected_with_the_range(name):
    low, high = LIMITS[name]
    changed: Callable[..., Settings] = Settings("gentle").changed
    for value in (low - 1, high + 1, float("nan"), float("inf"), "much", True, [1]):
        with pytest.raises(SettingsError, match=f"^{name} cannot be .* Use a number from {low} to {high}"):
            changed(**{name: value})
    for value in (low, high):
        changed(**{name: value})


def test_an_unknown_setting_or_a_value_of_the_wrong_type_is_rejected():
    wrong: list[dict[str, Any]] = [{"preset": "vivid"}, {"preset": None}, {"tuning": "yes"}]
    for values in [*wrong, {"tile": 100.5}, {"long_side": 99.5}]:
        with pytest.raises(SettingsError):
            Settings(**values)
    with pytest.raises(SettingsError, match=r"glow.*sharpen"):
        Settings.from_preset("gentle", glow=1)  # type: ignore[call-arg]


def test_settings_image_model_and_precision_that_change_pixels_change_the_signature():
    changes: list[dict[str, Any]] = [
        *({"scale": 2}, {"long_side": 400}, {"megapixels": 1.5}, {"print_width": 20}, {"print_width": 20, "dpi": 200}),
        *({"strength": 0.5}, {"fidelity": 0.5}, {"sharpen": 0.5}, {"saturation": 1.5}, {"contrast": 1.2}),
        *({"tuning": False}, {"scale": 1}, {"scale": 1, "reduce": 2}),
    ]
    signs = [
        *(sign(Settings(preset)) for preset in ("gentle", "dehaze", "face")),
        *(sign(Settings("gentle").changed(**one)) for one in changes),
        sign(Settings("gentle"), image="c" * 64),
        sign(Settings("gentle"), model="c" * 64),
        sign(Settings("gentle"), precision="fp32"),
        sign(Settings("fast")),
        sign(Settings("fast", denoise=1.0)),
    ]
    assert len({*signs}) == len(signs)


def test_settings_that_change_no_pixel_keep_the_signature():
    gentle, raw = Settings("gentle"), Settings("gentle", tuning=False)

    assert sign(gentle) == sign(gentle.changed(tile=64))
    assert sign(gentle) == sign(gentle.changed(denoise=1.0))
    assert sign(raw) == sign(raw.changed(sharpen=1.0, strength=0.2, fidelity=0.2))
    assert sign(raw) == sign(Settings.from_preset("original"))
    assert sign(Settings("gentle", scale=4)) == sign(Settings("gentle", scale=4.0)) == sign(Settings("gentle"))


@pytest.mark.parametrize("scene", ["face", "dehaze"])
def test_the_strength_of_a_scene_counts_without_tuning(scene):
    off = Settings.from_preset(scene, tuning=False)

    assert sign(off) != sign(off.changed(strength=0.5))
    assert sign(off) == sign(off.changed(sharpen=0.9, contrast=1.4))


def test_a_setting_at_its_neutral_value_is_not_part_of_the_signature(monkeypatch):
    before = sign(Settings("original", tuning=True))
    monkeypatch.setitem(settings_module.NEUTRAL, "new_slider", 0.0)
    monkeypatch.setattr(Settings, "new_slider", 0.0, raising=False)
    assert sign(Settings("original", tuning=True)) == before


def test_the_signature_is_the_same_in_every_process():
    code = "from enhance import Settings, signature; print(signature('a' * 64, Settings('gentle'), 'b' * 64, 'bf16'))"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert elsewhere.stdout.strip() == sign(Settings("gentle"))
    assert len(sign(Settings("gentle"))) == 64


def test_the_networks_key_ignores_the_sliders():
    def key(settings):
        return network_key("a" * 64, settings, "b" * 64, "bf16")

    assert key(Settings("gentle")) == key(Settings("gentle", sharpen=1.0, scale=2, strength=0.1))
    assert len({key(Settings("gentle")), key(Settings("dehaze")), key(Settings("gentle", reduce=2))}) == 3


def test_a_preset_has_the_scale_of_its_network():
    for preset in PRESETS.values():
        assert not preset.model or preset.scale == graph_of(preset.model).scale


def test_only_one_setting_can_determine_the_size():
    with pytest.raises(SettingsError, match="scale, long_side cannot be used together"):
        Settings("gentle", scale=2, long_side=400)

    changed = Settings("gentle", scale=2).changed(long_side=400)

    assert (changed.scale, changed.long_side) == (None, 400)
    assert changed.changed(sharpen=0.5).long_side == 400


def test_a_new_size_keeps_the_resolution_unless_it_is_that_of_a_print():
    assert Settings("gentle", dpi=600).changed(scale=2) == Settings("gentle", dpi=600, scale=2)
    assert Settings("gentle", dpi=600).changed(scale=2, dpi=150).dpi == 150
    print_settings = Settings("gentle", print_width=10, dpi=600)
    assert print_settings.changed(print_width=5) == Settings("gentle", print_width=5, dpi=600)
    assert print_settings.changed(long_side=400) == Settings("gentle", long_side=400)


def test_a_print_size_is_read_from_text():
    sizes = {"29.7x42cm": (29.7, 42), "29.7 × 42 cm": (29.7, 42), "A4": (29.7, 21)}
    for text, sides in sizes.items():
        assert print_sides(text) == pytest.approx(sides)
    assert print_sides("x20") == (None, 20)
    with pytest.raises(SettingsError, match="such as 29"):
        print_sides("12x8in")


@pytest.mark.parametrize(
    ("image", "size_setting", "size"),
    [
        ((667, 1000), {}, (2668, 4000)),
        ((667, 1000), {"scale": 1.5}, (1000, 1500)),
        ((667, 1000), {"long_side": 1999}, (1333, 1999)),
        ((667, 1000), {"long_side": 63}, (42, 63)),
        ((667, 1000), {"megapixels": 2}, (1155, 1732)),
        ((1, 5000), {"long_side": 2501}, (1, 2501)),
        ((1, 1), {"long_side": 3}, (3, 3)),
        ((667, 1000), {"print_width": 20}, (1576, 2362)),
        ((667, 1000), {"print_height": 10.16, "dpi": 250}, (1000, 1499)),
        ((667, 1000), {"print_width": 30, "print_height": 20}, (2362, 3542)),
        ((1000, 667), {"print_width": 30, "print_height": 20}, (3542, 2362)),
    ],
)
def test_each_size_setting_gives_the_exact_size(image, size_setting, size):
    assert result_size(Settings("gentle").changed(**size_setting), *image) == size


@pytest.mark.parametrize(
    ("size_setting", "words"),
    [
        ({"long_side": 16001}, "long_side 16001 is too large .* 1,000 × 667 px. Use 16000 or less"),
        ({"megapixels": 171}, "megapixels 171 is too large .* 1,000 × 667 px. Use 170 or less"),
        ({"long_side": 62}, "long_side 62 is too small .* 1,000 × 667 px. Use 63 or more"),
        ({"print_width": 140}, "print_width 140 is too large .* 1,000 × 667 px. Use 135 or less"),
        ({"megapixels": 0.002}, "megapixels 0.002 is too small .* 1,000 × 667 px. Use 0.00261 or more"),
    ],
)
def test_an_impossible_size_is_rejected_with_the_limit(size_setting, words):
    with pytest.raises(SettingsError, match=words) as error:
        result_size(Settings("gentle").changed(**size_setting), 667, 1000)

    limit = error.value.values.get("largest") or error.value.values["smallest"]
    allowed: dict[str, Any] = dict.fromkeys(size_setting, float(limit))
    result_size(Settings("gentle").changed(**allowed), 667, 1000)


@pytest.mark.parametrize(
    ("image", "size_setting", "possible"),
    [
        ((667, 1000), {"print_width": 42, "print_height": 29.7}, {"dpi": 120}),
        ((667, 1000), {"print_width": 0.2, "print_height": 0.2}, {"dpi": 794}),
        ((66, 100), {"print_width": 9000}, {"print_width": 1.69, "dpi": 300}),
        ((667, 1000), {"long_side": 5000}, {"long_side": 2000}),
    ],
)
def test_the_nearest_possible_size_of_a_print_is_another_resolution(image, size_setting, possible):
    wanted = Settings("gentle-2x").changed(**size_setting)
    assert with_possible_size(wanted, *image) == wanted.changed(**possible)
    result_size(with_possible_size(wanted, *image), *image)
    with pytest.raises(SettingsError):
        result_size(wanted, *image)
