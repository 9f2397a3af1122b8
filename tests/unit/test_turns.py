"""Turns on the device: one thread, previews first, callers by turns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable

import pytest

from enhance.errors import Cancelled
from enhance.scheduler import DeviceThread, Runs, Ticket, Waiting

PATIENCE = 60


class Asked:
    """Work handed over from a thread of its own."""

    def __init__(self, work: Callable[[], object]):
        self._work, self.error = work, None
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


class Held:
    """A device that is busy until the block ends; steps wait in the order in which they are asked for."""

    def __init__(self) -> None:
        self.device, self.order = DeviceThread(), []
        self._go_on, self._begun = threading.Event(), threading.Event()
        self._asked: list[Asked] = []

    def __enter__(self) -> Held:
        self._asked.append(Asked(lambda: self.device.do(self._hold)))
        assert self._begun.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        for one in self._asked:
            one.end()

    def _hold(self) -> None:
        self._begun.set()
        self._go_on.wait(PATIENCE)

    def ask(self, name: str, caller: Hashable = None, work: Callable[[], object] | None = None, **options) -> Asked:
        def step() -> None:
            self.order.append(name)
            if work is not None:
                work()

        waiting = self.device.waiting()
        one = Asked(lambda: self.device.do(step, Ticket(caller, **options)))
        self._asked.append(one)
        until(lambda: self.device.waiting() == waiting + 1)
        return one


def until(true: Callable[[], bool]) -> None:
    for _ in range(PATIENCE * 200):
        if true():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come about")


def test_every_step_is_done_on_one_thread_that_is_not_the_callers():
    device, seen = DeviceThread(), set()

    def step() -> None:
        seen.add(threading.get_ident())
        device.do(lambda: seen.add(threading.get_ident()))  # one step within another

    others = [Asked(lambda: device.do(step)) for _ in range(3)]
    device.do(step)
    for one in others:
        one.end()

    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_an_urgent_step_goes_before_those_that_waited_longer():
    with Held() as held:
        held.ask("first")
        held.ask("second")
        held.ask("preview", urgent=True)

    assert held.order == ["preview", "first", "second"]


def test_after_two_urgent_steps_one_that_is_not_gets_its_turn():
    with Held() as held:
        for number in range(5):
            held.ask(f"preview {number}", urgent=True)
        for number in range(2):
            held.ask(f"run {number}")

    assert [name.split()[0] for name in held.order] == [
        "preview",
        "preview",
        "run",
        "preview",
        "preview",
        "run",
        "preview",
    ]


@pytest.mark.parametrize("urgent", [False, True])
def test_callers_take_turns_and_each_is_served_in_its_own_order(urgent):
    with Held() as held:
        for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
            held.ask(name, name[0], urgent=urgent)

    assert held.order == ["a1", "b1", "c1", "a2", "b2", "a3"]


@pytest.mark.parametrize("urgent", [False, True])
def test_addresses_take_turns_before_the_sessions_of_one_address(urgent):
    with Held() as held:
        for name in ("a11", "a12", "a21", "a31", "b11", "b12"):
            held.ask(name, (name[0], name[1]), urgent=urgent)

    assert held.order == ["a11", "b11", "a21", "b12", "a31", "a12"]


def test_callers_who_loop_previews_let_a_run_through():
    device, order, ended = DeviceThread(), [], threading.Event()

    def loop(caller: int) -> None:
        while not ended.is_set():
            device.do(lambda: order.append("preview"), Ticket(caller, urgent=True))

    previews = [Asked(lambda caller=caller: loop(caller)) for caller in range(4)]
    for _ in range(50):
        device.do(lambda: order.append("run"))
    ended.set()
    for one in previews:
        one.end()

    assert order.count("run") == 50


def test_what_is_stopped_while_it_waits_is_not_begun():
    stop = threading.Event()

    with Held() as held:
        stopped = held.ask("stopped", stop=stop)
        held.ask("next")
        stop.set()
        stopped.end()  # though the device is still busy
        assert held.device.waiting() == 1

    assert held.order == ["next"]
    assert isinstance(stopped.error, Cancelled)


def test_an_exception_reaches_the_one_who_asked_and_the_next_step_is_done():
    def wrap() -> None:
        raise ZeroDivisionError

    with Held() as held:
        one = held.ask("broken", work=wrap)
        held.ask("next")

    assert held.order == ["broken", "next"]
    assert isinstance(one.error, ZeroDivisionError)


def test_work_that_is_handed_over_is_done_in_its_turn_and_waited_for_by_nobody():
    with Held() as held:
        held.device.hand_over(lambda: held.order.append("handed over"))
        held.device.hand_over(lambda: 1 / 0)
        held.ask("next")
        assert held.order == []

    until(lambda: held.device.waiting() == 0)
    assert held.device.do(lambda: held.order) == ["handed over", "next"]


def test_the_thread_can_leave_and_comes_back_for_the_next_step():
    device = DeviceThread()
    before = device.do(threading.current_thread)

    device.leave()

    assert not before.is_alive()
    assert device.do(lambda: 7) == 7


def test_waiting_is_counted_until_the_step_begins_and_no_longer():
    short, long, begun = Waiting(), Waiting(), []

    with Held() as held:
        held.ask("first", waiting=short, work=lambda: threading.Event().wait(0.3))
        held.ask("second", waiting=long, work=lambda: begun.append(True))

    assert begun
    assert long.seconds >= 0.3
    assert long.seconds - short.seconds >= 0.2, "a step's own time was counted as waiting"


def test_long_runs_go_one_after_the_other_and_callers_take_turns():
    runs, order = Runs(), []
    asked = []

    def run(name: str) -> None:
        with runs.run(Ticket(name[0])):
            order.append(name)
            assert going.acquire(blocking=False), "two long runs at once"
            going.release()

    going = threading.Lock()
    with runs.run(Ticket("a")):
        for name in ("a1", "a2", "a3", "b1"):
            count = len(runs)
            asked.append(Asked(lambda name=name: run(name)))
            until(lambda count=count: len(runs) == count + 1)
    for one in asked:
        one.end()

    assert order == ["a1", "b1", "a2", "a3"], "a1 was near the device before b1 came"
    assert len(runs) == 0


def test_one_run_has_the_device_and_one_more_is_near_it():
    runs, near, ran, told = Runs(), [], [], {}

    def run(name: str) -> None:
        with runs.near(Ticket(name, queued=lambda ahead: told.update({name: ahead}))) as place:
            near.append(name)
            with runs.run(place.turn, place):
                assert near[-2:] != [name, name]
                ran.append(name)

    with runs.run(Ticket("a")):
        asked = []
        for name in ("b", "c", "d"):
            asked.append(Asked(lambda name=name: run(name)))
            until(lambda name=name: name in told)
        assert near == ["b"]
        assert told == {"b": 1, "c": 2, "d": 3}
    for one in asked:
        one.end()

    assert ran == ["b", "c", "d"]
    assert sorted(near) == ran, "each was near the device once; who of two wrote it down first says nothing"
    assert len(runs) == 0


def test_a_place_near_the_device_that_is_given_up_lets_the_next_one_in():
    runs = Runs()
    with runs.run(Ticket("a")), runs.near(Ticket("b")) as place:
        runs.leave(place)
        with runs.near(Ticket("c")):
            assert len(runs) == 2


def test_a_waiting_run_that_is_stopped_leaves_the_queue_without_being_begun():
    runs, stop, begun = Runs(), threading.Event(), []

    def run() -> None:
        with runs.run(Ticket("b", stop=stop)):
            begun.append(True)

    with runs.run(Ticket("a")):
        one = Asked(run)
        until(lambda: len(runs) == 2)
        stop.set()
        one.end()
        assert len(runs) == 1

    assert isinstance(one.error, Cancelled)
    assert begun == []
    with pytest.raises(Cancelled), runs.run(Ticket(stop=stop)):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="an interrupt is sent otherwise there")
def test_an_interrupt_reaches_a_main_thread_that_waits_and_the_process_ends():
    code = """
import threading
from enhance.scheduler import DEVICE_THREAD
stop = threading.Event()
def step():
    print("begun", flush=True)
    stop.wait(60)
try:
    DEVICE_THREAD.do(step)
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


def test_a_step_that_looks_ends_by_a_stop_and_by_the_end_of_the_thread():
    thread, stop, inside = DeviceThread(), threading.Event(), threading.Event()
    turn = Ticket(stop=stop)

    def endless() -> None:
        inside.set()
        while True:
            thread.look(turn)

    def ask() -> None:
        with pytest.raises(Cancelled):
            thread.do(endless, turn)

    for end in (thread.leave, stop.set):
        inside.clear()
        caller = threading.Thread(target=ask)
        caller.start()
        assert inside.wait(5)
        end()
        caller.join(5)
        assert not caller.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process forks here")
def test_a_forked_process_has_a_device_thread_of_its_own_and_leaves_the_parents_steps_to_it():
    """As on a Space that lends its card to a fork; in a process of its own, for a fork takes the tests along."""
    code = """
import os, threading
from enhance.scheduler import DEVICE_THREAD
begun, end, done = threading.Event(), threading.Event(), []
DEVICE_THREAD.hand_over(lambda: (begun.set(), end.wait(60)))
DEVICE_THREAD.hand_over(lambda: done.append(os.getpid()))
begun.wait(60)
child = os.fork()
if not child:
    os._exit(0 if DEVICE_THREAD.do(lambda: not done) and DEVICE_THREAD.waiting() == 0 else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
end.set()
print(status, DEVICE_THREAD.do(lambda: done == [os.getpid()]))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert told.stdout == "0 True\n"
