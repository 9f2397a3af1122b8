"""The secret of a data folder, which signs the addresses of its files."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from pathlib import Path

from ..files import AtomicFile, move_to_new, storage_errors

_NAME = ".enhance-secret"
_SECRET = re.compile(r"[0-9a-f]{64}")


def read_secret(folder: Path) -> str:
    """Return the secret of a data folder, which is created if missing or damaged. Raises
    StorageError."""
    path = folder / _NAME
    with storage_errors(path):
        if path.exists() and _intact(path) is None:
            path.unlink(missing_ok=True)
        while (secret := _intact(path)) is None:
            _create(path)
    return secret


def _create(path: Path) -> None:
    """Write a new secret, unless another server has just written one."""
    with AtomicFile(path) as file, suppress(FileExistsError):
        file.part.touch(0o600)
        file.part.write_text(secrets.token_hex(32), "ascii")
        move_to_new(file.part, path)


def _intact(path: Path) -> str | None:
    """Return the secret in a file; None if it is missing or damaged, because anyone could guess an
    empty one."""
    with suppress(FileNotFoundError, ValueError):
        text = path.read_text("ascii")
        return text if _SECRET.fullmatch(text) else None
    return None
