"""Lists of recent results: consistent, private, and complete after interruptions."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from enhance import Settings
from enhance.images import inspect
from enhance.processes import this_process
from enhance.store import Entry, TaskStore
from enhance.web.history import MAX_RESULTS, record_run, recorded
from enhance.web.owners import Owner
from enhance.web.session import Session, Upload

from .stored_results import add_result, files_of, set_last_use

KEY, OTHER_KEY = "a1" * 16, "b2" * 16


def owner_with(key: str) -> Owner:
    return Owner(f"key {key}", "an address")


def list_of(key: str) -> str:
    """Return the name of the list of the browser with this key."""
    return owner_with(key).digest


@pytest.fixture
def store(tmp_path) -> TaskStore:
    store = TaskStore(tmp_path / "data")
    store.prepare()
    return store


def begin(store: TaskStore, file: Path, key: str = KEY) -> Entry | None:
    """Record a run that begins for the browser with this key."""
    session, sha256 = Session(file.parent, owner_with(key)), hashlib.sha256(file.read_bytes()).hexdigest()
    upload = Upload(file, sha256, inspect(file), file, (0.5, 0.5), cast(Any, None))
    return record_run(store, session, upload, Settings("gentle"))


def start_entry(store: TaskStore, file: Path, key: str = KEY) -> Entry:
    """Return the entry of a run that has just started, with its input."""
    entry = begin(store, file, key)
    assert entry is not None
    store.keep_upload(file, entry.name, entry.sha256, entry.bytes)
    return entry


def finish_entry(store: TaskStore, file: Path, key: str = KEY) -> Entry:
    """Return the entry of a finished run."""
    entry = start_entry(store, file, key)
    with recorded(store, entry, cast(Any, SimpleNamespace())) as done:
        done(cast(Any, {"task_id": add_result(store, input=entry.sha256)}), "")
    return entries_of(store, entry.whose)[0]


def entries_of(store: TaskStore, whose: str) -> list[Entry]:
    return [entry for run in store.runs(whose) for entry in run]


def test_a_list_is_found_only_by_its_key_which_is_not_stored(store, photo_file):
    entry = start_entry(store, photo_file)

    assert [one.id for one in entries_of(store, list_of(KEY))] == [entry.id]
    for forged in (OTHER_KEY, entry.whose, entry.whose[:32], ""):
        assert entries_of(store, list_of(forged)) == []
    assert all(KEY not in name and KEY.encode() not in content for name, content in files_of(store.folder).items())


def test_two_servers_share_a_list_and_a_killed_one_leaves_an_interrupted_run(store, photo_file):
    own, theirs = start_entry(store, photo_file), start_entry(TaskStore(store.folder), photo_file)
    store.save_entry(interrupted := replace(theirs, process=f"{this_process().split('-')[0]}-999999999-1"))

    store.clean()

    states = {entry.id: store.state_of(entry) for entry in entries_of(store, own.whose)}
    assert states == {own.id: "running", interrupted.id: "interrupted"}
    assert store.input_of(interrupted).read_bytes() == photo_file.read_bytes()


def test_a_full_disk_leaves_no_running_entry(store, photo_file, monkeypatch):
    entry = start_entry(store, photo_file)
    full = sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as changed:
        changed.setattr("enhance.store.tasks.save_entry", Mock(side_effect=full))
        assert begin(store, photo_file) is None
        with recorded(store, entry, cast(Any, SimpleNamespace())) as done:
            done(cast(Any, {"task_id": store.new_id()}), "")

    (listed,) = entries_of(store, entry.whose)
    assert store.state_of(listed) == "interrupted"


@pytest.mark.parametrize(("name", "key"), [("photo.png", OTHER_KEY), ("twin.png", KEY)])
def test_removed_or_expired_entries_leave_only_the_files_that_others_need(store, photo_file, tmp_path, name, key):
    mine, other_file = finish_entry(store, photo_file), tmp_path / name
    other_file.write_bytes(photo_file.read_bytes())
    other = start_entry(store, other_file, key)

    store.remove([mine])

    assert store.input_of(other).exists()
    assert other.id in {one.id for one in entries_of(store, other.whose)}
    store.remove([other])
    assert files_of(store.folder) == {}
    finish_entry(store, photo_file)
    set_last_use(store, 25)
    store.clean()
    assert files_of(store.folder) == {}
    assert entries_of(store, mine.whose) == []


def test_a_task_without_an_entry_keeps_its_input(store, photo_file):
    mine, unlisted = finish_entry(store, photo_file), finish_entry(store, photo_file, OTHER_KEY)
    store.forget([unlisted])

    store.remove([mine])

    assert store.input_of(unlisted).exists()
    assert store.info(unlisted.task_id or "") is not None


def test_a_list_is_limited_and_a_large_batch_counts_as_one_result(store, photo_file, monkeypatch):
    batch, files = os.urandom(16).hex(), {os.urandom(16).hex() for _ in range(50)}
    single = [start_entry(store, photo_file) for _ in range(MAX_RESULTS + 2)]
    for number, file in enumerate(files):
        store.save_entry(replace(single[0], id=file, batch=batch, number=number, began="2999"))

    single.append(start_entry(store, photo_file))

    newest, *others = [{entry.id for entry in run} for run in store.runs(single[0].whose)]
    assert newest == files
    assert len(others) == MAX_RESULTS - 1
    assert set.union(*others) < {entry.id for entry in single}
    monkeypatch.setattr("enhance.web.recent.MAX_FILES", 10)
    start_entry(store, photo_file)
    assert {entry.id for entry in entries_of(store, single[0].whose)} == files
