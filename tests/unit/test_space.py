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

import pytest
import yaml

from enhance import models

ROOT = Path(__file__).parents[2]
HEAD = yaml.safe_load((ROOT / "README.md").read_text("utf-8").split("---\n")[1])
SCRIPT = [sys.executable, ROOT / "docs" / "make_space.py", "someone/enhance"]
SPACE = "https://huggingface.co/spaces/someone/enhance"
needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is not a checkout")


class Hub(BaseHTTPRequestHandler):
    """The part of the Hugging Face Hub that an upload needs. It records what is created."""

    created: dict
    committed: dict

    def do_GET(self):
        if "/tree/" in self.path:
            self._answer([{"type": "file", "path": "old.py", "size": 1, "oid": "0"}])
        else:
            self._answer({})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            type(self).created = json.loads(body)
            self._answer({"url": SPACE})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            keep = {"uploadMode": "regular", "shouldIgnore": False}
            self._answer({"files": [{"path": file["path"], **keep} for file in files]})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            type(self).committed = {line["value"].get("path"): line for line in lines}
            self._answer({"commitUrl": f"{SPACE}/commit/1", "commitOid": "1"})
        else:
            self._answer({"errors": [], "warnings": []})

    def _answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


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
    assert Hub.created["sdk"] == "docker"
    assert Hub.committed["old.py"]["key"] == "deletedFile"

    def text_of(name):
        return base64.b64decode(Hub.committed[name]["value"]["content"]).decode()

    assert text_of("Dockerfile") == (ROOT / "Dockerfile").read_text("utf-8")
    head = yaml.safe_load(text_of("README.md").split("---\n")[1])
    assert head["sdk"] == "docker"
    assert f"EXPOSE {head['app_port']}" in text_of("Dockerfile")
    assert head["title"] == HEAD["title"]
    assert head["models"] == HEAD["models"]
    assert not head.keys() & {"sdk_version", "python_version", "app_file", "preload_from_hub"}
