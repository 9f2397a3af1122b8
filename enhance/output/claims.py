"""Claims: which of several processes, on one or many machines, processes which file of a shared folder."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path

from ..errors import StorageError
from ..files import storage_error
from ..processes import is_local_process, is_process_alive, this_process

_HEARTBEAT_SECONDS = 20.0
SILENT_SECONDS = 300.0
"""A process of another machine that has not touched its claims for this long counts as dead."""
_LONGEST_PROCESS_NAME = 255
_MARK = ".done"


class Claims:
    """The claims of this process, as files in a folder that all processes see.

    A claim is a file that only one process can create. It contains the name of the process, which touches it regularly.
    The claim of a dead process is not removed at once, because that could remove the claim of another process in the
    same instant. Instead, the next process creates a claim with the next number, and removes both when it is done.

    `claim_once` marks finished files, so that other processes skip them. A process ignores marks that are older than
    its first call. The last process removes all marks.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._held: dict[str, tuple[int, Hashable]] = {}
        self._marked: dict[Hashable, str] = {}
        self._first: float | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._heartbeat: threading.Thread | None = None

    def claim(self, name: str, owner: Hashable = None) -> bool:
        """Claim `name`; return False if another process has it. The claims of an `owner` are released together.

        Raises StorageError if no file can be created.
        """
        return self._claim_key(_key(name), owner)

    def claim_once(self, name: str, owner: Hashable) -> bool:
        """Claim `name`. Return False also if another process has finished it since the first call in this process."""
        if not self._claim_key(key := _key(name), owner):
            return False
        self._first = self._first or self._now()  # After the claim, which creates the folder.
        with suppress(FileNotFoundError):
            if self._modified(self._mark(key)) > self._first:
                self.release(owner)
                return False
        self._marked[owner] = key
        return True

    def release(self, owner: Hashable = None, *, done: bool = False) -> None:
        """Release all claims, or those of one owner, whose file is marked as finished if it is `done`."""
        key = self._marked.pop(owner, None)
        # The mark exists before the claim is released, so that no process can claim a finished file without seeing it.
        with suppress(StorageError):  # Without a mark, another process only downloads the file once more.
            if done and key is not None and not self._create(self._mark(key)):
                self._touch(self._mark(key))
        with self._lock:
            held = {key: number for key, (number, holder) in self._held.items() if owner in (None, holder)}
            self._held = {key: claim for key, claim in self._held.items() if key not in held}
        for key, last in held.items():
            for number in range(last + 1):  # The last one holds the claim, so it is removed last.
                self._remove(self._path(key, number))

    def close(self) -> None:
        """Release all claims and remove those of dead processes; the folder is removed with the last claim."""
        self._closed.set()
        self.release()
        with suppress(OSError, StorageError):
            for key in {path.stem for path in self._list() if path.suffix[1:].isdigit()}:
                self._claim_key(key)
        self.release()
        self._remove_marks()
        with suppress(OSError):
            self._folder.rmdir()

    def _remove_marks(self) -> None:
        """Remove the marks of finished files if no process has a claim."""
        with suppress(OSError, StorageError):
            paths = self._list()
            for path in paths if all(path.suffix == _MARK for path in paths) else ():
                self._remove(path)

    def _mark(self, key: str) -> Path:
        return self._folder / f"{key}{_MARK}"

    def _path(self, key: str, number: int) -> Path:
        return self._folder / f"{key}.{number}"

    def _claim_key(self, key: str, owner: Hashable = None) -> bool:
        number = 0
        while not self._create(path := self._path(key, number)):
            if self._is_alive(path):
                return False
            number += self._exists(path)  # A claim that was released in this instant is free under its own number.
        if number and not self._exists(self._path(key, 0)):
            self._remove(path)  # All earlier ones were released, so that another process can have the first number.
            return self._claim_key(key, owner)
        with self._lock:
            self._held[key] = number, owner
        if self._heartbeat is None and not self._closed.is_set():
            self._heartbeat = threading.Thread(target=self._touch_claims, name="enhance-claims", daemon=True)
            self._heartbeat.start()
        return True

    def _create(self, path: Path) -> bool:
        """Create a claim; return False if it exists. Raises StorageError."""
        content = this_process()  # first, so that a claim is without its content for an instant only
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=False)
            try:
                path.write_text(content, "utf-8")
            except BaseException:  # Without its content, the claim would count as that of another machine.
                self._remove(path)
                raise
        except FileExistsError as error:
            if not self._folder.is_dir():
                raise storage_error(self._folder, error) from error
            return False
        except FileNotFoundError as error:
            if not self._folder.parent.is_dir():
                raise storage_error(self._folder, error) from error
            return self._create(path)  # Another process has removed the empty folder.
        except OSError as error:
            raise storage_error(self._folder, error) from error
        return True

    def _is_alive(self, path: Path) -> bool:
        """Return whether the process of a claim is alive.

        The modification time decides for processes on other machines and for claims that are not complete.
        """
        try:  # In a store, the name is followed by a space and random digits.
            process = self._read(path)[:_LONGEST_PROCESS_NAME].decode("utf-8", "replace").partition(" ")[0]
            if is_local_process(process):
                return is_process_alive(process)
            return self._now() - self._modified(path) < SILENT_SECONDS
        except (FileNotFoundError, IsADirectoryError):
            return False
        except OSError:  # If in doubt, a file is skipped and not processed twice.
            return True

    def _read(self, path: Path) -> bytes:
        """Return the start of a claim. Raises FileNotFoundError for what is no file: reading a pipe would not end."""
        if not path.is_file():
            raise FileNotFoundError(path)
        with path.open("rb") as file:
            return file.read(_LONGEST_PROCESS_NAME)

    def _now(self) -> float:
        """Return the time by the clock of the disk, which is the same for all machines."""
        os.utime(self._folder)
        return self._folder.stat().st_mtime

    def _modified(self, path: Path) -> float:
        """Return the modification time of a file. Raises FileNotFoundError."""
        return path.stat().st_mtime

    def _list(self) -> list[Path]:
        return [*self._folder.iterdir()]

    def _exists(self, path: Path) -> bool:
        return os.path.lexists(path)

    def _remove(self, path: Path) -> None:
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def _touch(self, path: Path) -> None:
        with suppress(OSError):
            os.utime(path)

    def _touch_claims(self) -> None:
        while not self._closed.wait(_HEARTBEAT_SECONDS):
            with self._lock:
                held = dict(self._held)
            for key, (number, _) in held.items():
                self._touch(self._path(key, number))


def _key(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
