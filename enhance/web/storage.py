"""The page's files: where they lie and for how long, those of the second tab, and whose they are."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gradio as gr

from ..batch import Batch, Item, Running, for_print, pack, titles
from ..config import Limits
from ..errors import EnhanceError, StorageError, expected_error
from ..files import OwnFolders, StoredItem, explained, link_or_copy, sizes_of
from ..info import settings_in, timestamp
from ..output.formats import Encoding
from ..output.thumbnails import save_small, save_small_result
from ..settings import Settings

ZIP_NAME = "enhanced.zip"
_SWEEP_SECONDS = 600
SHORTEST_RETENTION = 60
"""The seconds that the page's files are kept at least: the sweep marks those in use more often than that."""
TOUCH_SECONDS = 15
_UPLOAD_SECONDS = 3600
_RANDOM = re.compile(r"[0-9a-f]{32}")
_GRADIO = re.compile(r"[0-9a-f]{64}|tmp[a-z0-9_]{8}")
_MOST_OWNERS = 20_000
_SMALL = 160
_MOST_PIXELS, _MOST_PIXELS_OF_RESULT = 50_000_000, 100_000_000
"""A larger file has no small picture: it would take longer than is worth it."""


class PageFolder:
    """Where the page keeps what browsers send and get; what is older than `hours` goes, if the program made it.

    `shared`: the folder is one that the person named, so only what lies in the program's own folders in it counts.
    """

    def __init__(self, root: Path, hours: float, *, shared: bool):
        self.root, self._seconds = root, max(SHORTEST_RETENTION, hours * 3600)
        self._names = {"visitors": _RANDOM, "results": _RANDOM} | ({} if shared else {".": _GRADIO})
        self._own = OwnFolders(root, self._names)
        self._lock = threading.Lock()
        self._swept = 0.0
        self.keep_used: Callable[[], object] = lambda: None
        """Mark the files that open pages and running jobs use, also for other processes with this folder."""
        self.uploads: Callable[[], Iterable[str]] = tuple
        """Return the uploads of this process. In a shared folder, nothing else shows whose they are."""

    def path(self, name: str) -> Path:
        """The folder `name`, one of visitors and results. Raises StorageError."""
        self._own.prepare()
        return self.root / name

    def items(self) -> Iterator[StoredItem]:
        """Everything in the folder but unfinished uploads. What was used within a minute is not removable."""
        self.keep_used()
        now = time.time()
        own = {entry for name in self._names for entry in self._own.entries(name)}
        for entry in own | self._entries_of(self.uploads()):
            with suppress(OSError):
                files = [path for path in entry.rglob("*") if path.is_file()] if entry.is_dir() else [entry]
                used = max(path.stat().st_mtime for path in (entry, *files))
                if entry.is_dir():
                    yield StoredItem(entry, used, sizes_of(*files), used < now - SHORTEST_RETENTION)
                elif used < now - _UPLOAD_SECONDS:  # the reservation of an upload counts its newer files
                    yield StoredItem(entry, used, sizes_of(entry), removable=False)

    def _entries_of(self, paths: Iterable[Path | str]) -> set[Path]:
        """The files and folders in this folder that are removed as a whole and contain these paths."""
        root, entries = self.root.resolve(), set()
        for path in paths:
            with suppress(ValueError, OSError):
                parts = Path(path).resolve().relative_to(root).parts
                entries.add(self.root.joinpath(*parts[: 2 if parts[0] in self._names else 1]))
        return {entry for entry in entries if entry.exists()}

    def sweep(self) -> None:
        """Remove what is too old; at most every ten minutes."""
        now = time.time()
        with self._lock:
            if now - self._swept < _SWEEP_SECONDS:
                return
            self._swept = now
        self.keep_used()
        for left in self._old(now - self._seconds):
            with suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()

    def _old(self, oldest: float) -> Iterator[Path]:
        for name in self._names:
            for entry in self._own.entries(name):
                with suppress(OSError):
                    if entry.stat().st_mtime < oldest:
                        yield entry


class DownloadFolder:
    """Gives every file a folder of its own with a name that nobody can guess."""

    def __init__(self, folder: PageFolder):
        self._folder = folder

    def place(self, name: str) -> Path:
        """A path for a new file called `name`. Raises StorageError."""
        self._folder.sweep()
        folder = self._folder.path("results") / secrets.token_hex(16)
        try:
            folder.mkdir()
        except OSError as error:
            raise explained(folder, error) from error
        return folder / name

    def link(self, source: Path, name: str) -> Path:
        """The file `source` once more, called `name`. Raises StorageError."""
        path = self.place(name)
        try:
            link_or_copy(source, path)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise explained(path, error) from error
        return path


@dataclass
class BatchUploads:
    """The files of the second tab: as they were before a batch of them, and what there is to see and to take home.

    `running` is that batch, `id` what a list of results calls them together. `pictures` are thumbnails by the file's
    key and whether it is the result's, `results` finished pictures by the key, `archives` the ZIPs of ended batches.
    What is done was handed out by `encoding`.
    """

    items: tuple[Item, ...] = ()
    running: Running | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    pictures: dict[tuple[str, bool], Path | None] = field(default_factory=dict)
    results: dict[str, Path] = field(default_factory=dict)
    archives: list[Path | None] = field(default_factory=list)

    encoding: Encoding = field(default_factory=Encoding)
    paper: str = ""
    """That of the prints that they are made for."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, settings: Settings, encoding: Encoding, paper: str | None = "") -> None:
        """Make the files ready for a batch, or for prints on a `paper`; None leaves each what it has of its own.

        What is done just so, or is no picture, stays as it is. A file that is done with other settings becomes another
        one, so that a list keeps both results.
        """
        same, self.encoding = encoding == self.encoding, encoding
        if paper is not None:
            self.paper = paper
            self.items = tuple(for_print(item, settings, paper) for item in self.items)
        self.items = tuple(self._ready(item, item.settings or settings, same) for item in self.items)
        if not any(item.info for item in self.items):
            self.id = secrets.token_hex(16)

    def _ready(self, item: Item, settings: Settings, same_encoding: bool) -> Item:
        there = item.result is not None and item.result.exists()
        same = bool(there and item.info and settings_in(item.info) == settings)
        if (same and same_encoding) or (item.error and not item.pixels):
            return item
        key = secrets.token_hex(16) if there and not same else item.key
        if (item.key, False) in self.pictures:
            self.pictures[key, False] = self.pictures.pop((item.key, False))
        self.pictures.pop((item.key, True), None)
        self.results.pop(item.key, None)
        return replace(item, state="waiting", info=None, error=None, key=key)

    def lacking(self, items: Iterable[Item]) -> list[tuple[Item, bool]]:
        """Those of these files that have no small picture yet, and whether it is the result's that is missing."""
        found = []
        for item in items:
            if item.state != "failed" and 0 < item.pixels <= _MOST_PIXELS:
                found.append((item, False))
            if item.info and item.info["output"]["width"] * item.info["output"]["height"] <= _MOST_PIXELS_OF_RESULT:
                found.append((item, True))
        return [(item, of_result) for item, of_result in found if (item.key, of_result) not in self.pictures]

    def depict(self, item: Item, of_result: bool, outbox: DownloadFolder, limits: Limits) -> None:
        """Make a small picture of a file or of its result, once; where that cannot be, there is none."""
        with self._lock:
            if (item.key, of_result) in self.pictures:
                return
            self.pictures[item.key, of_result] = None
        try:
            place = outbox.place("small")
            if of_result and item.png is not None:
                self.pictures[item.key, True] = save_small_result(item.png, place, _SMALL)
            else:
                self.pictures[item.key, False] = save_small(item.source, place, _SMALL, limits.pixels, limits.bytes)
        except Exception as error:
            if not isinstance(error, OSError):
                expected_error(error, "A small picture could not be made")

    def forget(self, keys: Collection[str]) -> None:
        """Take files out, with all that a browser may fetch of them."""
        self.items = tuple(item for item in self.items if item.key not in keys)
        fetched, self.archives = self.archives, []
        for key in keys:
            fetched += [self.results.pop(key, None), self.pictures.pop((key, False), None)]
            fetched += [self.pictures.pop((key, True), None)]
        for path in filter(None, fetched):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class Packed:
    """A batch as it ended, and its ZIP; None when nothing in it was finished, or when there was no room for it.

    In that case `loose` has every finished file by itself, and `error` says why.
    """

    batch: Batch
    archive: Path | None
    loose: dict[Item, Path] = field(default_factory=dict)
    error: EnhanceError | None = None


def packed(outbox: DownloadFolder, batch: Batch, settings: Settings, language: str) -> Packed:
    """The finished files, the table and the summary as one ZIP in the outbox; file by file where that cannot be."""
    if not batch.count("done"):
        return Packed(batch, None)
    try:
        return Packed(batch, pack(batch, outbox.place(ZIP_NAME), settings, language))
    except StorageError as error:
        return Packed(batch, None, _loose(outbox, batch), error)


def _loose(outbox: DownloadFolder, batch: Batch) -> dict[Item, Path]:
    """Every finished file in the outbox, where it takes no room that it does not have already."""
    loose = {}
    for item, title in titles(batch).items():
        if item.result is not None:
            with suppress(StorageError):
                loose[item] = outbox.link(item.result, title)
    return loose


class Owners:
    """Remembers the session, or the user who is logged in, of each task; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: OrderedDict[str, tuple[str, dict[str, Any]]] = OrderedDict()
        self._made: OrderedDict[tuple[str, str], str] = OrderedDict()

    def remember(self, request: gr.Request, info: dict[str, Any]) -> dict[str, Any]:
        """Take the task as the caller's; gives its facts as they may know them.

        That a result was there already, and since when, is told only to who made it.
        """
        name = _name(request)
        with self._lock:
            own = (name, info["signature"])
            stored, made = bool(info["cached"]), self._made.get(own)
            told = {"cached": stored and made is not None, "finished": info["finished"]}
            if stored:
                told["finished"] = made or timestamp()
            self._owners[info["task_id"]], self._made[own] = (name, told), told["finished"]
            for kept in (self._owners, self._made):
                while len(kept) > _MOST_OWNERS:
                    kept.popitem(last=False)
        return info | told

    def check(self, request: gr.Request, task_id: object) -> tuple[str, dict[str, Any]]:
        """The task id, if it is the caller's, and the facts that they were told otherwise than they are stored.

        Raises EnhanceError: an unknown task and another's get the same answer.
        """
        with self._lock:
            owner, told = (self._owners.get(task_id) if isinstance(task_id, str) else None) or (None, {})
        if owner is None or owner != _name(request):
            raise EnhanceError("api_not_your_task")
        assert isinstance(task_id, str)
        return task_id, told


def _name(request: gr.Request) -> str:
    user = request.username
    return f"user {user}" if user else f"session {request.session_hash}"


def list_of(request: gr.Request, key: object) -> str:
    """The name of the list of a user, else of the browser with this key; empty for what is no key."""
    if request.username:
        whose = f"user {request.username}"
    elif isinstance(key, str) and _RANDOM.fullmatch(key):
        whose = f"key {key}"
    else:
        return ""
    return hashlib.sha256(whose.encode()).hexdigest()


@dataclass(frozen=True)
class Asker:
    """Who asks, as far as can be told: a user or an open page, and the address that the request came from."""

    name: str
    address: str

    @property
    def caller(self) -> tuple[str, ...]:
        """Who takes turns with whom: first the users and the addresses of those without a login.

        A client can make up a session, but neither a user nor an address.
        """
        return (self.name,) if self.name.startswith("user ") else (f"address {self.address}", self.name)


def asker_of(request: gr.Request) -> Asker:
    """Who sent a request."""
    user, client = getattr(request, "username", None), getattr(request, "client", None)
    return Asker(f"user {user}" if user else f"session {request.session_hash}", str(getattr(client, "host", "")))
