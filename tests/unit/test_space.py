"""The project as a Hugging Face Space: its front matter and the uploaded files."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from enhance import models

ROOT = Path(__file__).parents[2]
HEAD = yaml.safe_load((ROOT / "README.md").read_text("utf-8").split("---\n")[1])
SCRIPT = [sys.executable, ROOT / "docs" / "make_space.py", "someone/enhance"]
SPACE = "https://huggingface.co/spaces/someone/enhance"
needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is not a checkout")


ANSWERS = {
    "tree": [{"type": "file", "path": "old.py", "size": 1, "oid": "0"}],
    "create": {"url": SPACE},
    "commit": {"commitUrl": f"{SPACE}/commit/1", "commitOid": "1"},
}


class Hub(BaseHTTPRequestHandler):
    """The part of the Hugging Face Hub that an upload needs. It keeps what it receives."""

    received: ClassVar = {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        (call,) = re.findall("tree|create|preupload|commit", self.path) or [""]
        answer = ANSWERS.get(call, {})
        if call == "preupload":
            mode = {"uploadMode": "regular", "shouldIgnore": False}
            answer = {"files": [file | mode for file in json.loads(body)["files"]]}
        self.received[call] = body
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def do_GET(self):
        self.do_POST()


@pytest.fixture
def hub():
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_space_preloads_all_weights_from_hugging_face_at_a_commit():
    wanted = set()
    for model in models.manifest().values():
        for source in model.files:
            if source.site == "hub":
                wanted.add((source.repo, source.version, source.path))
    preloaded = set()
    for line in HEAD["preload_from_hub"]:
        repo, files, version = line.split()
        assert re.fullmatch("[0-9a-f]{40}", version)
        for file in files.split(","):
            preloaded.add((repo, version, file))
    assert preloaded == wanted
    assert {*HEAD["models"]} == {repo for repo, _, _ in wanted}


@needs_git
def test_a_dry_run_lists_the_uploaded_files_which_git_tracks():
    private = ROOT / "docs" / "private.txt"
    private.write_text("a password")
    try:
        dry_run = [*SCRIPT, "--dry-run"]
        *listed, address, _ = subprocess.check_output(dry_run, text=True, timeout=60).splitlines()
    finally:
        private.unlink()
    names = {line.split()[-1] for line in listed}
    assert names >= {"app.py", "README.md", "Dockerfile", "requirements.lock", "docs/page.png"}
    assert names >= {"enhance/i18n/en.toml", "enhance/models/manifest.toml"}
    foreign = ("tests/", ".ci/", "data/", "docs/private.txt")
    assert not [name for name in names if name.startswith(foreign) or name.endswith(".bin")]
    assert SPACE in address


@needs_git
def test_an_upload_creates_a_docker_space_of_the_files_in_one_commit(hub, tmp_path):
    account = {"HF_ENDPOINT": hub, "HF_TOKEN": "hf_made_up", "HF_HOME": str(tmp_path)}
    online = {"HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
    subprocess.run(SCRIPT, env={**os.environ, **account, **online}, check=True, timeout=60)
    assert json.loads(Hub.received["create"])["sdk"] == "docker"
    lines = [json.loads(line) for line in Hub.received["commit"].splitlines()]
    assert {"key": "deletedFile", "value": {"path": "old.py"}} in lines
    contents = {line["value"].get("path"): line["value"].get("content", "") for line in lines}
    docker = base64.b64decode(contents["Dockerfile"]).decode()
    assert docker == (ROOT / "Dockerfile").read_text("utf-8")
    head = yaml.safe_load(base64.b64decode(contents["README.md"]).decode().split("---\n")[1])
    assert head["sdk"] == "docker"
    assert f"EXPOSE {head['app_port']}" in docker
    assert head["models"] == HEAD["models"]
    assert not head.keys() & {"sdk_version", "python_version", "app_file", "preload_from_hub"}
