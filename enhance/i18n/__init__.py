"""All texts for users in English and Simplified Chinese, loaded from one TOML file for each
language.

Each file has the same sections and keys. `{name}` in a text is replaced by a value. The section
`language` has the name of the language and its rules.
"""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LANGUAGES = ("en", "zh-CN")
DEFAULT_LANGUAGE = "en"
_SOURCES = {
    " (fp16-rounded)": "report_rounded",
    " (its cache)": "report_from_cache",
    "official file (origin not recorded)": "report_unrecorded",
}
"""Suffixes of the source of a model, as the model store records it, and the keys of their texts."""

_WIDE, _OPENING, _CLOSING = "\u2e80-\uffef□", "（《“‘", "，。；：！？、）》”’…%"
"""Characters next to which a line can be broken, those that end no line, and those that begin
none."""
_WORDS = re.compile(
    rf"[{_OPENING}]*(?:[^{_WIDE}{_OPENING} \-_/]+|.)[{_CLOSING}]*[ \-_/]*", re.DOTALL
)
"""The parts between which a line can be broken: a word or a Chinese character, with its punctuation
and spaces."""
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
    return translate(language, key) if key in catalogue() else name


def translate_source(language: str, source: str) -> str:
    """Return the source of a model with its suffix translated."""
    ending = next((ending for ending in _SOURCES if source.endswith(ending)), None)
    return (
        translate(language, _SOURCES[ending], source=source.removesuffix(ending))
        if ending
        else source
    )


def match_language(tag: str | None) -> str | None:
    """Return the one of LANGUAGES that matches a tag such as "zh-Hans-CN" or "en_GB.UTF-8", else
    None."""
    primary = primary_tag(tag or "")
    return next((language for language in LANGUAGES if primary_tag(language) == primary), None)


def primary_tag(language: str) -> str:
    """Return the part of a tag that names the language without country and script, such as "zh"."""
    return re.split("[-_.]", language.strip().lower(), maxsplit=1)[0]


def sentence_space(language: str) -> str:
    """Return what separates two sentences."""
    return str(_file(language)["language"]["space"])


def strip_direction_marks(text: str) -> str:
    """Remove the invisible marks that reverse the order of the following letters, as in forged file
    names."""
    return _DIRECTION_MARKS.sub("", text)


@cache
def catalogue(language: str = DEFAULT_LANGUAGE) -> Mapping[str, str]:
    """Return all texts of `language` by key."""
    sections = (texts for name, texts in _file(language).items() if name != "language")
    return {key: text for texts in sections for key, text in texts.items()}


def pixel_units(language: str) -> Mapping[str, float]:
    """Return the numbers of pixels that a language counts in, the largest first, by the key of
    their text."""
    return _file(language)["language"]["pixel_units"]


@dataclass(frozen=True)
class PixelCount:
    """A number of pixels as a value for `translate`, in the units of the language."""

    count: float

    def message(self, language: str) -> str:
        """Return "100 MP", or "1 亿像素" in Chinese."""
        units = list(pixel_units(language).items())
        key, unit = next((one for one in units if self.count >= one[1]), units[-1])
        return translate(language, key, n=_three_digits(self.count / unit))


def format_duration(language: str, seconds: float) -> str:
    """Format an expected time with the precision of an estimate: "8 s", "45 s", "3 min" or "1 h 20
    min"."""
    if seconds < 90:
        return translate(
            language,
            "seconds",
            n=max(1, round(seconds) if seconds < 20 else 5 * round(seconds / 5)),
        )
    minutes = round(seconds / 60)
    if minutes < 60:
        return translate(language, "minutes", n=minutes)
    hours, tens = divmod(round(minutes / 10), 6)
    text = translate(language, "hours", n=hours)
    return f"{text} {translate(language, 'minutes', n=10 * tens)}" if tens else text


def describe_preset(language: str, preset: str, choice: Mapping[str, Any] | None) -> str:
    """Return the name of the preset of a result and, if `auto` selected it, the reason. `choice` is
    `info["auto"]`."""
    name = name_of(language, "preset", preset)
    reason = choice and translate(language, f"auto_{choice['reason']}")
    return translate(language, "report_auto", preset=name, reason=reason) if reason else name


def describe_choice(
    language: str, choice: Mapping[str, Any], seconds: float, flags: str = ""
) -> str:
    """Return the preset that `auto` selected, with reason and time: "Sharp and clean, so Precise,
    about 4 s."

    `choice` is `info["auto"]`. `flags` of the command line are added to the name of the preset.
    """
    return translate(
        language,
        "auto_choice",
        reason=translate(language, f"auto_{choice['reason']}"),
        preset=translate(language, f"preset_{choice['preset']}") + (f" ({flags})" if flags else ""),
        time=format_duration(language, seconds),
    )


def format_seconds(language: str, seconds: float) -> str:
    """Format a measured time as "0.24 s" or "3.1 s", and from 100 s like `format_duration`."""
    if seconds >= 100:
        return format_duration(language, seconds)
    return translate(language, "seconds", n=f"{seconds:.2f}" if seconds < 1 else f"{seconds:.1f}")


def format_print_size(
    language: str, width: int, height: int, *, dpi: int = 300, short: bool = False
) -> str:
    """Format the print size at `dpi` as "28.4 × 21.3 cm (11.2 × 8.4 in)"; `short` omits the
    inches."""
    inches = width / dpi, height / dpi
    (wide, high), (across, down) = (
        [f"{unit * side:,.1f}" for side in inches] for unit in (1, 2.54)
    )
    if short:
        return translate(language, "print_size_short", width=across, height=down)
    return translate(language, "print_size", width=across, height=down, wide=wide, high=high)


def format_bytes(count: int) -> str:
    """Format a file size as "812 B", "24 kB", "3.1 MB" or "1.5 GB", the same in every language."""
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1e3:,.0f} kB"
    return f"{count / 1e6:,.1f} MB" if count < 1_000_000_000 else f"{count / 1e9:,.1f} GB"


def _three_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


@cache
def _file(language: str) -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(Path(__file__).with_name(f"{language}.toml").read_text(encoding="utf-8"))


def _localise(language: str, value: object) -> object:
    if isinstance(value, list | tuple):
        return sentence_space(language).join(str(_localise(language, one)) for one in value)
    if isinstance(value, OSError):
        key = f"os_{errno.errorcode.get(value.errno or 0, '')}"
        return catalogue(language).get(key) or value.strerror or str(value)
    message = getattr(value, "message", None)
    return message(language) if callable(message) else value


def wrap(text: str, width: Callable[[str], float], max_width: float) -> list[str]:
    """Break text into lines of at most `max_width`, after spaces and hyphens, and anywhere in
    Chinese and long words.

    `width(text)` is the width of a text, in the unit of `max_width`.
    """
    lines = [""]
    for word in _WORDS.findall(text):
        for part in [word] if width(word.rstrip()) <= max_width else word:
            if lines[-1] and width(lines[-1] + part.rstrip()) > max_width:
                lines.append("")
            lines[-1] += part
    return [line.rstrip() for line in lines if line.strip()]
