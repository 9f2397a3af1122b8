"""What stands before Gradio: a request that is too large, or that wants what nobody may have, ends here.

A refusal is JSON with one sentence in the reader's language; Gradio and the handlers never see the request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import EnhanceError
from .language import language_asked
from .page_files import Limits

_API = "/gradio_api"
_TOOLS_FACTOR = 20
"""A model's tools cannot upload: they send a picture as a data: URL, so they may say more at once."""
_REMOTE = ("http://", "https://")


@dataclass
class Refused(Exception):
    """A request that is not let through; `status` is HTTP's."""

    status: int
    why: EnhanceError


class Guard:
    """Middleware that bounds every request and keeps the server from fetching anything for a client."""

    def __init__(self, app: ASGIApp, limits: Limits):
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._pass(scope, receive, send)
        except Refused as refused:
            said = refused.why.sentence(language_of_scope(scope))
            await JSONResponse({"error": said, "detail": said}, refused.status)(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_of(scope)
        if path.startswith(f"{_API}/file=") and path.removeprefix(f"{_API}/file=").lower().startswith(_REMOTE):
            raise Refused(403, EnhanceError("fetch_refused"))
        if scope["method"] == "POST" and path != f"{_API}/upload":
            tools = path.startswith(f"{_API}/mcp")
            body = await _bounded(scope, receive, self._limits.request_bytes * (_TOOLS_FACTOR if tools else 1))
            self._read(path, body)
            receive = _again(body, receive)
        await self._app(scope, receive, send)

    def _read(self, path: str, body: bytes) -> None:
        """Look at what the event brings, as JSON. Raises Refused."""
        try:
            given = json.loads(body) if body[:1] in (b"{", b"[") else None
        except (ValueError, RecursionError):
            return  # Gradio says what is wrong with it
        for one in _dicts(given):
            if _is_remote(one.get("path")) or (_is_remote(one.get("url")) and not _is_own(one)):
                raise Refused(403, EnhanceError("fetch_refused"))
            called = one.get("arguments")
            if path.startswith(f"{_API}/mcp") and any(map(_is_remote, _strings(called))):
                raise Refused(403, EnhanceError("fetch_refused"))


def path_of(scope: Scope) -> str:
    """The path of the request in this app, wherever that is mounted."""
    return "/" + scope["path"].removeprefix(scope.get("root_path", "")).strip("/")


def language_of_scope(scope: Scope) -> str:
    return language_asked(Headers(scope=scope).get("accept-language", ""))


def _is_remote(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower().startswith(_REMOTE)


def _is_own(file: dict[str, Any]) -> bool:
    """Whether the address is only where this server shows the file that `path` names; it is never fetched then."""
    path = file.get("path")
    return isinstance(path, str) and unquote(file["url"]).endswith(f"{_API}/file={path}")


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield one
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)


def _strings(value: Any) -> Iterator[str]:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)


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
