"""Files at fsspec addresses such as `s3://bucket/folder`: listing, transfer, and the names of
results.

fsspec is imported only when an address is used.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from ..errors import EnhanceError, PictureError, SettingsError, StorageError
from ..images.listing import OWN_PREFIX, SUFFIXES, Listing
from ..metadata.provenance import Origin, origin_in, origin_of
from ..processes import temporary_path
from .names import ResultNames

_ATOMIC = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
"""Stores in which a file appears when its upload is complete, and whose uploads can require that no
file exists.

A store in memory counts as one, because no other process sees it.
"""
_TO_HIDDEN = re.compile(r"(?:[^/]+/)*?(\.[^/]*)")
"""The beginning of a path up to its first part with a dot in front, the group. In a store, a part
can also be ".."."""
_EXISTS = {"PreconditionFailed", "412"}
"""Error codes of S3 for the upload of a new file whose name is taken."""


@dataclass(frozen=True)
class StoredFile:
    """A file at an address: its size in bytes, and its origin if it is a result of this program."""

    bytes: int
    origin: Origin


def is_address(path: object) -> TypeGuard[str]:
    """Return whether this is the text of an address such as `s3://bucket/folder`."""
    return isinstance(path, str) and "://" in path


def open_address(address: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address and the path in it. Raises SettingsError,
    StorageError."""
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations, registry

    scheme = address.partition("://")[0]
    if scheme not in registry and scheme not in known_implementations:
        raise SettingsError("remote_scheme", address=address, scheme=scheme)
    try:
        # Without its cache, because other processes change the same folders.
        return url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or scheme
        raise SettingsError("remote_package", address=address, package=package) from error
    except Exception as error:
        raise _remote_error(address, error) from error


def list_address(
    address: str, is_result: Callable[[str], bool], listing: Listing
) -> Iterator[tuple[str, Path, int]]:
    """Yield the file at an address or the images below it, by the rules of
    `enhance.images.listing.list_images`.

    Each is an address, its path below the listed one (its name, if it was named itself), and its
    size in bytes. Skipped files are counted in `listing`. Raises PictureError if there is no file,
    StorageError.
    """
    files, root = open_address(address)
    entries = {}
    with suppress(FileNotFoundError), _remote_errors(address):
        entries = files.find(root, detail=True)
    if not entries:
        raise PictureError("image_missing", name=address)
    hidden = set[str]()
    for name, facts in sorted(entries.items()):
        path = Path(PurePosixPath(name).relative_to(root))
        to_hidden = _TO_HIDDEN.match(path.as_posix())
        if path.anchor:  # In a local folder of results, it would be outside the folder.
            hidden.add(path.anchor)
            continue
        if not path.name:  # The address is that of the file.
            path = Path(PurePosixPath(name).name)
        elif to_hidden is not None:
            if not to_hidden[1].startswith(OWN_PREFIX):
                hidden.add(to_hidden[0])
            continue
        elif path.suffix.lower() not in SUFFIXES:
            listing.others += 1
            continue
        one = address.rstrip("/") + name.removeprefix(root)
        if not is_result(one):
            yield one, path, facts["size"] or 0
    listing.hidden += len(hidden)


def stored_at(address: str) -> StoredFile | None:
    """Return the facts of the file at an address, or None if there is none. Two short parts of the
    file are read."""
    files, path = open_address(address)
    try:
        with _remote_errors(address), files.open(path, "rb", cache_type="none") as file:
            origin = origin_in(file)
            return StoredFile(file.seek(0, 2), origin)
    except FileNotFoundError:
        return None


def check_bucket(address: str) -> None:
    """Raise StorageError if the bucket of an address in S3 does not exist."""
    files, root = open_address(address)
    bucket = root.partition("/")[0]
    if not bucket:  # Paths in file systems begin with a slash.
        return
    try:
        with _remote_errors(address):
            files.ls(f"{bucket}/{OWN_PREFIX}{secrets.token_hex(6)}")
    except FileNotFoundError as error:
        if _code(error) == "NoSuchBucket":
            raise StorageError("bucket_missing", address=address) from error


def download(address: str, path: Path) -> Path:
    """Copy the file at an address to `path` and return it. Raises PictureError, StorageError."""
    files, name = open_address(address)
    try:
        with _remote_errors(address):
            files.get_file(name, str(path))
    except FileNotFoundError:
        raise PictureError("image_missing", name=address) from None
    return path


def upload(file: Path, address: str, replaced: StoredFile | None = None) -> None:
    """Upload a file to an address atomically. Only the file `replaced` is overwritten. Raises
    StorageError."""
    files, path = open_address(address)
    put = _put_and_rename
    if address.partition("://")[0] in _ATOMIC:
        put = _put
    mode = "create"
    if replaced is not None:
        mode = "overwrite"
    try:
        with _remote_errors(address):
            put(files, file, path, mode)
    except FileNotFoundError:
        raise StorageError("bucket_missing", address=address) from None
    except FileExistsError as error:
        # If the response to the first attempt was lost, the second attempt finds the uploaded file.
        if stored_at(address) != StoredFile(file.stat().st_size, origin_of(file)):
            raise StorageError("name_taken", output=address) from error


def _put(files: Any, file: Path, path: str, mode: str) -> None:
    try:
        files.put_file(str(file), path, mode=mode)
    except OSError as error:
        if _code(error) in _EXISTS:
            raise FileExistsError(path) from error
        raise


def _put_and_rename(files: Any, file: Path, path: str, mode: str) -> None:
    part = temporary_path(Path(path)).as_posix()
    bucket = path.partition("/")[0]
    try:
        if bucket and not files.exists(bucket):
            raise FileNotFoundError(bucket)
        files.makedirs(Path(path).parent.as_posix(), exist_ok=True)
        files.put_file(str(file), part)
        if mode == "create" and files.exists(path):
            raise FileExistsError(path)
        files.mv(part, path)
    except BaseException:
        with suppress(Exception):
            files.rm_file(part)
        raise


@contextmanager
def _remote_errors(address: str) -> Iterator[None]:
    """Convert the errors of the block to StorageError, because the packages of the stores raise
    their own types. FileNotFoundError and FileExistsError are raised unchanged."""
    try:
        yield
    except (EnhanceError, FileNotFoundError, FileExistsError):
        raise
    except Exception as error:
        raise _remote_error(address, error) from error


def _code(error: Exception) -> str:
    """Return the error code of S3; "" for other errors."""
    response = getattr(error.__cause__ or error, "response", None)
    if not isinstance(response, dict):
        return ""
    return str(response.get("Error", {}).get("Code", ""))


def _remote_error(address: str, error: Exception) -> StorageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return StorageError("remote_failed", address=address, reason=reason)


class RemoteNames(ResultNames):
    """Names of results below an address, as paths in its file system."""

    def __init__(self, address: str):
        self.address = address.rstrip("/")
        _, root = open_address(address)
        super().__init__(Path(root))
        self.stored: dict[Path, StoredFile | None] = {}
        """The existing file at each name that was checked; None if the name is free."""

    def address_of(self, path: Path) -> str:
        """Return the address of a result."""
        return f"{self.address}/{path.relative_to(self.folder).as_posix()}"

    def _is_free(self, path: Path, sha256: str) -> bool:
        stored = stored_at(self.address_of(path))
        self.stored[path] = stored
        return stored is None or stored.origin.input_sha256 == sha256


class RemoteFile(RemoteNames):
    """The address of a single result. An earlier result is replaced, any other file is not."""

    def address_of(self, path: Path) -> str:
        return self.address

    def candidates(self, path: Path, source: Path) -> Iterator[Path]:
        self.stored[self.folder] = stored = stored_at(self.address)
        if stored is None or stored.origin.signature:
            yield self.folder
        raise StorageError("name_taken", output=self.address)
