"""The project as a Hugging Face Space: its front matter and the uploaded files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import create_autospec

import huggingface_hub
import pytest
import yaml

from docs import make_space
from enhance import models

ROOT = Path(__file__).parents[2]
HEAD = yaml.safe_load((ROOT / "README.md").read_text("utf-8").split("---\n")[1])
SCRIPT = [sys.executable, ROOT / "docs" / "make_space.py", "someone/enhance"]
needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is not a checkout")


def test_a_space_preloads_all_weights_from_hugging_face_at_a_commit():
    wanted = {
        (source.repo, source.version, source.path)
        for model in models.manifest().values()
        for source in model.files
        if source.site == "hub"
    }
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
    assert "https://huggingface.co/spaces/someone/enhance" in address


@needs_git
def test_an_upload_creates_a_docker_space_of_the_files_in_one_commit(monkeypatch):
    hub = create_autospec(huggingface_hub.HfApi, instance=True)
    hub.list_repo_files.return_value = ["old.py"]
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(sys, "argv", SCRIPT[1:])
    make_space.main()
    assert hub.create_repo.call_args.kwargs["space_sdk"] == "docker"
    (commit,) = hub.create_commit.call_args_list
    files = {file.path_in_repo: file for file in commit.args[1]}
    assert isinstance(files["old.py"], huggingface_hub.CommitOperationDelete)

    def text_of(name):
        with files[name].as_file() as file:
            return file.read().decode()

    assert text_of("Dockerfile") == (ROOT / "Dockerfile").read_text("utf-8")
    head = yaml.safe_load(text_of("README.md").split("---\n")[1])
    assert head["sdk"] == "docker"
    assert f"EXPOSE {head['app_port']}" in text_of("Dockerfile")
    assert head["title"] == HEAD["title"]
    assert head["models"] == HEAD["models"]
    assert not head.keys() & {"sdk_version", "python_version", "app_file", "preload_from_hub"}
