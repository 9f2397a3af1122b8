"""The database of a data folder: killed processes, damage, several processes, and folders of
earlier versions."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import zipfile
from contextlib import closing, suppress
from pathlib import Path

import pytest

from enhance.config import Config
from enhance.errors import StorageError
from enhance.formats.encoding import Encoding
from enhance.info import network_key_of
from enhance.jobs.scheduler import Scheduler
from enhance.jobs.threads import JobThreads
from enhance.store import TaskStore
from enhance.web.storage import page_folder

from .forks import can_fork
from .stored_results import add_entry, add_result, files_of, set_last_use

MINE = "a" * 64
THEIRS = "b" * 64
FOREIGN = f"processed/{'ab' * 16}.png"


def databases(folder):
    return sorted(folder.glob("enhance-*.sqlite"))


def add_run(store, whose, photo, signature):
    """Store everything that a run of a user's photo makes, and return its task id."""
    sha256 = hashlib.sha256(photo).hexdigest()
    source = store.folder.with_name(f"photo {whose}")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(photo)
    store.keep_upload(source, "photo.png", sha256, len(photo))
    content = photo + signature.encode()
    task_id = add_result(store, signature, content=content, input=sha256)
    made = (
        store.report_path(task_id, "en", Encoding()),
        store.encoded_path(hashlib.sha256(content).hexdigest(), Encoding("jpeg")),
        store.network_path(sha256, network_key_of(store.finished_info(task_id))),
    )
    with store.using(*made):
        for path in made:
            path.write_bytes(b"made")
    add_entry(store, whose=whose, sha256=sha256, task_id=task_id)
    return task_id


def remove_runs(store):
    """Remove the runs of both users."""
    store.remove([entry for whose in (MINE, THEIRS) for run in store.runs(whose) for entry in run])


def remove_all(store):
    """Remove the runs, and everything else that the program has stored and does not use."""
    remove_runs(store)
    set_last_use(store, 25)
    store.clean()


def damage(database, kind="zero", place=0):
    """Cut a database at a place or zero a page there, without the log that could repair it."""
    sqlite3.connect(database).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if kind == "cut":
        os.truncate(database, place)
    else:
        with database.open("r+b") as file:
            file.seek(place)
            file.write(bytes(4096))


KILLED = """
import os, signal, sqlite3, sys
from enhance.store import TaskStore
from tests.unit.test_database import MINE, add_run

steps = int(sys.argv[2])

def killing(function):
    def step(*given, **named):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)
    return step

class Connection(sqlite3.Connection):
    execute = killing(sqlite3.Connection.execute)
    executescript = killing(sqlite3.Connection.executescript)

connect = sqlite3.connect
sqlite3.connect = lambda *given, **named: connect(*given, factory=Connection, **named)
for name in ("unlink", "replace", "link", "rmdir"):
    setattr(os, name, killing(getattr(os, name)))
store = TaskStore(sys.argv[1])
add_run(store, MINE, b"photo", "2" * 64)
store.remove(store.runs(MINE)[0])
store.clean()
"""


@can_fork
@pytest.mark.parametrize("is_damaged", [False, True])
@pytest.mark.parametrize("stride", [6, pytest.param(1, marks=pytest.mark.long)])
def test_a_process_that_is_killed_at_any_statement_loses_no_file_and_leaves_none(
    forks, tmp_path, is_damaged, stride
):
    start = tmp_path / "start" / "data"
    with closing(TaskStore(start)) as store:
        add_run(store, THEIRS, b"photo", "1" * 64)
    (start / FOREIGN).write_bytes(b"foreign")
    kept = files_of(start)
    if is_damaged:
        damage(databases(start)[0])
    status = -9
    step = -stride
    while status:
        step += stride
        folder = tmp_path / str(step) / "data"
        shutil.copytree(start, folder)

        modules = ("tests.unit.test_database",)
        status = forks.start(folder, str(step), code=KILLED, modules=modules).wait()

        assert status in (0, -9), step
        store = TaskStore(folder)
        assert store.find("1" * 64), step
        for run in store.runs(MINE):
            store.remove(run)
        assert kept.items() <= files_of(folder).items(), step
        remove_all(store)
        assert files_of(folder) == {FOREIGN: b"foreign"}, step
        store.close()
    assert step > 50


@pytest.mark.parametrize(
    ("kind", "place"),
    [("cut", 0), ("cut", 20_000), *(("zero", 4096 * page) for page in range(12))],
)
@pytest.mark.parametrize("is_open", [False, True])
def test_a_damaged_database_costs_no_file(tmp_path, kind, place, is_open):
    store = TaskStore(tmp_path / "data")
    for number in "0123":
        add_run(store, MINE, f"photo{number}".encode(), number * 64)
    (store.folder / FOREIGN).write_bytes(b"foreign")
    before = files_of(store.folder)
    if not is_open:
        store.close()
    damage(databases(store.folder)[0], kind, place)

    if is_open:
        with suppress(StorageError):  # for the run in which the damage is found
            add_run(store, THEIRS, b"new", "5" * 64)
    add_run(store, THEIRS, b"new", "6" * 64)
    store.clean()

    assert all(store.find(number * 64) for number in "01236")
    assert before.items() <= files_of(store.folder).items()
    remove_all(store)
    assert files_of(store.folder) == {FOREIGN: b"foreign"}


def test_files_of_a_damaged_database_are_not_deleted_while_other_processes_can_use_them(tmp_path):
    store = TaskStore(tmp_path / "data")
    other = TaskStore(tmp_path / "data", max_disk=1)
    add_run(store, MINE, b"photo", "1" * 64)
    before = files_of(store.folder)
    new = store.result_path("f" * 32)
    with store.using(new):
        damage(databases(store.folder)[0])
        other.clean()
        assert files_of(store.folder) == before
        new.write_bytes(b"new")

    set_last_use(store, 25)
    other.clean()

    assert files_of(store.folder) == {}
    assert len(databases(store.folder)) == 1


def test_a_full_disk_is_an_error_that_loses_nothing(tmp_path, monkeypatch):
    store = TaskStore(tmp_path / "data")
    add_run(store, MINE, b"photo", "1" * 64)
    before = files_of(store.folder)
    connect = sqlite3.connect

    def connect_to_full_disk(*given, **named):
        connection = connect(*given, **named)
        connection.execute("PRAGMA max_page_count = 1")  # no more than now
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_to_full_disk)
    limited = TaskStore(store.folder)
    with pytest.raises(StorageError) as raised:
        add_entry(limited, thumbnail="thumbnail" * 100_000)
    assert raised.value.key == "disk_full"
    assert files_of(store.folder) == before
    remove_runs(limited)
    assert files_of(store.folder) == {}, "files can be deleted on a full disk"


def test_a_file_system_without_locks_is_rejected(tmp_path, monkeypatch):
    connect = sqlite3.connect

    def connect_without_locks(path, **named):
        return connect(f"file:{path}?vfs=unix-none", uri=True, **named)

    monkeypatch.setattr(sqlite3, "connect", connect_without_locks)

    with pytest.raises(StorageError, match="does not support file locks"):
        TaskStore(tmp_path / "data").check()


def test_a_database_of_a_newer_version_is_not_changed(tmp_path):
    TaskStore(tmp_path / "data").check()
    (database,) = databases(tmp_path / "data")
    with sqlite3.connect(database) as newer:
        newer.execute("PRAGMA user_version = 1000")

    with pytest.raises(StorageError, match="newer version"):
        TaskStore(tmp_path / "data").check()
    assert databases(tmp_path / "data") == [database]


TWO_SERVERS = """
import sys
from enhance.store import TaskStore
from tests.unit.test_database import add_run
store = TaskStore(sys.argv[1], max_disk=10_000_000)
for number in range(20):
    add_run(store, sys.argv[2], b"photo" + sys.argv[2].encode(), f"{sys.argv[2][0]}{number:063d}")
    store.clean()
    runs = store.runs(sys.argv[2])
    assert all(store.state_of(run[0]) == "done" for run in runs)
    if len(runs) == 3:
        store.remove(runs[-1])
"""


@can_fork
def test_two_servers_share_a_folder(forks, tmp_path):
    folder = tmp_path / "data"
    modules = ("tests.unit.test_database",)
    servers = [
        forks.start(folder, whose, code=TWO_SERVERS, modules=modules) for whose in (MINE, THEIRS)
    ]
    assert [server.wait() for server in servers] == [0, 0]

    assert len(databases(folder)) == 1
    store = TaskStore(folder)
    assert len(store.runs(MINE)) == len(store.runs(THEIRS)) == 2
    remove_runs(store)
    assert files_of(folder) == {}


def test_a_folder_of_an_earlier_version_is_used_again(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    with zipfile.ZipFile(Path(__file__).with_name("earlier_data_folder.zip")) as archive:
        archive.extractall(tmp_path)
    store = TaskStore(tmp_path / "data")
    before = files_of(store.folder)
    foreign = {
        name: content
        for name, content in before.items()
        if content == b"foreign" or name.startswith("page/")
    }
    assert len(foreign) == 7

    page_folder(Config(), store, JobThreads(Scheduler()))

    assert files_of(store.folder) == before
    runs = {entry.name: entry for (entry,) in store.runs(MINE)}
    states = {name: store.state_of(entry) for name, entry in runs.items()}
    assert states == {"failed.png": "failed", "photo0.png": "done", "photo1.png": "done"}
    first = runs["photo0.png"]

    store.remove([first])

    left = files_of(store.folder)
    folders = {name.split("/")[0] for name in before.keys() - left.keys()}
    assert folders == {"uploads", "processed", "network", "encoded", "lists"}
    remove_all(store)
    assert files_of(store.folder) == foreign
