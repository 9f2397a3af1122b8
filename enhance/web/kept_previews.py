"""A cache of the network outputs of previews.

Most requests differ from the previous one only in the value of a slider, so the network does not
have to run again.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import NamedTuple

from ..images import Box
from ..preview import Preview
from .owners import Owner

_MAX_BYTES = 256_000_000
_REGIONS = 2
"""The number of rectangles that are cached for an owner, each with the outputs of all its
networks."""


class Key(NamedTuple):
    """The key of a network output. `rectangle` is the requested one, of which possibly only the
    middle is previewed."""

    owner: Owner
    photo: str
    rectangle: Box
    network: str

    @property
    def region(self) -> tuple[str, Box]:
        return self.photo, self.rectangle

    @property
    def party(self) -> str:
        """The user or the address, neither of which a client can invent."""
        return self.owner.caller[0]


class KeptPreviews:
    """A thread-safe cache of the network outputs of previews, each for its owner only.

    The outputs have at most _MAX_BYTES. Beyond that, the least recently used output of the user or
    address with the most bytes is dropped, so inventing owners gives no advantage. Outputs are also
    dropped after `seconds` without use.
    """

    def __init__(self, seconds: float = 300):
        self._seconds = seconds
        self._lock = threading.Lock()
        self._entries = dict[Key, tuple[Preview, float]]()
        """The outputs in the order of their last use, with its time."""

    @property
    def nbytes(self) -> int:
        """Bytes of all outputs."""
        return sum(preview.region.nbytes for preview, _ in self._entries.values())

    def find(self, key: Key) -> Preview | None:
        """Return a preview without its images, which `Enhancer.retune` creates."""
        with self._lock:
            if key not in self._entries:
                return None
            preview, _ = self._entries.pop(key)
            self._entries[key] = preview, time.monotonic()
            return preview

    def keep(self, key: Key, preview: Preview) -> None:
        """Keep the network output of a preview, and drop the outputs beyond the limits."""
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = preview.without_images(), time.monotonic()
            own = [one for one in reversed(self._entries) if one.owner == key.owner]
            newest = list(dict.fromkeys(one.region for one in own))[:_REGIONS]
            for one in own:
                if one.region not in newest:
                    del self._entries[one]
            while self.nbytes > _MAX_BYTES:
                self._drop_one()

    def sweep(self) -> None:
        """Drop the outputs that have expired."""
        oldest = time.monotonic() - self._seconds
        with self._lock:
            for key in [key for key, (_, used) in self._entries.items() if used <= oldest]:
                del self._entries[key]

    def _drop_one(self) -> None:
        sizes = Counter[str]()
        for key, (preview, _) in self._entries.items():
            sizes[key.party] += preview.region.nbytes
        ((largest, _),) = sizes.most_common(1)
        del self._entries[next(key for key in self._entries if key.party == largest)]
