"""What can go wrong with the model files: an error is a key of `errors.toml` and the values of its sentence."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SENTENCES = Path(__file__).with_name("errors.toml")


class ModelFileError(Exception):
    """A model's file is missing, corrupt, not to be had, or not in the manifest; or a clause of that.

    A value that is itself a ModelFileError is said inside the sentence, in the same language.
    """

    def __init__(self, key: str, **values: Any):
        super().__init__(key)
        self.key, self.values = key, values

    def sentence(self, language: str = "en") -> str:
        """What is wrong and what to do, in English ("en") or Simplified Chinese ("zh-CN")."""
        values = {
            name: value.sentence(language) if isinstance(value, ModelFileError) else value
            for name, value in self.values.items()
        }
        return _sentences()[self.key][language].format(**values)

    def __str__(self) -> str:
        return self.sentence()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.key, **self.values), ()


class WeightsFolderError(ModelFileError):
    """The weights folder cannot be read or written: a full disk, or no permission."""


@cache
def _sentences() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(SENTENCES.read_text(encoding="utf-8"))
