"""Changes to Gradio that its settings do not offer. Each says what breaks without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NoReturn

import gradio as gr
import safehttpx
from gradio import route_utils
from gradio.data_classes import FileData, ListFiles

_UPLOADING: ContextVar[list[Any] | None] = ContextVar("uploading", default=None)


async def _fetch_nothing(*_: Any, **__: Any) -> NoReturn:
    raise PermissionError("this server fetches no address that a client names")


def _paths(self: gr.File, payload: ListFiles | FileData | None) -> Any:
    if payload is None:
        return None
    paths = [file.path for file in payload] if isinstance(payload, ListFiles) else [payload.path]
    return paths[0] if self.file_count == "single" else paths


def _file_of_upload(**options: Any) -> Any:
    file = NamedTemporaryFile(**options)  # noqa: SIM115
    if (files := _UPLOADING.get()) is not None:
        files.append(file)
    return file


@contextmanager
def upload_files_deleted() -> Iterator[None]:
    """Delete the temporary files of the upload in the block, except those that became uploaded files."""
    files: list[Any] = []
    token = _UPLOADING.set(files)
    try:
        yield
    finally:
        _UPLOADING.reset(token)
        for file in files:
            with suppress(OSError):  # closing writes the rest of the file
                file.close()
            with suppress(OSError):
                Path(file.name).unlink(missing_ok=True)


def change_gradio() -> None:
    """Make the changes, for every app of this process."""
    # Gradio fetches every address that a client names through these two functions: the address in place of a file, and
    # the one in the path of the routes /file= and /file/. Without this, a client can use the server as an open proxy.
    # Model downloads use huggingface_hub and urllib.
    safehttpx.get = safehttpx.async_validate_url = _fetch_nothing
    # Gradio's own function also makes an empty temporary file for each input and never deletes it. Without this,
    # requests of 29 kB use up the inodes of the disk.
    gr.File.preprocess = _paths
    # Gradio deletes the temporary files of an upload only where the request itself was wrong, not where the client
    # disconnects or the disk is full. Without this, `upload_files_deleted` finds no files.
    route_utils.NamedTemporaryFile = _file_of_upload  # type: ignore[attr-defined]
