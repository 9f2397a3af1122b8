"""The library without a data folder: it leaves nothing behind that nobody asked for."""

from __future__ import annotations

import gc
import signal
from pathlib import Path

import pytest
from PIL import Image

from enhance import Enhancer, Settings, enhance
from enhance.cli import main

from .forks import can_fork
from .runs import names

FAST = Settings("anime-fast")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files, for a program that is started in an empty folder without
    ENHANCE_DATA."""
    temporary = tmp_path / "temporary"
    here = tmp_path / "here"
    temporary.mkdir()
    here.mkdir()
    monkeypatch.delenv("ENHANCE_DATA")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.chdir(here)
    return temporary


def test_a_run_with_an_output_stores_nothing_else(temporary, photo, photo_file):
    with Enhancer("cpu") as enhancer:
        assert enhance(photo, FAST, enhancer=enhancer).shape == (160, 224, 3)
        enhancer.run(photo_file, FAST, output="large.png")
        assert not [path for path in temporary.rglob("*") if path.suffix in (".png", ".raw")]
    assert names(Path.cwd()) == ["large.png"]


def test_a_result_without_an_output_exists_until_the_enhancer_is_closed(temporary, photo_file):
    with Enhancer("cpu") as enhancer:
        result = enhancer.run(photo_file, FAST)
        assert Image.open(result.path).size == (224, 160)
        assert temporary in result.path.parents
        assert enhancer.tasks.folder.stat().st_mode & 0o077 == 0, "only this user can read it"
        assert enhancer.run(photo_file, FAST).info["cached"]
        assert names(enhancer.tasks.network) == []
    assert list(temporary.iterdir()) == []
    assert enhancer.run(photo_file, FAST).path.exists(), "a closed enhancer can be used again"
    del enhancer
    gc.collect()
    assert list(temporary.iterdir()) == []
    assert names(Path.cwd()) == []


KILLED = """
import os, shutil, signal, sys, tempfile
from enhance import Enhancer, Settings
from enhance.cli import main
from enhance.jobs.batch import RunningBatch
from enhance.jobs.inputs import find_images

tempfile.tempdir, photo = sys.argv[1:]
os.environ.pop("ENHANCE_DATA", None)

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)
"""
STORED = "Enhancer('cpu').run(photo, 'anime-fast'); kill()"
DOWNLOADED = """
batch = find_images([f"file://{photo}"], f"file://{photo}-out")
RunningBatch(Enhancer("cpu"), Settings("anime-fast"), batch, on_compute=kill).run()
"""
READ = "shutil.copyfileobj = kill; main(['run', '-', '-o', 'out.png'])"


@can_fork
@pytest.mark.parametrize(
    ("code", "copy"), [(STORED, "processed/*.png"), (DOWNLOADED, "*.png"), (READ, "image")]
)
def test_copies_of_a_killed_program_are_deleted_by_the_next_one(
    temporary, photo_file, forks, code, copy
):
    assert forks.start(temporary, photo_file, code=KILLED + code).wait() == -signal.SIGKILL
    assert len(list(temporary.glob(f"*/{copy}"))) == 1
    foreign = temporary / "enhance-notes"
    foreign.mkdir()

    with Enhancer("cpu") as enhancer:
        enhancer.read(photo_file)
        assert not list(temporary.glob(f"*/{copy}"))
        assert foreign.exists()


@pytest.mark.parametrize("command", ["run", "compare"])
def test_commands_that_fail_leave_no_temporary_folder(temporary, tmp_path, command):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")

    assert main([command, str(broken), "--device", "cpu", "-o", str(tmp_path / "out.png")]) == 1

    assert list(temporary.iterdir()) == []


def test_result_exists_as_long_as_its_object(temporary, photo_file, tmp_path):
    result = Enhancer("cpu").run(photo_file, FAST)
    gc.collect()
    assert result.save(tmp_path / "large.jpg").path.exists()
    assert result.path.exists()
    del result
    gc.collect()
    assert list(temporary.iterdir()) == []
