"""The recent results of an owner: opening them, and deleting them with everything made from
them."""

from datetime import datetime
from pathlib import Path

import httpx
import pytest
from gradio_client.exceptions import AppError

from ..site import wait_until
from ..unit.stored_results import set_age, set_last_use
from .calls import answer_to

JOB = "a-new-job"


def made_from(site, info):
    """Return the files and folders of the store that are named after a run or its photo."""
    names = (info["task_id"], info["input"]["sha256"], info["output"]["sha256"])
    folder = site.enhancer.tasks.folder
    return [path for path in folder.rglob("*") if path.name.startswith(names)]


def downloads(site, pattern):
    """Return the downloads on the server, without the uploads."""
    return {path.name for path in (site.page / "results").rglob(pattern)}


def status_of_region(site, address):
    return httpx.get(f"{site.url}{address}?left=0&top=0&width=8&height=8&step=1").status_code


def opened(site, owner):
    """Return the newest recent result, with its photo as an upload, as plain HTTP gets it."""
    id = owner.call("runs")[0]["id"]
    address = f"{site.url}gradio_api/run/runs"
    answer = httpx.post(address, json={"data": [id]}, headers=owner.headers)
    (run,) = answer.json()["data"][0]
    return run


def test_a_recent_result_has_its_facts_and_is_opened_with_its_photo(site, owner):
    file = site.photo("opened.png", 40, 44)
    _, info = owner.call("enhance", file, job=JOB, format="webp", quality=80)
    (listed,) = owner.call("runs")
    assert listed["name"] == "opened.png"
    assert listed["size"] == {"width": 176, "height": 160}
    assert listed["encoding"]["format"] == "webp"
    assert listed["regions"] == info["regions"]
    hours = datetime.fromisoformat(listed["expires"]) - datetime.fromisoformat(listed["began"])
    assert hours.total_seconds() == pytest.approx(24 * 3600, abs=60)
    assert [status_of_region(site, one) for one in info["regions"].values()] == [200, 200]

    photo = opened(site, owner)["image"]
    assert photo["orig_name"] == "opened.png"
    assert Path(photo["path"]).read_bytes() == file.read_bytes()
    owner.call("forget", JOB)
    assert not Path(photo["path"]).exists()


def test_a_forgotten_result_is_deleted_with_everything_that_was_made_from_it(site, owner):
    file = site.photo("forgotten.png", 37, 45)
    with site.enhancer.paused("run"):
        job = owner.start("enhance", file, job=JOB)
        wait_until(owner.states)
        with pytest.raises(AppError, match="Cancel it first"):
            owner.call("forget", JOB)
    _, info = job.result()
    owner.call("export", JOB, format="jpeg")
    owner.call("report", info["task_id"])
    regions = info["regions"].values()
    assert [status_of_region(site, one) for one in regions] == [200, 200]
    folders = {path.parent.name for path in made_from(site, info)}
    assert folders >= {"processed", "network", "reports", "encoded"}
    assert len(downloads(site, "forgotten-*")) == 3

    assert owner.call("forget", JOB) == [JOB]

    assert owner.states() == {}
    assert made_from(site, info) == []
    assert downloads(site, "forgotten-*") == set()
    assert [status_of_region(site, one) for one in regions] == [404, 404]
    with pytest.raises(AppError, match="has this id"):
        owner.call("forget", JOB)


def test_a_deleted_result_leaves_the_files_of_other_results(site, owner):
    file = site.photo("twice.png", 43, 57)
    owner.call("enhance", file, job="first-job")
    _, info = owner.call("enhance", file, job="second-job", saturation=0)

    owner.call("forget", "first-job")

    assert downloads(site, "twice-4x.png") == {"twice-4x.png"}
    assert owner.call("report", info["task_id"])
    (entry,) = owner.call("runs")
    assert (entry["id"], {*entry["regions"]}) == ("second-job", {"photo", "result"})


def test_a_deleted_file_of_a_batch_leaves_no_archive_that_contains_it(site, owner):
    files = [site.photo(f"packed-{side}.png", side, 57) for side in (30, 31)]
    owner.call("batch", files, job=JOB)
    archives = (site.page / "results").rglob("enhanced.zip")
    own = [path for path in archives if b"packed-30" in path.read_bytes()]
    assert own

    owner.call("forget", f"{JOB}.1")

    assert [path for path in own if path.exists()] == []


def test_a_result_that_a_client_shows_is_not_deleted(site, owner):
    tasks = site.enhancer.tasks
    files = []
    for side in (50, 51):
        owner.call("enhance", site.photo(f"shown-{side}.png", side, side), job=f"shown-job-{side}")
        run = opened(site, owner)
        files.append([tasks.result_path(run["task_id"]), Path(run["image"]["path"])])
        set_last_use(tasks, 48, tasks.result_path(run["task_id"]))
    old = list(site.page.rglob("shown-*"))
    set_age(48 * 3600, *old, *(path.parent for path in old))
    with tasks.database.transaction() as db:
        db.execute("UPDATE files SET used = 0 WHERE path LIKE '%shown-%'")
    assert status_of_region(site, run["regions"]["result"]) == 200
    values = [run["image"], None, None, None]
    assert "event: complete" in answer_to(site, "analyse", values, owner.headers)

    tasks.clean()

    assert [path.exists() for path in files[0]] == [False, False]
    assert [path.exists() for path in files[1]] == [True, True]
