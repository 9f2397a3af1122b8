"""Jobs with names: the same call with the same name follows the same job, from any client of its
owner."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest
from gradio_client.exceptions import AppError
from PIL import Image

from enhance.errors import MemoryShortError
from enhance.store.job_records import JobStore
from enhance.web import run_jobs

from ..site import ADDED_SETTINGS, busy_device, wait_until
from .calls import FAST, answer_to, status, upload, values_for
from .users import User, new_key, progress

JOB = "a-new-job"


@pytest.fixture
def runs(site):
    """Return a function for the number of runs since the start of the test."""
    before = site.enhancer.calls["run"]
    return lambda: site.enhancer.calls["run"] - before


def test_a_second_client_of_the_owner_follows_the_same_run(site, owner, runs):
    file = site.photo("follow.png", 420, 360)
    with site.enhancer.paused("progress"):
        first = owner.start("enhance", file, job=JOB)
        wait_until(lambda: progress(first).get("done"))
        second = owner.again().start("enhance", file, job=JOB)
        wait_until(lambda: "live" in progress(second))
        shown = progress(second)
        assert owner.states() == {JOB: "running"}

    assert (shown["total"], shown["ahead"]) == (420, 0)
    assert 0 < shown["live_share"] < 1
    path, info = first.result()
    other_path, other_info = second.result()
    assert runs() == 1
    assert info == other_info
    assert Path(path).read_bytes() == Path(other_path).read_bytes()


def test_simultaneous_starts_give_one_run_with_the_result_of_one_without_a_name(site, runs):
    headers = new_key()
    image = upload(site, "twice.png", 40)

    def enhance(job):
        values = values_for("enhance", image, **ADDED_SETTINGS, job=job)
        answer = answer_to(site, "enhance", values, headers)
        return json.loads(answer.rpartition("data: ")[2])[1]

    with ThreadPoolExecutor(6) as threads:
        infos = list(threads.map(enhance, [JOB] * 6))
    assert runs() == 1
    assert infos == infos[:1] * 6
    unnamed = enhance("")
    for name in ("signature", "settings", "output"):
        assert unnamed[name] == infos[0][name]


def test_a_form_with_a_name_follows_the_same_run(site, http, runs):
    headers = new_key()
    files = {"image": site.photo("form.png", 30, 42).read_bytes()}

    def post(seconds=60.0, **given):
        data = FAST | {"job": JOB} | given
        return http.post("api/enhance", files=files, data=data, headers=headers, timeout=seconds)

    with site.enhancer.paused("run"), pytest.raises(httpx.ReadTimeout):
        post(1.5)
    png = post()
    jpeg = post(format="jpeg")
    assert (png.headers["content-type"], jpeg.headers["content-type"]) == (
        "image/png",
        "image/jpeg",
    )
    assert png.headers["enhance-task-id"] == jpeg.headers["enhance-task-id"]
    assert runs() == 1


def test_a_name_belongs_to_its_images_and_settings(site, owner):
    file = site.photo("other.png", 30, 36)
    owner.call("enhance", file, job=JOB)
    other = site.photo("another.png", 36, 30)
    for endpoint, images, changed in (
        ("enhance", other, {}),
        ("enhance", file, {"scale": 2}),
        ("batch", [file], {}),
    ):
        with pytest.raises(AppError, match="other images or settings"):
            owner.call(endpoint, images, job=JOB, **changed)


def test_a_name_has_8_to_64_plain_characters(site, owner):
    for name in ("short12", "x" * 65, "ümlaut-name", "dot.dot.dot"):
        with pytest.raises(AppError, match="8 to 64 letters"):
            owner.call("cancel", name)
    with pytest.raises(AppError, match="8 to 64 letters"):
        owner.call("enhance", site.photo("named.png", 12, 12), job="dot.dot.dot")


def test_a_finished_run_only_exports_other_formats_until_its_result_is_deleted(site, owner, runs):
    file = site.photo("formats.png", 34, 46)
    _, first = owner.call("enhance", file, job=JOB)
    path, jpeg = owner.call("enhance", file, job=JOB, format="jpeg", quality=80)
    with Image.open(path) as result:
        assert (result.format, result.size) == ("JPEG", (184, 136))
    assert jpeg["task_id"] == first["task_id"]
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
    chinese = User(connect, owner.headers | {"accept-language": "zh-CN"})
    with (
        site.enhancer.failing("run", MemoryShortError("memory_short")),
        pytest.raises(AppError, match="memory"),
    ):
        owner.call("enhance", file, job=JOB)
    for user, words in ((owner, "memory"), (chinese, "内存")):
        with pytest.raises(AppError, match=words):
            user.call("enhance", file, job=JOB)
    assert owner.states() == {JOB: "failed"}


def test_a_full_queue_starts_no_job(site, owner):
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


def test_a_cancel_can_arrive_before_the_start(site, owner, runs):
    file = site.photo("early.png", 30, 31)
    answer = owner.call("cancel", JOB)
    assert answer == {"job": JOB, "known": False, "state": "cancelled"}
    with pytest.raises(AppError, match="was cancelled"):
        owner.call("enhance", file, job=JOB)
    assert runs() == 0
    assert owner.states() == {}


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

    def slow_end(*given):
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
