"""One official file over HTTP, going on from the bytes of a download that broke off, and verified.

huggingface_hub's own download function is not used: it drops the bytes of a broken-off file when it gives up, and with
no connection it asks for minutes before it does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import WeightsError
from .files import digest, set_aside, storage
from .manifest import Download
from .records import keep_origin

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], object]

# Seconds from asking until an answer begins: name look-up, every address of the host, TLS and redirects together.
ANSWER_SECONDS = 10.0
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 10.0
# A download that has begun is taken up again this often, and given up after so many tries in a row without a byte.
_CONNECTIONS = 20
_EMPTY_CONNECTIONS = 3
PAUSE_SECONDS = 1.0


class _BrokenOffError(WeightsError):
    """The connection could not be made or ended too early, so that another may do better."""


@dataclass(frozen=True)
class Address:
    """Where a file is asked for, and how it is called in messages."""

    url: str
    path: str
    variable: str
    """The environment variable that names the server."""
    client: Any
    """The HTTP client, httpx's or one with its methods."""
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str = ""
    """The environment variable that holds the token, where the server takes one."""

    @property
    def host(self) -> str | WeightsError:
        """The scheme and host that are asked, for messages: without the password that an address may hold."""
        parts = urlsplit(self.url)
        if not parts.netloc:
            return WeightsError("download_odd_address", variable=self.variable)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def fetch(wanted: Download, address: Address, folder: Path, progress: Progress | None = None) -> Path:
    """Downloads an official file into `folder`, verifies it, notes where it came from and gives its path.

    `progress(done_bytes, total_bytes)` is called as bytes arrive; what it raises ends the download. The bytes of an
    unfinished download stay in FILE.part, and the next call goes on from there, from whatever source. Raises
    WeightsError, a clause for a list of what was tried, when the file cannot be had or has the wrong checksum;
    StorageError when it cannot be kept.
    """
    part = folder / f"{wanted.file}.part"
    taken_up = part.exists()
    _complete(wanted, address, part, progress or (lambda done, total: None))
    with storage(folder):
        found = digest(part)
    if found == wanted.sha256:
        keep_origin(folder / wanted.file, str(wanted.source))
        with storage(folder):
            part.replace(folder / wanted.file)
        return folder / wanted.file
    wrong = set_aside(part, wanted.file, f"its SHA-256 is {found[:12]}… instead of {wanted.sha256[:12]}…")
    if taken_up:
        _log.warning("%s is fetched once more from its first byte.", wanted.file)
        return fetch(wanted, address, folder, progress)
    raise WeightsError("download_wrong_checksum", host=address.host, aside=wrong)


def _complete(wanted: Download, address: Address, part: Path, progress: Progress) -> None:
    """Brings `part` to the end of the file, over as many connections as it takes."""
    begun = False
    empty = 0
    trouble: WeightsError | None = None
    for _ in range(_CONNECTIONS):
        before = _size(part)
        if before == wanted.bytes:
            return
        try:
            _append(wanted, address, part, before if before < wanted.bytes else 0, progress)
            return
        except _BrokenOffError as error:
            trouble = error
        arrived = _size(part) > before
        begun = begun or arrived
        empty = 0 if arrived else empty + 1
        if not begun:
            raise trouble
        if empty == _EMPTY_CONNECTIONS:
            break
        time.sleep(empty * PAUSE_SECONDS)
    raise WeightsError("download_broke_off", have=_size(part), total=wanted.bytes, trouble=trouble)


def _append(wanted: Download, address: Address, part: Path, have: int, progress: Progress) -> None:
    """Asks for the bytes from `have` on and writes them; _BrokenOffError when they stop before the end."""
    with _answer(address, have) as response:
        from_start = response.status_code == 200
        if from_start or _continues(response, have, wanted.bytes):
            return _write(response, wanted, address, part, 0 if from_start else have, progress)
    if not have:
        raise WeightsError("download_only_a_piece", host=address.host, file=wanted.file)
    # The server's file does not go on from these bytes, so they are not of that file.
    return _append(wanted, address, part, 0, progress)


def _write(response: Any, wanted: Download, address: Address, part: Path, have: int, progress: Progress) -> None:
    with storage(part.parent):
        file = part.open("ab" if have else "wb", buffering=0)
    with file:
        for chunk in _chunks(response):
            have += len(chunk)
            if have > wanted.bytes:
                break
            with storage(part.parent):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[file.write(rest) :]
            progress(have, wanted.bytes)
    if have > wanted.bytes:
        with storage(part.parent):
            part.unlink()
        raise WeightsError("download_too_long", host=address.host, total=wanted.bytes, file=wanted.file)


def _continues(response: Any, have: int, total: int) -> bool:
    """Whether the answer goes on at byte `have` of a file of `total` bytes."""
    return response.status_code == 206 and response.headers.get("Content-Range") == f"bytes {have}-{total - 1}/{total}"


def _chunks(response: Any) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes()
    except Exception as error:
        raise _BrokenOffError("download_connection_ended", reason=_words(error)) from error


@contextmanager
def _answer(address: Address, start: int) -> Iterator[Any]:
    """The streamed answer with the file from byte `start` on, its status checked.

    The question is asked in a thread of its own, as no socket timeout covers name look-up or many dead addresses.
    """
    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            timeout = (CONNECT_SECONDS, SILENCE_SECONDS, SILENCE_SECONDS, CONNECT_SECONDS)
            request = address.client.build_request(
                "GET", address.url, headers=_headers(address, start), timeout=timeout
            )
            answer.set_result(address.client.send(request, stream=True, follow_redirects=True))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="ask-for-weights", daemon=True).start()
    try:
        response = answer.result(timeout=ANSWER_SECONDS)
    except NoAnswer as error:
        answer.add_done_callback(_close_late)
        raise _BrokenOffError("download_no_answer", host=address.host, seconds=ANSWER_SECONDS) from error
    except Exception as error:
        raise _BrokenOffError("download_unreachable", host=address.host, reason=_words(error)) from error
    try:
        _check_status(response, address, start)
        yield response
    finally:
        response.close()


def _close_late(answer: Future[Any]) -> None:
    if answer.exception() is None:
        answer.result().close()


def _check_status(response: Any, address: Address, start: int) -> None:
    status = response.status_code
    if status in (200, 206) or (status == 416 and start):
        return
    kind = _BrokenOffError if status == 429 or status >= 500 else WeightsError
    asked = {"host": address.host, "status": status, "path": address.path}
    if address.token and status in (401, 403):
        raise kind("download_status_token", token=address.token, **asked)
    raise kind("download_status", **asked)


def _headers(address: Address, start: int) -> dict[str, str]:
    resumed = {"Range": f"bytes={start}-"} if start else {}
    plain = {"User-Agent": "enhance-weights", "Accept-Encoding": "identity"}
    # A connection that is kept for the next question may be closed by the time that it is asked.
    return {**plain, "Connection": "close", **resumed, **address.headers}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _words(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
