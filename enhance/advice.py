"""Suggestions for a photo, and solutions for settings that are not possible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from .analysis import Analysis
from .analysis.haze import HAZY
from .enhancer import Faster
from .errors import EnhanceError, SettingsError
from .formats.encoding import FORMATS, Encoding
from .i18n import catalogue, format_duration, name_of, translate
from .presets import available_presets
from .restore.resample import with_possible_size
from .settings import DEFAULT_PRESET, SIZE_FIELDS, Settings

_SETTINGS_OF_ERRORS = {
    "preset_unknown": "preset",
    "scale_reduced": "scale",
    "quality_range": "quality",
    "metadata_unknown": "metadata",
    "background_unknown": "background",
}
"""The settings of errors whose values do not contain the name of the setting."""
_DEFAULTS = {"preset": DEFAULT_PRESET, "tuning": True, **asdict(Encoding())}
"""The defaults of settings. Others depend on the preset or the photo."""


@dataclass(frozen=True)
class Solution:
    """The text of a button, and the values of settings that it changes. None stands for the default
    of a setting."""

    text: str
    values: dict[str, Any]


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
    available = available_presets()
    suited = {"dehaze": analysis.haze >= HAZY, "face": bool(analysis.faces)}
    for preset, is_suited in suited.items():
        if not is_suited or preset == settings.preset:
            continue
        solutions: tuple[Solution, ...] = ()
        if preset in available:
            label = translate(language, "use_instead", name=name_of(language, "preset", preset))
            solutions = (Solution(label, {"preset": preset}),)
        found.append(Advice(translate(language, f"hint_{preset}"), solutions))
    if faster is not None:
        name = name_of(language, "preset", faster.preset)
        label = _use_faster(language, name, faster.seconds, faster.selected_seconds)
        solution = Solution(label, {"preset": faster.preset})
        found.append(Advice(translate(language, "slow_offer"), (solution,)))
    return found


def size_problem(error: SettingsError, settings: Settings, language: str) -> Advice:
    """Return the problem of a size that is too large or too small for a photo.

    Its solution is the nearest possible size. A print keeps its size at another resolution.
    """
    height = error.values["height"]
    width = error.values["width"]
    problem = "too_small_here"
    if error.key == "size_large":
        problem = "too_large_here"
    possible = with_possible_size(settings, height, width)
    bound = possible.describe_size(language)
    wanted = settings.describe_size(language)
    text = translate(
        language,
        problem,
        wanted=f"{wanted[0].upper()}{wanted[1:]}",
        bound=bound,
        width=width,
        height=height,
    )
    label = translate(language, "use_size", size=bound)
    if settings.is_print and replace(possible, dpi=settings.dpi) == settings:
        label = translate(language, "use_dpi", dpi=possible.dpi)
    return Advice(text, (Solution(label, _changed_size(settings, possible)),))


def _changed_size(before: Settings, after: Settings) -> dict[str, Any]:
    """Return the values of the output size that differ."""
    return {
        name: getattr(after, name)
        for name in SIZE_FIELDS
        if getattr(after, name) != getattr(before, name)
    }


def setting_problem(error: SettingsError, given: Mapping[str, Any], language: str) -> Advice:
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


def _solution(error: SettingsError, given: Mapping[str, Any], language: str) -> Solution:
    """Return the largest scale of a preset, otherwise the default of a wrong setting."""
    if error.key == "setting_one_size":
        sizes = {name: None for name in SIZE_FIELDS if given[name] is not None}
        return Solution(translate(language, "use_default"), sizes)
    if error.key == "format_unknown":
        return _use_png(language)
    if error.key == "scale_of_preset":
        scale = float(error.values["high"])
        return Solution(translate(language, "use_instead", name=f"{scale:g}"), {"scale": scale})
    name = error.values.get("setting") or _SETTINGS_OF_ERRORS[error.key]
    return Solution(translate(language, "use_default"), {name: _DEFAULTS.get(name)})


def format_problem(encoding: Encoding, width: int, height: int, language: str) -> Advice | None:
    """Return the problem of a format that cannot hold a result of this size, or None."""
    try:
        encoding.check(width, height)
    except EnhanceError as error:
        return Advice(error.message(language), (_use_png(language),))
    return None


def _use_png(language: str) -> Solution:
    return Solution(translate(language, "use_instead", name=FORMATS["png"].name), {"format": "png"})


def _use_faster(language: str, name: str, seconds: float, selected_seconds: float) -> str:
    time = format_duration(language, seconds)
    selected = format_duration(language, selected_seconds)
    return translate(language, "use_preset", name=name, time=time, selected=selected)
