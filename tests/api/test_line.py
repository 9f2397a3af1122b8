"""Jobs wait in a bounded queue, and a full one refuses nothing but runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file

from enhance import pipeline
from enhance.web.jobs import _streams

from ..site import SETTINGS, busy_device
from .test_endpoints import wait_until
from .test_endpoints_surface import answer_to

META = {"_type": "gradio.FileData"}
SESSION = {"session_hash": "a session of one's own"}
VALUES = list((SETTINGS | {"preset": "anime-fast"}).values())


@pytest.fixture
def busy() -> Iterator[Callable[[], None]]:
    """Another run has the device until this is called; previews do not wait for it."""
    with ExitStack() as stack:
        stack.enter_context(busy_device())
        yield stack.close


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
        assert "15 runs of yours are on their way, as many as one visitor may have" in answer
        assert "number 16, in about" in answer
    assert waiting(site) == 15
    assert "event: complete" in answer_to(site, "presets", [])
    other = uploaded(site, "light.png")
    assert "event: complete" in answer_to(site, "preview", [other, None, None, 16, *VALUES])
    page = Client(site.url, verbose=False, analytics_enabled=False)
    assert page.predict(api_name="/presets")
    page.close()
    assert "runs of yours" in answer_to(site, "batch", [[other], *VALUES])

    busy()
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
    unheard, heard, own = (called(site, "enhance", [picture, *VALUES], **one) for one in ({}, {}, SESSION))
    answers = {}
    for event in (heard, own):
        threading.Thread(target=lambda event=event: answers.update({event: told(site, "enhance", event)})).start()

    wait_until(lambda: waiting(site) == 3 and all(name in _streams for name in (heard, own)))
    monkeypatch.setattr("enhance.web.jobs.UNHEARD_SECONDS", 0.5)
    wait_until(lambda: waiting(site) == 2)
    assert "Nobody listened to this run for 0.5 s" in told(site, "enhance", unheard)
    busy()
    wait_until(lambda: len(answers) == 2)
    assert all("event: complete" in answer for answer in answers.values())
    wait_until(lambda: not any(event in _streams for event in answers))


def test_a_waiting_job_that_is_cancelled_leaves_the_line(site, connect, busy):
    file = handle_file(site.photo("cancelled.png", 16, 16))
    jobs = [connect().submit(image=file, preset="anime-fast", api_name="/enhance") for _ in range(2)]
    wait_until(lambda: waiting(site) == 2)
    jobs[1].cancel()
    wait_until(lambda: waiting(site) == 1, seconds=10)
    busy()
    assert jobs[0].result(timeout=60)


def test_made_up_sessions_of_one_address_keep_no_other_address_waiting(site, busy, monkeypatch):
    began, decode = [], pipeline.decode

    def decoded(order: Any) -> Any:
        began.append(Path(order.source).name)
        return decode(order)

    monkeypatch.setattr(pipeline, "decode", decoded)
    flood, small, events = uploaded(site, "flood.png"), uploaded(site, "small.png"), []
    for number in range(9):
        picture, address = (flood, "203.0.113.1") if number < 8 else (small, "203.0.113.2")
        headers = {"x-forwarded-for": address}
        asked = {"data": [picture, *VALUES], "session_hash": f"made up {number}"}
        events.append(httpx.post(f"{site.url}gradio_api/call/enhance", json=asked, headers=headers).json()["event_id"])
        wait_until(lambda number=number: waiting(site) == number + 1)

    busy()
    assert all("event: complete" in told(site, "enhance", event) for event in events)
    assert began.index("small.png") <= 2, "one run was next in the queue when it came"
