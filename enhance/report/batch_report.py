"""The files that accompany the results of a batch: a summary as PDF, and a table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from ..i18n import (
    DEFAULT_LANGUAGE,
    describe_preset,
    format_bytes,
    name_of,
    strip_direction_marks,
    translate,
)
from ..info import Info, grade_in
from .document import GREY, HEADING, ReportDocument

if TYPE_CHECKING:
    from ..jobs.batch import BatchFile

COLUMNS = (
    "file",
    "state",
    "reason",
    "result",
    "width",
    "height",
    "bytes",
    "seconds",
    "signature",
    "sha256",
    "fidelity_db",
    "fidelity_worst_db",
    "fidelity",
)


def table(names: Mapping[BatchFile, str], language: str = DEFAULT_LANGUAGE) -> str:
    """Return the files of a batch, with the names of their results in the archive, as CSV (RFC
    4180) with a byte order mark, which spreadsheets need to read it as UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(translate(language, f"table_{name}") for name in COLUMNS)
    for file, name in names.items():
        row: dict[str, object] = {}
        if file.info:
            # COLUMNS has the names of `output` and `info`, except for those that follow.
            row = {
                **file.info,
                **file.info["output"],
                "seconds": file.info["seconds"]["total"],
                "fidelity": _grade(language, file.info),
            }
        row |= {
            "file": strip_direction_marks(file.name),
            "state": translate(language, f"table_{file.state}"),
            "reason": _reason(language, file),
            "result": name,
        }
        writer.writerow(_escape_formula(row.get(name)) for name in COLUMNS)
    return "\ufeff" + text.getvalue()


def _reason(language: str, file: BatchFile) -> str:
    if file.error is None:
        return ""
    return strip_direction_marks(file.error.message(language))


def _grade(language: str, info: Info) -> str:
    """Return the fidelity grade of a result as text; "" if it was not measured."""
    grade = grade_in(info)
    if not grade:
        return ""
    return translate(language, f"fidelity_{grade}")


def _escape_formula(value: object) -> object:
    """Return the value, or a text that no spreadsheet evaluates as a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def summary(files: Collection[BatchFile], settings: str, language: str) -> bytes:
    """Return the summary of the files of a batch as PDF.

    `settings` is one line of text that describes the settings of the batch, in `language`, one of
    `enhance.i18n.LANGUAGES`; any other is treated as English.
    """
    document = ReportDocument(language, "summary")
    document.start(datetime.now().astimezone())
    states = [file.state for file in files]
    seconds = sum(file.info["seconds"]["total"] for file in files if file.info)
    counts = document.translate(
        "summary_counts",
        done=states.count("done"),
        images=len(states),
        failed=states.count("failed"),
        seconds=f"{seconds:,.1f}",
    )
    document.paragraph(counts, HEADING)
    document.paragraph(settings, colour=GREY)
    document.ln(3)
    names = ("fact_name", "fact_result", "fidelity", "fact_disk", "row_time")
    headings = ["", *map(document.translate, names)]
    rows = [_row(document, number, file) for number, file in enumerate(files, 1)]
    document.rows([headings, *rows], (8, 72, 38, 20, 18, 18), headings=True)
    return bytes(document.output())


def _row(document: ReportDocument, number: int, file: BatchFile) -> list[str]:
    name = strip_direction_marks(file.name)
    if not file.info:
        state = name_of(document.language, "summary_state", file.state)
        return [str(number), f"{name}\n{_reason(document.language, file)}".strip(), state]
    auto = file.info.get("auto")
    if auto:
        name += f"\n{describe_preset(document.language, file.info['preset'], auto)}"
    output = file.info["output"]
    size = f"{output['width']:,} × {output['height']:,}"
    grade = _grade(document.language, file.info)
    time = document.translate("seconds", n=f"{file.info['seconds']['total']:,.1f}")
    return [str(number), name, size, grade, format_bytes(output["bytes"]), time]
