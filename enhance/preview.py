"""A square of the picture, seen before the whole is run: the same engine and the same tuning, with a margin around it.

The margin gives the network its surroundings: 48 px agree with the whole picture to 57 dB and more at fp32. The same
square by several presets is a comparison: cells, and all of them on one sheet.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from .errors import Cancelled, EnhanceError, SettingsError, WeightsError, expected_error, memory_errors
from .files import write_atomically
from .i18n import DEFAULT_LANGUAGE, format_seconds, name_of, translate
from .images import Box, Picture
from .info import faithfulness, output_of, timestamp
from .output.contact_sheet import SheetCell, draw_sheet
from .output.fidelity import DIFFERENCE_HALO, FidelityMeter, Photo
from .output.png import encode_png
from .output.provenance import Origin
from .output.resample import Cut, enlarge
from .output.result import ResultRows, Written, faces_over
from .output.thumbnails import SRGB, icc_for_screen
from .scenes.faces import FacePatch
from .scheduler import Progress
from .settings import Settings, WeightInterpolation, network_key

MARGIN = 48
LARGEST = 512
"""The longest side of a preview's square in input pixels."""


@dataclass(frozen=True, eq=False)
class Piece:
    """What the network made of one square: enough to tune it again without running the network.

    `picture` is the square with its margin cut out of the input, `network` the network's output for that,
    [s * height, s * width, 3], and `photo` what it saw; `box` the square, `outer` the square with its margin, in input
    pixels, of a picture of `whole` (height, width); `network_key` that of the whole picture's output, of which this is
    a part; `patches` are the restored faces.
    """

    picture: Picture
    photo: Photo
    network: np.ndarray
    box: Box
    outer: Box
    whole: tuple[int, int]
    network_key: str
    patches: tuple[FacePatch, ...] = ()


@dataclass(frozen=True, eq=False)
class Preview:
    """Before and after of one square at the result's scale: uint8 or uint16 [h, w, C] of equal size, and the facts."""

    before: np.ndarray
    after: np.ndarray
    piece: Piece
    info: dict[str, Any]


def choose_box(width: int, height: int, x: float | None, y: float | None, size: int) -> Box:
    """The square of `size` px with its centre at x, y (default the middle), moved and cut to lie in the picture.

    Raises SettingsError for a size or a place that no square has.
    """
    if not isinstance(size, Real) or not 1 <= size <= LARGEST:
        raise SettingsError("size_range", largest=LARGEST, value=repr(size))
    for place in (x, y):
        if place is not None and not (isinstance(place, Real) and math.isfinite(place)):
            raise SettingsError("place_number", value=repr(place))
    across, down = min(size, width), min(size, height)
    left = round((width / 2 if x is None else x) - across / 2)
    top = round((height / 2 if y is None else y) - down / 2)
    return Box(min(max(left, 0), width - across), min(max(top, 0), height - down), across, down)


def surroundings(box: Box, width: int, height: int, settings: Settings) -> Box:
    """The square with its margin, made of whole averages, in a picture of `width` x `height`."""
    return box.grown(MARGIN * settings.reduce, width, height).on_grid(settings.reduce, width, height)


def render(piece: Piece, settings: Settings) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Before (the input enlarged bicubically) and after (the tuned network output) of the square alone.

    The third is how well that explains the photo, in dB; None where it is smaller than the photo.
    """
    result = _rows_of(piece, settings)
    height, width = result.size
    down, across = result.grid.window(piece.box)
    halo = math.ceil((DIFFERENCE_HALO + 2) * height / piece.photo.height)
    low, high = max(down.start - halo, 0), min(down.stop + halo, height)
    rows = result.rows(low, high)
    before = enlarge(_channels(piece.picture), result.grid, down.start, down.stop)[:, across]
    after = rows[down.start - low : down.stop - low, across]
    around = np.zeros((height, width, result.channels), rows.dtype)
    around[low:high] = rows
    return before, after, None if result.is_smaller else _fidelity_db(piece, result, around)


def _fidelity_db(piece: Piece, result: ResultRows, rows: np.ndarray) -> float:
    """How well the square alone explains the photo, in dB; of the `rows` only those in and near it count."""
    box, outer = piece.box, piece.outer
    inside = Box(box.left - outer.left, box.top - outer.top, box.width, box.height)
    meter = FidelityMeter(result, inside.reduced(result.settings.reduce))
    meter.add(rows)
    return meter.decibels()


def look(rows: ResultRows, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Before and after of a square of the finished picture: its exact pixels, and the input enlarged bicubically."""
    down, across = rows.grid.window(box)
    before = enlarge(_channels(rows.picture), rows.grid, down.start, down.stop)[:, across]
    return before, rows.rows(down.start, down.stop)[:, across]


def agreement_db(preview: Preview, rows: ResultRows) -> float:
    """The PSNR in dB between a preview and the finished pixels of its square; equal pixels count as 99 dB."""
    _, previewed, _ = render(preview.piece, rows.settings)
    down, across = rows.grid.window(preview.piece.box)
    final = rows.rows(down.start, down.stop)[:, across]
    error = np.mean((previewed.astype(np.float64) - final) ** 2)
    return round(min(99.0, float(10 * np.log10(rows.picture.levels**2 / max(error, 1e-12)))), 2)


def _rows_of(piece: Piece, settings: Settings) -> ResultRows:
    """The result of the square with its margin."""
    seen = piece.outer.reduced(settings.reduce)
    faces = faces_over(piece.patches, settings, (seen.top, seen.left))
    cut = Cut(piece.outer, *piece.whole)
    return ResultRows(piece.picture, lambda a, b: piece.network[a:b], settings, piece.photo, faces, cut)


def _channels(picture: Picture) -> np.ndarray:
    colour = picture.rgb[..., :1] if picture.grey else picture.rgb
    return colour if picture.alpha is None else np.dstack([colour, picture.alpha])


@dataclass(frozen=True, eq=False)
class Cell:
    """What one preset makes of a square, or why it makes nothing of it.

    `seconds` are what the preset takes for it; where several share a network's output, its making counts for each.
    """

    settings: Settings
    preview: Preview | None = None
    seconds: float | None = None
    fidelity_db: float | None = None
    error: EnhanceError | None = None

    def in_words(self, language: str) -> str:
        """Seconds and fidelity, or what went wrong."""
        if self.error is not None:
            return self.error.sentence(language)
        assert self.seconds is not None
        assert self.fidelity_db is not None
        word = translate(language, f"fidelity_{faithfulness(self.fidelity_db)}")
        fidelity = translate(language, "fidelity_in_db", db=f"{self.fidelity_db:.1f}", word=word)
        return f"{format_seconds(language, self.seconds)} · {fidelity}"

    def labelled(self, language: str) -> SheetCell:
        """The picture as a sheet shows it."""
        pixels = self.preview.after if self.preview else None
        return SheetCell(name_of(language, "preset", self.settings.preset), self.in_words(language), pixels)

    def facts(self, language: str) -> dict[str, Any]:
        """The preset's part of a comparison's `info`."""
        known = self.preview.info if self.preview else dict.fromkeys(("signature", "settings", "model", "precision"))
        return {
            "name": self.settings.preset,
            "status": "failed" if self.error else "done",
            "error": self.error.sentence(language) if self.error else None,
            "seconds": self.seconds,
            "fidelity_db": self.fidelity_db,
            **{name: known[name] for name in ("signature", "settings", "model", "precision")},
        }


Make = Callable[[Settings, Mapping[str, Preview], Progress], Preview]
"""Makes a preview, given those of the same square that are there already, by their network's key."""


def compare(
    wanted: Sequence[Settings],
    make: Make,
    expected: Callable[[Settings], float],
    progress: Progress | None = None,
    arrived: Callable[[Cell], object] | None = None,
) -> tuple[Cell, ...]:
    """A cell for each of the settings, one model after the other; `expected` seconds tell how much of it is done.

    Raises Cancelled. What one of them raises else is in its cell, unless that is so of all: then the first is raised.
    """
    way = _Way(wanted, expected, progress)
    cells, known, wrap = dict[int, Cell](), dict[str, Preview](), dict[WeightInterpolation, EnhanceError]()
    for place in _by_model(wanted):
        settings = wanted[place]
        error = wrap.get(settings.weights)
        cell = Cell(settings, error=error) if error else _cell(settings, known, make, way)
        if isinstance(cell.error, WeightsError):
            wrap[settings.weights] = cell.error  # to look for the file again may take minutes
        way.passed(settings)
        cells[place] = cell
        if arrived is not None:
            arrived(cell)
    first = cells[0]
    if first.error is not None and all(cell.error for cell in cells.values()):
        raise first.error
    return tuple(cells[place] for place in range(len(wanted)))


def _by_model(wanted: Sequence[Settings]) -> list[int]:
    """Places such that each model is loaded once; faces come last, since another network takes the model's place."""
    recipes = [settings.weights for settings in wanted]
    return sorted(range(len(wanted)), key=lambda at: (recipes.index(recipes[at]), wanted[at].scene == "face"))


def _cell(settings: Settings, known: dict[str, Preview], make: Make, way: _Way) -> Cell:
    try:
        with memory_errors():
            preview = make(settings, known, way.told(settings))
            known.setdefault(preview.piece.network_key, preview)
            spent = preview.info["seconds"]
            seconds = round(spent.get("scene", 0.0) + spent["network"] + spent["tuning"], 3)
            return Cell(settings, preview, seconds, preview.info["fidelity_db"])
    except Cancelled:
        raise
    except Exception as error:
        return Cell(settings, error=expected_error(error, f"The preset {settings.preset} could not be compared"))


class _Way:
    """How far a comparison is, by the seconds that its networks are expected to take."""

    def __init__(self, wanted: Sequence[Settings], expected: Callable[[Settings], float], progress: Progress | None):
        self._left = {_network(settings): max(expected(settings), 1e-3) for settings in wanted}
        self._whole, self._networks, self._progress = sum(self._left.values()), len(self._left), progress

    def passed(self, settings: Settings) -> None:
        self._left.pop(_network(settings), None)

    def told(self, settings: Settings) -> Progress:
        """For the network of these settings: its rows become a share of the whole."""
        own = self._left.get(_network(settings), 0.0)
        later = sum(self._left.values()) - own

        def rows(done: int, total: int, left: float | None) -> None:
            share = 1 - (later + own * (1 - done / total)) / self._whole
            whole = total * self._networks
            if self._progress is not None:
                self._progress(min(whole, round(share * whole)), whole, None if left is None else left + later)

        return rows


def _network(settings: Settings) -> str:
    return network_key("", settings, settings.model, "")


@dataclass(frozen=True, eq=False)
class Comparison:
    """One square by several presets; one cell at least has a preview. `seconds` are those of decoding and in total."""

    box: Box
    cells: tuple[Cell, ...]
    seconds: dict[str, float]

    @property
    def first(self) -> Preview:
        """A preview of the square, for what all of them share."""
        return next(cell.preview for cell in self.cells if cell.preview)

    @property
    def info(self) -> dict[str, Any]:
        """The facts in English."""
        return self.info_in(DEFAULT_LANGUAGE)

    def info_in(self, language: str) -> dict[str, Any]:
        """The facts, with the keys of a run's where they are the same; `presets` has those of each."""
        known, made = self.first.info, [cell.preview.info for cell in self.cells if cell.preview]
        stages = "wait", "scene", "tuning", "encode"
        seconds = {name: float(sum(info["seconds"].get(name, 0) for info in made)) for name in stages}
        own = {cell.preview.piece.network_key: cell.preview.info for cell in self.cells if cell.preview}
        seconds["network"] = sum(info["seconds"]["network"] for info in own.values())
        return {
            "task_id": None,
            "status": "done",
            "input": known["input"],
            "square": asdict(self.box),
            "presets": [cell.facts(language) for cell in self.cells],
            "output": None,
            "device": known["device"],
            "seconds": {name: round(value, 3) for name, value in (seconds | self.seconds).items()},
            "peak_memory_mb": max(info["peak_memory_mb"] for info in made),
            "cached": False,
            "finished": timestamp(),
        }

    def save(self, path: Path, language: str = DEFAULT_LANGUAGE) -> dict[str, Any]:
        """Write all cells as one PNG, whole or not at all; gives the facts, with the file's. Raises StorageError."""
        sheet = self.sheet(language)
        content = encode_png(sheet, icc=SRGB, mark=Origin("comparison").mark())
        write_atomically(path, lambda part: part.write_bytes(content))
        written = Written(path, hashlib.sha256(content).hexdigest(), len(content))
        return self.info_in(language) | {"output": output_of(written, (sheet.shape[0], sheet.shape[1]))}

    def sheet(self, language: str = DEFAULT_LANGUAGE) -> np.ndarray:
        """All cells on white, pixel for pixel and named, the photo before them: uint8 [H, W, 3] in sRGB."""
        first = self.first
        before = SheetCell(translate(language, "before"), translate(language, "compare_before"), first.before)
        named = [cell.labelled(language) for cell in self.cells]
        return draw_sheet([before, *named], icc_for_screen(first.piece.picture))
