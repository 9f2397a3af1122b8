"""Turns on the device."""

import threading

import pytest

from enhance.errors import Cancelled
from enhance.inference.turns import Gate


def test_an_urgent_caller_goes_before_those_who_waited_longer():
    gate, order = Gate(), []

    def ask(name: str, *, urgent: bool) -> threading.Thread:
        def take_turn():
            with gate.turn(urgent=urgent):
                order.append(name)

        waiting = len(gate._waiting)
        thread = threading.Thread(target=take_turn)
        thread.start()
        while len(gate._waiting) == waiting:
            pass
        return thread

    with gate.turn():
        threads = [ask("first", urgent=False), ask("second", urgent=False), ask("preview", urgent=True)]
    for thread in threads:
        thread.join()

    assert order == ["preview", "first", "second"]


def test_a_turn_is_given_back_when_the_step_fails():
    gate = Gate()

    with pytest.raises(ZeroDivisionError), gate.turn():
        raise ZeroDivisionError
    with gate.turn():
        pass


def test_long_runs_go_one_after_the_other_and_the_waiting_one_can_stop():
    gate, stop = Gate(), threading.Event()

    with gate.run():
        stop.set()
        with pytest.raises(Cancelled), gate.run(stop):
            pass
    with gate.run(stop):
        pass
