"""The cards of the presets: which of them are sent, to whom, and how many at once."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from typing import Any

import gradio as gr
import httpx
import pytest
from PIL import Image
from starlette.applications import Starlette

from enhance.settings import AUTO
from enhance.web import cards
from enhance.web.display import DISPLAY_ROUTE
from enhance.web.security import RejectedRequest
from enhance.web.services import register
from enhance.web.views import Call

from ..site import WatchedEnhancer
from .calls import run_in_thread

OTHER = "0" * 32


def request_cards(call: Call, *changes: dict[str, Any]) -> list[httpx.Response | RejectedRequest]:
    """Request cards of the photo at once, each with these changes of its address; return the responses in order."""
    app: Any = Starlette(routes=[DISPLAY_ROUTE])
    app.blocks = gr.Blocks()
    register(app.blocks, call.services)
    upload = call.session.upload
    assert upload is not None
    usual = {"folder": call.session.folder.name, "version": upload.version, "preset": "anime-fast"}
    usual |= {"left": 20, "top": 10, "width": 48, "height": 40, "step": 1}

    async def request_all() -> list[Any]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test/display/") as client:
            places = [usual | one for one in changes]
            addresses = [f"{place.pop('folder')}/card/{place.pop('version')}" for place in places]
            requests = (client.get(address, params=place) for address, place in zip(addresses, places, strict=True))
            return await asyncio.gather(*requests, return_exceptions=True)

    return run_in_thread(request_all())


def status(response: Any) -> int:
    return response.status if isinstance(response, RejectedRequest) else response.status_code


def test_a_card_shows_its_region_at_the_scale_of_the_preset(call):
    (card,) = request_cards(call, {})
    assert isinstance(card, httpx.Response)
    with Image.open(io.BytesIO(card.content)) as image:
        assert (image.format, image.size) == ("JPEG", (192, 160))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"folder": OTHER}, 404),
        ({"version": "0" * 16}, 404),
        ({"preset": "no such preset"}, 204),
        ({"preset": AUTO}, 204),
        ({"preset": ""}, 204),
        ({"width": 49}, 400),
        ({"left": 90}, 400),
        ({"height": "x"}, 400),
    ],
)
def test_other_requests_for_cards_compute_nothing(call, changed, expected):
    (response,) = request_cards(call, changed)
    assert status(response) == expected
    assert call.services.enhancer.calls["card"] == 0


@pytest.mark.parametrize(("seconds", "expected"), [(cards.MAX_SECONDS, 200), (1.01 * cards.MAX_SECONDS, 204)])
def test_a_preset_that_would_take_more_than_five_seconds_has_no_card(call, monkeypatch, seconds, expected):
    monkeypatch.setattr(WatchedEnhancer, "estimate_preview", lambda *_: seconds)
    assert cards.MAX_SECONDS == 5
    (response,) = request_cards(call, {})
    assert status(response) == expected
    assert call.services.enhancer.calls["card"] == (expected == 200)


def test_a_flood_of_requests_for_cards_is_rejected_and_the_last_card_is_sent_afterwards(call):
    statuses = Counter(map(status, request_cards(call, *[{}] * 40)))
    assert statuses[429] == 32
    assert statuses.keys() <= {200, 204, 429}, "a newer request cancels an earlier card"
    (again,) = request_cards(call, {})
    assert status(again) == 200
