"""Tables in Markdown, and their place in the documents."""

from __future__ import annotations

from pathlib import Path

from enhance.models import parts_of
from enhance.settings import PRESETS, Settings


def row(*cells: str) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def rule(words: int, figures: int) -> str:
    """Return the line below the header, for columns of words and of figures."""
    return "| --- " * words + "| ---: " * figures + "|"


def values_table() -> str:
    """Return the values of the presets."""
    names = ("strength", "fidelity", "denoise", "sharpen")
    lines = [row("preset", "network", *names), rule(2, len(names))]
    for preset in filter(lambda one: one.model, PRESETS.values()):
        settings = Settings(preset.name)
        values = (
            f"{getattr(settings, name):g}" if _applies(settings, name) else "" for name in names
        )
        lines.append(row(preset.name, " and ".join(parts_of(preset.model)), *values))
    return "\n".join(lines)


def _applies(settings: Settings, name: str) -> bool:
    return settings.denoises if name == "denoise" else settings.tuning


def replace_section(path: Path, name: str, text: str) -> None:
    start = f"<!-- quality {name} -->"
    end = f"<!-- /quality {name} -->"
    before, _, rest = path.read_text("utf-8").partition(start)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", "utf-8")
