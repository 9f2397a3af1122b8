"""Deleting a result deletes everything that was made from it, but nothing that another result
needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from PIL import Image
from skimage import data

from enhance import Enhancer, Result, Settings
from enhance.store import RecentRun

from .stored_results import add_entry, files_of

FAST = Settings("anime-fast")


@pytest.fixture(scope="module")
def engine_of_all(span_weights) -> Enhancer:
    return Enhancer("cpu", "fp32")


@pytest.fixture
def enhancer(engine_of_all, tmp_path) -> Enhancer:
    """An enhancer with an empty store."""
    engine_of_all.tasks = type(engine_of_all.tasks)(tmp_path / "data")
    return engine_of_all


@pytest.fixture
def photo_file(tmp_path) -> Path:
    pixels = cv2.resize(data.astronaut()[:320, :480], (48, 32), interpolation=cv2.INTER_AREA)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def entry_of(
    enhancer: Enhancer, file: Path, settings: Settings, result: Result | None
) -> RecentRun:
    """Add a run to the list of results, which has failed if there is no result."""
    image = enhancer.read(file)
    enhancer.tasks.keep_upload(file, file.name, image.sha256, image.bytes)
    facts = {"name": file.name, "sha256": image.sha256, "settings": settings.as_dict()}
    if result is None:
        return add_entry(enhancer.tasks, state="failed", **facts)
    return add_entry(enhancer.tasks, state="done", task_id=result.info["task_id"], **facts)


def enhanced(enhancer: Enhancer, file: Path, settings: Settings) -> RecentRun:
    return entry_of(enhancer, file, settings, enhancer.run(file, settings))


def stored_files(enhancer: Enhancer) -> set[str]:
    return {*files_of(enhancer.tasks.folder)}


KINDS = {
    "the scale of the network": FAST,
    "a smaller scale": Settings("anime-fast", scale=1.5),
    "beyond the scale of the network": Settings(
        "anime-fast", scale=10, strength=0.7, saturation=1.2
    ),
    "downscaled first": Settings("anime-fast", reduce=2),
    "a long side": Settings("anime-fast", long_side=100),
    "a print": Settings("anime-fast", print_width=1, print_height=1, dpi=150),
    "no tuning": Settings("anime-fast", tuning=False),
    "no network": Settings("resize", long_side=20),
    "auto": Settings(),
    "auto beyond the scale of the network": Settings(scale=8),
    "dehaze": Settings("dehaze"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_stays_of_a_deleted_result(enhancer, photo_file, kind):
    entry = enhanced(enhancer, photo_file, KINDS[kind])
    assert {name.split("/")[0] for name in stored_files(enhancer)} == {
        "uploads",
        "processed",
        "network",
    }

    enhancer.tasks.remove([entry])

    assert stored_files(enhancer) == set()


def test_deleted_runs_leave_no_network_output_even_if_they_failed(
    enhancer, photo_file, monkeypatch
):
    with monkeypatch.context() as broken:
        broken.setattr("enhance.pipeline.write_png", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            enhancer.run(photo_file, FAST)
    failed = entry_of(enhancer, photo_file, FAST, None)
    assert any(name.startswith("network/") for name in stored_files(enhancer))
    Image.open(photo_file).rotate(180).save(other := photo_file.with_name("other.png"))

    enhancer.tasks.remove([failed, *(enhanced(enhancer, other, FAST) for _ in range(2))])

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


UNREADABLE: dict[str, dict[str, Any]] = {
    "an unknown setting": {"settings": {**FAST.as_dict(), "of_another_version": 1}},
    "a setting out of range": {"settings": {**FAST.as_dict(), "sharpen": 99}},
    "no settings": {"settings": None},
    "no input": {"input": {}},
    "no model": {"model": None},
}


@pytest.mark.parametrize("change", UNREADABLE)
def test_a_result_that_cannot_be_read_stops_no_deletion_and_is_computed_again(
    enhancer, photo_file, change
):
    result = enhancer.run(photo_file, FAST)
    path = enhancer.tasks.processed / f"{result.info['task_id']}.json"
    path.write_text(json.dumps({**result.info, **UNREADABLE[change]}))
    kept = {f"processed/{path.stem}.json", f"processed/{path.stem}.png"}

    again = enhancer.run(photo_file, FAST)
    assert not again.info["cached"]
    assert enhancer.tasks.info(path.stem) is None

    enhancer.tasks.remove([entry_of(enhancer, photo_file, FAST, again)])
    assert stored_files(enhancer) == kept
