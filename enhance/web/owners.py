"""Who owns what: each request belongs to a login, to a key that its client has made, or only to its session."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr

from ..errors import EnhanceError

KEY_HEADER = "x-enhance-key"
"""The header with a client's own key. Whoever has the key owns everything that was made with it."""
_KEY = re.compile(r"[A-Za-z0-9_-]{32,128}")


@dataclass(frozen=True)
class Owner:
    """The client of a request: `name` is its user, its key or its session, `address` its IP address."""

    name: str
    address: str

    @property
    def caller(self) -> tuple[str, ...]:
        """The key for limits, by user or IP address first: a client can invent keys and sessions, but not these."""
        if self.is_user:
            return (self.name,)
        return f"address {self.address}", self.name

    @property
    def digest(self) -> str:
        """The name for files and databases, which never contain a key."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def is_user(self) -> bool:
        """Whether the client has logged in or sent an API key."""
        return self.name.startswith("user ")

    @property
    def is_lasting(self) -> bool:
        """Whether the client can prove in another session, and after a restart, that it is the owner."""
        return not self.name.startswith("session ")


def owner_of(request: gr.Request) -> Owner:
    """Return the owner of what the request makes. Raises EnhanceError if it has a key that is not valid."""
    address = request.client.host if request.client else ""
    if request.username:
        return Owner(f"user {request.username}", address)
    if key := key_of(request.headers):
        return Owner(f"key {key}", address)
    return Owner(f"session {request.session_hash}", address)


def key_of(headers: Mapping[str, str]) -> str:
    """Return the key of a request; "" if it has none. Raises EnhanceError if it is not valid."""
    key = headers.get(KEY_HEADER)
    if key is None:
        return ""
    if not _KEY.fullmatch(key):
        raise EnhanceError("owner_key_invalid")
    return key
