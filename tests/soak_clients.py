"""The clients of the load test: their requests, and checks of the responses."""

import asyncio
import io
import json
import random
import re
import secrets
import time
from collections import Counter
from typing import Any

import httpx
import numpy as np
from PIL import Image, PngImagePlugin

from enhance import Enhancer
from enhance.i18n import catalogue
from enhance.web.params import settings_from_call

from .site import photo

SIZES = ((24, 32), (40, 28), (33, 33), (18, 60), (52, 20), (30, 30))
SQUARE = 24
PRESET = "anime-fast"
TUNED: tuple[dict[str, Any], ...] = ({}, {"contrast": 1.3}, {"strength": 0.5}, {"scale": 2})
BROKEN = (b"no image at all", b"\x89PNG\r\n\x1a\n" + bytes(40), b"")
BUSY = {
    re.sub(r"{\w+}", "N", catalogue("en")[key])
    for key in ("queue_full", "queue_share", "queue_address")
}
"""The messages of a busy server, with N for each number."""
REQUESTS = {
    "run": 20,
    "follow": 20,
    "preview": 15,
    "information": 15,
    "broken": 5,
    "leave": 5,
    "cancel": 5,
    "page": 5,
}
"""The weights of the requests of a client, by the methods of `Client`."""


class Known:
    """An image and its expected results by settings, computed in this process: the whole and the
    central square."""

    def __init__(self, pixels):
        self.pixels = pixels
        self.wholes = []
        self.squares = []

    def file(self, mark):
        """Return the image as a PNG. With another `mark` it is another file, so that no result is
        cached."""
        written = io.BytesIO()
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", mark)
        Image.fromarray(self.pixels).save(written, "PNG", pnginfo=info)
        return written.getvalue()


def known_images(count):
    """Return parts of a photo with all results that the clients request, computed in this
    process."""
    known = []
    with Enhancer() as enhancer:
        for height, width in SIZES[:count]:
            one = Known(photo(height, width))
            for changes in TUNED:
                settings = settings_from_call(PRESET, **changes)
                one.wholes.append(enhancer.run(one.pixels, settings).array)
                one.squares.append(enhancer.preview(one.pixels, settings, size=SQUARE).after)
            known.append(one)
    return known


class Tally:
    """The observations of all clients: the requests by their kind, rejections by message, and wrong
    responses.

    `names` are the jobs that clients have started, `signatures` those of the jobs that have ended
    with a result.
    """

    def __init__(self):
        self.done = Counter()
        self.refused = Counter()
        self.wrong = []
        self.names = set()
        self.signatures = []

    @property
    def requests(self):
        return self.done.total() + self.refused.total()


class Rejection(Exception):
    """The server responded with an error message."""


class Client:
    """A client that sends one request after the other, with a key and from an address of its
    own."""

    def __init__(self, url, number, known, tally):
        headers = {
            "x-forwarded-for": f"10.0.0.{number}",
            "x-enhance-key": secrets.token_hex(16),
        }
        self.tally = tally
        self._names = set()
        self._known = known
        self._random = random.Random(number)
        self._http = httpx.AsyncClient(base_url=url, timeout=300, headers=headers, trust_env=False)

    async def close(self):
        await self._http.aclose()

    async def send_each(self, rounds):
        """Send requests of each kind, one after the other."""
        for kind in [*REQUESTS] * rounds:
            await self._send(kind)

    async def send_until(self, until):
        """Send random requests until this time of `time.monotonic`."""
        while time.monotonic() < until:
            await asyncio.sleep(self._random.random())
            (kind,) = self._random.choices([*REQUESTS], [*REQUESTS.values()])
            await self._send(kind)

    async def _send(self, kind):
        """Send a request and record its outcome in the tally."""
        try:
            await getattr(self, kind)()
        except Rejection as rejection:
            self.tally.refused[re.sub(r"\d+([.,]\d+)*", "N", str(rejection))] += 1
        except Exception as error:
            self.tally.wrong.append(f"{kind}: {error!r}"[:300])
        else:
            self.tally.done[kind] += 1

    async def run(self):
        """Enhance an image, which the server can have already."""
        await self._enhance(self._random.choice(("", secrets.token_hex(4))))

    async def follow(self):
        """Start a run with a name, lose the connection and follow it to its end."""
        name = self._new_name()
        info = await self._enhance(secrets.token_hex(4), self._random.randrange(4), job=name)
        self.tally.signatures.append(info["signature"])

    async def preview(self):
        known, number, request = await self._choose("")
        _, after, _ = await self._call("preview", **request, size=SQUARE)
        self._compare(await self._download(after), known.squares[number])

    async def information(self):
        for endpoint in ("status", "presets", "runs"):
            await self._call(endpoint)

    async def broken(self):
        """Send a damaged file, which the server must reject."""
        image = await self._upload(self._random.choice(BROKEN))
        try:
            await self._call("enhance", image=image, preset=PRESET)
        except Rejection:
            return
        raise AssertionError("the file was accepted as an image")

    async def leave(self):
        """Start a run, and disconnect or never read its events."""
        await self._start(self._random.choice((0, 1)))

    async def cancel(self):
        """Cancel a job. It can have ended before."""
        name = self._new_name()
        await self._start(3, job=name)
        await self._call("cancel", job=name)

    async def page(self):
        """Load the page as a browser does."""
        for address in ("/", "config"):
            self._check(await self._http.get(address))

    def _new_name(self):
        """Return a name for a job. Another client can have a job with the same name."""
        others = self.tally.names - self._names
        name = self._random.choice([secrets.token_hex(8), *sorted(others)[:1]])
        self.tally.names.add(name)
        self._names.add(name)
        return name

    async def _choose(self, mark):
        """Return an image, the number of its settings, and the parameters of its run."""
        known = self._random.choice(self._known)
        number = self._random.randrange(len(TUNED))
        image = await self._upload(known.file(mark))
        return known, number, {"image": image, "preset": PRESET, **TUNED[number]}

    async def _enhance(self, mark, losses=0, **job):
        """Send a run, and again after each lost connection; check its image and return its
        `info`."""
        known, number, request = await self._choose(mark)
        for _ in range(losses):
            await self._glimpse(self._random.randrange(12), **request, **job)
        result, info = await self._call("enhance", **request, **job)
        self._compare(await self._download(result), known.wholes[number])
        return info

    async def _start(self, lines, **job):
        """Start a run and disconnect."""
        _, _, request = await self._choose(secrets.token_hex(4))
        await self._glimpse(lines, **request, **job)

    async def _glimpse(self, lines, **request):
        """Send a run, read a few lines of its events, and disconnect."""
        events = await self._post("enhance", request)
        if lines:
            async with self._http.stream("GET", events) as received:
                texts = self._check(received).aiter_lines()
                for _ in range(lines):
                    await anext(texts, None)

    async def _upload(self, file):
        answer = await self._http.post("gradio_api/upload", files={"files": ("soak.png", file)})
        return {"path": self._check(answer).json()[0], "meta": {"_type": "gradio.FileData"}}

    async def _call(self, endpoint, **request):
        """Call an endpoint and return its outputs. Raises Rejection."""
        events = self._check(await self._http.get(await self._post(endpoint, request))).text
        end = re.search("^event: (complete|error)\ndata: (.*)", events, re.MULTILINE)
        if not end:
            raise ConnectionError(f"{endpoint}: the answer ended early")
        value = json.loads(end[2])
        if end[1] == "error":
            raise Rejection(value["error"])
        return value

    async def _post(self, endpoint, request):
        """Start a call and return the path of its events."""
        answer = await self._http.post(f"gradio_api/call/v2/{endpoint}", json=request)
        return f"gradio_api/call/{endpoint}/{self._check(answer).json()['event_id']}"

    async def _download(self, file):
        return self._check(await self._http.get(f"gradio_api/file={file['path']}")).content

    def _check(self, answer):
        """Return the response. Raises Rejection for an error message, httpx.HTTPStatusError for
        other errors."""
        if 400 <= answer.status_code < 500 and (message := answer.json().get("detail")):
            raise Rejection(message)
        return answer.raise_for_status()

    def _compare(self, file, expected):
        """Compare the pixels of a file with the expected ones."""
        with Image.open(io.BytesIO(file)) as image:
            assert np.array_equal(np.asarray(image), expected), "other pixels"
