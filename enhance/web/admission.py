"""Limits for open requests of one kind, fair between users, addresses and pages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from anyio import CapacityLimiter

from ..errors import EnhanceError
from .security import RejectedRequest

_CONCURRENT = 2


class Admission:
    """The requests of one kind that are open, by session, by address and in total (the empty party)."""

    def __init__(self) -> None:
        self._open = Counter[tuple[str, ...]]()
        self._limiters = defaultdict[tuple[str, ...], CapacityLimiter](partial(CapacityLimiter, _CONCURRENT))

    @asynccontextmanager
    async def admit(self, parties: dict[tuple[str, ...], int]) -> AsyncIterator[None]:
        """Count a request for these parties, each with its limit, inside the block. Raises RejectedRequest."""
        for party, limit in parties.items():
            if self._open[party] >= limit:
                raise RejectedRequest(429 if party else 503, EnhanceError("regions_full", limit=limit))
        self._open.update(parties.keys())
        try:
            yield
        finally:
            self._open.subtract(parties.keys())
            for party in parties:
                if not self._open[party]:
                    del self._open[party]
                    self._limiters.pop(party, None)

    @asynccontextmanager
    async def acquire(self, parties: Iterable[tuple[str, ...]]) -> AsyncIterator[None]:
        """Run the block when no party of the admitted request has more than two in progress."""
        async with AsyncExitStack() as stack:
            for party in parties:
                await stack.enter_async_context(self._limiters[party])
            yield
