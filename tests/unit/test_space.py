"""The project as a Hugging Face Space: its front matter and the uploaded files."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from enhance import models

ROOT = Path(__file__).parents[2]
HEAD = yaml.safe_load((ROOT / "README.md").read_text("utf-8").split("---\n")[1])
BRANCH = "main"


def dry_run(repo: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(ROOT / "docs" / "make_space.py"), repo, "--dry-run"]
    return subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)


def test_a_space_preloads_all_weights_from_hugging_face():
    wanted = defaultdict[tuple[str, ...], list[str]](list)
    for model in models.manifest().values():
        for source in model.files:
            if source.site == "hub":
                pinned = () if source.version == BRANCH else (source.version,)
                wanted[(source.repo, *pinned)].append(source.path)
    preloaded = {(repo, *pinned): files.split(",") for repo, files, *pinned in map(str.split, HEAD["preload_from_hub"])}
    assert preloaded == wanted
    assert HEAD["models"] == list(dict.fromkeys(repo for repo, *_ in wanted))


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is not a checkout")
def test_a_dry_run_lists_the_uploaded_files():
    printed = dry_run("someone/enhance")
    names = [line.split()[-1] for line in printed.stdout.splitlines()[:-2]]
    for needed in (
        "app.py",
        "README.md",
        "requirements.txt",
        "packages.txt",
        "enhance/i18n/en.toml",
        "docs/page.png",
    ):
        assert needed in names
    assert "enhance/models/manifest.toml" in names
    assert [
        name
        for name in names
        if name.startswith(("tests/", ".ci/", "data/")) or name.endswith((".safetensors", ".bin"))
    ] == []
    assert "https://huggingface.co/spaces/someone/enhance" in printed.stdout.splitlines()[-2]


def test_untracked_files_are_not_uploaded():
    private = ROOT / "docs" / "private.part"  # not tracked by git
    private.write_text("a password")
    try:
        assert "private" not in dry_run("someone/enhance").stdout
    finally:
        private.unlink()
