"""The counts of /metrics, which identify no user."""

import logging
from collections import Counter, defaultdict

import httpx
import pytest
from gradio_client.exceptions import AppError
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from enhance import PRESETS, Enhancer
from enhance.config import Config, version
from enhance.i18n import catalogue
from enhance.web.build import build, launch_options
from enhance.web.metrics import METRICS

from ..user_models import add_models


def counts(site):
    """Return every number by its name and the values of its labels."""
    found = Counter()
    for family in text_string_to_metric_families(httpx.get(f"{site.url}metrics").text):
        for sample in family.samples:
            labels = (sample.labels[name] for name in sorted(sample.labels))
            found[(sample.name, *labels)] = int(sample.value)
    return found


def test_images_are_counted_by_outcome_and_logged_without_their_names(site, owner, caplog):
    bad = site.text("private-note.png")
    good, other = (site.photo(f"private-{width}.png", 21, width) for width in (33, 34))
    before = counts(site)

    with caplog.at_level(logging.DEBUG, logger="enhance.web"):
        owner.call("preview", good, size=16)
        for _ in range(2):  # the second result is cached
            owner.call("enhance", good)
        with pytest.raises(AppError):
            owner.call("enhance", bad)
        owner.call("batch", [other, bad])

    new = counts(site) - before
    images = {key[1:3]: number for key, number in new.items() if key[0] == "enhance_pictures_total"}
    assert images == {
        ("task", "done"): 2,
        ("task", "failed"): 1,
        ("preview", "done"): 1,
        ("file", "done"): 1,
        ("file", "failed"): 1,
    }
    assert new["enhance_stage_seconds_count", "task", "network"] == 1
    assert caplog.text.count("outcome=") == 6
    assert "private" not in caplog.text


def test_rejected_requests_are_counted_by_reason(site, http, owner):
    before = counts(site)
    with pytest.raises(AppError):
        owner.call("enhance", site.photo("any.png", 16, 16), preset="no-word")
    assert http.post("gradio_api/reset", headers={"host": "evil.example"}).status_code == 403
    new = counts(site) - before
    for reason in ("preset_unknown", "host_unknown"):
        assert new["enhance_refusals_total", reason] == 1


def test_metrics_are_valid_as_openmetrics_and_contain_no_text_of_users(site, owner, http):
    with add_models("compact-2x"):
        owner.call("enhance", site.photo("own.png", 24, 24), preset="compact-2x")
    answer = http.get("metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    values = defaultdict(set)
    for family in openmetrics(answer.text):
        for sample in family.samples:
            for name, value in sample.labels.items():
                values[name].add(value)
    assert values.keys() <= {"kind", "preset", "outcome", "stage", "le", "reason", "version"}
    assert "own" in values["preset"], "user models are counted together"
    assert values["preset"] <= PRESETS.keys() | {"own", "all"}
    assert values["reason"] <= catalogue().keys()


def test_metrics_have_the_process_the_version_and_the_free_space(site):
    numbers = counts(site)
    assert numbers["process_resident_memory_bytes",] > 0
    assert numbers["enhance_build_info", version()] == 1
    assert numbers["enhance_disk_free_bytes",] > 0


def test_metrics_are_served_only_if_enabled(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    demo = build(Enhancer("cpu", config=Config(tmp_path / "data")))
    assert METRICS not in {route.path for route in launch_options(demo)["app_kwargs"]["routes"]}
