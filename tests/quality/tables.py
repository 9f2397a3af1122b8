"""The tables, in Markdown, and what is said of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from enhance.settings import PRESETS, Settings

from .measures import FLAT, FSIM, GMSD, HAARPSI, KEEP, MDSI, Measure
from .trials import Means, Table, Trial

COMPARED = (HAARPSI, FSIM, GMSD, MDSI)


def full_table(table: Table, measures: tuple[Measure, ...]) -> str:
    """A row for every degradation and what made the result, a column for every measure."""
    lines = [_row("photo was", "by", *(measure.name for measure in measures)), _rule(2, len(measures))]
    before = None
    for (degradation, way), means in table.items():
        figures = (_figures(means[measure.name], measure) for measure in measures)
        lines.append(_row(degradation if degradation != before else "", way, *figures))
        before = degradation
    return "\n".join(lines)


def wide_table(table: Table, measure: Measure, others: tuple[Measure, ...]) -> str:
    """One measure with a column for every degradation, and the means over all of them of some `others`."""
    degradations, ways = (list(dict.fromkeys(key[place] for key in table)) for place in (0, 1))
    others_told = (f"mean {other.name}" for other in others)
    lines = [_row(measure.name, *degradations, *others_told), _rule(1, len(degradations) + len(others))]
    for way in ways:
        figures = (_figures(table[degradation, way][measure.name], measure) for degradation in degradations)
        means = (format(_mean(table, way, other), other.form) for other in others)
        lines.append(_row(way, *figures, *means))
    return "\n".join(lines)


def short_table(table: Table, of: str = "mean of all") -> str:
    """The means over all degradations and strengths."""
    arrows = {1: " ↑", -1: " ↓"}
    shown = (*COMPARED, KEEP)
    names = (f"{one.name}{', dB ↑' if one is KEEP else arrows[one.better]}" for one in shown)
    lines = [_row(of, *names), _rule(1, len(shown))]
    for way in dict.fromkeys(way for _, way in table):
        lines.append(_row(way, *(format(_mean(table, way, one), one.form) for one in shown)))
    return "\n".join(lines)


def verdict(table: Table, way: str = "gentle") -> str:
    """In how many comparisons `way` is nearer to the truth than bicubic and the network alone, and where it is not."""
    lines = []
    for strength, word in enumerate(("first", "second")):
        lost, count = [], 0
        for (degradation, other), means in table.items():
            if other == way or len(means[KEEP.name]) <= strength:
                continue
            for measure in COMPARED:
                ahead = measure.better * (
                    table[degradation, way][measure.name][strength] - means[measure.name][strength]
                )
                count += 1
                if ahead <= 0:
                    lost.append(f"{degradation}: {other} by {measure.name} ({-ahead:.2f})")
        lines.append(f"{way}, {word} strength: nearer in {count - len(lost)} of {count}. " + "; ".join(lost))
    lines.append(_bounds(table, way))
    return "\n".join(lines)


def _bounds(table: Table, way: str) -> str:
    """The least of what must not be less, and the most of what must not be more."""
    above = min(
        own - alone
        for (degradation, other), means in table.items()
        if other == "original"
        for own, alone in zip(table[degradation, way][KEEP.name], means[KEEP.name], strict=True)
    )
    rough = max(max(means[FLAT.name]) for (_, other), means in table.items() if other == way)
    four = [table[degradation, way][KEEP.name][0] for degradation, _ in table if _kept_well(degradation)]
    more = max(
        own - alone
        for (degradation, other), means in table.items()
        if other == "original"
        for own, alone in zip(table[degradation, way]["clipped"], means["clipped"], strict=True)
    )
    return (
        f"keep: {np.mean(four):.1f} dB over sharp, blur with noise and both JPEGs; at least {above:+.1f} dB more than "
        f"the network alone; flat at most {rough:+.2f}; clipped at most {more:+.2f} % more than the network alone"
    )


def _kept_well(degradation: str) -> bool:
    return degradation.startswith(("sharp", "blur", "JPEG"))


def values_table() -> str:
    """What the presets set, as they ship."""
    names = ("strength", "fidelity", "denoise", "sharpen", "saturation", "contrast")
    lines = [_row("preset", "network", *names), _rule(2, len(names))]
    for preset in filter(lambda one: one.model, PRESETS.values()):
        settings = Settings(preset.name)
        values = (f"{getattr(settings, name):g}" if _counts(settings, name) else "" for name in names)
        lines.append(_row(preset.name, preset.model, *values))
    return "\n".join(lines)


def _counts(settings: Settings, name: str) -> bool:
    return settings.denoises if name == "denoise" else settings.tuning


def put_between_marks(path: Path, name: str, text: str) -> None:
    start, end = f"<!-- quality {name} -->", f"<!-- /quality {name} -->"
    before, _, rest = path.read_text("utf-8").partition(start)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", "utf-8")


def table_of(trial: Trial, table: Table) -> str:
    """The form that suits a trial: many ways need a wide table."""
    if trial.name == "fast":
        return wide_table(table, HAARPSI, (GMSD, MDSI, KEEP, FLAT))
    return full_table(table, trial.measures)


def _mean(table: Table, way: str, measure: Measure) -> float:
    return float(np.mean([one for (_, other), means in table.items() if other == way for one in means[measure.name]]))


def _figures(means: Means, measure: Measure) -> str:
    return " / ".join("" if math.isnan(one) else format(one, measure.form) for one in means).strip("/ ")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(words: int, figures: int) -> str:
    return "| --- " * words + "| ---: " * figures + "|"
