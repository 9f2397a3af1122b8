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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
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

    def file(self, mark: str = "") -> bytes:
        """Return the image as a PNG. With another `mark` it is another file, so that no result is
        cached."""
        written, info = io.BytesIO(), PngImagePlugin.PngInfo()
        info.add_text("Comment", mark)
        Image.fromarray(self.pixels).save(written, "PNG", pnginfo=info)
        return written.getvalue()


def known_images(folder: Path, count: int = len(SIZES)) -> list[Known]:
    """Return parts of a photo with all results that the clients request, computed in this
    process."""
    enhancer = Enhancer(data=folder / "known")
    photo = data.astronaut()
    known = []
    folder.mkdir(parents=True, exist_ok=True)
    for number, (height, width) in enumerate(SIZES[:count]):
        one = Known(np.ascontiguousarray(photo[60 + 25 * number :, 150:][:height, :width]))
        path = folder / f"known-{number}.png"
        path.write_bytes(one.file())
        for changes in TUNED:
            settings = settings_from_call(PRESET, **changes)
            one.wholes[json.dumps(changes)] = _pixels(
                enhancer.run(path, settings).path.read_bytes()
            )
            preview = enhancer.preview(path, settings, size=SQUARE)
            one.squares[json.dumps(changes)] = preview.after
            one.place.update(preview.info["preview"])
        known.append(one)
    enhancer.release()
    return known


def _pixels(file: bytes) -> np.ndarray:
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
    def requests(self) -> int:
        return sum(map(len, self.seconds.values())) + self.refused.total() + len(self.failed)


class Rejection(Exception):
    """The server responded with an error message."""


class Client:
    """A client that sends one request after the other, from an address of its own.

    A `named` client has a key, starts jobs with names and reconnects to them.
    """

    def __init__(
        self, url: str, number: int, known: list[Known], tally: Tally, *, named: bool = False
    ):
        address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
        headers = {"x-forwarded-for": address}
        if named:
            headers["x-enhance-key"] = secrets.token_hex(16)
        self.jobs: dict[str, bool] = {}
        """The names of the client's jobs, in the order of their starts, and whether they have a
        result."""
        self._mix = NAMED if named else ANONYMOUS
        self._known, self._tally = known, tally
        self._random = random.Random(number)
        self._http = httpx.AsyncClient(
            base_url=url, timeout=PATIENCE, headers=headers, trust_env=False
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def send_until(self, until: float) -> None:
        """Send random requests until this time of `time.monotonic`."""
        kinds, weights = zip(*self._mix.items(), strict=True)
        await asyncio.sleep(self._random.random())
        while time.monotonic() < until:
            (kind,) = self._random.choices(kinds, weights)
            await self.send(kind)
            await asyncio.sleep(self._random.uniform(0, 0.5))

    async def send(self, kind: str) -> None:
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

    async def run(self) -> None:
        """Enhance an image, which the server can have already."""
        known = self._random.choice(self._known)
        mark = self._random.choice(("", secrets.token_hex(4)))
        await self._enhance(known, self._random.choice(TUNED), known.file(mark))

    async def preview(self) -> None:
        known = self._random.choice(self._known)
        changes = self._random.choice(TUNED)
        area = self._random.choice(({"size": SQUARE}, known.place))
        image = await self._upload(known.file())
        _, after, _ = await self._call("preview", image=image, preset=PRESET, **area, **changes)
        self._compare("preview", await self._download(after), known.squares[json.dumps(changes)])

    async def batch(self) -> None:
        await self._check_batch(*await self._batch_request())

    async def report(self) -> None:
        known = self._random.choice(self._known)
        info = await self._enhance(known, {}, known.file())
        (pdf,) = await self._call("report", task_id=info["task_id"])
        if not (await self._download(pdf)).startswith(b"%PDF"):
            self._tally.wrong.append("report: no PDF")

    async def light(self) -> None:
        (answer,) = await self._call(self._random.choice(("status", "presets")))
        if not answer:
            self._tally.wrong.append("light: an empty answer")

    async def broken(self) -> None:
        """Send a damaged file, which the server must reject."""
        with suppress(Rejection):
            await self._enhance(self._known[0], {}, self._random.choice(BROKEN))
            self._tally.wrong.append("broken: the file was accepted as an image")

    async def leave(self) -> None:
        """Start a run, and disconnect or never read its events."""
        request = await self._run_request()
        if self._random.random() < 0.5:
            await self._post("enhance", request)
        else:
            await self._glimpse("enhance", request, 1)

    async def page(self) -> None:
        """Load the page as a browser does."""
        for address in ("/", "config"):
            self._check(await self._http.get(address))

    async def follow(self) -> None:
        """Start a run with a name, lose the connection and follow it to its end."""
        await self._follow_run(secrets.token_hex(8))

    async def follow_batch(self) -> None:
        """Start a batch with a name, lose the connection and follow it to its end."""
        request, chosen = await self._batch_request()
        request["job"] = self._name_job(secrets.token_hex(8))
        await self._reconnect("batch", request)
        info = await self._check_batch(request, chosen)
        self._finish_job(request["job"], *(file["info"] for file in info["files"] if file["info"]))

    async def withdraw(self) -> None:
        """Cancel a job. It can have ended before."""
        name = self._name_job(secrets.token_hex(8))
        await self._glimpse("enhance", await self._run_request() | {"job": name}, 3)
        await self._call("cancel", job=name)

    async def intrude(self) -> None:
        """Use the name of another client's job, which must neither show nor cancel it."""
        others = [name for name in self._tally.names[-30:] if name not in self.jobs]
        name = self._random.choice(others or [secrets.token_hex(8)])
        await self._follow_run(name)
        await self._call("cancel", job=name)

    async def check_list(self) -> None:
        """Check that the list of recent results has the newest jobs of this client once, and no
        others."""
        (runs,) = await self._call("runs")
        listed = [run["id"] for run in runs]
        newest = [name for name in list(self.jobs)[-MAX_RESULTS:] if self.jobs[name]]
        if len({*listed}) < len(listed) or not {*newest} <= {*listed} <= {*self.jobs}:
            self._tally.wrong.append(f"runs: {listed} instead of {newest}")

    def _name_job(self, name: str) -> str:
        """Record a job that starts now."""
        self.jobs[name] = False
        self._tally.names.append(name)
        return name

    def _finish_job(self, name: str, *infos: dict[str, Any]) -> None:
        self.jobs[name] = True
        self._tally.signatures += [info["signature"] for info in infos]

    async def _follow_run(self, name: str) -> None:
        known = self._random.choice(self._known)
        changes = self._random.choice(TUNED)
        image = await self._upload(known.file(secrets.token_hex(4)))
        request = {"image": image, "preset": PRESET, "job": self._name_job(name), **changes}
        await self._reconnect("enhance", request)
        result, info = await self._call("enhance", **request)
        self._compare("follow", await self._download(result), known.wholes[json.dumps(changes)])
        self._finish_job(name, info)

    async def _reconnect(self, endpoint: str, request: dict[str, Any]) -> None:
        """Send a request and disconnect, up to three times."""
        for _ in range(self._random.randrange(4)):
            await self._glimpse(endpoint, request, self._random.randrange(12))
            await asyncio.sleep(self._random.random())

    async def _glimpse(self, endpoint: str, request: dict[str, Any], lines: int) -> None:
        """Send a request, read a few lines of its events, and disconnect."""
        event = await self._post(endpoint, request)
        async with self._stream(f"gradio_api/call/{endpoint}/{event}") as received:
            for _ in range(lines):
                await anext(received, None)

    async def request_regions(
        self, address: str, size: tuple[int, int], count: int
    ) -> list[httpx.Response]:
        """Request the whole photo of this `size` (width, height) at a fourth of it, `count` times
        at once."""
        box = {"left": 0, "top": 0, "width": size[0], "height": size[1], "step": 4}
        return await asyncio.gather(*(self._http.get(address, params=box) for _ in range(count)))

    async def address_of(self, file: bytes) -> str:
        """Upload a photo and return the address of its regions."""
        (plan,) = await self._call("analyse", image=await self._upload(file))
        return plan["photo"]["address"]

    async def _enhance(self, known: Known, changes: dict[str, Any], file: bytes) -> dict[str, Any]:
        image = await self._upload(file)
        result, info = await self._call("enhance", image=image, preset=PRESET, **changes)
        self._compare("run", await self._download(result), known.wholes[json.dumps(changes)])
        return info

    async def _run_request(self) -> dict[str, Any]:
        """Return the parameters of a run that the server has not done."""
        known = self._random.choice(self._known)
        return {"image": await self._upload(known.file(secrets.token_hex(4))), "preset": PRESET}

    async def _batch_request(self) -> tuple[dict[str, Any], list[int]]:
        """Return the parameters of a batch with a damaged file, and the numbers of its other
        images."""
        chosen = self._random.sample(range(len(self._known)), 2)
        files = {
            f"batch-{number}.png": self._known[number].file(secrets.token_hex(4))
            for number in chosen
        }
        images = [
            await self._upload(file, name)
            for name, file in (files | {"broken.png": BROKEN[0]}).items()
        ]
        return {"images": images, "preset": PRESET}, chosen

    async def _check_batch(self, request: dict[str, Any], chosen: list[int]) -> dict[str, Any]:
        """Send a batch, check its images and return its `info`."""
        archive, info = await self._call("batch", **request)
        if (info["done"], info["failed"]) != (2, 1):
            self._tally.wrong.append(f"batch: {info['done']} done, {info['failed']} failed")
            return info
        with zipfile.ZipFile(io.BytesIO(await self._download(archive))) as packed:
            for number in chosen:
                self._compare(
                    "batch", packed.read(f"batch-{number}-4x.png"), self._known[number].wholes["{}"]
                )
        return info

    async def _upload(self, file: bytes, name: str = "soak.png") -> dict[str, Any]:
        answer = self._check(
            await self._http.post("gradio_api/upload", files={"files": (name, file)})
        )
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    async def _post(self, endpoint: str, request: dict[str, Any]) -> str:
        answer = await self._http.post(f"gradio_api/call/v2/{endpoint}", json=request)
        return self._check(answer).json()["event_id"]

    async def _call(self, name: str, **request: Any) -> list[Any]:
        """Call an endpoint and return its outputs. Raises Rejection."""
        event = await self._post(name, request)
        kind = ""
        async with self._stream(f"gradio_api/call/{name}/{event}") as lines:
            async for line in lines:
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: ") and kind == "complete":
                    return json.loads(line[6:])
                elif line.startswith("data: ") and kind == "error":
                    error = json.loads(line[6:])
                    raise Rejection(error["error"] if isinstance(error, dict) else error)
        raise ConnectionError(f"{name}: the answer ended early")

    async def _download(self, file: dict[str, Any]) -> bytes:
        return self._check(await self._http.get(f"gradio_api/file={file['path']}")).content

    @asynccontextmanager
    async def _stream(self, path: str) -> AsyncIterator[AsyncIterator[str]]:
        async with self._http.stream("GET", path) as answer:
            self._check(answer)
            yield answer.aiter_lines()

    def _check(self, answer: httpx.Response) -> httpx.Response:
        """Return the response. Raises Rejection for an error message, httpx.HTTPStatusError for
        other errors."""
        if 400 <= answer.status_code < 500 and (message := answer.json().get("detail")):
            raise Rejection(message)
        return answer.raise_for_status()

    def _compare(self, what: str, file: bytes, wanted: np.ndarray) -> None:
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
