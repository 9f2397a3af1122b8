"""Suggestions for a photo, and solutions for settings that are not possible."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .analysis import Analysis
from .analysis.haze import HAZY
from .enhancer import Faster
from .errors import EnhanceError, SettingsError
from .formats.encoding import FORMATS, Encoding
from .i18n import catalogue, format_duration, name_of, translate
from .json_object import JsonObject
from .presets import available_presets
from .restore.resample import with_possible_size
from .settings import DEFAULT_PRESET, SIZE_FIELDS, Settings
from .size import Size

_DEFAULTS = {"preset": DEFAULT_PRESET, "tuning": True, **asdict(Encoding())}
"""The defaults of settings. Others depend on the preset or the photo."""


@dataclass(frozen=True)
class Solution:
    """The text of a button, and the values of settings that it changes. None stands for the default
    of a setting."""

    text: str
    values: JsonObject


@dataclass(frozen=True)
class Advice:
    """A suggestion or a problem, with alternative solutions."""

    text: str
    solutions: tuple[Solution, ...] = ()


def tips(
    analysis: Analysis, settings: Settings, faster: Faster | None, language: str
) -> list[Advice]:
    """Return the suggestions for haze and faces, and for the `faster` preset of a slow run."""
    found = []
    suited = {"dehaze": analysis.haze >= HAZY, "face": bool(analysis.faces)}
    for preset, is_suited in suited.items():
        if is_suited and preset != settings.preset:
            solutions = ()
            if preset in available_presets():
                name = name_of(language, "preset", preset)
                solutions = (_use_instead(language, name, preset=preset),)
            found.append(Advice(translate(language, f"hint_{preset}"), solutions))
    if faster is not None:
        label = translate(
            language,
            "use_preset",
            name=name_of(language, "preset", faster.preset),
            time=format_duration(language, faster.seconds),
            selected=format_duration(language, faster.selected_seconds),
        )
        solution = Solution(label, {"preset": faster.preset})
        found.append(Advice(translate(language, "slow_offer"), (solution,)))
    return found


def size_problem(error: SettingsError, settings: Settings, language: str) -> Advice:
    """Return the problem of a size that is too large or too small for a photo.

    Its solution is the nearest possible size. A print keeps its size at another resolution.
    """
    size = Size(error.values["width"], error.values["height"])
    problems = {"size_large": "too_large_here", "size_small": "too_small_here"}
    possible = with_possible_size(settings, size)
    bound = possible.describe_size(language)
    wanted = settings.describe_size(language)
    text = translate(
        language,
        problems[error.key],
        wanted=f"{wanted[0].upper()}{wanted[1:]}",
        bound=bound,
        **size._asdict(),
    )
    before = settings.output_size
    changed = {name: value for name, value in possible.output_size.items() if value != before[name]}
    label = translate(language, "use_size", size=bound)
    if changed.keys() == {"dpi"}:
        label = translate(language, "use_dpi", dpi=possible.dpi)
    return Advice(text, (Solution(label, changed),))


def setting_problem(error: SettingsError, given: JsonObject, language: str) -> Advice:
    """Return the problem of a setting that is not possible. `given` are the values by name."""
    return Advice(_message(language, error), (_solution(error, given, language),))


def _message(language: str, error: SettingsError) -> str:
    """Return the message of an error, with the names that the controls of the page have."""
    values = error.values
    if "preset" in values:
        values = values | {"preset": name_of(language, "preset", values["preset"])}
    if "low" in values:
        label = values["setting"]
        if label in ("long_side", "megapixels"):
            label = f"size_{label}"
        values = values | {"setting": catalogue(language)[label]}
    return translate(language, error.key, **values)


def _solution(error: SettingsError, given: JsonObject, language: str) -> Solution:
    """Return the largest scale of a preset, otherwise the default of a wrong setting."""
    if error.key == "setting_one_size":
        sizes = {name: None for name in SIZE_FIELDS if given[name] is not None}
        return Solution(translate(language, "use_default"), sizes)
    if error.key == "format_unknown":
        return _use_png(language)
    if error.key == "scale_of_preset":
        scale = float(error.values["high"])
        return _use_instead(language, f"{scale:g}", scale=scale)
    name = error.values["setting"]
    return Solution(translate(language, "use_default"), {name: _DEFAULTS.get(name)})


def format_problem(encoding: Encoding, size: Size, language: str) -> Advice | None:
    """Return the problem of a format that cannot hold a result of this size, or None."""
    try:
        encoding.check(size)
    except EnhanceError as error:
        return Advice(error.message(language), (_use_png(language),))
    return None


def _use_png(language: str) -> Solution:
    return _use_instead(language, FORMATS["png"].name, format="png")


def _use_instead(language: str, name: str, **values: Any) -> Solution:
    return Solution(translate(language, "use_instead", name=name), values)
