"""The quality of each preset and of Auto on degraded photos: the table in docs/analysis.md."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from enhance import Settings
from enhance.analysis import analyse
from enhance.analysis.auto import choose
from enhance.presets import available_presets
from tests.progress import Progress

from .cases import Case, Networks, Upscaled, bicubic, upscaled
from .degradation import DEGRADATIONS, case_of
from .metrics import haarpsi
from .photos import PHOTOS, reference_of
from .tables import row, rule

_PRESETS = ("original", "gentle", "fast", "balanced", "precise")


def auto_settings(case: Case) -> Settings:
    """Return what Auto chooses for a case."""
    choice = choose(analyse(case.image), available_presets())
    return Settings().resolved(choice.preset, **choice.tuning)


def _results(case: Case, networks: Networks) -> Iterator[tuple[str, str, Upscaled]]:
    """Yield each result with the name of its row and of its preset, which is empty without a
    network."""
    yield "bicubic", "", bicubic(case)
    for preset in _PRESETS:
        yield preset, preset, upscaled(case, Settings(preset), networks)
    settings = auto_settings(case)
    yield "Auto", settings.preset, upscaled(case, settings, networks)


def table(networks: Networks, progress: Progress) -> str:
    """Return the mean HaarPSI of the results in Markdown, and the work of their networks compared
    with `gentle`. Each degradation is a part of the progress."""
    times = {one["name"]: one["relative_time"] or 0.0 for one in networks.enhancer.presets()}
    scores: dict[str, list[float]] = {}
    work: dict[str, list[float]] = {}
    for degradation, degrade in DEGRADATIONS.items():
        with progress.part(f"presets, {degradation}"):
            for photo in PHOTOS:
                case = case_of(reference_of(photo), degrade)
                for name, preset, result in _results(case, networks):
                    scores.setdefault(name, []).append(haarpsi(case, result))
                    work.setdefault(name, []).append(times.get(preset, 0.0))
    lines = [row("HaarPSI", *DEGRADATIONS, "mean", "work"), rule(1, len(DEGRADATIONS) + 2)]
    for name, values in scores.items():
        means = np.reshape(values, (len(DEGRADATIONS), -1)).mean(axis=1)
        figures = (f"{mean:.1f}" for mean in (*means, means.mean()))
        lines.append(row(name, *figures, f"{np.mean(work[name]):.2f}"))
    return "\n".join(lines)
