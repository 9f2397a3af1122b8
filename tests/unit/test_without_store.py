"""The library without a data folder: it leaves nothing behind that nobody asked for."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from enhance import Enhancer, Settings, enhance
from enhance.cli import main

from ..site import wait_until

FAST = Settings("anime-fast")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """A folder for temporary files, for a program that is started in an empty folder without
    ENHANCE_DATA."""
    folders = tmp_path / "temporary", tmp_path / "here"
    for folder in folders:
        folder.mkdir()
    monkeypatch.delenv("ENHANCE_DATA")
    monkeypatch.setattr("tempfile.tempdir", str(folders[0]))
    monkeypatch.setenv("TMPDIR", str(folders[0]))
    monkeypatch.chdir(folders[1])
    return folders[0]


def test_result_without_an_output_exists_until_the_enhancer_is_closed(temporary, photo, photo_file):
    with Enhancer("cpu") as enhancer:
        assert enhance(photo, FAST, enhancer=enhancer).shape == (
            4 * photo.shape[0],
            4 * photo.shape[1],
            3,
        )
        enhancer.run(photo_file, FAST, output="large.png")
        assert not [path for path in temporary.rglob("*") if path.suffix in (".png", ".raw")]
        result = enhancer.run(photo_file, FAST)
        assert Image.open(result.path).size == (224, 160)
        assert temporary in result.path.parents
        assert enhancer.tasks.folder.stat().st_mode & 0o077 == 0, (
            "other users cannot read the photos"
        )
        assert enhancer.run(photo_file, FAST).info["cached"]
        assert list(enhancer.tasks.network.iterdir()) == []
        assert enhancer.report(result.info["task_id"]).read_bytes().startswith(b"%PDF-")
    assert list(temporary.iterdir()) == []
    assert enhancer.run(photo_file, FAST).path.exists(), "a closed enhancer can be used again"
    del enhancer
    gc.collect()
    assert list(temporary.iterdir()) == []
    assert [path.name for path in Path.cwd().iterdir()] == ["large.png"]


@pytest.mark.parametrize("copy", ["processed/*.png", "image", "*.png"])
def test_copies_of_a_killed_program_are_deleted_by_the_next_one(temporary, photo_file, copy):
    code = f"""
import os
from enhance import Enhancer, Settings
from enhance.jobs.batch import RunningBatch
from enhance.jobs.inputs import find_images
from enhance.cli import main
if {copy!r} == "processed/*.png":
    Enhancer("cpu").run({str(photo_file)!r}, "anime-fast")
elif {copy!r} == "*.png":
    batch = find_images(["file://{photo_file}"], "file://{photo_file}-out")
    settings = Settings("anime-fast")
    RunningBatch(Enhancer("cpu"), settings, batch, on_compute=lambda *_: os._exit(1)).run()
else:
    main(["run", "-", "-o", "out.png"])
os._exit(1)"""
    killed = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdin=subprocess.PIPE
    )
    wait_until(lambda: list(temporary.glob(f"*/{copy}")) or killed.poll() is not None)
    if copy == "image":  # The program waits for the end of its standard input.
        killed.kill()
    killed.communicate()
    assert len(list(temporary.glob(f"*/{copy}"))) == 1
    (foreign := temporary / "enhance-notes").mkdir()

    with Enhancer("cpu") as enhancer:
        enhancer.read(photo_file)
        assert not list(temporary.glob(f"*/{copy}"))
        assert foreign.exists()


@pytest.mark.parametrize("command", ["run", "compare", "analyse"])
def test_commands_that_fail_leave_no_temporary_folder(temporary, tmp_path, command):
    (broken := tmp_path / "broken.png").write_bytes(b"no image")
    output = [] if command == "analyse" else ["-o", str(tmp_path / "out.png")]

    assert main([command, str(broken), "--device", "cpu", *output]) == 1

    assert list(temporary.iterdir()) == []


def test_result_exists_as_long_as_its_object(temporary, photo_file, tmp_path):
    result = Enhancer("cpu").run(photo_file, FAST)
    gc.collect()
    assert result.save(tmp_path / "large.jpg").path.exists()
    assert result.path.exists()
    del result
    gc.collect()
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are text on this system")
def test_a_data_folder_keeps_everything_and_the_bytes_of_a_name_that_is_no_text(
    tmp_path, photo_file
):
    path = photo_file.rename(photo_file.with_name(os.fsdecode(b"a\xff.png")))
    with Enhancer("cpu", data=tmp_path / "data") as enhancer:
        first, again = enhancer.run(path, FAST), enhancer.run(path, FAST)
    assert again.info["cached"]
    assert (
        os.fsencode(again.info["input"]["name"])
        == os.fsencode(first.info["input"]["name"])
        == b"a\xff.png"
    )
    assert first.path.exists()
    assert list((tmp_path / "data" / "network").iterdir())
