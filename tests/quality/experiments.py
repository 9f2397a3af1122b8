"""The experiments: photos, their degradations, and the presets and values that upscale them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from enhance import Settings

from .cases import Case, Networks, bicubic, jpeg_case, upscaled
from .degradation import DEGRADATIONS, HAZE, OF_DRAWINGS, SOFT, Degradation
from .metrics import ALL, FLAT, FSIM, GMSD, HAARPSI, KEEP, MDSI, PSNR, QUICK, SSIM, Metric
from .photos import DRAWN, GREY, REPORTED, Pixels, Source, downscaled, middle, reference_of


@dataclass(frozen=True, eq=False)
class Experiment:
    """Photos, degraded and then upscaled by bicubic interpolation and by the settings of each method."""

    name: str
    sources: Mapping[str, Source]
    degradations: tuple[Degradation, ...]
    methods: Mapping[str, Settings]
    metrics: tuple[Metric, ...]
    factor: int = 4
    """The factor by which the photos are downscaled."""

    @property
    def models(self) -> set[str]:
        """The models that the experiment needs."""
        return {model for settings in self.methods.values() for model in settings.weights.models}


Means = tuple[float, ...]
"""The mean over the photos, for each strength of a degradation."""
Table = dict[tuple[str, str], dict[str, Means]]
"""The means of each metric by its name, by degradation and method."""


def measure(experiment: Experiment, networks: Networks) -> Table:
    """Return the table of an experiment."""
    references = [reference_of(source) for source in experiment.sources.values()]
    table: Table = {}
    for degradation in experiment.degradations:
        strengths = [
            [_case(reference, degrade(downscaled(reference, experiment.factor)), quality) for reference in references]
            for degrade, quality in zip(degradation.strengths, degradation.qualities, strict=False)
        ]
        for method in ("bicubic", *experiment.methods):
            settings = experiment.methods.get(method)
            means = [_means(cases, settings, experiment.metrics, networks) for cases in strengths]
            table[degradation.name, method] = {name: tuple(one[name] for one in means) for name in means[0]}
    return table


def _case(reference: Pixels, degraded: Pixels, quality: int | None) -> Case:
    return Case(reference, degraded) if quality is None else jpeg_case(reference, degraded, quality)


def _means(
    cases: list[Case], settings: Settings | None, metrics: tuple[Metric, ...], networks: Networks
) -> dict[str, float]:
    """Return the mean of each metric over some cases, by its name. Without settings: bicubic."""
    results = [bicubic(case) if settings is None else upscaled(case, settings, networks) for case in cases]
    return {
        one.name: float(np.mean([one.of(case, result) for case, result in zip(cases, results, strict=True)]))
        for one in metrics
    }


def _preset(name: str, **changes: Any) -> Settings:
    return Settings.from_preset(name, **changes)


def main_experiment() -> Experiment:
    methods = {name: _preset(name) for name in ("original", "gentle")}
    return Experiment("presets", REPORTED, DEGRADATIONS, methods, ALL)


def fast_experiment() -> Experiment:
    neutral = {"strength": 1.0, "fidelity": 0.0, "sharpen": 0.0}
    methods = {}
    for denoise in (0.0, 0.5, 1.0):
        methods[f"fast's network, denoise {denoise:g}"] = _preset("fast", denoise=denoise, **neutral)
        methods[f"fast, denoise {denoise:g}"] = _preset("fast", denoise=denoise)
    methods["gentle"] = _preset("gentle")
    return Experiment("fast", REPORTED, DEGRADATIONS, methods, QUICK)


def precise_experiment() -> Experiment:
    methods = {name: _preset(name) for name in ("original", "gentle")}
    methods["precise's network"] = _preset("precise", strength=1.0, fidelity=0.0)
    methods["precise"] = _preset("precise")
    return Experiment("precise", REPORTED, DEGRADATIONS, methods, (PSNR, HAARPSI, FSIM, GMSD, MDSI, KEEP, FLAT))


def haze_experiment() -> Experiment:
    sources = {name: source for name, source in REPORTED.items() if name not in GREY}
    methods = {"gentle": _preset("gentle"), "dehaze, strength 0.5": _preset("dehaze", strength=0.5)}
    return Experiment("haze", sources, HAZE, methods | {"dehaze": _preset("dehaze")}, QUICK)


def drawn_experiment() -> Experiment:
    methods = {name: _preset(name) for name in ("gentle", "anime", "anime-fast", "precise")}
    return Experiment("drawings", DRAWN, OF_DRAWINGS, methods, QUICK)


def soft_experiment() -> Experiment:
    """Return the experiment with soft photos at their own size, with and without downscaling before the network."""
    pieces = {name: middle(source) for name, source in list(REPORTED.items())[:4]}
    methods = {f"reduce {reduce}": _preset("gentle", reduce=reduce, scale=1) for reduce in (1, 2, 4)}
    methods |= {f"network alone, reduce {reduce}": _preset("original", reduce=reduce, scale=1) for reduce in (1, 2)}
    return Experiment("soft", pieces, SOFT, methods, (PSNR, SSIM, HAARPSI, FSIM, GMSD, MDSI), factor=1)


def experiments() -> tuple[Experiment, ...]:
    """Return all experiments."""
    creators = (
        main_experiment,
        fast_experiment,
        precise_experiment,
        haze_experiment,
        drawn_experiment,
        soft_experiment,
    )
    return tuple(create() for create in creators)
