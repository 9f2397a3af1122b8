"""The store: complete files, lookup by signature, and deletion by age and size."""

from __future__ import annotations

import hashlib
import os
import signal

import psutil
import pytest

from enhance.errors import PictureError, StorageError
from enhance.processes import temporary_path
from enhance.store import Reservation, TaskStore

from ..site import wait_until
from .forks import can_fork
from .stored_results import ENDED, add_entry, add_result, files_of, set_age, set_last_use


@pytest.fixture
def store(tmp_path):
    store = TaskStore(tmp_path / "store")
    store.prepare()
    return store


def used_bytes(store):
    """Return the bytes in the folder. Hard links count as one file."""
    stats = [(store.folder / name).stat() for name in files_of(store.folder)]
    return sum({stat.st_ino: stat.st_size for stat in stats}.values())


def test_the_oldest_files_are_deleted_and_a_file_counts_until_its_last_unused_link(store):
    results = [store.result_path(add_result(store, content=bytes(5000))) for _ in range(3)]
    links = [store.result_path(store.new_id()) for _ in results]
    for hours, result, link in zip((3, 2, 1), results, links, strict=True):
        with store.using(link):
            store.copy_result(result.stem, link)
        set_last_use(store, hours, result, link)
    limit = used_bytes(store) - 4000

    with store.using(links[0]):
        TaskStore(store.folder, max_disk=limit).clean()

    assert used_bytes(store) <= limit
    assert [result.exists() for result in results] == [True, False, True]


def test_a_reservation_beyond_the_limit_deletes_nothing(store):
    task_id = add_result(store, content=bytes(1000))
    limited = TaskStore(store.folder, max_disk=used_bytes(store) + 1000)
    with Reservation(limited) as first, Reservation(limited) as second:
        assert first.extend(600)
        assert not second.extend(10_000)
        assert store.result_path(task_id).exists()
        assert second.extend(600)
        assert not store.result_path(task_id).exists()
    with Reservation(limited) as third:
        assert third.extend(1000), "the bytes of the others are free again"


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a\x00b.png", "x" * 400, "C:\\a.png"])
def test_a_name_never_points_outside_the_folder(store, name):
    place = store.upload_path("a" * 64, name)

    assert place.parent == store.uploads / ("a" * 64)
    assert place.resolve().is_relative_to(store.uploads)
    assert len(place.name.encode()) <= 140


def test_a_finished_task_is_found_by_its_signature_unless_its_result_or_info_is_damaged(store):
    task_id = add_result(store)
    for same in (store, TaskStore(store.folder)):
        assert same.find("a" * 64) == store.finished_info(task_id)
    assert store.find("b" * 64) is store.find("a" * 64, dpi=300) is None
    for malformed in ("", "../secret", "A" * 32, task_id + "\n"):
        assert store.info(malformed) is None

    result = store.result_path(task_id)
    content = result.read_bytes()
    info = result.with_suffix(".json").read_text()
    for damaged_info, damaged in (("{", content), ('{"status": "done"}', content), (info, b"pic")):
        result.with_suffix(".json").write_text(damaged_info)
        result.write_bytes(damaged)
        assert store.info(task_id) is store.find("a" * 64) is None


def test_expired_files_are_deleted_and_a_copied_result_has_a_new_retention_period(store):
    old = add_result(store)
    copied = add_result(store)
    set_last_use(store, 25)
    copy = store.result_path(store.new_id())
    with store.using(copy):
        store.copy_result(copied, copy)

    store.clean()

    assert not store.result_path(old).exists()
    assert store.find("a" * 64) == store.finished_info(copied)


def test_a_result_that_is_removed_while_it_is_copied_costs_no_other_result(store):
    removed = add_result(store, content=b"removed")
    other = add_result(store, "b" * 64)
    entry = add_entry(store, task_id=removed)
    copy = temporary_path(store.result_path(store.new_id()))
    page = store.folder / "page"
    page.mkdir()
    for link in (copy, page / "photo.png"):
        os.link(store.result_path(removed), link)
    store.page_files = lambda: [(page / "photo.png", 0)]

    store.remove([entry])

    assert not store.result_path(removed).exists()
    assert copy.read_bytes() == b"removed"
    assert store.find("b" * 64) == store.finished_info(other)


IN_USE = """
import signal, sys
from pathlib import Path
from enhance.store import TaskStore
with TaskStore(sys.argv[1]).using(Path(sys.argv[2])):
    print("in use", flush=True)
    signal.pause()
"""


@can_fork
def test_files_in_use_by_another_process_are_not_deleted(store, forks, monkeypatch):
    result = store.result_path(add_result(store))
    limited = TaskStore(store.folder, max_disk=1)
    other = forks.start(store.folder, result, code=IN_USE)
    wait_until(lambda: other.output.exists() and other.output.read_text())
    limited.clean()
    assert result.exists()
    # On Linux, psutil computes the start of a process from the clock of the system.
    later = psutil.boot_time() + 3600
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: later, raising=False)
    limited.clean()
    assert result.exists()
    monkeypatch.undo()
    other.send_signal(signal.SIGKILL)
    other.wait()

    limited.clean()

    assert files_of(store.folder) == {}


def test_partial_files_are_deleted_if_their_process_has_ended(store):
    folder = store.processed
    ended = folder / f".enhance-{ENDED}-{'ab' * 6}.part"
    mine = temporary_path(folder / "y.png")
    foreign = folder / ".other.part"
    young = folder / f".enhance-elsewhere-7-1700000000-{'ab' * 6}.part"
    old = folder / f".enhance-elsewhere-7-1700000000-{'cd' * 6}.part"
    for path in (ended, mine, foreign, young, old):
        path.write_bytes(b"half")
    set_age(23 * 3600, young)
    set_age(25 * 3600, old)  # A file of another computer is deleted after a day.

    store.clean()

    assert {*folder.iterdir()} == {mine, foreign, young}


def test_an_input_is_stored_completely_or_not_at_all(store, photo_file):
    content = photo_file.read_bytes()
    facts = (hashlib.sha256(content).hexdigest(), len(content))
    store.keep_upload(photo_file, "photo.png", *facts).write_bytes(b"incomplete")
    assert store.keep_upload(photo_file, "photo.png", *facts).read_bytes() == content

    photo_file.write_bytes(b"another image")
    with pytest.raises(PictureError, match="changed while it was read"):
        store.keep_upload(photo_file, "again.png", *facts)
    assert files_of(store.uploads).keys() == {f"{facts[0]}/photo.png"}


def test_a_data_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="Choose another"):
        TaskStore(tmp_path / "file").check()
