"""Limits for the server's connections: how slowly a request can arrive, and how many connections can be open.

uvicorn itself waits for the rest of a request for ever, and each open connection holds a file descriptor.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import gradio.http_server
import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ..errors import EnhanceError
from ..i18n import DEFAULT_LANGUAGE
from .metrics import Metrics

resource: Any = None
with suppress(ImportError):  # Windows has no limit for file descriptors.
    import resource

SLACK_SECONDS = 30.0
BYTES_PER_SECOND = 500
"""A request must arrive at this rate, and can fall behind by the seconds above. Apache's limits are similar."""
_LOOK_SECONDS = 5.0
MOST_CONNECTIONS = 4_000
MOST_OF_AN_ADDRESS = 200
_MOST_FILES = 65_536


_Protocol: Any = AutoHTTPProtocol
"""h11's or httptools', whose attributes have the same names."""


class LimitedProtocol(_Protocol):
    """An HTTP connection that closes if its request arrives too slowly, or if there are too many connections.

    If there are too many, the oldest connection whose request is incomplete closes in favour of a new one. A client
    that sends its request at once is served even while others hold all connections open.
    """

    most, most_of_address = MOST_CONNECTIONS, MOST_OF_AN_ADDRESS
    metrics = Metrics()

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._begun = self.loop.time()
        self._allow(SLACK_SECONDS)
        self._watch = self.loop.call_later(_LOOK_SECONDS, self._look)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        left = self._deadline - self.loop.time()
        self._allow(min(left + len(data) / BYTES_PER_SECOND, SLACK_SECONDS))
        super().data_received(data)

    def on_response_complete(self) -> None:
        self._allow(SLACK_SECONDS)
        super().on_response_complete()

    def _allow(self, seconds: float) -> None:
        """Let the request be incomplete for so long from now."""
        self._deadline = self.loop.time() + seconds

    @property
    def _has_head(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_incomplete(self) -> bool:
        """Whether the connection waits for a request or for the rest of one."""
        return not self._has_head or self.cycle.more_body

    def _look(self) -> None:
        """Close the connection if the request is late. While the server itself does not read, nothing is late."""
        if self.flow.read_paused or not self._is_incomplete:
            self._allow(SLACK_SECONDS)
        elif self.loop.time() >= self._deadline:
            self.transport.abort()
            return
        self._watch = self.loop.call_later(_LOOK_SECONDS, self._look)

    def _make_room(self) -> None:
        address = self.client[0] if self.client else ""
        if address not in getattr(self.app, "trusted_hosts", ()):  # uvicorn's, where it reads a proxy's headers
            near = [one for one in self.connections if one.client and one.client[0] == address]
            self._bound(near, self.most_of_address, "connections_of_address")
        self._bound(self.connections, self.most, "connections_full")

    def _bound(self, connections: Collection[Any], most: int, key: str) -> None:
        """Close one of too many connections: the oldest with an incomplete request, else this new one."""
        if len(connections) <= most:
            return
        connections = [one for one in connections if not one.transport.is_closing()]
        if len(connections) <= most or self not in connections:
            return
        late = [one for one in connections if isinstance(one, LimitedProtocol) and one._is_incomplete]
        if len(late) > 1:  # This connection is one of them, and its request is on its way.
            late.remove(self)
            min(late, key=lambda one: (one._has_head, one._begun)).transport.abort()
        else:
            self._refuse(EnhanceError(key, limit=most))

    def _refuse(self, error: EnhanceError) -> None:
        self.metrics.refused(error)
        sentence = error.sentence(DEFAULT_LANGUAGE)
        body = json.dumps({"error": sentence, "detail": sentence}).encode()
        head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()


class LimitedServer(gradio.http_server.Server):
    """Gradio's server with limits for its connections; Gradio has no parameter for them."""

    def __init__(self, config: uvicorn.Config, *given: Any, **named: Any):
        config.http = LimitedProtocol
        # asyncio accepts this many at once, before any protocol can close one.
        self._queue, config.backlog = config.backlog, max(8, LimitedProtocol.most // 8)
        super().__init__(config, *given, **named)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in (one for server in self.servers for one in server.sockets):
            with socket.socket(fileno=os.dup(one.fileno())) as listener:
                listener.listen(self._queue)


def limit_connections(metrics: Metrics) -> None:
    """Apply the limits to servers that start from now on, and let the process open as many files as possible.

    Half of the file descriptors remain for everything else. An address has a quarter of the connections at most, except
    a proxy in FORWARDED_ALLOW_IPS: all its users come from one address.
    """
    most = min(MOST_CONNECTIONS, _raise_file_limit() // 2)
    LimitedProtocol.most, LimitedProtocol.most_of_address = most, min(MOST_OF_AN_ADDRESS, most // 4)
    LimitedProtocol.metrics = metrics
    gradio.http_server.Server = LimitedServer


def _raise_file_limit() -> int:
    """Raise the process's limit of open files as far as the system allows it, and return the limit."""
    if resource is None:
        return _MOST_FILES
    soft, hard = (_MOST_FILES if limit == resource.RLIM_INFINITY else limit for limit in _file_limits())
    wanted = min(hard, _MOST_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, _file_limits()[1]))
    return max(soft, wanted)


def _file_limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)
