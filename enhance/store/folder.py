"""The files of a data folder, their use and their deletion.

- `uploads/<sha256>/<name>`: an input, byte for byte
- `processed/<task_id>.png` and `.json`: a result and its `info`
- `network/<sha256 of the input>-<key>.raw`: the output of the network, to be tuned again
- `reports/<task_id>-<encoding>.<language>.pdf`: a report on a result as a file in this encoding
- `encoded/<sha256>-<encoding>.jpg` (or another extension): a result in another format, by the
  checksum of its PNG
- `enhance-<time>.sqlite`: the database of these files and of the recent results

All of them can be deleted at any time. The program deletes only files that the database lists.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import StorageError
from ..files import MARKER, check_writable, storage_errors
from ..formats.encoding import Encoding
from ..i18n import DEFAULT_LANGUAGE, match_language
from ..processes import has_ended, remove_leftovers, this_process
from .adoption import adopt_files
from .database import Database
from .file_list import list_file, source_of
from .names import shorten

_FOLDERS = ("uploads", "processed", "network", "reports", "encoded")
_LONGEST_NAME = 120
_LONGEST_SUFFIX = 12
_PARTIAL_FILES = ".enhance-*.part"
_IN_USE_SECONDS = 60
_ITEMS = """
    SELECT inode, max(bytes), max(used), max(used) > ? OR max(path IN (SELECT path FROM leases))
    FROM files GROUP BY inode ORDER BY max(used)"""
"""The files, each with its inode, bytes, last use and whether it is in use. The least recently used
is first."""
_PAGE_LINKS = """
    SELECT path FROM files AS link WHERE inode = ? AND NOT EXISTS
        (SELECT 1 FROM files WHERE inode = link.inode AND source != '')"""
"""The page's links to a file, none if the program has other links to it."""
_END_LEASES = """
    DELETE FROM leases WHERE process IN
        (SELECT process FROM leases GROUP BY process HAVING has_ended(process, max(began)))"""
"""Deletes the leases of processes that have ended, by the function `has_ended`."""


class DataFolder:
    """The files of a data folder with a retention period of `hours` and a limit of `max_disk`
    bytes, if there is one.

    Only `clean` deletes expired files. A server calls it regularly. Files in use are not deleted,
    even if another process uses them. The database of a temporary folder is in memory.

    `page_files` yields the page's files, which count towards the limit, with the times of their
    last use.
    """

    def __init__(
        self,
        folder: Path | str | TemporaryDirectory[str],
        *,
        hours: float = 24,
        max_disk: int | None = None,
    ):
        self.temporary: TemporaryDirectory[str] | None = None
        if isinstance(folder, TemporaryDirectory):
            self.temporary = folder
            folder = folder.name
        self.folder = Path(folder).absolute()
        self.retention_seconds = hours * 3600
        self._max_disk = max_disk
        self._folders = tuple(self.folder / name for name in _FOLDERS)
        self.uploads, self.processed, self.network, self.reports, self.encoded = self._folders
        self.database = Database(
            self.folder,
            lambda db: adopt_files(db, self.folder),
            in_memory=self.temporary is not None,
        )
        self._reserving = threading.Lock()
        self._reserved = 0
        self.page_files: Callable[[], Iterable[tuple[Path, float]]] = tuple

    def prepare(self) -> None:
        """Create the folders. Raises StorageError."""
        for folder in self._folders:
            with storage_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        """Raise StorageError if the folders are not writable or do not support a database."""
        self.prepare()
        for folder in (self.uploads, self.processed, self.network):
            check_writable(folder / "image.png")
        with self.database.transaction():
            pass

    def close(self) -> None:
        """Close the database and delete a temporary folder.

        The next call opens the database of a data folder again.
        """
        self.database.close()
        if self.temporary is not None:
            self.temporary.cleanup()

    def result_path(self, task_id: str) -> Path:
        return self.processed / f"{task_id}.png"

    def network_path(self, input_sha256: str, key: str) -> Path:
        return self.network / f"{input_sha256}-{key}.raw"

    def report_path(self, task_id: str, language: str, encoding: Encoding) -> Path:
        language = match_language(language) or DEFAULT_LANGUAGE
        return self.reports / f"{task_id}-{encoding}.{language}.pdf"

    def encoded_path(self, sha256: str, encoding: Encoding) -> Path:
        """Return the path of a result in another format, by the checksum of its PNG."""
        return self.encoded / f"{sha256}-{encoding}{encoding.file_format.ending}"

    def upload_path(self, sha256: str, name: str) -> Path:
        """Return the path of an input.

        The name is sanitised to one path component of limited length.
        """
        plain = re.sub(r'[\x00-\x1f/\\:*?"<>|\ud800-\udfff]', "_", Path(name).name)
        path = Path(plain.strip(". ") or "image")
        stem = shorten(path.stem, _LONGEST_NAME)
        suffix = shorten(path.suffix, _LONGEST_SUFFIX)
        return self.uploads / sha256 / f"{stem}{suffix}"

    @contextmanager
    def using(self, *paths: Path) -> Iterator[None]:
        """Prevent the deletion of these files inside the block, which can also create them.

        Raises StorageError.

        Files that are created in the block are listed as files of the program. At the end of the
        block, the retention period of all these files begins again.
        """
        lease = secrets.token_hex(8)
        now = time.time()
        keys = [self._key(path) for path in paths]
        new = [self._key(path) for path in paths if not os.path.lexists(path)]
        with self.database.transaction() as db:
            for key in keys:
                values = (lease, key, this_process(), now)
                db.execute("INSERT INTO leases VALUES (?, ?, ?, ?)", values)
            # Listed before they exist, so that they are deleted even if this process is killed.
            for key in new:
                values = (key, source_of(key), key, 0, now)
                db.execute("INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?, ?)", values)
        try:
            yield
        finally:
            # If this fails, the lease ends together with its process.
            with suppress(StorageError), self.database.transaction() as db:
                db.execute("DELETE FROM leases WHERE lease = ?", (lease,))
                for key in keys:
                    is_listed = db.execute("SELECT 1 FROM files WHERE path = ?", (key,)).fetchone()
                    if is_listed or key in new:
                        list_file(db, self.folder, key, source_of(key), time.time())

    def mark_used(self, paths: Iterable[Path]) -> None:
        """Begin the retention period of files again. Raises StorageError."""
        values = [(time.time(), self._key(path)) for path in paths]
        with self.database.transaction() as db:
            db.executemany("UPDATE files SET used = max(used, ?) WHERE path = ?", values)

    def reserve(self, count: int) -> bool:
        """Reserve `count` bytes, or release them with a negative number. Return whether they fit.

        Raises StorageError.
        """
        with self._reserving:  # Two uploads must not get the same free bytes.
            fits = count <= 0 or self._max_disk is None or self.clean(count)
            if fits:
                self._reserved += count
        return fits

    def clean(self, coming: int = 0) -> bool:
        """Delete partial files of ended processes, expired files, and the oldest files beyond the
        disk limit.

        Return whether `coming` more bytes fit. If they cannot fit, files are only deleted down to
        the limit. Raises StorageError.
        """
        for folder in self._writable_folders():
            remove_leftovers(folder)
        found = list(self._found_files())
        now = time.time()
        expiry = now - self.retention_seconds
        limit = self._max_disk or math.inf
        coming += self._reserved
        with self.database.transaction() as db:
            self._list_found(db, found)
            db.create_function("has_ended", 2, has_ended)
            db.execute(_END_LEASES)
            items = db.execute(_ITEMS, (now,)).fetchall()
            total = sum(size for _, size, _, _ in items)
            fits = sum(size for _, size, _, is_used in items if is_used) + coming <= limit
            if fits:
                total += coming
            for inode, size, used, is_used in items:
                is_superfluous = used < expiry or total > limit
                if is_superfluous and not is_used and self._delete_links(db, inode):
                    total -= size
            db.execute("DELETE FROM entries WHERE used < ?", (expiry,))
            query = "DELETE FROM jobs WHERE seen < ? AND NOT (state = 'running' AND process = ?)"
            db.execute(query, (expiry, this_process()))
        return fits and total <= limit

    def _found_files(self) -> Iterator[tuple[Path, float]]:
        """Yield the files that are not listed at their creation, with the times of their last
        use."""
        in_use = time.time() + _IN_USE_SECONDS
        for folder in self._writable_folders():
            yield from ((path, in_use) for path in folder.glob(_PARTIAL_FILES))
        for path in self.database.replaced_files():
            with suppress(FileNotFoundError):  # Another process can delete it now.
                yield path, path.stat().st_mtime
        yield from self.page_files()

    def _list_found(self, db: sqlite3.Connection, found: Iterable[tuple[Path, float]]) -> None:
        db.execute("DELETE FROM files WHERE source = ''")
        for path, used in found:
            list_file(db, self.folder, self._key(path), "", used)

    def _writable_folders(self) -> Iterator[Path]:
        """Yield the folders in which files of the program are written."""
        yield from (self.folder, *self._folders)
        yield from (path for path in self.uploads.glob("*") if not path.is_symlink())

    def _key(self, path: Path) -> str:
        """Return the path of a file as the database has it, relative to the data folder if
        possible."""
        if path.is_relative_to(self.folder):
            path = path.relative_to(self.folder)
        return path.as_posix().encode("utf-8", "backslashreplace").decode()

    def _delete_sources(self, db: sqlite3.Connection, sources: Iterable[str]) -> None:
        """Delete the files made from these checksums and tasks that are no longer needed, and the
        page's links to them.

        The page's folders are deleted as a whole, so `_list_found` must have listed only the page's
        files before, and no unfinished copy.
        """
        inodes = set[str]()
        query = "SELECT path, inode FROM unneeded WHERE source = ?"
        # Twice, because other files are needed until their result is deleted.
        for source in [*sources, *sources]:
            for key, inode in db.execute(query, (source,)).fetchall():
                if self._delete(db, key):
                    inodes.add(inode)
        for inode in inodes:
            for (key,) in db.execute(_PAGE_LINKS, (inode,)).fetchall():
                # The folder of a link also contains other images of the same result.
                folder = (self.folder / key).parent
                if not (folder / MARKER).exists():
                    shutil.rmtree(folder, ignore_errors=True)

    def _delete_links(self, db: sqlite3.Connection, inode: str) -> bool:
        """Delete all links to a file. Return whether none is left."""
        keys = db.execute("SELECT path FROM files WHERE inode = ?", (inode,)).fetchall()
        deleted = [self._delete(db, key) for (key,) in keys]
        return all(deleted)

    def _delete(self, db: sqlite3.Connection, key: str) -> bool:
        """Delete a listed file, the `.json` of a result, and the folder if it is then empty.

        Return whether the file no longer exists.
        """
        path = self.folder / key
        with suppress(OSError):
            path.unlink(missing_ok=True)
            db.execute("DELETE FROM files WHERE path = ?", (key,))
            if path.parent == self.processed:  # If this fails, the `.json` alone is no result.
                path.with_suffix(".json").unlink(missing_ok=True)
            if path.parent.parent != self.folder:
                path.parent.rmdir()
        return not os.path.lexists(path)
