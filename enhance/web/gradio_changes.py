"""Changes to Gradio that its settings do not offer. Each says what breaks without it."""

from __future__ import annotations

from typing import Any, NoReturn

import gradio as gr
import safehttpx
from gradio.data_classes import FileData, ListFiles


async def _fetch_nothing(*_: Any, **__: Any) -> NoReturn:
    raise PermissionError("this server fetches no address that a client names")


def _paths(self: gr.File, payload: ListFiles | FileData | None) -> Any:
    if payload is None:
        return None
    paths = [file.path for file in payload] if isinstance(payload, ListFiles) else [payload.path]
    return paths[0] if self.file_count == "single" else paths


def change_gradio() -> None:
    """Make the changes, for every app of this process."""
    # Gradio fetches every address that a client names through these two functions: the address in place of a file, and
    # the one in the path of the routes /file= and /file/. Without this, a client can use the server as an open proxy.
    # Model downloads use huggingface_hub and urllib.
    safehttpx.get = safehttpx.async_validate_url = _fetch_nothing
    # Gradio's own function also makes an empty temporary file for each input and never deletes it. Without this,
    # requests of 29 kB use up the inodes of the disk.
    gr.File.preprocess = _paths
