"""Calls that fail: the client gets a message without paths, the queue is free, and the next call
works."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from enhance import EnhanceError
from enhance.errors import PictureError, SettingsError, StorageError, WeightsError
from enhance.i18n import LANGUAGES
from enhance.jobs.scheduler import Scheduler
from enhance.jobs.threads import JobThread, JobThreads

from ..site import Site, wait_until
from . import test_agents
from .calls import META, REMOTE, VALUES, answer_to, status, upload, values_for

ROOT = Path("/srv/secret-data")
ERRORS: dict[str, EnhanceError] = {
    "disk_short": StorageError("disk_short", folder=ROOT, free="1 MB", needed="2 MB"),
    "not_permitted": StorageError("not_permitted", name="a.png", folder=ROOT),
    "faces_detector_missing": WeightsError("faces_detector_missing", path=ROOT / "a.onnx"),
    "an error without a number": PictureError(
        "image_unopened", name="a.png", reason=OSError(f"'{ROOT}/a.png'")
    ),
    "an error inside": SettingsError(
        "model_unusable", reason=WeightsError("weights_changed", name="a", path=ROOT)
    ),
    "errors in a list": EnhanceError(
        "model_unusable", reason=[StorageError("weights_folder_none", folder=ROOT)]
    ),
}


@pytest.mark.parametrize(
    ("endpoint", "method", "error"),
    [
        ("enhance", "run", RuntimeError("injected")),
        ("preview", "preview", MemoryError()),
        ("compare", "compare", RuntimeError("injected")),
        ("batch", "run", MemoryError()),
    ],
)
def test_a_failed_call_leaves_the_queue(site, endpoint, method, error):
    values = values_for(endpoint, upload(site, "fails.png"))
    with site.enhancer.failing(method, error):
        answer = answer_to(site, endpoint, values)
    assert ('"failed": 1' if endpoint == "batch" else "event: error") in answer
    assert "injected" not in answer
    wait_until(lambda: (status(site)["waiting"], status(site)["running"]) == (0, 0))
    answer = answer_to(site, endpoint, values)
    assert "event: complete" in answer
    assert '"failed": 1' not in answer


def by_gradio(endpoint: str) -> Callable[..., str]:
    def call(site: Site, photo: Path, headers: dict[str, str]) -> str:
        return answer_to(site, endpoint, values_for(endpoint, upload(site, photo.name)), headers)

    return call


def by_form(site: Site, photo: Path, headers: dict[str, str]) -> str:
    files = {"image": photo.read_bytes()}
    return httpx.post(f"{site.url}api/enhance", files=files, headers=headers, timeout=60).text


def by_agent(site: Site, photo: Path, headers: dict[str, str]) -> str:
    pytest.importorskip("mcp")
    answer = test_agents.answer_to(
        site.url, "enhance", {"image": test_agents.as_data(photo)}, **headers
    )
    return json.dumps(answer.content[0].text)


WAYS: dict[str, tuple[Callable[..., str], str]] = {
    "enhance": (by_gradio("enhance"), "run"),
    "batch": (by_gradio("batch"), "run"),
    "compare": (by_gradio("compare"), "compare"),
    "cell": (by_gradio("compare"), "cell"),
    "form": (by_form, "run"),
    "agent": (by_agent, "run"),
}


@pytest.mark.parametrize(
    ("way", "name"),
    [
        *(("enhance", name) for name in ERRORS),
        *((way, "faces_detector_missing") for way in WAYS),
    ],
)
def test_only_an_administrator_sees_paths_and_commands(site, way, name):
    (call, failing), error = WAYS[way], ERRORS[name]
    photo = site.photo("paths.png", 16, 16)
    with site.enhancer.failing(failing, error):
        answers = {
            language: call(site, photo, {**REMOTE, "accept-language": language})
            for language in LANGUAGES
        }
        administrator = call(site, photo, {})
    english = answers["en"]
    assert "secret-data" not in "".join(answers.values())
    assert str(ROOT) in administrator
    if isinstance(error, WeightsError):
        assert "Not installed on this server." in english
    if name == "disk_short":
        sizes = {*re.findall(r"\d MB", english)}
        assert sizes >= {"1 MB", "2 MB"}
        assert all({*re.findall(r"\d MB", answer)} == sizes for answer in answers.values())


@pytest.mark.parametrize(
    ("name", "status"),
    [("faces_detector_missing", 503), ("disk_short", 507), ("not_permitted", 507)],
)
def test_an_error_of_the_server_has_the_same_status_for_every_client(site, http, name, status):
    files = {"image": site.photo("status.png", 16, 16).read_bytes()}
    with site.enhancer.failing("run", ERRORS[name]):
        for headers in ({}, REMOTE):
            assert http.post("api/enhance", files=files, headers=headers).status_code == status


def test_answers_contain_no_paths_of_the_server(site, http):
    answers = [
        answer_to(site, "enhance", [{"path": path, "meta": META}, *VALUES])
        for path in ("x.png", "/etc/passwd", "../x")
    ]
    for path in ("gradio_api/info", "gradio_api/file=x", "gradio_api/none"):
        answers.append(http.get(path).text)
    answers.append(http.get("config").text.replace(str(site.page), ""))
    for answer in answers:
        for folder in (Path.cwd(), site.files.parent, site.page):
            assert str(folder) not in answer, answer[:300]


def test_a_job_whose_thread_does_not_start_leaves_the_queue(monkeypatch):
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    scheduler = Scheduler()
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError), scheduler.admit("user", "run", 4) as job:
        JobThread(JobThreads(scheduler), job, lambda thread: None)
    assert scheduler.count("run") == 0
