"""Files at fsspec addresses such as `s3://bucket/folder`: listing, transfer, and the names of results.

fsspec is imported only when an address is used.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from .errors import EnhanceError, PictureError, SettingsError, StorageError
from .images.listing import OWN_PREFIX, SUFFIXES, Listing
from .output.names import ResultNames
from .output.provenance import Origin, origin_in, origin_of
from .processes import temporary_path

_ATOMIC = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
"""Stores in which a file appears when its upload is complete, and whose uploads can require that no file exists.

A store in memory counts as one, because no other process sees it.
"""


@dataclass(frozen=True)
class Stored:
    """A file at an address: its size in bytes, and its origin if it is a result of this program."""

    bytes: int
    origin: Origin


class EarlierResult(Exception):
    """Ends a run whose result is at its address already. `info` is that of the run."""

    def __init__(self, info: Any):
        super().__init__()
        self.info = info


def is_address(path: object) -> TypeGuard[str]:
    """Return whether this is the text of an address such as `s3://bucket/folder`."""
    return isinstance(path, str) and "://" in path


def open_address(address: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address and the path in it. Raises SettingsError, StorageError."""
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations, registry

    scheme = address.partition("://")[0]
    if scheme not in registry and scheme not in known_implementations:
        raise SettingsError("remote_scheme", address=address, scheme=scheme)
    with _remote_errors(address):
        try:
            return url_to_fs(address, use_listings_cache=False)  # Other processes change the same folders.
        except ImportError as error:
            package = getattr(error.__cause__, "name", None) or scheme
            raise SettingsError("remote_package", address=address, package=package) from error


def list_address(address: str, is_result: Callable[[str], bool], listing: Listing) -> Iterator[tuple[str, Path, int]]:
    """Yield the file at an address or the images below it, by the rules of `enhance.images.listing.list_images`.

    Each is an address, its path below the listed one (its name, if it was named itself), and its size in bytes. Skipped
    files are counted in `listing`. Raises PictureError if there is no file, StorageError.
    """
    files, root = open_address(address)
    with _remote_errors(address):
        try:
            entries = files.find(root, detail=True)
        except FileNotFoundError:
            entries = {}
    if not entries:
        raise PictureError("image_missing", name=address)
    hidden = set[Path]()
    for name, facts in sorted(entries.items()):
        path = Path(PurePosixPath(name).relative_to(root))
        # A store can have names such as ".." or a root. In a local folder of results, they would be outside the folder.
        dots = next((count for count, part in enumerate(path.parts, 1) if part.startswith(".")), 0)
        if path.anchor or dots:
            if not path.parts[dots - 1].startswith(OWN_PREFIX):
                hidden.add(Path(*path.parts[:dots]))
        elif path.name and path.suffix.lower() not in SUFFIXES:
            listing.others += 1
        elif not is_result(one := address.rstrip("/") + name.removeprefix(root)):
            yield one, path if path.name else Path(PurePosixPath(name).name), facts["size"] or 0
    listing.hidden += len(hidden)


def stored_at(address: str) -> Stored | None:
    """Return the facts of the file at an address, or None if there is none. Two short parts of the file are read."""
    files, path = open_address(address)
    with _remote_errors(address):
        try:
            with files.open(path, "rb", cache_type="none") as file:
                origin = origin_in(file)
                return Stored(file.seek(0, 2), origin)
        except FileNotFoundError:
            return None


def download(address: str, path: Path) -> Path:
    """Copy the file at an address to `path` and return it. Raises PictureError, StorageError."""
    files, name = open_address(address)
    with _remote_errors(address):
        try:
            files.get_file(name, str(path))
        except FileNotFoundError:
            raise PictureError("image_missing", name=address) from None
    return path


def upload(file: Path, address: str, replaced: Stored | None = None) -> None:
    """Copy a file to an address at once, in place of the file `replaced` or of none. Raises StorageError."""
    files, path = open_address(address)
    with _remote_errors(address):
        if _ATOMIC.intersection([files.protocol] if isinstance(files.protocol, str) else files.protocol):
            try:
                files.put_file(str(file), path, mode="overwrite" if replaced else "create")
            except OSError as error:
                # The answer to a first attempt can get lost, so that the second one finds the file.
                if not _exists_already(error):
                    raise
                if stored_at(address) != Stored(file.stat().st_size, origin_of(file)):
                    raise StorageError("name_taken", output=address) from error
            return
        part = temporary_path(Path(path)).as_posix()
        try:
            files.makedirs(Path(path).parent.as_posix(), exist_ok=True)
            files.put_file(str(file), part)
            if not replaced and files.exists(path):
                raise StorageError("name_taken", output=address)
            files.mv(part, path)
        except BaseException:
            with suppress(Exception):
                files.rm_file(part)
            raise


@contextmanager
def _remote_errors(address: str) -> Iterator[None]:
    """Convert any error of the block, because the packages of the stores raise their own types."""
    try:
        yield
    except (EnhanceError, FileNotFoundError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StorageError("remote_failed", address=address, reason=reason) from error


def _exists_already(error: Exception) -> bool:
    """Return whether a file could not be created because it exists, also by what s3fs makes of 412 and 409."""
    return isinstance(error, FileExistsError) or getattr(error, "errno", None) in (errno.EINVAL, errno.EBUSY)


class RemoteNames(ResultNames):
    """Names of results below an address. Paths of results are those in its file system."""

    def __init__(self, address: str):
        self.address = address.rstrip("/")
        _, root = open_address(address)
        super().__init__(Path(root))
        self.stored: dict[Path, Stored | None] = {}
        """The files at the names that were assigned last, which are results of the same source."""

    def address_of(self, path: Path) -> str:
        """Return the address of a result."""
        return f"{self.address}/{path.relative_to(self.folder).as_posix()}"

    def _is_free(self, path: Path, sha256: str) -> bool:
        stored = stored_at(self.address_of(path))
        self.stored[path] = stored
        return stored is None or stored.origin.input_sha256 == sha256


class RemoteFile(RemoteNames):
    """The name of a single result: an address, at which an earlier result is replaced, but no other file."""

    def address_of(self, path: Path) -> str:
        return self.address

    def assign(self, source: Path, target: Path) -> Path:
        self.stored[self.folder] = stored = stored_at(self.address)
        if stored and stored.origin.signature is None:
            raise StorageError("name_taken", output=self.address)
        return self.folder
