"""Users of the API, with the client `gradio_client`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradio_client import Client, handle_file
from gradio_client.client import Job

from enhance.web.owners import KEY_HEADER

from .calls import FAST

Connect = Callable[..., Client]


def new_key() -> dict[str, str]:
    """Return the header of a new owner."""
    return {KEY_HEADER: secrets.token_hex(16)}


class User:
    """A client of the owner with these headers, whose runs have the preset `anime-fast`."""

    def __init__(self, connect: Connect, headers: dict[str, str] | None = None):
        self.headers = new_key() if headers is None else headers
        self._connect = connect
        self._client = connect(headers=self.headers)

    def again(self) -> User:
        """Return another client of the same owner."""
        return User(self._connect, self.headers)

    def start(self, endpoint: str, *values: Any, **given: Any) -> Job:
        """Call an endpoint. Paths among its first values are uploaded.

        The call has a client of its own, because gradio_client can cancel one of several calls
        at a time. Only a session, which has no key, cannot have another client.
        """
        client = self._client
        if self.headers:
            client = self._connect(headers=self.headers)
        return _submit(client, endpoint, *values, **given)

    def call(self, endpoint: str, *values: Any, **given: Any) -> Any:
        """Return the outputs of an endpoint."""
        return _submit(self._client, endpoint, *values, **given).result(timeout=300)

    def states(self) -> dict[str, str]:
        """Return the states of the recent results by their ids."""
        return {entry["id"]: entry["state"] for entry in self.call("runs")}


def _submit(client: Client, endpoint: str, *values: Any, **given: Any) -> Job:
    if endpoint in ("enhance", "preview", "batch"):
        given = FAST | given
    uploads = [_as_upload(value) for value in values]
    return client.submit(*uploads, **given, api_name=f"/{endpoint}")


def _as_upload(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_upload(one) for one in value]
    return handle_file(value) if isinstance(value, Path) else value


def progress(job: Job) -> dict[str, Any]:
    """Return the newest progress of a call of a job with a name, or {}."""
    outputs = job.outputs()
    return outputs[-1][1].get("progress", {}) if outputs else {}
