"""Jobs with names: the same call with the same name follows the same job, from any client of its
owner."""

from __future__ import annotations

import base64
import io
import json
import os
import secrets
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from enhance.errors import MemoryShortError
from enhance.formats.thumbnails import srgb_image
from enhance.store.job_records import JobStore
from enhance.web import run_jobs
from enhance.web.owners import KEY_HEADER

from ..site import Site, busy_device, photo, wait_until
from ..unit.image_files import wide_profile
from ..unit.stored_results import set_age
from .calls import FAST, status, upload, upload_file
from .test_interruptions import write_photo

THREADS = ThreadPoolExecutor(16)
OPTIONS: dict[str, Any] = {**FAST}
Connect = Callable[..., Client]


def new_owner() -> dict[str, str]:
    """Return the headers of a new owner, which has a key."""
    return {KEY_HEADER: secrets.token_hex(16)}


def new_name() -> str:
    return secrets.token_urlsafe(16)


@pytest.fixture
def owner(connect: Connect) -> Client:
    return connect(headers=new_owner())


def again(connect: Connect, client: Client) -> Client:
    """Return another client of the same owner."""
    return connect(headers={KEY_HEADER: client.headers[KEY_HEADER]})


def entries(client: Client) -> list[dict[str, Any]]:
    """Return the recent results of a client's owner."""
    return client.predict(api_name="/runs")


def progress(job: Any) -> dict[str, Any]:
    """Return the newest progress of a job of gradio_client, or {}."""
    outputs = job.outputs()
    return outputs[-1][1].get("progress", {}) if outputs else {}


def events(
    url: str, endpoint: str, headers: dict[str, str], **given: Any
) -> Iterator[tuple[str, Any]]:
    """Call an endpoint with named arguments and yield its events with their data as they come."""
    api = f"{url}gradio_api/call/v2/{endpoint}"
    event = httpx.post(api, json=given, headers=headers, timeout=60).json()["event_id"]
    name = ""
    with httpx.stream("GET", f"{api}/{event}", headers=headers, timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and name != "heartbeat":
                yield name, json.loads(line.removeprefix("data: "))


def read(url: str, endpoint: str, headers: dict[str, str], **given: Any) -> list[tuple[str, Any]]:
    """Call an endpoint with named arguments and return its events with their data."""
    return list(events(url, endpoint, headers, **given))


def test_a_second_client_of_the_owner_follows_the_same_run(
    site: Site, owner: Client, connect: Connect
):
    image, name = handle_file(site.photo("follow.png", 420, 360)), new_name()
    other, runs = again(connect, owner), site.enhancer.calls["run"]
    with site.enhancer.paused("progress"):
        first = owner.submit(image=image, job=name, api_name="/enhance", **OPTIONS)
        wait_until(lambda: progress(first).get("done"))
        second = other.submit(image=image, job=name, api_name="/enhance", **OPTIONS)
        wait_until(lambda: len(second.outputs()) > 3)
        shown = [output[1]["progress"] for output in second.outputs()]
        assert (shown[-1]["total"], shown[-1]["ahead"]) == (420, 0)
        pictures = [one for one in shown if "live" in one]
        assert pictures[0]["live"].startswith("data:image/jpeg;base64,")
        assert 0 < pictures[0]["live_share"] < 1
        assert len(pictures) < len(shown), "a picture is sent only when it has changed"
        assert [(one["id"], one["state"]) for one in entries(other)] == [(name, "running")]

    (path, info), (other_path, other_info) = first.result(), second.result()
    assert site.enhancer.calls["run"] == runs + 1
    assert info == other_info
    assert Path(path).read_bytes() == Path(other_path).read_bytes()
    assert owner.predict(task_id=info["task_id"], api_name="/report").endswith(".pdf")
    (entry,) = entries(owner)
    assert (entry["id"], entry["name"], entry["state"]) == (name, "follow.png", "done")
    assert (entry["task_id"], entry["size"]) == (info["task_id"], {"width": 1440, "height": 1680})
    assert entry["thumbnail"].startswith("data:image/jpeg")
    assert entry["regions"] == info["regions"]
    assert entry["fidelity_worst_db"] == info["fidelity_worst_db"]
    for address in entry["regions"].values():
        region = httpx.get(f"{site.url}{address}?left=0&top=0&width=90&height=80&step=1")
        assert region.headers["content-type"] == "image/jpeg"
    assert {*entry["regions"]} == {"photo", "result"}


def test_the_picture_of_a_run_has_the_colours_of_the_result_in_srgb(site: Site, owner: Client):
    path, colour, icc = site.files / "wide-gamut.png", (200, 120, 60), wide_profile()
    Image.new("RGB", (360, 420), colour).save(path, icc_profile=icc)
    expected = np.asarray(srgb_image(np.full((1, 1, 3), colour, np.uint8), icc))[0, 0].tolist()
    assert expected[0] - colour[0] > 15, "the profile changes the colours"
    with site.enhancer.paused("progress"):
        job = owner.submit(image=handle_file(path), job=new_name(), api_name="/enhance", **OPTIONS)
        wait_until(lambda: any("live" in output[1]["progress"] for output in job.outputs()))
        live = next(
            output[1]["progress"]["live"]
            for output in job.outputs()
            if "live" in output[1]["progress"]
        )
    job.result()
    pictures = live, entries(owner)[0]["thumbnail"]
    shown = [Image.open(io.BytesIO(base64.b64decode(one.partition(",")[2]))) for one in pictures]
    for image in shown:
        assert image.getpixel((4, 0)) == pytest.approx(expected, abs=8)


def test_two_starts_at_the_same_moment_give_one_run(site: Site):
    headers, name, runs = new_owner(), new_name(), site.enhancer.calls["run"]
    image = upload(site, "twice.png", 40)
    calls = [
        THREADS.submit(read, site.url, "enhance", headers, image=image, job=name, **OPTIONS)
        for _ in range(6)
    ]
    ends = [call.result()[-1] for call in calls]
    assert {event for event, _ in ends} == {"complete"}
    assert len({data[1]["task_id"] for _, data in ends}) == 1
    assert site.enhancer.calls["run"] == runs + 1


def test_plain_http_gets_the_progress_and_then_the_same_result_as_without_a_name(site: Site):
    headers, image = new_owner(), upload(site, "plain-named.png", 38)
    coming = events(site.url, "enhance", headers, image=image, job=new_name(), **OPTIONS)
    with site.enhancer.paused("run"):
        (_, first), *_ = [next(coming) for _ in range(3)]
    *_, (event, (file, info)) = coming
    assert first[0] is None
    assert first[1] == {"progress": {"done": 0, "total": 0, "seconds_left": None, "ahead": 0}}
    assert event == "complete"
    assert file["path"].endswith("plain-named-4x.png")
    (*_, (_, (_, unnamed))) = read(site.url, "enhance", new_owner(), image=image, **OPTIONS)
    own = (
        "task_id",
        "seconds",
        "finished",
        "cached",
        "peak_memory_mb",
        "megapixels_per_second",
        "regions",
    )
    assert {key: value for key, value in info.items() if key not in own} == {
        key: value for key, value in unnamed.items() if key not in own
    }
    assert not info["cached"]


def test_a_form_with_a_name_follows_the_same_run(site: Site, http: httpx.Client):
    path, headers, name, runs = (
        site.photo("form.png", 30, 42),
        new_owner(),
        new_name(),
        site.enhancer.calls["run"],
    )

    def post(**more: str) -> httpx.Response:
        files = {"image": (path.name, path.read_bytes())}
        return http.post(
            "api/enhance", files=files, data={**OPTIONS, "job": name, **more}, headers=headers
        )

    with site.enhancer.paused("run"), pytest.raises(httpx.ReadTimeout):
        http.post(
            "api/enhance",
            files={"image": (path.name, path.read_bytes())},
            data={**OPTIONS, "job": name},
            headers=headers,
            timeout=1.5,
        )
    answer, jpeg = post(), post(format="jpeg")
    assert (answer.status_code, jpeg.status_code) == (200, 200)
    assert 'filename="form-4x.png"' in answer.headers["content-disposition"]
    assert 'filename="form-4x.jpg"' in jpeg.headers["content-disposition"]
    assert answer.headers["enhance-task-id"] == jpeg.headers["enhance-task-id"]
    assert site.enhancer.calls["run"] == runs + 1


def test_a_name_belongs_to_its_images_and_settings(site: Site, owner: Client):
    image, name = handle_file(site.photo("other.png", 30, 36)), new_name()
    owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)

    different: list[dict[str, Any]] = [
        {"image": handle_file(site.photo("another.png", 36, 30))},
        {"scale": 2},
        {"preset": "precise"},
    ]
    for changed in different:
        with pytest.raises(AppError, match="other images or settings"):
            owner.predict(
                **{"image": image, "job": name, "api_name": "/enhance", **OPTIONS, **changed}
            )
    with pytest.raises(AppError, match="other images or settings"):
        owner.predict(images=[image], job=name, api_name="/batch", **OPTIONS)


@pytest.mark.parametrize(
    "name", ["short12", "x" * 65, "with space", "ümlaut-name", "slash/slash", "dot.dot.dot"]
)
def test_a_name_has_8_to_64_plain_characters(site: Site, owner: Client, name: str):
    image = handle_file(site.photo("named.png", 12, 12))
    calls: list[dict[str, Any]] = [
        {"image": image, "job": name, "api_name": "/enhance"},
        {"images": [image], "job": name, "api_name": "/batch"},
        {"job": name, "api_name": "/cancel"},
    ]
    for call in calls:
        with pytest.raises(AppError, match="8 to 64 letters"):
            owner.predict(**call)


def test_another_format_of_a_finished_run_is_an_export(site: Site, owner: Client):
    image, name = handle_file(site.photo("formats.png", 34, 46)), new_name()
    _, first = owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)
    runs = site.enhancer.calls["run"]

    for options, kind in (
        ({"format": "jpeg", "quality": 80}, "JPEG"),
        ({"format": "webp"}, "WEBP"),
        ({}, "PNG"),
    ):
        path, info = owner.predict(
            image=image, job=name, tile=256, **options, api_name="/enhance", **OPTIONS
        )
        with Image.open(path) as result:
            assert (result.format, result.size) == (kind, (184, 136))
        assert info["task_id"] == first["task_id"]
        assert info["finished"] == first["finished"]
    assert site.enhancer.calls["run"] == runs
    assert len(entries(owner)) == 1


def test_a_finished_run_runs_again_only_if_its_result_was_deleted(site: Site, owner: Client):
    image, name = handle_file(site.photo("deleted.png", 35, 45)), new_name()
    _, first = owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)
    runs = site.enhancer.calls["run"]
    assert owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)[1] == first
    assert site.enhancer.calls["run"] == runs

    site.enhancer.tasks.result_path(first["task_id"]).unlink()
    assert [entry["state"] for entry in entries(owner)] == ["gone"]
    path, second = owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)
    assert site.enhancer.calls["run"] == runs + 1
    assert Path(path).exists()
    assert [(one["state"], one["task_id"]) for one in entries(owner)] == [
        ("done", second["task_id"])
    ]


def test_a_failed_job_fails_again_with_the_same_error(site: Site, owner: Client, connect: Connect):
    image, name = handle_file(site.photo("fails.png", 31, 45)), new_name()
    messages = []
    with site.enhancer.failing("run", MemoryShortError("memory_short")):
        with pytest.raises(AppError) as failed:
            owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)
        messages.append(str(failed.value))
    for client in (owner, again(connect, owner)):
        with pytest.raises(AppError) as failed:
            client.predict(image=image, job=name, api_name="/enhance", **OPTIONS)
        messages.append(str(failed.value))
    assert len({*messages}) == 1
    assert "memory" in messages[0]
    chinese = new_owner() | {KEY_HEADER: owner.headers[KEY_HEADER], "accept-language": "zh-CN"}
    image_again = upload_of(site, "fails.png", chinese)
    ((_, error),) = read(site.url, "enhance", chinese, image=image_again, job=name, **OPTIONS)
    assert "内存" in str(error)
    (entry,) = entries(owner)
    assert entry["state"] == "failed"
    assert entry["error"] in messages[0]


def upload_of(site: Site, name: str, headers: dict[str, str]) -> dict[str, Any]:
    return upload_file(site.url, name, (site.files / name).read_bytes(), **headers)


def test_a_failed_form_fails_again_with_the_same_status(site: Site, http: httpx.Client):
    files, data = (
        {"image": site.photo("fails.png", 32, 45).read_bytes()},
        {**OPTIONS, "job": new_name()},
    )
    headers = new_owner()
    with site.enhancer.failing("run", MemoryShortError("memory_short")):
        first = http.post("/api/enhance", files=files, data=data, headers=headers)
    second = http.post("/api/enhance", files=files, data=data, headers=headers)
    assert (first.status_code, second.status_code) == (503, 503)
    assert first.json() == second.json()


def test_a_refused_image_or_a_full_queue_starts_no_job(site: Site, owner: Client):
    text = handle_file(site.text("text.png"))
    with pytest.raises(AppError, match="unsupported format"):
        owner.predict(image=text, job=new_name(), api_name="/enhance", **OPTIONS)
    image, name = handle_file(site.photo("queue.png", 30, 30)), new_name()
    with busy_device(site.enhancer.scheduler):
        waiting = [
            owner.submit(image=image, job=new_name(), api_name="/enhance", **OPTIONS)
            for _ in range(5)  # a quarter of the queue
        ]
        wait_until(lambda: status(site)["waiting"] == 5)
        with pytest.raises(AppError, match="5"):
            owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)
        assert len(entries(owner)) == 5
    for job in waiting:
        job.result()
    assert (
        owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)[1]["status"] == "done"
    )


def test_a_cancelled_job_stays_cancelled(site: Site, owner: Client, connect: Connect):
    image, name = handle_file(site.photo("cancelled.png", 410, 360)), new_name()
    call: dict[str, Any] = {"image": image, "job": name, "api_name": "/enhance", **OPTIONS}
    with site.enhancer.paused("progress"):
        job = owner.submit(**call)
        wait_until(lambda: progress(job).get("done"))
        answer = again(connect, owner).predict(job=name, api_name="/cancel")
        assert answer == {"job": name, "known": True, "state": "cancelled"}
        with pytest.raises(AppError, match="was cancelled"):
            job.result()
    assert owner.predict(job=name, api_name="/cancel") == answer
    with pytest.raises(AppError, match="was cancelled"):
        owner.predict(**call)
    assert [(entry["id"], entry["state"]) for entry in entries(owner)] == [(name, "cancelled")]


def test_a_cancel_can_arrive_before_the_start_and_is_remembered_for_an_hour(
    site: Site, owner: Client, monkeypatch
):
    image, name, runs = (
        handle_file(site.photo("early.png", 30, 31)),
        new_name(),
        site.enhancer.calls["run"],
    )
    for _ in range(2):
        answer = owner.predict(job=name, api_name="/cancel")
        assert answer == {"job": name, "known": False, "state": "cancelled"}
    with pytest.raises(AppError, match="was cancelled"):
        owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)
    assert site.enhancer.calls["run"] == runs
    assert entries(owner) == []
    now = time.time()
    monkeypatch.setattr("enhance.store.job_records.time.time", lambda: now + 3700)
    assert (
        owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)[1]["status"] == "done"
    )


def test_cancelling_a_finished_job_changes_nothing(site: Site, owner: Client):
    image, name = handle_file(site.photo("late.png", 30, 33)), new_name()
    _, first = owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)
    assert owner.predict(job=name, api_name="/cancel") == {
        "job": name,
        "known": True,
        "state": "done",
    }
    assert owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)[1] == first


def test_nobody_else_can_follow_cancel_or_forget_a_job(site: Site, owner: Client, connect: Connect):
    image, name = handle_file(site.photo("mine.png", 400, 361)), new_name()
    stranger, without_key = connect(headers=new_owner()), connect()
    with site.enhancer.paused("progress", of="mine.png"):
        job = owner.submit(image=image, job=name, api_name="/enhance", **OPTIONS)
        wait_until(lambda: progress(job).get("done"))
        for other in (stranger, without_key):
            assert other.predict(job=name, api_name="/cancel")["known"] is False
            assert entries(other) == []
            with pytest.raises(AppError, match="has this id"):
                other.predict(id=name, api_name="/forget")
    _, info = job.result()
    for other in (stranger, without_key):
        with pytest.raises(AppError, match="has this id"):
            other.predict(id=name, api_name="/forget")
        with pytest.raises(
            AppError, match="was cancelled"
        ):  # Their own job of this name, which they cancelled.
            other.predict(image=image, job=name, api_name="/enhance", **OPTIONS)
    own = stranger.predict(image=image, job=new_name(), api_name="/enhance", **OPTIONS)[1]
    assert own["task_id"] != info["task_id"]
    assert not own["cached"]
    assert site.enhancer.tasks.info(info["task_id"])


def test_a_forgotten_result_is_deleted_with_everything_that_was_made_from_it(
    site: Site, owner: Client
):
    image, name, tasks = (
        handle_file(site.photo("forgotten.png", 37, 45)),
        new_name(),
        site.enhancer.tasks,
    )
    call: dict[str, Any] = {"image": image, "job": name, "api_name": "/enhance", **OPTIONS}
    with site.enhancer.paused("run"):
        job = owner.submit(**call)
        wait_until(lambda: entries(owner))
        with pytest.raises(AppError, match="Cancel it first"):
            owner.predict(id=name, api_name="/forget")
    _, info = job.result()
    owner.predict(**call, format="jpeg")
    owner.predict(task_id=info["task_id"], api_name="/report")
    regions = entries(owner)[0]["regions"].values()
    shown = [f"{site.url}{one}?left=0&top=0&width=8&height=8&step=1" for one in regions]
    assert [httpx.get(url).status_code for url in shown] == [200, 200]
    made = [path for path in tasks.folder.rglob("*") if made_from(path, info)]
    assert {path.parent.name for path in made if path.is_file()} >= {
        "processed",
        "network",
        "reports",
        "encoded",
    }

    assert owner.predict(id=name, api_name="/forget") == [name]

    assert entries(owner) == []
    assert [path for path in tasks.folder.rglob("*") if made_from(path, info)] == []
    assert [httpx.get(url).status_code for url in shown] == [404, 404]
    with pytest.raises(AppError, match="has this id"):
        owner.predict(id=name, api_name="/forget")
    assert owner.predict(**call)[1]["task_id"] != info["task_id"]


def opened(site: Site, client: Client, id: str) -> dict[str, Any]:
    """Return the recent result of this id, with its photo as an upload."""
    answer = httpx.post(
        f"{site.url}gradio_api/run/runs", json={"data": [id]}, headers=client.headers
    )
    (run,) = answer.json()["data"][0]
    return run


def test_a_recent_result_is_opened_with_its_photo_and_only_by_its_owner(
    site: Site, owner: Client, connect: Connect
):
    image, name = handle_file(site.photo("opened.png", 40, 44)), new_name()
    with site.enhancer.paused("progress"):
        job = owner.submit(
            image=image, job=name, api_name="/enhance", **OPTIONS, format="webp", quality=80
        )
        wait_until(lambda: any((run["progress"] or {}).get("done") for run in entries(owner)))
    _, info = job.result()
    (listed,) = entries(owner)
    assert (listed["progress"], listed["encoding"]["format"], listed["encoding"]["quality"]) == (
        None,
        "webp",
        80,
    )
    hours = datetime.fromisoformat(listed["expires"]) - datetime.fromisoformat(listed["began"])
    assert hours.total_seconds() == pytest.approx(24 * 3600, abs=60)
    assert "image" not in listed

    run = opened(site, owner, name)
    assert run["image"]["orig_name"] == "opened.png"
    given = {"image": run["image"], "job": name, **OPTIONS}
    assert read(site.url, "enhance", owner.headers, **given)[-1][1][1]["task_id"] == info["task_id"]
    for method in ("runs", "forget"):
        with pytest.raises(AppError, match="has this id"):
            connect(headers=new_owner()).predict(id=name, api_name=f"/{method}")
    owner.predict(id=name, api_name="/forget")
    assert not Path(run["image"]["path"]).exists()


def test_a_result_that_a_client_shows_is_not_deleted(site: Site, owner: Client):
    tasks = site.enhancer.tasks
    names = [new_name() for _ in range(2)]
    for side, name in enumerate(names, 50):
        image = handle_file(site.photo(f"shown-{side}.png", side, side))
        owner.predict(image=image, job=name, api_name="/enhance", **OPTIONS)
    runs = [opened(site, owner, name) for name in names]
    files = [tasks.result_path(run["task_id"]) for run in runs]
    files += [Path(run["image"]["path"]) for run in runs]
    own = {one for path in site.page.rglob("shown-*") for one in (path, path.parent)}
    with tasks.database.transaction() as db:
        for part in ("shown-", *(run["task_id"] for run in runs)):
            db.execute("UPDATE files SET used = 0 WHERE path LIKE ?", (f"%{part}%",))
    set_age(48 * 3600, *own)
    region = httpx.get(
        f"{site.url}{runs[0]['regions']['result']}?left=0&top=0&width=8&height=8&step=1"
    )
    assert region.status_code == 200
    assert read(site.url, "analyse", owner.headers, image=runs[0]["image"])[-1][0] == "complete"
    tasks.clean()
    assert [path.exists() for path in files] == [True, False, True, False]


def made_from(path: Path, info: dict[str, Any]) -> bool:
    sources = info["task_id"], info["input"]["sha256"], info["output"]["sha256"]
    return any(path.name.startswith(source) for source in sources)


def test_a_job_of_a_key_continues_without_a_reader_unless_it_only_waits(
    site: Site, owner: Client, monkeypatch
):
    running, waiting = new_name(), new_name()
    images = {
        name: handle_file(site.photo(f"{side}-unread.png", side, 360))
        for name, side in ((running, 402), (waiting, 403))
    }
    with site.enhancer.paused("progress", of="402-unread"):
        for name in (running, waiting):
            job = owner.submit(image=images[name], job=name, api_name="/enhance", **OPTIONS)
            wait_until(lambda job=job: job.outputs())
            wait_until(
                lambda job=job, key="done" if name == running else "ahead": progress(job).get(key)
            )
            job.cancel()
        monkeypatch.setattr(run_jobs, "UNREAD_JOB_SECONDS", 0.5)
        states = lambda: {entry["id"]: entry["state"] for entry in entries(owner)}  # noqa: E731
        wait_until(lambda: states() == {running: "running", waiting: "interrupted"})
    wait_until(lambda: states()[running] == "done")
    monkeypatch.undo()
    for name in (running, waiting):
        assert (
            owner.predict(image=images[name], job=name, api_name="/enhance", **OPTIONS)[1]["status"]
            == "done"
        )
    assert states() == {running: "done", waiting: "done"}


def test_a_job_of_a_session_ends_without_a_reader(site: Site, client: Client, monkeypatch):
    name = new_name()
    with site.enhancer.paused("progress"):
        image = handle_file(site.photo("session.png", 404, 360))
        job = client.submit(image=image, job=name, api_name="/enhance", **OPTIONS)
        wait_until(lambda: progress(job).get("done"))
        job.cancel()
        assert [entry["state"] for entry in entries(client)] == ["running"]
        monkeypatch.setattr(run_jobs, "UNREAD_JOB_SECONDS", 0.5)
        wait_until(lambda: [entry["state"] for entry in entries(client)] == ["interrupted"])


def test_a_job_that_starts_again_is_not_released_by_its_interrupted_run(
    site: Site, client: Client, monkeypatch
):
    call = {
        "image": handle_file(site.photo("restarted.png", 407, 360)),
        "job": new_name(),
        **OPTIONS,
    }
    interrupted, restarted, end = Event(), Event(), JobStore.end

    def slow_end(*given: Any) -> None:
        end(*given)
        if not interrupted.is_set():
            interrupted.set()
            restarted.wait(60)

    monkeypatch.setattr(JobStore, "end", slow_end)
    with site.enhancer.paused("progress", of="restarted"):
        first = client.submit(**call, api_name="/enhance")
        wait_until(lambda: progress(first).get("done"))
        first.cancel()
        with monkeypatch.context() as impatient:
            impatient.setattr(run_jobs, "UNREAD_JOB_SECONDS", 0.5)
            wait_until(interrupted.is_set)
        second = client.submit(**call, api_name="/enhance")
        wait_until(lambda: progress(second).get("done"))
        restarted.set()
        wait_until(lambda: site.enhancer.scheduler.count() == 1)
        assert [entry["state"] for entry in entries(client)] == ["running"]
    assert second.result()[1]["status"] == "done"


@pytest.mark.parametrize("endpoint", ["/enhance", "/batch"])
def test_a_job_that_another_process_has_just_started_has_the_usual_progress(
    site: Site, owner: Client, monkeypatch, endpoint: str
):
    image, name = handle_file(site.photo("elsewhere.png", 30, 30)), new_name()
    images = {"image": image} if endpoint == "/enhance" else {"images": [image]}
    begin = JobStore.begin

    def begin_elsewhere(*given: Any, **options: Any) -> Any:
        with monkeypatch.context() as other:
            other.setattr("enhance.store.job_records.this_process", lambda: "another-1-1")
            begin(*given, **options)
        return begin(*given, **options)

    monkeypatch.setattr(JobStore, "begin", begin_elsewhere)
    job = owner.submit(**images, job=name, api_name=endpoint, **OPTIONS)
    wait_until(lambda: job.outputs())
    counts = {"done", "total"} if endpoint == "/enhance" else {"share", "files"}
    assert progress(job).keys() == {"seconds_left", "ahead"} | counts
    owner.predict(job=name, api_name="/cancel")
    with pytest.raises(AppError, match="was cancelled"):
        job.result()


def test_a_batch_with_a_name_has_the_state_of_each_file(
    site: Site, owner: Client, connect: Connect
):
    paths = [
        site.photo("first.png", 24, 30),
        site.text("second.png"),
        site.photo("third.png", 405, 360),
    ]
    images, name = [handle_file(path) for path in paths], new_name()
    call: dict[str, Any] = {"images": images, "job": name, "api_name": "/batch", **OPTIONS}
    with site.enhancer.paused("progress", of="third.png"):
        job = owner.submit(**call)
        wait_until(lambda: progress(job).get("share", 0) > 0.1)
        followed = again(connect, owner).submit(**call)
        wait_until(lambda: progress(followed).get("share", 0) > 0.1)
        shown = progress(followed)
        assert [(file["name"], file["state"]) for file in shown["files"]] == [
            ("first.png", "done"),
            ("second.png", "failed"),
            ("third.png", "running"),
        ]
        assert "unsupported format" in shown["files"][1]["error"]
        assert "seconds_left" in shown
        assert 0 < shown["files"][2]["share"] < 1
        with pytest.raises(AppError, match="still running"):
            owner.predict(id=f"{name}.1", api_name="/forget")
        archive, info = owner.predict(id=name, api_name="/export")
        with zipfile.ZipFile(archive) as packed:
            assert {"first-4x.png", "report.csv", "summary.pdf"} == {*packed.namelist()}
        assert (info["done"], info["files"][0]["number"]) == (1, 1)
        file, info = owner.predict(id=f"{name}.1", api_name="/export", format="jpeg")
        assert Path(file).name == "first-4x.jpg"
        assert info["output"]["format"] == "jpeg"
        with pytest.raises(AppError, match="no longer stored"):
            owner.predict(id=f"{name}.3", api_name="/export")
        with pytest.raises(AppError, match="None of your recent results"):
            connect(headers=new_owner()).predict(id=name, api_name="/export")
    (archive, info), (_, other) = job.result(), followed.result()
    assert [file["state"] for file in info["files"]] == ["done", "failed", "done"]
    for client in (job, followed):
        results = [
            one
            for _, facts in client.outputs()
            for one in facts.get("progress", {}).get("results", ())
        ]
        first, *others = results
        assert (first["number"], first["info"]["task_id"]) == (
            1,
            info["files"][0]["info"]["task_id"],
        )
        assert [one["number"] for one in others] in ([], [3]), "each result is sent once"
    assert (info["done"], info["failed"], info["error"]) == (2, 1, None)
    assert info == other
    with zipfile.ZipFile(archive) as packed:
        assert {"first-4x.png", "third-4x.png", "report.csv", "summary.pdf"} == {*packed.namelist()}
    (batch,) = entries(owner)
    assert (batch["id"], batch["state"]) == (name, "done")
    assert [(file["name"], file["task_id"]) for file in batch["files"]] == [
        (file["name"], file["info"]["task_id"]) for file in info["files"] if file["info"]
    ]
    assert [file["regions"] for file in batch["files"]] == [
        file["info"]["regions"] for file in info["files"] if file["info"]
    ]
    runs = site.enhancer.calls["run"]
    archive, info = owner.predict(**call, format="jpeg", quality=70)
    with zipfile.ZipFile(archive) as packed:
        assert {"first-4x.jpg", "third-4x.jpg"} < {*packed.namelist()}
    assert info["files"][0]["info"]["output"]["format"] == "jpeg"
    assert site.enhancer.calls["run"] == runs
    assert owner.predict(id=batch["files"][0]["id"], api_name="/forget") == [
        batch["files"][0]["id"]
    ]
    assert [file["name"] for file in entries(owner)[0]["files"]] == ["third.png"]


def test_a_cancelled_batch_keeps_its_finished_files(site: Site, owner: Client):
    images = [
        handle_file(site.photo("kept.png", 25, 30)),
        handle_file(site.photo("lost.png", 406, 360)),
    ]
    name = new_name()
    with site.enhancer.paused("progress", of="lost.png"):
        job = owner.submit(images=images, job=name, api_name="/batch", **OPTIONS)
        wait_until(lambda: progress(job).get("share", 0) > 0.1)
        assert owner.predict(job=name, api_name="/cancel")["state"] == "cancelled"
        with pytest.raises(AppError, match="was cancelled"):
            job.result()
    archive, info = owner.predict(id=name, api_name="/export", format="webp")
    with zipfile.ZipFile(archive) as packed:
        assert {"kept-4x.webp", "report.csv", "summary.pdf"} == {*packed.namelist()}
    assert [(file["number"], file["state"]) for file in info["files"]] == [
        (1, "done"),
        (2, "cancelled"),
    ]
    (batch,) = entries(owner)
    assert batch["state"] == "cancelled"
    assert [file["state"] for file in batch["files"]] == ["done", "cancelled"]


def test_one_file_of_a_batch_can_be_cancelled(site: Site, owner: Client):
    names = ("running.png", "waiting.png", "stays.png")
    images = [
        handle_file(site.photo(name, 397, side))
        for name, side in zip(names, (360, 30, 31), strict=True)
    ]
    call: dict[str, Any] = {"images": images, "job": new_name(), "api_name": "/batch", **OPTIONS}

    def cancel(number: int) -> tuple[bool, str]:
        answer = owner.predict(job=call["job"], file=number, api_name="/cancel")
        return answer["known"], answer["state"]

    assert cancel(1) == (False, "unknown")
    with site.enhancer.paused("progress", of="running.png"):
        job = owner.submit(**call)
        wait_until(lambda: progress(job).get("share", 0) > 0.1)
        assert [cancel(2), cancel(1), cancel(4)] == [
            (True, "cancelled"),
            (True, "cancelled"),
            (False, "unknown"),
        ]
        archive, info = job.result()
    assert [file["state"] for file in info["files"]] == ["cancelled", "cancelled", "done"]
    with zipfile.ZipFile(archive) as packed:
        assert {"stays-4x.png", "report.csv", "summary.pdf"} == {*packed.namelist()}
    assert cancel(3) == (True, "done")
    runs = site.enhancer.calls["run"]
    assert owner.predict(**call)[1] == info
    assert site.enhancer.calls["run"] == runs


def test_a_photo_that_cannot_have_the_size_gets_the_nearest_one_if_that_is_chosen(
    site: Site, owner: Client
):
    images = [
        handle_file(site.photo(name, *size))
        for name, size in (("a.png", (20, 30)), ("b.png", (100, 400)))
    ]
    call: dict[str, Any] = {"images": images, "long_side": 1000, "api_name": "/batch", **OPTIONS}
    name = new_name()
    for job in ("", name):
        _, info = owner.predict(**call, job=job, largest=True)
        sizes = [
            (file["info"]["output"]["width"], file["info"]["output"]["height"])
            for file in info["files"]
        ]
        assert sizes == [(480, 320), (1000, 250)]
    batch = opened(site, owner, name)
    assert [file["size"]["width"] for file in batch["files"]] == [480, 1000]
    settings = {setting: value for setting, value in batch["settings"].items() if value is not None}
    given = {"images": [file["image"] for file in batch["files"]], "job": name, **settings}
    assert read(site.url, "batch", owner.headers, **given)[-1][1][1]["files"] == info["files"]
    with pytest.raises(AppError, match="other images or settings"):
        owner.predict(**call, job=name)
    _, info = owner.predict(**call, job=new_name())
    assert [file["state"] for file in info["files"]] == ["failed", "done"]


def test_a_file_that_the_format_cannot_hold_is_computed_for_another_format(
    site: Site, owner: Client
):
    Image.fromarray(np.tile(photo(20, 320), (1, 13, 1))).save(site.files / "wide.png")
    images, name = (
        [handle_file(site.files / "wide.png"), handle_file(site.photo("narrow.png", 20, 20))],
        new_name(),
    )
    call: dict[str, Any] = {"images": images, "job": name, "api_name": "/batch", **OPTIONS}
    _, webp = owner.predict(**call, format="webp")
    assert [file["state"] for file in webp["files"]] == ["failed", "done"]
    assert "WebP" in webp["files"][0]["error"]
    _, png = owner.predict(**call)
    assert [file["state"] for file in png["files"]] == ["done", "done"]
    assert png["files"][1]["info"]["task_id"] == webp["files"][1]["info"]["task_id"]


def client_of(server: Any, headers: dict[str, str], folder: Path) -> Client:
    wait_until(server.is_ready)
    return Client(
        server.url, headers=headers, download_files=folder, verbose=False, analytics_enabled=False
    )


def results(server: Any) -> set[str]:
    """Return the tasks whose results are stored."""
    return {path.stem for path in (server.data / "processed").glob("*.png")}


def kill(server: Any) -> None:
    """End a server at once, without the possibility to write anything."""
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_jobs_of_a_killed_server_are_finished_by_the_same_calls(start, tmp_path):
    headers, options = new_owner(), OPTIONS
    slow = handle_file(write_photo(tmp_path / "slow.png", 400, 360, 4))
    run: dict[str, Any] = {"image": slow, "job": new_name(), "api_name": "/enhance", **options}
    sides = {"quick.png": 32, "late.png": 40, "removed.png": 44}
    quick, late, removed = (write_photo(tmp_path / name, 24, side) for name, side in sides.items())
    other = handle_file(write_photo(tmp_path / "other.png", 400, 350, 4))
    batch: dict[str, Any] = {
        "images": [handle_file(quick), other, handle_file(late), handle_file(removed)],
        "job": new_name(),
        "api_name": "/batch",
        **options,
    }
    cancelled = new_name()
    server = start("app.py")
    client = client_of(server, headers, tmp_path)
    client.predict(job=cancelled, api_name="/cancel")
    client.submit(**batch)
    wait_until(lambda: len(results(server)) == 1 and server.is_writing())
    client.submit(**run)
    wait_until(lambda: len(entries(client)) == 2)
    assert client.predict(job=batch["job"], file=4, api_name="/cancel")["state"] == "cancelled"
    kill(server)
    before = results(server)

    server = start("app.py")
    client = client_of(server, headers, tmp_path)
    assert {entry["state"] for entry in entries(client)} == {"interrupted"}
    report = client.predict(task_id=next(iter(before)), api_name="/report")
    assert Path(report).read_bytes().startswith(b"%PDF")
    jobs = [client.submit(**run), client.submit(**batch)]
    (_, run_info), (archive, batch_info) = (job.result(timeout=300) for job in jobs)

    assert [file["state"] for file in batch_info["files"]] == ["done", "done", "done", "cancelled"]
    assert before <= results(server)
    assert {batch_info["files"][0]["info"]["task_id"]} == before
    with zipfile.ZipFile(archive) as packed:
        assert {"quick-4x.png", "other-4x.png", "late-4x.png"} < {*packed.namelist()}
    tasks = {run_info["task_id"], *(file["info"]["task_id"] for file in batch_info["files"][:3])}
    assert results(server) == tasks, "one stored result for each file"
    found = entries(client)
    assert {entry["id"] for entry in found} == {run["job"], batch["job"]}
    assert {entry["state"] for entry in found} == {"done", "cancelled"}
    with pytest.raises(AppError, match="was cancelled"):
        client.predict(**{**run, "job": cancelled})


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_two_servers_with_one_folder_run_a_job_once_and_cancel_it_for_each_other(start, tmp_path):
    headers = new_owner()
    servers = [start("app.py"), start("app.py")]
    clients = [client_of(server, headers, tmp_path / f"{server.port}") for server in servers]
    slow = handle_file(write_photo(tmp_path / "slow.png", 400, 360, 3))
    call: dict[str, Any] = {"image": slow, "job": new_name(), "api_name": "/enhance", **OPTIONS}
    jobs = [client.submit(**call) for client in clients]
    infos = [job.result(timeout=300)[1] for job in jobs]
    assert infos[0] == infos[1]
    assert results(servers[0]) == {infos[0]["task_id"]}

    longer = handle_file(write_photo(tmp_path / "longer.png", 400, 358, 8))
    call |= {"image": longer, "job": new_name()}
    job = clients[0].submit(**call)
    wait_until(lambda: progress(job).get("done"))
    assert clients[1].predict(job=call["job"], api_name="/cancel")["state"] == "cancelled"
    with pytest.raises(AppError, match="was cancelled"):
        job.result(timeout=60)
    with pytest.raises(AppError, match="was cancelled"):
        clients[1].predict(**call)

    call |= {"job": new_name()}
    job = clients[0].submit(**call)
    wait_until(lambda: progress(job).get("done"))
    followed = clients[1].submit(**call)
    wait_until(lambda: progress(followed).get("done"))
    kill(servers[0])
    assert followed.result(timeout=300)[1]["status"] == "done"
