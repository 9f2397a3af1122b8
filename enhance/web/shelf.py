"""Decoded pictures that a preview may need again in a moment: few, bounded in bytes, and not for long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ..picture import Picture


@dataclass(eq=False)
class _Kept:
    picture: Picture
    timer: threading.Timer


class Shelf:
    """Keeps at most `most_bytes` of pixels, each for `seconds` after its last use; a larger picture is never kept."""

    def __init__(self, most_bytes: int = 400_000_000, seconds: float = 300):
        self._most_bytes, self._seconds = most_bytes, seconds
        self._lock = threading.Lock()
        self._kept: dict[Hashable, _Kept] = {}

    def picture(self, key: Hashable, read: Callable[[], Picture]) -> Picture:
        """The picture kept under `key`, else the one that `read` gives."""
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is not None:
                kept.timer.cancel()
        picture = kept.picture if kept else read()
        if _bytes(picture) <= self._most_bytes:
            self._keep(key, picture)
        return picture

    def drop(self, key: Hashable) -> None:
        with self._lock:
            kept = self._kept.pop(key, None)
        if kept is not None:
            kept.timer.cancel()

    def _keep(self, key: Hashable, picture: Picture) -> None:
        timer = threading.Timer(self._seconds, self.drop, (key,))
        timer.daemon = True
        with self._lock:
            before = self._kept.pop(key, None)
            self._kept[key] = _Kept(picture, timer)
            dropped = [before] if before else []
            while sum(_bytes(kept.picture) for kept in self._kept.values()) > self._most_bytes:
                dropped.append(self._kept.pop(next(iter(self._kept))))
        for kept in dropped:
            kept.timer.cancel()
        timer.start()


def _bytes(picture: Picture) -> int:
    return picture.rgb.nbytes + (0 if picture.alpha is None else picture.alpha.nbytes)
