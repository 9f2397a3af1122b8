"""An output folder with damaged files: none stops a batch, and no damaged result is reused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from PIL import Image

from enhance import Encoding, Enhancer, Settings
from enhance.jobs.batch import RunningBatch
from enhance.jobs.inputs import find_images
from enhance.metadata.provenance import Origin, origin_of
from enhance.processes import is_process_alive, remove_leftovers, this_process

FORMATS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "avif": ".avif"}
HEADS = (
    b"",
    b"\xff\xd8",
    b"\xff\xd8\xff\xe9",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\0\0\0\0WEBP",
    b"\0\0\0\x18ftypavif",
)
HOST = this_process().split("-")[0]


@pytest.fixture
def folder(photo, tmp_path) -> Path:
    """Three photos."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.fromarray(photo[:8, 8 * number : 8 * number + 8]).save(
            tmp_path / "in" / f"{number}.png"
        )
    return tmp_path / "in"


def process(enhancer: Enhancer, folder: Path, format: str = "png"):
    output = folder.parent / "out"
    batch = find_images([folder], output, ending=FORMATS[format])
    return RunningBatch(
        enhancer, Settings.from_preset("anime-fast"), batch, encoding=Encoding(format)
    ).run()


@pytest.mark.parametrize("format", FORMATS)
def test_a_truncated_result_of_any_length_is_a_foreign_file(enhancer, folder, format):
    whole = process(enhancer, folder, format).files[0].result
    assert whole
    content = whole.read_bytes()
    assert origin_of(whole).signature
    for length in range(0, len(content), 5):
        whole.write_bytes(content[:length])
        assert origin_of(whole) == Origin(), length

    again = process(enhancer, folder, format)

    assert [item.info["cached"] for item in again.files if item.info] == [False, True, True]
    assert again.files[0].result == whole.with_stem("0-2")  # The truncated file counts as foreign.


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_foreign_files_are_kept_and_all_photos_are_enhanced(enhancer, folder, format):
    output, ending = folder.parent / "out", FORMATS[format]
    output.mkdir()
    foreign = {
        output / f"{number}{ending}": head for number, head in enumerate((b"\xff\xd8\xff", *HEADS))
    }
    for path, content in foreign.items():
        path.write_bytes(content)
    (output / f"folder{ending}").mkdir()
    (output / f"nowhere{ending}").symlink_to("nothing")
    os.mkfifo(output / f"pipe{ending}")

    batch = process(enhancer, folder, format)

    assert [item.state for item in batch.files] == ["done"] * 3
    assert {path: path.read_bytes() for path in foreign} == foreign


@pytest.mark.parametrize(
    "process", ["", "-", "--", f"{HOST}-1", f"{HOST}-1-1-1", f"{HOST}-{10**40}-1", f"{HOST}-١-1"]
)
def test_malformed_process_names_are_not_alive(process, tmp_path):
    assert not is_process_alive(process)
    (tmp_path / f".enhance-{process}-0123456789ab.part").touch()
    assert remove_leftovers(tmp_path) == 0


def test_a_killed_process_that_nobody_waits_for_is_not_alive():
    program = (
        "import sys; from enhance.processes import this_process; print(this_process(), "
        "flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=PIPE, stdout=PIPE, text=True
    ) as started:
        assert started.stdout
        process = started.stdout.readline().strip()
        assert is_process_alive(process)

        os.kill(started.pid, signal.SIGKILL)
        os.waitid(
            os.P_PID, started.pid, os.WEXITED | os.WNOWAIT
        )  # It has ended, and stays a zombie.

        assert not is_process_alive(process)


def damage(path: Path) -> bytes:
    """Change a pixel without changing the size of the file; return its earlier content."""
    content = path.read_bytes()
    place = content.index(b"IDAT") + 20
    path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
    return content


def test_a_damaged_stored_result_is_replaced_by_an_intact_one_or_computed_again(
    enhancer, fresh_store, folder
):
    first, second = (enhancer.run(folder / "0.png", "anime-fast").path for _ in range(2))
    content = first.read_bytes()
    second.unlink()  # The second one is a link to the first.
    second.write_bytes(content)
    damage(second)
    assert enhancer.run(folder / "0.png", "anime-fast").path.read_bytes() == content

    damage(first)
    again, third = (enhancer.run(folder / "0.png", "anime-fast") for _ in range(2))

    assert (again.info["cached"], third.info["cached"]) == (False, True)
    assert len(again.path.read_bytes()) == len(third.path.read_bytes()) == len(content)


def test_resuming_a_folder_computes_only_the_damaged_result_again(enhancer, folder):
    first = process(enhancer, folder)
    damaged = first.files[1].result
    assert damaged
    content = damage(damaged)

    again = process(enhancer, folder)

    assert [item.info["cached"] for item in again.files if item.info] == [True, False, True]
    assert damaged.read_bytes() == content
    outputs = (
        [item.info["output"] for item in batch.files if item.info] for batch in (first, again)
    )
    assert next(outputs) == next(outputs)


def test_a_result_is_synced_before_and_after_its_rename(enhancer, fresh_store, folder, monkeypatch):
    steps: list[tuple[str, str]] = []

    def record(owner: Any, name: str, describe: Callable[..., str]) -> None:
        original = getattr(owner, name)

        def recorded(*given: Any) -> Any:
            steps.append((name, describe(*given)))
            return original(*given)

        monkeypatch.setattr(owner, name, recorded)

    record(
        os,
        "fsync",
        lambda number: Path(f"/proc/self/fd/{number}").readlink().name.rpartition(".")[2],
    )
    record(os, "link", lambda _, target: Path(target).name)
    record(Path, "replace", lambda _, target: Path(target).name)

    enhancer.run(folder / "0.png", "anime-fast", output=folder.parent / "out" / "a.jpg")
    at = steps.index(("link", "a.jpg"))
    assert ("fsync", "part") in steps[:at]
    assert steps[at + 1] == ("fsync", "out")

    steps.clear()
    task_id = enhancer.run(folder / "0.png", "anime-fast").info["task_id"]
    for ending in ("png", "json"):
        at = steps.index(("replace", f"{task_id}.{ending}"))
        assert (steps[at - 1], steps[at + 1]) == (("fsync", "part"), ("fsync", "processed"))
