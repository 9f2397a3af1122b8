"""File names of results and reports in a folder.

Only results are overwritten, and no two results have the same name.
"""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import StorageError
from ..files import file_sha256
from ..metadata.provenance import origin_of

T = TypeVar("T")

REPORT_CREATOR = "Enhance report"
"""The creator in the metadata of every PDF report, by which an earlier one is recognised."""
MAX_NAME_BYTES = 255
"""Bytes of a file name on common file systems."""
_MAX_EXTENSION_BYTES = 16
"""Maximum bytes of an input's extension in the name of its result, because named inputs can have
any extension."""


def plan_names(files: Sequence[tuple[Path, str]], ending: str) -> list[Path]:
    """Return the path of each result below the output folder.

    All paths are different on any file system.

    `files` are the paths that the results are named after, and the extensions of the inputs. Each
    result keeps the folder and the name of its file. If files differ only in the extension, their
    results keep it in the name: photo-jpg.png, photo-png.png. Other files with the same name get a
    number.
    """
    extensions = defaultdict[str, set[str]](set)
    for path, extension in files:
        extensions[_folded_stem(path)].add(extension.lower())
    names = UniqueNames()
    planned = list[Path]()
    for path, extension in files:
        tail = ending
        if extension and len(extensions[_folded_stem(path)]) > 1:
            shortened = shorten(extension[1:].lower(), _MAX_EXTENSION_BYTES)
            tail = f"-{shortened}{ending}"
        name = path.with_name(_fitting_name(path.stem, tail))
        planned.append(Path(names.add(name.as_posix())))
    return planned


class ResultNames:
    """Assigns output files below a folder.

    An existing file is replaced only if it is a result of the same source, which is identified by
    its bytes. If any other file has the name, a number is added.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def candidates(self, path: Path, source: Path) -> Iterator[Path]:
        """Yield `path` and numbered ones that are free or contain a result of `source`.

        The result can be of any request.
        """
        input_sha256 = _sha256(source)
        for number in itertools.count(1):
            candidate = _numbered(path, number)
            if self._is_free(candidate, input_sha256):
                yield candidate

    def write(self, path: Path, source: Path, work: Callable[[Path], T]) -> T:
        """Return the result of `work` for the first of the `candidates` that no other process takes
        in the meantime."""
        for candidate in self.candidates(path, source):
            try:
                return work(candidate)
            except StorageError as error:
                if error.key != "name_taken":
                    raise
        raise AssertionError("unreachable")

    def _is_free(self, path: Path, sha256: str) -> bool:
        """Return whether nothing is at `path`, or a result of the same source."""
        if not os.path.lexists(path):
            return True
        return sha256 != "" and origin_of(path).input_sha256 == sha256


def report_path_next_to(result: Path, input_sha256: str) -> Path:
    """Return the path for the report of a result: its name with .pdf, or with -report where another
    file has that.

    An earlier report of the same input is replaced.
    """
    path = result.with_suffix(".pdf")
    ending = "-report"
    for number in itertools.count(2):
        if not path.exists() or _is_report(path, input_sha256):
            break
        path = result.with_name(f"{result.stem}{ending}.pdf")
        ending = f"-report-{number}"
    return path


def _is_report(path: Path, input_sha256: str) -> bool:
    try:
        content = path.read_bytes()  # fpdf2 writes the metadata of a PDF without compression.
    except OSError:
        return False
    keywords = f"/Keywords ({input_sha256})"
    return f"/Creator ({REPORT_CREATOR})".encode() in content and keywords.encode() in content


def shorten(text: str, most: int) -> str:
    """Return a part of a file name cut to `most` bytes, between two characters."""
    encoded = os.fsencode(text)
    if len(encoded) <= most:
        return text
    return encoded[:most].decode("utf-8", "ignore")


class UniqueNames:
    """Makes names or paths unique: repeated ones get a number before their suffix."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def add(self, name: str) -> str:
        """Return `name`, with a number if it is taken."""
        number = self._numbers.get(_fold(name), 1)
        while _fold(candidate := _numbered(Path(name), number).as_posix()) in self._taken:
            number += 1
        self._numbers[_fold(name)] = number
        self._taken.add(_fold(candidate))
        return candidate


def _numbered(path: Path, number: int) -> Path:
    """Return the path with a number before its extension, unless the number is 1."""
    if number == 1:
        return path
    return path.with_name(_fitting_name(path.stem, f"-{number}{path.suffix}"))


def _fitting_name(stem: str, tail: str) -> str:
    """Return a file name, with the stem shortened to the length that file systems allow."""
    return shorten(stem, MAX_NAME_BYTES - len(os.fsencode(tail))) + tail


def _folded_stem(path: Path) -> str:
    return _fold(path.with_suffix("").as_posix())


def _fold(name: str) -> str:
    """Return the same text for names that are one file on some system.

    They differ in case or in composition.
    """
    folded = unicodedata.normalize("NFC", name).casefold()  # This can decompose letters.
    return unicodedata.normalize("NFC", folded)


def _sha256(path: Path) -> str:
    """Return the checksum of a file, empty if it cannot be read: the run reports that."""
    try:
        return file_sha256(path)
    except OSError:
        return ""
