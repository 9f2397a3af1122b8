"""The store: complete files, lookup by signature, and deletion by age and size."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psutil
import pytest

from enhance.errors import PictureError, StorageError
from enhance.files import write_atomically
from enhance.images import SourceImage, read_image
from enhance.processes import temporary_path
from enhance.retention import MARKER
from enhance.settings import Settings
from enhance.store import Reservation, TaskStore


def keep(store: TaskStore, file: Path, image: SourceImage) -> Path:
    return store.keep_upload(file, image.name, image.sha256, image.bytes)


@pytest.fixture
def store(tmp_path) -> TaskStore:
    return create_store(tmp_path)


def create_store(tmp_path, **limits) -> TaskStore:
    store = TaskStore(tmp_path / "store", **limits)
    store.prepare()
    return store


def finish(store: TaskStore, signature: str = "a" * 64, content: bytes = b"image") -> str:
    task_id = store.new_id()
    write_atomically(store.result_path(task_id), lambda temporary: temporary.write_bytes(content))
    settings = Settings("anime-fast")
    info: Any = {
        "status": "done",
        "signature": signature,
        "task_id": task_id,
        "input": {"sha256": "c" * 64, "width": 1},
        "output": {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "width": 4},
        "preset": settings.preset,
        "settings": settings.as_dict(),
        "tile": settings.tile,
        "model": {"sha256": "d" * 64},
        "precision": "fp32",
    }
    store.finish(task_id, info)
    return task_id


def set_age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def used_bytes(store: TaskStore) -> int:
    """Return the bytes in the folder. Hard links count as one file."""
    stats = [path.stat() for path in store.folder.rglob("*") if path.is_file() and path.name != MARKER]
    return sum({stat.st_ino: stat.st_size for stat in stats}.values())


def test_the_oldest_files_are_deleted_and_a_file_counts_until_its_last_link(tmp_path):
    store = create_store(tmp_path)
    tasks = [finish(store, content=bytes(1000)) for _ in range(3)]
    for age, task_id in enumerate(reversed(tasks)):
        store.copy_result(task_id, store.result_path(store.new_id()))
        set_age(store.result_path(task_id), 10 * age)
    limit = used_bytes(store) - 1500

    TaskStore(store.folder, max_disk=limit).clean()

    assert used_bytes(store) <= limit
    assert store.result_path(tasks[2]).exists()
    assert not store.result_path(tasks[0]).exists()


def test_a_file_with_a_link_in_use_is_not_deleted(tmp_path):
    store = create_store(tmp_path)
    locked, again, other = finish(store, content=bytes(1000)), store.new_id(), finish(store, content=bytes(1000))
    store.copy_result(locked, store.result_path(again))
    set_age(store.result_path(locked), 60)
    limited = TaskStore(store.folder, max_disk=used_bytes(store) - 500)

    with limited.using(store.result_path(again)):
        limited.clean()

    assert store.result_path(locked).exists()
    assert not store.result_path(other).exists()


def test_a_reservation_beyond_the_limit_deletes_nothing(tmp_path):
    store = create_store(tmp_path)
    task_id = finish(store, content=bytes(1000))
    limited = TaskStore(store.folder, max_disk=used_bytes(store) + 1000)
    with Reservation(limited) as first, Reservation(limited) as second:
        assert first.extend(600)
        assert not second.extend(10_000)
        assert store.result_path(task_id).exists()
        assert second.extend(600)
        assert not store.result_path(task_id).exists()
    assert (limited._reserved, first.bytes, second.bytes) == (0, 600, 600)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "..", ".", "", "a\x00b.png", "x" * 400 + ".png", "照片\n.jpg", "C:\\a.png"],
)
def test_a_name_never_points_outside_the_folder(store, name):
    place = store.upload_path("a" * 64, name)

    assert place.parent == store.uploads / ("a" * 64)
    assert place.resolve().is_relative_to(store.uploads)
    assert len(place.name.encode()) <= 140


def test_a_finished_task_is_found_by_its_signature_unless_its_result_or_info_is_damaged(store):
    task_id = finish(store)
    for same in (store, TaskStore(store.folder)):
        found = same.find("a" * 64)
        assert found
        assert found["task_id"] == task_id
    assert store.find("b" * 64) is None
    for malformed in ("", "../secret", "A" * 32, "0" * 31, "0" * 32 + "\n"):
        assert store.info(malformed) is None

    store.result_path(task_id).write_bytes(b"pic")

    assert store.find("a" * 64) is None
    assert store.info(task_id) is None
    for content in ("", "{", "[]", '{"status": "done"}', "\x00"):
        task_id = finish(store, "b" * 64)
        store.result_path(task_id).with_suffix(".json").write_text(content)
        assert store.info(task_id) is None
        assert store.find("b" * 64) is None


def test_a_result_whose_info_cannot_be_written_is_removed(store, monkeypatch):
    task_id = store.new_id()
    write_atomically(store.result_path(task_id), lambda temporary: temporary.write_bytes(b"image"))
    monkeypatch.setattr("enhance.store.write_atomically", Mock(side_effect=StorageError("full")))

    with pytest.raises(StorageError):
        store.finish(task_id, {})
    assert list(store.processed.iterdir()) == []


def test_expired_files_are_deleted(tmp_path):
    store = create_store(tmp_path, hours=2)
    old, young = finish(store), finish(store)
    set_age(store.result_path(old), 3 * 3600)

    store.clean()

    assert {path.stem for path in store.processed.iterdir()} == {young}


IN_USE_UNTIL_INPUT = """
import sys
from pathlib import Path
from enhance.store import Reservation, TaskStore
store = TaskStore(sys.argv[1])
with store.using(Path(sys.argv[2])):
    print("in use", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_files_in_use_by_another_process_are_not_deleted(tmp_path, photo_file, monkeypatch, killed):
    store, boot = create_store(tmp_path, max_disk=1), psutil.boot_time()
    upload = keep(store, photo_file, read_image(photo_file))
    arguments = [sys.executable, "-c", IN_USE_UNTIL_INPUT, str(store.folder), str(upload)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "in use\n"
        store.clean()
        assert upload.exists()
        if sys.platform == "linux":  # where psutil computes the start of a process from the clock of the system
            with monkeypatch.context() as changed:
                changed.setattr("psutil._pslinux.boot_time", lambda: boot + 3600)
                store.clean()
                assert upload.exists()
        if killed:
            other.kill()
        other.communicate("no longer\n")

    store.clean()

    assert not upload.exists()
    assert not upload.parent.exists()


def test_partial_files_are_deleted_if_their_process_has_ended(store, monkeypatch):
    store.check()
    code = (
        "import sys; from pathlib import Path; from enhance.processes import temporary_path;"
        "temporary_path(Path(sys.argv[1])).write_bytes(b'half')"
    )
    subprocess.run([sys.executable, "-c", code, str(store.processed / "x.png")], check=True)
    mine, foreign = temporary_path(store.processed / "y.png"), store.processed / ".other.part"
    young, old = (store.processed / f".enhance-elsewhere-7-1700000000-{'ab' * 5}{n:02d}.part" for n in (1, 2))
    for path in (mine, foreign, young, old):
        path.write_bytes(b"half")
    set_age(young, 23 * 3600)
    set_age(old, 25 * 3600)  # A file of another computer is deleted after a day.
    assert len(list(store.processed.iterdir())) == 5

    store.clean()

    assert {*store.processed.iterdir()} == {mine, foreign, young}
    monkeypatch.setattr("enhance.processes._start_of", Mock(side_effect=psutil.AccessDenied))
    store.clean()
    assert mine.exists()


def test_a_copied_result_has_a_new_retention_period(tmp_path):
    store = create_store(tmp_path, hours=1)
    first, again = finish(store), store.new_id()
    set_age(store.result_path(first), 59 * 60)

    store.copy_result(first, store.result_path(again))

    assert time.time() - store.result_path(again).stat().st_mtime < 60


def test_an_input_that_changed_after_reading_is_not_stored(store, photo_file):
    image = read_image(photo_file)
    photo_file.write_bytes(b"another image")

    with pytest.raises(PictureError, match="changed while it was read"):
        keep(store, photo_file, image)
    assert [path for path in store.uploads.rglob("*") if path.is_file()] == []


def test_a_data_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="Choose another"):
        TaskStore(tmp_path / "file").check()
