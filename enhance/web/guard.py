"""What stands before Gradio: a request that is too large, or that wants what nobody may have, ends here.

A refusal is JSON with one sentence in the reader's language; Gradio and the handlers never see the request.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode
from collections.abc import Collection, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from mimetypes import guess_extension
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar
from urllib.parse import unquote

from gradio_client import handle_file
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..config import Limits
from ..errors import EnhanceError, PictureError, SettingsError
from ..files import FULL
from ..tasks import Reservation, TaskStore
from .line import LISTENERS
from .metrics import Metrics
from .page_files import discard_upload
from .wishes import language_of_scope

T = TypeVar("T")
API = "/gradio_api"
_TOOLS_FACTOR = 20
"""A model's tools cannot upload: they send a picture as a data: URL, so they may say more at once."""
_CLOSED = (
    "/monitoring",
    *(
        f"{API}/{name}"
        for name in ("dev", "token", "proxy=", "runs", "run-history", "profiling", "process_recording", "deep_link")
    ),
    *(f"{API}/{name}vibe" for name in ("", "undo-")),
)
"""What Gradio serves for those who write an app, and nobody needs who uses one."""
_STEP = 8_000_000
"""An upload that does not tell its size reserves disk space in such steps."""
_NAMES = ("path", "url", "orig_name")
_LONGEST_NAME = 4096
_REMOTE = ("http://", "https://")


@dataclass
class Refused(Exception):
    """A request that is not let through; `status` is HTTP's."""

    status: int
    why: EnhanceError


class Guard:
    """Middleware that bounds every request and keeps the server from fetching anything for a client."""

    def __init__(
        self, app: ASGIApp, limits: Limits, metrics: Metrics, tasks: TaskStore, public_host: str | None = None
    ):
        self._app, self._limits, self._metrics, self._public = app, limits, metrics, public_host
        self._tasks = tasks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._pass(scope, receive, send)
        except Refused as refused:
            self._metrics.refused(refused.why)
            said = refused.why.sentence(language_of_scope(scope))
            headers = {"connection": "close"}  # what is still to come of the body is nobody's
            await JSONResponse({"error": said, "detail": said}, refused.status, headers)(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_of(scope)
        if path.startswith(_CLOSED):
            raise Refused(404, EnhanceError("nothing_here"))
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            self._check_origin(Headers(scope=scope), {self._public, _shared_name(scope)} - {None, ""})
        if path.startswith(f"{API}/file=") and path.removeprefix(f"{API}/file=").lower().startswith(_REMOTE):
            raise Refused(403, EnhanceError("fetch_refused"))
        if scope["method"] == "POST" and path == f"{API}/upload":
            with Reservation(self._tasks) as room:
                await self._upload(scope, receive, send, room)
            return
        if scope["method"] == "POST":
            tools = path.startswith(f"{API}/mcp")
            body = await _bounded(scope, receive, self._limits.request_bytes * (_TOOLS_FACTOR if tools else 1))
            self._read(path, body)
            with Reservation(self._tasks) as room:
                if tools and not await run_in_threadpool(room.extend, len(body)):
                    raise Refused(507, EnhanceError("upload_no_room"))
            receive = _again(body, receive)
        name = _listened_to(scope, path) if scope["method"] == "GET" else None
        with LISTENERS.listening(name) if name else nullcontext():
            await self._app(scope, receive, send)

    def _check_origin(self, headers: Headers, public: Collection[str | None]) -> None:
        """Let a page of another address change nothing here; it has the `public` names. Raises Refused."""
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if not (_is_near(_name_in(host)) or _name_in(host) in public):
            raise Refused(403, EnhanceError("host_unknown", host=_name_in(host)))
        if origin is not None:
            place = origin.lower().partition("://")[2]
            if not place or (place != host and _name_in(place) not in public):
                raise Refused(403, EnhanceError("origin_foreign"))

    def _read(self, path: str, body: bytes) -> None:
        """Look at what the event brings, as JSON. Raises Refused."""
        try:
            given = json.loads(body) if body[:1] in (b"{", b"[") else None
        except (ValueError, RecursionError):
            return  # Gradio says what is wrong with it
        files = 0
        for one in _inside(given, dict):
            files += "path" in one or "url" in one
            if files > self._limits.files:
                raise Refused(413, EnhanceError("too_many_files", limit=self._limits.files))
            if any(len(text) > _LONGEST_NAME for name in _NAMES if isinstance(text := one.get(name), str)):
                raise Refused(413, EnhanceError("name_too_long", limit=_LONGEST_NAME))
            if _is_remote(one.get("path")) or (_is_remote(one.get("url")) and not _is_own(one)):
                raise Refused(403, EnhanceError("fetch_refused"))
            called = one.get("arguments")
            if path.startswith(f"{API}/mcp") and any(_is_foreign(text) for text in _inside(called, str)):
                raise Refused(403, EnhanceError("fetch_refused"))

    async def _upload(self, scope: Scope, receive: Receive, send: Send, room: Reservation) -> None:
        """Let files through as they come, and stop as soon as they are too many or too large together."""
        headers = Headers(scope=scope)
        most, files = self._limits.batch_bytes, _Files(headers.get("content-type", ""))
        too_large = Refused(413, EnhanceError("upload_too_large", limit=f"{most / 1e6:g}"))
        said = headers.get("content-length", "0")
        size = int(said) if said.isdecimal() else 0
        no_room = Refused(507, EnhanceError("upload_no_room"))
        refused = too_large if size > most else None
        if refused is None and not await run_in_threadpool(room.extend, size):
            refused = no_room
        if refused:
            raise refused

        async def counted() -> Message:
            nonlocal refused
            message = await receive()
            files.add(message.get("body", b""))
            if files.count > self._limits.files:
                refused = Refused(413, EnhanceError("too_many_files", limit=self._limits.files))
            elif files.bytes > most:
                refused = too_large
            elif files.bytes > room.bytes and not await run_in_threadpool(room.extend, _STEP):
                refused = no_room
            return {"type": "http.disconnect"} if refused else message

        async def answered(message: Message) -> None:
            if refused is None:
                await send(message)

        try:
            await self._app(scope, counted, answered)
        except (ClientDisconnect, OSError) as error:
            discard_upload(error)
            if isinstance(error, OSError) and error.errno in FULL:
                refused = no_room
            if refused is None:
                raise
        if refused is not None:
            raise refused


def _shared_name(scope: Scope) -> str:
    """The host name of Gradio's tunnel to the page, if there is one."""
    address = getattr(getattr(scope.get("app"), "blocks", None), "share_url", None) or ""
    return _name_in(address.lower().partition("://")[2])


def _name_in(authority: str) -> str:
    """The host of `host:port`."""
    return authority.rpartition("]")[0].lstrip("[") if authority.startswith("[") else authority.partition(":")[0]


def _is_near(host: str) -> bool:
    """Whether no foreign name server can have made this name: an address, this machine, or one of the local network."""
    with suppress(ValueError):
        return bool(ip_address(host))
    return "." not in host or host.endswith((".local", ".localhost"))


def _listened_to(scope: Scope, path: str) -> str | None:
    """The session or the event of which this request reads what comes, for as long as it is open."""
    if path == f"{API}/queue/data":
        return Request(scope).query_params.get("session_hash")
    return path.rpartition("/")[2] if path.startswith((f"{API}/call/", f"{API}/heartbeat/")) else None


class _Files:
    """Counts the bytes and the parts of a multipart body while it passes."""

    def __init__(self, content_type: str):
        boundary = content_type.partition("boundary=")[2].split(";")[0].strip('" ')
        self._mark = b"--" + boundary.encode("latin-1", "replace")
        self._end = b""
        self.bytes = self.count = 0

    def add(self, body: bytes) -> None:
        self.bytes += len(body)
        if len(self._mark) > 2:
            seen = self._end + body
            self.count += seen.count(self._mark + b"\r\n")
            self._end = seen[-len(self._mark) - 1 :]


def path_of(scope: Scope) -> str:
    """The path of the request in this app, wherever that is mounted."""
    return "/" + scope["path"].removeprefix(scope.get("root_path", "")).strip("/")


def handed_over(name: str, given: Any) -> Any:
    """What an agent gives for the parameter `name`, for Gradio's client: a picture as a file that was uploaded here.

    That client would send any file of this server that a value names. Raises PictureError and SettingsError.
    """
    if name == "images" and isinstance(given, list):
        return [_picture(one) for one in given]
    if name in ("image", "images"):
        return _picture(given)
    if isinstance(given, dict | list):
        raise SettingsError("agent_no_value", name=name)
    return given


def _picture(given: object) -> Any:
    """The file of a data: URL, or the one that an upload answered with. Raises EnhanceError."""
    root, text = Path(os.environ["GRADIO_TEMP_DIR"]).resolve(), given if isinstance(given, str) else ""
    try:
        if text.startswith("data:"):
            return handle_file(_kept(root / token_hex(32), *text.removeprefix("data:").split(",", 1)))
        path = Path(unquote(text.rpartition(f"{API}/file=")[2])).resolve()
        if path.is_relative_to(root) and path.is_file():
            return handle_file(path)
    except (ValueError, TypeError, OSError) as error:
        if getattr(error, "errno", None) in FULL:
            raise EnhanceError("upload_no_room") from error
    raise PictureError("agent_no_picture")


def _kept(folder: Path, head: str, body: str) -> Path:
    """The file that a data: URL makes, called as its `name=` says."""
    kind, *more = head.split(";")
    names = [unquote(one.removeprefix("name=")) for one in more if one.startswith("name=")]
    path = folder / (Path(*names[:1]).name or f"picture{guess_extension(kind) or ''}")
    data = b64decode(body)
    folder.mkdir(parents=True)
    path.write_bytes(data)
    return path


def _is_remote(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower().startswith(_REMOTE)


def _is_own(file: dict[str, Any]) -> bool:
    """Whether the address is only where this server shows the file that `path` names; it is never fetched then."""
    path = file.get("path")
    return isinstance(path, str) and unquote(file["url"]).endswith(f"{API}/file={path}")


def _is_foreign(text: str) -> bool:
    """Whether it is an address, and not that of an upload, of which the path alone is read."""
    return _is_remote(text) and f"{API}/file=" not in text


def _inside(value: Any, kind: type[T]) -> Iterator[T]:
    """What is of this kind in JSON, however deep it lies."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, kind):
            yield one
        if isinstance(one, dict | list):
            left.extend(one.values() if isinstance(one, dict) else one)


async def _bounded(scope: Scope, receive: Receive, most: int) -> bytes:
    """The body of the request. Raises Refused as soon as it is known to be larger than `most` bytes."""
    said = Headers(scope=scope).get("content-length", "0")
    size = int(said) if said.isdecimal() else 0
    parts: list[bytes] = []
    while size <= most:
        message = await receive()
        parts.append(message.get("body", b""))
        size = max(size, sum(map(len, parts)))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    if size > most:
        raise Refused(413, EnhanceError("request_too_large", limit=f"{most / 1e6:g}"))
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read already, then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return left.pop() if left else await receive()

    return receive_again
