"""The names of results in a folder: no existing file is overwritten, and no two results share a name."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from ..files import file_sha256
from .claims import Claims
from .provenance import origin_of

_CLAIMS = ".enhance-claims"
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
    apart = Separated()
    return [apart.give(name) for name in names]


class Separated:
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
