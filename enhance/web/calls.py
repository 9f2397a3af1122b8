"""Checks of a call before Gradio handles it, which answers a mistyped call with status 500 or `{"error": null}`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from ..errors import EnhanceError

T = TypeVar("T")
API = "/gradio_api"
_LONGEST_QUOTE = 80
"""The characters of a client's own words that an error repeats."""


class UnknownEndpointError(EnhanceError):
    """There is no such endpoint, or not at this address."""


class Calls:
    """The functions of an app and how they are called.

    `fns` of Gradio's Blocks, and `inputs`, `api_name` and `queue` of a function, are not documented. Without them, the
    number of values in a call and the number of a function are not checked.
    """

    def __init__(self, blocks: gr.Blocks):
        self._blocks, self._functions = blocks, blocks.fns
        named = blocks.get_api_info()["named_endpoints"]
        self._takes = {name.strip("/"): named[name]["parameters"] for name in named}

    def check(self, path: str, given: Any) -> None:
        """Check the JSON of a POST request to `path`. Raises EnhanceError if Gradio could not handle it."""
        way, _, name = path.removeprefix(f"{API}/").rpartition("/")
        if way in ("call", "call/v2", "run", "api"):
            check_endpoint(name, self._takes)
        elif (way, name) != ("queue", "join"):
            return
        if not isinstance(given, dict):
            raise EnhanceError("api_no_object")
        if way == "call/v2":
            check_parameters(name, self._takes[name], given)
            _check_files(given)
            return
        if way == "queue" and not isinstance(given.get("session_hash"), str):
            raise EnhanceError("api_malformed")
        data, function = given.get("data"), self._function(way, name, given)
        if not isinstance(data, list):
            raise EnhanceError("api_no_data")
        if way in ("run", "api") and function.queue:
            raise UnknownEndpointError("api_queued", name=name)
        if len(data) < len(function.inputs) or (way != "queue" and len(data) > len(function.inputs)):
            counts = {"count": len(function.inputs), "given": len(data)}
            raise EnhanceError("api_value_count", name=function.api_name or "/queue/join", **counts)
        _check_files(data)

    def check_event(self, path: str) -> None:
        """Check the event of a GET request to `path`. Raises UnknownEndpointError if there is none of that name.

        Gradio's queue is not documented. Without this, Gradio raises an error after the answer has begun.
        """
        way, _, event = path.removeprefix(f"{API}/").rpartition("/")
        queue = self._blocks._queue
        if not way.startswith("call/") or event in queue.event_ids_to_events:
            return
        if not any(event in events for events in queue.pending_event_ids_session.values()):
            raise UnknownEndpointError("api_unknown_event", event=_quoted(event))

    def _function(self, way: str, name: str, given: Mapping[str, Any]) -> Any:
        """The function that Gradio would run: `fn_index` of the JSON goes before the name, except at /call/."""
        index = None if way == "call" else given.get("fn_index")
        if index is None and way != "queue":
            return next(one for one in self._functions.values() if one.api_name == name)
        if not isinstance(index, int) or index not in self._functions:
            raise UnknownEndpointError("api_unknown_function", index=_quoted(index))
        return self._functions[index]


def check_endpoint(name: str, known: Collection[str]) -> None:
    """Raise UnknownEndpointError if no endpoint of the names `known` is called `name`."""
    if name not in known:
        raise UnknownEndpointError("api_unknown_endpoint", name=_quoted(name), known=", ".join(known))


def check_parameters(name: str, takes: Collection[Mapping[str, Any]], given: Collection[str]) -> None:
    """Raise EnhanceError if a call of `name`, which has the parameters `takes`, gives an unknown one or too few."""
    known = [one["parameter_name"] for one in takes]
    if unknown := [one for one in given if one not in known]:
        none = "api_no_parameters" if not known else "api_unknown_parameter"
        raise EnhanceError(none, name=name, parameter=_quoted(unknown[0]), known=", ".join(known))
    required = [one["parameter_name"] for one in takes if not one["parameter_has_default"]]
    if missing := [one for one in required if one not in given]:
        raise EnhanceError("api_missing_parameter", name=name, parameter=missing[0])


def is_uploaded(path: Path) -> bool:
    """Return whether the file lies where uploads and results do. Raises ValueError if no file can have this path."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(os.environ["GRADIO_TEMP_DIR"]))


def inside(value: Any, kind: type[T]) -> Iterator[T]:
    """Yield everything of this kind in JSON, however deep it lies."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, kind):
            yield one
        if isinstance(one, dict | list):
            left.extend(one.values() if isinstance(one, dict) else one)


def _check_files(values: Any) -> None:
    """Raise EnhanceError for a file that was not uploaded here; Gradio would raise an error without a sentence."""
    for file in inside(values, dict):
        if "meta" not in file:
            continue  # no file, for Gradio
        path, meta = file.get("path"), file["meta"]
        try:
            fine = isinstance(meta, dict) and (not isinstance(path, str) or is_uploaded(Path(path)))
        except ValueError:
            fine = False
        if not fine:
            raise EnhanceError("api_not_uploaded")


def _quoted(text: object) -> str:
    return text if len(text := str(text)) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"
