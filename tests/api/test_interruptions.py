"""Commands that are stopped, or whose folders are read-only."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from enhance import models

from ..site import wait_until
from .programs import ROOT, write_photo

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32"]


def test_a_stopped_batch_keeps_finished_files_and_resumes(start, tmp_path):
    quick = write_photo(tmp_path / "a.png", 24, 32)
    slow = write_photo(tmp_path / "b.png", 400, 360, 3)
    out = tmp_path / "out"
    times = []
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        batch = start("-m", "enhance", "run", quick, slow, "-o", out, *FAST)
        # The other file has begun.
        wait_until(lambda: (out / "a.png").exists() and len(list(out.iterdir())) == 2)
        status, _, errors = batch.end(number)
        assert status == expected
        assert "Traceback" not in errors
        assert [path.name for path in out.iterdir()] == ["a.png"], (
            "the other photo was not finished"
        )
        times.append((out / "a.png").stat().st_mtime_ns)
    assert times[0] == times[1], "the finished file is not written again"


def make_read_only(folder: Path) -> list[str]:
    """Make a folder read-only. Return a command prefix that makes it so even for programs of
    root."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        return []
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    wrapper = ["unshare", "--mount", "sh", "-c", script, str(folder)]
    if (
        not shutil.which("unshare")
        or subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting is not allowed")
    return wrapper


def test_a_read_only_folder_of_weights_and_data_is_used_as_far_as_possible(tmp_path, monkeypatch):
    image = write_photo(tmp_path / "a.png", 24, 32)
    folder = tmp_path / "closed"
    folder.mkdir()
    for file in models.folder().glob("realesr-animevideov3.*"):
        shutil.copy(file, folder)
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(folder))
    monkeypatch.setenv("ENHANCE_DATA", str(folder))
    runs = [["run", str(image), *FAST], ["run", str(write_photo(folder / "b.png", 24, 32)), *FAST]]
    script = (
        "import json; from enhance import Enhancer; from enhance.cli import main\n"
        "print(json.dumps(Enhancer().presets()))\n"
        f"print(main({runs[0]!r}), main({runs[1]!r}))"
    )
    command = [*make_read_only(folder), sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    listed, *_, statuses = ended.stdout.splitlines()
    presets = {preset["name"]: preset for preset in json.loads(listed)}
    assert [name for name, preset in presets.items() if preset["available"]] == ["anime-fast"]
    assert presets["gentle"]["reason"]
    assert statuses == "0 1"
    assert (tmp_path / "a-4x.png").exists()
    assert (
        f"No permission to save the result in {folder}. Use -o to choose another folder."
        in ended.stderr
    )
    assert "Traceback" not in ended.stderr
