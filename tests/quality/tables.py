"""The tables in Markdown."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from enhance.models import parts_of
from enhance.settings import PRESETS, Settings

from .experiments import Experiment, Means, Table
from .metrics import FLAT, GMSD, HAARPSI, KEEP, MDSI, Metric


def full_table(table: Table, metrics: tuple[Metric, ...]) -> str:
    """Return a table with a row for each degradation and method, and a column for each metric."""
    lines = [row("photo was", "by", *(metric.name for metric in metrics)), rule(2, len(metrics))]
    before = None
    for (degradation, method), means in table.items():
        figures = (_figures(means[metric.name], metric) for metric in metrics)
        lines.append(row(degradation if degradation != before else "", method, *figures))
        before = degradation
    return "\n".join(lines)


def wide_table(table: Table, metric: Metric, others: tuple[Metric, ...]) -> str:
    """Return a table of one metric with a column for each degradation, and of the means of `others`."""
    degradations, methods = (list(dict.fromkeys(key[place] for key in table)) for place in (0, 1))
    mean_names = (f"mean {other.name}" for other in others)
    lines = [row(metric.name, *degradations, *mean_names), rule(1, len(degradations) + len(others))]
    for method in methods:
        figures = (_figures(table[degradation, method][metric.name], metric) for degradation in degradations)
        means = (format(_mean(table, method, other), other.form) for other in others)
        lines.append(row(method, *figures, *means))
    return "\n".join(lines)


def values_table() -> str:
    """Return the values of the presets."""
    names = ("strength", "fidelity", "denoise", "sharpen", "saturation", "contrast")
    lines = [row("preset", "network", *names), rule(2, len(names))]
    for preset in filter(lambda one: one.model, PRESETS.values()):
        settings = Settings(preset.name)
        values = (f"{getattr(settings, name):g}" if _applies(settings, name) else "" for name in names)
        lines.append(row(preset.name, " and ".join(parts_of(preset.model)), *values))
    return "\n".join(lines)


def _applies(settings: Settings, name: str) -> bool:
    return settings.denoises if name == "denoise" else settings.tuning


def replace_section(path: Path, name: str, text: str) -> None:
    start, end = f"<!-- quality {name} -->", f"<!-- /quality {name} -->"
    before, _, rest = path.read_text("utf-8").partition(start)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", "utf-8")


def table_of(experiment: Experiment, table: Table) -> str:
    """Return the table of an experiment, a wide one if it has many methods."""
    if experiment.name == "fast":
        return wide_table(table, HAARPSI, (GMSD, MDSI, KEEP, FLAT))
    return full_table(table, experiment.metrics)


def _mean(table: Table, method: str, metric: Metric) -> float:
    return float(np.mean([one for (_, other), means in table.items() if other == method for one in means[metric.name]]))


def _figures(means: Means, metric: Metric) -> str:
    return " / ".join("" if math.isnan(one) else format(one, metric.form) for one in means).strip("/ ")


def row(*cells: str) -> str:
    """Return a row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def rule(words: int, figures: int) -> str:
    """Return the line below the header, for columns of words and of figures."""
    return "| --- " * words + "| ---: " * figures + "|"
