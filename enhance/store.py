"""The store: inputs, results, their retention and the lookup of cached results.

- `uploads/<sha256>/<name>`: an input, byte for byte
- `processed/<task_id>.png` and `.json`: a result and its `info`
- `network/<sha256 of the input>-<key>.raw`: the output of the network, for tuning again
- `reports/<task_id>-<encoding>.pdf`: a report on a result as a file in this encoding
- `lists/<user>.<id>.json`: an entry of a user's recent results
- `encoded/<sha256>-<encoding>.jpg` (or another extension): a result in another format, by the checksum of its PNG

All of them can be deleted at any time. Files with other names in these folders are never touched.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .errors import EnhanceError, PictureError, StorageError
from .files import check_writable, file_sha256, link_or_copy, write_atomically
from .i18n import DEFAULT_LANGUAGE, LANGUAGES, match_language, primary_tag, strip_direction_marks
from .info import Info, network_key_of, settings_in
from .output.formats import FORMATS, Encoding
from .output.names import MAX_NAME_BYTES, shorten
from .processes import is_process_alive, remove_leftovers
from .retention import Inode, OwnFolders, StoredItem, UsedFiles, sizes_of, trim
from .settings import Settings, network_scale

log = logging.getLogger(__name__)

_TASK_ID = re.compile(r"[0-9a-f]{32}")
_REPORT_SUFFIXES = {one: "" if one == DEFAULT_LANGUAGE else f".{primary_tag(one)}" for one in LANGUAGES}
_NAMES = {
    "uploads": re.compile(r"[0-9a-f]{64}"),
    "processed": re.compile(r"[0-9a-f]{32}\.(png|json)"),
    "network": re.compile(r"([0-9a-f]{64}-)?[0-9a-f]{64}\.raw"),  # Earlier versions named them by the key only.
    "reports": re.compile(rf"[0-9a-f]{{32}}(-[a-z0-9-]+)?({'|'.join(map(re.escape, _REPORT_SUFFIXES.values()))})\.pdf"),
    "lists": re.compile(r"[0-9a-f]{64}\.[0-9a-f]{32}\.json"),
    "encoded": re.compile(
        rf"[0-9a-f]{{64}}-[a-z0-9-]+({'|'.join(re.escape(form.ending) for form in FORMATS.values())})"
    ),
}
_LONGEST_NAME = 120
_LONG_LISTING = 0.02


@dataclass(frozen=True)
class Entry:
    """One run in the recent results of a user.

    - `state`: running, done, failed or interrupted, because the server ended or the page was closed.
    - `process`: the process of the run. A running entry of an ended process counts as interrupted.
    - `thumbnail`: a `data:` address.
    - `batch`, `number`: the batch of the file and its position there.
    """

    whose: str
    id: str
    state: str
    began: str
    name: str
    sha256: str
    width: int
    height: int
    settings: dict[str, Any]
    thumbnail: str
    process: str
    task_id: str | None = None
    bytes: int = 0
    batch: str = ""
    number: int = 0

    def path(self, tasks: TaskStore) -> Path:
        return tasks.lists / f"{self.whose}.{self.id}.json"

    def input(self, tasks: TaskStore) -> Path:
        """Return the path of the stored input, which can have been deleted."""
        return tasks.upload_path(self.sha256, self.name)

    def current_state(self, tasks: TaskStore) -> str:
        """Return the current state: running, done, failed, interrupted, or gone if the result was deleted."""
        if self.state == "running" and is_process_alive(self.process):
            return "running"
        if self.state == "done":
            return "gone" if tasks.info(self.task_id or "") is None else "done"
        return "failed" if self.state == "failed" else "interrupted"  # Earlier versions had several names for it.


_ENTRY_FIELDS = {one.name for one in fields(Entry)}
"""The fields of an entry. Entries of earlier versions can have other fields."""


class Reservation:
    """Context manager for disk space that is reserved for uploads."""

    def __init__(self, store: TaskStore):
        self._store, self.bytes = store, 0

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.reserve(-self.bytes)

    def extend(self, count: int) -> bool:
        """Reserve `count` more bytes and remove old files for them. Return whether they fit."""
        fits = self._store.reserve(count)
        self.bytes += count if fits else 0
        return fits


class TaskStore:
    """A data folder with a retention period of `hours` and a limit of `max_disk` bytes (None for no limit).

    Only `clean` deletes expired files. A server calls it regularly. Files in use are not deleted, even if another
    process uses them. `page_items` returns the files of the page, which count towards the limit.
    """

    def __init__(self, folder: Path | str | TemporaryDirectory[str], *, hours: float = 24, max_disk: int | None = None):
        self.temporary = folder if isinstance(folder, TemporaryDirectory) else None
        self.folder = Path(folder.name if isinstance(folder, TemporaryDirectory) else folder).absolute()
        self._hours, self._max_disk = hours, max_disk
        folders = (self.folder / name for name in _NAMES)
        self.uploads, self.processed, self.network, self.reports, self.lists, self.encoded = folders
        self._own = OwnFolders(self.folder, _NAMES)
        self._used = UsedFiles(self.folder)
        self._lock = threading.Lock()
        self._signatures: dict[str, str] = {}  # by the name of the `.json`
        self._list_again = 0.0
        self._reserving, self._reserved = threading.Lock(), 0
        self.page_items: Callable[[], Iterable[StoredItem]] = tuple

    def prepare(self) -> None:
        """Create the folders. Raises StorageError."""
        self._own.prepare()

    def check(self) -> None:
        """Raise StorageError if the folders cannot be written."""
        self.prepare()
        for folder in (self.uploads, self.processed, self.network):
            check_writable(folder / "image.png")

    def new_id(self) -> str:
        """Return a random task id."""
        return secrets.token_hex(16)

    def result_path(self, task_id: str) -> Path:
        return self.processed / f"{task_id}.png"

    def network_path(self, input_sha256: str, key: str) -> Path:
        return self.network / f"{input_sha256}-{key}.raw"

    def report_path(self, task_id: str, language: str, encoding: Encoding) -> Path:
        suffix = _REPORT_SUFFIXES[match_language(language) or DEFAULT_LANGUAGE]
        return self.reports / f"{task_id}-{encoding}{suffix}.pdf"

    def encoded_path(self, sha256: str, encoding: Encoding) -> Path:
        """Return the path of a result in another format, by the checksum of its PNG."""
        return self.encoded / f"{sha256}-{encoding}{encoding.file_format.ending}"

    def upload_path(self, sha256: str, name: str) -> Path:
        """Return the path of an input. The name is sanitised to one path component of limited length."""
        plain = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", Path(name).name).strip(". ") or "image"
        stem, suffix = Path(plain).stem, Path(plain).suffix
        return self.uploads / sha256 / (shorten(stem, _LONGEST_NAME) + shorten(suffix, 12))

    def keep_upload(self, source: Path, name: str, sha256: str, size: int) -> Path:
        """Copy an input of `size` bytes into the store. Raises StorageError, and PictureError if it has changed."""

        def copy(temporary: Path) -> None:
            shutil.copyfile(source, temporary)
            if file_sha256(temporary) != sha256:
                raise PictureError("input_changed", name=name)

        place = self.upload_path(sha256, name)
        # The folder is named by the checksum. Files are not synced, so after a power failure their size can be wrong.
        if not place.exists() or place.stat().st_size != size:
            write_atomically(place, copy)
        else:
            count_as_used(place)
        return place

    def finish(self, task_id: str, info: Info) -> None:
        """Write the info of a result, which completes the task. Removes the result if that fails."""
        text, path = json.dumps(info, ensure_ascii=False, indent=1), self.processed / f"{task_id}.json"
        data = text.encode("utf-8", "backslashreplace")  # The name of the input can have bytes that are no text.
        try:
            write_atomically(path, lambda temporary: temporary.write_bytes(data), durable=True)
        except StorageError:
            self.result_path(task_id).unlink(missing_ok=True)
            raise
        with self._lock:
            self._signatures[path.name] = info["signature"]
        self._trim()

    def info(self, task_id: str) -> Info | None:
        """Return the info of a finished task, or None if the result does not exist or the file is damaged."""
        if not _TASK_ID.fullmatch(task_id):
            return None
        return _read_info(self.processed / f"{task_id}.json")

    def finished_info(self, task_id: str) -> Info:
        """Return the info of a finished task. Raises EnhanceError if it was deleted."""
        info = self.info(task_id)
        if info is None:
            raise EnhanceError("result_gone")
        return info

    def find(self, signature: str, dpi: int | None = None) -> Info | None:
        """Return the info of the newest intact result with this signature and resolution, or None."""
        with self._lock:
            self._read_new()
            paths = [self.processed / name for name, known in self._signatures.items() if known == signature]
        infos = [info for path in paths if (info := _read_info(path)) and info.get("settings", {}).get("dpi") == dpi]
        newest_first = sorted(infos, key=lambda info: str(info.get("finished", "")), reverse=True)
        return next(filter(self._is_intact, newest_first), None)

    def _is_intact(self, info: Info) -> bool:
        """Return whether the result has its recorded checksum."""
        path = self.result_path(str(info.get("task_id")))
        with suppress(OSError):
            if file_sha256(path) == info["output"].get("sha256"):
                return True
            log.warning("The stored result %s is damaged and is not used again", path.name)
        return False

    def _read_new(self) -> None:
        """Read the signatures of tasks that other processes have finished.

        A slow file system is listed for at most a tenth of the time.
        """
        started = time.monotonic()
        if started < self._list_again:
            return
        names = set[str]()
        with suppress(OSError), os.scandir(self.processed) as entries:
            names = {entry.name for entry in entries if entry.name.endswith(".json")}
        for name in self._signatures.keys() - names:
            del self._signatures[name]
        for path in map(self.processed.joinpath, names - self._signatures.keys()):
            if _TASK_ID.fullmatch(path.stem) and (info := _read_info(path)):
                self._signatures[path.name] = info.get("signature", "")
        seconds = time.monotonic() - started
        self._list_again = time.monotonic() + (9 * seconds if seconds > _LONG_LISTING else 0)

    def copy_result(self, task_id: str, path: Path) -> None:
        """Link or copy a finished result to `path`. Raises StorageError."""
        write_atomically(path, lambda temporary: link_or_copy(self.result_path(task_id), temporary), durable=True)
        count_as_used(path)  # A link has the time of the earlier result.

    def save_entry(self, entry: Entry) -> None:
        """Write an entry of the recent results. Raises StorageError."""
        self.prepare()
        text = json.dumps(asdict(entry), ensure_ascii=False)
        write_atomically(entry.path(self), lambda temporary: temporary.write_text(text, "utf-8"))

    def end_entry(self, entry: Entry, state: str, *, task_id: str | None = None, thumbnail: str = "") -> None:
        """Record the final state of a run, or remove its entry if `state` is empty or the disk is full."""
        with suppress(StorageError):
            if state:
                self.save_entry(replace(entry, state=state, task_id=task_id, thumbnail=thumbnail or entry.thumbnail))
                return
        entry.path(self).unlink(missing_ok=True)

    def runs(self, whose: str) -> list[list[Entry]]:
        """Return the recent results of a user, newest first, with the files of a batch in one list."""
        runs: dict[str, list[Entry]] = {}
        for entry in self._entries(whose) if whose else ():
            runs.setdefault(entry.batch or entry.id, []).append(entry)
        for files in runs.values():
            files.sort(key=lambda one: (one.number, one.id))
        return sorted(runs.values(), key=lambda files: max((one.began, one.id) for one in files), reverse=True)

    def remove(self, entries: Sequence[Entry]) -> set[Inode]:
        """Delete runs, their inputs and all files made from them, unless other entries or results need them.

        Return the inodes of the deleted files that no other file of the store shares.
        """
        for entry in entries:
            entry.path(self).unlink(missing_ok=True)
        others = list(self._entries())  # all users, because equal inputs and results are stored once
        ids = {entry.task_id for entry in entries} - {other.task_id for other in others}
        removed = [info for one in ids if (info := self.info(one or "")) is not None]
        gone = self._remove_unused({self.result_path(info["task_id"]) for info in removed})

        # Listed after the deletion, which leaves results that are in use. Their files are still needed.
        tasks = [path for path in self.processed.glob("*.json") if _TASK_ID.fullmatch(path.stem)]
        remaining = [info for info in map(_read_info, tasks) if info]
        pngs = {info["output"].get("sha256") for info in removed}
        pngs -= {info["output"].get("sha256") for info in remaining} | {None}
        inputs = {entry.sha256 for entry in entries}
        outputs = {path for sha256 in inputs for path in self.network.glob(f"{sha256}-*")}
        outputs -= {self.network_path(info["input"]["sha256"], network_key_of(info)) for info in remaining}
        inputs -= {other.sha256 for other in others} | {info["input"]["sha256"] for info in remaining}
        gone |= self._remove_unused(
            {
                *(path for info in removed for path in self.reports.glob(f"{info['task_id']}*.pdf")),
                *(path for sha256 in pngs for path in self.encoded.glob(f"{sha256}-*")),
                *outputs,
                *(path for sha256 in inputs for path in (self.uploads / sha256).glob("*")),
            }
        )
        return gone - {inode for item in self._items() for inode in item.sizes}

    def using(self, *paths: Path) -> AbstractContextManager[None]:
        """Prevent the deletion of these files inside the block."""
        return self._used.using(*paths)

    def reserve(self, count: int) -> bool:
        """Reserve `count` bytes, or release them with a negative number. Return whether they fit."""
        if self._max_disk is None:
            return True
        with self._reserving:  # Two uploads must not get the same free bytes.
            fits = count <= 0 or self.clean(count)
            self._reserved += count if fits else 0
        return fits

    def clean(self, coming: int = 0) -> bool:
        """Delete partial files of ended processes, expired files, and the oldest files beyond the disk limit.

        Return whether `coming` more bytes fit.
        """
        for folder in (*self._folders(), self._used.marks):
            remove_leftovers(folder)
        expiry = time.time() - self._hours * 3600
        with self._used.lock:
            for item in self._items():
                if item.removable and item.used < expiry:
                    self._remove(item.path)
        return self._trim(coming)

    def _trim(self, coming: int = 0) -> bool:
        """Delete the oldest files beyond the disk limit. Return whether `coming` more bytes fit."""
        if self._max_disk is None:
            return True
        page = list(self.page_items())
        with self._used.lock:
            return trim([*self._items(), *page], self._max_disk, self._reserved + coming, self._remove)

    def _folders(self) -> Iterator[Path]:
        for name in _NAMES:
            yield from self._own.entries(name) if name == "uploads" else [self.folder / name]

    def _items(self) -> Iterator[StoredItem]:
        """Yield the files of the program. A result and its `.json` are one item."""
        paths = [path for folder in self._own.entries("uploads") for path in folder.glob("*") if path.is_file()]
        paths += [path for name in _NAMES if name != "uploads" for path in self._own.entries(name)]
        paths = [path for path in paths if path.suffix != ".json" or not path.with_suffix(".png").exists()]
        used = self._used.select_used(paths)
        for path in paths:
            with suppress(OSError):
                info = [path.with_suffix(".json")] if path.parent == self.processed else []
                if path.suffix != ".part":
                    yield StoredItem(path, path.stat().st_mtime, sizes_of(path, *info), path not in used)
        for part in (part for folder in self._folders() for part in folder.glob(".enhance-*.part")):
            yield StoredItem(part, 0.0, sizes_of(part), removable=False)

    def _remove_unused(self, paths: Collection[Path]) -> set[Inode]:
        """Remove the files that are not in use, and return their inodes."""
        inodes = set[Inode]()
        with self._used.lock:
            for item in self._items():
                if item.removable and item.path in paths:
                    self._remove(item.path)
                    inodes |= item.sizes.keys()
        return inodes

    def _remove(self, path: Path) -> None:
        """Remove a file of the store, or a file or folder of the page."""
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            return
        with suppress(OSError):
            path.unlink(missing_ok=True)
            if path.parent == self.processed:  # If this fails, the `.json` is no result, because it has no PNG.
                path.with_suffix(".json").unlink(missing_ok=True)
            if path.parent.parent == self.uploads:
                path.parent.rmdir()

    def _entries(self, whose: str = "") -> Iterator[Entry]:
        """Yield the entries of one user, or of all users. Damaged files are skipped."""
        for path in self._own.entries("lists"):
            if path.name.startswith(whose):
                with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, EnhanceError):
                    values = json.loads(path.read_text("utf-8"))
                    values["settings"].pop("print_fit", None)
                    entry = Entry(**{name: value for name, value in values.items() if name in _ENTRY_FIELDS})
                    Settings.from_stored(entry.settings)
                    if entry.path(self) == path:
                        yield entry


def _read_info(path: Path) -> Info | None:
    """Return the info of a finished task; None if the file is damaged or of a version that stored other values."""
    try:
        info = json.loads(path.read_text("utf-8"))
        if info.get("settings", {}).pop("print_fit", None) in ("border", "crop"):  # a print of an earlier version
            return None
        network_key_of(info)  # raises an error without the values that a later run or a deletion needs
        size = path.with_suffix(".png").stat().st_size
        return info if info["status"] == "done" and info["output"]["bytes"] == size else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, EnhanceError):
        return None


def download_name(name: str, settings: Settings, ending: str = ".png") -> str:
    """Return the file name of a download: photo-4x.png, photo-3000px.png, photo-12mp.png or photo-30x20cm.png."""
    size = f"{settings.scale or network_scale(settings):.3g}x"
    if settings.long_side is not None:
        size = f"{settings.long_side}px"
    elif settings.megapixels is not None:
        size = f"{settings.megapixels:g}mp"
    elif settings.is_print:
        size = "x".join(f"{side:g}" for side in (settings.print_width, settings.print_height) if side) + "cm"
    tail = f"-{size}{ending}"
    stem = strip_direction_marks(Path(name).stem) or "image"
    return shorten(stem, MAX_NAME_BYTES - len(tail)) + tail


def report_name(info: Info) -> str:
    """Return the file name of a report: photo-4x-report.pdf for photo.jpg."""
    return download_name(info["input"]["name"], settings_in(info), "-report.pdf")


def count_as_used(path: Path) -> None:
    """Start the retention period of a file again."""
    with suppress(OSError):
        os.utime(path)
