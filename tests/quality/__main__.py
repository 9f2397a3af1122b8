"""Quality of the presets, `make quality`: tables for docs/ and README.

Photos are downscaled by 4 by averaging, degraded and upscaled. The tables show other photos than those on which the
values of the presets were chosen. `--docs` writes them to the documents. Outputs of the networks are cached in
`.quality/`, so that a run with other values takes seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from enhance import Enhancer, models
from tests.fast_network import STEMS, use_fast_files

from . import auto, characters, kinds
from .cases import Networks
from .costs import costs_table
from .degradation import DEGRADATIONS
from .experiments import experiments, measure
from .tables import replace_section, table_of, values_table

ROOT = Path(__file__).parents[2]
TEXT_TABLES = ("text", "text labels", "photo labels", "photo gains")
"""The sections of docs/fidelity.md with the tables of `characters`."""


def _fast_weights(stack: ExitStack) -> None:
    """Use ncnn files for the preset `fast` if its weights are not installed and these files are found."""
    named = os.environ.get("ENHANCE_TEST_MODELS")
    folders = [Path(named)] if named else [models.folder(), *ROOT.glob("../*/models")]
    for folder in folders:
        if all((folder / f"{stem}.bin").is_file() for stem in STEMS.values()):
            stack.enter_context(use_fast_files(folder.joinpath))
            return


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one photo and two degradations")
    parser.add_argument(
        "--only", metavar="EXPERIMENT", help="kinds, auto, text, presets, fast, precise, haze, drawings or soft"
    )
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/fidelity.md and README.md")
    parser.add_argument("--costs", action="store_true", help="only the time of networks and sliders")
    options = parser.parse_args(arguments)
    if options.costs:
        table = costs_table(Enhancer("cpu"))
        sys.stdout.write(f"{table}\n")
        if options.docs:
            replace_section(ROOT / "docs" / "fidelity.md", "costs", table)
        return
    if options.docs:
        replace_section(ROOT / "docs" / "fidelity.md", "values", values_table())
    if options.only in (None, "kinds") and not options.quick:
        text = kinds.table()
        sys.stdout.write(f"\nkinds\n\n{text}\n")
        if options.docs:
            replace_section(ROOT / "docs" / "choosing.md", "kinds", text)
    networks = Networks(Enhancer("cpu"))
    with ExitStack() as stack:
        if any(models.locate(name) is None for name in STEMS):
            _fast_weights(stack)
        if options.only in (None, "auto") and not options.quick:
            text = auto.table(networks.enhancer, networks)
            sys.stdout.write(f"\nauto\n\n{text}\n")
            if options.docs:
                for path in (ROOT / "docs" / "choosing.md", ROOT / "README.md"):
                    replace_section(path, "auto", text)
            tables = {
                "blocks": (auto.blocks_table(networks), "docs/fidelity.md"),
                "peer": (auto.peer_table(networks.enhancer), "README.md"),
            }
            for name, (text, path) in tables.items():
                sys.stdout.write(f"\n{name}\n\n{text}\n")
                if options.docs:
                    replace_section(ROOT / path, name, text)
        if options.only in (None, "text") and not options.quick:
            for name, text in zip(TEXT_TABLES, characters.tables(networks), strict=True):
                sys.stdout.write(f"\n{name}\n\n{text}\n")
                if options.docs:
                    replace_section(ROOT / "docs" / "fidelity.md", name, text)
        for experiment in experiments():
            if options.only not in (None, experiment.name) or (options.quick and experiment.name != "presets"):
                continue
            if missing := sorted(name for name in experiment.models if models.locate(name) is None):
                sys.stdout.write(f"\n{experiment.name}: skipped, {', '.join(missing)} not installed\n")
                continue
            if options.quick:
                first = dict(list(experiment.sources.items())[:1])
                experiment = replace(experiment, sources=first, degradations=DEGRADATIONS[:2])
            table = measure(experiment, networks)
            text = table_of(experiment, table)
            sys.stdout.write(f"\n{experiment.name}, {', '.join(experiment.sources)}\n\n{text}\n")
            sys.stdout.flush()
            if options.docs:
                replace_section(ROOT / "docs" / "fidelity.md", experiment.name, text)


if __name__ == "__main__":
    main()
