"""The endpoints as tools of the Model Context Protocol, over HTTP and over standard input and
output.

Over standard input and output, the agent has the rights of the user who starts it. Only there,
tools accept paths.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from functools import partial
from hashlib import blake2b
from html import unescape
from inspect import getdoc, signature
from mimetypes import guess_extension
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import gradio as gr
from anyio import to_thread
from gradio_client.utils import encode_file_path, is_file_obj_with_meta, traverse
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from ..config import terminal_language, version
from ..enhancer import Enhancer
from ..errors import EnhanceError, PictureError, SettingsError
from ..files import FULL, check_writable, write_atomically
from ..formats.encoding import Encoding
from ..images import ImageCache
from ..jobs.threads import CLEAN_SECONDS, SWEEP_SECONDS, call_regularly
from ..json_object import JsonObject
from ..metadata.provenance import check_replaceable
from ..store import Reservation
from .api import add_endpoints
from .calls import API, Endpoint, check_endpoint, check_parameters, is_uploaded
from .gradio_changes import after_request, clean_up_after_request, client_request, root_url
from .params import API_DEFAULTS, parameter_schema
from .services import Services, services_of
from .streams import last_outputs, listening

_INSTRUCTIONS = (
    "Upscales photos with Real-ESRGAN. {} Call `analyse` to see the properties of a photo, the "
    "preset that suits it and the expected time. Call `preview` to see an area before a long run. "
    "`enhance` {}."
)
_REMOTE = (
    "Send an image as a data: URL of up to 20 MB, or upload it to /gradio_api/upload and send "
    "the path.",
    "returns the address of the result",
)
_LOCAL = "Send the path of an image file.", "writes a file and never changes the photo"
_WRITING = ("enhance", "batch", "cancel", "forget")
_PATHS = {
    "image": "Path of an image file.",
    "images": "Paths of image files.",
    "output": "Path of the output file. Its extension determines the format.",
}
"""The descriptions of local paths."""
_MAX_IMAGE_BYTES = 1_000_000
"""The largest PNG file that a tool also returns as an image. Models read every byte."""
_SECRET = secrets.token_bytes()


def create_server(services: Services, *, local: bool = False) -> Server[Any, Any]:
    """Return a server with the endpoints as tools. Errors are sentences in the client's language.

    The tools of a `local` server also accept paths, and return paths instead of addresses.
    """
    images, output = _LOCAL if local else _REMOTE
    instructions = _INSTRUCTIONS.format(images, output)
    server = Server("Enhance", version=version(), instructions=instructions)

    @server.list_tools()
    async def _() -> list[types.Tool]:
        return [_tool(name, endpoint, local) for name, endpoint in services.endpoints.items()]

    @server.call_tool(validate_input=False)  # Errors of a JSON schema are not sentences.
    async def _(name: str, arguments: JsonObject) -> types.CallToolResult:
        context: Any = server.request_context
        request = _local_request() if local else _remote_request(context.request)
        try:
            with (
                services.errors_as_messages(request),
                clean_up_after_request(),
                listening(request.session_hash or ""),
            ):
                check_endpoint(name, services.endpoints)
                endpoint = services.endpoints[name]
                known = [*endpoint.parameters]
                if local and name == "enhance":
                    known.append("output")
                check_parameters(name, known, endpoint.required, arguments)
                given = await _convert(services, arguments, partial(_image_path, local=local))
                output = given.pop("output", None)
                if output:
                    given["format"] = _format_of(output, given["image"])
                outputs = await _call(endpoint, given, request, _ToolProgress(context))
                if output:
                    await to_thread.run_sync(_save, outputs[0], output)
                    outputs = output, outputs[1]
                if local:
                    return _result(endpoint, outputs, str)
                prefix = f"{root_url(context.request, f'{API}/mcp')}{API}/file="
                return _result(endpoint, outputs, lambda path: prefix + encode_file_path(path))
        except gr.Error as error:
            raise ValueError(unescape(str(error.message))) from error

    return server


class _ToolProgress:
    """The progress of a tool call, which its endpoint sets and which is sent between its steps."""

    def __init__(self, context: Any):
        self._context = context
        self._latest: tuple[float, float | None, str] = (0, None, "")
        """The progress, its total and its description."""

    def __call__(self, done: Any, desc: str = "", **_: Any) -> None:
        """Set the progress: a count, or a count and a total, as in `gr.Progress`."""
        total = None
        if isinstance(done, tuple):
            done, total = done
        self._latest = done, total, desc

    async def send(self) -> None:
        """Send the progress to the client, if it asked for it."""
        context = self._context
        if context.meta is not None and context.meta.progressToken is not None:
            await context.session.send_progress_notification(
                context.meta.progressToken, *self._latest, str(context.request_id)
            )


def _format_of(output: str, source: str) -> str:
    """Return the format of an output file. Raises EnhanceError if another file is there."""
    check_writable(Path(output), Path(source))
    check_replaceable(Path(output))
    return Encoding.of_file(Path(output)).format


def _save(file: str, output: str) -> None:
    """Copy a result to a path of the user. Raises EnhanceError."""
    check_replaceable(Path(output))
    write_atomically(Path(output), partial(shutil.copyfile, file), durable=True)


async def serve_http(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request of an agent. A tool call is cancelled if its client disconnects."""
    server = create_server(services_of(scope))
    manager = StreamableHTTPSessionManager(
        server, stateless=True, max_request_body_size=sys.maxsize
    )
    async with manager.run():
        await manager.handle_request(scope, receive, send)


def serve_stdio(enhancer: Enhancer) -> None:
    """Serve the tools until standard input ends."""
    # Photos are not cached, because local files can change between calls.
    services = Services(enhancer, ImageCache(max_bytes=0))
    call_regularly(CLEAN_SECONDS, enhancer.tasks.clean)
    call_regularly(SWEEP_SECONDS, services.previews.kept.sweep)
    with gr.Blocks(analytics_enabled=False):
        add_endpoints(services)
    server = create_server(services, local=True)

    async def serve() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(serve)


def _remote_request(request: Request) -> gr.Request:
    """Return the request with the login, or else a session that belongs to the address and that
    others cannot guess."""
    return client_request(request, _session_of(request.client.host if request.client else ""))


def _session_of(client: str) -> str:
    """Return the session of a client of this process, which clients of a server cannot guess."""
    return blake2b(client.encode(), key=_SECRET).hexdigest()


def _local_request() -> gr.Request:
    headers = [(b"accept-language", terminal_language().encode())]
    scope = {"type": "http", "client": ("127.0.0.1", 0), "headers": headers, "query_string": b""}
    return gr.Request(Request(scope), session_hash=_session_of("local"))  # type: ignore[arg-type]


def _tool(name: str, endpoint: Endpoint, local: bool) -> types.Tool:
    inputs = {
        one: parameter_schema(one) for one in endpoint.parameters if one not in endpoint.ignored
    }
    if local:
        if name == "enhance":
            inputs["output"] = {"type": "string"}
        for one in _PATHS.keys() & inputs:
            inputs[one]["description"] = _PATHS[one]
    outputs = {
        label: {"type": ["string", "null"]} if is_file else {}
        for label, is_file in endpoint.outputs.items()
    }
    return types.Tool(
        name=name,
        description=getdoc(endpoint.function),
        inputSchema={"type": "object", "properties": inputs, "required": [*endpoint.required]},
        outputSchema={"type": "object", "properties": outputs, "required": [*outputs]},
        annotations=types.ToolAnnotations(
            readOnlyHint=name not in _WRITING,
            destructiveHint=name == "forget",
            idempotentHint=True,
            openWorldHint=False,
        ),
    )


async def _call(
    endpoint: Endpoint, given: JsonObject, request: gr.Request, progress: _ToolProgress
) -> tuple[Any, ...]:
    """Return the outputs of an endpoint, which gets the progress if it accepts it."""
    values = {name: API_DEFAULTS.get(name) for name in endpoint.parameters} | given
    values["request"] = request
    if "progress" in signature(endpoint.function).parameters:
        values["progress"] = progress
    outputs = await to_thread.run_sync(
        partial(endpoint.function, **values), limiter=endpoint.limiter
    )
    if isinstance(outputs, Generator):
        outputs = await last_outputs(outputs, endpoint.limiter, progress.send)
    if isinstance(outputs, tuple):
        return outputs
    return (outputs,)


def _result(
    endpoint: Endpoint, outputs: tuple[Any, ...], address: Callable[[str], str]
) -> types.CallToolResult:
    """Return files as addresses, and small PNG files as images too."""
    content = []
    structured = {}
    for (label, is_file), value in zip(endpoint.outputs.items(), outputs, strict=True):
        if is_file and value:
            path = Path(value)
            value = address(value)
            if path.suffix == ".png" and path.stat().st_size <= _MAX_IMAGE_BYTES:
                image = b64encode(path.read_bytes()).decode()
                content.append(types.ImageContent(type="image", data=image, mimeType="image/png"))
        value = traverse(value, lambda file: address(file["path"]), is_file_obj_with_meta)
        # Models would read every byte of a thumbnail.
        value = traverse(value, lambda _: None, _is_data_url)
        text = value
        if not isinstance(value, str):
            text = json.dumps(value, ensure_ascii=False)
        content.append(types.TextContent(type="text", text=text))
        structured[label] = value
    return types.CallToolResult(content=content, structuredContent=structured)


def _is_data_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith("data:")


async def _convert(
    services: Services, arguments: JsonObject, path_of: Callable[[object], str]
) -> JsonObject:
    """Return the arguments for an endpoint, with the paths of images. Raises EnhanceError."""
    limit = services.limits.files
    text = json.dumps(arguments)
    given = JsonObject()
    with Reservation(services.enhancer.tasks) as space:  # for the files of data: URLs
        if '"data:' in text and not await to_thread.run_sync(space.extend, len(text)):
            raise EnhanceError("upload_no_room")
        for name, value in arguments.items():
            if name == "image":
                value = path_of(value)
            elif name == "images":
                if not isinstance(value, list):
                    raise SettingsError("agent_no_list", name=name)
                if len(value) > limit:  # before each of them becomes a file
                    raise PictureError("too_many_files", limit=limit)
                value = [*map(path_of, value)]
            elif isinstance(value, dict | list):
                raise SettingsError("agent_no_value", name=name)
            given[name] = value
    return given


def _image_path(value: object, *, local: bool) -> str:
    """Return the file of a data: URL, of an upload's address, or of a `local` path. Raises
    EnhanceError."""
    text = value if isinstance(value, str) else ""
    try:
        if text.startswith("data:"):
            return str(_save_data_url(text))
        if local and text:
            return text
        path = Path(unquote(text.rpartition(f"{API}/file=")[2])).resolve()
        if is_uploaded(path) and path.is_file():
            return str(path)
    except (ValueError, OSError) as error:
        if getattr(error, "errno", None) in FULL:
            raise EnhanceError("upload_no_room") from error
    raise PictureError("agent_no_image")


def _save_data_url(url: str) -> Path:
    """Write the file of a data: URL, named by its `name=` parameter, into a folder of uploads that
    the request deletes. Raises ValueError for a malformed URL, and OSError."""
    head, body = url.removeprefix("data:").split(",", 1)
    kind, *options = head.split(";")
    names = [unquote(one.removeprefix("name=")) for one in options if one.startswith("name=")]
    folder = Path(os.environ["GRADIO_TEMP_DIR"], secrets.token_hex(32))
    path = folder / (Path(*names[:1]).name or f"image{guess_extension(kind) or ''}")
    data = b64decode(body)
    after_request(shutil.rmtree, folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path.write_bytes(data)
    return path
