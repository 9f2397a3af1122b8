"""Every private part of Gradio 6.31 that this app changes or reads. Each docstring states what breaks without it.

`gradio_changes.js` has the changes to Gradio's front end. tests/api/test_gradio_changes.py has a test for each.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from inspect import Parameter, signature
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn

import gradio as gr
import gradio.http_server
import gradio.mcp
import gradio.routes
import safehttpx
from gradio import route_utils
from gradio.context import LocalContext
from gradio.data_classes import FileData, ListFiles
from gradio_client import Client
from gradio_client.utils import encode_file_path, is_file_obj_with_meta, traverse
from jinja2 import FunctionLoader
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Scope

from ..config import Limits
from ..errors import EnhanceError

_GradioMCPServer = gradio.mcp.GradioMCPServer
_MAX_MCP_CLIENTS = 100
_MAX_FIELD_BYTES = 1000
_MAX_IMAGE_BYTES = 1_000_000
"""The largest image that an MCP tool returns as an image. Models read every byte."""
_REQUEST_FILES: ContextVar[ExitStack] = ContextVar("request_files")
_PAGES = gradio.routes.templates.env
_GRADIO_LOADER: Any = _PAGES.loader


def change_gradio() -> None:
    """Make the changes that apply to every app of this process."""
    # Gradio fetches addresses that clients name through these functions: one in place of a file, and the one in the
    # path of /file= and /file/. Without this, clients can use the server as an open proxy.
    safehttpx.get = safehttpx.async_validate_url = _reject_fetch
    # Gradio makes an empty temporary file for each file input and never deletes it. Without this, small requests use
    # up the inodes of the disk.
    gr.File.preprocess = _file_paths
    route_utils.GradioMultiPartParser = UploadParser  # type: ignore[misc]
    # A response can remove a scale from the choices while the page still sends it. Without this, Gradio rejects the
    # request with an English sentence about choices. `Settings` checks the value.
    gr.Radio.preprocess = _radio_value
    # Gradio's front end takes its language from `navigator.language` only, and adds `head` scripts after it has done
    # so. Without this, `?lang=` has no effect.
    _PAGES.loader = FunctionLoader(_template_with_language)


async def _reject_fetch(*_: Any, **__: Any) -> NoReturn:
    raise PermissionError("this server does not fetch addresses for clients")


def _file_paths(self: gr.File, payload: ListFiles | FileData | None) -> Any:
    if payload is None:
        return None
    paths = [file.path for file in payload] if isinstance(payload, ListFiles) else [payload.path]
    return paths[0] if self.file_count == "single" else paths


def _radio_value(self: gr.Radio, payload: Any, checked: Any = gr.Radio.preprocess) -> Any:
    return payload if self.elem_id == "scale" and isinstance(payload, int | float) else checked(self, payload)


def _template_with_language(name: str) -> str:
    """Return a template of Gradio with language.js as the first script of the page."""
    script = Path(__file__).with_name("language.js").read_text("utf-8")
    template = _GRADIO_LOADER.get_source(_PAGES, name)[0]
    return template.replace("<head>", f"<head><script>{{% raw %}}\n{script}{{% endraw %}}</script>", 1)


@contextmanager
def delete_files_of_request() -> Iterator[None]:
    """Call the functions that were added by `after_request` when the block ends."""
    with ExitStack() as stack:
        token = _REQUEST_FILES.set(stack)
        try:
            yield
        finally:
            _REQUEST_FILES.reset(token)


def after_request(function: Callable[..., object], *given: Any, **options: Any) -> None:
    """Call a function at the end of the current request, in the block of `delete_files_of_request`."""
    if (stack := _REQUEST_FILES.get(None)) is not None:
        stack.callback(function, *given, **options)


class UploadParser(route_utils.GradioMultiPartParser):
    """Gradio's parser of uploads, which accepts `max_upload_files` complete files and nothing else.

    Without it, Gradio accepts 1000 files, keeps other fields in memory, accepts an incomplete upload as complete,
    and keeps the temporary files if the client disconnects or the disk is full.
    """

    max_upload_files = Limits.files
    file_field, max_text_fields = "files", 0
    _has_ended = False

    def __init__(self, *given: Any, **options: Any):
        super().__init__(*given, **{**options, "max_fields": self.max_text_fields})
        after_request(self._delete_files)

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file is not None and self._current_part.field_name != self.file_field:
            raise MultiPartException(f"The name of a file must be {self.file_field}.")
        if self._current_files > self.max_upload_files:
            raise EnhanceError("too_many_files", limit=self.max_upload_files)

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
    """The same parser for a form with the file `image` and short text fields. Files are in the folder of uploads."""

    max_upload_files = 1
    file_field, max_text_fields = "image", 40

    def __init__(self, *given: Any, **options: Any):
        super().__init__(*given, upload_dir=os.environ["GRADIO_TEMP_DIR"], **options)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        super().on_part_data(data, start, end)
        if self._current_part.file is None and len(self._current_part.data) > _MAX_FIELD_BYTES:
            raise MultiPartException("A field is too long.")


def use_server_class(server: type) -> None:
    """Launch apps with this subclass of Gradio's server. Without it, uvicorn has no limits for connections."""
    gradio.http_server.Server = server  # type: ignore[misc]


def show_hidden_progress_on(demo: gr.Blocks, component: Any) -> None:
    """Assign hidden progress to one component. Without it, each step redraws every output of the event."""
    for event in demo.fns.values():
        if event.show_progress == "hidden":
            event.show_progress_on = [component]


def component_id(component: Any) -> int:
    """Return the id of a component. Without it, the page's script cannot distinguish the responses of events."""
    return component._id


def functions_of(blocks: gr.Blocks) -> Mapping[int, Any]:
    """Return the functions of an app by index. Without them, malformed calls end in status 500."""
    return blocks.fns


def has_event(blocks: gr.Blocks, event: str) -> bool:
    """Return whether the queue has this event. Without it, Gradio fails after its response has begun."""
    queue = blocks._queue
    return event in queue.event_ids_to_events or any(
        event in events for events in queue.pending_event_ids_session.values()
    )


def current_event() -> str | None:
    """Return the id of the queue event that runs in this context. Without it, jobs of curl clients seem abandoned."""
    return LocalContext.event_id.get(None)


def limit_shutdown(demo: gr.Blocks, seconds: int) -> None:
    """Wait at most so long for open streams when the app closes. Without it, the server waits for every client."""
    if demo.is_running:
        demo.server.config.timeout_graceful_shutdown = seconds


def uploaded_files(blocks: gr.Blocks) -> list[str]:
    """Return the paths of all uploads of an app. Without them, uploads in a shared folder are never deleted."""
    return list(blocks.upload_file_set)


def blocks_of(scope: Scope) -> gr.Blocks | None:
    """Return the app of a request. Without it, the middleware cannot find the functions of the app."""
    return getattr(scope.get("app"), "blocks", None)


def share_url(scope: Scope) -> str:
    """Return the address of Gradio's tunnel; "" if there is none. Without it, requests by `--share` are rejected."""
    return getattr(blocks_of(scope), "share_url", None) or ""


def is_ready(scope: Scope) -> bool:
    """Return whether the page can be served. Without it, /healthz reports this too early."""
    return bool(getattr(blocks_of(scope), "is_running", False))


def has_login(scope: Scope) -> bool:
    """Return whether the app requires a login. Without it, `Login` would protect every app or none."""
    return getattr(scope.get("app"), "auth", None) is not None


def is_logged_in(scope: Scope) -> bool:
    """Return whether the request has the cookie of a login. Without it, uploads and metrics are public."""
    return user_of(scope) is not None


def user_of(scope: Scope) -> str | None:
    """Return the name of the logged-in user. Without it, users of one address share a queue position."""
    app, cookies = scope["app"], Request(scope).cookies
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return next((app.tokens[cookie] for name in names if (cookie := cookies.get(name)) in app.tokens), None)


def openapi_document(request: Request) -> dict[str, Any]:
    """Return Gradio's OpenAPI document. Without it, a document cannot describe all endpoints."""
    routers = (getattr(one, "original_router", request.app) for one in request.app.routes)  # of FastAPI from 0.130
    routes = (one for router in routers for one in router.routes)
    return next(one for one in routes if getattr(one, "name", "") == "openapi_schema").endpoint(request)


def describe_input(component: Any, schema: Mapping[str, Any]) -> None:
    """Set the JSON schema of an API parameter. Without it, the documentation has neither ranges nor meanings."""
    component.api_info_as_input = lambda: dict(schema)


def accept_any_file_value(component: gr.File) -> None:
    """Pass None for a value that is no upload. Without it, Gradio answers such a call with status 500."""
    files: Any = component.data_model

    class FilesOrNone(files):
        @classmethod
        def model_validate(cls, *given: Any, **options: Any) -> Any:
            with suppress(ValueError):
                return files.model_validate(*given, **options)

    component.data_model = FilesOrNone  # type: ignore[assignment]


def name_parameters(names: Sequence[str], defaults: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Replace `**given` in a function's signature. Without it, Gradio rejects the named inputs of an endpoint."""

    def decorate(function: Any) -> Any:
        known = signature(function)
        parameters = [one for one in known.parameters.values() if one.kind is not one.VAR_KEYWORD]
        parameters += [Parameter(name, Parameter.KEYWORD_ONLY, default=defaults.get(name)) for name in names]
        function.__signature__ = known.replace(parameters=parameters)
        return function

    return decorate


def use_mcp_server(server: type[McpServer]) -> None:
    """Serve MCP tools by this class, if GRADIO_MCP_SERVER is set. Without it, `McpServer` has no effect."""
    gradio.mcp.GradioMCPServer = server


class McpServer(_GradioMCPServer):
    """Gradio's MCP server with images as text in, and with addresses and JSON out.

    Without it, tools cannot accept images of remote clients, all clients share one session (and so see each other's
    tasks), errors are those of a JSON schema, `info` comes back as Python's repr, and the tools have no annotations and
    no output schema.
    """

    instructions = version = ""
    _clients: OrderedDict[tuple[str, str], Client] = OrderedDict()  # noqa: RUF012 - shared by all servers
    _lock = Lock()

    def Server(self, name: str) -> Any:  # noqa: N802 - the name is Gradio's
        """Return the protocol's server without its schema checks, whose errors are not sentences."""
        server: Any = _GradioMCPServer.Server(name, version=self.version, instructions=self.instructions)  # type: ignore[attr-defined]
        register_call, register_list = server.call_tool, server.list_tools

        def call_tool() -> Callable[[Any], Any]:
            def decorate(function: Any) -> Any:
                async def call(tool: str, arguments: dict[str, Any]) -> Any:
                    with delete_files_of_request():
                        result = await function(tool, arguments)
                    result.structuredContent = self._structured(tool, result.content)
                    return result

                return register_call(validate_input=False)(call)

            return decorate

        def list_tools() -> Callable[[Any], Any]:
            def decorate(function: Any) -> Any:
                async def call() -> Any:
                    types: Any = self.types  # type: ignore[attr-defined]
                    hints = {"destructiveHint": False, "idempotentHint": True, "openWorldHint": False}
                    tools = await function()
                    for tool in tools:
                        tool.annotations = types.ToolAnnotations(readOnlyHint=self.is_read_only(tool.name), **hints)
                        tool.outputSchema = self._output_schema(tool.name)
                    return tools

                return register_list()(call)

            return decorate

        server.call_tool, server.list_tools = call_tool, list_tools
        return server

    def is_read_only(self, tool: str) -> bool:
        """Return whether a tool changes nothing that lasts."""
        raise NotImplementedError

    def _outputs(self, tool: str) -> list[tuple[str, bool]]:
        """Return the name of each output of a tool, and whether it is the address of a file."""
        returns = self.api_info["named_endpoints"][self.tool_to_endpoint[tool]]["returns"]
        return [(one["label"], one["component"] == "File") for one in returns]

    def _output_schema(self, tool: str) -> dict[str, Any]:
        outputs = self._outputs(tool)
        properties = {name: {"type": "string", "format": "uri"} if is_file else {} for name, is_file in outputs}
        return {"type": "object", "properties": properties, "required": [*properties]}

    def _structured(self, tool: str, content: list[Any]) -> dict[str, Any]:
        texts = [part.text for part in content if part.type == "text"]
        outputs = zip(self._outputs(tool), texts, strict=True)
        return {name: text if is_file else json.loads(text) for (name, is_file), text in outputs}

    @property
    def request(self) -> Any:
        return self.mcp_server.request_context.request

    @property
    def language(self) -> str:
        """The language of the client."""
        raise NotImplementedError

    def parameters(self, tool: str) -> Any:
        return self.api_info["named_endpoints"][self.tool_to_endpoint[tool]]["parameters"]

    def check_call(self, tool: str, given: dict[str, Any]) -> None:
        """Raise EnhanceError if the tool cannot be called with these arguments."""
        raise NotImplementedError

    def convert(self, name: str, value: Any) -> Any:
        """Return an argument for Gradio's client. Raises EnhanceError."""
        raise NotImplementedError

    def schema(self, name: str) -> dict[str, Any]:
        """Return the JSON schema of a parameter."""
        raise NotImplementedError

    def get_input_schema(self, tool_name: str, parameters: Any = None) -> tuple[dict[str, Any], list[Any]]:
        known = self.parameters(tool_name)
        required = [one["parameter_name"] for one in known if not one["parameter_has_default"]]
        properties = {one["parameter_name"]: self.schema(one["parameter_name"]) for one in known}
        return {"type": "object", "properties": properties, "required": required}, []

    def _prepare_tool_call_args(self, name: str, arguments: dict[str, Any]) -> Any:
        try:
            self.check_call(name, arguments)
            return super()._prepare_tool_call_args(name, arguments)
        except EnhanceError as error:
            raise ValueError(error.message(self.language)) from error

    def convert_strings_to_filedata(self, value: dict[str, Any], filedata_positions: Any) -> dict[str, Any]:
        return {name: self.convert(name, given) for name, given in value.items()}

    def _get_or_create_client(self) -> Client:
        """Return the client of this caller, which has a session of its own: one for each address or login cookie."""
        cookie = self.request.headers.get("cookie", "") if self.blocks.app.auth is not None else ""
        caller = (str(self.local_url), cookie or self.request.client.host)
        with self._lock:
            if caller not in self._clients:
                self._clients[caller] = Client(
                    caller[0],
                    headers={"x-gradio-user": "mcp", "cookie": cookie},
                    download_files=False,
                    verbose=False,
                    analytics_enabled=False,
                    ssl_verify=False,
                    _skip_components=False,
                )
            self._clients.move_to_end(caller)
            while len(self._clients) > _MAX_MCP_CLIENTS:
                self._clients.popitem(last=False)[1].close()
            return self._clients[caller]

    async def _execute_tool_without_progress(self, job: Any) -> list[Any]:
        (result,) = await super()._execute_tool_without_progress(job)
        return [*result] if isinstance(result, list | tuple) else [result]

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        """Return JSON and the addresses of files as text, and small PNG files as images too."""
        content: list[Any] = []
        types: Any = self.types  # type: ignore[attr-defined]
        for part in data:
            path = Path(part["path"]) if is_file_obj_with_meta(part) else None
            if path and path.suffix == ".png" and path.stat().st_size <= _MAX_IMAGE_BYTES:
                image = b64encode(path.read_bytes()).decode()
                content.append(types.ImageContent(type="image", data=image, mimeType="image/png"))
            address = f"{root_url}/gradio_api/file="
            value = traverse(part, lambda file: address + encode_file_path(file["path"]), is_file_obj_with_meta)  # noqa: B023
            text = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=lambda one: one.root)
            )
            content.append(types.TextContent(type="text", text=text))
        return content
