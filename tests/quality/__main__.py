"""How near to the truth the presets come: `make quality`, tables for the pages of docs/ and a short one for README.

Photos are made four times smaller by averaging, spoilt and enlarged again. The presets' values were chosen on some
photos (`--tuning`); the tables are of others. `--docs` puts them between the marks in both files. What a network made
is kept in `.quality/`, so that other values take seconds.
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
from tests.fast_network import STEMS, fast_states, use_fast_states

from . import automatic
from .cases import Networks
from .costs import costs_table
from .spoiling import DEGRADATIONS, SHARP
from .tables import put_between_marks, short_table, table_of, values_table, verdict
from .trials import examine, trials

ROOT = Path(__file__).parents[2]


def _fast_weights(stack: ExitStack) -> None:
    """Let the fast network's files in ncnn's form stand in where the manifest's are not here and those are."""
    named = os.environ.get("ENHANCE_TEST_MODELS")
    folders = [Path(named)] if named else [models.folder(), *ROOT.glob("../*/models")]
    for folder in folders:
        if all((folder / f"{stem}.{kind}").is_file() for stem in STEMS.values() for kind in ("param", "bin")):
            stack.enter_context(use_fast_states(fast_states(folder.joinpath)))
            return


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one photo and two degradations")
    parser.add_argument("--tuning", action="store_true", help="the photos that the values were chosen on")
    parser.add_argument("--only", metavar="TRIAL", help="auto, presets, fast, precise, haze, drawings or soft")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/fidelity.md and README.md")
    parser.add_argument("--costs", action="store_true", help="only what the networks and the sliders cost here")
    options = parser.parse_args(arguments)
    if options.costs:
        table = costs_table(Enhancer("cpu"))
        sys.stdout.write(f"{table}\n")
        if options.docs:
            put_between_marks(ROOT / "docs" / "fidelity.md", "costs", table)
        return
    if options.docs:
        put_between_marks(ROOT / "docs" / "fidelity.md", "values", values_table())
    networks = Networks(Enhancer("cpu"))
    with ExitStack() as stack:
        if any(models.locate(name) is None for name in STEMS):
            _fast_weights(stack)
        if options.only in (None, "auto") and not options.quick:
            text = automatic.table(networks.enhancer, networks)
            sys.stdout.write(f"\nauto\n\n{text}\n")
            if options.docs:
                for path in (ROOT / "docs" / "choosing.md", ROOT / "README.md"):
                    put_between_marks(path, "auto", text)
        for trial in trials(tuning=options.tuning):
            if options.only not in (None, trial.name) or (options.quick and trial.name != "presets"):
                continue
            if missing := sorted(name for name in trial.models if models.locate(name) is None):
                sys.stdout.write(f"\n{trial.name}: left out, the weights of {', '.join(missing)} are not here\n")
                continue
            if options.quick:
                first = dict(list(trial.sources.items())[:1])
                trial = replace(trial, sources=first, degradations=DEGRADATIONS[:2])
            table = examine(trial, networks)
            text = table_of(trial, table)
            sys.stdout.write(f"\n{trial.name}, {', '.join(trial.sources)}\n\n{text}\n")
            if trial.name == "presets":
                sys.stdout.write(f"\n{short_table(table)}\n\n{verdict(table)}\n")
            sys.stdout.flush()
            if options.docs:
                put_between_marks(ROOT / "docs" / "fidelity.md", trial.name, text)
                if trial.name == "presets":
                    put_between_marks(ROOT / "README.md", "short", short_table(table))
                if trial.name == "precise":
                    clean = {key: means for key, means in table.items() if key[0] == SHARP.name}
                    put_between_marks(ROOT / "README.md", "clean", short_table(clean, "clean photos"))


if __name__ == "__main__":
    main()
