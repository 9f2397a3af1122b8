"""`POST /api/enhance`: a form with an image in, the result out, for programs without a client
library."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import gradio as gr
from anyio import CapacityLimiter
from gradio_client.utils import strip_invalid_filename_characters
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ..config import version
from ..errors import EnhanceError, PictureError, SettingsError
from ..formats.encoding import FORMATS
from ..i18n import DEFAULT_LANGUAGE, translate
from ..jobs.batch import BatchFile
from .calls import API, HTTP_API, check_parameters
from .gradio_changes import FormParser, client_request, openapi_document
from .job_calls import JobCall
from .params import API_DEFAULTS, API_SETTINGS, call_settings, parameter_schema
from .run_jobs import run_job
from .services import Services, services_of
from .streams import last_outputs, listening

_RUNS = CapacityLimiter(1000)
"""Each run has a thread of its own. The app's own queue limits their number."""
_FIELDS = ("image", *API_SETTINGS, "job")
_BINARY = {"type": "string", "format": "binary"}
_LINK = {"type": "object", "properties": {"url": {"type": "string"}, "info": {"type": "object"}}}
_ERROR = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("error", "detail")},
}
_FOLDER = re.compile("[0-9a-f]{32}")
_UPLOADED = {
    "type": "object",
    "description": "A file that was sent to /gradio_api/upload, with the path that it returned.",
    "properties": {
        "path": {"type": "string"},
        "meta": {"type": "object", "properties": {"_type": {"enum": ["gradio.FileData"]}}},
    },
    "required": ["path", "meta"],
}
_FILES = {"image": _UPLOADED, "images": {"type": "array", "items": _UPLOADED}}
"""The schemas of files. Gradio describes them as what its own client accepts."""


async def enhance_form(request: Request) -> Response:
    """Respond with the result of the image and the settings in a form, or with JSON if the client
    accepts only that.

    Fields have the names of the parameters of /enhance. The run is cancelled if the client
    disconnects, unless it has a name. Raises EnhanceError, and ClientDisconnect.
    """
    services = services_of(request.scope)
    # Without a login, each request is a session of its own.
    client = client_request(request, secrets.token_hex(16))

    async def check_client() -> None:
        if await request.is_disconnected():
            raise ClientDisconnect

    try:
        call = await _read_form(request, services, client)
        with listening(client.session_hash or ""):
            file, info = await last_outputs(run_job(call), _RUNS, check_client)
        return _response(request, Path(file), info, call.encoding.file_format.media_type)
    except EnhanceError as error:
        raise services.visible_error(client, error) from error


async def send_result(request: Request) -> Response:
    """Respond with a result whose address an earlier response contained. Raises HTTPException."""
    folder = request.path_params["folder"]
    name = request.path_params["name"]
    path = services_of(request.scope).downloads.results / folder / Path(name).name
    if not _FOLDER.fullmatch(folder) or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, filename=path.name)


async def describe(request: Request) -> Response:
    """Respond with Gradio's OpenAPI document of the endpoints, which also describes `POST
    /api/enhance`."""
    document = await anyio.to_thread.run_sync(openapi_document, request)
    document["info"]["version"] = version()
    for name, endpoint in services_of(request.scope).endpoints.items():
        if endpoint.parameters:
            body = document["paths"][f"{API}/call/v2/{name}"]["post"]["requestBody"]
            properties = body["content"]["application/json"]["schema"]["properties"]
            properties |= {one: _FILES[one] for one in properties.keys() & _FILES.keys()}
            for ignored in endpoint.ignored:
                del properties[ignored]
    fields = {name: parameter_schema(name) for name in _FIELDS}
    fields["image"] |= {
        "format": "binary",
        "description": translate(DEFAULT_LANGUAGE, "takes_form_image"),
    }
    form = {
        "type": "object",
        "properties": fields,
        "required": ["image"],
        "additionalProperties": False,
    }
    result = {form.media_type: {"schema": _BINARY} for form in FORMATS.values()}
    document["paths"][HTTP_API] = {
        "post": {
            "operationId": "enhance_form",
            "summary": "Enhance an image, sent as a form.",
            "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
            "responses": {
                "200": {
                    "description": "The result, or with `Accept: application/json` its `url` "
                    "and `info`.",
                    "content": result | {"application/json": {"schema": _LINK}},
                },
                "default": {
                    "description": "What is wrong with the request and what to do, in the language "
                    "of `Accept-Language`.",
                    "headers": {
                        "Retry-After": {
                            "description": "Seconds until the next try, with status 429.",
                            "schema": {"type": "integer"},
                        }
                    },
                    "content": {"application/json": {"schema": _ERROR}},
                },
            },
        }
    }
    return JSONResponse(document)


async def _read_form(request: Request, services: Services, client: gr.Request) -> JobCall:
    """Return the call of a form. Its file is deleted with the request. Raises EnhanceError."""
    limit = services.limits.bytes
    parser = FormParser(request.headers, request.stream(), max_file_size=limit)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise EnhanceError("form_malformed") from error
    upload = form.get("image")
    given = {name: value for name, value in form.items() if isinstance(value, str)}
    if upload is None or isinstance(upload, str):
        raise PictureError("form_no_image")
    check_parameters(HTTP_API, _FIELDS, (), {"image": upload, **given})
    values = {name: _parse(name, given.get(name, "")) for name in API_SETTINGS}
    settings, encoding = call_settings(values)
    await anyio.to_thread.run_sync(upload.file.flush)  # Decoders open the file by its path.
    name = strip_invalid_filename_characters(Path(upload.filename or "image").name)
    file = BatchFile(Path(str(upload.file.name)), Path(name), number=1)
    return JobCall(services, client, (file,), settings, encoding, given.get("job", ""))


def _parse(name: str, text: str) -> Any:
    """Return the value of a form field, the default if it is empty. Raises SettingsError."""
    if not text:
        return API_DEFAULTS.get(name)
    kind = parameter_schema(name)["type"]
    if kind == "string":
        return text
    if kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError as error:
        raise SettingsError("form_value", name=name, value=text, type=kind) from error


def _response(request: Request, file: Path, info: Mapping[str, Any], media_type: str) -> Response:
    accepted = request.headers.get("accept", "")
    if "application/json" in accepted and "image/" not in accepted and "*/*" not in accepted:
        root = request.scope.get("root_path", "")
        url = f"{root}/api/results/{file.parent.name}/{quote(file.name)}"
        return JSONResponse({"url": url, "info": info})
    headers = {
        "enhance-task-id": info["task_id"],
        "enhance-signature": info["signature"],
        "enhance-preset": info["preset"],
        "enhance-fidelity-db": json.dumps(info["fidelity_db"]),
        "enhance-notes": ", ".join(info["output"].get("notes", ())),
    }
    return FileResponse(file, media_type=media_type, filename=file.name, headers=headers)


HTTP_ROUTES = [
    Route(HTTP_API, enhance_form, methods=["POST"]),
    Route(f"{API}/openapi.json", describe),
    Route("/api/results/{folder}/{name}", send_result),
]
