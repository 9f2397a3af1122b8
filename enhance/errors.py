"""Every error a person can be told about: a key of the catalogue and the values of its sentence, in any language.

Each sentence (or two) says what is wrong and what to do. The command line prints it and the page shows it as it stands;
nothing else is an expected failure.
"""

from __future__ import annotations

from typing import Any

from .texts import DEFAULT_LANGUAGE, say


class EnhanceError(Exception):
    """Something went wrong that the reader of the message can understand and act on."""

    def __init__(self, key: str, **values: Any):
        super().__init__(key)
        self.key, self.values = key, values

    def sentence(self, language: str = DEFAULT_LANGUAGE) -> str:
        """What is wrong and what to do, in one of the catalogue's languages."""
        return say(language, self.key, **self.values)

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
    """The device has too little free memory even for the smallest strip."""


class StorageError(EnhanceError):
    """A file or folder cannot be written: a full disk, or no permission."""


class Cancelled(EnhanceError):
    """The caller set the stop event; nothing half-written is left behind."""


def _again(kind: type[EnhanceError], key: str, values: dict[str, Any]) -> EnhanceError:
    return kind(key, **values)
