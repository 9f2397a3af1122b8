"""The clients of the load test: their requests, and checks of the responses."""

from __future__ import annotations

import asyncio
import html
import io
import json
import random
import re
import secrets
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image, PngImagePlugin
from skimage import data

from enhance import Enhancer
from enhance.web.params import settings_from_call

from .site import SETTINGS

SIZES = ((24, 32), (40, 28), (33, 33), (18, 60), (52, 20), (30, 30))
SQUARE = 24
USUAL: dict[str, Any] = {**SETTINGS, "preset": "anime-fast"}
OUTPUT_SETTINGS = ("format", "quality", "metadata")
"""Settings of the output file, which change no pixel."""
TUNED: tuple[dict[str, Any], ...] = (
    {"contrast": 1.3},
    {"saturation": 0.4, "sharpen": 0.6},
    {"strength": 0.5},
    {"scale": 2},
)
BROKEN = (b"no image at all", b"\x89PNG\r\n\x1a\n" + bytes(40), b"GIF89a\xff\xff\xff\xff", b"")
PATIENCE = 300.0


@dataclass(frozen=True, eq=False)
class Known:
    """An image and its expected results by settings, computed in this process: the whole and the central square."""

    pixels: np.ndarray
    wholes: dict[str, np.ndarray]
    squares: dict[str, np.ndarray]

    def file(self, mark: str = "") -> bytes:
        """Return the image as a PNG. With another `mark` it is another file, so that no result is cached."""
        written, info = io.BytesIO(), PngImagePlugin.PngInfo()
        info.add_text("Comment", mark)
        Image.fromarray(self.pixels).save(written, "PNG", pnginfo=info)
        return written.getvalue()


def known_images(folder: Path, count: int = len(SIZES)) -> list[Known]:
    """Return parts of a photo with all results that the clients request, computed in this process."""
    enhancer, photo, known = Enhancer(data=folder / "known"), data.astronaut(), []
    folder.mkdir(parents=True, exist_ok=True)
    for number, (height, width) in enumerate(SIZES[:count]):
        one = Known(np.ascontiguousarray(photo[60 + 25 * number :, 150:][:height, :width]), {}, {})
        path = folder / f"known-{number}.png"
        path.write_bytes(one.file())
        for changes in ({}, *TUNED):
            values = {name: value for name, value in (USUAL | changes).items() if name not in OUTPUT_SETTINGS}
            settings = settings_from_call(**values)
            one.wholes[json.dumps(changes)] = _pixels(enhancer.run(path, settings).path.read_bytes())
            one.squares[json.dumps(changes)] = enhancer.preview(path, settings, size=SQUARE).after
        known.append(one)
    enhancer.release()
    return known


def _pixels(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image)


def _event(config: dict[str, Any], name: str, element: str = "") -> dict[str, Any]:
    """Return the page's handler of an event, of the element with this id if one is given."""
    ids = {one["id"] for one in config["components"] if one["props"].get("elem_id") == element}
    targets = ((one, target) for one in config["dependencies"] for target in one["targets"])
    return next(one for one, (part, event) in targets if event == name and (not element or part in ids))


@dataclass
class Tally:
    """The observations of all clients: seconds by kind of request, rejections by message, and failures."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Rejection(Exception):
    """The server responded with an error message."""


class Client:
    """A client that sends one request after the other, each in a session of its own."""

    def __init__(self, url: str, number: int, known: list[Known], tally: Tally):
        address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
        self.number, self._known, self._tally = number, known, tally
        self._random = random.Random(number)
        self._key = {"x-enhance-key": secrets.token_hex(16)}
        self._http = httpx.AsyncClient(
            base_url=url, timeout=PATIENCE, headers={"x-forwarded-for": address}, trust_env=False
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def send_until(self, until: float) -> None:
        """Send random requests until this time of `time.monotonic`."""
        names, weights = zip(*MIX.items(), strict=True)
        await asyncio.sleep(self._random.random())
        while time.monotonic() < until:
            (name,) = self._random.choices(names, weights)
            await self.send(name)
            await asyncio.sleep(self._random.uniform(0, 0.5))

    async def send(self, name: str) -> None:
        """Send a request of the mix and record its outcome in the tally."""
        begun = time.monotonic()
        try:
            await getattr(self, name)()
        except Rejection as rejection:
            self._tally.refused[re.sub(r"\d+([.,]\d+)*", "N", str(rejection))] += 1
        except Exception as error:
            self._tally.failed.append(f"{name}: {type(error).__name__}: {error}"[:300])
        else:
            self._tally.done[name] += 1
            self._tally.seconds[name].append(time.monotonic() - begun)

    async def run(self) -> None:
        await self._enhance(self._random.choice(self._known), {}, secrets.token_hex(4))

    async def retune(self) -> None:
        await self._enhance(self._random.choice(self._known), self._random.choice(TUNED))

    async def preview(self) -> None:
        known, changes = self._random.choice(self._known), self._random.choice(({}, *TUNED))
        file = await self._upload(known.file())
        _, after, _ = await self._call("preview", [file, None, None, SQUARE, *(USUAL | changes).values()])
        self._compare("preview", await self._download(after), known.squares[json.dumps(changes)])

    async def batch(self) -> None:
        chosen = self._random.sample(range(len(self._known)), 2)
        files = [
            await self._upload(self._known[number].file(secrets.token_hex(4)), f"batch-{number}.png")
            for number in chosen
        ]
        files.append(await self._upload(BROKEN[0], "broken.png"))
        archive, info = await self._call("batch", [files, *USUAL.values()])
        if (info["done"], info["failed"]) != (2, 1):
            self._tally.wrong.append(f"batch: {info['done']} done, {info['failed']} failed")
            return
        with zipfile.ZipFile(io.BytesIO(await self._download(archive))) as packed:
            for number in chosen:
                file = packed.read(f"batch-{number}-4x.png")
                self._compare("batch", file, self._known[number].wholes["{}"])

    async def report(self) -> None:
        session = secrets.token_hex(8)
        info = await self._enhance(self._random.choice(self._known), {}, session=session)
        (pdf,) = await self._call("report", [info["task_id"]], session)
        if not (await self._download(pdf)).startswith(b"%PDF"):
            self._tally.wrong.append("report: no PDF")

    async def light(self) -> None:
        (answer,) = await self._call(self._random.choice(("status", "presets")), [])
        if not answer:
            self._tally.wrong.append("light: an empty answer")

    async def broken(self) -> None:
        await self._enhance(self._known[0], {}, file=self._random.choice(BROKEN))
        self._tally.wrong.append("broken: the file was accepted as an image")

    async def leave(self) -> None:
        """Start a run, read one event, and disconnect."""
        event = await self._post("enhance", [await self._fresh(), *USUAL.values()])
        async with self._stream(f"gradio_api/call/enhance/{event}") as lines:
            await anext(lines, None)

    async def unread(self) -> None:
        """Start a run and never read its events."""
        await self._post("enhance", [await self._fresh(), *USUAL.values()])

    async def page(self) -> None:
        """Open the page as a browser does, wait for its first event, and close it."""
        async with self._open_page():
            pass

    async def request_regions(self, address: str, size: tuple[int, int], count: int) -> list[httpx.Response]:
        """Request the whole photo of this `size` (width, height) at a fourth of it, `count` times at once."""
        box = {"left": 0, "top": 0, "width": size[0], "height": size[1], "step": 4}
        return await asyncio.gather(*(self._http.get(address, params=box) for _ in range(count)))

    @asynccontextmanager
    async def photo_page(self, file: bytes) -> AsyncIterator[str]:
        """Open a page and choose a photo; yield the address of the photo's regions, and close the page at the end."""
        async with self._open_page() as (session, config):
            components = {one["id"]: one["props"] for one in config["components"]}
            upload = _event(config, "upload", "upload")
            values = [components[one].get("value") for one in upload["inputs"][1:]]
            outputs = await self._send_event(session, upload, [await self._upload(file), *values])
            place = [components[one].get("elem_id") for one in upload["outputs"]].index("photo")
            value = outputs[place]
            shown = value["value"] if isinstance(value, dict) else value
            yield json.loads(html.unescape(re.findall(r'data-photo="([^"]*)"', shown)[0]))["address"]

    @asynccontextmanager
    async def _open_page(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Open the page and wait for its first event; yield its session and the configuration of the page."""
        session = secrets.token_hex(6)
        self._check(await self._http.get("/"))
        config = self._check(await self._http.get("config")).json()
        async with self._stream(f"gradio_api/heartbeat/{session}") as alive:
            await anext(alive)
            await self._send_event(session, _event(config, "load"), [session, "", None])
            yield session, config

    async def _send_event(self, session: str, handler: dict[str, Any], given: list[Any]) -> list[Any]:
        """Send an event of the page and return the new values of its outputs."""
        trigger = handler["targets"][0][0]
        event = {"data": given, "fn_index": handler["id"], "session_hash": session, "trigger_id": trigger}
        self._check(await self._http.post("gradio_api/queue/join", json=event, headers=self._key))
        async with self._stream(f"gradio_api/queue/data?session_hash={session}") as lines:
            async for line in lines:
                if line.startswith("data: "):
                    message = json.loads(line[6:])
                    if message["msg"] == "process_completed":
                        return message["output"].get("data", [])
        raise ConnectionError("the answer ended early")

    async def _enhance(
        self,
        known: Known,
        changes: dict[str, Any],
        mark: str = "",
        file: bytes | None = None,
        session: str | None = None,
    ) -> dict[str, Any]:
        given = await self._upload(known.file(mark) if file is None else file)
        result, info = await self._call("enhance", [given, *(USUAL | changes).values()], session)
        self._compare("run", await self._download(result), known.wholes[json.dumps(changes)])
        return info

    async def _fresh(self) -> dict[str, Any]:
        return await self._upload(self._random.choice(self._known).file(secrets.token_hex(4)))

    async def _upload(self, file: bytes, name: str = "soak.png") -> dict[str, Any]:
        answer = self._check(await self._http.post("gradio_api/upload", files={"files": (name, file)}))
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    async def _post(self, name: str, given: list[Any], session: str | None = None) -> str:
        more = {"session_hash": session} if session else {}
        answer = await self._http.post(f"gradio_api/call/{name}", json={"data": given, **more})
        return self._check(answer).json()["event_id"]

    async def _call(self, name: str, given: list[Any], session: str | None = None) -> list[Any]:
        """Call an endpoint and return its result. Raises Rejection."""
        event, kind = await self._post(name, given, session), ""
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
        """Return the response. Raises Rejection for an error message, httpx.HTTPStatusError for other errors."""
        if 400 <= answer.status_code < 500 and (message := answer.json().get("detail")):
            raise Rejection(message)
        return answer.raise_for_status()

    def _compare(self, what: str, file: bytes, wanted: np.ndarray) -> None:
        """Compare the pixels of a file with the expected ones, and record a difference."""
        if not np.array_equal(_pixels(file), wanted):
            self._tally.wrong.append(f"{what}: other pixels")


MIX = {
    "run": 22,
    "preview": 18,
    "retune": 12,
    "light": 18,
    "page": 8,
    "batch": 4,
    "report": 4,
    "broken": 6,
    "leave": 4,
    "unread": 3,
}
"""The weights of the requests, by the names of the methods of `Client`."""
