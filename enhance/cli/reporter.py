"""The output of `enhance run`: a line for each file, the progress, and the list of failed files."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from ..files import storage_errors
from ..i18n import format_duration, translate
from ..json_object import JsonObject
from .messages import discard_unread_output, print_error, print_json, print_message
from .progress import ProgressOutput

if TYPE_CHECKING:
    from ..enhancer import Enhancer, Faster
    from ..info import Info
    from ..jobs.batch import Batch, BatchFile
    from ..pipeline import Run

PIPE = "-"
"""Standard input or standard output."""


class Reporter(ProgressOutput):
    """Prints the progress of a batch, and a line for each finished or failed file.

    If the result goes to standard output (`is_piped`), the line of a finished file is printed only
    as JSON, on standard error.
    """

    def __init__(self, options: Namespace, *, is_piped: bool = False):
        super().__init__(options.progress)
        self._is_json_wanted = options.json
        self._failures = options.failures
        self._out = sys.stderr if is_piped else sys.stdout
        if self._failures:
            with storage_errors(self._failures):
                self._failures.open("a").close()
        self._current_file = ""

    def report(self, batch: Batch) -> None:
        """Print what has changed, as `RunningBatch` reports it."""
        file = batch.latest
        total = len(batch.by_key)
        begun = total - batch.count("waiting")
        try:
            if file is not None and file.state in ("done", "failed"):
                self._print_file(file)
            elif file is not None and file.state == "running":
                self._current_file = PIPE if file.place == PIPE else file.name
            position = f"{begun} of {total}"
            self.update(batch.share, batch.seconds_left, self._current_file, position)
        except BrokenPipeError:
            discard_unread_output()

    def suggest_faster(self, enhancer: Enhancer, file: BatchFile, run: Run) -> None:
        """Print a faster preset for a file whose preset Auto selected, if that is slow."""
        if not run.plan.auto:
            return
        settings = run.plan.settings
        analysis = enhancer.analyse(run.image)
        faster = enhancer.suggest_faster(analysis, settings)
        if faster is None:
            return
        self.clear()
        print_message(faster_text(settings.preset, faster), file.place)

    def conclude(self, batch: Batch) -> None:
        """Print how many hidden and other files were skipped."""
        self.clear()
        skipped = {"hidden": batch.hidden, "others": batch.others}
        if not any(skipped.values()):
            return
        if self._is_json_wanted:
            print_json({"status": "passed over", **skipped}, self._out)
        else:
            print_message(f"Skipped {batch.hidden} hidden and {batch.others} unsupported files.")

    def _print_file(self, file: BatchFile) -> None:
        # This comes first, because the output can be a closed pipe.
        if file.state == "failed" and file.error and self._failures:
            self._add_failure(file, file.error.message())
        self.clear()
        if file.info:
            self._print_notes(file, file.info)
        if file.error is not None:
            print_error(file.error, file.place)
        if self._is_json_wanted:
            print_json(_facts_of(file), self._out)
        elif file.info and self._out is sys.stdout:
            print(_line_of(file.info), flush=True)

    def _add_failure(self, file: BatchFile, reason: str) -> None:
        entry = file.entry or {"input": file.place}
        line = json.dumps({**entry, "reason": reason}, ensure_ascii=False)
        encoded = f"{line}\n".encode("utf-8", "backslashreplace")
        with storage_errors(self._failures), self._failures.open("ab") as output:
            output.write(encoded)

    def _print_notes(self, file: BatchFile, info: Info) -> None:
        from ..formats.encoding import FORMATS

        output: Any = info["output"]
        form = FORMATS[output.get("format", "png")]
        for note in output.get("notes", ()):
            text = translate("en", f"note_{note}", format=form.name)
            print_message(text, file.place)


def _facts_of(file: BatchFile) -> JsonObject:
    facts: Any = file.info
    if not facts:
        message = file.error and file.error.message()
        facts = {"status": "failed", "input": {"name": file.name}, "error": message}
    return {**facts, "input": {**facts["input"], "path": file.place}}


def _line_of(info: Info) -> str:
    output = info["output"]
    auto = info["auto"]
    time = "already done" if info["cached"] else f"{info['seconds']['total']:.1f} s"
    line = "{path}  {width} x {height} px, ".format(**output) + time
    if not auto:
        return line
    reason = translate("en", f"auto_{auto['reason']}").lower()
    return f"{line}, {auto['preset']} ({reason})"


def faster_text(preset: str, faster: Faster) -> str:
    """Return the suggestion of a faster preset than `preset`, with the expected time of both."""
    time = format_duration("en", faster.selected_seconds)
    faster_time = format_duration("en", faster.seconds)
    return (
        f"{translate('en', f'preset_{preset}')} takes about {time}. --preset {faster.preset} takes "
        f"about {faster_time} and gives nearly the same quality."
    )
