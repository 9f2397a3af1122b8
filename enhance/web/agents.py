"""Arguments of MCP tool calls: image files from data: URLs or addresses of uploads."""

from __future__ import annotations

import os
import shutil
from base64 import b64decode
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from mimetypes import guess_extension
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import unquote

from gradio_client import handle_file
from starlette.requests import Request

from ..errors import EnhanceError, PictureError, SettingsError
from ..files import FULL
from .calls import API, check_endpoint, check_parameters, is_uploaded
from .params import language_of

_FOLDERS: ContextVar[list[Path] | None] = ContextVar("folders", default=None)


def check_call(
    tool: str, tools: Collection[str], parameters: Callable[[str], Any], given: Collection[str], request: Request
) -> None:
    """Check the names of a tool and its arguments. Raises ValueError with a message for the client."""
    try:
        check_endpoint(tool, tools)
        check_parameters(tool, parameters(tool), given)
    except EnhanceError as error:
        raise ValueError(error.message(language_of(request))) from error


def convert_argument(name: str, value: Any, request: Request) -> Any:
    """Return an argument for Gradio's client, with images as uploaded files.

    The client would upload any file of this server that a value names. Raises ValueError with a message.
    """
    try:
        if name == "images" and isinstance(value, list):
            return [_uploaded_image(one) for one in value]
        if name in ("image", "images"):
            return _uploaded_image(value)
        if isinstance(value, dict | list):
            raise SettingsError("agent_no_value", name=name)
    except EnhanceError as error:
        raise ValueError(error.message(language_of(request))) from error
    return value


@contextmanager
def delete_data_url_files() -> Iterator[None]:
    """Delete the files of data: URLs at the end of the block. Gradio's client has uploaded them by then."""
    folders: list[Path] = []
    token = _FOLDERS.set(folders)
    try:
        yield
    finally:
        _FOLDERS.reset(token)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _uploaded_image(value: object) -> Any:
    """Return the file of a data: URL or of an upload's address. Raises EnhanceError."""
    root, text = Path(os.environ["GRADIO_TEMP_DIR"]).resolve(), value if isinstance(value, str) else ""
    try:
        if text.startswith("data:"):
            return handle_file(_save_data_url(root / token_hex(32), *text.removeprefix("data:").split(",", 1)))
        path = Path(unquote(text.rpartition(f"{API}/file=")[2])).resolve()
        if is_uploaded(path) and path.is_file():
            return handle_file(path)
    except (ValueError, TypeError, OSError) as error:
        if getattr(error, "errno", None) in FULL:
            raise EnhanceError("upload_no_room") from error
    raise PictureError("agent_no_picture")


def _save_data_url(folder: Path, head: str, body: str) -> Path:
    """Write the file of a data: URL, named by its `name=` parameter, into a new folder."""
    kind, *options = head.split(";")
    names = [unquote(one.removeprefix("name=")) for one in options if one.startswith("name=")]
    path = folder / (Path(*names[:1]).name or f"picture{guess_extension(kind) or ''}")
    data = b64decode(body)
    if (folders := _FOLDERS.get()) is not None:
        folders.append(folder)
    folder.mkdir(parents=True)
    path.write_bytes(data)
    return path
