"""Every private part of Gradio 6.31 that this app changes or reads. Each docstring states what
breaks without it."""

from __future__ import annotations

import os
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from hashlib import blake2b
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, NoReturn

import gradio as gr
import gradio.http_server
import gradio.routes
import gradio.utils
import safehttpx
from gradio import route_utils
from gradio.context import LocalContext
from gradio.data_classes import FileData, ListFiles
from gradio.state_holder import SessionState
from jinja2 import FunctionLoader
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import ASGIApp, Scope

from ..config import Limits
from ..json_object import JsonObject

_MAX_FIELD_BYTES = 1000
_ONE_RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)", re.ASCII)
_AFTER_REQUEST: ContextVar[ExitStack] = ContextVar("after_request")
_SECRET = secrets.token_bytes()
"""The key of the login cookies that `as_user` creates."""
_PAGES = gradio.routes.templates.env
_GRADIO_LOADER: Any = _PAGES.loader


def change_gradio() -> None:
    """Make the changes that apply to every app of this process."""
    # Gradio fetches addresses that clients name through these functions: one in place of a file,
    # and the one in the path of /file= and /file/. Without this, clients can use the server as an
    # open proxy.
    safehttpx.get = safehttpx.async_validate_url = _reject_fetch
    # Gradio allows every site to read the responses of a server with a public name, also with its
    # users' credentials. Without this, `Security` protects only requests that change something.
    gradio.routes.CustomCORSMiddleware = _without_foreign_origins  # type: ignore[assignment,misc]
    # Gradio makes an empty temporary file for each file input and never deletes it. Without this,
    # small requests use up the inodes of the disk.
    gr.File.preprocess = _file_paths
    route_utils.GradioMultiPartParser = UploadParser  # type: ignore[misc]
    # Gradio's own `head=` is part of the configuration, which the page adds after it has started.
    # Without this, the scripts of the page run too late, and the language and the theme of the link
    # have no effect.
    _PAGES.loader = FunctionLoader(_template_with_head)
    # On a Space, Gradio starts a thread that reloads changed code with the package `spaces`, which
    # is not installed. Without this, each start logs an error.
    gradio.http_server.watchfn_spaces = lambda _: None  # type: ignore[attr-defined]
    # Gradio copies the properties of all components for each session. Only deep links use them, and
    # these are closed. Without this, a session takes 0.4 MB instead of 0.02 MB, and each API call
    # is a session.
    SessionState.config_values = property(lambda _: defaultdict(dict), lambda *_: None)  # type: ignore[assignment]


def _without_foreign_origins(app: ASGIApp, **_: Any) -> ASGIApp:
    """Add no headers that allow other sites anything."""
    return app


async def _reject_fetch(*_: Any, **__: Any) -> NoReturn:
    raise PermissionError("this server does not fetch addresses for clients")


def _file_paths(self: gr.File, payload: ListFiles | FileData | None) -> Any:
    if payload is None:
        return None
    if isinstance(payload, ListFiles):
        return [file.path for file in payload]
    return payload.path


def _template_with_head(name: str) -> str:
    template = _GRADIO_LOADER.get_source(_PAGES, name)[0]
    head = "{% if page_head is defined %}{{ page_head(request, config) | safe }}{% endif %}"
    return template.replace("<head>", f"<head>{head}", 1)


def add_page_head(main_head: Callable[[Scope], str], other_head: Callable[[], str]) -> None:
    """Set the first tags in the head of the page, and those of the login and of the
    documentation."""

    def page_head(request: Request, config: Mapping[str, Any]) -> str:
        if config.get("auth_required") or config.get("current_page"):
            return other_head()
        return main_head(request.scope)

    _PAGES.globals["page_head"] = page_head


@contextmanager
def clean_up_after_request() -> Iterator[None]:
    """Call the functions that were added by `after_request` when the block ends."""
    with ExitStack() as stack:
        _AFTER_REQUEST.set(stack)
        yield


def after_request(function: Callable[..., object], *given: Any, **options: Any) -> None:
    """Call a function at the end of the current request, if that is in a block of
    `clean_up_after_request`."""
    stack = _AFTER_REQUEST.get(None)
    if stack is not None:
        stack.callback(function, *given, **options)


class UploadParser(route_utils.GradioMultiPartParser):
    """Gradio's parser of uploads, which accepts `max_upload_files` complete files and no fields.

    Without it, Gradio accepts 1000 files, keeps other fields in memory, accepts an incomplete
    upload as complete, and keeps the temporary files if the client disconnects or the disk is full.
    """

    max_upload_files = Limits.files
    max_text_fields = 0
    _has_ended = False

    def __init__(self, *given: Any, **options: Any):
        limits = {"max_files": self.max_upload_files, "max_fields": self.max_text_fields}
        super().__init__(*given, **{**options, **limits})
        after_request(self._delete_files)

    def on_end(self) -> None:
        self._has_ended = True

    async def parse(self) -> FormData:
        try:
            form = await super().parse()
        except FormParserError as error:
            raise MultiPartException(str(error)) from error
        if not self._has_ended:
            raise MultiPartException("The upload has no end.")
        return form

    def _delete_files(self) -> None:
        """Delete the temporary files that did not become uploaded files."""
        for file in self._files_to_close_on_error:
            with suppress(OSError):  # Closing the file writes the rest of its buffer.
                file.close()
            with suppress(OSError):
                Path(file.name).unlink(missing_ok=True)


class FormParser(UploadParser):
    """The same parser for a form with the file `image` and short text fields. Files are in the
    folder of uploads."""

    max_upload_files = 1
    max_text_fields = 40

    def __init__(self, *given: Any, **options: Any):
        super().__init__(*given, upload_dir=os.environ["GRADIO_TEMP_DIR"], **options)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        super().on_part_data(data, start, end)
        if self._current_part.file is None and len(self._current_part.data) > _MAX_FIELD_BYTES:
            raise MultiPartException("A field is too long.")


def use_server_class(server: type) -> None:
    """Launch apps with this subclass of Gradio's server. Without it, uvicorn has no limits for
    connections."""
    gradio.http_server.Server = server  # type: ignore[misc]


def current_event() -> str | None:
    """Return the id of the queue event that runs in this context. Without it, jobs of curl clients
    seem abandoned."""
    return LocalContext.event_id.get(None)


def limit_shutdown(demo: gr.Blocks, seconds: int) -> None:
    """Wait at most so long for open streams when the app closes. Without it, the server waits for
    every client."""
    if demo.is_running:
        demo.server.config.timeout_graceful_shutdown = seconds


def blocks_of(scope: Scope) -> gr.Blocks | None:
    """Return the app of a request. Without it, the middleware cannot find the functions of the
    app."""
    return getattr(scope.get("app"), "blocks", None)


def name_of_function(scope: Scope, index: int) -> str:
    """Return the name of a function of an app, "" if it has none. Without it, private functions
    could be called."""
    functions = getattr(blocks_of(scope), "fns", {})
    return str(getattr(functions.get(index), "api_name", "") or "")


def has_event(scope: Scope, event: str) -> bool:
    """Return whether an event has no response yet. Without it, Gradio fails or waits after the
    start of a response."""
    blocks = blocks_of(scope)
    if blocks is None:
        return False
    return any(event in events for events in blocks._queue.pending_event_ids_session.values())


def without_other_ranges(scope: Scope) -> Scope:
    """Return the request without a Range header, unless it is one range.

    Gradio responds to any other Range header with status 500. HTTP allows a server to ignore it.
    """
    headers = MutableHeaders(raw=[*scope["headers"]])
    if not _ONE_RANGE.fullmatch(headers.get("range", "").strip()):
        del headers["range"]
    return {**scope, "headers": headers.raw}


def share_url(scope: Scope) -> str:
    """Return the address of Gradio's tunnel; "" if there is none. Without it, requests by `--share`
    are rejected."""
    return getattr(blocks_of(scope), "share_url", None) or ""


def is_ready(scope: Scope) -> bool:
    """Return whether the page can be served. Without it, /healthz reports this too early."""
    return bool(getattr(blocks_of(scope), "is_running", False))


def has_login(scope: Scope) -> bool:
    """Return whether the app requires a login, so that only such apps are protected."""
    return getattr(scope.get("app"), "auth", None) is not None


def user_of(scope: Scope) -> str | None:
    """Return the name of the user whose cookie the request has. Without it, uploads and metrics are
    public."""
    app = scope["app"]
    cookies = Request(scope).cookies
    token = cookies.get(f"access-token-{app.cookie_id}")
    return app.tokens.get(token or cookies.get(f"access-token-unsecure-{app.cookie_id}"))


def client_request(request: Request, session: str) -> gr.Request:
    """Return the request in the form that endpoints expect, so that routes other than Gradio's can
    call them."""
    return gr.Request(request, username=user_of(request.scope), session_hash=session)  # type: ignore[arg-type]


def as_user(scope: Scope, user: str) -> Scope:
    """Return the request with a login cookie of this user, so that all routes accept an API key.

    Gradio checks the cookie at each route if the app has a login, and names the user of a job by
    it.
    """
    app = scope["app"]
    token = blake2b(user.encode(), key=_SECRET).hexdigest()
    app.tokens[token] = user
    headers = MutableHeaders(raw=[*scope["headers"]])
    headers["cookie"] = f"access-token-unsecure-{app.cookie_id}={token}"
    return {**scope, "headers": headers.raw}


def root_url(request: Request, path: str) -> str:
    """Return the public URL of the app without the request's `path`. Without it, agents cannot
    download results."""
    blocks = blocks_of(request.scope)
    return route_utils.get_root_url(request, path, blocks and blocks.root_path)  # type: ignore[arg-type]


def openapi_document(request: Request) -> JsonObject:
    """Return Gradio's OpenAPI document. Without it, a document cannot describe all endpoints."""
    for included in request.app.routes:
        # FastAPI from 0.130 has one route for all routes of an included router.
        router = getattr(included, "original_router", request.app)
        for route in router.routes:
            if getattr(route, "name", "") == "openapi_schema":
                return route.endpoint(request)
    raise LookupError("Gradio has no OpenAPI document")


def describe_input(component: Any, schema: Mapping[str, Any]) -> None:
    """Set the JSON schema of an API parameter. Without it, the documentation has neither ranges nor
    meanings."""
    component.api_info_as_input = lambda: dict(schema)


def accept_any_file_value(component: gr.File) -> None:
    """Pass None for a value that is no upload. Without it, Gradio answers such a call with status
    500."""
    files: Any = component.data_model

    class FilesOrNone(files):
        @classmethod
        def model_validate(cls, *given: Any, **options: Any) -> Any:
            with suppress(ValueError):
                return files.model_validate(*given, **options)
            return None

    component.data_model = FilesOrNone  # type: ignore[assignment]


def name_parameters(names: Sequence[str], defaults: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Replace `**given`, the last parameter of a function, by these names in its signature. Without
    it, Gradio rejects the named inputs of an endpoint."""

    def decorate(function: Any) -> Any:
        declared = signature(function)
        *parameters, _ = declared.parameters.values()
        named = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=defaults.get(name)) for name in names
        ]
        function.__signature__ = declared.replace(parameters=[*parameters, *named])
        return function

    return decorate
