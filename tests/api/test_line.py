"""Who waits, who is refused, and that a full queue refuses runs only."""

from __future__ import annotations

import threading
import time

import httpx
import pytest
from gradio_client import Client, handle_file

from enhance.errors import EnhanceError
from enhance.web.jobs import LISTENERS, RunQueue
from enhance.web.storage import Asker

from ..site import wait_until
from .calls import FAST_VALUES, answer_to, begin, listen, status, uploaded


def waiting(site) -> int:
    return status(site)["waiting"]


def test_one_visitor_cannot_close_the_server_for_others(site):
    picture = uploaded(site, "flood.png")
    with site.enhancer.paused("run"):
        events = [begin(site, "enhance", [picture, *FAST_VALUES]) for _ in range(15)]
        wait_until(lambda: waiting(site) == 15)
        events += [begin(site, "enhance", [picture, *FAST_VALUES]) for _ in range(6)]

        begun = time.monotonic()
        for event in events[15:]:
            answer = listen(site, "enhance", event)
            assert "event: error" in answer
            assert "15" in answer
        assert time.monotonic() - begun < 10
        assert waiting(site) == 15
        assert "event: complete" in answer_to(site, "presets", [])
        other = uploaded(site, "light.png")
        assert "event: complete" in answer_to(site, "preview", [other, None, None, 16, *FAST_VALUES])
        page = Client(site.url, verbose=False, analytics_enabled=False)
        assert page.predict(api_name="/presets")
        page.close()
        assert "event: error" in answer_to(site, "batch", [[other], *FAST_VALUES])
    assert all("event: complete" in listen(site, "enhance", event) for event in events[:5])
    wait_until(lambda: waiting(site) == 0)


def test_a_run_whose_client_left_is_dropped(site):
    picture = uploaded(site, "left.png")
    with site.enhancer.paused("run"):
        events = [begin(site, "enhance", [picture, *FAST_VALUES]) for _ in range(2)]
        wait_until(lambda: waiting(site) == 2)
        for count, event in enumerate(reversed(events)):
            with httpx.stream("GET", f"{site.url}gradio_api/call/enhance/{event}") as stream:
                next(stream.iter_bytes())
            wait_until(lambda count=count: waiting(site) == 1 - count, seconds=30)


def test_a_run_that_nobody_listens_to_gives_up_its_place(site, monkeypatch):
    picture, answers = uploaded(site, "unheard.png"), {}
    with site.enhancer.paused("run"):
        going = begin(site, "enhance", [picture, *FAST_VALUES])
        wait_until(lambda: waiting(site) == 1)  # the first in the queue, since Gradio may begin others in any order
        data = [picture, *FAST_VALUES]
        unheard, heard = (begin(site, "enhance", data) for _ in range(2))
        own = begin(site, "enhance", data, session_hash="one's own")
        for event in (heard, own):
            threading.Thread(target=lambda event=event: answers.update({event: listen(site, "enhance", event)})).start()
        wait_until(lambda: waiting(site) == 4 and all(event in LISTENERS for event in (heard, own)))
        monkeypatch.setattr("enhance.web.jobs.UNHEARD_SECONDS", 0.5)
        wait_until(lambda: waiting(site) == 3)
        assert "event: error" in listen(site, "enhance", unheard)
    wait_until(lambda: len(answers) == 2)
    answers[going] = listen(site, "enhance", going)
    assert all("event: complete" in answer for answer in answers.values())
    wait_until(lambda: not any(event in LISTENERS for event in answers))


def test_a_waiting_job_that_is_cancelled_leaves_the_line(site, connect):
    file = handle_file(site.photo("cancelled.png", 16, 16))
    with site.enhancer.paused("run"):
        jobs = [connect().submit(image=file, preset="anime-fast", api_name="/enhance") for _ in range(2)]
        wait_until(lambda: waiting(site) == 2)
        jobs[1].cancel()
        wait_until(lambda: waiting(site) == 1, seconds=10)
    assert jobs[0].result(timeout=60)


def test_made_up_sessions_of_one_address_keep_no_other_address_waiting(site):
    flood, small, events = uploaded(site, "flood.png"), uploaded(site, "small.png"), []
    before = len(site.enhancer.names)
    with site.enhancer.paused("run"):
        for count in range(9):
            picture, address = (flood, "203.0.113.1") if count < 8 else (small, "203.0.113.2")
            data, headers = [picture, *FAST_VALUES], {"x-forwarded-for": address}
            events.append(begin(site, "enhance", data, headers, session_hash=f"made up {count}"))
            wait_until(lambda count=count: waiting(site) == count + 1)
    assert all("event: complete" in listen(site, "enhance", event) for event in events)
    assert site.enhancer.names[before:].index("small.png") == 1


def asker(name: str) -> Asker:
    return Asker(name, f"address of {name}")


def test_the_line_is_bounded_in_all_and_by_visitor():
    line = RunQueue(4)
    turns = [line.enter(asker(name)) for name in ("ada", "ada", "bob", "bob", "cyd")]
    with pytest.raises(EnhanceError, match="at position 6") as full:
        line.enter(asker("dot"))
    assert "第 6 位" in full.value.sentence("zh-CN")
    line.leave(turns[0])
    with pytest.raises(EnhanceError, match="You have 2 jobs"):
        line.enter(asker("bob"))
    line.enter(asker("ada"))


def test_visitors_take_turns_in_the_line():
    line = RunQueue(20)
    turns = [line.enter(asker(name)) for name in ("ada", "ada", "ada", "bob", "cyd", "bob")]
    assert [line.ahead(turn) for turn in turns] == [0, 3, 5, 1, 2, 4]
    line.leave(turns[0])
    assert [line.ahead(turn) for turn in turns[1:]] == [2, 4, 0, 1, 3], "not the one who had the last turn"


def test_addresses_take_turns_before_the_sessions_of_one_address():
    line = RunQueue(20)
    flood = [line.enter(Asker(f"session {number}", "one")) for number in (1, 2, 3, 1)]
    other = line.enter(Asker("session 1", "two"))
    assert [line.ahead(turn) for turn in flood] == [0, 2, 3, 4]
    assert line.ahead(other) == 1
    line.leave(flood[0])
    assert line.ahead(other) == 0
    again = line.enter(Asker("session 1", "two"))
    assert [line.ahead(turn) for turn in (flood[1], again, flood[2])] == [1, 2, 3]


def test_addresses_that_come_again_do_not_starve_another():
    line, served = RunQueue(20), []
    turns = [line.enter(asker(name)) for name in ("ada", "bob", "cyd", "cyd")]
    for _ in range(6):
        turn = next(one for one in turns if line.ahead(one) == 0)
        served.append(turn.asker.name)
        turns.remove(turn)
        line.leave(turn)
        turns.append(line.enter(turn.asker))
    assert served == 2 * ["ada", "bob", "cyd"]


def test_users_behind_one_address_take_turns_and_have_a_share_each():
    line = RunQueue(8)
    for name in ("ada", "bob", "cyd"):
        for _ in range(2):
            line.enter(Asker(f"user {name}", "one address"))
    last = line.enter(Asker("user dot", "one address"))
    assert line.ahead(last) == 3


def test_a_place_that_is_given_back_twice_is_one_place():
    line = RunQueue(4)
    first, second = line.enter(asker("ada")), line.enter(asker("bob"))
    line.leave(first)
    line.leave(first)
    assert (len(line), line.ahead(second)) == (1, 0)


def test_one_address_leaves_room_for_others():
    line = RunQueue(8)
    for number in range(6):
        line.enter(Asker(f"session {number}", "one address"))
    with pytest.raises(EnhanceError, match="You have 6 jobs"):
        line.enter(Asker("session 7", "one address"))
    assert line.ahead(line.enter(asker("ada"))) == 1
