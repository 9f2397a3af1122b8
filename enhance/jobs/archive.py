"""The ZIP file of a batch: the names of its files, its table and its summary."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ..files import write_atomically
from ..i18n import DEFAULT_LANGUAGE, translate
from ..info import settings_in
from ..settings import Settings
from ..store import result_name
from ..store.names import UniqueNames
from .batch import Batch, BatchFile


def archive_names(batch: Batch) -> dict[BatchFile, str]:
    """Return the unique name of each file in an archive, "" for a file without a result."""
    names = UniqueNames()
    found = dict.fromkeys(batch.files, "")
    for file in found:
        if file.state == "done":
            found[file] = names.add(archive_name(file))
    return found


def archive_name(file: BatchFile) -> str:
    """Return the name of a finished file in an archive: photo-4x.png for photo.jpg."""
    assert file.info
    assert file.result
    return result_name(file.info, file.result.suffix, file.name)


def pack(batch: Batch, path: Path, settings: Settings, language: str = DEFAULT_LANGUAGE) -> Path:
    """Write the finished files, `report.csv` and `summary.pdf` atomically to one ZIP at `path`,
    and return `path`.

    Result files are streamed from disk. Raises StorageError.
    """
    from ..report.batch_report import summary, table

    size = translate(language, "sizes_differ")
    if not any(file.settings for file in batch.files):
        finished = next(file.info for file in batch.files if file.info)
        size = settings_in(finished).describe_size(language)
    described = settings.describe(language, size)
    names = archive_names(batch)

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for file, name in names.items():
                if file.result:
                    archive.write(file.result, name)
            archive.writestr("report.csv", table(names, language), zipfile.ZIP_DEFLATED)
            archive.writestr("summary.pdf", summary(names, described, language))

    write_atomically(path, write)
    return path
