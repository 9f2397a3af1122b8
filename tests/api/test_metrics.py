"""The counts of /metrics, which identify no user."""

from __future__ import annotations

import json
import logging
from collections import Counter

import httpx
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image
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
from .calls import FAST, answer_to, submit, upload, values_for


def counts(site) -> Counter[tuple[str, ...]]:
    """Return every number by its name and the values of its labels."""
    answer = httpx.get(f"{site.url}metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = [
        sample
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    ]
    return Counter(
        {
            (one.name, *(one.labels[name] for name in sorted(one.labels))): one.value
            for one in samples
        }
    )


def test_images_are_counted_and_logged_by_outcome_without_their_names(site, client, caplog):
    bad = handle_file(site.text("private-note.png"))
    good, other = (handle_file(site.photo(f"private-{width}.png", 21, width)) for width in (33, 34))
    before = counts(site)

    with caplog.at_level(logging.DEBUG, logger="enhance.web"):
        client.predict(image=good, size=16, **FAST, api_name="/preview")
        for _ in range(2):  # the second result is cached
            client.predict(image=good, **FAST, api_name="/enhance")
        with pytest.raises(AppError):
            client.predict(image=bad, **FAST, api_name="/enhance")
        client.predict(images=[other, bad], **FAST, api_name="/batch")

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

    lines = [
        json.loads(JsonFormatter().format(one))
        for one in caplog.records
        if "outcome=" in one.getMessage()
    ]
    facts = Counter(
        (one["level"], one["kind"], one["size"], one["outcome"], one.get("reason")) for one in lines
    )
    assert facts == {
        ("DEBUG", "preview", "33x21", "done", None): 1,
        ("INFO", "task", "33x21", "done", None): 2,
        ("INFO", "task", "-", "failed", "image_unknown_format"): 1,
        ("INFO", "file", "34x21", "done", None): 1,
        ("INFO", "file", "-", "failed", "image_unknown_format"): 1,
    }
    assert "private" not in caplog.text


def test_user_models_are_counted_together(site, client):
    with add_models("compact-2x"):
        before, file = counts(site), handle_file(site.photo("own.png", 24, 24))
        path, _ = client.predict(image=file, preset="compact-2x", api_name="/enhance")
        _, info = client.predict(image=file, size=16, api_name="/compare")
        new = counts(site) - before
    assert Image.open(path).size == (48, 48)
    assert (info["presets"][-1]["name"], info["presets"][-1]["status"]) == ("compact-2x", "done")
    for kind, preset in (("task", "own"), ("comparison", "all")):
        assert new["enhance_pictures_total", kind, "done", preset] == 1


def test_rejected_requests_are_counted_by_reason(site, http):
    before = counts(site)
    assert "event: error" in answer_to(
        site, "enhance", values_for("enhance", upload(site, "any.png"), preset="no-word")
    )
    assert http.get("monitoring").status_code == 404
    for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
        assert (
            http.post("gradio_api/call/presets", json={"data": []}, headers=headers).status_code
            == 403
        )

    refused = {
        key[1]: n
        for key, n in (counts(site) - before).items()
        if key[0] == "enhance_refusals_total"
    }
    assert refused == {
        "preset_unknown": 1,
        "nothing_here": 1,
        "origin_foreign": 1,
        "host_unknown": 1,
    }


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
    labels = [
        one
        for family in families.values()
        for sample in family.samples
        for one in sample.labels.items()
    ]
    values = {name: {value for label, value in labels if label == name} for name, _ in labels}
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
