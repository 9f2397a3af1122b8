"""Settings from a link and from the storage of the browser."""

from __future__ import annotations

import pytest

from enhance import PRESETS, Settings
from enhance.errors import SettingsError
from enhance.output.formats import Encoding
from enhance.web.params import (
    encoding_from_link,
    encoding_from_storage,
    request_settings,
    settings_from_link,
    settings_from_storage,
)


def test_unknown_stored_settings_and_an_unavailable_preset_are_ignored():
    for kept in (None, {}, [], "gentle", {**Settings("gentle", scale=4).as_dict(), "preset": "gone"}):
        assert settings_from_storage(kept, PRESETS) == Settings("gentle")
    kept = Settings("anime", scale=4).as_dict()
    assert settings_from_storage(kept, ["gentle", "anime"]) == Settings("anime")
    assert settings_from_storage(kept, ["gentle"]) == Settings("gentle")


def test_a_stored_print_size_returns_with_that_of_an_earlier_version():
    before = {**Settings("anime").as_dict(), "size": "paper", "paper": "a3"}
    earlier = {name: value for name, value in before.items() if name not in ("print_width", "print_height", "dpi")}
    assert settings_from_storage(earlier, PRESETS) == Settings("anime", print_width=42, print_height=29.7, dpi=300)
    own = {**before, "paper": "own", "print_width": 8, "print_height": None, "dpi": 200, "print_fit": "border"}
    assert settings_from_storage(own, PRESETS) == Settings("anime", print_width=8, dpi=200)
    own["unit"] = "in"
    assert settings_from_storage(own, PRESETS) == Settings("anime", print_width=20.32, dpi=200)


def test_a_removed_location_stays_removed_after_an_update():
    kept = {"format": "png", "quality": 92}
    assert encoding_from_storage(kept | {"metadata": False}).metadata == "no-location"
    assert encoding_from_storage(kept | {"metadata": "none"}).metadata == "none"
    assert encoding_from_storage(kept | {"metadata": "none"}).label, "earlier versions stored no label"
    assert not encoding_from_storage(kept | {"metadata": "none", "label": False}).label


def test_a_link_overrides_stored_settings_and_reports_unusable_values():
    before = Settings.from_preset("original", scale=2)
    assert settings_from_link({"lang": "en", "tuning": "true", "sharpen": "0.2"}, before) == before.changed(
        tuning=True, sharpen=0.2
    )
    link = {"preset": "anime", "paper": "a4", "format": "avif", "quality": "50", "metadata": "no-location"}
    link |= {"label": "false"}
    assert settings_from_link(link, Settings("gentle")) == Settings("anime", print_width=29.7, print_height=21, dpi=300)
    own = {"paper": "own", "print_width": "10", "unit": "in", "dpi": "240"}
    assert settings_from_link(own, before) == before.changed(print_width=25.4, dpi=240)
    assert settings_from_link({"print_height": "20"}, before) == before.changed(print_height=20)
    assert encoding_from_link(link, Encoding()) == Encoding("avif", 50, "no-location", label=False)
    for query in ({"format": "gif"}, {"quality": "0"}, {"quality": "fine"}, {"metadata": "some"}, {"label": "some"}):
        with pytest.raises(SettingsError):
            encoding_from_link(query, Encoding())
    for query in ({"paper": "a9"}, {"long_side": "long"}, {"long_side": "300", "scale": "2"}):
        with pytest.raises(SettingsError):
            settings_from_link(query, Settings("gentle"))
    fitted = {"paper": "a4", "print_fit": "contain"}
    assert settings_from_link(fitted, before) == before.changed(print_width=29.7, print_height=21)
    with pytest.raises(SettingsError, match="Remove print_fit"):
        settings_from_link({**fitted, "print_fit": "crop"}, before)
    with pytest.raises(SettingsError, match="“5”"):
        settings_from_link({"paper": "5"}, Settings("gentle"))


def test_a_batch_uses_the_changes_of_the_user_but_not_the_values_of_auto():
    chosen = Settings().resolved("fast", strength=0.45, fidelity=0)
    assert request_settings(chosen, chosen) == Settings()
    assert request_settings(chosen.changed(saturation=1.2), chosen) == Settings(saturation=1.2)
