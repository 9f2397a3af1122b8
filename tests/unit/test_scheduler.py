"""The scheduler: one thread, previews first, callers in rotation, bounded, and cancellable at every point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack

import pytest

from enhance.errors import Cancelled, EnhanceError
from enhance.scheduler import FairQueue, Kind, Scheduler, Ticket

PATIENCE = 60
ARRIVED = ["a11", "a12", "a21", "a31", "b11", "b12"]
SERVED = ["a11", "b11", "a21", "b12", "a31", "a12"]
"""Addresses a and b, sessions 1 to 3 of a and 1 of b."""


class Call(threading.Thread):
    """A call from a thread of its own."""

    def __init__(self, work: Callable[[], object]):
        super().__init__(daemon=True)
        self._work, self.error = work, None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self.join(PATIENCE)
        assert not self.is_alive()


class BusyScheduler(Scheduler):
    """A scheduler whose thread is busy until the end of the block; later steps wait in their order."""

    def __enter__(self) -> BusyScheduler:
        self.order, self._calls, self._go_on, begun = list[str](), list[Call](), threading.Event(), threading.Event()
        self._calls.append(Call(lambda: self.call(lambda: (begun.set(), self._go_on.wait(PATIENCE)), Ticket())))
        assert begun.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        for one in self._calls:
            one.end()

    def ask(self, name: str, ticket: Ticket, work: Callable[[], object] = int) -> Call:
        count = self.count_steps()
        self._calls.append(Call(lambda: self.call(lambda: (self.order.append(name), work()), ticket)))
        wait_until(lambda: self.count_steps() == count + 1)
        return self._calls[-1]


def wait_until(is_true: Callable[[], bool]) -> None:
    for _ in range(PATIENCE * 200):
        if is_true():
            return
        threading.Event().wait(0.005)
    raise AssertionError("the condition was not met in time")


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    own = Scheduler()
    yield own
    own.close()


def test_every_step_runs_on_one_thread_that_is_not_the_callers(scheduler):
    seen = set()

    def step() -> None:
        seen.add(threading.get_ident())
        scheduler.call(lambda: seen.add(threading.get_ident()))  # one step within another

    others = [Call(lambda: scheduler.call(step)) for _ in range(3)]
    scheduler.call(step)
    for one in others:
        one.end()

    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_a_normal_step_runs_after_two_urgent_ones():
    with BusyScheduler() as busy:
        for number in range(2):
            busy.ask(f"run {number}", Ticket())
        for number in range(5):
            busy.ask(f"preview {number}", Ticket("preview"))

    kinds = [name.split()[0] for name in busy.order]
    assert kinds == ["preview", "preview", "run", "preview", "preview", "run", "preview"]


@pytest.mark.parametrize("kind", ["preview", "run"])
def test_addresses_are_served_in_turn_and_then_the_sessions_of_an_address(kind: Kind):
    with BusyScheduler() as busy:
        for name in ARRIVED:
            busy.ask(name, Ticket(kind, (name[0], name[1])))

    assert busy.order == SERVED


def test_clients_that_repeat_previews_do_not_starve_a_run(scheduler):
    order, ended = [], threading.Event()

    def repeat(caller: int) -> None:
        while not ended.is_set():
            scheduler.call(lambda: order.append("preview"), Ticket("preview", caller))

    previews = [Call(lambda caller=caller: repeat(caller)) for caller in range(4)]
    for _ in range(50):
        scheduler.call(lambda: order.append("run"), Ticket())
    ended.set()
    for one in previews:
        one.end()

    assert order.count("run") == 50


def test_background_steps_run_only_while_the_device_is_unused_and_nobody_has_a_job():
    with BusyScheduler() as busy:
        background = busy.ask("background", Ticket("background"))
        busy.ask("run", Ticket("run"))
        busy.ask("preview", Ticket("preview"))
    background.end()
    assert busy.order == ["preview", "run", "background"]

    scheduler, order = Scheduler(), []
    with scheduler.admit("visitor"):  # The run decodes its photo, for example.
        card = Call(lambda: scheduler.call(lambda: order.append("background"), Ticket("background")))
        for number in range(3):
            card.join(0.2)
            scheduler.call(lambda number=number: order.append(number), Ticket())
    card.end()
    assert order == [0, 1, 2, "background"]


def test_a_cancelled_step_is_not_run():
    ticket = Ticket()

    with BusyScheduler() as busy:
        cancelled = busy.ask("cancelled", ticket)
        busy.ask("next", Ticket())
        ticket.stop.set()
        cancelled.end()  # the device is still busy
        assert busy.count_steps() == 1

    assert busy.order == ["next"]
    assert isinstance(cancelled.error, Cancelled)


def test_an_error_reaches_the_caller_and_the_next_step_runs():
    with BusyScheduler() as busy:
        failed = busy.ask("failed", Ticket(), lambda: 1 / 0)
        busy.submit(lambda: 1 / 0)  # No caller waits for this step.
        busy.ask("next", Ticket())

    assert busy.order == ["failed", "next"]
    assert isinstance(failed.error, ZeroDivisionError)


def test_a_long_step_is_interrupted_by_a_cancellation_and_by_the_end_of_the_thread(scheduler):
    ticket, inside = Ticket(), threading.Event()

    def endless() -> None:
        inside.set()
        while True:
            scheduler.check(ticket)

    for end in (scheduler.close, ticket.stop.set):
        inside.clear()
        call = Call(lambda: scheduler.call(endless, ticket))
        assert inside.wait(5)
        end()
        call.end()
        assert isinstance(call.error, Cancelled)
    assert scheduler.call(lambda: 7) == 7, "the thread starts again"


def test_one_job_has_the_device_and_the_next_one_can_prepare(scheduler):
    near, ran, queued, calls = [], [], {}, []
    going = threading.Lock()

    def run(name: str) -> None:
        ticket = Ticket("run", name[0], queued=lambda ahead: queued.update({name: ahead}))
        with scheduler.queue_job(ticket, ahead=1):
            near.append(name)
            with scheduler.queue_job(ticket):
                ran.append(name)
                assert going.acquire(blocking=False), "two runs at once"
                going.release()

    first = Ticket("run", "a")
    with scheduler.queue_job(first):
        for name in ("a1", "a2", "b1"):
            calls.append(Call(lambda name=name: run(name)))
            wait_until(lambda name=name: name in queued)
        assert near == ["a1"]
        wait_until(lambda: queued == {"a1": 1, "a2": 3, "b1": 2})
        scheduler.leave_queue(first)  # A job can leave the queue before the end of its block.
        wait_until(lambda: len(ran) == 3)
    for call in calls:
        call.end()
        assert call.error is None

    assert ran == ["a1", "b1", "a2"]
    assert scheduler.count() == 0


def test_a_cancelled_job_leaves_the_queue(scheduler):
    ticket = Ticket("run", "b")

    def run() -> None:
        with scheduler.queue_job(ticket):
            raise AssertionError("a cancelled job began")

    with scheduler.queue_job(Ticket()):
        waiting = Call(run)
        wait_until(lambda: scheduler.count() == 2)
        ticket.stop.set()
        waiting.end()
        assert scheduler.count() == 1
    assert isinstance(waiting.error, Cancelled)


def test_a_comparison_waits_for_comparisons_and_for_no_run(scheduler):
    with scheduler.queue_job(Ticket()), scheduler.queue_job(Ticket("comparison")):
        second = Ticket("comparison")
        waiting = Call(lambda: scheduler.queue_job(second).__enter__())
        wait_until(lambda: scheduler.ahead(second) == 1)
        second.stop.set()
        waiting.end()
    assert [scheduler.count(lane) for lane in ("run", "comparison")] == [0, 0]


def enter(scheduler: Scheduler, *callers: Hashable, kind: Kind = "run", limit: int = 4) -> ExitStack:
    stack = ExitStack()
    for caller in callers:
        stack.enter_context(scheduler.admit(caller, kind, limit))
    return stack


def rejection_key(scheduler: Scheduler, caller: Hashable, kind: Kind = "run", limit: int = 4) -> str:
    with pytest.raises(EnhanceError) as error, scheduler.admit(caller, kind, limit):
        pass
    return error.value.key


def test_jobs_are_limited_in_total_per_caller_and_per_address(scheduler):
    with enter(scheduler, "ada", "ada", "bob", "bob", "cyd"):
        assert rejection_key(scheduler, "dot") == "queue_full"
    with enter(scheduler, "ada", "ada", "bob"):
        assert rejection_key(scheduler, "ada") == "queue_share"
    with enter(scheduler, *(("one address", session) for session in range(6)), limit=8):
        assert rejection_key(scheduler, ("one address", 6), limit=8) == "queue_share"
        with enter(scheduler, ("another", 1), limit=8):
            pass
    with enter(scheduler, *range(8), kind="batch", limit=20):
        assert rejection_key(scheduler, 8, "batch", 20) == "queue_full"
        with enter(scheduler, 8, limit=20), enter(scheduler, 8, kind="preview"):
            pass
    assert scheduler.count() == 0


def test_a_job_is_admitted_until_the_last_hold_ends(scheduler):
    with ExitStack() as thread:
        with scheduler.admit("ada") as ticket:
            thread.enter_context(scheduler.hold(ticket))
            thread.enter_context(scheduler.queue_job(ticket))
        assert scheduler.count() == 1
    assert scheduler.count() == 0


def test_in_order_yields_the_order_of_take():
    queue = FairQueue[str]()
    for name in ARRIVED:
        queue.add((name[0], name[1]), name)
    assert [*queue.in_order()] == SERVED
    first = queue.take()
    queue.add(("a", "1"), "again")
    assert [first, *queue.in_order()][:2] == ["a11", "b11"], "the caller that was served last is not next"
    assert [queue.take() for _ in range(len(queue))] == [*SERVED[1:], "again"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends interrupts in another way")
def test_an_interrupt_reaches_a_waiting_main_thread():
    code = """
import threading
from enhance.scheduler import SCHEDULER
stop = threading.Event()
def step():
    print("begun", flush=True)
    stop.wait(60)
try:
    SCHEDULER.call(step)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    stop.set()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=PATIENCE)[0] == "interrupted\n"
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork processes")
def test_a_forked_process_has_its_own_device_thread():
    """The test forks another process, because a fork copies pytest."""
    code = """
import os, threading
from enhance.scheduler import SCHEDULER
begun, end, done = threading.Event(), threading.Event(), []
SCHEDULER.submit(lambda: (begun.set(), end.wait(60)))
SCHEDULER.submit(lambda: done.append(os.getpid()))
begun.wait(60)
child = os.fork()
if not child:
    os._exit(0 if SCHEDULER.call(lambda: not done) and SCHEDULER.count_steps() == 0 else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
end.set()
print(status, SCHEDULER.call(lambda: done == [os.getpid()]))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert process.stdout == "0 True\n"
