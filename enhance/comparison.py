"""Comparisons: previews of one region by several presets, and all of them on a contact sheet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy import ndarray

from .errors import Cancelled, EnhanceError, expected_error
from .formats.thumbnails import SRGB, icc_for_screen, save_png
from .i18n import DEFAULT_LANGUAGE, format_seconds, name_of, translate
from .images import Box
from .info import output_info, timestamp
from .jobs.progress import Progress
from .json_object import JsonObject
from .metadata.provenance import Origin
from .pipeline import Run
from .preview import Preview
from .report.contact_sheet import SheetCell, draw_sheet
from .restore.fidelity import fidelity_grade
from .settings import Settings
from .size import Size

_FROM_PREVIEW = ("fidelity_db", "fidelity_worst_db", "signature", "settings", "model", "precision")


@dataclass(frozen=True, eq=False)
class Cell:
    """The preview of one preset, or the error that prevented it."""

    settings: Settings
    preview: Preview | None = None
    error: EnhanceError | None = None

    @property
    def seconds(self) -> float | None:
        """The preset's time for the region. It includes the network's even if another cell has the
        same network."""
        if self.preview is None:
            return None
        spent = self.preview.info["seconds"]
        return round(spent.get("scene", 0.0) + spent["network"] + spent["tuning"], 3)

    def describe(self, language: str) -> str:
        """Return time and fidelity, or the error. A result that is smaller than the photo has no
        fidelity."""
        if self.error is not None:
            return self.error.message(language)
        assert self.preview is not None
        assert self.seconds is not None
        time = format_seconds(language, self.seconds)
        worst = self.preview.info["fidelity_worst_db"]
        if worst is None:
            return time
        word = translate(language, f"fidelity_{fidelity_grade(worst)}")
        fidelity = translate(language, "fidelity_in_db", db=f"{worst:.1f}", word=word)
        return f"{time} · {fidelity}"

    def facts(self, language: str) -> JsonObject:
        """Return the preset's entry in the comparison's `info`."""
        status = "done"
        if self.error:
            status = "failed"
        known: Mapping[str, Any] = {}
        if self.preview:
            known = self.preview.info
        return {
            "name": self.settings.preset,
            "status": status,
            "error": self.error and self.error.message(language),
            "seconds": self.seconds,
            **{name: known.get(name) for name in _FROM_PREVIEW},
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """One region by several presets; at least one cell has a preview. `seconds` is the time of
    all."""

    box: Box
    cells: tuple[Cell, ...]
    seconds: float

    @property
    def previews(self) -> list[Preview]:
        return [cell.preview for cell in self.cells if cell.preview]

    @property
    def info(self) -> JsonObject:
        """The facts in English."""
        return self.facts(DEFAULT_LANGUAGE)

    def facts(self, language: str) -> JsonObject:
        """Return the facts, with the keys of a run's `info`; `presets` has those of each preset.

        A network that several presets share counts for each of them.
        """
        infos = [preview.info for preview in self.previews]
        stages = ("wait", "decode", "scene", "network", "tuning", "encode")
        seconds = {
            stage: sum(info["seconds"].get(stage, 0.0) for info in infos) for stage in stages
        }
        seconds["total"] = self.seconds
        return {
            "task_id": None,
            "status": "done",
            "input": infos[0]["input"],
            "square": asdict(self.box),
            "presets": [cell.facts(language) for cell in self.cells],
            "output": None,
            "device": infos[0]["device"],
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "peak_memory_mb": max(info["peak_memory_mb"] or 0.0 for info in infos),
            "cached": False,
            "finished": timestamp(),
        }

    def save(self, path: Path, language: str = DEFAULT_LANGUAGE) -> JsonObject:
        """Write the contact sheet as a PNG atomically; return the facts with those of the file.
        Raises StorageError."""
        sheet = self.sheet(language)
        save_png(sheet, path, SRGB, Origin("comparison").mark())
        return self.facts(language) | {"output": output_info(path, Size.of_shape(sheet.shape))}

    def sheet(self, language: str = DEFAULT_LANGUAGE) -> ndarray:
        """Return the contact sheet, the photo first: uint8 [H, W, 3] in sRGB."""
        first = self.previews[0]
        name = translate(language, "before")
        cells: list[SheetCell] = [(name, translate(language, "compare_before"), first.before)]
        for cell in self.cells:
            name = name_of(language, "preset", cell.settings.preset)
            after = cell.preview and cell.preview.after
            cells.append((name, cell.describe(language), after))
        return draw_sheet(cells, icc_for_screen(first.region.rows.image))


def compare(
    settings: Sequence[Settings],
    box: Box,
    start: Callable[[Settings], Run],
    progress: Progress | None = None,
) -> Comparison:
    """Return previews of the region `box` with each of the `settings`.

    `start` returns the run of an image. If it or the preview fails, the cell has the error. Raises
    Cancelled, and EnhanceError if all fail.
    """
    started = time.perf_counter()
    cells = dict[Settings, Cell]()
    previews = dict[str, Preview]()  # by the key of their network's output
    # Presets with the same model follow each other, so that it is loaded once. The face preset
    # unloads it, so it is the last of them.
    for one in sorted(settings, key=lambda one: (one.model, one.scene == "face")):
        try:
            run = start(one)
            preview = run.create_preview(box, previews)
            previews.setdefault(run.plan.network_key, preview)
            cells[one] = Cell(run.plan.settings, preview)
        except Cancelled:
            raise
        except Exception as error:
            what = f"The preset {one.preset} could not be compared"
            cells[one] = Cell(one, error=expected_error(error, what))
        if progress is not None:
            progress(len(cells), len(settings), None)
    ordered = tuple(cells[one] for one in settings)
    if ordered[0].error is not None and not previews:
        raise ordered[0].error
    return Comparison(box, ordered, time.perf_counter() - started)
