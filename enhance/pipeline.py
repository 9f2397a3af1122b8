"""One run from a picture file to a written PNG, as steps that read from top to bottom; a preview goes the same way.

    1 decode    2 an earlier result    3 scene    4 network    5 tune    6 write    7 describe

A picture is decoded once: every step gets the pixels, none the file. A long run decodes when its turn on the device is
near, so that none holds a picture while it waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .errors import StorageError
from .files import file_sha256
from .inference import models
from .inference.network_output import NetworkOutput, OutputShape, streams_columns
from .inference.turns import Progress, RunPlace, Turn, Waiting
from .info import RunRecord, output_of
from .output.resample import scaled_size
from .output.result import FidelityMeter, ResultRows, Written, faces_over, origin_of, write_png
from .output.tuning import Photo
from .picture import Box, Picture, read_picture
from .preview import Piece, Preview, agreement_db, render
from .scenes.dehaze import Haze, clear_part, find_haze
from .scenes.faces import Faces, Portraits
from .settings import FACTOR, Settings
from .tasks import TaskStore, count_as_used

if TYPE_CHECKING:
    from .inference.engine import Engine
    from .output.rendition import Rendition


_OF_THE_MAKING = ("faces", "fidelity_db", "seconds", "megapixels_per_second", "peak_memory_mb", "finished")
"""The facts of a result that was stored already which are those of the run that made it."""


class Watcher(Protocol):
    """Someone who looks on while a picture is made."""

    def strip(self, strip: np.ndarray) -> None:
        """The network's next strip, [n, W, 3], or [H, n, 3] where the picture is wider than high."""

    def finished(self, rows: ResultRows) -> Rendition | None:
        """Called before the result is written; what it gives is fed the finished rows."""


@dataclass(frozen=True)
class Onlookers:
    """Who is told of a run's progress, who may stop it, who watches, and whose it is among several callers.

    `queued` is told how many runs are before it while it waits, `waiting` counts that time since `asked`, a
    `time.perf_counter`; `place` is a long run's near the device.
    """

    progress: Progress | None = None
    stop: threading.Event | None = None
    watch: Watcher | None = None
    caller: Hashable = None
    queued: Callable[[int], object] | None = None
    place: RunPlace | None = None
    asked: float = field(default_factory=time.perf_counter)
    waiting: Waiting = field(default_factory=Waiting)

    def turn(self, *, urgent: bool) -> Turn:
        """How the run takes its turns on the device."""
        return Turn(self.caller, urgent, self.stop, self.waiting, self.queued)


@dataclass(frozen=True)
class Workshop:
    """What every run works with: the engine, the faces of the last pictures, and the store of tasks."""

    engine: Engine
    portraits: Portraits
    tasks: TaskStore


@dataclass(frozen=True)
class Order:
    """One request: a picture file (or one that is decoded already), what is to be done with it, and its limits.

    `name` is what the picture is called, if not by its file name.
    """

    source: Path | Picture
    settings: Settings
    max_pixels: int | None = None
    max_bytes: int | None = None
    name: str | None = None


@dataclass(frozen=True)
class Target:
    """Where a result goes: `path`, and `keep` for the network's output where that is kept."""

    path: Path
    keep: Path | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """What the preset adds around the network: haze to take off before it, restored faces to put in after it."""

    haze: Haze | None = None
    faces: Faces | None = None

    def photo(self, picture: Picture, settings: Settings, noise: float = 0.0, box: Box | None = None) -> Photo:
        """What the network gets to see of the picture; `box` where the picture is only that part."""
        top, left = (box.top, box.left) if box else (0, 0)

        def rows(first: int, last: int) -> np.ndarray:
            if self.haze is None:
                return picture.rgb[first:last]
            return clear_part(picture.rgb[first:last], self.haze, settings.strength, top=top + first, left=left)

        return Photo(rows, picture.height, picture.width, picture.levels, noise)

    def describe(self) -> dict[str, Any]:
        """The facts that only this scene has."""
        return {"faces": self.faces.describe()} if self.faces else {}


@contextmanager
def near_the_device(order: Order, workshop: Workshop, others: Onlookers) -> Iterator[Onlookers]:
    """Before step 1 of a long run: its place near the device, waited for. Raises WeightsError, Cancelled."""
    for name in order.settings.recipe.models:
        models.ensure(name, others.stop)  # a fetch, which may take minutes, keeps nobody from the device
    with workshop.engine.near(others.turn(urgent=False)) as place:
        yield replace(others, place=place)


def begin(order: Order, workshop: Workshop, others: Onlookers) -> RunRecord:
    """Step 1: the picture decoded, the model's file at hand. Raises PictureError, WeightsError, Cancelled."""
    picture = order.source
    if not isinstance(picture, Picture):
        picture = read_picture(picture, max_pixels=order.max_pixels, max_bytes=order.max_bytes)
    if order.name is not None:
        picture = replace(picture, name=order.name)
    located, *_ = [models.ensure(name, others.stop) for name in order.settings.recipe.models]
    engine = workshop.engine
    precision = engine.precision(picture.bits, located.name)
    return RunRecord(picture, order.settings, located, precision, str(engine.device), others.asked, others.waiting)


def find_stored(record: RunRecord, tasks: TaskStore, path: Path) -> dict[str, Any] | None:
    """Step 2 of a task: the facts of an earlier result of the same run, now also at `path`; None if there is none."""
    earlier = tasks.find(record.signature)
    if earlier is None:
        return None
    try:
        tasks.copy_result(earlier["task_id"], path)
    except StorageError:
        return None
    record.add(**{name: earlier[name] for name in _OF_THE_MAKING if name in earlier})
    return record.info(earlier["output"] | {"path": str(path)}, cached=True)


def find_at(record: RunRecord, path: Path) -> dict[str, Any] | None:
    """Step 2 of a run to `path`: the facts of the result that lies there, if it is that of this run; else None."""
    if origin_of(path).signature != record.signature:
        return None
    size = scaled_size(record.picture.height, record.picture.width, record.settings.scale)
    written = Written(path, file_sha256(path), path.stat().st_size)
    return record.info(output_of(written, size), cached=True)


def make(
    record: RunRecord, target: Target, workshop: Workshop, others: Onlookers, preview: Preview | None = None
) -> dict[str, Any]:
    """Steps 3 to 7: make the result and write it to the target; gives its facts, all but the task's id."""
    record.watch_memory(reset=True)
    scene = find_scene(record, workshop.portraits, others.turn(urgent=False))
    with network_output(record, scene, workshop.engine, others, target) as output:
        rows = finished_rows(record, output, scene)
        rendition, meter = others.watch.finished(rows) if others.watch else None, FidelityMeter(rows)
        written, seconds = write_png(
            rows,
            target.path,
            signature=record.signature,
            passing=[meter] if rendition is None else [meter, rendition],
            stop=others.stop,
        )
        record.spent(seconds)
        record.add(fidelity_db=meter.decibels(), **scene.describe())
        if preview is not None and preview.piece.network_key == record.network_key:
            record.add(agreement_db=agreement_db(preview, rows))
        return record.info(output_of(written, rows.size))


def make_preview(record: RunRecord, box: Box, outer: Box, workshop: Workshop, others: Onlookers) -> Preview:
    """Steps 3 to 7 for the square `box`, with the pixels of `outer` around it; urgent, and kept in memory.

    `outer` lies on the grid on which the picture is averaged down.
    """
    record.watch_memory(reset=False)
    seen_outer = outer.reduced(record.settings.reduce)
    scene = find_scene(record, workshop.portraits, others.turn(urgent=True), seen_outer)
    part = record.picture.cut(outer)
    seen = part.reduced(record.settings.reduce)
    with network_output(record, scene, workshop.engine, others, part=seen, box=seen_outer) as output:
        network = output.rows(0, output.height)
    patches = scene.faces.patches if scene.faces else ()
    photo = scene.photo(seen, record.settings, record.seen.noise, seen_outer)
    piece = Piece(part, photo, network, box, outer, record.network_key, patches)
    before, after = render(piece, record.settings)
    record.stage("tuning")
    record.add(preview=asdict(box), **scene.describe())
    return Preview(before, after, piece, record.info())


def find_scene(record: RunRecord, portraits: Portraits, turn: Turn | None = None, box: Box | None = None) -> Scene:
    """Step 3: what the preset's scene finds in all that is enlarged (of faces, those that show in `box`)."""
    scene = record.settings.scene
    if scene is None:
        return Scene()
    picture = record.seen
    haze = find_haze(picture.rgb) if scene == "dehaze" else None
    faces = portraits.faces(picture, box, turn) if scene == "face" else None
    record.stage("scene")
    return Scene(haze, faces)


@contextmanager
def network_output(
    record: RunRecord,
    scene: Scene,
    engine: Engine,
    others: Onlookers,
    target: Target | None = None,
    *,
    part: Picture | None = None,
    box: Box | None = None,
) -> Iterator[NetworkOutput]:
    """Step 4: the network's output, the one that is kept if there is one, else made, and kept where the target says so.

    A large one that is not kept lies beside the result for as long as it is needed. Of a `part` of what is enlarged,
    which lies at `box`, the output is that of the part alone, and urgent.
    """
    picture = part or record.seen
    with _kept(target) or _empty(picture, target) as output:
        if output.filled < output.shape.along:
            record.ran = True
            seen = scene.photo(picture, record.settings, box=box).rows(0, picture.height)
            _fill(output, seen, record, engine, others, urgent=bool(part))
            if target and target.keep:
                output.keep()
        if others.place is not None:
            engine.leave(others.place)
        record.stage("network")
        yield output


def finished_rows(record: RunRecord, output: NetworkOutput, scene: Scene) -> ResultRows:
    """Step 5: the finished picture as rows on demand."""
    settings, patches = record.settings, scene.faces.patches if scene.faces else ()
    photo = scene.photo(record.seen, settings, record.seen.noise if settings.tuning else 0.0)
    return ResultRows(record.picture, output.rows, settings, photo, faces_over(patches, settings))


def _kept(target: Target | None) -> NetworkOutput | None:
    path = target.keep if target else None
    if path is None or not path.exists():
        return None
    try:
        output = NetworkOutput.open(path)
    except StorageError:
        return None
    count_as_used(path)
    return output


def _empty(picture: Picture, target: Target | None) -> NetworkOutput:
    height, width = picture.height, picture.width
    shape = OutputShape(FACTOR * height, FACTOR * width, picture.rgb.dtype.name, streams_columns(height, width))
    folder = target.path.parent if target else None
    return NetworkOutput.create(shape, path=target.keep if target else None, folder=folder)


def _fill(
    output: NetworkOutput, rgb: np.ndarray, record: RunRecord, engine: Engine, others: Onlookers, *, urgent: bool
) -> None:
    def between_steps(done: int, total: int, left: float | None) -> None:
        if record.memory is not None:
            record.memory.look()
        if others.progress is not None:
            others.progress(done, total, left)

    strips = engine.stream(
        rgb,
        record.settings.recipe,
        tile=record.settings.tile,
        progress=between_steps,
        stop=others.stop,
        waiting=others.waiting,
        urgent=urgent,
        caller=others.caller,
        place=others.place,
    )
    with closing(strips):
        for strip in strips:
            output.add(strip)
            if others.watch is not None:
                others.watch.strip(strip)
