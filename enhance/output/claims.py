"""Claims: which of several processes, on one machine or many, processes which file of a shared folder."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path

from ..errors import StorageError
from ..files import explained, is_process_alive, runs_here, this_process

_FRESH = ".fresh"
_HEARTBEAT_SECONDS = 20.0
_SILENT_SECONDS = 300.0
"""A process of another machine that has not touched its claims for so long is taken for gone."""
_LONGEST_PROCESS_ID = 255


class Claims:
    """What this process has claimed for itself, as files in a folder of their own that every process sees.

    A claim is a file that only one process can create. It tells the process and is touched while that lives. That of a
    dead process is never removed by another, which might remove a fresh one: it is followed by a claim with the next
    number, and goes with that.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._held: dict[str, tuple[int, Hashable]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._heart: threading.Thread | None = None

    def take(self, what: str, purpose: Hashable = None) -> bool:
        """Claim `what`; False where another process has it. Raises StorageError where no file can be made."""
        return self._take(hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:32], purpose)

    def release(self, purpose: Hashable = None) -> None:
        """Give up all that is claimed, or only what was for one purpose."""
        with self._lock:
            held = {key: one for key, one in self._held.items() if purpose in (None, one[1])}
            self._held = {key: one for key, one in self._held.items() if key not in held}
        for key, (number, _) in held.items():
            for one in range(number + 1):  # the last one last: until then nobody else can have it
                with suppress(OSError):
                    self._path(key, one).unlink(missing_ok=True)

    def close(self) -> None:
        """Give up everything, and remove what dead processes have left; the folder goes with the last claim."""
        self._closed.set()
        self.release()
        with suppress(OSError, StorageError):
            for path in self._folder.glob(f"*{_FRESH}"):
                if not self._is_at_work(path.stem.rpartition("-")[0], path):  # its maker may have died before it wrote
                    path.unlink(missing_ok=True)
            for key in {path.stem for path in self._folder.iterdir() if path.suffix[1:].isdigit()}:
                self._take(key)
        self.release()
        with suppress(OSError):
            self._folder.rmdir()

    def _path(self, key: str, number: int) -> Path:
        return self._folder / f"{key}.{number}"

    def _take(self, key: str, purpose: Hashable = None) -> bool:
        number = 0
        while not self._create(path := self._path(key, number)):
            if self._is_alive(path):
                return False
            number += os.path.lexists(path)  # where it was given up just now, the same number is anybody's
        with self._lock:
            self._held[key] = number, purpose
        if self._heart is None and not self._closed.is_set():
            self._heart = threading.Thread(target=self._beat, name="enhance-claims", daemon=True)
            self._heart.start()
        return True

    def _create(self, path: Path) -> bool:
        """Make the file; False where it is there."""
        fresh = self._folder / f"{this_process()}-{secrets.token_hex(8)}{_FRESH}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh.write_text(this_process(), "utf-8")
            self._name(fresh, path)
        except FileExistsError as error:
            if not self._folder.is_dir():
                raise explained(self._folder, error) from error
            return False
        except FileNotFoundError as error:  # another process has removed the empty folder
            if not self._folder.parent.is_dir():
                raise explained(self._folder, error) from error
            return self._create(path)
        except OSError as error:
            raise explained(self._folder, error) from error
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
        return True

    @staticmethod
    def _name(fresh: Path, path: Path) -> None:
        """Give a whole file the claim's name, if nothing has it: one without its content would be nobody's."""
        try:
            os.link(fresh, path)
        except FileExistsError:
            raise
        except OSError:  # a disk without links
            with path.open("x") as file:
                file.write(this_process())

    def _is_alive(self, path: Path) -> bool:
        try:
            if not path.is_file():
                return False
            with path.open("rb") as file:
                return self._is_at_work(file.read(_LONGEST_PROCESS_ID).decode("utf-8", "replace"), path)
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def _is_at_work(self, process: str, file: Path) -> bool:
        """Return whether the process that owns `file` is alive.

        The modification time decides where `process` is of another computer, or no name of a process at all.
        """
        return is_process_alive(process) if runs_here(process) else self._now() - file.stat().st_mtime < _SILENT_SECONDS

    def _now(self) -> float:
        """The time by the clock of the disk, which all machines share."""
        probe = self._folder / f"{this_process()}.now"
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
        return now

    def _beat(self) -> None:
        while not self._closed.wait(_HEARTBEAT_SECONDS):
            with self._lock:
                held = dict(self._held)
            for key, (number, _) in held.items():
                with suppress(OSError):
                    os.utime(self._path(key, number))
