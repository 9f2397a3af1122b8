"""The project as a Hugging Face Space: its front matter and the uploaded files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from enhance import models

ROOT = Path(__file__).parents[2]
HEAD = yaml.safe_load((ROOT / "README.md").read_text("utf-8").split("---\n")[1])


def test_a_space_preloads_all_weights_from_hugging_face():
    wanted = set()
    for model in models.manifest().values():
        for source in model.files:
            if source.site == "hub":
                wanted.add((source.repo, source.version, source.path))
    preloaded = set()
    for line in HEAD["preload_from_hub"]:
        repo, files, *version = line.split()
        for file in files.split(","):
            preloaded.add((repo, *(version or ["main"]), file))
    assert preloaded == wanted
    assert {*HEAD["models"]} == {repo for repo, _, _ in wanted}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is not a checkout")
def test_a_dry_run_lists_the_uploaded_files_which_git_tracks():
    private = ROOT / "docs" / "private.txt"
    private.write_text("a password")
    try:
        script = [sys.executable, ROOT / "docs" / "make_space.py", "someone/enhance", "--dry-run"]
        *listed, address, _ = subprocess.check_output(script, text=True, timeout=60).splitlines()
    finally:
        private.unlink()
    names = {line.split()[-1] for line in listed}
    assert names >= {"app.py", "README.md", "requirements.txt", "packages.txt", "docs/page.png"}
    assert names >= {"enhance/i18n/en.toml", "enhance/models/manifest.toml"}
    foreign = ("tests/", ".ci/", "data/", "docs/private.txt")
    assert not [name for name in names if name.startswith(foreign) or name.endswith(".bin")]
    assert "https://huggingface.co/spaces/someone/enhance" in address
