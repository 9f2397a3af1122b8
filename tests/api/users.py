"""Users of the API, with the client `gradio_client`."""

import secrets
from collections.abc import Callable
from pathlib import Path

from gradio_client import Client, handle_file

from enhance.web.owners import KEY_HEADER

from .calls import FAST

Connect = Callable[..., Client]


def new_key():
    """Return the header of a new owner."""
    return {KEY_HEADER: secrets.token_hex(16)}


class User:
    """A client of the owner with these headers, whose runs have the preset `anime-fast`."""

    def __init__(self, connect, headers=None):
        self.headers = new_key() if headers is None else headers
        self._connect = connect
        self._client = connect(headers=self.headers)

    def again(self):
        """Return another client of the same owner."""
        return User(self._connect, self.headers)

    def start(self, endpoint, *values, **given):
        """Call an endpoint. Paths among its first values are uploaded.

        The call has a client of its own, because gradio_client can cancel one of several calls
        at a time. Only a session, which has no key, cannot have another client.
        """
        client = self._client
        if self.headers:
            client = self._connect(headers=self.headers)
        return _submit(client, endpoint, *values, **given)

    def call(self, endpoint, *values, **given):
        """Return the outputs of an endpoint."""
        return _submit(self._client, endpoint, *values, **given).result(timeout=300)

    def states(self):
        """Return the states of the recent results by their ids."""
        return {entry["id"]: entry["state"] for entry in self.call("runs")}


def _submit(client, endpoint, *values, **given):
    if endpoint in ("enhance", "preview", "batch"):
        given = FAST | given
    uploads = [_as_upload(value) for value in values]
    return client.submit(*uploads, **given, api_name=f"/{endpoint}")


def _as_upload(value):
    if isinstance(value, list):
        return [_as_upload(one) for one in value]
    return handle_file(value) if isinstance(value, Path) else value


def progress(job):
    """Return the newest progress of a call of a job with a name, or {}."""
    outputs = job.outputs()
    return outputs[-1][1].get("progress", {}) if outputs else {}
