"""The files that accompany the results of a batch: a summary as PDF, a table as CSV, and all of it
as one ZIP."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..files import write_atomically
from ..i18n import DEFAULT_LANGUAGE, describe_preset, format_bytes, name_of, translate
from ..info import Info, grade_in
from .document import GREY, HEADING, ReportDocument

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


@dataclass(frozen=True)
class Line:
    """One file of a batch: its name, its `state`, the reason if it failed, and the `info` of its
    result.

    `title` is the name of the result in the ZIP.
    """

    name: str
    state: str
    reason: str = ""
    title: str = ""
    info: Info | None = None


def write_zip(path: Path, lines: Sequence[Line], settings: str, *, language: str) -> Path:
    """Write the results, `report.csv` and `summary.pdf` atomically to one ZIP at `path`.

    Return `path`.

    Result files are streamed from disk. Raises StorageError.
    """

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for line in lines:
                if line.info is not None:
                    archive.write(line.info["output"]["path"], line.title)
            archive.writestr("report.csv", table(lines, language), zipfile.ZIP_DEFLATED)
            archive.writestr("summary.pdf", summary(lines, settings, language=language))

    write_atomically(path, write)
    return path


def table(lines: Sequence[Line], language: str = DEFAULT_LANGUAGE) -> str:
    """Return the batch as CSV (RFC 4180) with a byte order mark, which spreadsheets need to read it
    as UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(translate(language, f"table_{name}") for name in COLUMNS)
    for line in lines:
        row: dict[str, object] = {}
        if line.info:
            # COLUMNS has the names of `output` and `info`, except for those that follow.
            row = {**line.info, **line.info["output"]}
            row["seconds"] = line.info["seconds"]["total"]
            row["fidelity"] = _grade(language, line.info)
        row["file"] = line.name
        row["state"] = translate(language, f"table_{line.state}")
        row["reason"] = line.reason
        row["result"] = line.title
        writer.writerow(_escape_formula(row.get(name)) for name in COLUMNS)
    return "\ufeff" + text.getvalue()


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


def summary(lines: Sequence[Line], settings: str, *, language: str) -> bytes:
    """Return the summary as PDF.

    `settings` is one line of text that describes the settings of the batch.

    `settings` and the reasons in `lines` are in `language` already, one of
    `enhance.i18n.LANGUAGES`; any other is treated as English.
    """
    document = ReportDocument(language, "summary")
    document.start(datetime.now().astimezone())
    states = [line.state for line in lines]
    seconds = sum(line.info["seconds"]["total"] for line in lines if line.info)
    counts = document.translate(
        "summary_counts",
        done=states.count("done"),
        images=len(lines),
        failed=states.count("failed"),
        seconds=f"{seconds:,.1f}",
    )
    document.paragraph(counts, HEADING)
    document.paragraph(settings, colour=GREY)
    document.ln(3)
    names = ("fact_name", "fact_result", "fidelity", "fact_disk", "row_time")
    headings = ["", *map(document.translate, names)]
    rows = [_row(document, number, line) for number, line in enumerate(lines, 1)]
    document.rows([headings, *rows], (8, 72, 38, 20, 18, 18), headings=True)
    return bytes(document.output())


def _row(document: ReportDocument, number: int, line: Line) -> list[str]:
    if not line.info:
        state = name_of(document.language, "summary_state", line.state)
        return [str(number), f"{line.name}\n{line.reason}".strip(), state, "", "", ""]
    name = line.name
    auto = line.info.get("auto")
    if auto:
        name += f"\n{describe_preset(document.language, line.info['preset'], auto)}"
    output = line.info["output"]
    size = f"{output['width']:,} × {output['height']:,}"
    grade = _grade(document.language, line.info)
    time = document.translate("seconds", n=f"{line.info['seconds']['total']:,.1f}")
    return [str(number), name, size, grade, format_bytes(output["bytes"]), time]
