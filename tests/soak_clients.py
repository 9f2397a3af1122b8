"""The clients of the load test: their requests, and checks of the responses."""

from __future__ import annotations

import asyncio
import io
import json
import random
import re
import secrets
import time
import zipfile
from collections import Counter, defaultdict
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from PIL import Image, PngImagePlugin
from skimage import data

from enhance import Enhancer
from enhance.i18n import catalogue
from enhance.store.recent_runs import MAX_RESULTS
from enhance.web.params import settings_from_call

SIZES = ((24, 32), (40, 28), (33, 33), (18, 60), (52, 20), (30, 30))
SQUARE = 24
PRESET = "anime-fast"
TUNED: tuple[dict[str, Any], ...] = (
    {},
    {"contrast": 1.3},
    {"saturation": 0.4, "sharpen": 0.6},
    {"strength": 0.5},
    {"scale": 2},
)
BROKEN = (b"no image at all", b"\x89PNG\r\n\x1a\n" + bytes(40), b"GIF89a\xff\xff\xff\xff", b"")
PATIENCE = 300.0
BUSY = {
    re.sub(r"{\w+}", "N", catalogue("en")[key])
    for key in ("queue_full", "queue_share", "queue_address")
}
"""The messages of a busy server, with N for each number."""


@dataclass(frozen=True, eq=False)
class Known:
    """An image and its expected results by settings, computed in this process: the whole and the
    central square.

    `place` is the square as a rectangle.
    """

    pixels: np.ndarray
    wholes: dict[str, np.ndarray] = field(default_factory=dict)
    squares: dict[str, np.ndarray] = field(default_factory=dict)
    place: dict[str, int] = field(default_factory=dict)

    def file(self, mark=""):
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
    photo = data.astronaut()
    known = []
    with Enhancer() as enhancer:
        for number, (height, width) in enumerate(SIZES[:count]):
            one = Known(np.ascontiguousarray(photo[60 + 25 * number :, 150:][:height, :width]))
            for changes in TUNED:
                settings = settings_from_call(PRESET, **changes)
                preview = enhancer.preview(one.pixels, settings, size=SQUARE)
                one.wholes[json.dumps(changes)] = enhancer.run(one.pixels, settings).array
                one.squares[json.dumps(changes)] = preview.after
                one.place.update(preview.info["preview"])
            known.append(one)
    return known


def _pixels(file):
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image)


@dataclass
class Tally:
    """The observations of all clients: seconds by kind of request, rejections by message, and
    failures.

    `names` are the jobs that clients have started, `signatures` those of the jobs that have ended
    with a result.
    """

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)

    @property
    def requests(self):
        return sum(map(len, self.seconds.values())) + self.refused.total() + len(self.failed)


class Rejection(Exception):
    """The server responded with an error message."""


class Client:
    """A client that sends one request after the other, from an address of its own.

    A `named` client has a key, starts jobs with names and reconnects to them.
    """

    def __init__(self, url, number, known, tally, *, named=False):
        address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
        headers = {"x-forwarded-for": address}
        if named:
            headers["x-enhance-key"] = secrets.token_hex(16)
        self.jobs: dict[str, bool] = {}
        """The names of the client's jobs, in the order of their starts, and whether they have a
        result."""
        self._mix = NAMED if named else ANONYMOUS
        self._known = known
        self._tally = tally
        self._random = random.Random(number)
        self._http = httpx.AsyncClient(
            base_url=url, timeout=PATIENCE, headers=headers, trust_env=False
        )

    async def close(self):
        await self._http.aclose()

    async def send_until(self, until):
        """Send random requests until this time of `time.monotonic`."""
        kinds, weights = zip(*self._mix.items(), strict=True)
        await asyncio.sleep(self._random.random())
        while time.monotonic() < until:
            (kind,) = self._random.choices(kinds, weights)
            await self.send(kind)
            await asyncio.sleep(self._random.uniform(0, 0.5))

    async def send(self, kind):
        """Send a request of the mix and record its outcome in the tally."""
        begun = time.monotonic()
        try:
            await getattr(self, kind)()
        except Rejection as rejection:
            self._tally.refused[re.sub(r"\d+([.,]\d+)*", "N", str(rejection))] += 1
        except Exception as error:
            self._tally.failed.append(f"{kind}: {type(error).__name__}: {error}"[:300])
        else:
            self._tally.seconds[kind].append(time.monotonic() - begun)

    async def run(self):
        """Enhance an image, which the server can have already."""
        known, changes = self._choose()
        mark = self._random.choice(("", secrets.token_hex(4)))
        await self._enhance(known, changes, await self._request(known, changes, known.file(mark)))

    async def preview(self):
        known, changes = self._choose()
        request = await self._request(known, changes, known.file())
        area = self._random.choice(({"size": SQUARE}, known.place))
        _, after, _ = await self._call("preview", **request, **area)
        self._compare("preview", await self._download(after), known.squares[json.dumps(changes)])

    async def batch(self):
        await self._check_batch(*await self._batch_request())

    async def report(self):
        known = self._random.choice(self._known)
        info = await self._enhance(known, {}, await self._request(known, {}))
        (pdf,) = await self._call("report", task_id=info["task_id"])
        if not (await self._download(pdf)).startswith(b"%PDF"):
            self._tally.wrong.append("report: no PDF")

    async def light(self):
        (answer,) = await self._call(self._random.choice(("status", "presets")))
        if not answer:
            self._tally.wrong.append("light: an empty answer")

    async def broken(self):
        """Send a damaged file, which the server must reject."""
        known = self._known[0]
        request = await self._request(known, {}, self._random.choice(BROKEN))
        with suppress(Rejection):
            await self._enhance(known, {}, request)
            self._tally.wrong.append("broken: the file was accepted as an image")

    async def leave(self):
        """Start a run, and disconnect or never read its events."""
        request = await self._request(*self._choose())
        await self._glimpse("enhance", request, self._random.choice((0, 1)))

    async def page(self):
        """Load the page as a browser does."""
        for address in ("/", "config"):
            self._check(await self._http.get(address))

    async def follow(self, name=""):
        """Start a run with a name, lose the connection and follow it to its end."""
        known, changes = self._choose()
        request = await self._request(known, changes)
        request["job"] = self._name_job(name or secrets.token_hex(8))
        await self._reconnect("enhance", request)
        self._finish_job(request["job"], await self._enhance(known, changes, request))

    async def follow_batch(self):
        """Start a batch with a name, lose the connection and follow it to its end."""
        request, chosen = await self._batch_request()
        request["job"] = self._name_job(secrets.token_hex(8))
        await self._reconnect("batch", request)
        info = await self._check_batch(request, chosen)
        self._finish_job(request["job"], *(file["info"] for file in info["files"] if file["info"]))

    async def withdraw(self):
        """Cancel a job. It can have ended before."""
        request = await self._request(*self._choose())
        request["job"] = self._name_job(secrets.token_hex(8))
        await self._glimpse("enhance", request, 3)
        await self._call("cancel", job=request["job"])

    async def intrude(self):
        """Use the name of another client's job, which must neither show nor cancel it."""
        others = [name for name in self._tally.names[-30:] if name not in self.jobs]
        name = self._random.choice(others or [secrets.token_hex(8)])
        await self.follow(name)
        await self._call("cancel", job=name)

    async def check_list(self):
        """Check that the list of recent results has the newest jobs of this client once, and no
        others."""
        (runs,) = await self._call("runs")
        listed = [run["id"] for run in runs]
        newest = [name for name in list(self.jobs)[-MAX_RESULTS:] if self.jobs[name]]
        if len({*listed}) < len(listed) or not {*newest} <= {*listed} <= {*self.jobs}:
            self._tally.wrong.append(f"runs: {listed} instead of {newest}")

    def _name_job(self, name):
        """Record a job that starts now."""
        self.jobs[name] = False
        self._tally.names.append(name)
        return name

    def _finish_job(self, name, *infos):
        self.jobs[name] = True
        self._tally.signatures += [info["signature"] for info in infos]

    async def _reconnect(self, endpoint, request):
        """Send a request and disconnect, up to three times."""
        for _ in range(self._random.randrange(4)):
            await self._glimpse(endpoint, request, self._random.randrange(12))
            await asyncio.sleep(self._random.random())

    async def _glimpse(self, endpoint, request, lines):
        """Send a request, read a few lines of its events, and disconnect."""
        event = await self._post(endpoint, request)
        if lines:
            async with self._stream(f"gradio_api/call/{endpoint}/{event}") as received:
                for _ in range(lines):
                    await anext(received, None)

    def _choose(self):
        """Return an image and settings."""
        return self._random.choice(self._known), self._random.choice(TUNED)

    async def _request(self, known, changes, file=None):
        """Return the parameters of a run, which the server has not done unless `file` is given."""
        if file is None:
            file = known.file(secrets.token_hex(4))
        return {"image": await self._upload(file), "preset": PRESET, **changes}

    async def _enhance(self, known, changes, request):
        """Send a run, check its image and return its `info`."""
        result, info = await self._call("enhance", **request)
        self._compare("run", await self._download(result), known.wholes[json.dumps(changes)])
        return info

    async def _batch_request(self):
        """Return the parameters of a batch with a damaged file, and the numbers of its other
        images."""
        chosen = self._random.sample(range(len(self._known)), 2)
        images = [await self._upload(BROKEN[0], "broken.png")]
        for number in chosen:
            file = self._known[number].file(secrets.token_hex(4))
            images.append(await self._upload(file, f"batch-{number}.png"))
        return {"images": images, "preset": PRESET}, chosen

    async def _check_batch(self, request, chosen):
        """Send a batch, check its images and return its `info`."""
        archive, info = await self._call("batch", **request)
        if (info["done"], info["failed"]) != (2, 1):
            self._tally.wrong.append(f"batch: {info['done']} done, {info['failed']} failed")
            return info
        with zipfile.ZipFile(io.BytesIO(await self._download(archive))) as packed:
            for number in chosen:
                file = packed.read(f"batch-{number}-4x.png")
                self._compare("batch", file, self._known[number].wholes["{}"])
        return info

    async def _upload(self, file, name="soak.png"):
        answer = self._check(
            await self._http.post("gradio_api/upload", files={"files": (name, file)})
        )
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    async def _post(self, endpoint, request):
        answer = await self._http.post(f"gradio_api/call/v2/{endpoint}", json=request)
        return self._check(answer).json()["event_id"]

    async def _call(self, name, **request):
        """Call an endpoint and return its outputs. Raises Rejection."""
        event = await self._post(name, request)
        kind = ""
        async with self._stream(f"gradio_api/call/{name}/{event}") as lines:
            async for line in lines:
                field, _, value = line.partition(": ")
                if field == "event":
                    kind = value
                elif field == "data" and kind == "complete":
                    return json.loads(value)
                elif field == "data" and kind == "error":
                    error = json.loads(value)
                    raise Rejection(error["error"] if isinstance(error, dict) else error)
        raise ConnectionError(f"{name}: the answer ended early")

    async def _download(self, file):
        return self._check(await self._http.get(f"gradio_api/file={file['path']}")).content

    @asynccontextmanager
    async def _stream(self, path):
        async with self._http.stream("GET", path) as answer:
            self._check(answer)
            yield answer.aiter_lines()

    def _check(self, answer):
        """Return the response. Raises Rejection for an error message, httpx.HTTPStatusError for
        other errors."""
        if 400 <= answer.status_code < 500 and (message := answer.json().get("detail")):
            raise Rejection(message)
        return answer.raise_for_status()

    def _compare(self, what, file, wanted):
        """Compare the pixels of a file with the expected ones, and record a difference."""
        if not np.array_equal(_pixels(file), wanted):
            self._tally.wrong.append(f"{what}: other pixels")


ANONYMOUS = {
    "run": 34,
    "preview": 18,
    "light": 18,
    "batch": 4,
    "broken": 6,
    "leave": 7,
}
"""The weights of the requests of a client as they are without names, by the methods of `Client`."""
NAMED = {
    "follow": 36,
    "preview": 14,
    "light": 14,
    "page": 8,
    "intrude": 10,
    "follow_batch": 6,
    "report": 6,
    "withdraw": 6,
}
"""The weights of the requests of a client that follows jobs by their names, as the page does."""
