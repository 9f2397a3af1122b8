"""What stands before Gradio: a request that is too large, or that wants what nobody may have, ends here.

A refusal is JSON with one sentence in the reader's language; Gradio and the handlers never see the request.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from base64 import b64decode
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from mimetypes import guess_extension
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import unquote

from gradio_client import handle_file
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..config import Limits
from ..errors import EnhanceError, PictureError, SettingsError
from ..files import FULL
from ..store import Reservation, TaskStore
from .calls import API, Calls, UnknownEndpointError, inside, is_uploaded
from .gradio_changes import upload_files_deleted
from .jobs import listening
from .metrics import Metrics
from .params import language_of_scope

log = logging.getLogger(__name__)

_TOOLS_FACTOR = 20
"""A model's tools cannot upload: they send a picture as a data: URL, so they may say more at once."""
_CLOSED = (
    "/monitoring",
    *(
        f"{API}/{name}"
        for name in ("dev", "token", "proxy=", "runs", "run-history", "profiling", "process_recording", "deep_link")
    ),
    f"{API}/component_server",
    *(f"{API}/{name}vibe" for name in ("", "undo-")),
)
"""What Gradio serves for those who write an app, and nobody needs who uses one."""
_FILES = (f"{API}/file=", f"{API}/file/")
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
    """Middleware that checks where a request comes from, and answers with a sentence for every error behind it."""

    def __init__(self, app: ASGIApp, metrics: Metrics, public_host: str | None = None):
        self._app, self._metrics, self._public = app, metrics, public_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def answered(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if path_of(scope).startswith(_CLOSED):
                raise Refused(404, EnhanceError("nothing_here"))
            if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                self._check_origin(Headers(scope=scope), {self._public, _shared_name(scope)} - {None, ""})
            await self._app(scope, receive, answered)
        except Refused as refused:
            await self._refuse(refused, scope, receive, send)
        except ClientDisconnect:
            pass  # nobody is left to answer
        except Exception as error:
            if started:
                raise
            log.error("A request failed", exc_info=error)
            await self._refuse(Refused(500, EnhanceError("unexpected")), scope, receive, send)

    async def _refuse(self, refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        self._metrics.refused(refused.why)
        said = refused.why.sentence(language_of_scope(scope))
        headers = {"connection": "close"}  # what is still to come of the body is nobody's
        await JSONResponse({"error": said, "detail": said}, refused.status, headers)(scope, receive, send)

    def _check_origin(self, headers: Headers, public: Collection[str | None]) -> None:
        """Let a page of another address change nothing here; it has the `public` names. Raises Refused."""
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if not (_is_near(_name_in(host)) or _name_in(host) in public):
            raise Refused(403, EnhanceError("host_unknown", host=_name_in(host)))
        if origin is not None:
            place = origin.lower().partition("://")[2]
            if not place or (place != host and _name_in(place) not in public):
                raise Refused(403, EnhanceError("origin_foreign"))


class RequestChecks:
    """Middleware that bounds every request and keeps the server from fetching anything for a client.

    It comes after the login: it reads bodies, and its errors name the endpoints.
    """

    def __init__(self, app: ASGIApp, limits: Limits, tasks: TaskStore):
        self._app, self._limits, self._tasks = app, limits, tasks
        self._calls: Calls | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = path_of(scope)
        if path.startswith(_FILES) and path[len(_FILES[0]) :].lower().startswith(_REMOTE):
            raise Refused(403, EnhanceError("fetch_refused"))
        if scope["method"] == "POST" and path == f"{API}/upload":
            with Reservation(self._tasks) as room:
                await self._upload(scope, receive, send, room)
            return
        if scope["method"] == "POST":
            tools = path.startswith(f"{API}/mcp")
            body = await _bounded(scope, receive, self._limits.request_bytes * (_TOOLS_FACTOR if tools else 1))
            if path.startswith(f"{API}/"):
                self._read(scope, path, body)
            with Reservation(self._tasks) as room:
                if tools and not await run_in_threadpool(room.extend, len(body)):
                    raise Refused(507, EnhanceError("upload_no_room"))
            receive = _again(body, receive)
        if scope["method"] == "GET" and path.startswith(f"{API}/call/"):
            self._check(scope, lambda calls: calls.check_event(path))
        name = _listened_to(scope, path) if scope["method"] == "GET" else None
        with listening(name) if name else nullcontext():
            await self._answer(scope, path, receive, send)

    async def _answer(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        """Let Gradio answer. Raises Refused in place of its answer to a request of the wrong form."""
        refused = False

        async def answered(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] == 422:
                refused = path.startswith(f"{API}/")
            if not refused:
                await send(message)

        await self._app(scope, receive, answered)
        if refused:
            raise Refused(400, EnhanceError("api_malformed"))

    def _read(self, scope: Scope, path: str, body: bytes) -> None:
        """Check what the request contains, decoded as the frameworks behind decode it. Raises Refused."""
        try:
            given = json.loads(body) if body else None
        except (ValueError, RecursionError) as error:
            raise Refused(400, EnhanceError("api_no_json")) from error
        texts = list(inside(_arguments(given), str)) if path.startswith(f"{API}/mcp") else []
        files = sum(text.startswith("data:") for text in texts)
        for one in inside(given, dict):
            files += "path" in one or "url" in one
            if any(len(text) > _LONGEST_NAME for name in _NAMES if isinstance(text := one.get(name), str)):
                raise Refused(413, EnhanceError("name_too_long", limit=_LONGEST_NAME))
            if _is_remote(one.get("path")) or (_is_remote(one.get("url")) and not _is_own(one)):
                raise Refused(403, EnhanceError("fetch_refused"))
        if files > self._limits.files:
            raise Refused(413, EnhanceError("too_many_files", limit=self._limits.files))
        if any(_is_foreign(text) for text in texts):
            raise Refused(403, EnhanceError("fetch_refused"))
        self._check(scope, lambda calls: calls.check(path, given))

    def _check(self, scope: Scope, check: Callable[[Calls], None]) -> None:
        """Do a check with the functions of the app. Raises Refused."""
        if self._calls is None and (blocks := getattr(scope.get("app"), "blocks", None)):
            self._calls = Calls(blocks)
        if self._calls is not None:
            try:
                check(self._calls)
            except EnhanceError as error:
                raise Refused(404 if isinstance(error, UnknownEndpointError) else 400, error) from error

    async def _upload(self, scope: Scope, receive: Receive, send: Send, room: Reservation) -> None:
        """Let files through as they come, and stop as soon as they are too many or too large together."""
        headers = Headers(scope=scope)
        parts = _Parts(headers.get("content-type", ""), self._limits)
        said = headers.get("content-length", "0")
        size = int(said) if said.isdecimal() else 0
        if size > self._limits.batch_bytes:
            raise parts.too_large()
        no_room = Refused(507, EnhanceError("upload_no_room"))
        if not await run_in_threadpool(room.extend, size):
            raise no_room
        refused: Refused | None = None

        async def counted() -> Message:
            nonlocal refused
            message = await receive()
            try:
                parts.add(message)
                if parts.bytes > room.bytes and not await run_in_threadpool(room.extend, _STEP):
                    raise no_room
            except Refused as error:
                refused = error
            return {"type": "http.disconnect"} if refused else message

        async def answered(message: Message) -> None:
            if refused is None:
                await send(message)

        try:
            with upload_files_deleted():
                await self._app(scope, counted, answered)
        except OSError as error:
            if error.errno not in FULL:
                raise
            refused = no_room
        except ClientDisconnect:
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


class _Parts:
    """Checks the parts of an upload while they pass, with the parser that Gradio uses. Raises Refused."""

    def __init__(self, content_type: str, limits: Limits):
        self._limits, self.bytes, self._count = limits, 0, 0
        self._ended = False
        self._header, self._value, self._disposition = b"", b"", b""
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or b"boundary" not in options:
            raise _malformed()
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._add_to_header,
                    "on_header_value": self._add_to_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._check_header,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _malformed() from error

    def add(self, message: Message) -> None:
        body = message.get("body", b"")
        self.bytes += len(body)
        if self.bytes > self._limits.batch_bytes:
            raise self.too_large()
        try:
            self._parser.write(body)
        except FormParserError as error:
            raise _malformed() from error
        if message["type"] == "http.request" and not message.get("more_body") and not self._ended:
            raise _malformed()

    def too_large(self) -> Refused:
        return Refused(413, EnhanceError("upload_too_large", limit=f"{self._limits.batch_bytes / 1e6:g}"))

    def _begin(self) -> None:
        self._count += 1
        self._disposition = b""
        if self._count > self._limits.files:
            raise Refused(413, EnhanceError("too_many_files", limit=self._limits.files))

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _check_header(self) -> None:
        """Gradio keeps other parts in memory, or as files that nobody asks for."""
        options = parse_options_header(self._disposition)[1]
        if options.get(b"name") != b"files" or b"filename" not in options:
            raise _malformed()

    def _end(self) -> None:
        self._ended = True


def _malformed() -> Refused:
    return Refused(400, EnhanceError("upload_malformed"))


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


_KEPT: ContextVar[list[Path] | None] = ContextVar("kept", default=None)


@contextmanager
def data_urls_deleted() -> Iterator[None]:
    """Delete the files that the block makes of data: URLs; Gradio's client has uploaded them by then."""
    folders: list[Path] = []
    token = _KEPT.set(folders)
    try:
        yield
    finally:
        _KEPT.reset(token)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _picture(given: object) -> Any:
    """The file of a data: URL, or the one that an upload answered with. Raises EnhanceError."""
    root, text = Path(os.environ["GRADIO_TEMP_DIR"]).resolve(), given if isinstance(given, str) else ""
    try:
        if text.startswith("data:"):
            return handle_file(_kept(root / token_hex(32), *text.removeprefix("data:").split(",", 1)))
        path = Path(unquote(text.rpartition(f"{API}/file=")[2])).resolve()
        if is_uploaded(path) and path.is_file():
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
    if (folders := _KEPT.get()) is not None:
        folders.append(folder)
    folder.mkdir(parents=True)
    path.write_bytes(data)
    return path


def _arguments(given: Any) -> list[Any]:
    """What a request of the Model Context Protocol, or each of several, gives to its tool."""
    calls = [one.get("params") for one in (given if isinstance(given, list) else [given]) if isinstance(one, dict)]
    return [call.get("arguments") for call in calls if isinstance(call, dict)]


def _is_remote(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower().startswith(_REMOTE)


def _is_own(file: dict[str, Any]) -> bool:
    """Whether the address is only where this server shows the file that `path` names; it is never fetched then."""
    path = file.get("path")
    return isinstance(path, str) and unquote(file["url"]).endswith(f"{API}/file={path}")


def _is_foreign(text: str) -> bool:
    """Whether it is an address, and not that of an upload, of which the path alone is read."""
    return _is_remote(text) and f"{API}/file=" not in text


async def _bounded(scope: Scope, receive: Receive, most: int) -> bytes:
    """The body of the request. Raises Refused as soon as it is known to be larger than `most` bytes."""
    said = Headers(scope=scope).get("content-length", "0")
    size = int(said) if said.isdecimal() else 0
    body = bytearray()
    while max(size, len(body)) <= most:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    if max(size, len(body)) > most:
        raise Refused(413, EnhanceError("request_too_large", limit=f"{most / 1e6:g}"))
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read already, then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return left.pop() if left else await receive()

    return receive_again
