"""What is noted beside the weight files, for people: where each came from, and why one could not be had.

Nothing is trusted for what these notes say; a file is known by its checksum alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import StorageError
from .files import write_whole

UNRECORDED = "official file (origin not recorded)"
"""The source of a verified file that was put there by hand."""


@dataclass(frozen=True)
class Attempt:
    """A source that was asked in vain, and why it did not give the file, in English."""

    source: str
    error: str


def keep_origin(path: Path, source: str) -> None:
    """Notes where the weight file that is about to be at `path` came from. Raises StorageError."""
    write_whole(_note_of(path), _text({"source": source}))


def origin(path: Path) -> str:
    """Where a verified weight file came from, as far as it was noted."""
    try:
        source = json.loads(_note_of(path).read_bytes())["source"]
    except (OSError, ValueError, TypeError, KeyError):
        return UNRECORDED
    return source if isinstance(source, str) and source.isprintable() else UNRECORDED


def keep_attempts(folder: Path, name: str, failed: Sequence[Attempt]) -> None:
    """Notes why a model could not be had; nothing failed: that it could. What cannot be written is left out."""
    note = folder / f"{name}.tried.json"
    with suppress(OSError, StorageError):
        if failed:
            write_whole(note, _text([asdict(attempt) for attempt in failed]))
        else:
            note.unlink(missing_ok=True)


def attempts(folder: Path, name: str) -> list[Attempt]:
    """Why the model `name` could not be had the last time, by source in their order; empty where nothing is noted."""
    with suppress(OSError, ValueError, TypeError):
        return [Attempt(**one) for one in json.loads((folder / f"{name}.tried.json").read_bytes())]
    return []


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _text(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
