"""Calls that fail: the client gets a message without paths, the queue is free, and the next call
works."""

import threading
from pathlib import Path

import httpx
import pytest

from enhance import EnhanceError
from enhance.errors import PictureError, SettingsError, StorageError, WeightsError
from enhance.i18n import LANGUAGES
from enhance.jobs.scheduler import Scheduler
from enhance.jobs.threads import JobThread, JobThreads

from ..site import wait_until
from .calls import META, REMOTE, VALUES, answer_to, status, upload, values_for

ROOT = Path("/srv/secret-data")
ERRORS = {
    "disk_short": StorageError("disk_short", folder=ROOT, free="1 MB", needed="2 MB"),
    "faces_detector_missing": WeightsError("faces_detector_missing", path=ROOT / "a.onnx"),
    "an error without a number": PictureError(
        "image_unopened", name="a.png", reason=OSError(f"'{ROOT}/a.png'")
    ),
    "an error inside": SettingsError(
        "model_unusable", reason=WeightsError("weights_changed", name="a", path=ROOT)
    ),
    "errors in a list": EnhanceError(
        "model_unusable", reason=[StorageError("weights_folder_full", folder=ROOT)]
    ),
}


@pytest.mark.parametrize(
    ("endpoint", "method", "error"),
    [
        ("enhance", "run", RuntimeError("injected")),
        ("preview", "preview", MemoryError()),
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


def by_gradio(endpoint):
    def call(site, photo, headers):
        return answer_to(site, endpoint, values_for(endpoint, upload(site, photo.name)), headers)

    return call


def by_form(site, photo, headers):
    files = {"image": photo.read_bytes()}
    answer = httpx.post(f"{site.url}api/enhance", files=files, headers=headers, timeout=60)
    assert answer.status_code in (503, 507)
    return answer.text


def by_agent(site, photo, headers):
    agents = pytest.importorskip("tests.api.test_agents")
    return agents.error_of(site.url, "enhance", {"image": agents.as_data(photo)}, **headers)


@pytest.mark.parametrize(
    ("call", "failing", "name"),
    [
        *((by_gradio("enhance"), "run", name) for name in ERRORS),
        (by_gradio("batch"), "run", "disk_short"),
        (by_gradio("compare"), "compare", "disk_short"),
        (by_gradio("compare"), "cell", "disk_short"),
        (by_form, "run", "faces_detector_missing"),
        (by_form, "run", "disk_short"),
        (by_agent, "run", "faces_detector_missing"),
    ],
)
def test_only_an_administrator_sees_paths_and_commands(site, call, failing, name):
    photo = site.photo("paths.png", 16, 16)
    with site.enhancer.failing(failing, ERRORS[name]):
        for language in LANGUAGES:
            answer = call(site, photo, {**REMOTE, "accept-language": language})
            assert "secret-data" not in answer
            assert ("1 MB" in answer) == (name == "disk_short")
        assert str(ROOT) in call(site, photo, {})


def test_answers_contain_no_paths_of_the_server(site, http):
    call = [{"path": "/etc/passwd", "meta": META}, *VALUES]
    answers = [answer_to(site, "enhance", call)]
    for path in ("gradio_api/info", "gradio_api/file=x", "gradio_api/none"):
        answers.append(http.get(path).text)
    answers.append(http.get("config").text.replace(str(site.page), ""))
    for answer in answers:
        for folder in (Path.cwd(), site.files.parent, site.page):
            assert str(folder) not in answer, answer[:300]


def test_a_job_whose_thread_does_not_start_leaves_the_queue(monkeypatch):
    def fail(thread):
        raise RuntimeError("can't start new thread")

    scheduler = Scheduler()
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError), scheduler.admit("user", "run", 4) as job:
        JobThread(JobThreads(scheduler), job, lambda thread: None)
    assert scheduler.count("run") == 0
