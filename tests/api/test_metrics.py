"""The counts of /metrics, which identify no user."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from typing import Any

import httpx
import pytest
from gradio_client.exceptions import AppError
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Route

from enhance import PRESETS, Enhancer
from enhance.config import Config, version
from enhance.i18n import catalogue
from enhance.logs import JsonFormatter
from enhance.web.build import build, launch_options
from enhance.web.metrics import METRICS

from ..site import wait_until
from ..user_models import add_models
from .calls import submit, upload, values_for


def counts(site: Any) -> Counter[tuple[str, ...]]:
    """Return every number by its name and the values of its labels."""
    answer = httpx.get(f"{site.url}metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found: Any = Counter()
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = (sample.labels[name] for name in sorted(sample.labels))
            found[(sample.name, *labels)] = sample.value
    return found


def test_images_are_counted_and_logged_by_outcome_without_their_names(site, owner, caplog):
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
    images = {key[1:]: number for key, number in new.items() if key[0] == "enhance_pictures_total"}
    assert images == {
        ("task", "done", "anime-fast"): 2,
        ("task", "failed", "anime-fast"): 1,
        ("preview", "done", "anime-fast"): 1,
        ("file", "done", "anime-fast"): 1,
        ("file", "failed", "anime-fast"): 1,
    }
    for stage in ("wait", "decode", "network", "tuning", "encode"):
        assert new["enhance_stage_seconds_count", "task", stage] == 1
    assert counts(site)["process_resident_memory_bytes",] > 1e7
    lines = [one for one in caplog.records if "outcome=" in one.getMessage()]
    logged = Counter()
    for line in lines:
        facts = json.loads(JsonFormatter().format(line))
        logged[facts["level"], facts["kind"], facts["size"], facts["outcome"]] += 1
    assert logged == {
        ("DEBUG", "preview", "33x21", "done"): 1,
        ("INFO", "task", "33x21", "done"): 2,
        ("INFO", "task", "-", "failed"): 1,
        ("INFO", "file", "34x21", "done"): 1,
        ("INFO", "file", "-", "failed"): 1,
    }
    assert "private" not in caplog.text


def test_user_models_are_counted_together(site, owner):
    with add_models("compact-2x"):
        before = counts(site)
        file = site.photo("own.png", 24, 24)
        owner.call("enhance", file, preset="compact-2x")
        _, info = owner.call("compare", file, size=16)
        new = counts(site) - before
    assert (info["presets"][-1]["name"], info["presets"][-1]["status"]) == ("compact-2x", "done")
    for kind, preset in (("task", "own"), ("comparison", "all")):
        assert new["enhance_pictures_total", kind, "done", preset] == 1


def test_rejected_requests_are_counted_by_reason(site, http, owner):
    file = site.photo("any.png", 16, 16)
    before = counts(site)
    with pytest.raises(AppError):
        owner.call("enhance", file, preset="no-word")
    assert http.get("monitoring").status_code == 404
    for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
        answer = http.post("gradio_api/call/presets", json={"data": []}, headers=headers)
        assert answer.status_code == 403
    new = counts(site) - before
    for reason in ("preset_unknown", "nothing_here", "origin_foreign", "host_unknown"):
        assert new["enhance_refusals_total", reason] == 1


def test_waiting_jobs_are_counted(site):
    values = values_for("enhance", upload(site, "waits.png"))
    with site.enhancer.paused("run"):
        for _ in range(2):
            submit(site, "enhance", values)
        wait_until(lambda: counts(site)["enhance_waiting",] == 2)
    wait_until(lambda: counts(site)["enhance_waiting",] == 0)


def test_metrics_are_valid_as_openmetrics_and_contain_no_text_of_users(http):
    answer = http.get("metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in openmetrics(answer.text)}
    assert families["enhance_build"].samples[0].labels == {"version": version()}
    assert families["enhance_disk_free_bytes"].samples[0].value > 0
    values = defaultdict[str, set[str]](set)
    for family in families.values():
        for sample in family.samples:
            for name, value in sample.labels.items():
                values[name].add(value)
    assert values.keys() <= {"kind", "preset", "outcome", "stage", "le", "reason", "version"}
    assert values["preset"] <= PRESETS.keys() | {"own", "all"}  # user models, and comparisons
    assert values["reason"] <= catalogue().keys()


def test_metrics_are_served_only_if_enabled(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    for is_enabled in (True, False):
        config = Config(tmp_path / "data", page_folder=tmp_path / "page", metrics=is_enabled)
        demo = build(Enhancer("cpu", config=config))
        routes: list[Route] = launch_options(demo)["app_kwargs"]["routes"]
        assert (METRICS in {route.path for route in routes}) is is_enabled
