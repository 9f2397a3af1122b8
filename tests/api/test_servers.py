"""Servers in processes of their own: shared jobs, a killed server, and the end of a server."""

import signal
import sys
import zipfile
from contextlib import suppress
from functools import partial

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from ..site import wait_until
from .programs import AS_FIRST_PROCESS, PAUSED, can_be_first_process, fork_server, write_photo
from .users import User, new_key, progress

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def connector(server, folder):
    """Return a function that creates clients of a server."""
    wait_until(server.is_ready)
    options = {"verbose": False, "analytics_enabled": False}
    return partial(Client, server.url, download_files=folder, **options)


def results(server):
    """Return the tasks whose results are stored."""
    return {path.stem for path in (server.data / "processed").glob("*.png")}


@pytest.fixture(scope="module")
def servers(forks, tmp_path_factory):
    """Two servers with one data folder. The first one pauses runs of files called slow."""
    data = tmp_path_factory.mktemp("servers")
    started = fork_server(forks, data, PAUSED), fork_server(forks, data)
    yield started
    for server in started:
        with suppress(ProcessLookupError):  # One has been killed.
            server.process.send_signal(signal.SIGKILL)


@pytest.fixture
def users(servers, tmp_path):
    """The same owner at both servers."""
    key = new_key()
    first, second = (User(connector(server, tmp_path), key) for server in servers)
    return first, second


def test_two_servers_run_a_job_once_and_cancel_it_for_each_other(servers, users, tmp_path):
    photo = write_photo(tmp_path / "photo.png", 240, 160)
    jobs = [user.start("enhance", photo, job="common-run") for user in users]
    infos = [job.result(timeout=300)[1] for job in jobs]
    assert infos[0] == infos[1]
    assert results(servers[0]) == {infos[0]["task_id"]}

    first, second = users
    slow = write_photo(tmp_path / "slow.png", 60, 61)
    job = first.start("enhance", slow, job="cancelled-run")
    wait_until(lambda: progress(job).get("done"))
    assert second.call("cancel", "cancelled-run")["state"] == "cancelled"
    with pytest.raises(AppError, match="was cancelled"):
        job.result(timeout=60)
    with pytest.raises(AppError, match="was cancelled"):
        second.call("enhance", slow, job="cancelled-run")


def test_another_server_finishes_the_jobs_of_a_killed_one(servers, users, tmp_path):
    first, second = users
    names = ("quick", "slow", "late", "removed")
    files = [write_photo(tmp_path / f"{name}.png", 24, side) for side, name in enumerate(names, 30)]
    queued = write_photo(tmp_path / "queued.png", 24, 40)
    earlier = results(servers[0])
    job = first.start("batch", files, job="killed-batch")
    wait_until(lambda: (progress(job).get("files") or [{}] * 2)[1].get("state") == "running")
    first.start("enhance", queued, job="killed-run")
    wait_until(lambda: len(first.states()) == 2)
    assert first.call("cancel", "killed-batch", 4)["state"] == "cancelled"
    (before,) = results(servers[0]) - earlier
    followed = second.start("batch", files, job="killed-batch")
    wait_until(lambda: progress(followed))

    servers[0].process.send_signal(signal.SIGKILL)
    servers[0].process.wait()

    assert second.states()["killed-run"] == "interrupted"
    assert second.call("report", before)
    _, run = second.call("enhance", queued, job="killed-run")
    archive, batch = followed.result(timeout=300)
    assert [file["state"] for file in batch["files"]] == ["done", "done", "done", "cancelled"]
    with zipfile.ZipFile(archive) as packed:
        assert {"quick-4x.png", "slow-4x.png", "late-4x.png"} < {*packed.namelist()}
    tasks = [file["info"]["task_id"] for file in batch["files"][:3]]
    assert tasks[0] == before
    assert results(servers[0]) - earlier == {run["task_id"], *tasks}, "one result for each file"
    assert second.states() == {"killed-run": "done", "killed-batch": "cancelled"}


def test_sigterm_ends_a_running_server_that_is_the_first_process_of_a_container(start, tmp_path):
    wrapper = AS_FIRST_PROCESS if can_be_first_process() else None
    server = start("-c", PAUSED, wrapper=wrapper)
    user = User(connector(server, tmp_path))
    job = user.start("enhance", write_photo(tmp_path / "slow.png", 120, 90))
    wait_until(lambda: job.status().progress_data)
    assert [*server.data.rglob("*.part")]

    status, _, errors = server.end(signal.SIGTERM)

    assert (status, [*server.data.rglob("*.part")]) == (0, [])
    assert "Traceback" not in errors
