"""Lists of recent results: consistent, private, and complete after interruptions."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from enhance.processes import this_process
from enhance.store import TaskStore
from enhance.store.recent_runs import MAX_RESULTS, delete_entry
from enhance.web.owners import Owner

from .stored_results import ENDED, add_entry, add_result, files_of, set_last_use

KEY = "a1" * 16
OTHER_KEY = "b2" * 16


def list_of(key):
    """Return the name of the list of the client with this key."""
    return Owner(f"key {key}", "an address").digest


@pytest.fixture
def store(tmp_path):
    store = TaskStore(tmp_path / "data")
    store.prepare()
    return store


def start_entry(store, file, key=KEY):
    """Return the entry of a run that has just started, with its input."""
    content = file.read_bytes()
    entry = add_entry(
        store,
        whose=list_of(key),
        state="running",
        name=file.name,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        process=this_process(),
    )
    store.running = {(entry.whose, entry.id)}
    store.keep_upload(file, entry.name, entry.sha256, entry.bytes)
    return entry


def finish_entry(store, file, key=KEY):
    """Return the entry of a finished run."""
    entry = start_entry(store, file, key)
    done = replace(entry, state="done", task_id=add_result(store, input=entry.sha256))
    store.save_entry(done)
    return done


def entries_of(store, whose):
    return [entry for run in store.runs(whose) for entry in run]


def test_a_list_is_found_only_by_its_key_which_is_not_stored(store, photo_file):
    entry = start_entry(store, photo_file)

    assert [one.id for one in entries_of(store, list_of(KEY))] == [entry.id]
    for forged in (OTHER_KEY, entry.whose, entry.whose[:32], ""):
        assert entries_of(store, list_of(forged)) == []
    for name, content in files_of(store.folder).items():
        assert KEY not in name
        assert KEY.encode() not in content


def test_the_run_of_a_killed_server_is_interrupted(store, photo_file):
    own = start_entry(store, photo_file)
    theirs = replace(start_entry(TaskStore(store.folder), photo_file), process=ENDED)
    store.save_entry(theirs)

    store.clean()

    assert store.state_of(own) == "running"
    assert store.state_of(theirs) == "interrupted"
    assert store.input_of(theirs).read_bytes() == photo_file.read_bytes()


@pytest.mark.parametrize(("name", "key"), [("photo.png", OTHER_KEY), ("twin.png", KEY)])
def test_removed_entries_leave_only_the_files_that_others_need(store, photo_file, name, key):
    mine = finish_entry(store, photo_file)
    other = start_entry(store, photo_file.rename(photo_file.with_name(name)), key)

    store.remove([mine])

    assert store.input_of(other).exists()
    assert other.id in {one.id for one in entries_of(store, other.whose)}
    store.remove([other])
    assert files_of(store.folder) == {}


def test_expired_entries_leave_nothing(store, photo_file):
    entry = finish_entry(store, photo_file)
    set_last_use(store, 25)

    store.clean()

    assert files_of(store.folder) == {}
    assert store.runs(entry.whose) == []


def test_a_task_without_an_entry_keeps_its_input(store, photo_file):
    mine = finish_entry(store, photo_file)
    unlisted = finish_entry(store, photo_file, OTHER_KEY)
    with store.database.transaction() as db:
        delete_entry(db, unlisted)

    store.remove([mine])

    assert store.input_of(unlisted).exists()
    assert store.info(unlisted.task_id or "") is not None


def test_a_list_is_limited_and_a_large_batch_counts_as_one_result(store, photo_file):
    single = {start_entry(store, photo_file).id for _ in range(MAX_RESULTS + 2)}
    whose = list_of(KEY)
    batch = {
        add_entry(store, whose=whose, batch="b", number=number, began="2999").id
        for number in range(50)
    }

    store.remove_oldest(whose)

    newest, *others = store.runs(whose)
    assert {entry.id for entry in newest} == batch
    assert len(others) == MAX_RESULTS - 1
    assert {entry.id for (entry,) in others} < single
