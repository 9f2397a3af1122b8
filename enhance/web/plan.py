"""The plan of a run: the effect of the settings on a photo, its problems and its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from ..advice import Advice, format_problem, setting_problem, size_problem, tips
from ..analysis import Analysis
from ..enhancer import Enhancer
from ..errors import SettingsError
from ..i18n import describe_choice, format_duration, name_of, translate
from ..images import SourceImage, inspect_image
from ..json_object import JsonObject
from ..plan import Plan
from ..presets import available_presets
from ..restore.resample import result_size, with_possible_size
from ..settings import AUTO, Settings
from .addresses import Addresses
from .owners import Owner
from .params import call_settings
from .preview import Previews


class Planner:
    """Creates plans. Decoded photos, their analyses and their facts are cached for the next
    plan."""

    def __init__(self, enhancer: Enhancer, previews: Previews, addresses: Addresses):
        self._enhancer = enhancer
        self._previews = previews
        self._addresses = addresses
        self._facts: WeakKeyDictionary[SourceImage, JsonObject] = WeakKeyDictionary()
        self._has_times = False
        """Whether a plan has had times. For the first such plan, each network is timed, which takes
        seconds."""

    def plans(
        self, owner: Owner, path: Path, given: JsonObject, language: str
    ) -> Iterator[JsonObject]:
        """Yield the plan of a run of the file with the settings of an API call, as JSON with texts
        in this language. If no plan has had times yet, yield it without times first.

        - `auto`: what Auto selects at this size, as in `info`, with the sentence `text` and the
          shorter `summary`.
        - `settings`: the values of all settings that the run uses.
        - `faster`: a preset to use instead if the run takes more than two minutes, or None.
        - `photo`: the facts of the file, its largest face or most detailed point as `focus` (shares
          of width and height), and the `address` of its regions, relative to the page, which is
          None for a file that the server did not receive.
        - `result`: the width and height of the result.
        - `presets`: for each installed preset the `estimated_seconds` of its run, also as `text`.
        - `time`: the time of the run, also for a run with two networks and for a queue.
        - `tips`: sentences, each with `solutions`: the text of a button and the values of the
          settings that it changes.
        - `problem`: why the run is not possible with these settings, in the form of a tip, or None.
          The other values are those of a run with its first solution, without a signature.
        - `signature`: the signature of the run. None if a model is not installed.

        Raises EnhanceError if the file is not an image.
        """
        enhancer = self._enhancer
        image = self._previews.image(path)
        wanted, problem = _possible_settings(given, image, language)
        analysis = enhancer.analyse(image)
        planned = by_auto = enhancer.plan(image, wanted)
        if not planned.auto:  # What would Auto select for this size?
            size = Settings(AUTO, **wanted.output_size)
            by_auto = enhancer.plan(image, with_possible_size(size, image.size))
        choice: Any = by_auto.auto
        settings = planned.settings
        plan = {
            "auto": {**choice, "text": "", "summary": ""},
            "settings": settings.as_dict(),
            "estimated_seconds": None,
            "faster": None,
            "photo": self._photo(owner, path, image),
            "result": planned.size._asdict(),
            "presets": {},
            "time": "",
            "tips": [asdict(one) for one in tips(analysis, settings, None, language)],
            "problem": problem and asdict(problem),
            "signature": None if problem else planned.signature or None,
        }
        if not self._has_times:
            yield plan
        auto_seconds = self._seconds(analysis, by_auto.settings)
        preset = name_of(language, "preset", choice["preset"])
        time = format_duration(language, auto_seconds)
        seconds = self._seconds(analysis, settings)
        faster = enhancer.suggest_faster(analysis, settings)
        self._has_times = True
        yield {
            **plan,
            "auto": {
                **choice,
                "text": describe_choice(language, choice, auto_seconds),
                "summary": translate(language, "auto_summary", preset=preset, time=time),
            },
            "estimated_seconds": round(seconds, 2),
            "faster": faster and faster.as_dict(),
            "presets": self._presets(analysis, wanted, {settings.preset: seconds}, language),
            "time": self._time(planned, seconds, language),
            "tips": [asdict(one) for one in tips(analysis, settings, faster, language)],
        }

    def _presets(
        self, analysis: Analysis, wanted: Settings, known: dict[str, float], language: str
    ) -> dict[str, JsonObject]:
        """Return the expected seconds of each installed preset at the requested size, or at its
        largest size."""
        presets: dict[str, JsonObject] = {}
        for name in available_presets():
            if name == AUTO:
                continue
            seconds = known.get(name)
            if seconds is None:
                seconds = self._seconds(analysis, _with_preset(wanted, name, analysis))
            presets[name] = {
                "estimated_seconds": round(seconds, 2),
                "text": format_duration(language, seconds),
            }
        return presets

    def _seconds(self, analysis: Analysis, settings: Settings) -> float:
        return self._enhancer.estimate(*analysis.size, settings, analysis.bits)

    def _time(self, plan: Plan, seconds: float, language: str) -> str:
        about = translate(language, "about_time", time=format_duration(language, seconds))
        if plan.has_second_pass:
            about = translate(language, "about_passes", about=about)
        ahead = self._enhancer.scheduler.count()
        return translate(language, "about_after", about=about, ahead=ahead) if ahead else about

    def _photo(self, owner: Owner, path: Path, image: SourceImage) -> JsonObject:
        facts = self._facts.get(image)
        if facts is None:
            enhancer = self._enhancer
            inspected = inspect_image(
                path, max_pixels=enhancer.max_pixels, max_bytes=enhancer.max_bytes
            )
            facts = {**asdict(inspected), "focus": enhancer.focus(image)}
            self._facts[image] = facts
        return {**facts, "address": self._addresses.region_address(owner, "photo", path)}


def _with_preset(wanted: Settings, preset: str, analysis: Analysis) -> Settings:
    """Return settings with another preset, at the requested size or at the largest size of this
    preset."""
    try:
        settings = Settings(preset, reduce=wanted.reduce, **wanted.output_size)
        result_size(settings, analysis.size)
    except SettingsError:
        return Settings(preset, reduce=wanted.reduce)
    return settings


def _possible_settings(
    given: JsonObject, image: SourceImage, language: str
) -> tuple[Settings, Advice | None]:
    """Return the settings of an API call, and the problem of the first one that is not possible.

    The settings then contain its first solution. Raises EnhanceError if no solution helps.
    """
    changed: JsonObject = {}
    problem = None
    while True:
        found = _settings_or_problem({**given, **changed}, image, language)
        if isinstance(found, Settings):
            return found, problem
        problem = problem or found
        values = found.solutions[0].values
        if values.items() <= changed.items():
            raise SettingsError("unexpected")
        changed |= values


def _settings_or_problem(given: JsonObject, image: SourceImage, language: str) -> Settings | Advice:
    """Return the settings of an API call, or why they are not possible for an image."""
    try:
        settings, encoding = call_settings(given)
    except SettingsError as error:
        return setting_problem(error, given, language)
    if given.get("largest"):
        settings = with_possible_size(settings, image.size)
    try:
        size = result_size(settings, image.size)
    except SettingsError as error:
        return size_problem(error, settings, language)
    return format_problem(encoding, size, language) or settings
