"""The page's files on disk, and which client owns which task."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import EnhanceError, SettingsError, StorageError
from ..files import link_or_copy, storage_errors
from ..info import timestamp
from ..output.formats import Encoding
from ..retention import Inode, OwnFolders, StoredItem, sizes_of
from ..store import TaskStore
from .owners import Owner

MIN_RETENTION = 60
"""The minimum retention period of the page's files in seconds. Files in use are marked more often than that."""
MARK_SECONDS = 15
_UPLOAD_SECONDS = 3600
_RANDOM_NAME = re.compile(r"[0-9a-f]{32}")
_GRADIO_NAME = re.compile(r"[0-9a-f]{64}|tmp[a-z0-9_]{8}")
_MAX_TASKS = 20_000


class PageFolder:
    """The folder of uploads and downloads. Files of the app that are older than `hours` are deleted.

    If the folder is `shared`, the user has chosen it: only the app's own subfolders in it are deleted.
    """

    def __init__(self, root: Path, hours: float, *, shared: bool):
        self.root, self._seconds = root, max(MIN_RETENTION, hours * 3600)
        self._names = {"visitors": _RANDOM_NAME, "results": _RANDOM_NAME} | ({} if shared else {".": _GRADIO_NAME})
        self._own = OwnFolders(root, self._names)
        self.mark_used: Callable[[], object] = lambda: None
        """Mark the files that open pages and running jobs use, also for other processes with this folder."""
        self.uploads: Callable[[], Iterable[str]] = tuple
        """Return the uploads of this process. In a shared folder, nothing else shows which app they belong to."""

    def path(self, name: str) -> Path:
        """Return the subfolder `name`: visitors or results. Raises StorageError."""
        self._own.prepare()
        return self.root / name

    def items(self) -> Iterator[StoredItem]:
        """Yield everything in the folder but unfinished uploads. Files used within a minute are not removable."""
        self.mark_used()  # first, because only the time of a file shows whether it is in use
        now = time.time()
        own = {entry for name in self._names for entry in self._own.entries(name)}
        for entry in own | self._entries_of(self.uploads()):
            with suppress(OSError):
                files = [path for path in entry.rglob("*") if path.is_file()] if entry.is_dir() else [entry]
                used = max(path.stat().st_mtime for path in (entry, *files))
                if entry.is_dir():
                    yield StoredItem(entry, used, sizes_of(*files), used < now - MIN_RETENTION)
                elif used < now - _UPLOAD_SECONDS:  # The reservation of an upload counts its newer files.
                    yield StoredItem(entry, used, sizes_of(entry), removable=False)

    def _entries_of(self, paths: Iterable[Path | str]) -> set[Path]:
        """Return the files and folders that contain these paths and are removed as a whole."""
        root, entries = self.root.resolve(), set()
        for path in paths:
            with suppress(ValueError, OSError):
                parts = Path(path).resolve().relative_to(root).parts
                entries.add(self.root.joinpath(*parts[: 2 if parts[0] in self._names else 1]))
        return {entry for entry in entries if entry.exists()}

    def sweep(self) -> None:
        """Delete old files."""
        now = time.time()
        self.mark_used()
        for entry in [entry for name in self._names for entry in self._own.entries(name)]:
            with suppress(OSError):
                if entry.stat().st_mtime < now - self._seconds:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def remove_links(self, inodes: Set[Inode]) -> None:
        """Delete the links to these files, each with its folder, which also has other images of the same result."""
        for folder in (self.root / name for name in self._names if name != "."):
            for path in [path for path in folder.rglob("*") if not inodes.isdisjoint(sizes_of(path))]:
                shutil.rmtree(path.parent, ignore_errors=True)

    def new_path(self, name: str) -> Path:
        """Return the path for a new download called `name`, in a folder with a random name. Raises StorageError."""
        folder = self.path("results") / secrets.token_hex(16)
        with storage_errors(folder):
            folder.mkdir()
        return folder / name

    def link(self, source: Path, name: str) -> Path:
        """Link or copy the file `source` to a new path, called `name`. Raises StorageError."""
        path = self.new_path(name)
        try:
            with storage_errors(path):
                link_or_copy(source, path)
        except StorageError:
            path.unlink(missing_ok=True)
            raise
        return path


_VARIABLE = "GRADIO_TEMP_DIR"
_apps: list[tuple[Path, Path]] = []
"""The folder of the page and the data folder of the app that set the variable last."""


def page_folder(config: Config, tasks: TaskStore) -> PageFolder:
    """Return the folder for uploads and downloads, and make it Gradio's temporary folder.

    Old files of an earlier server are deleted. Raises StorageError, and SettingsError if another app of this process
    has a folder already: Gradio reads one environment variable for all apps, so the first app would lose its uploads.
    """
    root = (config.page_folder or tasks.folder / "page").absolute()
    if _apps and os.environ.get(_VARIABLE) == str(_apps[-1][0]) and _apps[-1] != (root, tasks.folder):
        raise SettingsError("second_app", folder=_apps[-1][1])
    _apps[:] = [(root, tasks.folder)]
    os.environ[_VARIABLE] = str(root)
    folder = PageFolder(root, config.hours, shared=config.page_folder is not None)
    folder.sweep()
    return folder


class TaskOwners:
    """The owner of each task. The oldest tasks are forgotten first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: OrderedDict[str, tuple[str, dict[str, Any], Encoding | None]] = OrderedDict()
        self._finished: OrderedDict[tuple[str, str], str] = OrderedDict()

    def remember(self, owner: Owner, info: Mapping[str, Any], encoding: Encoding | None = None) -> dict[str, Any]:
        """Make the client the owner of a task, and return the `info` that this client can see.

        `encoding` describes the file that the client gets and its report describes.
        Only a client that has run the same request before can see that the result was stored, and since when.
        """
        name = owner.digest
        with self._lock:
            own = (name, info["signature"])
            is_stored, first = bool(info["cached"]), self._finished.get(own)
            visible = {"cached": is_stored and first is not None, "finished": info["finished"]}
            if is_stored:
                visible["finished"] = first or timestamp()
            self._owners[info["task_id"]], self._finished[own] = (name, visible, encoding), visible["finished"]
            for known in (self._owners, self._finished):
                while len(known) > _MAX_TASKS:
                    known.popitem(last=False)
        return {**info, **visible}

    def check(self, owner: Owner, task_id: object) -> tuple[str, dict[str, Any], Encoding | None]:
        """Return the id of the client's own task, the `info` keys that differ for this client, and its encoding.

        Raises EnhanceError, the same for unknown tasks and tasks of other clients.
        """
        if isinstance(task_id, str):
            with self._lock:
                name, visible, encoding = self._owners.get(task_id, ("", {}, None))
            if name == owner.digest:
                return task_id, visible, encoding
        raise EnhanceError("api_not_your_task")
