"""Something long in a thread of its own, which a handler can look after and stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Work(Generic[T]):
    """Runs `do(stop)` at once. `stop.set()` asks it to end, `wait` looks after it, `result` gives what came."""

    def __init__(self, do: Callable[[threading.Event], T], name: str):
        self.stop = threading.Event()
        self._ended = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, args=(do,), name=name, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long; True when it is there."""
        return self._ended.wait(seconds)

    def result(self) -> T:
        """What came of it, after its end. Raises what went wrong there."""
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _work(self, do: Callable[[threading.Event], T]) -> None:
        try:
            self._result.append(do(self.stop))
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()
