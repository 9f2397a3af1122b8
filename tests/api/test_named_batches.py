"""Batches with names: the state of each file, results before the end, and cancelled files."""

import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from gradio_client.exceptions import AppError
from PIL import Image

from enhance.web import run_jobs

from ..site import photo, wait_until
from .users import User, progress

JOB = "a-new-batch"


def packed(archive):
    """Return the names of the results in an archive, which also has the table and the summary."""
    with zipfile.ZipFile(archive) as opened:
        *results, report, summary = opened.namelist()
    assert (report, summary) == ("report.csv", "summary.pdf")
    return {*results}


def states(info):
    """Return the states of the files of a batch."""
    return [file["state"] for file in info["files"]]


@contextmanager
def paused_batch(site, owner, files, number, **given):
    """Start a batch, and pause it at the file with this number."""
    with site.enhancer.paused("progress", of=files[number - 1].name):
        job = owner.start("batch", files, job=JOB, **given)
        wait_until(lambda: progress(job) and states(progress(job))[number - 1] == "running")
        yield job


def test_a_batch_has_the_state_of_each_file_and_exports_results_before_its_end(site, owner):
    files = [site.photo("first.png", 24, 30), site.text("second.png")]
    files.append(site.photo("third.png", 45, 36))
    with paused_batch(site, owner, files, 3) as job:
        followed = owner.again().start("batch", files, job=JOB)
        wait_until(lambda: progress(followed))
        shown = progress(followed)
        assert states(shown) == ["done", "failed", "running"]
        assert "unsupported format" in shown["files"][1]["error"]
        with pytest.raises(AppError, match="still running"):
            owner.call("forget", f"{JOB}.1")
        archive, early = owner.call("export", JOB)
        assert (packed(archive), states(early)) == ({"first-4x.png"}, ["done"])
        file, _ = owner.call("export", f"{JOB}.1", format="jpeg")
        assert Path(file).name == "first-4x.jpg"
        with pytest.raises(AppError, match="no longer stored"):
            owner.call("export", f"{JOB}.3")
    archive, info = job.result()
    assert followed.result()[1] == info
    assert states(info) == ["done", "failed", "done"]
    assert packed(archive) == {"first-4x.png", "third-4x.png"}


def test_the_time_left_of_a_batch_begins_with_the_plans_of_its_files(site, owner):
    """Auto selects a fast preset for the first photo, and a slow one for the second, noisy one."""
    files = [site.photo(name, 100, 100) for name in ("clean.png", "noisy.png")]
    noise = np.random.default_rng(0).normal(0, 20, (100, 100, 3))
    noisy = np.clip(photo(100, 100) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(files[1])
    plans = [owner.call("analyse", file, preset="auto") for file in files]
    fast, slow = (plan["estimated_seconds"] for plan in plans)
    assert fast < slow / 4
    with paused_batch(site, owner, files, 1, preset="auto") as job:
        wait_until(lambda: progress(job)["share"])
        assert progress(job)["seconds_left"] > slow / 2
        owner.call("cancel", JOB)


def test_a_finished_batch_is_exported_in_another_format_and_listed_by_its_files(site, owner):
    files = [site.photo("one.png", 24, 31), site.photo("two.png", 25, 31)]
    _, info = owner.call("batch", files, job=JOB)
    runs = site.enhancer.calls["run"]
    archive, _ = owner.call("batch", files, job=JOB, format="jpeg", quality=70)

    assert packed(archive) == {"one-4x.jpg", "two-4x.jpg"}
    assert site.enhancer.calls["run"] == runs
    (batch,) = owner.call("runs")
    assert batch["state"] == "done"
    for entry, file in zip(batch["files"], info["files"], strict=True):
        assert (entry["name"], entry["task_id"]) == (file["name"], file["info"]["task_id"])
    assert owner.call("forget", f"{JOB}.1") == [f"{JOB}.1"]
    assert [file["name"] for file in owner.call("runs")[0]["files"]] == ["two.png"]


def test_a_cancelled_batch_keeps_its_finished_files(site, owner):
    files = [site.photo("kept.png", 25, 30), site.photo("lost.png", 46, 36)]
    with paused_batch(site, owner, [*files, site.photo("waiting.png", 47, 30)], 2) as job:
        assert owner.call("cancel", JOB)["state"] == "cancelled"
        with pytest.raises(AppError, match="was cancelled"):
            job.result()
    archive, info = owner.call("export", JOB, format="webp")
    assert packed(archive) == {"kept-4x.webp"}
    assert states(info) == ["done", "cancelled", "cancelled"]
    (batch,) = owner.call("runs")
    assert (batch["state"], states(batch)) == ("cancelled", states(info))


@pytest.mark.parametrize(("ending", "height"), [("interrupted", 8), ("cancelled", 9)])
def test_a_batch_that_is_stopped_again_in_a_format_without_its_file_is_not_done(
    site, connect, monkeypatch, ending, height
):
    user = User(connect, {})
    files = [site.photo("short.png", 24, 34), site.photo("long.png", height, 4100)]

    def interrupt(job):
        job.cancel()
        with monkeypatch.context() as impatient:
            impatient.setattr(run_jobs, "UNREAD_JOB_SECONDS", 0.5)
            wait_until(lambda: not site.enhancer.scheduler.count())

    with paused_batch(site, user, files, 2) as job:
        interrupt(job)
    with paused_batch(site, user, files, 2, format="webp") as job:
        if ending == "interrupted":
            interrupt(job)
        else:
            user.call("cancel", JOB)
            with pytest.raises(AppError, match="was cancelled"):
                job.result()
    (batch,) = user.call("runs")
    assert states(batch) == ["done", ending]
    if ending == "interrupted":
        _, info = user.call("batch", files, job=JOB, format="webp")
        assert states(info) == ["done", "failed"]
        assert "WebP" in info["files"][1]["error"]


def test_files_of_a_batch_can_be_cancelled(site, owner):
    names = ("running.png", "waiting.png", "stays.png")
    files = [site.photo(name, 47, 36) for name in names]

    def cancel(number):
        answer = owner.call("cancel", JOB, number)
        return answer["known"], answer["state"]

    assert cancel(1) == (False, "unknown")
    with paused_batch(site, owner, files, 1) as job:
        assert [cancel(2), cancel(1)] == [(True, "cancelled")] * 2
        assert cancel(4) == (False, "unknown")
        archive, info = job.result()
    assert states(info) == ["cancelled", "cancelled", "done"]
    assert packed(archive) == {"stays-4x.png"}
    assert cancel(3) == (True, "done")
    runs = site.enhancer.calls["run"]
    assert owner.call("batch", files, job=JOB)[1] == info
    assert site.enhancer.calls["run"] == runs


def test_a_photo_that_cannot_have_the_size_gets_the_nearest_one_if_that_is_chosen(site, owner):
    files = [site.photo("a.png", 20, 30), site.photo("b.png", 100, 400)]
    _, info = owner.call("batch", files, long_side=1000, largest=True, job=JOB)
    assert [file["info"]["output"]["width"] for file in info["files"]] == [480, 1000]
    (batch,) = owner.call("runs", JOB)
    given = {name: value for name, value in batch["settings"].items() if value is not None}
    assert owner.call("batch", files, job=JOB, **given)[1]["files"] == info["files"]
    _, info = owner.call("batch", files, long_side=1000)
    assert states(info) == ["failed", "done"]


def test_a_batch_whose_thread_does_not_start_again_holds_no_results(site, owner, monkeypatch):
    files = [site.photo("again.png", 26, 31), site.photo("held.png", 27, 31)]
    _, info = owner.call("batch", files, job=JOB)
    owner.call("forget", f"{JOB}.1")
    start = threading.Thread.start

    def fail(thread):
        if thread.name == "enhance-job":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as failing:
        failing.setattr(threading.Thread, "start", fail)
        with pytest.raises(AppError):
            owner.call("batch", files, job=JOB)
    with site.enhancer.tasks.database.transaction() as db:
        leases = str(db.execute("SELECT path FROM leases").fetchall())
    assert info["files"][1]["info"]["task_id"] not in leases
    assert states(owner.call("batch", files, job=JOB)[1]) == ["done", "done"]
