"""The device thread: one thread for each process, which runs all work of PyTorch in steps.

OpenMP spreads PyTorch's CPU work over the cores and has a separate set of threads for each calling
thread. With two sets there are more threads than cores, and everything takes 50% longer. So all
enhancers of a process share this thread. The steps of previews run before the steps of runs, and
callers are served in rotation. The jobs to which the steps belong are queued by the `Scheduler` of
each enhancer.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from ..errors import Cancelled
from ..jobs.scheduler import FairQueue, Job

T = TypeVar("T")

_URGENT_IN_A_ROW = 2
"""Number of urgent steps after which a normal step runs."""
_POLL_SECONDS = 0.1
"""How often a waiting thread checks whether its job was cancelled."""
_EXIT_SECONDS = 10.0


class DeviceThread:
    """Runs steps one after the other on a thread, which starts with the first step."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._urgent = FairQueue[Step]()
        self._normal = FairQueue[Step]()
        self._urgent_in_a_row = 0
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def call(self, work: Callable[[], T], job: Job | None = None) -> T:
        """Run `work` on the device's thread and return its result. Without a job it is urgent.

        Raises what `work` raises, and Cancelled if the job is cancelled before the work begins.
        """
        if threading.current_thread() is self._thread:
            return work()
        return self.wait_for(self.submit(work, job))

    def submit(self, work: Callable[[], T], job: Job | None = None) -> Step[T]:
        """Queue `work` for the device's thread. `wait_for` returns its result, and `cancel` of the
        step that is returned withdraws it."""
        step = Step(work, job or Job("preview"))
        with self._changed:
            queue = self._normal
            if step.job.kind == "preview":
                queue = self._urgent
            queue.add(step.job.caller, step)
            if self._thread is None or not self._thread.is_alive():
                self._is_closing = False
                self._thread = threading.Thread(
                    target=self._run_steps, name="enhance-device", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()
        return step

    def wait_for(self, step: Step[T]) -> T:
        """Wait for a step and return its result. Raises the same errors as `call`."""
        try:
            while not wait([step], _POLL_SECONDS).done:
                if step.job.stop.is_set() and step.cancel():
                    raise Cancelled("stopped")
            return step.result()
        finally:
            step.cancel()  # if the wait was interrupted
            # The traceback of an error references this frame and would keep the rows of a failed
            # step in memory.
            del step

    def check(self, job: Job) -> None:
        """Raise Cancelled if the job of a long step is cancelled, or if the thread is closing."""
        job.check()
        if self._is_closing:
            raise Cancelled("stopped")

    def close(self) -> None:
        """End the thread after the current step, which `check` interrupts. The next step starts a
        new thread."""
        with self._changed:
            thread = self._thread
            self._is_closing = True
            self._changed.notify_all()
        if thread is not None:
            thread.join(_EXIT_SECONDS)

    def _run_steps(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._urgent or self._normal)
                if self._is_closing:
                    return
                step = self._next_step()
            step.run()
            del step  # A reference would keep its rows in memory until the next step.

    def _next_step(self) -> Step:
        is_normal_due = not self._urgent or self._urgent_in_a_row >= _URGENT_IN_A_ROW
        if self._normal and is_normal_due:
            self._urgent_in_a_row = 0
            return self._normal.take()
        self._urgent_in_a_row += 1
        return self._urgent.take()


class Step(Future[T]):
    """A piece of work for the device's thread, and its outcome."""

    def __init__(self, work: Callable[[], T], job: Job):
        super().__init__()
        self.job = job
        self._queued = time.perf_counter()
        self._work = work

    def run(self) -> None:
        """Run the work unless it was cancelled. `result` returns or raises its outcome."""
        if not self.set_running_or_notify_cancel():
            return
        self.job.wait_seconds += time.perf_counter() - self._queued
        try:
            self.job.check()
            self.set_result(self._work())
        except BaseException as error:
            self.set_exception(error)


DEVICE_THREAD = DeviceThread()
# A thread inside PyTorch while the interpreter exits would crash the process.
atexit.register(DEVICE_THREAD.close)
if hasattr(os, "register_at_fork"):
    # A forked process has none of the threads, and their locks stay locked.
    os.register_at_fork(after_in_child=DEVICE_THREAD.__init__)
