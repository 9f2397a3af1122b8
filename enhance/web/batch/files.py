"""The files of the Batch tab with their thumbnails and downloads, before and after a batch."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...analysis import Analysis
from ...batch import Item, with_own_size
from ...errors import SettingsError
from ...info import settings_in
from ...output.formats import Encoding
from ...settings import Settings

_MAX_PIXELS, _MAX_RESULT_PIXELS = 50_000_000, 100_000_000
"""Larger files of a batch get no thumbnail, because it would take too long."""


@dataclass(frozen=True)
class FilePlan:
    """The size (height, width) that the result of a file would have with these settings, or why it is not possible.

    `is_limited` is true for the largest size if the requested one is too large. `background` is that of the output
    file if it loses transparency.
    """

    settings: Settings
    size: tuple[int, int] | None = None
    is_limited: bool = False
    background: str = ""
    error: SettingsError | None = None


@dataclass
class BatchFiles:
    """The files of the Batch tab, before and after a batch.

    `id` is the id of the current or last batch in the list of results, `encoding` its file format. `thumbnails`
    are by a file's key and whether they show the result, `results` are downloads by the key, and `archives` are ZIP
    files of earlier batches. `is_flexible` is a parameter of `with_own_size`. `plans` are the expected results of
    the files that are not done, and `seconds` their times by source. `are_plans_shown` is false after a change of the
    list. The next estimate then shows the list again, because the response of the change can arrive after it.
    """

    items: tuple[Item, ...] = ()
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    thumbnails: dict[tuple[str, bool], Path | None] = field(default_factory=dict)
    results: dict[str, Path] = field(default_factory=dict)
    archives: list[Path | None] = field(default_factory=list)
    encoding: Encoding = field(default_factory=Encoding)
    is_flexible: bool = False
    plans: dict[str, FilePlan] = field(default_factory=dict)
    seconds: dict[Path, float] = field(default_factory=dict)
    are_plans_shown: bool = False
    analyses: dict[Path, Analysis] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _requested: dict[str, Settings] = field(default_factory=dict)  # By key. `info` has the preset that Auto selected.

    def prepare(self, settings: Settings, encoding: Encoding, *, only: str | None = None) -> None:
        """Set the files to waiting, apart from those that are done with these settings or cannot be read.

        A file that is done with other settings gets a new key, so that the list of results keeps both results. `only`
        is the key of the only file to prepare.
        """
        items = []
        for item in self.items:
            if only in (None, item.key):
                item = with_own_size(item, settings, is_flexible=self.is_flexible)
                item = self._prepare(item, item.settings or settings, encoding)
            items.append(item)
        self.items, self.encoding = tuple(items), encoding
        if not any(item.info for item in self.items):
            self.id = secrets.token_hex(16)
            self.items = tuple(replace(item, number=number) for number, item in enumerate(self.items, 1))

    def work(self) -> Callable[[Item], float]:
        """Return a function for the expected work of a file: its seconds, or a guess from its pixels."""
        seconds = self.seconds
        pixels = sum(item.pixels for item in self.items if item.source in seconds)
        seconds_per_pixel = sum(seconds.values()) / pixels if pixels else 1
        return lambda item: seconds.get(item.source, seconds_per_pixel * item.pixels)

    def is_done(self, item: Item, settings: Settings, encoding: Encoding) -> bool:
        """Return whether a file has the result of these settings in this format."""
        return self._has_result(item, settings) and encoding == self.encoding

    def _has_result(self, item: Item, settings: Settings) -> bool:
        if not (item.info and item.result and item.result.exists()):
            return False
        return settings in (self._requested.get(item.key), settings_in(item.info))

    def _prepare(self, item: Item, settings: Settings, encoding: Encoding) -> Item:
        if self.is_done(item, settings, encoding) or (item.error and not item.pixels):
            return item
        has_other = item.result is not None and item.result.exists() and not self._has_result(item, settings)
        key = secrets.token_hex(16) if has_other else item.key
        if (item.key, False) in self.thumbnails:
            self.thumbnails[key, False] = self.thumbnails.pop((item.key, False))
        self.thumbnails.pop((item.key, True), None)
        self.results.pop(item.key, None)
        self._requested[key] = settings
        return replace(item, state="waiting", info=None, error=None, key=key)

    def without_thumbnail(self, items: Iterable[Item]) -> list[tuple[Item, bool]]:
        """Return the files that need a thumbnail, and whether it shows the result."""
        found = []
        for item in items:
            if item.state != "failed" and 0 < item.pixels <= _MAX_PIXELS:
                found.append((item, False))
            if item.info and item.info["output"]["width"] * item.info["output"]["height"] <= _MAX_RESULT_PIXELS:
                found.append((item, True))
        return [(item, of_result) for item, of_result in found if (item.key, of_result) not in self.thumbnails]

    def clear(self) -> None:
        """Remove all files with their downloads."""
        self.remove([item.key for item in self.items])

    def remove(self, keys: Collection[str]) -> None:
        """Remove files with their downloads, and all ZIP files."""
        self.items = tuple(item for item in self.items if item.key not in keys)
        paths, self.archives = self.archives, []
        for key in keys:
            paths += [self.results.pop(key, None), *(self.thumbnails.pop((key, one), None) for one in (False, True))]
        for path in filter(None, paths):
            path.unlink(missing_ok=True)
