"""Quality of the presets, `make quality`: the tables in docs/analysis.md and docs/fidelity.md.

`--docs` writes them to the documents.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from enhance import Enhancer
from tests.progress import Progress

from . import characters, presets
from .cases import Networks
from .degradation import DEGRADATIONS
from .tables import replace_section

ROOT = Path(__file__).parents[2]
ANALYSIS = "docs/analysis.md"
FIDELITY = "docs/fidelity.md"
PARTS = {"presets": len(DEGRADATIONS), "text": len(characters.FONTS)}
"""The parts, each with the number of its own parts in the progress."""


def _tables(parts: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each table with the document and the section that it belongs to."""
    networks = Networks(Enhancer("cpu"))
    progress = Progress(sum(PARTS[part] for part in parts))
    if "presets" in parts:
        yield ANALYSIS, "presets", presets.table(networks, progress)
    if "text" in parts:
        changes, labels = characters.tables(networks, progress)
        yield FIDELITY, "text", changes
        yield FIDELITY, "text labels", labels


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part; by default all of them")
    parser.add_argument("--docs", action="store_true", help="write the tables to the documents")
    options = parser.parse_args(arguments)
    for document, section, text in _tables([options.only] if options.only else PARTS):
        sys.stdout.write(f"\n{section}\n\n{text}\n")
        sys.stdout.flush()
        if options.docs:
            replace_section(ROOT / document, section, text)


if __name__ == "__main__":
    main()
