"""The ZIP file of a batch: the names of its files, its table and its summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .batch import Batch, Item
from .i18n import DEFAULT_LANGUAGE, strip_direction_marks, translate
from .output.names import PATTERN, UniqueNames, fill_pattern
from .settings import Settings

if TYPE_CHECKING:
    from .report import Line


def archive_names(batch: Batch, pattern: str = PATTERN) -> dict[Item, str]:
    """Return a unique name in an archive for each finished file, with its subfolder, from a pattern of `names`."""
    names = UniqueNames()
    done = [(item, item.number or place) for place, item in enumerate(batch.items, 1) if item.state == "done"]
    return {item: names.add(archive_name(item, pattern, number)) for item, number in done}


def archive_name(item: Item, pattern: str, number: int) -> str:
    """Return the name of a finished file, the `number`th of its batch, in an archive, with its subfolder."""
    path = Path(strip_direction_marks(item.relative_path.as_posix()))
    ending, size, preset = item.result.suffix if item.result else ".png", "", ""
    if item.info:
        output = item.info["output"]
        size, preset = f"{output['width']}x{output['height']}", item.info["preset"]
    values = {"name": path.stem, "preset": preset, "size": size, "n": f"{number:02}"}
    return path.with_name(fill_pattern(pattern, ending, **values)).as_posix()


def pack(
    batch: Batch, path: Path, settings: Settings, language: str = DEFAULT_LANGUAGE, pattern: str = PATTERN
) -> Path:
    """Write the finished files, `report.csv` and `summary.pdf` to a ZIP file at `path`. Raises StorageError.

    `pattern` is one of `enhance.output.names`.
    """
    from .report import write_zip

    size = translate(language, "sizes_differ") if any(item.settings for item in batch.items) else None
    return write_zip(path, lines_of(batch, language, pattern), settings.describe(language, size), language=language)


def lines_of(batch: Batch, language: str, pattern: str = PATTERN) -> list[Line]:
    """Return the lines of the summary and of the table."""
    from .report import Line

    names = archive_names(batch, pattern)

    def reason(item: Item) -> str:
        return strip_direction_marks(item.error.message(language)) if item.error else ""

    return [
        Line(strip_direction_marks(item.name), item.state, reason(item), names.get(item, ""), item.info)
        for item in batch.items
    ]
