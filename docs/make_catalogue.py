"""Update the table of models that can be added by name in docs/models.md: `python -m
docs.make_catalogue`."""

from __future__ import annotations

import re
from pathlib import Path

from enhance.models.manifest import allows_commercial_use, catalogue

_MODELS = Path(__file__).with_name("models.md")


def table() -> str:
    """Return the table of the models in the catalogue, in Markdown."""
    rows = [
        "| name | architecture | scale | MB | licence | commercial use | author | for |",
        "| --- " * 8 + "|",
    ]
    for model in catalogue().values():
        size, allowed = (
            f"{model.bytes / 1e6:.1f}",
            "yes" if allows_commercial_use(model.licence) else "**no**",
        )
        cells = (
            f"`{model.name}`",
            model.network,
            f"{model.scale}×",
            size,
            model.licence,
            allowed,
            model.author,
        )
        rows.append(f"| {' | '.join(cells)} | {model.purpose.removesuffix('.')} |")
    return "\n".join(rows)


if __name__ == "__main__":
    text = _MODELS.read_text("utf-8")
    section = rf"\1{table()}\n\2"
    _MODELS.write_text(
        re.sub(r"(<!-- catalogue -->\n).*?(<!-- /catalogue -->)", section, text, flags=re.DOTALL),
        "utf-8",
    )
