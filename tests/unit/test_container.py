"""The container without Docker: `make container` runs its steps one by one in a clean folder.

Not run are the base image, `useradd`, and pip's downloads: a script records the calls of pip.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import compose_spec
import pytest
import yaml

from enhance import config, models

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
HOME = "/home/user"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
ON_PROCESSOR = COMPOSE["services"]["enhance"]


def steps() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile and what it says, on one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", "")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def the(instruction: str, having: str = "") -> str:
    (found,) = [said for name, said in steps() if name == instruction and having in said]
    return found


ENTER: list[str] = json.loads(the("ENTRYPOINT"))
"""What every command in the container is given to."""


def is_left_out(name: str, patterns: list[str]) -> bool:
    """Whether .dockerignore keeps the file, or a folder that it is in, from the image."""
    parts = name.split("/")
    ways = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for pattern in patterns:
        anywhere, pattern = pattern.startswith("**/"), pattern.removeprefix("**/")
        if any(
            fnmatch(way.rsplit("/", 1)[-1] if anywhere else way, pattern)
            for way in ways
            if anywhere or way.count("/") == pattern.count("/")
        ):
            return True
    return False


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Path:
    """What `COPY . .` brings into the image, of a folder where somebody has worked."""
    folder, patterns = tmp_path_factory.mktemp("image"), []
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        patterns += [line] if line and not line.startswith("#") else []
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    worked = [".env", ".venv/bin/python", "data/uploads/me.jpg", "weights/own.toml", "weights/x.safetensors.part"]
    for name in [*filter(None, tracked), *worked, "enhance/web/__pycache__/run.cpython-312.pyc"]:
        if not is_left_out(name, patterns) and (name in worked or (ROOT / name).is_file()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file():
                shutil.copy(ROOT / name, folder / name)
            else:
                (folder / name).touch()
    return folder


def environment(folder: Path) -> dict[str, str]:
    """The image's own variables, its places moved below `folder`, in which nothing of this machine is known."""
    given = dict(word.split("=", 1) for word in shlex.split(the("ENV")))
    given = {
        name: value.replace(f"{HOME}/app", str(folder)).replace(HOME, str(folder)) for name, value in given.items()
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return given | {
        "PATH": path,
        "HOME": str(folder / "home"),
        "HF_HUB_OFFLINE": "1",
        "ENHANCE_RELEASES": "http://127.0.0.1:9",
    }


def test_the_image_has_what_the_page_needs_and_nothing_of_ours(copied):
    assert {path.name for path in copied.iterdir()} == {
        *("app.py", "enhance", "weights", "LICENSE", "NOTICE", "README.md"),
        *("packages.txt", "pyproject.toml", "requirements.lock", "requirements.txt"),
    }
    assert [
        path.name for path in copied.rglob("*") if path.suffix in (".pyc", ".part") or path.name == "own.toml"
    ] == []
    assert sum(path.stat().st_size for path in copied.glob("enhance/report/fonts/*.woff")) > 2_000_000, "the report's"


@pytest.mark.parametrize(
    ("torch", "uv_answers", "with_cuda"), [("cpu", True, False), ("cpu", False, None), ("cuda", True, True)]
)
def test_the_packages_are_those_of_the_lock_and_cuda_only_where_it_is_wanted(tmp_path, torch, uv_answers, with_cuda):
    asked, tools = tmp_path / "asked", tmp_path / "tools"
    tools.mkdir()
    for name, ends in (("pip", True), ("uv", uv_answers)):
        recorder = f'#!/bin/sh\necho "{name} $*" >>{asked}\nfor one; do [ -f "$one" ] && cat "$one" >>{asked}; done\n'
        (tools / name).write_text(f"{recorder}exit {0 if ends else 1}\n")
        (tools / name).chmod(0o755)
    shutil.copy(ROOT / the("COPY", "requirements.lock").split()[0], tmp_path)
    step = the("RUN", "requirements.lock").replace("/tmp/", f"{tmp_path}/kept-")
    path = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "TORCH": torch}
    built = subprocess.run(["sh", "-c", step], cwd=tmp_path, env=path, check=False, capture_output=True, text=True)
    if with_cuda is None:
        assert built.returncode != 0
        assert "Cannot download the CPU build of PyTorch." in built.stderr
        assert "--require-hashes" not in asked.read_text(), "no other build in its place"
        return
    assert built.returncode == 0, built.stderr

    calls, lock = asked.read_text(), (ROOT / "requirements.lock").read_text()
    (version,) = re.findall(r"^torch==\S+", lock, re.MULTILINE)
    assert ("uv pip install --system --torch-backend=cpu" in calls) == (torch == "cpu")
    installed = calls.rpartition("pip install --require-hashes")[2]
    assert version in installed
    assert ("nvidia-cudnn" in installed) == with_cuda
    assert re.findall(r"^numpy==.+", installed, re.MULTILINE) == re.findall(r"^numpy==.+", lock, re.MULTILINE)
    assert installed.count("--hash=sha256:") > 500, "every file is checked"
    assert list(tmp_path.glob("kept-*")) == [], "nothing stays in the layer"


def test_models_lie_in_the_volume_and_those_of_the_image_stay_usable(tmp_path):
    home, volume = tmp_path / "user", tmp_path / "user/data/weights"
    (home / "weights").mkdir(parents=True)
    for name in ("realesrgan-x4plus.json", "realesrgan-x4plus.safetensors"):
        shutil.copy(models.folder() / name, home / "weights")
    known = environment(home) | {"ENHANCE_WEIGHTS": str(volume), "PYTHONPATH": str(ROOT)}
    enter = [word.replace(HOME, str(home)) for word in ENTER]

    def listed() -> dict[str, str]:
        called = [*enter, sys.executable, "-m", "weights", "list", "--json"]
        told = subprocess.run(called, env=known, check=True, capture_output=True, text=True).stdout
        return {one["name"]: one["status"] for one in json.loads(told)}

    assert listed()["realesrgan-x4plus"] == "verified"
    (volume / "own.toml").write_text("")
    (volume / "realesr-animevideov3.safetensors").write_bytes(b"added")
    assert listed()["realesrgan-x4plus"] == "verified", "a second start finds what lies there"
    assert (volume / "realesr-animevideov3.safetensors").read_bytes() == b"added"
    assert volume.is_relative_to(home / "data"), "the volume"
    assert environment(home)["ENHANCE_WEIGHTS"].startswith(the("VOLUME").replace(HOME, str(home)))


def test_the_health_check_asks_the_port_that_is_set_and_no_proxy(tmp_path):
    asks = json.loads(the("HEALTHCHECK").partition("CMD ")[2])
    asks[0] = sys.executable

    class Well(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Well) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        known = environment(tmp_path) | {"GRADIO_SERVER_PORT": str(server.server_port)}
        known["HTTP_PROXY"] = known["http_proxy"] = "http://127.0.0.1:9"
        assert subprocess.run(asks, env=known, check=False).returncode == 0
        server.shutdown()
    assert subprocess.run(asks, env=known, check=False, capture_output=True).returncode == 1


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_the_image_brings_its_weights_serves_the_page_and_says_that_it_is_well(copied):
    known = environment(copied) | {"GRADIO_SERVER_PORT": "17860", "GRADIO_SERVER_NAME": "127.0.0.1"}
    step = the("RUN", "weights fetch").replace(HOME, str(copied))
    fetched = subprocess.run(["sh", "-c", step], cwd=copied, env=known, check=False, capture_output=True, text=True)
    assert fetched.returncode == 0, fetched.stderr
    assert (copied / "data").is_dir()
    baked = copied / "weights"
    assert len(list(baked.glob("*.safetensors"))) >= 3, "those that a package brings"
    assert list(baked.glob("*.lock")) == []

    asks = json.loads(the("HEALTHCHECK").partition("CMD ")[2])
    enter = [word.replace(HOME, str(copied)) for word in ENTER]
    known |= {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "localhost,127.0.0.1"}
    with subprocess.Popen([*enter, *json.loads(the("CMD", "app.py"))], cwd=copied, env=known) as page:
        try:
            while page.poll() is None and not answers(17860):
                time.sleep(0.2)
            well = subprocess.run(asks, env=known, check=False, capture_output=True).returncode == 0
            assert well
        finally:
            page.terminate()
    assert page.returncode in (0, -15, 143)


def test_another_reader_has_no_complaint_about_the_dockerfile():
    hadolint = Path(sys.executable).with_name("hadolint")
    told = subprocess.run([hadolint, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "")


def test_compose_says_nothing_that_its_specification_does_not_know():
    text = re.sub(r"\$\{\w+:-(.+?)\}", r"\1", json.dumps(COMPOSE))  # as it stands where no variable is set
    said = compose_spec.PyCompose.from_json(text)
    said.validate()
    assert sorted(said.service_names()) == ["enhance", "enhance-gpu"]
    with pytest.raises(ValueError, match="restrat"):
        compose_spec.PyCompose.from_json(text.replace('"restart"', '"restrat"'))


def test_compose_hands_on_every_variable_that_the_page_reads_and_the_image_does_not_set():
    read = set(re.findall(r'"(ENHANCE_[A-Z_]+)"', Path(config.__file__).read_text("utf-8")))
    fixed = {word.split("=")[0] for word in shlex.split(the("ENV"))}
    handed_on = set(ON_PROCESSOR["environment"])
    assert read - fixed <= handed_on
    assert handed_on & fixed == set()
    asked_for = {"GRADIO_MCP_SERVER", "GRADIO_ROOT_PATH", "OMP_NUM_THREADS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    assert asked_for <= handed_on
    values = dict(ON_PROCESSOR["environment"])
    assert values.pop("NO_PROXY") == "${NO_PROXY:-localhost,127.0.0.1}"
    assert set(values.values()) == {None}, "what is not set there is not set here"
