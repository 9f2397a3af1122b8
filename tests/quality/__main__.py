"""Quality of the presets and of the analysis, `make quality`: the tables in the READMEs and docs/.

`--docs` writes them to the documents. Outputs of the networks are cached in `.quality/`, so that a
run with other values takes seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from enhance import Enhancer, models
from tests.fast_network import STEMS, use_fast_files

from . import characters, kinds, presets
from .cases import Networks
from .tables import replace_section, values_table

ROOT = Path(__file__).parents[2]
FIDELITY = "docs/fidelity.md"
ANALYSIS = "docs/analysis.md"
PARTS = ("presets", "kinds", "text")


def _fast_weights(stack: ExitStack) -> None:
    """Use ncnn files for the preset `fast` if its weights are not installed and these files are
    found."""
    named = os.environ.get("ENHANCE_TEST_MODELS")
    folders = [Path(named)] if named else [models.folder(), *ROOT.glob("../*/models")]
    for folder in folders:
        if all((folder / f"{stem}.bin").is_file() for stem in STEMS.values()):
            stack.enter_context(use_fast_files(folder.joinpath))
            return


def _tables(parts: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each table with the document and the section that it belongs to."""
    networks = Networks(Enhancer("cpu"))
    if "presets" in parts:
        comparison = presets.table(networks)
        yield "README.md", "presets", comparison
        yield "README.zh-CN.md", "presets", comparison
        yield FIDELITY, "values", values_table()
    if "kinds" in parts:
        yield ANALYSIS, "kinds", kinds.table()
    if "text" in parts:
        changes, labels = characters.tables(networks)
        yield FIDELITY, "text", changes
        yield FIDELITY, "text labels", labels


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part; by default all of them")
    parser.add_argument("--docs", action="store_true", help="write the tables to the documents")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        if any(models.locate(name) is None for name in STEMS):
            _fast_weights(stack)
        for document, section, text in _tables([options.only] if options.only else PARTS):
            sys.stdout.write(f"\n{section}\n\n{text}\n")
            sys.stdout.flush()
            if options.docs:
                replace_section(ROOT / document, section, text)


if __name__ == "__main__":
    main()
