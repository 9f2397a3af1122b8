"""Messages of the page: each has the buttons that solve its problem, and the buttons do so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from enhance.errors import MemoryShortError, StorageError
from enhance.settings import AUTO
from enhance.web import controls, run, upload
from enhance.web.views import Call

FOUR = {"size": "scale", "scale": 4}
USE_AUTO = {"Use Auto": {"preset": AUTO}}
USE_4X = {"Use 4×": FOUR}


def with_values(call: Call, **values: object) -> Call:
    """Return the call after these controls were changed."""
    changed = replace(call, values={**call.values, **values})
    upload.estimate(changed)
    call.session.settings = controls.settings_from(changed.values)
    return changed


def size_problem(call: Call) -> str:
    return upload.estimate(call)[call.page.upload.size_problem]


def buttons(html: str) -> dict[str, dict[str, Any]]:
    """Return the values that the buttons in a message set, by their labels."""
    html = html.replace("\u00a0", " ")
    return {label: json.loads(values) for values, label in re.findall(r"data-values='([^']*)'>([^<]+)<", html)}


def test_a_preset_that_is_not_installed_offers_auto(call, tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "no weights"))
    monkeypatch.setenv("PATH", "")
    card = call.page.controls
    missing = with_values(call, preset="face")
    assert buttons(controls.choose_preset(missing)[card.problem]) == USE_AUTO
    request: Any = SimpleNamespace(**{**vars(call.request), "session_hash": "new", "query_params": {"preset": "face"}})
    html = controls.open_page(replace(call, request=request))[card.problem]
    assert "Not installed on this server." in html
    assert buttons(html) == USE_AUTO

    run.start_run(with_values(call, preset="face"))
    *_, last = run.follow_run(call)
    assert buttons(last[call.page.run.progress]) == USE_AUTO
    assert controls.clear_messages(call)[call.page.run.progress] == ""


@pytest.mark.parametrize(("free", "offered"), [(2_000_000, USE_4X), (1000, {})])
def test_a_full_disk_shows_what_a_result_needs_and_offers_the_size_that_fits(call, monkeypatch, free, offered):
    monkeypatch.setattr("enhance.web.solutions.shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    html = with_values(call, scale=8).problem(StorageError("disk_full", name="a.png"), "A run failed")
    assert re.search(r"about [\d.]+\sMB required, [\d.]+\s[kM]?B available", html)
    assert buttons(html) == offered


@pytest.mark.parametrize(("scale", "offered"), [(8, USE_4X), (4, {})])
def test_a_size_beyond_4x_that_needs_too_much_memory_offers_4x(call, scale, offered):
    html = with_values(call, scale=scale).problem(MemoryShortError("memory_out"), "A run failed")
    assert buttons(html) == offered


def test_a_size_beyond_4x_shows_its_two_passes_and_offers_4x_if_it_takes_long(call, monkeypatch):
    large = with_values(call, scale=8)
    assert "two passes" in upload.estimate(large)[call.page.upload.estimate]
    assert buttons(size_problem(large)) == {}
    monkeypatch.setattr(type(call.services.enhancer), "estimate", lambda *given, **_: 60.0 * (given[3].scale or 4))
    assert buttons(size_problem(large))["Use 4×, 4 min instead of 8 min"] == FOUR


LARGEST = "Use the largest size (1,600 px on the long side)"
SIZES: list[tuple[dict[str, Any], list[str], Mapping[str, float]]] = [
    ({"size": "long_side", "long_side": 2048}, [LARGEST], {"long_side": 1600}),
    (
        {"size": "paper", "paper": "a3", "dpi": 300},
        ["Use 109 dpi, same print size", "Use the largest: 15.3 × 10.8 cm"],
        {"print_width": 15.27, "print_height": 10.8, "dpi": 300},
    ),
    ({"size": "long_side", "long_side": 1}, ["Use 7 px on the long side"], {"long_side": 7}),
]


@pytest.mark.parametrize(("values", "labels", "settings"), SIZES)
def test_a_size_that_is_not_possible_offers_those_that_are(call, values, labels, settings):
    wanted = with_values(call, **values)
    offered = buttons(size_problem(wanted))
    assert list(offered) == labels
    chosen = with_values(wanted, **list(offered.values())[-1]).session.settings
    assert settings.items() <= chosen.as_dict().items()


def test_a_size_that_is_too_large_offers_the_largest_even_if_auto_used_no_network_before(call):
    small, large = (call.values | {"preset": AUTO, "size": "long_side", "long_side": side} for side in (40, 99_999))
    call.session.settings = call.session.shown_values = call.services.choose_preset(call.session, small)
    assert call.session.settings.preset == "resize"
    wanted = replace(call, values=call.services.with_chosen_preset(call.session, large))
    assert list(buttons(size_problem(wanted))) == [LARGEST]


def test_a_result_that_is_too_large_for_its_format_offers_png(call):
    run.start_run(call)
    list(run.follow_run(call))
    result = call.session.result
    wide: Any = {**result.info, "output": {**result.info["output"], "width": 20_000}}
    call.session.result = replace(result, info=wide)
    for form, offered in (("webp", {"Use PNG": {"format": "png"}}), ("png", {})):
        html = controls.change_encoding(with_values(call, format=form))[call.page.result.download_message]
        assert buttons(html) == offered
