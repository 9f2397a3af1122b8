"""Tables in Markdown, and their place in the documents."""

from __future__ import annotations

from pathlib import Path


def row(*cells: str) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def rule(words: int, figures: int) -> str:
    """Return the line below the header, for columns of words and of figures."""
    return "| --- " * words + "| ---: " * figures + "|"


def replace_section(path: Path, name: str, text: str) -> None:
    start = f"<!-- quality {name} -->"
    end = f"<!-- /quality {name} -->"
    before, _, rest = path.read_text("utf-8").partition(start)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", "utf-8")
