"""A flood of requests for regions of a large photo."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter

import numpy as np
from PIL import Image

from ..site import Site, photo
from ..soak_clients import Client, Tally
from .calls import run_in_thread

SIDE = 2400


def jpeg(side: int) -> bytes:
    written = io.BytesIO()
    Image.fromarray(np.resize(photo(240, 240), (side, side, 3))).save(written, "JPEG")
    return written.getvalue()


async def flood(site: Site) -> tuple[Counter[int], set[str], float, float]:
    """Return the status of each request, the messages, and the seconds of another user's region and light call."""
    flooding, other = (Client(site.url, number, [], Tally()) for number in (1, 2))
    async with flooding.photo_page(jpeg(SIDE)) as address, other.photo_page(jpeg(200)) as own:
        sent = asyncio.create_task(flooding.request_regions(address, (SIDE, SIDE), 150))
        guessed = asyncio.create_task(flooding.request_regions("display/" + "0" * 32 + "/photo/0", (SIDE, SIDE), 50))
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        (region,) = await other.request_regions(own, (200, 200), 1)
        shown = time.monotonic()
        await other.light()
        called = time.monotonic()
        answers = await sent
        assert region.status_code == 200
        assert {answer.status_code for answer in await guessed} == {404}
        (again,) = await flooding.request_regions(address, (SIDE, SIDE), 1)
        assert Image.open(io.BytesIO(again.content)).size == (SIDE // 4, SIDE // 4)
    for client in (flooding, other):
        await client.close()
    messages = {answer.json()["error"] for answer in answers if answer.status_code != 200}
    return Counter(answer.status_code for answer in answers), messages, shown - begun, called - shown


def test_a_flood_of_regions_is_rejected_and_delays_no_other_user(site: Site):
    statuses, messages, region, light = run_in_thread(flood(site))
    assert set(statuses) == {200, 429}
    assert statuses[200] >= 8
    assert statuses[429] > 50
    assert all("at once. Try again" in message for message in messages)
    assert max(region, light) < 10
