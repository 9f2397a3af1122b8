"""MCP tools: checks of their arguments, and images from data: URLs or addresses of uploads."""

from __future__ import annotations

import os
import shutil
from base64 import b64decode
from mimetypes import guess_extension
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import unquote

from gradio_client import handle_file

from ..config import version
from ..errors import EnhanceError, PictureError, SettingsError
from ..files import FULL
from .calls import API, check_endpoint, check_parameters, is_uploaded
from .gradio_changes import McpServer, after_request
from .params import language_of, parameter_schema


class AgentServer(McpServer):
    """The tools of the app. Each error is a sentence in the client's language."""

    version = version()
    instructions = (
        "Upscales photos with Real-ESRGAN. Send an image as a data: URL, or upload it to /gradio_api/upload and send "
        "the path. Call `analyse` to see the properties of a photo, the preset that suits it and the expected time. "
        "Call `preview` to look at an area before a long run. `enhance` returns the address of the result."
    )

    def is_read_only(self, tool: str) -> bool:
        return tool not in ("enhance", "batch")

    @property
    def language(self) -> str:
        return language_of(self.request)

    def check_call(self, tool: str, given: dict[str, Any]) -> None:
        check_endpoint(tool, self.tool_to_endpoint)
        check_parameters(tool, self.parameters(tool), given)

    def convert(self, name: str, value: Any) -> Any:
        # Gradio's client would upload any file of this server that a value names.
        if name == "images" and isinstance(value, list):
            return [_uploaded_image(one) for one in value]
        if name in ("image", "images"):
            return _uploaded_image(value)
        if isinstance(value, dict | list):
            raise SettingsError("agent_no_value", name=name)
        return value

    def schema(self, name: str) -> dict[str, Any]:
        return parameter_schema(name)


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
    raise PictureError("agent_no_image")


def _save_data_url(folder: Path, head: str, body: str) -> Path:
    """Write the file of a data: URL, named by its `name=` parameter, into a folder that the request deletes."""
    kind, *options = head.split(";")
    names = [unquote(one.removeprefix("name=")) for one in options if one.startswith("name=")]
    path = folder / (Path(*names[:1]).name or f"picture{guess_extension(kind) or ''}")
    data = b64decode(body)
    after_request(shutil.rmtree, folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path.write_bytes(data)
    return path
