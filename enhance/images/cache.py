"""A cache of decoded images."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future

from .image import SourceImage

_SECONDS = 300


class ImageCache:
    """Cache of decoded images. Thread-safe.

    Holds at most `max_bytes` of pixels, each image for 5 min after its last use; a larger image is
    never cached.
    """

    def __init__(self, max_bytes: int = 400_000_000):
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        # Each with the time of its last use.
        self._entries: dict[Hashable, tuple[Future[SourceImage], float]] = {}

    def get(self, key: Hashable, read: Callable[[], SourceImage]) -> SourceImage:
        """Return the image cached under `key`, else the one that `read` returns; threads share one
        call of `read`."""
        with self._lock:
            is_new = key not in self._entries
            future, _ = self._entries.pop(key, (Future[SourceImage](), 0.0))
            self._entries[key] = (future, time.monotonic())
        if is_new:
            try:
                future.set_result(read())
            except BaseException as error:
                # Before waiting threads continue, so that their next request reads again.
                with self._lock:
                    self._entries.pop(key, None)
                future.set_exception(error)
        try:
            return future.result()
        finally:
            self.sweep()

    def find(self, key: Hashable) -> SourceImage | None:
        """Return the image cached under `key`, None if it is not decoded."""
        future, _ = self._entries.get(key, (None, 0.0))
        if future is None or not future.done() or future.exception():
            return None
        return future.result()

    def sweep(self) -> None:
        """Drop images that were not used for long, and those used least recently until the rest
        fits."""
        oldest = time.monotonic() - _SECONDS
        with self._lock:
            finished = {key: future for key, (future, _) in self._entries.items() if future.done()}
            sizes = {key: future.result().nbytes for key, future in finished.items()}
            for key in list(sizes):  # In the order of their last use: `get` adds them again.
                _, used = self._entries[key]
                if used <= oldest or sum(sizes.values()) > self._max_bytes:
                    del sizes[key], self._entries[key]
