"""Jobs with names: the same call with the same name follows the same job, from any client of its
owner."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client.exceptions import AppError
from PIL import Image

from enhance.errors import MemoryShortError
from enhance.formats.thumbnails import srgb_image
from enhance.store.job_records import JobStore
from enhance.web import run_jobs

from ..site import busy_device, wait_until
from ..unit.image_files import wide_profile
from .calls import FAST, status, upload
from .users import User, new_key, progress

JOB = "a-new-job"


@pytest.fixture
def runs(site) -> Callable[[], int]:
    """Return a function for the number of runs since the start of the test."""
    before = site.enhancer.calls["run"]
    return lambda: site.enhancer.calls["run"] - before


def events(url: str, headers: dict[str, str], **given: Any) -> Iterator[tuple[str, Any]]:
    """Call /enhance with named arguments and yield its events with their data as they come."""
    api = f"{url}gradio_api/call/v2/enhance"
    event = httpx.post(api, json=FAST | given, headers=headers).json()["event_id"]
    name = ""
    with httpx.stream("GET", f"{api}/{event}", headers=headers) as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and name != "heartbeat":
                yield name, json.loads(line.removeprefix("data: "))


def test_a_second_client_of_the_owner_follows_the_same_run(site, owner, runs):
    file = site.photo("follow.png", 420, 360)
    with site.enhancer.paused("progress"):
        first = owner.start("enhance", file, job=JOB)
        wait_until(lambda: progress(first).get("done"))
        second = owner.again().start("enhance", file, job=JOB)
        wait_until(lambda: len(second.outputs()) > 3)
        shown = [info["progress"] for _, info in second.outputs()]
        assert owner.states() == {JOB: "running"}

    assert (shown[-1]["total"], shown[-1]["ahead"]) == (420, 0)
    pictures = [one for one in shown if "live" in one]
    assert 0 < pictures[0]["live_share"] < 1
    assert len(pictures) < len(shown), "a picture is sent only when it has changed"
    path, info = first.result()
    other_path, other_info = second.result()
    assert runs() == 1
    assert info == other_info
    assert Path(path).read_bytes() == Path(other_path).read_bytes()


def test_the_picture_of_a_run_has_the_colours_of_the_result_in_srgb(site, owner):
    colour = (200, 120, 60)
    icc = wide_profile()
    file = site.files / "wide-gamut.png"
    Image.new("RGB", (360, 420), colour).save(file, icc_profile=icc)
    expected = np.asarray(srgb_image(np.full((1, 1, 3), colour, np.uint8), icc))[0, 0].tolist()
    assert expected[0] - colour[0] > 15, "the profile changes the colours"
    with site.enhancer.paused("progress"):
        job = owner.start("enhance", file, job=JOB)
        wait_until(lambda: "live" in progress(job))
        live = progress(job)["live"]
    job.result()

    for address in (live, owner.call("runs")[0]["thumbnail"]):
        head, _, content = address.partition(",")
        assert head == "data:image/jpeg;base64"
        image = Image.open(io.BytesIO(base64.b64decode(content)))
        assert image.getpixel((4, 0)) == pytest.approx(expected, abs=8)


def test_simultaneous_starts_give_one_run(site, runs):
    headers = new_key()
    image = upload(site, "twice.png", 40)

    def enhance(_: int) -> str:
        event, outputs = list(events(site.url, headers, image=image, job=JOB))[-1]
        assert event == "complete"
        return outputs[1]["task_id"]

    with ThreadPoolExecutor(6) as threads:
        assert len({*threads.map(enhance, range(6))}) == 1
    assert runs() == 1


def test_plain_http_gets_the_progress_and_then_the_same_result_as_without_a_name(site):
    image = upload(site, "plain-named.png", 38)
    coming = events(site.url, new_key(), image=image, job=JOB)
    with site.enhancer.paused("run"):
        _, first = next(coming)
    *_, (event, (file, info)) = coming
    *_, (_, (_, unnamed)) = events(site.url, new_key(), image=image)

    assert first == [
        None,
        {"progress": {"done": 0, "total": 0, "seconds_left": None, "ahead": 0}},
    ]
    assert event == "complete"
    assert file["path"].endswith("plain-named-4x.png")
    same = ("signature", "settings", "input", "output", "preset", "model", "fidelity_db")
    assert [info[key] for key in same] == [unnamed[key] for key in same]
    assert not info["cached"]


def test_a_form_with_a_name_follows_the_same_run(site, http, runs):
    headers = new_key()
    file = site.photo("form.png", 30, 42)

    def post(timeout: float = 60, **given: str) -> httpx.Response:
        files = {"image": (file.name, file.read_bytes())}
        data = FAST | {"job": JOB} | given
        return http.post("api/enhance", files=files, data=data, headers=headers, timeout=timeout)

    with site.enhancer.paused("run"), pytest.raises(httpx.ReadTimeout):
        post(timeout=1.5)
    png = post()
    jpeg = post(format="jpeg")
    assert 'filename="form-4x.png"' in png.headers["content-disposition"]
    assert 'filename="form-4x.jpg"' in jpeg.headers["content-disposition"]
    assert png.headers["enhance-task-id"] == jpeg.headers["enhance-task-id"]
    assert runs() == 1
    with site.enhancer.failing("run", MemoryShortError("memory_short")):
        failed = post(job="failed-job")
    again = post(job="failed-job")
    assert (failed.status_code, again.status_code) == (503, 503)
    assert failed.json() == again.json()


def test_a_name_belongs_to_its_images_and_settings(site, owner):
    file = site.photo("other.png", 30, 36)
    owner.call("enhance", file, job=JOB)
    other = site.photo("another.png", 36, 30)
    for endpoint, images, changed in (
        ("enhance", other, {}),
        ("enhance", file, {"scale": 2}),
        ("enhance", file, {"preset": "precise"}),
        ("batch", [file], {}),
    ):
        with pytest.raises(AppError, match="other images or settings"):
            owner.call(endpoint, images, job=JOB, **changed)


def test_a_name_has_8_to_64_plain_characters(site, owner):
    file = site.photo("named.png", 12, 12)
    for name in ("short12", "x" * 65, "with space", "ümlaut-name", "slash/slash", "dot.dot.dot"):
        with pytest.raises(AppError, match="8 to 64 letters"):
            owner.call("cancel", name)
    for endpoint, images in (("enhance", file), ("batch", [file])):
        with pytest.raises(AppError, match="8 to 64 letters"):
            owner.call(endpoint, images, job="dot.dot.dot")


def test_a_finished_run_only_exports_other_formats_until_its_result_is_deleted(site, owner, runs):
    file = site.photo("formats.png", 34, 46)
    _, first = owner.call("enhance", file, job=JOB)
    for options, kind in (
        ({"format": "jpeg", "quality": 80}, "JPEG"),
        ({"format": "webp", "tile": 256}, "WEBP"),
        ({}, "PNG"),
    ):
        path, info = owner.call("enhance", file, job=JOB, **options)
        with Image.open(path) as result:
            assert (result.format, result.size) == (kind, (184, 136))
        assert (info["task_id"], info["finished"]) == (first["task_id"], first["finished"])
    assert owner.call("cancel", JOB) == {"job": JOB, "known": True, "state": "done"}
    assert owner.call("enhance", file, job=JOB)[1] == first
    assert runs() == 1

    site.enhancer.tasks.result_path(first["task_id"]).unlink()

    assert owner.states() == {JOB: "gone"}
    _, second = owner.call("enhance", file, job=JOB)
    assert runs() == 2
    assert second["task_id"] != first["task_id"]
    assert owner.states() == {JOB: "done"}


def test_a_failed_job_fails_again_with_the_same_error_in_the_language_of_each_client(
    site, owner, connect
):
    file = site.photo("fails.png", 31, 45)
    with (
        site.enhancer.failing("run", MemoryShortError("memory_short")),
        pytest.raises(AppError, match="memory") as failed,
    ):
        owner.call("enhance", file, job=JOB)
    with pytest.raises(AppError) as again:
        owner.again().call("enhance", file, job=JOB)
    assert str(again.value) == str(failed.value)
    chinese = User(connect, owner.headers | {"accept-language": "zh-CN"})
    with pytest.raises(AppError, match="内存"):
        chinese.call("enhance", file, job=JOB)
    (entry,) = owner.call("runs")
    assert entry["state"] == "failed"
    assert entry["error"] in str(failed.value)


def test_a_rejected_image_or_a_full_queue_starts_no_job(site, owner):
    with pytest.raises(AppError, match="unsupported format"):
        owner.call("enhance", site.text("text.png"), job="text-as-job")
    file = site.photo("queue.png", 30, 30)
    with busy_device(site.enhancer.scheduler):
        waiting = [
            owner.start("enhance", file, job=f"waiting-{number}")
            for number in range(5)  # a quarter of the queue
        ]
        wait_until(lambda: status(site)["waiting"] == 5)
        with pytest.raises(AppError, match="5"):
            owner.call("enhance", file, job=JOB)
        assert len(owner.states()) == 5
    for job in waiting:
        job.result()
    assert owner.call("enhance", file, job=JOB)


def test_a_cancelled_job_stays_cancelled(site, owner):
    file = site.photo("cancelled.png", 60, 60)
    with site.enhancer.paused("progress"):
        job = owner.start("enhance", file, job=JOB)
        wait_until(lambda: progress(job).get("done"))
        answer = owner.again().call("cancel", JOB)
        assert answer == {"job": JOB, "known": True, "state": "cancelled"}
        with pytest.raises(AppError, match="was cancelled"):
            job.result()
    assert owner.call("cancel", JOB) == answer
    with pytest.raises(AppError, match="was cancelled"):
        owner.call("enhance", file, job=JOB)
    assert owner.states() == {JOB: "cancelled"}


def test_a_cancel_can_arrive_before_the_start_and_is_remembered_for_an_hour(
    site, owner, runs, monkeypatch
):
    file = site.photo("early.png", 30, 31)
    for _ in range(2):
        answer = owner.call("cancel", JOB)
        assert answer == {"job": JOB, "known": False, "state": "cancelled"}
    with pytest.raises(AppError, match="was cancelled"):
        owner.call("enhance", file, job=JOB)
    assert runs() == 0
    assert owner.states() == {}
    now = time.time()
    monkeypatch.setattr("enhance.store.job_records.time.time", lambda: now + 3700)
    assert owner.call("enhance", file, job=JOB)


def test_nobody_else_can_follow_cancel_or_forget_a_job(site, owner, connect):
    file = site.photo("mine.png", 60, 61)
    others = User(connect), User(connect, {})
    with site.enhancer.paused("progress", of="mine.png"):
        job = owner.start("enhance", file, job=JOB)
        wait_until(lambda: progress(job).get("done"))
        for other in others:
            assert other.call("cancel", JOB)["known"] is False
            assert other.states() == {}
            for endpoint in ("forget", "runs", "export"):
                with pytest.raises(AppError, match="None of your recent results"):
                    other.call(endpoint, JOB)
    _, info = job.result()
    for other in others:
        # Their own job of this name, which they cancelled.
        with pytest.raises(AppError, match="was cancelled"):
            other.call("enhance", file, job=JOB)
        _, own = other.call("enhance", file, job="another-job")
        assert own["task_id"] != info["task_id"]
        assert not own["cached"]
    assert owner.states() == {JOB: "done"}


def test_a_job_of_a_key_continues_without_a_reader_unless_it_only_waits(site, owner, monkeypatch):
    files = {"running": site.photo("unread-1.png", 67, 39), "waiting": site.photo("2.png", 71, 39)}
    with site.enhancer.paused("progress", of="unread-1"):
        for state, key in (("running", "done"), ("waiting", "ahead")):
            job = owner.start("enhance", files[state], job=f"{state}-job")
            wait_until(lambda job=job, key=key: progress(job).get(key))
            job.cancel()
        monkeypatch.setattr(run_jobs, "UNREAD_JOB_SECONDS", 0.5)
        wait_until(
            lambda: owner.states() == {"running-job": "running", "waiting-job": "interrupted"}
        )
    wait_until(lambda: owner.states()["running-job"] == "done")
    monkeypatch.undo()
    for state, file in files.items():
        owner.call("enhance", file, job=f"{state}-job")
    assert {*owner.states().values()} == {"done"}


def test_a_job_of_a_session_ends_without_a_reader_and_does_not_release_its_next_run(
    site, connect, monkeypatch
):
    user = User(connect, {})
    file = site.photo("restarted.png", 73, 39)
    interrupted, restarted = Event(), Event()
    end = JobStore.end

    def slow_end(*given: Any) -> None:
        end(*given)
        if not interrupted.is_set():
            interrupted.set()
            restarted.wait(60)

    monkeypatch.setattr(JobStore, "end", slow_end)
    with site.enhancer.paused("progress", of="restarted"):
        first = user.start("enhance", file, job=JOB)
        wait_until(lambda: progress(first).get("done"))
        first.cancel()
        assert user.states() == {JOB: "running"}
        with monkeypatch.context() as impatient:
            impatient.setattr(run_jobs, "UNREAD_JOB_SECONDS", 0.5)
            wait_until(interrupted.is_set)
    assert user.states() == {JOB: "interrupted"}
    # All rows of the network can be stored already.
    with site.enhancer.paused("run", of="restarted"):
        second = user.start("enhance", file, job=JOB)
        wait_until(lambda: user.states() == {JOB: "running"})
        restarted.set()
        wait_until(lambda: site.enhancer.scheduler.count() == 1)
        assert user.states() == {JOB: "running"}
    assert second.result()[1]["status"] == "done"
