"""Commands that are stopped, or whose folders are read-only."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from enhance import models

from ..site import wait_until
from ..unit.forks import can_fork
from .programs import ROOT, write_photo

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32"]


@can_fork
def test_a_stopped_batch_keeps_finished_files_and_resumes(forks, tmp_path):
    quick = write_photo(tmp_path / "a.png", 24, 32)
    slow = write_photo(tmp_path / "b.png", 400, 360, 3)
    out = tmp_path / "out"
    times = []
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        batch = forks.start("run", quick, slow, "-o", out, *FAST)
        # The other file has begun.
        wait_until(lambda: (out / "a.png").exists() and len(list(out.iterdir())) == 2)
        batch.send_signal(number)
        assert batch.wait() == expected
        assert "Traceback" not in batch.errors.read_text()
        assert [path.name for path in out.iterdir()] == ["a.png"], "the other one was not finished"
        times.append((out / "a.png").stat().st_mtime_ns)
    assert times[0] == times[1], "the finished file is not written again"


def make_read_only(folder):
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
    inside = write_photo(folder / "b.png", 24, 32)
    script = (
        "from enhance.cli import main\n"
        f"print(main({['run', str(image), *FAST]}), main({['run', str(inside), *FAST]}))"
    )
    command = [*make_read_only(folder), sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.stdout.splitlines()[-1] == "0 1"
    assert (tmp_path / "a-4x.png").exists()
    assert f"No permission to save b-4x.png in {folder}. Choose another folder" in ended.stderr
    assert "Traceback" not in ended.stderr
