"""The thread of the device: one thread, previews first, callers in rotation, and cancellable at
every point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from enhance.engine.device_thread import DeviceThread
from enhance.errors import Cancelled
from enhance.jobs.scheduler import Job

from ..site import wait_until

PATIENCE = 60


class BusyThread(DeviceThread):
    """A thread that is busy until the end of the block; later steps wait in their order."""

    def __enter__(self):
        self.order = list[str]()
        self._pool = ThreadPoolExecutor(8)
        self._go_on = threading.Event()
        begun = threading.Event()
        self._pool.submit(self.call, lambda: (begun.set(), self._go_on.wait(PATIENCE)), Job())
        assert begun.wait(PATIENCE)
        return self

    def __exit__(self, *_):
        self._go_on.set()
        self._pool.shutdown()

    def count_steps(self):
        return len(self._urgent) + len(self._normal)

    def ask(self, name, job, work=int):
        count = self.count_steps()
        call = self._pool.submit(self.call, lambda: (self.order.append(name), work()), job)
        wait_until(lambda: self.count_steps() == count + 1)
        return call


@pytest.fixture
def device_thread():
    own = DeviceThread()
    yield own
    own.close()


@pytest.fixture
def pool():
    """Threads for callers."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


def test_every_step_runs_on_one_thread_that_is_not_the_callers(device_thread, pool):
    seen = set()

    def step():
        seen.add(threading.get_ident())
        device_thread.call(lambda: seen.add(threading.get_ident()))  # one step within another

    device_thread.call(step)
    list(pool.map(lambda _: device_thread.call(step), range(3)))

    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_a_normal_step_runs_after_two_urgent_ones():
    with BusyThread() as busy:
        busy.ask("run", Job())
        for _ in range(3):
            busy.ask("preview", Job("preview"))

    assert busy.order == ["preview", "preview", "run", "preview"]


@pytest.mark.parametrize("kind", ["preview", "run"])
def test_addresses_are_served_in_turn_and_then_the_sessions_of_an_address(kind):
    """The addresses are a and b; a has the sessions 1 to 3, and b has 1."""
    with BusyThread() as busy:
        for name in ("a11", "a12", "a21", "a31", "b11", "b12"):
            busy.ask(name, Job(kind, (name[0], name[1])))

    assert busy.order == ["a11", "b11", "a21", "b12", "a31", "a12"]


def test_a_cancelled_step_is_not_run():
    job = Job()

    with BusyThread() as busy:
        cancelled = busy.ask("cancelled", job)
        busy.ask("next", Job())
        job.stop.set()
        assert isinstance(cancelled.exception(PATIENCE), Cancelled), "the device is still busy"

    assert busy.order == ["next"]


def test_an_error_reaches_the_caller_and_the_next_step_runs(device_thread):
    device_thread.submit(lambda: 1 / 0)  # No caller waits for this step.
    with pytest.raises(ZeroDivisionError):
        device_thread.call(lambda: 1 / 0)
    assert device_thread.call(lambda: 7) == 7


def test_a_long_step_is_interrupted_by_a_cancellation_and_by_the_end_of_the_thread(
    device_thread, pool
):
    job = Job()
    inside = threading.Event()

    def endless():
        inside.set()
        while True:
            device_thread.check(job)

    for end in (device_thread.close, job.stop.set):
        inside.clear()
        call = pool.submit(device_thread.call, endless, job)
        assert inside.wait(PATIENCE)
        end()
        assert isinstance(call.exception(PATIENCE), Cancelled)


INTERRUPTED = """
import threading
from enhance.engine.device_thread import DEVICE_THREAD
stop = threading.Event()
try:
    DEVICE_THREAD.call(lambda: (print("begun", flush=True), stop.wait(60)))
except KeyboardInterrupt:
    stop.set()
    print("interrupted")
"""

FORKED = """
import os, threading
from enhance.engine.device_thread import DEVICE_THREAD
begun, end, done = threading.Event(), threading.Event(), []
DEVICE_THREAD.submit(lambda: (begun.set(), end.wait(60)))
DEVICE_THREAD.submit(lambda: done.append(os.getpid()))
begun.wait(60)
child = os.fork()
if not child:
    os._exit(0 if DEVICE_THREAD.call(lambda: not done) else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
end.set()
print(status, DEVICE_THREAD.call(lambda: done == [os.getpid()]))
"""


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows sends interrupts in another way and cannot fork"
)
def test_an_interrupt_reaches_a_waiting_main_thread():
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=PATIENCE)[0] == "interrupted\n"
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork processes")
def test_a_forked_process_has_its_own_device_thread():
    """The test forks another process, because a fork copies pytest."""
    assert (
        subprocess.check_output([sys.executable, "-c", FORKED], text=True, timeout=PATIENCE)
        == "0 True\n"
    )
