"""The first source: Hugging Face, one file at a pinned revision, going on from the bytes of a download that broke off.

huggingface_hub knows the address, the token and the HTTP client. Its own download function is not used: it drops the
bytes of a broken-off file when it gives up, and with no connection it asks for minutes before it does.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import ModelFileError
from .files import digest, set_aside, storage
from .models import HubSource, Model

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
_TRUE = {"1", "ON", "YES", "TRUE"}


class _BrokenOffError(ModelFileError):
    """The connection could not be made or ended too early, so that another may do better."""


def fetch(model: Model, folder: Path, progress: Progress | None = None) -> Path:
    """Downloads the official file of a model into `folder`, verifies it and gives its path.

    `progress(done_bytes, total_bytes)` is called as bytes arrive; what it raises ends the download. The bytes of an
    unfinished download stay in FILE.part and the next call goes on from there. Raises ModelFileError, a clause for a
    list of what was tried, when the file cannot be had or has the wrong checksum; WeightsFolderError when it cannot be
    kept.
    """
    if _offline():
        raise ModelFileError("hub_offline")
    part = folder / f"{model.file}.part"
    taken_up = part.exists()
    _complete(model, part, progress or (lambda done, total: None))
    with storage(folder):
        found = digest(part)
    if found == model.sha256:
        with storage(folder):
            part.replace(folder / model.file)
        return folder / model.file
    wrong = set_aside(part, model.file, f"its SHA-256 is {found[:12]}… instead of {model.sha256[:12]}…")
    if taken_up:
        _log.warning("%s is fetched once more from its first byte.", model.file)
        return fetch(model, folder, progress)
    raise ModelFileError("hub_wrong_checksum", host=_host(model.hub), aside=wrong)


def _complete(model: Model, part: Path, progress: Progress) -> None:
    """Brings `part` to the end of the file, over as many connections as it takes."""
    begun = False
    empty = 0
    trouble: ModelFileError | None = None
    for _ in range(_CONNECTIONS):
        before = _size(part)
        if before == model.bytes:
            return
        try:
            _append(model, part, before if before < model.bytes else 0, progress)
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
    raise ModelFileError("hub_broke_off", have=_size(part), total=model.bytes, trouble=trouble)


def _append(model: Model, part: Path, have: int, progress: Progress) -> None:
    """Asks for the bytes from `have` on and writes them; _BrokenOffError when they stop before the end."""
    with _answer(model.hub, have) as response:
        from_start = response.status_code == 200
        if from_start or _continues(response, have, model.bytes):
            return _write(response, model, part, 0 if from_start else have, progress)
    if not have:
        raise ModelFileError("hub_only_a_piece", host=_host(model.hub), file=model.file)
    # The server's file does not go on from these bytes, so they are not of that file.
    return _append(model, part, 0, progress)


def _write(response: Any, model: Model, part: Path, have: int, progress: Progress) -> None:
    with storage(part.parent):
        file = part.open("ab" if have else "wb", buffering=0)
    with file:
        for chunk in _chunks(response):
            have += len(chunk)
            if have > model.bytes:
                break
            with storage(part.parent):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[file.write(rest) :]
            progress(have, model.bytes)
    if have > model.bytes:
        with storage(part.parent):
            part.unlink()
        raise ModelFileError("hub_too_long", host=_host(model.hub), total=model.bytes, file=model.file)


def _continues(response: Any, have: int, total: int) -> bool:
    """Whether the answer goes on at byte `have` of a file of `total` bytes."""
    return response.status_code == 206 and response.headers.get("Content-Range") == f"bytes {have}-{total - 1}/{total}"


def _chunks(response: Any) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes()
    except Exception as error:
        raise _BrokenOffError("hub_connection_ended", reason=_words(error)) from error


@contextmanager
def _answer(source: HubSource, start: int) -> Iterator[Any]:
    """The streamed answer with the file from byte `start` on, its status checked.

    The question is asked in a thread of its own, as no socket timeout covers name look-up or many dead addresses.
    """
    from huggingface_hub.utils import get_session

    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            timeout = (CONNECT_SECONDS, SILENCE_SECONDS, SILENCE_SECONDS, CONNECT_SECONDS)
            session = get_session()
            request = session.build_request("GET", _url(source), headers=_headers(start), timeout=timeout)
            answer.set_result(session.send(request, stream=True, follow_redirects=True))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="ask-hugging-face", daemon=True).start()
    try:
        response = answer.result(timeout=ANSWER_SECONDS)
    except NoAnswer as error:
        answer.add_done_callback(_close_late)
        raise _BrokenOffError("hub_no_answer", host=_host(source), seconds=ANSWER_SECONDS) from error
    except Exception as error:
        raise _BrokenOffError("hub_unreachable", host=_host(source), reason=_words(error)) from error
    try:
        _check_status(response, source, start)
        yield response
    finally:
        response.close()


def _close_late(answer: Future[Any]) -> None:
    if answer.exception() is None:
        answer.result().close()


def _check_status(response: Any, source: HubSource, start: int) -> None:
    status = response.status_code
    if status in (200, 206) or (status == 416 and start):
        return
    kind = _BrokenOffError if status == 429 or status >= 500 else ModelFileError
    key = "hub_status_token" if status in (401, 403) else "hub_status"
    file = {"path": source.path, "repo": source.repo, "revision": source.revision[:7]}
    raise kind(key, host=_host(source), status=status, **file)


def _headers(start: int) -> dict[str, str]:
    from huggingface_hub import constants, get_token

    headers = {"User-Agent": "enhance-weights", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    if not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN and (token := get_token()):
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _url(source: HubSource) -> str:
    from huggingface_hub import hf_hub_url

    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
    return hf_hub_url(source.repo, source.path, revision=source.revision, endpoint=endpoint)


def _host(source: HubSource) -> str | ModelFileError:
    """The scheme and host that are asked, for messages: without the password that an address may hold."""
    address = urlsplit(_url(source))
    if not address.netloc:
        return ModelFileError("hub_odd_address")
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}"


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _words(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
