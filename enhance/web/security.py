"""ASGI middleware in front of Gradio: response headers, origin checks, the login and limits for
every request.

A rejected request gets JSON with one sentence in the client's language. Gradio and the handlers
never see it.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import deque
from collections.abc import Collection
from contextlib import nullcontext, suppress
from hashlib import sha256
from hmac import compare_digest
from http.cookies import SimpleCookie
from ipaddress import ip_address

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..config import Limits
from ..errors import EnhanceError, expected_error
from ..files import FULL
from ..i18n import translate
from ..images.listing import OWN_PREFIX
from ..store import Reservation, TaskStore
from . import gradio_changes
from .calls import API, HTTP_API, check_call, check_event, check_files, status_of
from .metrics import METRICS, Metrics, is_local_request
from .owners import key_of
from .params import language_of
from .services import services_of
from .streams import listening

_MCP_BODY_FACTOR = 20
"""MCP tools cannot upload. They send images as data: URLs, so their requests can be larger."""
_HTTP_FOLDER = HTTP_API.rpartition("/")[0] + "/"
_DEVELOPER_NAMES = (
    "dev",
    "token",
    "proxy=",
    "runs",
    "run-history",
    "profiling",
    "process_recording",
    "deep_link",
    "component_server",
    "vibe",
    "undo-vibe",
)
_DEVELOPER_ROUTES = (
    "/monitoring",
    "/openapi.json",
    *(f"{API}/{name}" for name in _DEVELOPER_NAMES),
)
"""Routes of Gradio for app developers, which are closed here."""
_UPLOADS = (f"{API}/upload", HTTP_API)
"""The routes that receive files."""
_UPLOAD_STEP = 8_000_000
"""An upload of unknown size reserves disk space in steps of this many bytes."""
_MAX_PART_BYTES = 255
"""The maximum length of a part of a path. File systems have no longer names."""
_FAILURE_SECONDS = 60.0
_MAX_FAILURES = 5

_PUBLIC_PATHS = {"/healthz", "/robots.txt", f"{API}/startup-events"}
"""Paths that never require a login. Gradio requests startup-events itself, which only has an effect
once."""
_LOGIN_PATHS = {"/", "/theme.css", "/favicon.ico", "/manifest.json"}
_LOGIN_FOLDERS = ("/assets/", "/static/")
"""Files of Gradio's login page, which are the same for every app."""

_POLICIES = {
    "page": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' blob: data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'",
    "file": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}
"""Gradio's front end compiles the `js=` of events and writes scripts and styles into its page."""


class _Middleware:
    """Middleware that changes the response to HTTP requests. It closes web sockets, which no route
    uses."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] == "http":
            await self._respond(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError


class SecurityHeaders(_Middleware):
    """Middleware that sets the content security policy. Uploaded files and results can run
    nothing."""

    def __init__(self, app: ASGIApp, frame_ancestors: str):
        super().__init__(app)
        self._policies = {
            kind: f"{policy}; frame-ancestors {frame_ancestors}"
            for kind, policy in _POLICIES.items()
        }

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_file = path_of(scope).startswith((f"{API}/file", f"{API}/stream", _HTTP_FOLDER))
        headers = {
            "content-security-policy": self._policies["file" if is_file else "page"],
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
        }

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class OriginCheck(_Middleware):
    """Middleware that rejects requests of other sites, closes developer routes and turns every
    error into JSON."""

    def __init__(self, app: ASGIApp, metrics: Metrics, public_host: str | None = None):
        super().__init__(app)
        self._metrics = metrics
        self._public_host = public_host

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            path = path_of(scope)
            if path.startswith(_DEVELOPER_ROUTES) or not _is_possible(path):
                raise EnhanceError("nothing_here")
            if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                share_host = _host_name(gradio_changes.share_url(scope).lower().partition("://")[2])
                _check_origin(Headers(scope=scope), {self._public_host, share_host} - {None, ""})
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            if not has_started:
                await Response(status_code=499)(scope, receive, send)
        except Exception as error:
            if has_started:
                raise
            reason = expected_error(error, "A request failed")
            self._metrics.count_error(reason)
            await _rejection(reason, language_of(Request(scope)))(scope, receive, send)


def _rejection(reason: EnhanceError, language: str) -> Response:
    """Return the response to a rejected request."""
    status = status_of(reason)
    values = reason.values
    headers = {"connection": "close"}  # The rest of the body is not read.
    seconds = values.get("seconds") or 60 * values.get("minutes", 0)
    if seconds and status == 429:
        headers["retry-after"] = str(seconds)
    sentence = reason.message(language)
    return JSONResponse({"error": sentence, "detail": sentence}, status, headers)


def _is_possible(path: str) -> bool:
    """Return whether a file or a page can have this path. Gradio fails with other paths."""
    is_plain = all(" " <= character != "\x7f" for character in path)
    return is_plain and all(len(part.encode()) <= _MAX_PART_BYTES for part in path.split("/"))


def _check_origin(headers: Headers, public_hosts: Collection[str | None]) -> None:
    """Raise EnhanceError for an unknown host name (DNS rebinding) or the origin of another site."""
    host = headers.get("host", "").lower()
    origin = headers.get("origin")
    if not (_is_local_name(_host_name(host)) or _host_name(host) in public_hosts):
        raise EnhanceError("host_unknown", host=_host_name(host))
    if origin is not None:
        authority = origin.lower().partition("://")[2]
        if not authority or (authority != host and _host_name(authority) not in public_hosts):
            raise EnhanceError("origin_foreign")


def _host_name(authority: str) -> str:
    """Return the host of `host:port`."""
    if authority.startswith("["):
        return authority.rpartition("]")[0].lstrip("[")
    return authority.partition(":")[0]


def _is_local_name(host: str) -> bool:
    """Return whether no foreign name server can control this name: an IP address, or a name of the
    local network."""
    with suppress(ValueError):
        return bool(ip_address(host))
    return "." not in host or host.endswith((".local", ".localhost"))


class Access(_Middleware):
    """Middleware that requires Gradio's login or an API key, if the server has any, and slows down
    password guessing.

    For programs, a key replaces the login. The page requires the login. A server with keys alone
    has no page. An address can send _MAX_FAILURES wrong passwords per minute. A POST to /logout
    ends one session. The metrics are also for programs of this machine.
    """

    def __init__(self, app: ASGIApp, keys: Collection[str] = ()):
        super().__init__(app)
        self._keys = keys
        self._failures = deque[tuple[float, str]]()  # time and address, oldest first

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_of(scope)
        method = scope["method"]
        app = self._app
        has_login = gradio_changes.has_login(scope)
        if not (self._keys or has_login):
            await app(scope, receive, send)
            return
        is_user = gradio_changes.user_of(scope) is not None
        if not is_user and path != "/":
            client = _client_of_key(Headers(scope=scope), self._keys)
            if client:
                scope = gradio_changes.as_user(scope, client)
                is_user = True
        if path == "/" and not has_login and method in ("GET", "HEAD"):
            app = PlainTextResponse(translate(language_of(Request(scope)), "programs_only"))
        elif has_login and path == "/login" and method == "POST":
            app = self._log_in
        elif has_login and path == "/logout":
            if method != "POST":
                raise EnhanceError("logout_is_post")
            # Gradio's own route accepts GET, so a link on another site could log a user out of all
            # sessions.
            scope = {**scope, "method": "GET", "query_string": b"all_session=false"}
        elif not (is_user or _is_public(scope, path, has_login)):
            if not has_login:
                raise EnhanceError("key_missing")
            raise EnhanceError("login_or_key" if self._keys else "login_first")
        await app(scope, receive, send)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one login attempt. Raises EnhanceError after too many failures."""
        address = str((scope.get("client") or [""])[0])
        now = time.monotonic()
        while self._failures and now - self._failures[0][0] >= _FAILURE_SECONDS:
            self._failures.popleft()
        own = [at for at, one in self._failures if one == address]
        if len(own) >= _MAX_FAILURES:
            seconds = math.ceil(own[-_MAX_FAILURES] + _FAILURE_SECONDS - now)
            raise EnhanceError("login_too_often", seconds=seconds)
        attempt = now, address
        # Counted before the response, so that concurrent attempts count.
        self._failures.append(attempt)

        async def send_login_response(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] < 400:
                    with suppress(ValueError):  # It has expired during a slow response.
                        self._failures.remove(attempt)
                headers = []
                for name, value in message["headers"]:
                    if name.lower() == b"set-cookie":
                        value = _strict_cookie(value, scope["scheme"])
                    headers.append((name, value))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_login_response)


def _is_public(scope: Scope, path: str, has_login: bool) -> bool:
    """Return whether a request needs neither a login nor a key, although the server has them."""
    if path in _PUBLIC_PATHS:
        return True
    if has_login and (path in _LOGIN_PATHS or path.startswith(_LOGIN_FOLDERS)):
        return True
    return path == METRICS and is_local_request(scope)


def _client_of_key(headers: Headers, keys: Collection[str]) -> str | None:
    """Return a name for the client whose API key a request has; None if it has none of `keys`.

    The name does not contain the key.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = headers.get("x-api-key", "")
    given = token.strip().encode()
    # All keys are compared, so that the time does not depend on which one matches.
    matches = [key for key in keys if compare_digest(key.encode(), given)]
    return f"key {sha256(given).hexdigest()[:16]}" if matches else None


def _strict_cookie(cookie: bytes, scheme: str) -> bytes:
    """Return the cookie with HttpOnly and SameSite=Lax, and with Secure if the request came by
    TLS."""
    parsed = SimpleCookie(cookie.decode("latin-1"))
    for one in parsed.values():
        one["httponly"] = True
        one["samesite"] = "Lax"
        one["secure"] = scheme == "https"
    return parsed.output(header="").strip().encode("latin-1")


class RequestChecks(_Middleware):
    """Middleware that limits the size of requests and rejects calls that Gradio could not handle.

    It comes after the login because it reads bodies and its errors name the endpoints.
    """

    def __init__(self, app: ASGIApp, limits: Limits, tasks: TaskStore):
        super().__init__(app)
        self._limits = limits
        self._tasks = tasks

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_of(scope)
        method = scope["method"]
        key_of(Headers(scope=scope))
        if path.startswith(f"{API}/file") and any(
            part.startswith(OWN_PREFIX) for part in re.split(r"[/\\]", path)
        ):
            raise EnhanceError("result_gone")  # A marker or a partial file of the program.
        if method == "POST" and path in _UPLOADS:
            with Reservation(self._tasks) as space:
                await self._upload(scope, receive, send, space)
            return
        if method == "POST":
            limit = self._limits.request_bytes
            if path.startswith(f"{API}/mcp"):
                limit *= _MCP_BODY_FACTOR
            body = await _read_body(scope, receive, limit)
            if path.startswith(f"{API}/"):
                body = self._check_body(scope, path, body)
            receive = _replay(body, receive)
        if method == "GET" and path.startswith(f"{API}/call/"):
            check_event(scope, path)
        name = _stream_name(scope, path) if method == "GET" else None
        with listening(name) if name else nullcontext():
            await self._app(gradio_changes.without_other_ranges(scope), receive, send)

    def _check_body(self, scope: Scope, path: str, body: bytes) -> bytes:
        """Return the JSON of a request, checked, completed and in UTF-8. Raises EnhanceError."""
        try:
            given = json.loads(body) if body else None
            # Gradio cannot respond with values that JSON does not support: NaN and lone surrogates.
            json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:
            raise EnhanceError("api_no_json") from error
        # A tool checks its arguments itself, because it returns their errors.
        if not path.startswith(f"{API}/mcp"):
            check_call(scope, services_of(scope).endpoints, path, given)  # completes `data`
            check_files(given, self._limits.files)
        if not body:
            return body
        return json.dumps(given).encode()

    async def _upload(self, scope: Scope, receive: Receive, send: Send, space: Reservation) -> None:
        """Forward an upload while it arrives. Stops as soon as a limit is exceeded or the disk is
        full."""
        no_space = EnhanceError("upload_no_room")
        limit = self._limits.batch_bytes
        size = _content_length(Headers(scope=scope))
        received = 0

        async def check_size(size: int, reserve: int) -> None:
            if size > limit:
                raise EnhanceError("upload_too_large", limit=f"{limit / 1e6:g}")
            if size > space.bytes and not await run_in_threadpool(space.extend, reserve):
                raise no_space

        async def receive_checked() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            await check_size(received, _UPLOAD_STEP)
            return message

        await check_size(size, size)
        try:
            with gradio_changes.clean_up_after_request():
                await self._app(scope, receive_checked, send)
        except OSError as error:
            if error.errno in FULL:
                raise no_space from error
            raise


def path_of(scope: Scope) -> str:
    """Return the path of the request within the app, without the root path of a mount or proxy."""
    return "/" + scope["path"].removeprefix(scope.get("root_path", "")).strip("/")


def _stream_name(scope: Scope, path: str) -> str | None:
    """Return the session or the event whose messages this request reads; None for other
    requests."""
    if path == f"{API}/queue/data":
        return Request(scope).query_params.get("session_hash")
    if path.startswith((f"{API}/call/", f"{API}/heartbeat/")):
        return path.rpartition("/")[2]
    return None


def _content_length(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


async def _read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Return the body of the request. Raises EnhanceError as soon as more than `limit` bytes are
    expected."""
    size = _content_length(Headers(scope=scope))
    body = bytearray()
    while max(size, len(body)) <= limit:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return bytes(body)
    raise EnhanceError("request_too_large", limit=f"{limit / 1e6:g}")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that returns the body that was read already, then the following
    messages."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
