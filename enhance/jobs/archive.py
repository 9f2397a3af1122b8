"""The ZIP file of a batch: the names of its files, its table and its summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..i18n import DEFAULT_LANGUAGE, strip_direction_marks, translate
from ..settings import Settings
from ..store import result_name
from ..store.names import UniqueNames
from .batch import Batch, BatchFile

if TYPE_CHECKING:
    from ..report.batch_report import Line


def archive_names(batch: Batch) -> dict[BatchFile, str]:
    """Return a unique name in an archive for each finished file."""
    names = UniqueNames()
    return {file: names.add(archive_name(file)) for file in batch.files if file.state == "done"}


def archive_name(file: BatchFile) -> str:
    """Return the name of a finished file in an archive: photo-4x.png for photo.jpg."""
    assert file.info
    assert file.result
    return result_name(file.info, file.result.suffix, file.name)


def pack(batch: Batch, path: Path, settings: Settings, language: str = DEFAULT_LANGUAGE) -> Path:
    """Write the finished files, `report.csv` and `summary.pdf` to a ZIP file at `path`. Raises
    StorageError."""
    from ..report.batch_report import write_zip

    size = None
    if any(file.settings for file in batch.files):
        size = translate(language, "sizes_differ")
    return write_zip(
        path, lines_of(batch, language), settings.describe(language, size), language=language
    )


def lines_of(batch: Batch, language: str) -> list[Line]:
    """Return the lines of the summary and of the table."""
    from ..report.batch_report import Line

    names = archive_names(batch)

    def reason(file: BatchFile) -> str:
        return strip_direction_marks(file.error.message(language)) if file.error else ""

    return [
        Line(
            strip_direction_marks(file.name),
            file.state,
            reason(file),
            names.get(file, ""),
            file.info,
        )
        for file in batch.files
    ]
