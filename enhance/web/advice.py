"""Suggestions for a photo, and solutions for settings that are not possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..analysis import Analysis
from ..analysis.auto import LONG_SECONDS
from ..analysis.haze import HAZY
from ..enhancer import Enhancer, Faster
from ..errors import EnhanceError, SettingsError
from ..formats.encoding import FORMATS, Encoding
from ..i18n import catalogue, format_duration, name_of, translate
from ..images import SourceImage
from ..presets import available_presets
from ..restore.resample import has_second_pass, result_size, with_largest_print, with_possible_size
from ..settings import SIZE_FIELDS, Settings, network_scale
from .params import API_DEFAULTS, Values, call_settings

_SIZE_ERRORS = ("size_large", "size_small")
_SETTINGS_OF_ERRORS = {
    "preset_unknown": "preset",
    "scale_reduced": "scale",
    "quality_range": "quality",
    "metadata_unknown": "metadata",
    "background_unknown": "background",
}
"""The settings of errors whose values do not contain the name of the setting."""


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
    for preset, is_found in {"dehaze": analysis.haze >= HAZY, "face": bool(analysis.faces)}.items():
        if is_found and preset != settings.preset:
            label = translate(language, "use_instead", name=name_of(language, "preset", preset))
            solutions = (Solution(label, {"preset": preset}),) if preset in available else ()
            found.append(Advice(translate(language, f"hint_{preset}"), solutions))
    if faster is not None:
        name = name_of(language, "preset", faster.preset)
        label = _use_faster(language, name, faster.seconds, faster.selected_seconds)
        solution = Solution(label, {"preset": faster.preset})
        found.append(Advice(translate(language, "slow_offer"), (solution,)))
    return found


def smaller_size(
    enhancer: Enhancer, analysis: Analysis, settings: Settings, seconds: float, language: str
) -> Advice | None:
    """Return the suggestion of 4x, if a larger size takes long. A run with the settings takes
    `seconds`."""
    is_large = network_scale(settings) == 4 and has_second_pass(
        settings, analysis.height, analysis.width
    )
    if not is_large or seconds <= LONG_SECONDS:
        return None
    smaller = settings.changed(scale=4)
    less = enhancer.estimate(analysis.width, analysis.height, smaller, analysis.bits)
    label = _use_faster(language, translate(language, "scale_of", scale=4), less, seconds)
    return Advice(
        translate(language, "slow_size"), (Solution(label, changed_size(settings, smaller)),)
    )


def size_solutions(
    language: str, error: SettingsError, settings: Settings, height: int, width: int
) -> Iterator[tuple[str, Settings]]:
    """Yield the text of each button that solves a size error, and the settings with that size.

    The size is the nearest possible one. A print keeps its size or its resolution.
    """
    possible = with_possible_size(settings, height, width)
    is_large = error.key == "size_large"
    if not settings.is_print or replace(possible, dpi=settings.dpi) != settings:
        label = "use_largest" if is_large else "use_size"
        yield translate(language, label, size=possible.describe_size(language)), possible
        return
    yield translate(language, "use_dpi", dpi=possible.dpi), possible
    if is_large:
        largest = with_largest_print(settings, height, width)
        sides = " × ".join(
            f"{side:.3g}" for side in (largest.print_width, largest.print_height) if side
        )
        size = translate(language, "print_sides", sides=sides)
        yield translate(language, "use_largest_print", size=size), largest


def changed_size(before: Settings, after: Settings) -> dict[str, Any]:
    """Return the values of the output size that differ."""
    return {
        name: getattr(after, name)
        for name in SIZE_FIELDS
        if getattr(after, name) != getattr(before, name)
    }


def possible_settings(
    given: Values, image: SourceImage, language: str
) -> tuple[Settings, Advice | None]:
    """Return the settings of an API call, and the problem of the first one that is not possible.

    The settings then contain its first solution. Raises EnhanceError if no solution helps.
    """
    changed: dict[str, Any] = {}
    problem = None
    while True:
        asked = {**given, **changed}
        try:
            settings, encoding = call_settings(asked)
            if asked.get("largest"):
                settings = with_possible_size(settings, image.height, image.width)
            height, width = result_size(settings, image.height, image.width)
        except SettingsError as error:
            found = _problem(error, asked, image, language)
        else:
            found = _format_problem(encoding, width, height, language)
            if found is None:
                return settings, problem
        problem = problem or found
        values = found.solutions[0].values
        if values.items() <= changed.items():
            raise SettingsError("unexpected")
        changed |= values


def _problem(error: SettingsError, asked: Values, image: SourceImage, language: str) -> Advice:
    if error.key in _SIZE_ERRORS:
        settings, _ = call_settings(asked)
        sized = size_solutions(language, error, settings, image.height, image.width)
        solutions = tuple(Solution(label, changed_size(settings, one)) for label, one in sized)
        return Advice(_size_message(language, error, settings), solutions)
    return Advice(_message(language, error), (_solution(error, asked, language),))


def _size_message(language: str, error: SettingsError, settings: Settings) -> str:
    """Return the message of an error of the size, with the nearest possible size."""
    height = error.values["height"]
    width = error.values["width"]
    wanted = settings.describe_size(language)
    bound = with_possible_size(settings, height, width).describe_size(language)
    key = "too_large_here" if error.key == "size_large" else "too_small_here"
    size = {"wanted": wanted[0].upper() + wanted[1:], "bound": bound}
    return translate(language, key, **size, width=width, height=height)


def _message(language: str, error: SettingsError) -> str:
    """Return the message of an error, with the labels that the controls of the page have."""
    values = error.values
    if error.key in ("setting_range", "setting_whole"):
        name = values["setting"]
        label = f"size_{name}" if name in ("long_side", "megapixels") else name
        values = values | {"setting": catalogue(language)[label]}
    return translate(language, error.key, **values)


def _solution(error: SettingsError, asked: Values, language: str) -> Solution:
    """Return the nearest possible value of a wrong setting, otherwise its default."""
    if error.key == "setting_one_size":
        sizes = {name: None for name in SIZE_FIELDS if asked[name] is not None}
        return Solution(translate(language, "use_default"), sizes)
    if error.key == "format_unknown":
        return _use_png(language)
    name = error.values.get("setting") or _SETTINGS_OF_ERRORS[error.key]
    value = (
        _nearest(asked[name], error.values)
        if error.key in ("setting_range", "setting_whole")
        else None
    )
    if value is None:
        return Solution(translate(language, "use_default"), {name: API_DEFAULTS.get(name)})
    return Solution(translate(language, "use_instead", name=f"{value:g}"), {name: value})


def _nearest(value: object, limits: Mapping[str, Any]) -> float | None:
    """Return the number between two limits that is nearest to a value, or None if the value is not
    a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    low = float(limits["low"])
    high = float(limits["high"])
    if low <= value <= high:
        return round(value)
    return high if value > high else low


def _format_problem(encoding: Encoding, width: int, height: int, language: str) -> Advice | None:
    try:
        encoding.check(width, height)
    except EnhanceError as error:
        return Advice(error.message(language), (_use_png(language),))
    return None


def _use_png(language: str) -> Solution:
    return Solution(translate(language, "use_instead", name=FORMATS["png"].name), {"format": "png"})


def _use_faster(language: str, name: str, seconds: float, selected_seconds: float) -> str:
    time, selected = (format_duration(language, one) for one in (seconds, selected_seconds))
    return translate(language, "use_preset", name=name, time=time, selected=selected)
