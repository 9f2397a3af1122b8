"""Deleting a result deletes everything that was made from it, but nothing that another result
needs."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
from PIL import Image

from enhance import Settings

from .stored_results import add_entry, files_of

pytestmark = pytest.mark.usefixtures("span_weights", "fresh_store")
FAST = Settings("anime-fast")


@pytest.fixture
def photo_file(photo, tmp_path):
    Image.fromarray(photo[:16, :24]).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def entry_of(enhancer, file, settings, **facts):
    """Add a run to the list of results, which has failed without further facts."""
    image = enhancer.read(file)
    enhancer.tasks.keep_upload(file, file.name, image.sha256, image.bytes)
    facts = {"state": "failed", "settings": settings.as_dict(), **facts}
    return add_entry(enhancer.tasks, name=file.name, sha256=image.sha256, **facts)


def enhanced(enhancer, file, settings):
    task_id = enhancer.run(file, settings).info["task_id"]
    return entry_of(enhancer, file, settings, state="done", task_id=task_id)


def stored_files(enhancer):
    return {*files_of(enhancer.tasks.folder)}


KINDS = {
    "the scale of the network": FAST,
    "beyond the scale of the network": FAST.changed(scale=10, strength=0.7, saturation=1.2),
    "downscaled first": FAST.changed(reduce=2),
    "no network": Settings("resize", long_side=20),
    "auto beyond the scale of the network": Settings(scale=8),
    "dehaze": Settings("dehaze"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_stays_of_a_deleted_result(enhancer, photo_file, kind):
    entry = enhanced(enhancer, photo_file, KINDS[kind])
    folders = {name.split("/")[0] for name in stored_files(enhancer)}
    assert folders == {"uploads", "processed", "network"}

    enhancer.tasks.remove([entry])

    assert stored_files(enhancer) == set()


def test_a_deleted_run_that_failed_leaves_no_network_output(enhancer, photo_file, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr("enhance.pipeline.write_png", Mock(side_effect=ZeroDivisionError))
        with pytest.raises(ZeroDivisionError):
            enhancer.run(photo_file, FAST)
    failed = entry_of(enhancer, photo_file, FAST)
    assert any(name.startswith("network/") for name in stored_files(enhancer))

    enhancer.tasks.remove([failed])

    assert stored_files(enhancer) == set()


@pytest.mark.parametrize(
    ("kind", "size"), [("the scale of the network", 2), ("beyond the scale of the network", 12)]
)
def test_another_result_of_the_photo_keeps_its_files(enhancer, photo_file, kind, size, monkeypatch):
    other = enhanced(enhancer, photo_file, KINDS[kind])
    kept = stored_files(enhancer)
    same = enhanced(enhancer, photo_file, KINDS[kind])
    different = enhanced(enhancer, photo_file, KINDS["downscaled first"])

    enhancer.tasks.remove([same, different])

    assert stored_files(enhancer) == kept
    monkeypatch.setattr(enhancer.engine, "stream", None)
    resized = enhanced(enhancer, photo_file, KINDS[kind].changed(scale=size))
    enhancer.tasks.remove([other, resized])
    assert stored_files(enhancer) == set()


UNREADABLE = {
    "an unknown setting": {"settings": {**FAST.as_dict(), "of_another_version": 1}},
    "no settings": {"settings": None},
    "no model": {"model": None},
}


@pytest.mark.parametrize("change", UNREADABLE)
def test_a_result_that_cannot_be_read_stops_no_deletion_and_is_computed_again(
    enhancer, photo_file, change
):
    result = enhancer.run(photo_file, FAST)
    unreadable = result.path.with_suffix(".json")
    unreadable.write_text(json.dumps({**result.info, **UNREADABLE[change]}))

    again = enhanced(enhancer, photo_file, FAST)
    assert again.task_id != unreadable.stem
    assert enhancer.tasks.info(unreadable.stem) is None

    enhancer.tasks.remove([again])
    assert {Path(name).stem for name in stored_files(enhancer)} == {unreadable.stem}
