"""What is tried: which photos, spoilt how, by which presets and values. Another question is another trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from enhance import Settings

from .cases import Case, Networks, bicubic, finished, jpeg_case
from .measures import ALL, FLAT, FSIM, GMSD, HAARPSI, KEEP, MDSI, PSNR, QUICK, SSIM, Measure
from .photos import DRAWN, GREY, REPORTED, TUNING, Pixels, Source, made_small, middle, truth_of
from .spoiling import DEGRADATIONS, HAZE, OF_DRAWINGS, SOFT, Degradation


@dataclass(frozen=True, eq=False)
class Trial:
    """Photos, spoilt in some ways, enlarged by bicubic and by the settings of each of the `ways`, and measured."""

    name: str
    sources: Mapping[str, Source]
    degradations: tuple[Degradation, ...]
    ways: Mapping[str, Settings]
    measures: tuple[Measure, ...]
    factor: int = 4
    """How many times smaller than the truth what is given is."""

    @property
    def models(self) -> set[str]:
        """The models that it needs."""
        return {model for settings in self.ways.values() for model in settings.weights.models}


Means = tuple[float, ...]
"""The mean over the photos, for each strength of a degradation."""
Table = dict[tuple[str, str], dict[str, Means]]
"""By degradation and by what made the result, the means of every measure by its name."""


def examine(trial: Trial, networks: Networks) -> Table:
    """Everything that a trial asks for."""
    truths = [truth_of(source) for source in trial.sources.values()]
    table: Table = {}
    for degradation in trial.degradations:
        strengths = [
            [_case(truth, spoil(made_small(truth, trial.factor)), quality) for truth in truths]
            for spoil, quality in zip(degradation.strengths, degradation.qualities, strict=False)
        ]
        for way in ("bicubic", *trial.ways):
            settings = trial.ways.get(way)
            means = [_means(cases, settings, trial.measures, networks) for cases in strengths]
            table[degradation.name, way] = {name: tuple(one[name] for one in means) for name in means[0]}
    return table


def _case(truth: Pixels, given: Pixels, quality: int | None) -> Case:
    return Case(truth, given) if quality is None else jpeg_case(truth, given, quality)


def _means(
    cases: list[Case], settings: Settings | None, measures: tuple[Measure, ...], networks: Networks
) -> dict[str, float]:
    """Every measure's mean over some cases, by its name; without settings of the bicubic enlargement."""
    made = [bicubic(case) if settings is None else finished(case, settings, networks) for case in cases]
    return {
        one.name: float(np.mean([one.of(case, result) for case, result in zip(cases, made, strict=True)]))
        for one in measures
    }


def _preset(name: str, **changes: Any) -> Settings:
    return Settings.from_preset(name, **changes)


def main_trial(sources: Mapping[str, Source] = REPORTED) -> Trial:
    ways = {name: _preset(name) for name in ("original", "gentle")}
    return Trial("presets", sources, DEGRADATIONS, ways, ALL)


def fast_trial(sources: Mapping[str, Source] = REPORTED) -> Trial:
    neutral = {"strength": 1.0, "fidelity": 0.0, "sharpen": 0.0}
    ways = {}
    for denoise in (0.0, 0.5, 1.0):
        ways[f"fast's network, denoise {denoise:g}"] = _preset("fast", denoise=denoise, **neutral)
        ways[f"fast, denoise {denoise:g}"] = _preset("fast", denoise=denoise)
    ways["gentle"] = _preset("gentle")
    return Trial("fast", sources, DEGRADATIONS, ways, QUICK)


def precise_trial(sources: Mapping[str, Source] = REPORTED) -> Trial:
    ways = {name: _preset(name) for name in ("original", "gentle")}
    ways["precise's network"] = _preset("precise", strength=1.0, fidelity=0.0)
    ways["precise"] = _preset("precise")
    return Trial("precise", sources, DEGRADATIONS, ways, (PSNR, HAARPSI, FSIM, GMSD, MDSI, KEEP, FLAT))


def haze_trial(sources: Mapping[str, Source] = REPORTED) -> Trial:
    sources = {name: source for name, source in sources.items() if name not in GREY}
    ways = {"gentle": _preset("gentle"), "dehaze, strength 0.5": _preset("dehaze", strength=0.5)}
    return Trial("haze", sources, HAZE, ways | {"dehaze": _preset("dehaze")}, QUICK)


def drawn_trial() -> Trial:
    ways = {name: _preset(name) for name in ("gentle", "anime", "anime-fast", "precise")}
    return Trial("drawings", DRAWN, OF_DRAWINGS, ways, QUICK)


def soft_trial(sources: Mapping[str, Source] = REPORTED) -> Trial:
    """Soft photos at their own size, averaged down before the network or not."""
    pieces = {name: middle(source) for name, source in list(sources.items())[:4]}
    ways = {f"reduce {reduce}": _preset("gentle", reduce=reduce, scale=1) for reduce in (1, 2, 4)}
    ways |= {f"network alone, reduce {reduce}": _preset("original", reduce=reduce, scale=1) for reduce in (1, 2)}
    return Trial("soft", pieces, SOFT, ways, (PSNR, SSIM, HAARPSI, FSIM, GMSD, MDSI), factor=1)


def trials(*, tuning: bool = False) -> tuple[Trial, ...]:
    """All of them, on the photos that are reported or on those that values are chosen on."""
    sources = TUNING if tuning else REPORTED
    photos = (main_trial, fast_trial, precise_trial, haze_trial)
    return *(made(sources) for made in photos), drawn_trial(), soft_trial(sources)
