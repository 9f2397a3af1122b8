"""All texts for users in English and Simplified Chinese, loaded from one TOML file for each language.

Each file has the same sections and keys. `{name}` in a text is replaced by a value.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path

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
"""What `weights` says of a copy behind the name of its source, or in place of it, and the key of that."""

_FEW = 3
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def translate(language: str, key: str, **values: object) -> str:
    """The sentence of `key` in `language` (one of LANGUAGES), with `values` in its places.

    A value that is an error is said in the same language, and several of them one after the other. Raises KeyError for
    a key that the catalogue lacks.
    """
    return catalogue(language)[key].format(**{name: _said(language, value) for name, value in values.items()})


def name_of(language: str, kind: str, name: str) -> str:
    """What the catalogue calls a `preset`, or another kind of thing; a name that it lacks stands for itself."""
    key = f"{kind}_{name}"
    return translate(language, key) if key in catalogue() else name


def translate_source(language: str, source: str) -> str:
    """Where a model's weights came from; what is said of the copy is said in the language, names stay as they are."""
    ending = next((ending for ending in _SOURCES if source.endswith(ending)), None)
    return translate(language, _SOURCES[ending], source=source.removesuffix(ending)) if ending else source


def match_language(wish: str | None) -> str | None:
    """The language of LANGUAGES that a tag asks for ("zh", "zh-Hans-CN", "en_GB.UTF-8"); None for any other."""
    tag = (wish or "").strip().lower()
    if tag.startswith("zh"):
        return "zh-CN"
    return "en" if tag.startswith("en") else None


def strip_direction_marks(text: str) -> str:
    """The text without the invisible marks that turn the order of the letters after them, as in a forged file name."""
    return _TURNING.sub("", text)


@cache
def catalogue(language: str = DEFAULT_LANGUAGE) -> Mapping[str, str]:
    """Return all texts of `language` by key."""
    return {key: text for section in _sections(language).values() for key, text in section.items()}


@cache
def section(language: str, name: str) -> Mapping[str, str]:
    """Return the texts of one section of a language's file (`page`, `names`, `errors`, `models`, `report`, `api`)."""
    return _sections(language)[name]


@dataclass(frozen=True)
class PixelCount:
    """A number of pixels, which the sentence that it stands in says in millions, or as Chinese counts them."""

    count: float

    def sentence(self, language: str) -> str:
        """100 megapixels; in Chinese by ten thousands, and by hundred millions from there on."""
        if match_language(language) == "en":
            return translate(language, "megapixels", n=_short(self.count / 1e6))
        large = self.count >= 1e8
        return translate(
            language, "pixels_large" if large else "megapixels", n=_short(self.count / (1e8 if large else 1e4))
        )


def format_duration(language: str, seconds: float) -> str:
    """A length of time as a person says it: 8 s, 3 min, 1 h 20 min."""
    if seconds < 100:
        return translate(language, "seconds", n=max(1, round(seconds)))
    minutes = round(seconds / 60)
    if minutes < 60:
        return translate(language, "minutes", n=minutes)
    hours = translate(language, "hours", n=minutes // 60)
    return hours if minutes % 60 == 0 else f"{hours} {translate(language, 'minutes', n=minutes % 60)}"


def format_seconds(language: str, seconds: float) -> str:
    """A measured time: 0.24 s, 3.1 s, and from 100 s on like `format_duration`."""
    if seconds >= 100:
        return format_duration(language, seconds)
    return translate(language, "seconds", n=f"{seconds:.2f}" if seconds < 1 else f"{seconds:.1f}")


def format_print_size(language: str, width: int, height: int, *, short: bool = False) -> str:
    """How large a picture of so many pixels prints at 300 dpi: 28.4 × 21.3 cm (11.2 × 8.4 in)."""
    inches = width / 300, height / 300
    (wide, high), (across, down) = ([f"{unit * side:,.1f}" for side in inches] for unit in (1, 2.54))
    if short:
        return translate(language, "print_size_short", width=across, height=down)
    return translate(language, "print_size", width=across, height=down, wide=wide, high=high)


def format_bytes(count: int) -> str:
    """The size of a file, alike in every language: 812 B, 24 kB, 3.1 MB."""
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1e3:,.0f} kB"
    return f"{count / 1e6:,.1f} MB"


def format_names(language: str, names: Sequence[str]) -> str:
    """Names in a sentence; of many the first ones."""
    said = reduce(lambda names, name: translate(language, "names_joined", names=names, name=name), names[:_FEW])
    return said if len(names) <= _FEW else translate(language, "names_more", names=said, n=len(names) - _FEW)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


@cache
def _sections(language: str) -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(Path(__file__).with_name(f"{language}.toml").read_text(encoding="utf-8"))


def _said(language: str, value: object) -> object:
    if isinstance(value, list | tuple):
        return " ".join(str(_said(language, one)) for one in value)
    sentence = getattr(value, "sentence", None)
    return sentence(language) if callable(sentence) else value


def wrap(text: str, width: Callable[[str], float], within: float) -> list[str]:
    """Lines no wider than `within`, broken after spaces and hyphens, and anywhere in Chinese and in long words."""
    lines, line = [], ""
    for word in _words(text):
        if width(line + word.rstrip()) <= within:
            line += word
            continue
        if line:
            lines.append(line.rstrip())
        while width(word.rstrip()) > within:
            fits = next(n for n in range(len(word), 0, -1) if n == 1 or width(word[:n]) <= within)
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line.rstrip()] if line.strip() else lines


def _words(text: str) -> list[str]:
    """The pieces between which a line may be broken, each with the space behind it."""
    words: list[str] = []
    for letter in text:
        closes = letter in "，。；：！？、）》”’…%"
        if words and (letter == " " or closes or not (_breaks_after(words[-1]) or _is_wide(letter))):
            words[-1] += letter
        else:
            words.append(letter)
    return words


def _breaks_after(word: str) -> bool:
    return word[-1] in " -_/" or (_is_wide(word[-1]) and word[-1] not in "（《“‘")


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF" or letter == "□"
