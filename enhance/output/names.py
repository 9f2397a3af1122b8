"""File names of results in a folder. Only results are overwritten, and no two results have the same name."""

from __future__ import annotations

import itertools
import os
import time
import unicodedata
from pathlib import Path

from ..files import file_sha256
from .claims import Claims
from .provenance import origin_of

CLAIMS = ".enhance-claims"
_MAX_NAME_BYTES = 255
"""Bytes of a file name on common file systems."""
_MAX_NUMBERS_CHECKED = 8
_POLL_SECONDS = 0.1


class ResultNames:
    """Assigns output files below a folder: each source keeps its subfolder and name. Use it as a context manager.

    An existing file is replaced only if it is a result of the same source, which is identified by its bytes. If a
    name is taken by any other file, a number is added. Sources and names are claimed, also from other processes, until
    `release`. An earlier result is searched under `alike` names, because those before it can have been deleted.
    """

    def __init__(self, folder: Path, ending: str = ".png", alike: int = _MAX_NUMBERS_CHECKED):
        self.folder, self.ending, self.alike = folder, ending, alike
        self._claims = Claims(folder / CLAIMS)
        self._assigned: set[str] = set()
        self._claimed: dict[Path, Path] = {}
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> ResultNames:
        return self

    def __exit__(self, *_: object) -> None:
        self._claims.close()

    def claim(self, address: str, relative_path: Path, source: Path) -> bool:
        """Claim the file at an address before it is downloaded to `source`.

        Returns False if another process works on it, or has finished it since this one started.
        """
        return self._claims.claim_once(f"{self._stem(self.folder / relative_path)} {address}", source)

    def assign(self, source: Path, relative_path: Path) -> Path | None:
        """Return the output file for `source`; `relative_path` is its path relative to the input folder.

        Returns None if another process works on this source. Raises StorageError if no claim can be written.
        """
        sha256, path = _sha256(source), self.folder / relative_path
        if not self._claims.claim(f"{self._stem(path)} {sha256}", source):
            return None
        output = self._earlier_result(source, path, sha256) or self._free_name(source, path, sha256)
        self._assigned.add(self._key(output))
        return output

    def release(self, source: Path, *, done: bool = False) -> None:
        """Release the claims for a source, whose result is finished or not needed."""
        self._release_name(source)  # The next process that claims the source can then claim the name of its result.
        self._claims.release(source, done=done)

    def _earlier_result(self, source: Path, path: Path, sha256: str) -> Path | None:
        """Return an existing result of this source that is named after `path`, with or without a number.

        The names before it can be free, because a process claimed them for other sources and failed.
        """
        start = self._numbers.get(self._stem(path), 1)
        for number in range(start, start + min(self.alike, _MAX_NUMBERS_CHECKED)):
            result = path.parent / self._name(path, number)
            if self._is_result(result, sha256) and self._claim(result, source, sha256):
                if number == start:
                    self._numbers[self._stem(path)] = number + 1
                return result
        return None

    def _free_name(self, source: Path, path: Path, sha256: str) -> Path:
        start = self._numbers.get(self._stem(path), 1)
        for number in itertools.count(start):
            free = path.parent / self._name(path, number)
            if self._is_free(free, sha256) and self._claim(free, source, sha256):
                # Checked again after the claim, because another process can have finished a file meanwhile.
                if self._is_free(free, sha256):
                    if number == start:  # A name that another process has can be that of a later source.
                        self._numbers[self._stem(path)] = number + 1
                    return free
                self._release_name(source)
        raise AssertionError("unreachable")

    def _key(self, path: Path) -> str:
        return _fold(path.relative_to(self.folder).as_posix())

    def _stem(self, path: Path) -> str:
        return self._key(path.parent / self._name(path, 1))

    def _is_free(self, path: Path, sha256: str) -> bool:
        """Return whether nothing is at `path`, or a result of the same source."""
        return not os.path.lexists(path) or self._is_result(path, sha256)

    def _is_result(self, path: Path, sha256: str) -> bool:
        return bool(sha256) and origin_of(path).input_sha256 == sha256

    def _claim(self, path: Path, source: Path, sha256: str) -> bool:
        if self._key(path) in self._assigned:
            return False
        while not self._claims.claim(self._key(path), path):
            if not self._is_result(path, sha256):
                return False
            time.sleep(_POLL_SECONDS)  # The source is claimed, so the other process only checks this name.
        self._claimed[source] = path
        return True

    def _release_name(self, source: Path) -> None:
        if path := self._claimed.pop(source, None):
            self._claims.release(path)

    def _name(self, path: Path, number: int) -> str:
        """Return the name of the result for `path`, with a number from 2 on, shortened to what file systems allow."""
        tail = f"-{number}{self.ending}" if number > 1 else self.ending
        return shorten(path.stem, _MAX_NAME_BYTES - len(tail)) + tail


def shorten(text: str, most: int) -> str:
    """Return a part of a file name cut to `most` bytes, between two characters."""
    encoded = os.fsencode(text)
    return text if len(encoded) <= most else encoded[:most].decode("utf-8", "ignore")


class UniqueNames:
    """Makes names or paths unique: repeated ones get a number before their suffix."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def add(self, name: str) -> str:
        """Return `name`, with a number if it is taken."""
        path, candidate, number = Path(name), name, self._numbers.get(name.casefold(), 1)
        while candidate.casefold() in self._taken:
            number += 1
            candidate = path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
        self._numbers[name.casefold()] = number
        self._taken.add(candidate.casefold())
        return candidate


def _fold(name: str) -> str:
    """Return the same text for names that are one file on some system: they differ in case or in composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())  # casefold can decompose


def _sha256(path: Path) -> str:
    """Return the checksum of a file, empty if it cannot be read: the run reports that."""
    try:
        return file_sha256(path)
    except OSError:
        return ""
