"""Servers in processes of their own: shared jobs, a killed server, and the end of a server."""

from __future__ import annotations

import signal
import socket
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from ..site import wait_until
from .programs import AS_FIRST_PROCESS, Program, can_be_first_process, programs, write_photo
from .users import User, new_key, progress

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
PAUSED_APP = ("-m", "tests.api.paused_app")


def connector(server: Program, folder: Path) -> Callable[..., Client]:
    """Return a function that creates clients of a server."""
    wait_until(server.is_ready)
    options: dict[str, Any] = {"verbose": False, "analytics_enabled": False}
    return partial(Client, server.url, download_files=folder, **options)


def results(server: Program) -> set[str]:
    """Return the tasks whose results are stored."""
    return {path.stem for path in (server.data / "processed").glob("*.png")}


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[tuple[Program, Program]]:
    """Two servers with one data folder. The first one pauses runs of files called slow."""
    with programs(tmp_path_factory.mktemp("servers")) as start:
        yield start(*PAUSED_APP), start("app.py")


@pytest.fixture
def users(servers, tmp_path) -> tuple[User, User]:
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
    quick, slow, late, removed = (
        write_photo(tmp_path / f"{name}.png", 24, side)
        for side, name in enumerate(("quick", "slow", "late", "removed"), 30)
    )
    queued = write_photo(tmp_path / "queued.png", 24, 40)
    files = [quick, slow, late, removed]
    earlier = results(servers[0])
    job = first.start("batch", files, job="killed-batch")
    wait_until(lambda: (progress(job).get("files") or [{}] * 2)[1].get("state") == "running")
    first.start("enhance", queued, job="killed-run")
    wait_until(lambda: len(first.states()) == 2)
    assert first.call("cancel", "killed-batch", 4)["state"] == "cancelled"
    before = results(servers[0]) - earlier
    assert len(before) == 1
    followed = second.start("batch", files, job="killed-batch")
    wait_until(lambda: progress(followed).get("share"))

    servers[0].process.send_signal(signal.SIGKILL)
    servers[0].process.wait()

    assert second.states()["killed-run"] == "interrupted"
    assert second.call("report", *before)
    _, run = second.call("enhance", queued, job="killed-run")
    archive, batch = followed.result(timeout=300)
    assert [file["state"] for file in batch["files"]] == ["done", "done", "done", "cancelled"]
    assert {batch["files"][0]["info"]["task_id"]} == before
    with zipfile.ZipFile(archive) as packed:
        assert {"quick-4x.png", "slow-4x.png", "late-4x.png"} < {*packed.namelist()}
    tasks = {run["task_id"], *(file["info"]["task_id"] for file in batch["files"][:3])}
    assert results(servers[0]) - earlier == tasks, "one stored result for each file"
    assert second.states() == {"killed-run": "done", "killed-batch": "cancelled"}


def test_sigterm_ends_a_running_server_that_is_the_first_process_of_a_container(start, tmp_path):
    wrapper = AS_FIRST_PROCESS if can_be_first_process() else None
    server = start(*PAUSED_APP, wrapper=wrapper)
    user = User(connector(server, tmp_path))
    user.start("enhance", write_photo(tmp_path / "slow.png", 400, 360))
    wait_until(server.is_writing)

    status, _, errors = server.end(signal.SIGTERM)

    assert (status, server.partial_files()) == (0, [])
    assert "Traceback" not in errors


def test_a_server_whose_port_is_in_use_ends_with_one_sentence(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        server = start("app.py", wrapper=["env", f"GRADIO_SERVER_PORT={port}"])
        _, errors = server.process.communicate(timeout=120)
    assert server.process.returncode == 1, errors
    (sentence,) = [line for line in errors.splitlines() if line.startswith("enhance: ")]
    assert port in sentence
    assert "Traceback" not in errors
