"""A flood of requests for regions of a large photo."""

from __future__ import annotations

import asyncio
import io
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


def guess(address: str) -> str:
    """Return the address of another file with the same signature."""
    head, folder, name = address.rsplit("/", 2)
    return f"{head}/{folder[::-1]}/{name}"


async def flood(site: Site) -> None:
    flooding, other = (Client(site.url, number, [], Tally()) for number in (1, 2))
    address, own = await flooding.address_of(jpeg(SIDE)), await other.address_of(jpeg(200))
    sent = asyncio.create_task(flooding.request_regions(address, (SIDE, SIDE), 150))
    guessed = asyncio.create_task(flooding.request_regions(guess(address), (SIDE, SIDE), 50))
    (region,) = await other.request_regions(own, (200, 200), 1)
    await other.light()
    assert region.status_code == 200
    answers = await sent
    assert {answer.status_code for answer in await guessed} == {404}
    (again,) = await flooding.request_regions(address, (SIDE, SIDE), 1)
    assert Image.open(io.BytesIO(again.content)).size == (SIDE // 4, SIDE // 4)
    for client in (flooding, other):
        await client.close()
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    assert statuses[200] >= 8
    assert statuses[429] > 50
    rejected = [answer.json()["error"] for answer in answers if answer.status_code == 429]
    assert all("at once. Try again" in message for message in rejected)


def test_a_flood_of_regions_is_rejected_and_other_users_are_served(site: Site):
    run_in_thread(flood(site))
