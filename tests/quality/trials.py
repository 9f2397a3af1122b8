"""Trials: photos, degradations, and the settings that are compared on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from enhance import Settings

from .cases import Case, Networks, bicubic, restore
from .degradations import DEGRADATIONS, DRAWING_DEGRADATIONS, HAZE, SOFT, Degradation
from .measures import ALL, FLAT, FSIM, GMSD, HAARPSI, KEEP, MDSI, PSNR, QUICK, SSIM, Measure
from .photos import DRAWINGS, GREY, REPORTED, TUNING, Source, downscale, middle, reference_photo


@dataclass(frozen=True, eq=False)
class Trial:
    """Degraded photos that are upscaled bicubically and with the settings of each of the `methods`."""

    name: str
    sources: Mapping[str, Source]
    degradations: tuple[Degradation, ...]
    methods: Mapping[str, Settings]
    measures: tuple[Measure, ...]
    factor: int = 4
    """The scale of the reference relative to the degraded photo."""

    @property
    def models(self) -> set[str]:
        """The models that the trial needs."""
        return {model for settings in self.methods.values() for model in settings.weights.models}


Means = tuple[float, ...]
"""The mean over the photos, for each strength of a degradation."""
Table = dict[tuple[str, str], dict[str, Means]]
"""The means of each measure by its name, by degradation and method."""


def measure_trial(trial: Trial, networks: Networks) -> Table:
    """Return the measurements of a trial."""
    references = [reference_photo(source) for source in trial.sources.values()]
    table: Table = {}
    for degradation in trial.degradations:
        strengths = [
            [Case(reference, degrade(downscale(reference, trial.factor))) for reference in references]
            for degrade in degradation.strengths
        ]
        for method in ("bicubic", *trial.methods):
            settings = trial.methods.get(method)
            means = [_means(cases, settings, trial.measures, networks) for cases in strengths]
            table[degradation.name, method] = {name: tuple(one[name] for one in means) for name in means[0]}
    return table


def _means(
    cases: list[Case], settings: Settings | None, measures: tuple[Measure, ...], networks: Networks
) -> dict[str, float]:
    """Return the mean of each measure over some cases, of bicubic upscaling if there are no settings."""
    outputs = [bicubic(case) if settings is None else restore(case, settings, networks) for case in cases]
    return {
        one.name: float(np.mean([one.of(case, result) for case, result in zip(cases, outputs, strict=True)]))
        for one in measures
    }


def _preset(name: str, **changes: Any) -> Settings:
    return Settings.from_preset(name, **changes)


def main_trial(sources: Mapping[str, Source] = REPORTED) -> Trial:
    methods = {name: _preset(name) for name in ("original", "gentle")}
    return Trial("presets", sources, DEGRADATIONS, methods, ALL)


def fast_trial(sources: Mapping[str, Source] = REPORTED) -> Trial:
    neutral = {"strength": 1.0, "fidelity": 0.0, "sharpen": 0.0}
    methods = {}
    for denoise in (0.0, 0.5, 1.0):
        methods[f"fast's network, denoise {denoise:g}"] = _preset("fast", denoise=denoise, **neutral)
        methods[f"fast, denoise {denoise:g}"] = _preset("fast", denoise=denoise)
    methods["gentle"] = _preset("gentle")
    return Trial("fast", sources, DEGRADATIONS, methods, QUICK)


def precise_trial(sources: Mapping[str, Source] = REPORTED) -> Trial:
    methods = {name: _preset(name) for name in ("original", "gentle")}
    methods["precise's network"] = _preset("precise", strength=1.0, fidelity=0.0)
    methods["precise"] = _preset("precise")
    return Trial("precise", sources, DEGRADATIONS, methods, (PSNR, HAARPSI, FSIM, GMSD, MDSI, KEEP, FLAT))


def haze_trial(sources: Mapping[str, Source] = REPORTED) -> Trial:
    sources = {name: source for name, source in sources.items() if name not in GREY}
    methods = {"gentle": _preset("gentle"), "dehaze, strength 0.5": _preset("dehaze", strength=0.5)}
    return Trial("haze", sources, HAZE, methods | {"dehaze": _preset("dehaze")}, QUICK)


def drawing_trial() -> Trial:
    methods = {name: _preset(name) for name in ("gentle", "anime", "anime-fast", "precise")}
    return Trial("drawings", DRAWINGS, DRAWING_DEGRADATIONS, methods, QUICK)


def soft_trial(sources: Mapping[str, Source] = REPORTED) -> Trial:
    """Return the trial of soft photos at their own size, downscaled before the network or not."""
    pieces = {name: middle(source) for name, source in list(sources.items())[:4]}
    methods = {f"reduce {reduce}": _preset("gentle", reduce=reduce, scale=1) for reduce in (1, 2, 4)}
    methods |= {f"network alone, reduce {reduce}": _preset("original", reduce=reduce, scale=1) for reduce in (1, 2)}
    return Trial("soft", pieces, SOFT, methods, (PSNR, SSIM, HAARPSI, FSIM, GMSD, MDSI), factor=1)


def trials(*, tuning: bool = False) -> tuple[Trial, ...]:
    """Return all trials, on the photos of the tables or on those for `tuning`."""
    sources = TUNING if tuning else REPORTED
    photos = (main_trial, fast_trial, precise_trial, haze_trial)
    return *(create(sources) for create in photos), drawing_trial(), soft_trial(sources)
