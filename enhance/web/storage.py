"""The page's files on disk, and which client owns which task."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import EnhanceError, SettingsError
from ..files import MARKER, link_or_copy, storage_errors, write_atomically
from ..formats.encoding import Encoding
from ..info import timestamp
from ..jobs.threads import JobThreads
from ..json_object import JsonObject
from ..store import TaskStore
from .owners import Owner

MIN_RETENTION = 60
"""The minimum retention period of the page's files in seconds. Files in use are marked more often
than that."""
MARK_SECONDS = 15
_UPLOAD_SECONDS = 3600
_MAX_KNOWN = 40_000


class PageFolder:
    """The folder of uploads and downloads, all of whose files belong to the program.

    `tasks` is the store whose results it links to. `threads` read its files.
    """

    def __init__(self, root: Path, tasks: TaskStore, threads: JobThreads):
        self.root = root
        self.results = root / "results"
        self._threads = threads
        self._tasks = tasks
        self._read = set[Path]()
        self._marking = threading.Lock()

    def note_use(self, path: Path) -> None:
        """Note that a client reads a file, here or in the store, whose retention period then begins
        again."""
        self._read.add(path)

    def mark_used(self) -> None:
        """Begin the retention period of files again that clients have read or that running jobs
        read."""
        # Whoever deletes files afterwards must not overtake a thread that still marks them.
        with self._marking:
            noted = self._read
            self._read = set()
            used = noted | self._threads.inputs()
            root = self.root.resolve()
            for path in used:
                with suppress(OSError):
                    if path.resolve().is_relative_to(root):
                        os.utime(path)
                        os.utime(path.parent)
            self._tasks.mark_used(used)

    def prepare(self) -> None:
        """Create the folders. Raises StorageError."""
        with storage_errors(self.results):
            self.results.mkdir(parents=True, exist_ok=True)
            (self.root / MARKER).touch()

    def files(self) -> Iterator[tuple[Path, float]]:
        """Yield the files with the times of their last use.

        Those used within a minute count as in use.

        Unfinished uploads are left out, because the reservation of an upload counts them.
        """
        self.mark_used()  # first, because only the time of a file shows whether it is in use
        for path in self.root.glob("**/*"):
            with suppress(OSError):
                used = path.stat().st_mtime
                if path.parent != self.root:
                    # A link has the time of the result, so its folder shows when it was made.
                    used = max(used, path.parent.stat().st_mtime) + MIN_RETENTION
                elif path.name == MARKER or used > time.time() - _UPLOAD_SECONDS:
                    continue
                if path.is_file():
                    yield path, used

    def new_path(self, name: str) -> Path:
        """Return the path for a new download called `name`, in a folder with a random name.

        Raises StorageError.
        """
        self.prepare()
        folder = self.results / secrets.token_hex(16)
        with storage_errors(folder):
            folder.mkdir()
        return folder / name

    def link(self, source: Path, name: str) -> Path:
        """Link or copy the file `source` to a new path, called `name`. Raises StorageError."""
        path = self.new_path(name)
        write_atomically(path, lambda temporary: link_or_copy(source, temporary))
        return path

    def tie(self, download: Path, source: Path) -> None:
        """Let the deletion of a stored file also delete a download that contains it, which it does
        for links."""
        with suppress(OSError):  # Another file system has no links.
            os.link(source, download.parent / secrets.token_hex(8))


_VARIABLE = "GRADIO_TEMP_DIR"
_apps: list[tuple[Path, Path]] = []
"""The folder of the page and the data folder of the app that set the variable last, if any."""


def page_folder(config: Config, tasks: TaskStore, threads: JobThreads) -> PageFolder:
    """Return the folder for uploads and downloads, and make it Gradio's temporary folder.

    Old files of an earlier server are deleted. Raises StorageError, and SettingsError if another
    app of this process has a folder already: Gradio reads one environment variable for all apps, so
    the first app would lose its uploads.
    """
    root = (config.page_folder or tasks.folder).absolute() / "enhance-page"
    for earlier_root, data_folder in _apps:
        is_current = os.environ.get(_VARIABLE) == str(earlier_root)
        if is_current and (earlier_root, data_folder) != (root, tasks.folder):
            raise SettingsError("second_app", folder=data_folder)
    _apps[:] = [(root, tasks.folder)]
    os.environ[_VARIABLE] = str(root)
    folder = PageFolder(root, tasks, threads)
    folder.prepare()
    tasks.page_files = folder.files
    tasks.clean()
    return folder


class TaskOwners:
    """The owners of the tasks of this process, the oldest forgotten first, and of the recent
    results in the store."""

    def __init__(self, tasks: TaskStore) -> None:
        self._tasks = tasks
        self._lock = threading.Lock()
        self._known = OrderedDict[tuple[str, str], tuple[JsonObject, Encoding | None]]()
        """By the owner and the task, and by the owner and the signature of the request."""

    def remember(
        self, owner: Owner, info: Mapping[str, Any], encoding: Encoding | None = None
    ) -> JsonObject:
        """Make the client an owner of a task, and return the `info` that this client can see.

        `encoding` describes the file that the client gets and its report describes. Only a client
        that has run the same request before can see that the result was stored, and since when.
        """
        visible = {"cached": False, "finished": info["finished"]}
        request = (owner.digest, info["signature"])
        with self._lock:
            if info["cached"]:
                first, _ = self._known.get(request, ({"finished": timestamp()}, None))
                visible = {"cached": request in self._known, "finished": first["finished"]}
            for key in (request, (owner.digest, info["task_id"])):
                self._known[key] = (visible, encoding)
            while len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return {**info, **visible}

    def check(self, owner: Owner, task_id: object) -> tuple[JsonObject, Encoding | None]:
        """Return the `info` keys of a task that differ for its owner, and the owner's encoding.

        Raises EnhanceError, the same for unknown tasks and tasks of other clients.
        """
        if isinstance(task_id, str):
            with self._lock:
                known = self._known.get((owner.digest, task_id))
            if known is not None:
                return known
            # A process that has ended, or another one, can have made it.
            for entry in chain.from_iterable(self._tasks.runs(owner.digest)):
                if entry.task_id == task_id:
                    return entry.visible, None
        raise EnhanceError("api_not_your_task")
