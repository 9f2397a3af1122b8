"""The ASGI middleware in front of Gradio: response headers, origin checks, the login and limits for
every request.

A rejected request gets JSON with one sentence in the client's language. Gradio and the handlers
never see it.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Collection
from contextlib import nullcontext, suppress
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import EnhanceError, expected_error
from ..files import FULL
from ..i18n import translate
from ..images.listing import OWN_PREFIX
from ..store import Reservation
from . import gradio_changes
from .calls import API, HTTP_API, check_call, check_event, check_files, status_of
from .metrics import METRICS, is_local_request
from .owners import key_of
from .params import language_of
from .services import Services
from .streams import listening

_MCP_BODY_FACTOR = 20
"""MCP tools cannot upload. They send images as data: URLs, so their requests can be larger."""
_HTTP_FOLDER = HTTP_API.rpartition("/")[0] + "/"
_DEVELOPER_ROUTES = re.compile(
    rf"/monitoring|/openapi\.json|{API}/(dev|token|proxy=|runs|run-history|profiling"
    "|process_recording|deep_link|component_server|vibe|undo-vibe)"
)
"""Routes of Gradio for app developers, which are closed here."""
_UPLOADS = (f"{API}/upload", HTTP_API)
"""The routes that receive files."""
_UPLOAD_STEP = 8_000_000
"""An upload of unknown size reserves disk space in steps of this many bytes."""
_IMPOSSIBLE_PATH = re.compile(rb"[\x00-\x1f\x7f]|[^/]{256}")
"""In a path that no file can have and for which Gradio fails: a control character, or a part of
more than 255 bytes."""
_OWN_FILE = re.compile(rf"[/\\]{re.escape(OWN_PREFIX)}")
"""The start of the name of a marker or a partial file of the program, in a path."""
_FAILURE_SECONDS = 60.0
_MAX_FAILURES = 5

_PUBLIC_PATHS = {"/healthz", "/robots.txt", f"{API}/startup-events"}
"""Paths that never require a login. Gradio requests startup-events itself, which only has an effect
once."""
_LOGIN_PATHS = {"/", "/theme.css", "/favicon.ico", "/manifest.json"}
_LOGIN_FOLDERS = ("/assets/", "/static/")
"""Files of Gradio's login page, which are the same for every app."""

_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' blob: data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)
"""Gradio's front end compiles the `js=` of events and writes scripts and styles into its page."""
_FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""Uploaded files and results can run nothing."""


class Security:
    """Middleware that checks every request and sets the headers of every response.

    It closes web sockets, which no route uses, and turns every error into JSON. If the server has a
    login or API keys, it requires one of them. An address can send _MAX_FAILURES wrong passwords
    per minute.
    """

    def __init__(self, app: ASGIApp, services: Services):
        self._app = app
        self._services = services
        self._config = services.enhancer.config
        self._failures = list[tuple[float, str]]()  # time and address, oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            await self._respond(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with the security headers, and with JSON to a request that raises an error."""
        path = path_of(scope)
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            has_started = True
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers_of(path))
            await send(message)

        try:
            await self._check(scope, path, receive, send_with_headers)
        except ClientDisconnect:
            if not has_started:
                await Response(status_code=499)(scope, receive, send_with_headers)
        except Exception as error:
            if has_started:
                raise
            reason = expected_error(error, "A request failed")
            self._services.metrics.count_error(reason)
            rejection = _rejection(reason, language_of(Request(scope)))
            await rejection(scope, receive, send_with_headers)

    def _headers_of(self, path: str) -> dict[str, str]:
        policy = _PAGE_POLICY
        if path.startswith((f"{API}/file", f"{API}/stream", _HTTP_FOLDER)):
            policy = _FILE_POLICY
        return {
            "content-security-policy": f"{policy}; frame-ancestors {self._config.frame_ancestors}",
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
        }

    async def _check(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        """Forward a request for which the client has the rights. Raises EnhanceError.

        Its body is read last, because the errors about it name the endpoints.
        """
        method = scope["method"]
        if _DEVELOPER_ROUTES.match(path) or _IMPOSSIBLE_PATH.search(path.encode()):
            raise EnhanceError("nothing_here")
        if method not in ("GET", "HEAD", "OPTIONS"):
            self._check_origin(scope)
        has_login = gradio_changes.has_login(scope)
        if has_login and path == "/logout":
            if method != "POST":
                raise EnhanceError("logout_is_post")
            # Gradio's own route accepts GET, so a link on another site could log a user out of all
            # sessions.
            scope = {**scope, "method": "GET", "query_string": b"all_session=false"}
        elif has_login and path == "/login" and method == "POST":
            send = self._count_login(scope, send)
        elif not has_login and self._config.api_keys and path == "/" and method in ("GET", "HEAD"):
            message = translate(language_of(Request(scope)), "programs_only")
            await PlainTextResponse(message)(scope, receive, send)
            return
        else:
            scope = self._admit(scope, path, has_login)
        await self._forward(scope, path, receive, send)

    def _check_origin(self, scope: Scope) -> None:
        """Raise EnhanceError for an unknown host name (DNS rebinding) or the origin of another
        site."""
        headers = Headers(scope=scope)
        hosts = {self._config.public_host, _host_name(gradio_changes.share_url(scope))} - {""}
        host = headers.get("host", "").lower()
        name = _host_name(f"//{host}")
        if not (_is_local_name(name) or name in hosts):
            raise EnhanceError("host_unknown", host=name)
        origin = headers.get("origin")
        if origin is not None:
            authority = origin.lower().partition("://")[2]
            is_own = authority == host or _host_name(origin) in hosts
            if not (authority and is_own):
                raise EnhanceError("origin_foreign")

    def _admit(self, scope: Scope, path: str, has_login: bool) -> Scope:
        """Return the request of a user, or of a program whose API key replaces the login.

        The page requires the login. Raises EnhanceError for all other requests unless they are
        public.
        """
        keys = self._config.api_keys
        if not (keys or has_login) or gradio_changes.user_of(scope) is not None:
            return scope
        client = _client_of_key(Headers(scope=scope), keys)
        if client and path != "/":
            return gradio_changes.as_user(scope, client)
        if _is_public(scope, path, has_login):
            return scope
        if not has_login:
            raise EnhanceError("key_missing")
        raise EnhanceError("login_or_key" if keys else "login_first")

    def _count_login(self, scope: Scope, send: Send) -> Send:
        """Return the `send` of a login attempt, which makes its cookies strict. Raises EnhanceError
        after too many failures of its address."""
        address = str((scope.get("client") or [""])[0])
        now = time.monotonic()
        self._failures = [one for one in self._failures if now - one[0] < _FAILURE_SECONDS]
        own = [at for at, one in self._failures if one == address]
        if len(own) >= _MAX_FAILURES:
            seconds = math.ceil(own[0] + _FAILURE_SECONDS - now)
            raise EnhanceError("login_too_often", seconds=seconds)
        attempt = now, address
        # Counted before the response, so that concurrent attempts count.
        self._failures.append(attempt)

        async def send_login_response(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] < 400:
                    with suppress(ValueError):  # It has expired during a slow response.
                        self._failures.remove(attempt)
                message["headers"] = [
                    _strict_cookie(name, value, scope["scheme"])
                    for name, value in message["headers"]
                ]
            await send(message)

        return send_login_response

    async def _forward(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        """Forward a request that is within the limits and that Gradio can handle. Raises
        EnhanceError."""
        method = scope["method"]
        key_of(Headers(scope=scope))
        if path.startswith(f"{API}/file") and _OWN_FILE.search(path):
            raise EnhanceError("result_gone")
        if method == "POST" and path in _UPLOADS:
            await self._upload(scope, receive, send)
            return
        if method == "POST":
            body = await self._read_body(Request(scope, receive), path)
            if path.startswith(f"{API}/"):
                body = self._check_body(scope, path, body)
            receive = _replay(body, receive)
        if method == "GET" and path.startswith(f"{API}/call/"):
            check_event(scope, path)
        name = _stream_name(scope, path) if method == "GET" else None
        with listening(name) if name else nullcontext():
            await self._app(gradio_changes.without_other_ranges(scope), receive, send)

    async def _read_body(self, request: Request, path: str) -> bytes:
        """Return the body of a request. Raises EnhanceError as soon as it is too large."""
        limit = self._services.limits.request_bytes
        if path.startswith(f"{API}/mcp"):
            limit *= _MCP_BODY_FACTOR
        _check_size("request_too_large", _content_length(request.headers), limit)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            _check_size("request_too_large", len(body), limit)
        return bytes(body)

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
            check_call(scope, self._services.endpoints, path, given)  # completes `data`
            check_files(given, self._services.limits.files)
        if not body:
            return body
        return json.dumps(given).encode()

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward an upload while it arrives. Stops as soon as a limit is exceeded or the disk is
        full."""
        no_space = EnhanceError("upload_no_room")
        space = Reservation(self._services.enhancer.tasks)
        size = _content_length(Headers(scope=scope))
        received = 0

        async def check(size: int, reserve: int) -> None:
            _check_size("upload_too_large", size, self._services.limits.batch_bytes)
            if size > space.bytes and not await run_in_threadpool(space.extend, reserve):
                raise no_space

        async def receive_checked() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            await check(received, _UPLOAD_STEP)
            return message

        try:
            with space, gradio_changes.clean_up_after_request():
                await check(size, size)
                await self._app(scope, receive_checked, send)
        except OSError as error:
            if error.errno in FULL:
                raise no_space from error
            raise


def path_of(scope: Scope) -> str:
    """Return the path of the request within the app, without the root path of a mount or proxy."""
    return "/" + scope["path"].removeprefix(scope.get("root_path", "")).strip("/")


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


def _host_name(address: str) -> str:
    """Return the host of an address, or the address itself if it is malformed."""
    with suppress(ValueError):
        return urlsplit(address).hostname or ""
    return address


def _is_local_name(host: str) -> bool:
    """Return whether no foreign name server can control this name: an IP address, or a name of the
    local network."""
    with suppress(ValueError):
        return bool(ip_address(host))
    return "." not in host or host.endswith((".local", ".localhost"))


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


def _strict_cookie(name: bytes, value: bytes, scheme: str) -> tuple[bytes, bytes]:
    """Return a header. A cookie ends with its session, is hidden from scripts and other sites, and
    is only for TLS if the request came by TLS."""
    if name != b"set-cookie":
        return name, value
    options = b"; Path=/; HttpOnly; SameSite=Lax"
    if scheme == "https":
        options += b"; Secure"
    return name, value.partition(b";")[0] + options


def _stream_name(scope: Scope, path: str) -> str | None:
    """Return the session or the event whose messages this request reads; None for other
    requests."""
    if path == f"{API}/queue/data":
        return Request(scope).query_params.get("session_hash")
    if path.startswith((f"{API}/call/", f"{API}/heartbeat/")):
        return path.rpartition("/")[2]
    return None


def _content_length(headers: Headers) -> int:
    """Return the bytes of a body, as far as they are known. uvicorn rejects every value but a
    number."""
    return int(headers.get("content-length", "0"))


def _check_size(key: str, size: int, limit: int) -> None:
    """Raise the error of this key if a body has more than `limit` bytes."""
    if size > limit:
        raise EnhanceError(key, limit=f"{limit / 1e6:g}")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that returns the body that was read already, then the following
    messages."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
