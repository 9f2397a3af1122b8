"""`enhance run` without -o: results next to the photos, which never replace another file."""

from __future__ import annotations

import errno
import json
import signal
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from enhance.cli import main

from ..site import wait_until
from .forks import can_fork

FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32", "--json"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """The folder in which the program is started, without a data folder."""
    monkeypatch.delenv("ENHANCE_DATA")
    (tmp_path / "holiday").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "holiday"


def photo_at(path: Path, shade: int = 0, side: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.add.outer(np.arange(side), np.arange(side))[..., None] + np.array([shade, 2 * shade, 0])
    Image.fromarray((pixels % 256).astype(np.uint8)).save(path)
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def run(capsys, *arguments: Path | str) -> dict[str, bool]:
    """Run the command and return, by the name of each result, whether it existed."""
    capsys.readouterr()
    assert main(["run", *map(str, arguments), *FAST]) == 0
    infos = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(Path(info["input"]["path"]).name == info["input"]["name"] for info in infos if "output" in info)
    return {Path(info["output"]["path"]).name: info["cached"] for info in infos if "output" in info}


def test_results_are_next_to_the_photos_and_found_by_the_next_run(folder, capsys):
    photo_at(folder / "a.jpg")
    photo_at(folder / "2024" / "b.png", 1)
    assert run(capsys, folder) == {"a-4x.png": False, "b-4x.png": False}
    everything = ["2024/b-4x.png", "2024/b.png", "a-4x.png", "a.jpg"]
    assert files(folder) == everything
    times = [path.stat().st_mtime_ns for path in sorted(folder.rglob("*.png"))]
    assert run(capsys, folder) == {"a-4x.png": True, "b-4x.png": True}
    assert run(capsys, ".") == {"a-4x.png": True, "b-4x.png": True}
    assert files(folder) == everything
    assert [path.stat().st_mtime_ns for path in sorted(folder.rglob("*.png"))] == times
    assert files(Path.cwd()) == [f"holiday/{name}" for name in everything]


def test_name_states_the_size_and_the_format(folder, capsys):
    photo = photo_at(folder / "a.jpg")
    assert run(capsys, photo, "--scale", "2", "--format", "webp") == {"a-2x.webp": False}
    assert run(capsys, photo, "--long-side", "20") == {"a-20px.png": False}
    assert main(["run", str(photo), "--json"]) == 0, "Auto, which can downscale the photo first"
    info = json.loads(capsys.readouterr().out)
    assert Path(info["output"]["path"]).name == f"a-{info['output']['width'] // 8}x.png"


def test_only_other_content_adds_a_number(folder, capsys):
    photo = photo_at(folder / "a.jpg")
    foreign = folder / "a-4x.png"
    foreign.write_bytes(b"another file")
    assert run(capsys, photo) == {"a-4x-2.png": False}
    assert run(capsys, photo, "--sharpen", "0.5") == {"a-4x-3.png": False}, "no earlier result is replaced"
    assert run(capsys, photo) == {"a-4x-2.png": True}
    assert run(capsys, photo, "--sharpen", "0.5") == {"a-4x-3.png": True}
    assert foreign.read_bytes() == b"another file"


def test_photos_with_equal_names_get_their_own_results(folder, capsys):
    photo_at(folder / "a.jpg", 1)
    photo_at(folder / "a.png", 2)
    assert run(capsys, folder) == {"a-4x.png": False, "a-4x-2.png": False}
    assert run(capsys, folder) == {"a-4x.png": True, "a-4x-2.png": True}
    assert files(folder) == ["a-4x-2.png", "a-4x.png", "a.jpg", "a.png"]


def test_data_folders_and_results_are_inputs_only_if_they_are_named(folder, capsys):
    photo_at(folder / "a.jpg")
    photo_at(folder / "data" / "processed" / "b.png")
    (folder / "data" / ".enhance-folder").write_text("{}")
    assert run(capsys, folder) == {"a-4x.png": False}
    assert run(capsys, folder / "a-4x.png") == {"a-4x-4x.png": False}
    assert run(capsys, folder / "data" / "processed") == {"b-4x.png": False}
    assert run(capsys, folder) == {"a-4x.png": True}


def test_report_is_next_to_the_result(folder, capsys):
    photo = photo_at(folder / "a.jpg")
    for is_cached in (False, True):
        assert run(capsys, photo, "--report", "--format", "jpeg") == {"a-4x.jpg": is_cached}
        assert files(folder) == ["a-4x.jpg", "a-4x.pdf", "a.jpg"]


def test_folder_that_cannot_be_written_is_reported_with_a_way_out(folder, capsys, monkeypatch):
    photo = photo_at(folder / "a.jpg")
    opened = Path.open

    def open_elsewhere(path: Path, mode: str = "r", *options, **named):
        if path.parent == folder and "x" in mode:
            raise OSError(errno.EROFS, "Read-only file system")
        return opened(path, mode, *options, **named)

    monkeypatch.setattr(Path, "open", open_elsewhere)
    assert main(["run", str(photo), *FAST]) == 1
    assert json.loads(capsys.readouterr().out)["error"].endswith("Use -o to choose another folder.")
    assert files(folder) == ["a.jpg"]


@pytest.mark.parametrize("arguments", [["-"], ["memory://bucket/a.png"], ["a.jpg", "--ray", "local"]])
def test_inputs_without_a_place_for_the_result_require_an_output(folder, capsys, monkeypatch, arguments):
    fsspec.filesystem("memory").pipe_file("/bucket/a.png", photo_at(folder / "a.png").read_bytes())
    assert main(["run", *arguments, *FAST]) == 2
    assert "require an output" in capsys.readouterr().err


@can_fork
def test_killed_run_leaves_no_partial_file_after_the_next_one(folder, capsys, forks):
    photo = photo_at(folder / "a.jpg", side=300)
    killed = forks.start("run", photo, *FAST)
    wait_until(lambda: list(folder.glob(".enhance-*.part")))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not list(folder.glob("a-4x*"))
    assert run(capsys, folder) == {"a-4x.png": False}
    assert files(folder) == ["a-4x.png", "a.jpg"]
