"""Lists of recent results: consistent, private, and complete after interruptions."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest

from enhance import Settings
from enhance.files import write_atomically
from enhance.images import inspect
from enhance.processes import this_process
from enhance.store import Entry, TaskStore
from enhance.web.history import MAX_RESULTS, record_run, recorded
from enhance.web.session import Session, Upload
from enhance.web.storage import history_name

KEY, OTHER_KEY = "a1" * 16, "b2" * 16


def request(user: str | None = None) -> gr.Request:
    return cast(gr.Request, SimpleNamespace(username=user))


@pytest.fixture
def store(tmp_path) -> TaskStore:
    store = TaskStore(tmp_path / "data")
    store.prepare()
    return store


def upload_of(file: Path, sha256: str) -> Upload:
    return Upload(file, sha256, inspect(file), file, (0.5, 0.5), cast(Any, None))


def start_entry(store: TaskStore, file: Path, key: str = KEY):
    """Return the entry of a run that has just started for the browser with this key."""
    session = Session(file.parent)
    session.history = history_name(request(), key)
    upload = upload_of(file, hashlib.sha256(file.read_bytes()).hexdigest())
    store.keep_upload(file, upload.facts.name, upload.sha256, upload.facts.bytes)
    entry = record_run(store, session, upload, Settings("gentle"))
    assert entry is not None
    return entry


def finish_entry(store: TaskStore, file: Path, key: str = KEY):
    """Return the entry of a finished run and its task id."""
    entry, task_id = start_entry(store, file, key), store.new_id()
    source = {"name": entry.name, "sha256": entry.sha256, "width": 1, "height": 1}
    settings = {name: value for name, value in entry.settings.items() if name not in ("preset", "tile")}
    model: Any = {"preset": "gentle", "tile": 192, "precision": "fp32", "model": {"sha256": "m"}}
    info = model | {"status": "done", "task_id": task_id, "signature": "5" * 64, "input": source}
    info |= {"settings": settings, "output": {"bytes": 3, "width": 4, "height": 4}}
    write_atomically(store.result_path(task_id), lambda place: place.write_bytes(b"png"))
    with recorded(store, entry, cast(Any, SimpleNamespace())) as done:
        store.finish(task_id, info)
        done(info, "")
    return entries_of(store, entry.whose)[0], task_id


def entries_of(store: TaskStore, whose: str) -> list[Entry]:
    return [entry for run in store.runs(whose) for entry in run]


def stored_files(store: TaskStore) -> list[str]:
    return sorted(
        path.parent.name for path in store.folder.rglob("*") if path.is_file() and path.parent != store.folder
    )


def test_a_list_is_found_only_by_its_key_which_is_not_stored(store, photo_file):
    entry = start_entry(store, photo_file)

    assert [one.id for one in entries_of(store, history_name(request(), KEY))] == [entry.id]
    for forged in (OTHER_KEY, entry.whose, entry.whose[:32], "", "*" * 32, "../" + KEY, None, 7, [KEY]):
        assert entries_of(store, history_name(request(), forged)) == []
    assert all(KEY not in path.name + path.read_text() for path in store.lists.iterdir())


def test_a_damaged_entry_and_one_under_the_name_of_another_user_are_ignored(store, photo_file):
    entry = start_entry(store, photo_file)
    theirs = history_name(request(), OTHER_KEY)
    path = entry.path(store).rename(store.lists / f"{theirs}.{entry.id}.json")

    assert entries_of(store, theirs) == entries_of(store, entry.whose) == []
    for content in ("", "{", "[]", '{"whose": 1}', "\0"):
        path.rename(entry.path(store)).write_text(content)
        assert entries_of(store, entry.whose) == []
        entry.path(store).rename(path)


def test_a_user_has_one_list_in_every_browser():
    ada = history_name(request("ada"), KEY)
    others = [history_name(request(user), key) for user, key in (("eve", KEY), (None, KEY), (f"key {KEY}", ""))]
    assert ada == history_name(request("ada"), OTHER_KEY)
    assert ada not in others


def test_two_servers_share_a_list_and_a_killed_one_leaves_an_interrupted_run(store, photo_file):
    own, theirs = start_entry(store, photo_file), start_entry(TaskStore(store.folder), photo_file)
    store.save_entry(interrupted := replace(theirs, process=f"{this_process().split('-')[0]}-999999999-1"))
    (store.lists / f".enhance-{interrupted.process}-{'ab' * 6}.part").write_text('{"whose"')

    store.clean()

    states = {entry.id: entry.current_state(store) for entry in entries_of(store, own.whose)}
    assert states == {own.id: "running", interrupted.id: "interrupted"}
    assert interrupted.input(store).read_bytes() == photo_file.read_bytes()
    assert len(list(store.lists.iterdir())) == 2


@pytest.mark.parametrize("state", ["cut", "away"])
def test_an_interrupted_run_of_an_earlier_version_is_listed(store, photo_file, state):
    entry = start_entry(store, photo_file)
    old = json.loads(entry.path(store).read_text()) | {"state": state, "seen": False, "pattern": "{name}"}
    entry.path(store).write_text(json.dumps(old))

    (listed,) = entries_of(store, entry.whose)

    assert (listed.id, listed.current_state(store)) == (entry.id, "interrupted")


def test_a_full_disk_leaves_no_entry(store, photo_file, monkeypatch):
    entry = start_entry(store, photo_file)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    session = Session(photo_file.parent)
    session.history = entry.whose
    upload = upload_of(photo_file, entry.sha256)
    assert record_run(store, session, upload, Settings("gentle")) is None
    with recorded(store, entry, cast(Any, SimpleNamespace())) as done:
        done(cast(Any, {"task_id": store.new_id()}), "")

    assert list(store.lists.iterdir()) == []


def test_expired_entries_are_deleted_with_all_files(store, photo_file):
    entry, _ = finish_entry(store, photo_file)
    for path in store.folder.rglob("*"):
        if path.name != ".enhance-folder":
            os.utime(path, (0, 0))

    store.clean()

    assert entries_of(store, entry.whose) == []
    assert stored_files(store) == []


@pytest.mark.parametrize(("name", "key"), [("photo.png", OTHER_KEY), ("twin.png", KEY)])
def test_removing_an_entry_deletes_the_files_that_no_other_entry_needs(store, photo_file, tmp_path, name, key):
    mine, _ = finish_entry(store, photo_file)
    other_file = tmp_path / name
    other_file.write_bytes(photo_file.read_bytes())
    other = start_entry(store, other_file, key)

    store.remove([mine])

    assert other.input(store).exists()
    assert other.id in {one.id for one in entries_of(store, other.whose)}
    store.remove([other])
    alone, _ = finish_entry(store, photo_file)
    store.remove([alone])
    assert stored_files(store) == []


def test_a_task_without_an_entry_keeps_its_input(store, photo_file):
    mine, _ = finish_entry(store, photo_file)
    unlisted, task_id = finish_entry(store, photo_file, OTHER_KEY)
    unlisted.path(store).unlink()

    store.remove([mine])

    assert unlisted.input(store).exists()
    assert store.info(task_id) is not None


def batch_of(store: TaskStore, file: Path, files: int) -> list[Entry]:
    """Return the entries of a batch, none of whose files is done."""
    first, batch = start_entry(store, file), os.urandom(16).hex()
    entries = [replace(first, id=os.urandom(16).hex(), batch=batch, number=number) for number in range(files)]
    for entry in entries:
        store.save_entry(entry)
    first.path(store).unlink()
    return entries


def test_a_list_is_limited_and_a_large_batch_counts_as_one_result(store, photo_file, monkeypatch):
    batch = batch_of(store, photo_file, 50)
    for entry in batch:
        store.save_entry(replace(entry, began="2999"))

    single = [start_entry(store, photo_file) for _ in range(MAX_RESULTS + 2)]

    runs = [{entry.id for entry in run} for run in store.runs(batch[0].whose)]
    assert runs[0] == {entry.id for entry in batch}
    assert len(runs) == MAX_RESULTS
    assert set.union(*runs[1:]) < {entry.id for entry in single}
    monkeypatch.setattr("enhance.web.history.MAX_FILES", 10)
    start_entry(store, photo_file)
    assert {entry.id for entry in entries_of(store, batch[0].whose)} == {entry.id for entry in batch}
