"""The store: whole files or none, found again by signature, cleaned by age and size."""

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import psutil
import pytest

from enhance.errors import PictureError, StorageError
from enhance.files import write_atomically
from enhance.images import read_picture
from enhance.processes import temporary_path
from enhance.retention import MARKER
from enhance.store import Reservation, TaskStore


@pytest.fixture
def store(tmp_path) -> TaskStore:
    return made(tmp_path)


def made(tmp_path, **limits) -> TaskStore:
    store = TaskStore(tmp_path / "store", **limits)
    store.prepare()
    return store


def finish(store: TaskStore, signature: str = "a" * 64, content: bytes = b"picture") -> str:
    task_id = store.new_id()
    write_atomically(store.result_path(task_id), lambda temporary: temporary.write_bytes(content))
    output = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    info: Any = {"status": "done", "signature": signature, "task_id": task_id, "output": output}
    store.finish(task_id, info)
    return task_id


def taken(store: TaskStore) -> int:
    """The bytes in the folder; hard links are one file."""
    stats = [path.stat() for path in store.folder.rglob("*") if path.is_file() and path.name != MARKER]
    return sum({stat.st_ino: stat.st_size for stat in stats}.values())


def test_a_file_counts_once_and_is_free_with_its_last_link(tmp_path):
    store = made(tmp_path)
    tasks = [finish(store, content=bytes(1000)) for _ in range(3)]
    for age, task_id in enumerate(reversed(tasks)):
        again = store.new_id()
        store.copy_result(task_id, store.result_path(again))
        ago = time.time() - 10 * age
        os.utime(store.result_path(task_id), (ago, ago))
    limit = taken(store) - 1500

    TaskStore(store.folder, max_disk=limit).clean()

    assert taken(store) <= limit
    assert store.result_path(tasks[2]).exists()
    assert not store.result_path(tasks[0]).exists()


def test_a_file_with_a_link_that_is_in_use_stays_since_nothing_would_be_free(tmp_path):
    store = made(tmp_path)
    held, again, other = finish(store, content=bytes(1000)), store.new_id(), finish(store, content=bytes(1000))
    store.copy_result(held, store.result_path(again))
    ago = time.time() - 60
    os.utime(store.result_path(held), (ago, ago))
    limited = TaskStore(store.folder, max_disk=taken(store) - 500)

    with limited.using(store.result_path(again)):
        limited.clean()

    assert store.result_path(held).exists()
    assert not store.result_path(other).exists()


def test_space_is_reserved_within_the_limit_and_nothing_is_removed_for_what_cannot_fit(tmp_path):
    store = made(tmp_path)
    task_id = finish(store, content=bytes(1000))
    limited = TaskStore(store.folder, max_disk=taken(store) + 1000)
    with Reservation(limited) as first, Reservation(limited) as second:
        assert first.extend(600)
        assert not second.extend(10_000)
        assert store.result_path(task_id).exists()
        assert second.extend(600)
        assert not store.result_path(task_id).exists()
    assert (limited._reserved, first.bytes, second.bytes) == (0, 600, 600)


def test_an_upload_is_kept_byte_for_byte_under_its_checksum(store, photo_file):
    picture = read_picture(photo_file)

    place = store.keep_upload(photo_file, picture)

    assert place == store.uploads / picture.sha256 / "photo.png"
    assert place.read_bytes() == photo_file.read_bytes()


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "..", ".", "", "a\x00b.png", "x" * 400 + ".png", "照片\n.jpg", "C:\\a.png"],
)
def test_a_name_from_a_person_never_leads_elsewhere(store, photo_file, name):
    picture = replace(read_picture(photo_file), name=name)

    place = store.keep_upload(photo_file, picture)

    assert place.parent == store.uploads / picture.sha256
    assert place.resolve().is_relative_to(store.uploads)
    assert len(place.name.encode()) <= 140


def test_ids_are_random_and_long(store):
    ids = {store.new_id() for _ in range(100)}

    assert len(ids) == 100
    assert all(len(task_id) == 32 for task_id in ids)


def test_a_finished_task_is_found_by_its_signature_also_after_a_restart(store):
    task_id = finish(store)

    for same in (store, TaskStore(store.folder)):
        found = same.find("a" * 64)
        assert found
        assert found["task_id"] == task_id
    assert store.find("b" * 64) is None


def test_a_result_whose_picture_is_gone_or_cut_off_is_not_found(store):
    task_id = finish(store)
    store.find("a" * 64)

    store.result_path(task_id).write_bytes(b"pic")
    assert store.find("a" * 64) is None
    assert store.info(task_id) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"status": "done"}', "\x00"])
def test_a_broken_info_file_counts_as_none(store, content):
    task_id = finish(store)
    store.result_path(task_id).with_suffix(".json").write_text(content)

    assert store.info(task_id) is None
    assert store.find("a" * 64) is None
    assert finish(store, "b" * 64)


@pytest.mark.parametrize("task_id", ["", "../secret", "A" * 32, "0" * 31, "0" * 32 + "\n"])
def test_what_is_no_task_id_finds_nothing(store, task_id):
    assert store.info(task_id) is None


def test_a_result_without_room_for_its_facts_is_removed(store, monkeypatch):
    def full(*_, **__):
        raise StorageError("full")

    task_id = store.new_id()
    write_atomically(store.result_path(task_id), lambda temporary: temporary.write_bytes(b"picture"))
    monkeypatch.setattr("enhance.store.write_atomically", full)

    with pytest.raises(StorageError):
        store.finish(task_id, {})
    assert list(store.processed.iterdir()) == []


def test_old_files_go_and_young_ones_stay(tmp_path):
    store = made(tmp_path, hours=2)
    old, young = finish(store), finish(store)
    ago = time.time() - 3 * 3600
    os.utime(store.result_path(old), (ago, ago))

    store.clean()

    assert {path.stem for path in store.processed.iterdir()} == {young}


def test_what_is_too_much_goes_oldest_first(tmp_path):
    store = made(tmp_path)
    tasks = [finish(store, content=b"0123456789") for _ in range(3)]
    for age, task_id in enumerate(reversed(tasks)):
        ago = time.time() - 10 * age
        os.utime(store.result_path(task_id), (ago, ago))

    made(tmp_path, max_disk=taken(store) - 15).clean()

    assert {path.stem for path in store.processed.glob("*.png")} == set(tasks[1:])


def test_a_finished_task_makes_room_for_itself(tmp_path):
    first = finish(made(tmp_path), content=b"0123456789")
    store = made(tmp_path, max_disk=15 + taken(made(tmp_path)) - 10)
    ago = time.time() - 60
    os.utime(store.result_path(first), (ago, ago))

    second = finish(store, content=b"0123456789")

    assert {path.stem for path in store.processed.iterdir()} == {second}


def test_a_running_tasks_files_stay_whatever_their_age(tmp_path, photo_file):
    store = made(tmp_path, max_disk=1)
    upload = store.keep_upload(photo_file, read_picture(photo_file))

    with store.using(upload):
        store.clean()
        assert upload.exists()
    store.clean()
    assert not upload.exists()
    assert not upload.parent.exists()


IN_USE_UNTIL_TOLD = """
import sys
from pathlib import Path
from enhance.store import Reservation, TaskStore
store = TaskStore(sys.argv[1])
with store.using(Path(sys.argv[2])):
    print("in use", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_what_another_process_on_the_same_folder_uses_stays_as_long_as_it_lives(tmp_path, photo_file, killed):
    store = made(tmp_path, max_disk=1)
    upload = store.keep_upload(photo_file, read_picture(photo_file))
    arguments = [sys.executable, "-c", IN_USE_UNTIL_TOLD, str(store.folder), str(upload)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "in use\n"
        store.clean()
        assert upload.exists()
        if killed:
            other.kill()
        other.communicate("no longer\n")

    store.clean()

    assert not upload.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems store the start time of a process")
def test_setting_the_clock_makes_no_living_process_count_as_dead(tmp_path, photo_file, monkeypatch):
    """psutil adds the time of the boot by the system clock to the ticks since then."""
    store, boot = made(tmp_path, max_disk=1), psutil.boot_time()
    mine = temporary_path(store.processed / "x.png")
    mine.write_bytes(b"half")
    upload = store.keep_upload(photo_file, read_picture(photo_file))
    arguments = [sys.executable, "-c", IN_USE_UNTIL_TOLD, str(store.folder), str(upload)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "in use\n"
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 3600)
        store.clean()
        assert upload.exists()
        assert mine.exists()
        other.communicate("no longer\n")


def test_leftovers_of_a_killed_process_are_swept_and_those_of_a_living_one_stay(store):
    store.check()
    code = (
        "import sys; from pathlib import Path; from enhance.processes import temporary_path;"
        "temporary_path(Path(sys.argv[1])).write_bytes(b'half')"
    )
    subprocess.run([sys.executable, "-c", code, str(store.processed / "x.png")], check=True)
    mine = temporary_path(store.processed / "y.png")
    mine.write_bytes(b"half")
    (store.processed / ".other.part").write_bytes(b"not ours")
    assert len(list(store.processed.iterdir())) == 3

    store.clean()

    assert {path.name for path in store.processed.iterdir()} == {mine.name, ".other.part"}


def test_a_leftover_of_another_machine_is_swept_when_it_is_a_day_old(store):
    young, old = (store.processed / f".enhance-elsewhere-7-1700000000-{'ab' * 5}{n:02d}.part" for n in (1, 2))
    for path, hours in ((young, 23), (old, 25)):
        path.write_bytes(b"half")
        ago = time.time() - hours * 3600
        os.utime(path, (ago, ago))

    store.clean()

    assert (young.exists(), old.exists()) == (True, False)


def test_a_leftover_that_cannot_be_removed_fails_nothing(store, monkeypatch):
    leftover = store.processed / f".enhance-elsewhere-7-1700000000-{'ab' * 6}.part"
    leftover.write_bytes(b"half")
    os.utime(leftover, (0, 0))

    def held(path, **_):
        raise PermissionError("another program has it open")

    monkeypatch.setattr("pathlib.Path.unlink", held)
    store.clean()
    assert leftover.exists()


def test_a_part_of_somebody_elses_living_process_stays(store, monkeypatch):
    part = temporary_path(store.processed / "x.png")
    part.write_bytes(b"half")

    def denied(*_):
        raise psutil.AccessDenied

    monkeypatch.setattr("enhance.processes._start_of", denied)
    store.clean()
    assert part.exists()


def test_a_result_that_is_given_once_more_is_kept_as_long_as_a_new_one(tmp_path):
    store = made(tmp_path, hours=1)
    first, again = finish(store), store.new_id()
    ago = time.time() - 59 * 60
    os.utime(store.result_path(first), (ago, ago))

    store.copy_result(first, store.result_path(again))

    assert time.time() - store.result_path(again).stat().st_mtime < 60


def test_an_input_that_is_changed_after_it_was_read_is_not_kept_under_its_checksum(store, photo_file):
    picture = read_picture(photo_file)
    photo_file.write_bytes(b"another picture")

    with pytest.raises(PictureError, match="changed while it was read"):
        store.keep_upload(photo_file, picture)
    assert [path for path in store.uploads.rglob("*") if path.is_file()] == []


def test_a_data_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="Choose another"):
        TaskStore(tmp_path / "file").check()
