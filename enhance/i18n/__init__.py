"""All texts for users in English and Simplified Chinese, loaded from one TOML file for each
language.

Each file has the same sections and keys. `{name}` in a text is replaced by a value. The section
`language` has the name of the language and its rules.
"""

from __future__ import annotations

import errno
import re
import sys
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..size import Size

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LANGUAGES = ("en", "zh-CN")
DEFAULT_LANGUAGE = "en"
_ROUNDED = " (fp16-rounded)"
"""A suffix of the source of a model."""
_DIRECTION_MARKS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def translate(language: str, key: str, **values: object) -> str:
    """Return the text of `key` in `language`, one of LANGUAGES, with `values` in its placeholders.

    Errors among the values are translated, including common ones of the operating system. The
    values in a list are joined as sentences. Raises KeyError for an unknown key.
    """
    return catalogue(language)[key].format(
        **{name: _localise(language, value) for name, value in values.items()}
    )


def name_of(language: str, kind: str, name: str) -> str:
    """Return the text of the key "{kind}_{name}", such as the name of a preset. Without one, return
    `name` itself."""
    key = f"{kind}_{name}"
    if key not in catalogue():
        return name
    return translate(language, key)


def translate_source(language: str, source: str) -> str:
    """Return the source of a model with its suffix translated."""
    if source.endswith(_ROUNDED):
        return translate(language, "report_rounded", source=source.removesuffix(_ROUNDED))
    return source


def match_language(tag: str | None) -> str | None:
    """Return the one of LANGUAGES that matches a tag such as "zh-Hans-CN" or "en_GB.UTF-8", else
    None."""
    primary = primary_tag(tag or "")
    for language in LANGUAGES:
        if primary_tag(language) == primary:
            return language
    return None


def primary_tag(language: str) -> str:
    """Return the part of a tag that names the language without country and script, such as "zh"."""
    return re.split("[-_.]", language.strip().lower(), maxsplit=1)[0]


def strip_direction_marks(text: str) -> str:
    """Remove the invisible marks that reverse the order of the following letters, as in forged file
    names."""
    return _DIRECTION_MARKS.sub("", text)


def catalogue(language: str = DEFAULT_LANGUAGE) -> Mapping[str, str]:
    """Return all texts of `language` by key."""
    return load_language(language).texts


@dataclass(frozen=True)
class PixelCount:
    """A number of pixels as a value for `translate`, in the units of the language and with this
    many significant digits."""

    count: float
    digits: int = 3

    def message(self, language: str) -> str:
        """Return "12 MP", or "1200 万像素" in Chinese."""
        text = ""
        rules = load_language(language)
        for key, unit in rules.pixel_units.items():
            number = self.count / unit
            shown = _significant(number, self.digits).replace(",", rules.comma)
            text = translate(language, key, n=shown)
            if number >= 1:
                break
        return text


def format_duration(language: str, seconds: float) -> str:
    """Format an expected time with the precision of an estimate: "8 s", "45 s", "3 min" or "1 h 20
    min"."""
    if seconds < 20:
        return translate(language, "seconds", n=max(1, round(seconds)))
    if seconds < 90:
        return translate(language, "seconds", n=5 * round(seconds / 5))
    minutes = round(seconds / 60)
    if minutes < 60:
        return translate(language, "minutes", n=minutes)
    hours, tens = divmod(round(minutes / 10), 6)
    text = translate(language, "hours", n=hours)
    if tens:
        text += f" {translate(language, 'minutes', n=10 * tens)}"
    return text


def describe_preset(language: str, preset: str, choice: Mapping[str, Any] | None) -> str:
    """Return the name of the preset of a result and, if `auto` selected it, the reason. `choice` is
    `info["auto"]`."""
    name = name_of(language, "preset", preset)
    if not choice:
        return name
    reason = translate(language, f"auto_{choice['reason']}")
    return translate(language, "report_auto", preset=name, reason=reason)


def describe_choice(
    language: str, choice: Mapping[str, Any], seconds: float, flags: str = ""
) -> str:
    """Return the preset that `auto` selected, with reason and time: "Sharp and clean, so Precise,
    about 4 s."

    `choice` is `info["auto"]`. `flags` of the command line are added to the name of the preset.
    """
    preset = translate(language, f"preset_{choice['preset']}")
    if flags:
        preset += f" ({flags})"
    reason = translate(language, f"auto_{choice['reason']}")
    time = format_duration(language, seconds)
    return translate(language, "auto_choice", reason=reason, preset=preset, time=time)


def format_seconds(language: str, seconds: float) -> str:
    """Format a measured time as "0.24 s" or "3.1 s", and from 100 s like `format_duration`."""
    if seconds >= 100:
        return format_duration(language, seconds)
    if seconds < 1:
        return translate(language, "seconds", n=f"{seconds:.2f}")
    return translate(language, "seconds", n=f"{seconds:.1f}")


def format_print_size(language: str, size: Size, dpi: int) -> str:
    """Format the print size at `dpi` as "28.4 × 21.3 cm (11.2 × 8.4 in)"."""
    wide = size.width / dpi
    high = size.height / dpi
    return translate(
        language, "print_size", width=2.54 * wide, height=2.54 * high, wide=wide, high=high
    )


def format_bytes(count: int) -> str:
    """Format a file size as "812 B", "24 kB", "3.1 MB" or "1.5 GB", the same in every language."""
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1e3:,.0f} kB"
    if count < 1_000_000_000:
        return f"{count / 1e6:,.1f} MB"
    return f"{count / 1e9:,.1f} GB"


def _significant(number: float, digits: int) -> str:
    """Format a number with `digits` significant digits, and with all digits before the point."""
    if number >= 10 ** (digits - 1):
        return f"{number:,.0f}"
    return f"{number:,.{digits}g}"


@dataclass(frozen=True)
class Language:
    """A language.

    - `name`: in the language itself.
    - `texts`: by key.
    - `space`: what separates two sentences.
    - `comma`: what separates the thousands of a number of pixels.
    - `pixel_units`: the numbers of pixels that it counts in, the largest first, by the key of their
      text.
    """

    name: str
    texts: Mapping[str, str]
    space: str
    comma: str
    pixel_units: Mapping[str, float]


@cache  # One copy for the process, because the file is part of the package and takes 6 ms.
def load_language(language: str) -> Language:
    file = Path(__file__).with_name(f"{language}.toml")
    sections = tomllib.loads(file.read_text(encoding="utf-8"))
    rules = sections.pop("language")
    return Language(texts=dict(ChainMap(*sections.values())), **rules)


def _localise(language: str, value: object) -> object:
    if isinstance(value, list | tuple):
        return load_language(language).space.join(str(_localise(language, one)) for one in value)
    if isinstance(value, OSError):
        key = f"os_{errno.errorcode.get(value.errno or 0, '')}"
        return catalogue(language).get(key) or value.strerror or str(value)
    message = getattr(value, "message", None)
    return message(language) if callable(message) else value
