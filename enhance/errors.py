"""Every error a person can be told about: a key of the catalogue and the values of its sentence, in any language.

Each sentence (or two) says what is wrong and what to do. The command line prints it and the page shows it as it stands;
nothing else is an expected failure.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .i18n import DEFAULT_LANGUAGE, translate

log = logging.getLogger(__name__)


class EnhanceError(Exception):
    """Something went wrong that the reader of the message can understand and act on."""

    def __init__(self, key: str, **values: Any):
        super().__init__(key)
        self.key, self.values = key, values

    def sentence(self, language: str = DEFAULT_LANGUAGE) -> str:
        """What is wrong and what to do, in one of the catalogue's languages."""
        return translate(language, self.key, **self.values)

    def __str__(self) -> str:
        return self.sentence()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.key, self.values)


class PictureError(EnhanceError):
    """The input is not a picture this program takes: damaged, too large, or of an unknown kind."""


class SettingsError(EnhanceError):
    """A setting or preset is unknown or out of its range."""


class WeightsError(EnhanceError):
    """A model's weight file is missing, corrupt, or not in the manifest."""


class MemoryShortError(EnhanceError):
    """There is too little free memory, be it the device's or the program's."""


class StorageError(EnhanceError):
    """A file or folder cannot be written: a full disk, or no permission."""


class Cancelled(EnhanceError):
    """The caller set the stop event; nothing half-written is left behind."""


_MEMORY_SHORT = re.compile(
    "bad_?alloc|out of memory|insufficient memory|not enough memory|(can.t|cannot|failed to) allocate|memory alloc",
    re.IGNORECASE,
)
"""What libraries say for want of memory whose errors have no type of their own for it."""


def is_memory_short(error: BaseException) -> bool:
    """Whether an error of any library says that memory is short."""
    short = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    return short or bool(_MEMORY_SHORT.search(str(error)))


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryShortError in place of whatever the block raises for want of memory; also as a decorator."""
    try:
        yield
    except Exception as error:
        if isinstance(error, EnhanceError) or not is_memory_short(error):
            raise
        raise MemoryShortError("memory_out") from error


def expected_error(error: Exception, what: str) -> EnhanceError:
    """The error as a person is told of it; that `what` failed goes to the log where nobody foresaw the error."""
    if isinstance(error, EnhanceError):
        return error
    log.error(what, exc_info=error)
    return EnhanceError("unexpected")


def _again(kind: type[EnhanceError], key: str, values: dict[str, Any]) -> EnhanceError:
    return kind(key, **values)
