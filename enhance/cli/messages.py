"""Messages of the commands on standard error, and results as JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from typing import Any, TextIO

from ..errors import EnhanceError
from ..json_object import JsonObject


def print_message(text: str, subject: object = "") -> None:
    """Print a message, with the file or preset that it is about."""
    if subject:
        text = f"{subject}: {text}"
    print(f"enhance: {text}", file=sys.stderr)


def print_error(error: EnhanceError, subject: object = "") -> None:
    """Print an error, with the file or preset that it is about."""
    print_message(error.message(), subject)


def print_json(facts: JsonObject, stream: TextIO | None = None) -> None:
    """Print an object as one line of JSON, by default on standard output."""
    print(json.dumps(facts, ensure_ascii=False), file=stream, flush=True)


def discard_unread_output() -> None:
    """Redirect output streams that cannot be written to the null device, as after `| head -1`."""
    for stream in (sys.stdout, sys.stderr):
        if stream.closed:  # by the server of `enhance mcp`
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class OneLineFormatter(logging.Formatter):
    """Formats an exception as one line without its traceback."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging defines the name
        lines = traceback.format_exception_only(*ei[:2])
        return "enhance: " + " ".join("".join(lines).split())
