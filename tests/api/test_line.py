"""Who waits, who is refused, and that a full line closes nothing else."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file

from enhance.errors import EnhanceError
from enhance.web.jobs import LISTENERS, RunQueue
from enhance.web.storage import Asker

from ..site import SETTINGS
from .test_endpoints import wait_until
from .test_endpoints_surface import answer_to

META = {"_type": "gradio.FileData"}
SESSION = {"session_hash": "a session of one's own"}
VALUES = list((SETTINGS | {"preset": "anime-fast"}).values())


@pytest.fixture
def busy(site, monkeypatch) -> Iterator[threading.Event]:
    """Every run takes until the event is set, or until it is stopped; previews are real."""
    go_on = threading.Event()
    real = site.enhancer.run

    def slow(*given: Any, **named: Any) -> Any:
        while not (go_on.is_set() or named["stop"].is_set()):
            time.sleep(0.05)
        return real(*given, **named)

    monkeypatch.setattr(site.enhancer, "run", slow)
    yield go_on
    go_on.set()


def uploaded(site, name: str) -> dict[str, Any]:
    with site.photo(name, 16, 16).open("rb") as file:
        path = httpx.post(f"{site.url}gradio_api/upload", files={"files": (name, file)}).json()[0]
    return {"path": path, "meta": META}


def called(site, endpoint: str, data: list[Any], **more: str) -> str:
    answer = httpx.post(f"{site.url}gradio_api/call/{endpoint}", json={"data": data, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["event_id"]


def told(site, endpoint: str, event: str) -> str:
    return httpx.get(f"{site.url}gradio_api/call/{endpoint}/{event}", timeout=60).text


def waiting(site) -> int:
    answer = answer_to(site, "status", [])
    status = json.loads(answer.partition("data: ")[2].splitlines()[0])[0]
    return status["waiting"]


def test_one_visitor_cannot_close_the_server_for_others(site, busy):
    picture = uploaded(site, "flood.png")
    events = [called(site, "enhance", [picture, *VALUES]) for _ in range(15)]
    wait_until(lambda: waiting(site) == 15)
    events += [called(site, "enhance", [picture, *VALUES]) for _ in range(6)]

    begun = time.monotonic()
    refused = [told(site, "enhance", event) for event in events[15:]]
    assert time.monotonic() - begun < 10
    for answer in refused:
        assert "event: error" in answer
        assert "You have 15 jobs, the limit for one user" in answer
        assert "number 16, in about" in answer
    assert waiting(site) == 15
    assert "event: complete" in answer_to(site, "presets", [])
    other = uploaded(site, "light.png")
    assert "event: complete" in answer_to(site, "preview", [other, None, None, 16, *VALUES])
    page = Client(site.url, verbose=False, analytics_enabled=False)
    assert page.predict(api_name="/presets")
    page.close()
    assert "the limit for one user" in answer_to(site, "batch", [[other], *VALUES])

    busy.set()
    assert all("event: complete" in told(site, "enhance", event) for event in events[:5])
    wait_until(lambda: waiting(site) == 0)


def test_a_run_whose_client_left_is_dropped(site, busy):
    picture = uploaded(site, "left.png")
    first = called(site, "enhance", [picture, *VALUES])
    second = called(site, "enhance", [picture, *VALUES])
    wait_until(lambda: waiting(site) == 2)
    for event in (second, first):
        with httpx.stream("GET", f"{site.url}gradio_api/call/enhance/{event}") as stream:
            next(stream.iter_bytes())
        before = 2 if event == second else 1
        wait_until(lambda before=before: waiting(site) == before - 1, seconds=30)


def test_a_run_that_nobody_listens_to_gives_up_its_place(site, busy, monkeypatch):
    picture = uploaded(site, "unheard.png")
    going = called(site, "enhance", [picture, *VALUES])
    wait_until(lambda: waiting(site) == 1)  # the first in the line: Gradio may begin what comes together in any order
    unheard, heard, own = (called(site, "enhance", [picture, *VALUES], **one) for one in ({}, {}, SESSION))
    answers = {}
    for event in (heard, own):
        threading.Thread(target=lambda event=event: answers.update({event: told(site, "enhance", event)})).start()

    wait_until(lambda: waiting(site) == 4 and all(event in LISTENERS for event in (heard, own)))
    monkeypatch.setattr("enhance.web.jobs.UNHEARD_SECONDS", 0.5)
    wait_until(lambda: waiting(site) == 3)
    assert "no client read its events for 0.5 s" in told(site, "enhance", unheard)
    busy.set()
    wait_until(lambda: len(answers) == 2)
    answers[going] = told(site, "enhance", going)
    assert all("event: complete" in answer for answer in answers.values())
    wait_until(lambda: not any(event in LISTENERS for event in answers))


def test_a_waiting_job_that_is_cancelled_leaves_the_line(site, connect, busy):
    file = handle_file(site.photo("cancelled.png", 16, 16))
    jobs = [connect().submit(image=file, preset="anime-fast", api_name="/enhance") for _ in range(2)]
    wait_until(lambda: waiting(site) == 2)
    jobs[1].cancel()
    wait_until(lambda: waiting(site) == 1, seconds=10)
    busy.set()
    assert jobs[0].result(timeout=60)


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


def test_made_up_sessions_of_one_address_keep_no_other_address_waiting(site, busy, monkeypatch):
    began, real = [], site.enhancer.run

    def run(source: Any, *given: Any, **named: Any) -> Any:
        began.append(Path(source).name)
        return real(source, *given, **named)

    monkeypatch.setattr(site.enhancer, "run", run)
    flood, small, events = uploaded(site, "flood.png"), uploaded(site, "small.png"), []
    for number in range(9):
        picture, address = (flood, "203.0.113.1") if number < 8 else (small, "203.0.113.2")
        headers = {"x-forwarded-for": address}
        asked = {"data": [picture, *VALUES], "session_hash": f"made up {number}"}
        events.append(httpx.post(f"{site.url}gradio_api/call/enhance", json=asked, headers=headers).json()["event_id"])
        wait_until(lambda number=number: waiting(site) == number + 1)

    busy.set()
    assert all("event: complete" in told(site, "enhance", event) for event in events)
    assert began.index("small.png") == 1


def test_one_address_leaves_room_for_others():
    line = RunQueue(8)
    for number in range(6):
        line.enter(Asker(f"session {number}", "one address"))
    with pytest.raises(EnhanceError, match="You have 6 jobs"):
        line.enter(Asker("session 7", "one address"))
    assert line.ahead(line.enter(asker("ada"))) == 1
