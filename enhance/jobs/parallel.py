"""The loop over several images: of `Enhancer.run_many`, of a batch and of a batch on a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def work_in_parallel(
    work: Callable[[S], T],
    items: Iterable[S],
    count: int,
    stop: threading.Event,
    *,
    in_order: bool = False,
) -> Generator[tuple[S, Future[T]], None, None]:
    """Yield each item with its finished `work(item)`, as it ends or `in_order`. At most `count` are
    worked on.

    An item is taken when its work can begin. Closing the generator while any work runs sets `stop`
    and waits for it.
    """
    items = iter(items)
    running: dict[Future[T], S] = {}
    with ThreadPoolExecutor(count) as threads:
        try:
            while True:
                for item in islice(items, count - len(running)):
                    running[threads.submit(work, item)] = item
                if not running:
                    return
                candidates = list(running)[:1] if in_order else running
                for future in wait(candidates, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future
        except BaseException:  # Otherwise, a long step of an interrupted run would delay the exit.
            if running:
                stop.set()
            raise
