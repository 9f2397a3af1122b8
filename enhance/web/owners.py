"""The owner of a request: a user, a key that its client has created, or only its session."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr

from ..errors import EnhanceError

KEY_HEADER = "x-enhance-key"
"""The header with a client's own key. Every client that has the key owns everything that was made
with it."""
_KEY = re.compile(r"[A-Za-z0-9_-]{32,128}")


@dataclass(frozen=True)
class Owner:
    """The client of a request: `name` is its user, its key or its session, with this word before
    it, and `address` its IP address."""

    name: str
    address: str

    @property
    def caller(self) -> tuple[str, ...]:
        """The parts by which limits count this client: its user alone, or its IP address and its
        name. The first part is one that a client cannot invent, unlike keys and sessions."""
        if self.name.startswith("user "):  # It has logged in or sent an API key.
            return (self.name,)
        return f"address {self.address}", self.name

    @property
    def digest(self) -> str:
        """The checksum that identifies the owner in files and databases, which must not contain a
        key."""
        # A client can give its session a name that is no text.
        return hashlib.sha256(self.name.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def is_lasting(self) -> bool:
        """Whether the client can prove in another session, and after a restart, that it is the
        owner."""
        return not self.name.startswith("session ")


def owner_of(request: gr.Request) -> Owner:
    """Return the owner of a request. Raises EnhanceError if the format of its key is not
    allowed."""
    address = request.client.host if request.client else ""
    name = f"session {request.session_hash}"
    if request.username:
        name = f"user {request.username}"
    elif key := key_of(request.headers):
        name = f"key {key}"
    return Owner(name, address)


def key_of(headers: Mapping[str, str]) -> str:
    """Return the key of a request; "" if it has none. Raises EnhanceError if its format is not
    allowed."""
    key = headers.get(KEY_HEADER)
    if key is None:
        return ""
    if not _KEY.fullmatch(key):
        raise EnhanceError("owner_key_invalid")
    return key
