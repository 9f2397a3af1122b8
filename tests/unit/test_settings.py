"""Settings, presets and the signature."""

from dataclasses import fields
from typing import Any

import pytest

from enhance import PRESETS, Settings, SettingsError, signature
from enhance.models import graph_of
from enhance.preset_names import PRESET_NAMES
from enhance.restore.resample import result_size, with_possible_size
from enhance.settings import NEUTRAL, RANGES, print_sides
from enhance.size import Size

LIMITS = RANGES | {"scale": (1, 16), "long_side": (1, 999999), "megapixels": (0.0001, 999999)}
GENTLE = Settings("gentle")
RAW = Settings("gentle", tuning=False)


def sign(settings, *, image="a" * 64, model="b" * 64, precision="bf16"):
    return signature(image, settings, model, precision)


@pytest.mark.parametrize("name", PRESETS)
def test_a_setting_that_is_not_given_has_the_value_of_the_preset(name):
    preset = PRESETS[name]
    values = Settings(name).as_dict()
    assert preset.settings.items() <= values.items()
    assert Settings.from_preset(name, strength=None) == Settings(name)
    assert Settings(name, contrast=1.2).as_dict() == values | {"contrast": 1.2}
    assert not preset.model or preset.scale == graph_of(preset.model).scale


@pytest.mark.parametrize("name", LIMITS)
def test_a_value_out_of_range_is_rejected_with_the_range(name):
    low, high = LIMITS[name]
    message = f"^{name} cannot be .* Use a number from {low} to {high}"
    for value in (low - 1, high + 1, float("nan"), "much", True, [1]):
        with pytest.raises(SettingsError, match=message):
            GENTLE.changed(**{name: value})
    for value in (low, high):
        GENTLE.changed(**{name: value})


@pytest.mark.parametrize(
    "values",
    [
        {"preset": ""},
        {"preset": "Vivid!"},
        {"preset": ["gentle"]},
        {"tuning": "yes"},
        {"tile": 100.5},
        {"scale": 2, "long_side": 400},
        {"megapixels": 2, "print_width": 10},
    ],
)
def test_an_unusable_setting_is_rejected(values):
    with pytest.raises(SettingsError):
        Settings(**values)


def test_settings_are_built_without_the_weights_folder(monkeypatch):
    """A user model can be removed, and its results are still described."""
    monkeypatch.setattr("enhance.models.folder", None)
    settings = Settings("my-model", scale=8, strength=0.5)
    assert settings.describe("en", "8×").startswith("my-model · 8× · Strength 0.5 · ")


def test_an_unknown_setting_is_rejected_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"glow.*sharpen"):
        Settings.from_preset("gentle", glow=1)


def test_what_changes_pixels_changes_the_signature():
    changes: list[dict[str, Any]] = [
        {"scale": 2},
        {"scale": 1},
        {"scale": 1, "reduce": 2},
        {"long_side": 400},
        {"megapixels": 1.5},
        {"print_width": 20},
        {"print_width": 20, "dpi": 200},
        *({name: 0.5} for name in NEUTRAL),
        {"tuning": False},
    ]
    signs = [
        *(sign(Settings(preset)) for preset in ("gentle", "dehaze", "face", "fast")),
        *(sign(GENTLE.changed(**change)) for change in changes),
        sign(Settings("face", tuning=False)),
        sign(Settings("face", tuning=False, strength=0.5)),
        sign(GENTLE, image="c" * 64),
        sign(GENTLE, model="c" * 64),
        sign(GENTLE, precision="fp32"),
        sign(Settings("fast", denoise=1.0)),
    ]
    assert len({*signs}) == len(signs)


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        (GENTLE, GENTLE.changed(tile=64)),
        (GENTLE, GENTLE.changed(denoise=1.0)),
        (GENTLE, GENTLE.changed(dpi=600)),
        (GENTLE, Settings("gentle", scale=4)),
        (RAW, RAW.changed(sharpen=1.0, strength=0.2, fidelity=0.2)),
        (RAW, Settings("original")),
        (Settings("face", tuning=False), Settings("face", tuning=False, sharpen=0.9, contrast=1.4)),
    ],
)
def test_what_changes_no_pixel_keeps_the_signature(settings, same):
    assert sign(settings) == sign(same)


def test_the_signature_is_the_same_in_every_process_and_version():
    """A change of the pixels needs another signature, and nothing else changes it."""
    digest = "4b6f69e04e1fdfbeb7c8b111a68da2594e0436f135d17b758aac2a78b7d71b97"
    assert sign(GENTLE) == digest


def test_a_new_size_replaces_the_earlier_one():
    paper = Settings("gentle", print_width=10, dpi=600)
    assert Settings("gentle", scale=2).changed(long_side=400) == Settings("gentle", long_side=400)
    assert Settings("gentle", long_side=400).changed(sharpen=0.5).long_side == 400
    assert paper.changed(print_width=5) == Settings("gentle", print_width=5, dpi=600)
    assert paper.changed(long_side=400) == Settings("gentle", long_side=400)


@pytest.mark.parametrize(
    ("text", "sides"),
    [("29.7 × 42 cm", (29.7, 42)), ("A4", (29.7, 21)), ("x20", (None, 20))],
)
def test_a_print_size_is_read_from_text(text, sides):
    assert print_sides(text) == sides


def test_a_print_size_in_inches_is_rejected():
    with pytest.raises(SettingsError, match="such as 29"):
        print_sides("12x8in")


@pytest.mark.parametrize(
    ("image", "size_setting", "size"),
    [
        ((1000, 667), {}, (4000, 2668)),
        ((1000, 667), {"long_side": 1999}, (1999, 1333)),
        ((1000, 667), {"megapixels": 2}, (1732, 1155)),
        ((5000, 1), {"long_side": 2501}, (2501, 1)),
        ((1000, 667), {"print_height": 10.16, "dpi": 250}, (1499, 1000)),
        ((1000, 667), {"print_width": 30, "print_height": 20}, (3542, 2362)),
    ],
)
def test_each_size_setting_gives_the_exact_size_and_a_print_fits_on_the_paper(
    image, size_setting, size
):
    assert result_size(GENTLE.changed(**size_setting), Size(*image)) == size


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("long_side", 16001, 16000),
        ("megapixels", 171, 170),
        ("long_side", 62, 63),
        ("print_width", 140, 135),
    ],
)
def test_an_impossible_size_is_rejected_with_the_limit(name, value, limit):
    with pytest.raises(SettingsError, match=rf"{name} {value} is .* 1,000 × 667 px. Use {limit}"):
        result_size(GENTLE.changed(**{name: value}), Size(1000, 667))

    result_size(GENTLE.changed(**{name: limit}), Size(1000, 667))


@pytest.mark.parametrize(
    ("size_setting", "possible"),
    [
        ({"print_width": 42, "print_height": 29.7}, {"dpi": 120}),
        ({"long_side": 5000}, {"long_side": 2000}),
    ],
)
def test_the_nearest_possible_size_of_a_print_is_another_resolution(size_setting, possible):
    wanted = Settings("gentle-2x").changed(**size_setting)
    nearest = with_possible_size(wanted, Size(1000, 667))
    assert nearest == wanted.changed(**possible)
    result_size(nearest, Size(1000, 667))


@pytest.mark.parametrize(
    ("megapixels", "english", "chinese"),
    [
        (0.5, "0.5 MP", "50 万像素"),
        (12, "12 MP", "1200 万像素"),
        (123.4, "123.4 MP", "1.234 亿像素"),
        (1600, "1,600 MP", "16 亿像素"),
    ],
)
def test_a_size_in_megapixels_has_the_units_of_the_language(megapixels, english, chinese):
    settings = GENTLE.changed(megapixels=megapixels)
    assert settings.describe_size("en") == english
    assert settings.describe_size("zh-CN") == chinese


def test_a_scale_beyond_the_preset_names_the_preset():
    with pytest.raises(SettingsError, match="gentle-2x supports a scale of up to 2"):
        Settings("gentle-2x", scale=4)


def test_type_checkers_know_all_presets_and_no_user_model_has_their_names():
    assert [*PRESET_NAMES] == [*PRESETS, "resize"]


def test_each_setting_is_described():
    for one in fields(Settings):
        assert f"`{one.name}`" in (Settings.__doc__ or "")
