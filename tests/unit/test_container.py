"""The container without Docker: `make container` runs its steps one by one in a clean folder.

The base image, `useradd` and pip's downloads are not run. A script records the calls of pip.
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

import pytest

from enhance import models

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
HOME = "/home/user"


def steps() -> list[tuple[str, str]]:
    """Return each instruction of the Dockerfile with its arguments, on one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", "")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def arguments_of(instruction: str, text: str = "") -> str:
    """Return the arguments of the only instruction of this kind that contains the text."""
    (found,) = [arguments for name, arguments in steps() if name == instruction and text in arguments]
    return found


ENTRYPOINT: list[str] = json.loads(arguments_of("ENTRYPOINT"))


def is_left_out(name: str, patterns: list[str]) -> bool:
    """Return whether .dockerignore excludes the file or a folder that contains it."""
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
    """The files that `COPY . .` copies into the image from a checkout with other files."""
    folder, patterns = tmp_path_factory.mktemp("image"), []
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        patterns += [line] if line and not line.startswith("#") else []
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    others = [
        ".env",
        ".venv/bin/python",
        "data/uploads/me.jpg",
        "weights/own.toml",
        "weights/x.bin",
        "weights/x.bin.part",
    ]
    for name in [*filter(None, tracked), *others, "enhance/web/__pycache__/run.cpython-312.pyc"]:
        if not is_left_out(name, patterns) and (name in others or (ROOT / name).is_file()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file():
                shutil.copy(ROOT / name, folder / name)
            else:
                (folder / name).touch()
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of the image with its folders below `folder`, and nothing of this computer."""
    given = dict(word.split("=", 1) for word in shlex.split(arguments_of("ENV")))
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


def test_the_image_contains_only_the_files_of_the_program(copied):
    assert {path.name for path in copied.iterdir()} == {
        *("app.py", "enhance", "weights", "LICENSE", "NOTICE", "README.md"),
        *("packages.txt", "pyproject.toml", "requirements.lock", "requirements.txt"),
    }
    assert [
        path.name for path in copied.rglob("*") if path.suffix in (".pyc", ".part") or path.name == "own.toml"
    ] == []
    assert sum(path.stat().st_size for path in copied.glob("enhance/report/fonts/*.woff")) > 2_000_000, "the report's"


def test_models_are_stored_in_the_volume_and_those_of_the_image_stay_usable(tmp_path):
    home, volume = tmp_path / "user", tmp_path / "user/data/weights"
    (home / "weights").mkdir(parents=True)
    shutil.copy(models.folder() / "realesrgan-x4plus.bin", home / "weights")
    variables = environment(home) | {"ENHANCE_WEIGHTS": str(volume), "PYTHONPATH": str(ROOT)}
    entrypoint = [word.replace(HOME, str(home)) for word in ENTRYPOINT]

    def listed() -> dict[str, str]:
        called = [*entrypoint, sys.executable, "-m", "weights", "list", "--json"]
        output = subprocess.run(called, env=variables, check=True, capture_output=True, text=True).stdout
        return {one["name"]: one["status"] for one in json.loads(output)}

    assert listed()["realesrgan-x4plus"] == "verified"
    (volume / "own.toml").write_text("")
    (volume / "realesr-animevideov3.bin").write_bytes(b"added")
    assert listed()["realesrgan-x4plus"] == "verified", "a second start uses the files of the volume"
    assert (volume / "realesr-animevideov3.bin").read_bytes() == b"added"
    assert volume.is_relative_to(home / "data"), "the volume"
    assert environment(home)["ENHANCE_WEIGHTS"].startswith(arguments_of("VOLUME").replace(HOME, str(home)))


def test_the_health_check_uses_the_configured_port_and_no_proxy(tmp_path):
    check = json.loads(arguments_of("HEALTHCHECK").partition("CMD ")[2])
    check[0] = sys.executable

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        variables = environment(tmp_path) | {"GRADIO_SERVER_PORT": str(server.server_port)}
        variables["HTTP_PROXY"] = variables["http_proxy"] = "http://127.0.0.1:9"
        assert subprocess.run(check, env=variables, check=False).returncode == 0
        server.shutdown()
    assert subprocess.run(check, env=variables, check=False, capture_output=True).returncode == 1


def is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_the_image_contains_weights_serves_the_page_and_is_healthy(copied):
    variables = environment(copied) | {"GRADIO_SERVER_PORT": "17860", "GRADIO_SERVER_NAME": "127.0.0.1"}
    step = arguments_of("RUN", "weights fetch").replace(HOME, str(copied))
    fetched = subprocess.run(["sh", "-c", step], cwd=copied, env=variables, check=False, capture_output=True, text=True)
    assert fetched.returncode == 0, fetched.stderr
    assert (copied / "data").is_dir()
    baked = copied / "weights"
    assert len(list(baked.glob("*.bin"))) >= 3, "those of packages"
    assert list(baked.glob("*.lock")) == []

    check = json.loads(arguments_of("HEALTHCHECK").partition("CMD ")[2])
    entrypoint = [word.replace(HOME, str(copied)) for word in ENTRYPOINT]
    variables |= {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "localhost,127.0.0.1"}
    with subprocess.Popen([*entrypoint, *json.loads(arguments_of("CMD", "app.py"))], cwd=copied, env=variables) as page:
        try:
            while page.poll() is None and not is_open(17860):
                time.sleep(0.2)
            is_healthy = subprocess.run(check, env=variables, check=False, capture_output=True).returncode == 0
            assert is_healthy
        finally:
            page.terminate()
    assert page.returncode in (0, -15, 143)
