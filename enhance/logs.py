"""A log without the messages of exceptions, which can contain names and contents of users'
files."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from .errors import EnhanceError

log = logging.getLogger(__name__)
_VERBOSE_LOGGERS = (
    "httpx",
    "httpcore",
    "uvicorn.access",
    "mcp",
    "PIL",
    "asyncio",
    "fontTools",
    "fpdf",
    "huggingface_hub",
    "filelock",
)


def quiet_logs(*, as_json: bool) -> None:
    """Set up logging without lines of libraries for each request and without names of users' files.

    With `as_json`, each line is a JSON object.
    """
    hide_messages()
    log_printed_exceptions()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if as_json:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())
    for name in _VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, message, and the `facts` of the
    record."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(
            timespec="milliseconds"
        )
        facts = {
            "time": time,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_text:
            facts["traceback"] = record.exc_text
        return json.dumps(facts | getattr(record, "facts", {}), ensure_ascii=False)


def hide_messages() -> None:
    """Log the type and the location of each exception, without its message."""
    create = logging.getLogRecordFactory()

    def without_message(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = create(*args, **kwargs)
        if isinstance(record.args, tuple):
            record.args = tuple(map(_without_message, record.args))
        if record.exc_info and record.exc_info[1]:
            # Formatters use this text if it is set.
            record.exc_text = "\n".join(_traceback_lines(record.exc_info[1]))
        return record

    logging.setLogRecordFactory(without_message)


def log_printed_exceptions() -> None:
    """Log exceptions that end a thread, and those that Gradio would print with the arguments of a
    handler."""

    def log_exception(*_: Any, **__: Any) -> None:
        log.error("A request failed", exc_info=sys.exc_info()[1])

    def log_failed_thread(failed: threading.ExceptHookArgs) -> None:
        log.error("A thread failed", exc_info=failed.exc_value)

    traceback.print_exc = log_exception
    threading.excepthook = log_failed_thread


def _traceback_lines(error: BaseException) -> Iterator[str]:
    """Yield the lines of a traceback without the messages of the exceptions, the causes first."""
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    if cause is not None:
        yield from _traceback_lines(cause)
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"  {frame.filename}:{frame.lineno} in {frame.name}"
    yield _kind(error)
    for part in getattr(error, "exceptions", ()):
        yield from _traceback_lines(part)


def _kind(error: BaseException) -> str:
    """Return the type of an error, with the key of an expected error or the reason of a system
    error."""
    kind = type(error).__name__
    detail = getattr(error, "strerror", None)
    if isinstance(error, EnhanceError):
        detail = error.key
    if detail:
        kind += f" ({detail})"
    return kind


def _without_message(value: object) -> object:
    """Return an exception as `_kind`, and any other value unchanged."""
    if isinstance(value, BaseException):
        return _kind(value)
    return value
