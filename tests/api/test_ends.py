"""The program is stopped, killed or left alone by its reader: it ends soon, in order, and loses nothing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from ..site import photo

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
ROOT = Path(__file__).parents[2]
LONG = ["--preset", "anime", "--device", "cpu", "--precision", "fp32"]
FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32"]
AS_FIRST = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


@dataclass
class Started:
    """A program of its own with its own data folder."""

    data: Path
    process: subprocess.Popen[str]
    port: int = 0
    output: str = ""

    def ended(self, number: int, within: float = 10) -> tuple[int, str]:
        """Send the signal; the exit status and what was said, once it and all its workers are gone."""
        top = psutil.Process(self.process.pid)
        family = top.children(recursive=True)
        first = next((one for one in family if self.process.args[0] == "unshare"), top)  # type: ignore[index]
        first.send_signal(number)
        self.output, said = self.process.communicate(timeout=within)
        _, alive = psutil.wait_procs(family, timeout=5)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
        return self.process.returncode, said

    def parts(self) -> list[Path]:
        return list(self.data.rglob("*.part"))

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz").json()["ready"]
        except (httpx.HTTPError, OSError):
            return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Starts programs with one data folder; none outlives the test."""
    started: list[Started] = []

    def begin(*arguments: str | Path, before: list[str] | None = None) -> Started:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": "", "LC_ALL": "C.UTF-8"}
        command = [*(before or []), sys.executable, *map(str, arguments)]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **piped)  # type: ignore[call-overload]
        started.append(Started(tmp_path / "data", process, port))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """One that is done in a moment, and one that takes long."""
    places = [(tmp_path / "a.png", 24, 32), (tmp_path / "b.png", 400, 360)]
    for path, height, width in places:
        Image.fromarray(photo(height, width)).save(path)
    return [path for path, *_ in places]


def can_be_first() -> bool:
    tried = shutil.which("unshare") and subprocess.run([*AS_FIRST, "true"], capture_output=True, check=False)
    return bool(tried) and tried.returncode == 0


def test_a_batch_that_is_stopped_keeps_what_is_done_and_goes_on_later(start, pictures, tmp_path):
    out = tmp_path / "out"
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        batch = start("-m", "enhance", "run", *pictures, "-o", out, *LONG)
        wait_until((out / "a.png").exists)
        wait_until(lambda batch=batch: psutil.Process(batch.process.pid).cpu_times().user > 3)
        ended, said = batch.ended(number)
        assert ended == status
        assert "stopped; what was done is kept" in said.splitlines()[-1]
        assert "Traceback" not in said
        assert [path.name for path in out.iterdir()] == ["a.png"]
    assert "was there already" in batch.output


def test_the_rest_of_a_killed_run_is_swept_by_the_next_one(start, pictures):
    run = start("-m", "enhance", "run", pictures[1], *LONG)
    wait_until(run.parts)
    assert run.ended(signal.SIGKILL)[0] == -signal.SIGKILL
    assert run.parts()

    again = start("-m", "enhance", "run", pictures[0], *FAST)
    assert again.process.wait(60) == 0
    assert again.parts() == []


def test_the_page_stops_its_runs_and_ends_by_sigterm_also_as_the_first_process_of_a_container(start, pictures):
    page = start("app.py", before=AS_FIRST if can_be_first() else None)
    wait_until(page.answers)
    client = Client(f"http://127.0.0.1:{page.port}", verbose=False, analytics_enabled=False)
    client.submit(image=handle_file(pictures[1]), preset="anime", api_name="/enhance")
    wait_until(page.parts)

    status, said = page.ended(signal.SIGTERM)

    assert (status, page.parts()) == (0, [])
    assert "Traceback" not in said


def test_the_page_of_the_command_line_ends_by_ctrl_c(start):
    page = start("-m", "enhance", "app")
    wait_until(page.answers)

    status, said = page.ended(signal.SIGINT)

    assert status == 130
    assert "Traceback" not in said


def test_a_reader_that_has_seen_enough_stops_no_batch(pictures, tmp_path):
    Image.open(pictures[0]).rotate(90).save(pictures[1])
    command = [sys.executable, "-m", "enhance", "run", *pictures, "-o", tmp_path / "out", "--json", *FAST]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as batch:
        assert batch.stdout is not None
        assert batch.stderr is not None
        batch.stdout.close()
        said = batch.stderr.read()

    assert batch.returncode == 0
    assert "Traceback" not in said
    assert "BrokenPipe" not in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
