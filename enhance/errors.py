"""The expected errors. Each has the key of a text in `enhance.i18n` and the values of its
placeholders.

The text states the problem and the solution. The command line and the page show it unchanged.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePath
from typing import Any

from .i18n import DEFAULT_LANGUAGE, translate

log = logging.getLogger(__name__)


class EnhanceError(Exception):
    """Base class of all expected errors.

    `str(error)` states the problem and what to do. `key` is the same in every language.
    """

    def __init__(self, key: str, **values: Any):
        super().__init__(key)
        self.key = key
        self.values = values

    @property
    def has_path(self) -> bool:
        """Whether the message can contain a path of this computer."""
        return any(map(_has_path, self.values.values()))

    def message(self, language: str = DEFAULT_LANGUAGE) -> str:
        """Return the message in one of `enhance.i18n.LANGUAGES`."""
        return translate(language, self.key, **self.values)

    def __str__(self) -> str:
        return self.message()

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled without keyword arguments. Decoding processes and cluster workers
        # return errors.
        return partial(type(self), self.key, **self.values), ()


@contextmanager
def optional_packages(extra: str) -> Iterator[None]:
    """Convert an ImportError to a `SettingsError` that contains the command to install the package.

    `extra` is the name in `optional-dependencies` of pyproject.toml that installs the package.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == __package__:
            raise
        raise SettingsError("extra_missing", package=package, extra=extra) from error


def _has_path(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_has_path, value))
    if isinstance(value, OSError):
        # Libraries raise it without an error number, but with the path in the text.
        return value.strerror is None
    if isinstance(value, EnhanceError):
        return value.has_path
    return isinstance(value, PurePath)


class PictureError(EnhanceError):
    """The input is not a supported image: damaged, too large or in an unsupported format."""


class SettingsError(EnhanceError):
    """A setting, preset or argument is unknown, out of range or not possible for the image."""


class WeightsError(EnhanceError):
    """A model is unknown, not installed, damaged or not supported."""


class MemoryShortError(EnhanceError):
    """The device or the process does not have enough free memory."""


class StorageError(EnhanceError):
    """A file or folder cannot be used: the disk is full, or permission or the file is missing."""


class Cancelled(EnhanceError):
    """The caller cancelled the operation. No partial file remains."""


def check_stop(stop: threading.Event | None) -> None:
    """Raise Cancelled if `stop` is set."""
    if stop is not None and stop.is_set():
        raise Cancelled("stopped")


_MEMORY_SHORT = re.compile(
    # The number is ENOMEM, whose text is “Not enough space” on Windows.
    r"bad_?alloc|out of memory|insufficient memory|not enough memory|(can.t|cannot|failed to) "
    r"allocate|memory alloc|\[Errno 12]",
    re.IGNORECASE,
)
"""Messages of libraries that report a lack of memory without an exception type for it."""


def is_memory_short(error: BaseException) -> bool:
    """Return whether an error of any library reports a lack of memory."""
    return isinstance(error, MemoryError) or bool(_MEMORY_SHORT.search(str(error)))


@contextmanager
def memory_errors() -> Iterator[None]:
    """Convert out-of-memory errors to `MemoryShortError`. Works as a context manager and as a
    decorator."""
    try:
        yield
    except Exception as error:
        if isinstance(error, EnhanceError) or not is_memory_short(error):
            raise
        raise MemoryShortError("memory_out") from error


def expected_error(error: Exception, what: str) -> EnhanceError:
    """Return an expected error as it is and a lack of memory as `MemoryShortError`, and log any
    other error as `what` and return a general error for it."""
    if isinstance(error, EnhanceError):
        return error
    if is_memory_short(error):
        return MemoryShortError("memory_out")
    log.error(what, exc_info=error)
    return EnhanceError("unexpected")
