"""Turns on the device."""

import threading

import pytest

from enhance.errors import Cancelled
from enhance.inference.turns import Turns


def test_an_urgent_caller_goes_before_those_who_waited_longer():
    turns, order = Turns(), []

    def ask(name: str, *, urgent: bool) -> threading.Thread:
        def take_turn():
            with turns.turn(urgent=urgent):
                order.append(name)

        waiting = len(turns._waiting)
        thread = threading.Thread(target=take_turn)
        thread.start()
        while len(turns._waiting) == waiting:
            pass
        return thread

    with turns.turn():
        threads = [ask("first", urgent=False), ask("second", urgent=False), ask("preview", urgent=True)]
    for thread in threads:
        thread.join()

    assert order == ["preview", "first", "second"]


def test_a_turn_is_given_back_when_the_step_fails():
    turns = Turns()

    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    with turns.turn():
        pass


def test_long_runs_go_one_after_the_other_and_the_waiting_one_can_stop():
    turns, stop = Turns(), threading.Event()

    with turns.run():
        stop.set()
        with pytest.raises(Cancelled), turns.run(stop=stop):
            pass
    with turns.run(stop=stop):
        pass
