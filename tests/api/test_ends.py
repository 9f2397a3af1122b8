"""The program is stopped, killed or left alone by its reader: it ends soon, in order, and loses nothing."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from enhance import models
from enhance.errors import Cancelled

from ..site import free_port, photo, wait_until
from ..unit.hub_server import HubServer
from .calls import status

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
ROOT = Path(__file__).parents[2]
LONG = ["--preset", "anime", "--device", "cpu", "--precision", "fp32"]
FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32"]
AS_FIRST = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


@dataclass
class Started:
    """A program of its own with its own data folder."""

    data: Path
    process: subprocess.Popen[str]
    port: int = 0
    output: str = ""

    def ended(self, number: int, within: float = 25) -> tuple[int, str]:
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

    def writes(self) -> bool:
        """Whether a result is on its way to the disk."""
        with suppress(OSError):  # what only tried whether the disk can be written to is gone again
            return any(path.stat().st_size for path in self.parts())
        return False

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
        port = free_port()
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
    """One that is done in a moment, one that takes long, and one that takes a while."""
    places = [(tmp_path / "a.png", 24, 32), (tmp_path / "b.png", 400, 360), (tmp_path / "c.png", 150, 130)]
    for path, height, width in places:
        Image.fromarray(photo(height, width)).save(path)
    return [path for path, *_ in places]


def can_be_first() -> bool:
    tried = shutil.which("unshare") and subprocess.run([*AS_FIRST, "true"], capture_output=True, check=False)
    return bool(tried) and tried.returncode == 0


def test_a_batch_that_is_stopped_keeps_what_is_done_and_goes_on_later(start, pictures, tmp_path):
    out, made = tmp_path / "out", None
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        batch = start("-m", "enhance", "run", *pictures[:2], "-o", out, *LONG)
        wait_until((out / "a.png").exists)
        wait_until(lambda batch=batch: psutil.Process(batch.process.pid).cpu_times().user > 3)
        ended, said = batch.ended(number)
        assert ended == code
        assert "Traceback" not in said
        assert [path.name for path in out.iterdir()] == ["a.png"]
        made = made or (out / "a.png").stat().st_mtime_ns
    assert made == (out / "a.png").stat().st_mtime_ns, "the finished file was not made again"


def test_the_rest_of_a_killed_run_is_swept_by_the_next_one(start, pictures):
    run = start("-m", "enhance", "run", pictures[2], *LONG)
    wait_until(run.writes)
    assert run.ended(signal.SIGKILL)[0] == -signal.SIGKILL
    assert run.parts()

    again = start("-m", "enhance", "run", pictures[0], *FAST)
    assert again.process.wait(60) == 0
    assert again.parts() == []


def test_a_killed_page_works_when_started_again_and_sigterm_ends_it_also_as_the_first_process_of_a_container(
    start, pictures
):
    asked = {"image": handle_file(pictures[2]), "preset": "anime", "api_name": "/enhance"}
    page = start("app.py")
    wait_until(page.answers)
    Client(f"http://127.0.0.1:{page.port}", verbose=False, analytics_enabled=False).submit(**asked)
    wait_until(page.writes)
    assert page.ended(signal.SIGKILL)[0] == -signal.SIGKILL

    page = start("app.py", before=AS_FIRST if can_be_first() else None)
    wait_until(page.answers)
    client = Client(f"http://127.0.0.1:{page.port}", verbose=False, analytics_enabled=False)
    result, info = client.predict(**asked)

    assert info["cached"] is False
    assert Image.open(result).size == (520, 600)
    assert page.parts() == []

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
    command = [sys.executable, "-m", "enhance", "run", *pictures[:2], "-o", tmp_path / "out", "--json", *FAST]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as batch:
        assert batch.stdout is not None
        assert batch.stderr is not None
        batch.stdout.close()
        said = batch.stderr.read()

    assert batch.returncode == 0
    assert "Traceback" not in said
    assert "BrokenPipe" not in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


def test_a_disk_that_is_full_under_an_upload_is_said_and_nothing_stays(site, monkeypatch):
    """Every byte of the upload goes to a device that is always full."""
    usual, made = NamedTemporaryFile, []

    def on_a_full_disk(**options: Any) -> Any:
        made.append(usual(**options))
        os.dup2(os.open("/dev/full", os.O_WRONLY), made[-1].fileno())
        return made[-1]

    monkeypatch.setattr("gradio.route_utils.NamedTemporaryFile", on_a_full_disk)
    answer = httpx.post(f"{site.url}gradio_api/upload", files={"files": ("a.png", b"0" * 3_000_000)})
    assert answer.status_code == 507
    assert answer.json()["error"]
    assert len(made) == 1
    assert [one.name for one in made if Path(one.name).exists()] == []


def test_an_upload_that_breaks_off_leaves_nothing(site):
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    before = set(folder.glob("tmp*"))
    address = urlsplit(site.url)
    head = "POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n"
    with socket.create_connection((address.hostname, address.port)) as line:
        line.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
        line.sendall(b'Content-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + b"0" * 1_000_000)
        wait_until(lambda: set(folder.glob("tmp*")) - before)
    wait_until(lambda: not set(folder.glob("tmp*")) - before)


@pytest.fixture
def hub(site, monkeypatch) -> Iterator[HubServer]:
    """Hugging Face on the loopback interface has the network of anime-fast, which is nowhere else any more."""
    name = "realesr-animevideov3"
    content = (models.folder() / f"{name}.safetensors").read_bytes()
    sums = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    model = replace(models.manifest()[name], release=None, package=None, file="official.safetensors", **sums)
    monkeypatch.setitem(cast(dict[str, Any], models.manifest()), name, model)
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(site.files.parent / f"hub-{secrets.token_hex(4)}"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("enhance.models.download.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("enhance.models.download.ANSWER_SECONDS", 1.0)
    monkeypatch.setattr("enhance.models.download.SILENCE_SECONDS", 1.0)
    with HubServer() as server:
        server.offer(model, content)
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def breaks_off(hub: HubServer) -> None:
    hub.cuts = [100_000, *[0] * 3]


def answers_wrongly(hub: HubServer) -> None:
    hub.files = {path: bytes(len(content)) for path, content in hub.files.items()}


def is_silent(hub: HubServer) -> None:
    hub.release.clear()


@pytest.mark.parametrize("fault", [breaks_off, answers_wrongly, is_silent])
def test_a_preset_whose_weights_do_not_come_says_so_and_works_at_the_second_try(site, client, hub, fault):
    right = dict(hub.files)
    fault(hub)
    asked = {"image": handle_file(site.photo("hub.png", 24, 32)), "preset": "anime-fast", "api_name": "/enhance"}
    job = client.submit(**asked)
    wait_until(hub.question.is_set)

    assert status(site)["device"]  # not by `client`: a job that fails at this moment can end its stream of answers
    with pytest.raises(AppError, match="realesr-animevideov3"):
        job.result(timeout=30)

    hub.files, hub.cuts = right, []
    hub.release.set()
    _, info = client.predict(**asked)
    assert info["model"]["source"].startswith("Hugging Face")


def test_a_fetch_of_weights_is_left_when_its_run_is_cancelled(site, hub, tmp_path):
    hub.stalls = [100_000]
    stop = threading.Event()
    stop.set()

    with pytest.raises(Cancelled):
        site.enhancer.run(site.photo("left.png", 24, 32), "anime-fast", output=tmp_path / "x.png", stop=stop)

    assert [path.suffix for path in models.folder().glob("official*")] == [".part"]


def frozen(folder: Path) -> list[str]:
    """What a command begins with for which nothing can be written to the folder, also by root."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        return []
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    begin = ["unshare", "--mount", "sh", "-c", script, str(folder)]
    if not shutil.which("unshare") or subprocess.run([*begin, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    return begin


def test_what_lies_in_folders_that_cannot_be_written_works_and_the_rest_is_said(pictures, tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir()
    for file in models.folder().glob("realesr-animevideov3.*"):
        shutil.copy(file, closed)
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(closed))
    monkeypatch.setenv("ENHANCE_DATA", str(closed))
    run = ["run", str(pictures[0]), *FAST]
    script = (
        "import json; from enhance import Enhancer; from enhance.cli import main\n"
        "print(json.dumps(Enhancer().presets()))\n"
        f"print(main({[*run, '-o', str(tmp_path / 'x.png')]!r}), main({run!r}))"
    )
    command = [*frozen(closed), sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    told, *_, statuses = ended.stdout.splitlines()
    presets = {one["name"]: one for one in json.loads(told)}
    assert [name for name, one in presets.items() if one["available"]] == ["anime-fast"]
    assert presets["gentle"]["reason"]
    assert statuses == "0 1"
    assert (tmp_path / "x.png").exists()
    assert "closed" in ended.stderr
    assert "Traceback" not in ended.stderr
