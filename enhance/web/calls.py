"""Checks of API calls that Gradio would answer with status 500 or `{"error": null}`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from starlette.types import Scope

from ..errors import (
    Cancelled,
    EnhanceError,
    MemoryShortError,
    SettingsError,
    StorageError,
    WeightsError,
)
from ..i18n import DEFAULT_LANGUAGE
from ..json_object import JsonObject
from . import gradio_changes
from .params import API_DEFAULTS

API = "/gradio_api"
_CALL_ROUTES = ("call", "call/v2", "run", "api")
"""The routes of Gradio that call an endpoint by its name."""
HTTP_API = "/api/enhance"
"""The route that accepts an image and returns the result, without Gradio's protocol."""
_GONE = {"print_fit": "contain", "name_pattern": ""}
"""Parameters of earlier versions, with their defaults."""
_FILE_KEYS = {"path", "url", "orig_name", "meta"}
_MAX_NAME_LENGTH = 4096
_MAX_QUOTE = 80
"""The number of characters of a client's value that an error repeats."""


class RecordedError(EnhanceError):
    """The error of a job that has ended, with its message in each language."""

    def __init__(self, recorded: Mapping[str, str]):
        super().__init__(recorded["key"])
        self._recorded = recorded

    def message(self, language: str = DEFAULT_LANGUAGE) -> str:
        return self._recorded.get(language, self._recorded[DEFAULT_LANGUAGE])


_STATUSES = {
    "key_missing": 401,
    "login_first": 401,
    "login_or_key": 401,
    "host_unknown": 403,
    "origin_foreign": 403,
    "api_unknown_endpoint": 404,
    "api_unknown_event": 404,
    "api_unknown_function": 404,
    "nothing_here": 404,
    "result_gone": 404,
    "logout_is_post": 405,
    "entry_running": 409,
    "job_cancelled": 409,
    "job_other": 409,
    "name_too_long": 413,
    "request_too_large": 413,
    "too_many_files": 413,
    "upload_too_large": 413,
    "login_too_often": 429,
    "queue_address": 429,
    "queue_full": 429,
    "queue_share": 429,
    "regions_full": 429,
    "unexpected": 500,
    "upload_no_room": 507,
    StorageError: 507,
    Cancelled: 503,
    MemoryShortError: 503,
    WeightsError: 503,
}
"""The status of the errors with these keys, and of other errors of these classes."""


def status_of(error: EnhanceError) -> int:
    """Return the HTTP status of an expected error, which is 400 unless the server causes it."""
    return _STATUSES.get(error.key, _STATUSES.get(type(error), 400))


@dataclass(frozen=True)
class Endpoint:
    """An endpoint.

    `outputs` states which outputs, by label, are files. `limiter` limits concurrent calls of
    agents. The `required` parameters have no default. Those in `ignored` are accepted, but not
    documented.
    """

    function: Callable[..., Any]
    parameters: tuple[str, ...]
    required: tuple[str, ...]
    outputs: Mapping[str, bool]
    limiter: CapacityLimiter
    ignored: tuple[str, ...] = ()


def check_call(scope: Scope, endpoints: Mapping[str, Endpoint], path: str, given: Any) -> None:
    """Check the JSON of a POST request to `path`. Raises EnhanceError if Gradio could not handle
    it.

    `endpoints` belong to the app. The list of values of an earlier client is completed with
    defaults.
    """
    route, _, name = path.removeprefix(f"{API}/").rpartition("/")
    is_joined = (route, name) == ("queue", "join")
    if not is_joined:
        if route not in _CALL_ROUTES:
            return
        check_endpoint(name, endpoints)
    if not isinstance(given, dict):
        raise EnhanceError("api_no_object")
    if is_joined:
        name = _joined_endpoint(scope, endpoints, given)
    endpoint = endpoints[name]
    if route == "call/v2":
        check_parameters(name, endpoint.parameters, endpoint.required, given)
        return
    if not is_joined:
        given.pop("fn_index", None)  # Gradio would prefer it to the name.
    data = given.get("data")
    if not isinstance(data, list):
        raise EnhanceError("api_no_data")
    if len(data) >= len(endpoint.required):
        data.extend(API_DEFAULTS.get(name) for name in endpoint.parameters[len(data) :])
    count = len(endpoint.parameters)
    if len(data) < count or (len(data) > count and not is_joined):
        raise EnhanceError("api_value_count", name=name, count=count, given=len(data))


def _joined_endpoint(scope: Scope, endpoints: Mapping[str, Endpoint], given: JsonObject) -> str:
    """Return the endpoint of a call by the queue, which other functions of the app do not accept.

    Raises EnhanceError.
    """
    session = given.get("session_hash")
    if not (session and isinstance(session, str)):
        raise EnhanceError("api_malformed")
    index = given.get("fn_index")
    name = ""
    if isinstance(index, int):
        name = gradio_changes.name_of_function(scope, index)
    if name not in endpoints:
        raise EnhanceError("api_unknown_function", index=_quote(index))
    return name


def check_event(scope: Scope, path: str) -> None:
    """Check the event of a GET request to `path`. Raises EnhanceError if it does not exist."""
    route, _, event = path.removeprefix(f"{API}/").rpartition("/")
    if route.startswith("call/") and not gradio_changes.has_event(scope, event):
        raise EnhanceError("api_unknown_event", event=_quote(event))


def check_endpoint(name: str, known: Collection[str]) -> None:
    """Raise EnhanceError if `name` is not one of the `known` endpoints."""
    if name not in known:
        raise EnhanceError("api_unknown_endpoint", name=_quote(name), known=", ".join(known))


def check_parameters(
    name: str, known: Collection[str], required: Collection[str], given: JsonObject
) -> None:
    """Raise EnhanceError if a call of `name` has a parameter that is not `known` or lacks one that
    is `required`.

    Parameters of earlier versions are removed from `given` if they have their former default value.
    """
    for gone, usual in _GONE.items():
        if given.pop(gone, None) not in (None, usual):
            raise SettingsError("api_parameter_gone", parameter=gone)
    unknown = [one for one in given if one not in known]
    if unknown:
        key = "api_unknown_parameter" if known else "api_no_parameters"
        raise EnhanceError(key, name=name, parameter=_quote(unknown[0]), known=", ".join(known))
    missing = [one for one in required if one not in given]
    if missing:
        raise EnhanceError("api_missing_parameter", name=name, parameter=missing[0])


def is_uploaded(path: Path) -> bool:
    """Return whether the file lies in the folder of uploads and results. Raises ValueError for an
    impossible path."""
    return path.resolve().is_relative_to(Path(os.environ["GRADIO_TEMP_DIR"]).resolve())


def check_files(given: Any, limit: int) -> None:
    """Check the files in the JSON of a call. Raises EnhanceError for more than `limit` files, a
    long name, or a file that was not uploaded. Gradio would raise an error without a message."""
    files = [one for one in _objects_in(given) if one.keys() & _FILE_KEYS]
    if len(files) > limit:
        raise EnhanceError("too_many_files", limit=limit)
    for file in files:
        texts = (value for value in file.values() if isinstance(value, str))
        if any(len(text) > _MAX_NAME_LENGTH for text in texts):
            raise EnhanceError("name_too_long", limit=_MAX_NAME_LENGTH)
        # Gradio treats only objects with this key as files.
        if "meta" in file and not _is_upload(file):
            raise EnhanceError("api_not_uploaded")


def _is_upload(file: JsonObject) -> bool:
    path = file.get("path")
    with suppress(ValueError):
        return isinstance(file["meta"], dict) and isinstance(path, str) and is_uploaded(Path(path))
    return False


def _objects_in(value: Any) -> Iterator[JsonObject]:
    """Yield every object in nested JSON."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            yield one
            pending.extend(one.values())
        elif isinstance(one, list):
            pending.extend(one)


def _quote(value: object) -> str:
    text = str(value)
    if len(text) <= _MAX_QUOTE:
        return text
    return f"{text[:_MAX_QUOTE]}…"
