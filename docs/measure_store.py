"""Times of a data folder with many results: `python -m docs.measure_store [COUNT]`.

It prints the start with an intact and with a missing database, the search for a result, and a
clean-up.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from enhance.store import TaskStore
from tests.unit.stored_results import add_entry, add_result

USER = "a" * 64


def fill(store: TaskStore, count: int) -> None:
    """Store as many results, each with an entry in the recent results of one user."""
    store.prepare()
    for number in range(count):
        name = f"{number:064x}"
        task_id = add_result(store, signature=name, content=name.encode(), input=name)
        facts = {"name": "photo.png", "sha256": name, "settings": {}, "thumbnail": "x" * 3000}
        add_entry(store, whose=USER, state="done", task_id=task_id, **facts)


def measure(name: str, work: Callable[[], object]) -> None:
    started = time.perf_counter()
    work()
    sys.stdout.write(f"{name}: {1000 * (time.perf_counter() - started):.1f} ms\n")


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = TaskStore(Path(folder))
        fill(store, count)
        store.close()
        measure("start", store.check)
        measure("search by signature", lambda: store.find(f"{count // 2:064x}"))
        measure("clean-up", store.clean)
        measure("recent results of one user", lambda: store.runs(USER))
        store.close()
        for database in Path(folder).glob("enhance-*.sqlite*"):
            database.unlink()
        measure("start without the database", store.check)
        store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
