"""Threads delete old images and files."""

import time

from enhance.jobs.scheduler import Scheduler
from enhance.jobs.threads import JobThreads, call_regularly
from enhance.store import TaskStore
from enhance.web.storage import PageFolder

from ..site import wait_until
from ..unit.stored_results import set_age


def test_old_files_of_the_page_are_deleted_unless_they_are_used(tmp_path):
    tasks = TaskStore(tmp_path / "data", hours=1)
    folder = PageFolder(tmp_path / "page", tasks, JobThreads(Scheduler()))
    tasks.page_files = folder.files
    old, used, new = (folder.new_path("photo.png") for _ in range(3))
    temporary = folder.root / "tmpabcd1234"
    for path in (old, used, new, temporary):
        path.touch()
    set_age(2 * 3600, old, old.parent, used, used.parent, temporary)
    folder.note_use(used)

    tasks.clean()

    assert [path.exists() for path in (old, used, new, temporary)] == [False, True, True, False]
    assert not old.parent.exists()


def test_a_failing_function_does_not_stop_the_others():
    done = []

    def fail():
        if not done:
            raise OSError("no disk")

    call_regularly(0.05, fail, lambda: done.append(time.monotonic()))
    wait_until(lambda: len(done) > 2)
