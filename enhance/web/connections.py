"""Limits for the server's connections: how slowly a request can arrive, and how many connections
can be open.

uvicorn itself waits for the rest of a request for ever, and each open connection holds a file
descriptor.
"""

from __future__ import annotations

import asyncio
from typing import Any

import gradio.http_server
import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ..processes import raise_file_limit
from .gradio_changes import use_server_class

SLACK_SECONDS = 30
BYTES_PER_SECOND = 500
"""A request must arrive at this rate and can fall behind by SLACK_SECONDS. Apache's limits are
similar."""
_CHECK_SECONDS = 5.0
MOST_CONNECTIONS = 4_000
_Protocol: Any = AutoHTTPProtocol
"""The protocol of h11 or httptools, whose attributes have the same names."""


class LimitedProtocol(_Protocol):
    """An HTTP connection that closes if its request arrives too slowly, or if there are too many
    connections.

    If there are too many, a new connection replaces the oldest one whose request is incomplete. So
    a client that sends its request at once is served even while others hold all connections open.
    """

    most = MOST_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._opened = self.loop.time()
        self._deadline = self._opened + SLACK_SECONDS
        self._timer = self.loop.call_later(_CHECK_SECONDS, self._check_deadline)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        now = self.loop.time()
        # Fast data does not allow a longer pause later.
        self._deadline = min(self._deadline + len(data) / BYTES_PER_SECOND, now + SLACK_SECONDS)
        super().data_received(data)

    def on_response_complete(self) -> None:
        self._deadline = self.loop.time() + SLACK_SECONDS
        super().on_response_complete()

    @property
    def _has_head(self) -> bool:
        """Whether the head of a request without a complete response has arrived."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_incomplete(self) -> bool:
        """Whether the connection waits for a request or for the rest of one."""
        return not self._has_head or self.cycle.more_body

    def _check_deadline(self) -> None:
        """Close the connection if its request is late. A request is not late while the server does
        not read."""
        now = self.loop.time()
        if self.flow.read_paused or not self._is_incomplete:
            self._deadline = now + SLACK_SECONDS
        elif now >= self._deadline:
            self.transport.abort()
            return
        self._timer = self.loop.call_later(_CHECK_SECONDS, self._check_deadline)

    def _make_room(self) -> None:
        """Close one of too many connections: the oldest with an incomplete request.

        If there is none, uvicorn rejects the request of this new one.
        """
        if len(self.connections) <= self.most:
            return
        connections = [one for one in self.connections if not one.transport.is_closing()]
        if len(connections) <= self.most:
            return
        incomplete = [
            one
            for one in connections
            if one is not self and isinstance(one, LimitedProtocol) and one._is_incomplete
        ]
        if incomplete:
            oldest = min(incomplete, key=lambda one: (one._has_head, one._opened))
            oldest.transport.abort()


class LimitedServer(gradio.http_server.Server):
    """Gradio's server with limits for its connections."""

    def __init__(self, config: uvicorn.Config, *given: Any, **options: Any):
        config.http = LimitedProtocol
        config.limit_concurrency = LimitedProtocol.most + 1
        # uvicorn's default is 5 s, for which httpx uses an idle connection: a request at that
        # moment would be lost.
        config.timeout_keep_alive = SLACK_SECONDS
        # asyncio accepts this many at once, before any protocol can close one.
        config.backlog = max(8, LimitedProtocol.most // 8)
        super().__init__(config, *given, **options)


def limit_connections() -> None:
    """Set the limits for servers that start from now on, and raise the limit of open files.

    Half of the file descriptors remain for everything else.
    """
    LimitedProtocol.most = min(MOST_CONNECTIONS, raise_file_limit() // 2)
    use_server_class(LimitedServer)
