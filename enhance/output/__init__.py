"""What comes out: tuned, resized and written pixels; and here, where the results of a folder go and who makes which.

Several processes, on one machine or on many, can work into one folder. Each picture is made by the one that claims it.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import secrets
import threading
import unicodedata
from collections.abc import Hashable, Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import StorageError
from ..files import explained, file_sha256, is_at_work, runs_here, this_process
from .finished import origin_of

_CLAIMS, _FRESH = ".enhance-claims", ".fresh"
_HEARTBEAT_SECONDS = 20.0
_SILENT_SECONDS = 300.0
"""A process of another machine that has not touched its claims for so long is taken for gone."""
_LONGEST_NAME = 255
"""Bytes of a file's name, on the file systems in use."""


class ResultNames:
    """Gives each source a result's name of its own below a folder, where it keeps its sub-folder and name.

    A result that lies there already is replaced only by one of the same source, which is known by its bytes. Where a
    name is taken by another file, be it an original, another source's result or anything else, a number is added. What
    is given is claimed, also from other processes, until `release`. Use it as a context manager.
    """

    def __init__(self, folder: Path, ending: str = ".png"):
        self.folder, self.ending = folder, ending
        self._claims = Claims(folder / _CLAIMS)
        self._given: set[str] = set()
        self._there: dict[Path, dict[str, list[Path]]] = {}
        self._numbers: dict[Path, int] = {}

    def __enter__(self) -> ResultNames:
        return self

    def __exit__(self, *_: object) -> None:
        self._claims.close()

    def give(self, source: Path, place: Path) -> Path | None:
        """Where the result of `source` goes, which lies at `place` below the folder that it was found in.

        None where another process is making it. Raises StorageError where nothing can be claimed.
        """
        sha256 = _content(source)
        if not self._claims.take(f"{_folded(place.as_posix())} {sha256}", source):
            return None
        folder = self.folder / place.parent
        return self._earlier(source, folder, sha256) or self._free(source, folder, sha256)

    def release(self, source: Path) -> None:
        """What was given for it is made, or is not to be."""
        self._claims.release(source)

    def _earlier(self, source: Path, folder: Path, sha256: str | None) -> Path | None:
        """Where a result of this source lies already."""
        own = self._results(folder).get(sha256, []) if sha256 is not None else []
        own = [path for path in own if _folded(path.name) in _names(source, path.stem, self.ending)]
        plain_first = sorted(own, key=lambda path: (len(path.name), path.name))
        return next((path for path in plain_first if self._take(path, source)), None)

    def _free(self, source: Path, folder: Path, sha256: str | None) -> Path:
        """The first name that no file has but a result of this source, and that no other source was given."""
        first = folder / _folded(_name(source, 1, self.ending))
        for number in itertools.count(self._numbers.get(first, 1)):
            path = folder / _name(source, number, self.ending)
            # looked at again when it is claimed: another process may have made a file there before
            if _is_free(path, sha256) and self._take(path, source) and _is_free(path, sha256):
                self._numbers[first] = number + 1
                return path
        raise AssertionError("count() does not end")

    def _take(self, path: Path, source: Path) -> bool:
        key = _folded(str(path.absolute()))
        if key in self._given or not self._claims.take(_folded(path.relative_to(self.folder).as_posix()), source):
            return False
        self._given.add(key)
        return True

    def _results(self, folder: Path) -> dict[str, list[Path]]:
        """The results of an earlier batch in a folder, by the checksum of their input."""
        if folder not in self._there:
            there = self._there[folder] = {}
            for path in folder.glob(f"*{self.ending}"):
                origin = origin_of(path)
                if origin.signature and origin.input_sha256:
                    there.setdefault(origin.input_sha256, []).append(path)
        return self._there[folder]


def apart(names: Iterable[str]) -> list[str]:
    """The names or paths, each one once: those that come again get a number before their suffix."""
    apart = Apart()
    return [apart.give(name) for name in names]


class Apart:
    """Gives names or paths, each one once: those that come again get a number before their suffix."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def give(self, name: str) -> str:
        path, candidate, number = Path(name), name, self._numbers.get(name.casefold(), 1)
        while candidate.casefold() in self._taken:
            number += 1
            candidate = path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
        self._numbers[name.casefold()] = number
        self._taken.add(candidate.casefold())
        return candidate


def _folded(name: str) -> str:
    """Equal for names that are one file's on some machine: they differ in case or in how letters are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _name(source: Path, number: int, ending: str) -> str:
    """The name of a source's result, with a number from the second on; no longer than a name can be."""
    tail = f"-{number}{ending}" if number > 1 else ending
    stem = os.fsencode(source.stem)[: _LONGEST_NAME - len(tail)]
    return (os.fsdecode(stem) if stem == os.fsencode(source.stem) else stem.decode("utf-8", "ignore")) + tail


def _names(source: Path, stem: str, ending: str) -> set[str]:
    """The names that a source's result may have, if it is called so."""
    number = re.search(r"-(\d{1,9})$", stem)
    return {_folded(_name(source, one, ending)) for one in (1, int(number[1]) if number else 1)}


def _is_free(path: Path, sha256: str | None) -> bool:
    return not os.path.lexists(path) or (sha256 is not None and origin_of(path).input_sha256 == sha256)


def _content(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


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
                return self._is_at_work(file.read(_LONGEST_NAME).decode("utf-8", "replace"), path)
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def _is_at_work(self, process: str, file: Path) -> bool:
        """Return whether the process that owns `file` is alive.

        The modification time decides where `process` is of another computer, or no name of a process at all.
        """
        return is_at_work(process) if runs_here(process) else self._now() - file.stat().st_mtime < _SILENT_SECONDS

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
