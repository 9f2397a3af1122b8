"""Every sentence that a person reads, page, errors and report alike: one catalogue, from a key to English and Chinese.

The sentences lie in the TOML files beside this one, a table for each key; those of the weight files lie with that
package. `{name}` in a sentence is the place of a value.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from weights.errors import SENTENCES as OF_WEIGHTS

LANGUAGES = ("en", "zh-CN")
DEFAULT_LANGUAGE = "en"

_FILES = (*sorted(Path(__file__).parent.glob("*.toml")), OF_WEIGHTS)


def say(language: str, key: str, **values: object) -> str:
    """The sentence of `key` in `language` (one of LANGUAGES), with `values` in its places.

    A value that is an error is said in the same language, and several of them one after the other. Raises KeyError for
    a key that the catalogue lacks.
    """
    return catalogue()[key][language].format(**{name: _said(language, value) for name, value in values.items()})


def name_of(language: str, kind: str, name: str) -> str:
    """What the catalogue calls a `preset`, or another kind of thing; a name that it lacks stands for itself."""
    key = f"{kind}_{name}"
    return say(language, key) if key in catalogue() else name


def spoken(wish: str | None) -> str | None:
    """The language of LANGUAGES that a tag asks for ("zh", "zh-Hans-CN", "en_GB.UTF-8"); None for any other."""
    tag = (wish or "").strip().lower()
    if tag.startswith("zh"):
        return "zh-CN"
    return "en" if tag.startswith("en") else None


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """All sentences: key -> language -> sentence."""
    sentences: dict[str, Mapping[str, str]] = {}
    for path in _FILES:
        for key, sentence in tomllib.loads(path.read_text(encoding="utf-8")).items():
            if key in sentences:
                raise ValueError(f"the key {key} stands twice in the catalogue, the second time in {path.name}")
            sentences[key] = sentence
    return sentences


def _said(language: str, value: object) -> object:
    if isinstance(value, list | tuple):
        return " ".join(str(_said(language, one)) for one in value)
    sentence = getattr(value, "sentence", None)
    return sentence(language) if callable(sentence) else value
