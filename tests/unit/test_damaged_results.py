"""An output folder with damaged files: none stops a batch, and no damaged result is reused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from enhance import Encoding, Settings
from enhance.jobs.batch import RunningBatch
from enhance.jobs.inputs import find_images
from enhance.metadata.provenance import Origin, origin_of
from enhance.processes import remove_leftovers, this_process

from .runs import contents, image

RAW = Settings.from_preset("anime-fast")
FORMATS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "avif": ".avif"}
HOST = this_process().split("-")[0]


@pytest.fixture
def folder(tmp_path):
    """Three photos."""
    for number in range(3):
        image(tmp_path / f"in/{number}.png", number)
    return tmp_path / "in"


def process(enhancer, folder, format="png") -> Any:
    batch = find_images([folder], folder.parent / "out", ending=FORMATS[format])
    return RunningBatch(enhancer, RAW, batch, encoding=Encoding(format)).run().files


@pytest.mark.parametrize("format", FORMATS)
def test_a_truncated_result_of_any_length_is_a_foreign_file(enhancer, folder, format):
    whole = process(enhancer, folder, format)[0].result
    content = whole.read_bytes()
    for length in range(0, len(content), 5):
        whole.write_bytes(content[:length])
        assert origin_of(whole) == Origin(), length

    again = process(enhancer, folder, format)

    assert [item.info["cached"] for item in again] == [False, True, True]
    assert again[0].result == whole.with_stem("0-2")


def test_foreign_files_are_kept_and_all_photos_are_enhanced(enhancer, folder):
    output = folder.parent / "out"
    output.mkdir()
    for name, head in (("0.png", b"\x89PNG\r\n\x1a\n"), ("1.png", b"\xff\xd8\xff\xe9")):
        (output / name).write_bytes(head)
    before = contents(output)
    (output / "2.png").mkdir()
    (output / "nowhere.png").symlink_to("nothing")
    os.mkfifo(output / "pipe.png")

    files = process(enhancer, folder)

    assert [item.result.name for item in files] == ["0-2.png", "1-2.png", "2-2.png"]
    assert before.items() <= contents(output).items()


@pytest.mark.parametrize("process", ["", "--", f"{HOST}-1", f"{HOST}-{10**40}-1", f"{HOST}-١-1"])
def test_a_partial_file_with_a_malformed_process_name_stays(process, tmp_path):
    part = tmp_path / f".enhance-{process}-0123456789ab.part"
    part.touch()
    remove_leftovers(tmp_path)
    assert part.exists()


def damage(path):
    """Change a pixel without changing the size of the file; return its earlier content."""
    content = path.read_bytes()
    changed = bytearray(content)
    changed[content.index(b"IDAT") + 20] ^= 0xFF
    path.write_bytes(changed)
    return content


def test_a_damaged_stored_result_is_replaced_by_an_intact_one_or_computed_again(
    enhancer, fresh_store, folder
):
    def run():
        return enhancer.run(folder / "0.png", RAW)

    first = run().path
    second = run().path
    content = first.read_bytes()
    second.unlink()  # The second one is a link to the first.
    second.write_bytes(content)
    damage(second)
    assert run().path.read_bytes() == content

    damage(first)
    again = run()

    assert not again.info["cached"]
    assert again.path.read_bytes() == content


def test_resuming_a_folder_computes_only_the_damaged_result_again(enhancer, folder):
    damaged = process(enhancer, folder)[1].result
    content = damage(damaged)

    again = process(enhancer, folder)

    assert [item.info["cached"] for item in again] == [True, False, True]
    assert damaged.read_bytes() == content


def test_a_result_is_synced_before_and_after_its_rename(enhancer, fresh_store, folder, monkeypatch):
    steps = []
    sync = os.fsync

    def recorded_sync(number):
        path = Path(f"/proc/self/fd/{number}").readlink()
        steps.append(path.suffix or path.name)
        sync(number)

    def recorded(move):
        def step(source, target):
            steps.append(target.parent.name + target.suffix)
            return move(source, target)

        return step

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(os, "link", recorded(os.link))
    monkeypatch.setattr(Path, "replace", recorded(Path.replace))

    enhancer.run(folder / "0.png", RAW)
    for name in ("processed.png", "processed.json"):
        place = steps.index(name)
        assert steps[place - 1 : place + 2] == [".part", name, "processed"]

    steps.clear()
    enhancer.run(folder / "0.png", RAW, output=folder / "a.jpg")
    assert steps[steps.index("in.jpg") + 1] == "in"
    assert ".part" in steps[: steps.index("in.jpg")]
