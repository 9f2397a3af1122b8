"""One run from a picture file to a written PNG, as steps that read from top to bottom; a preview goes the same way.

    1 decode    2 an earlier result    3 scene    4 network    5 tune    6 write    7 describe

A picture is decoded once: every step gets the pixels, none the file. A long run decodes when its turn on the device is
near, so that none holds a picture while it waits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import models
from .engine.raw_store import NetworkOutput, OutputShape, streams_columns
from .errors import StorageError
from .files import check_writable, file_sha256
from .images import FLAWLESS, Box, Picture, read_picture
from .info import Request, Result, RunCallbacks, RunRecord, exported_output, output_of
from .output.formats import Encoding, export
from .output.png_reader import is_intact
from .output.provenance import check_replaceable, origin_of
from .output.resample import result_size
from .output.result import ResultRows, Scene, Written, faces_over, write_png
from .preview import Preview, PreviewRegion, agreement_db, render, surroundings
from .processes import temporary_path
from .scenes.dehaze import find_haze
from .scenes.faces import FaceCache
from .scheduler import SCHEDULER, Ticket
from .store import TaskStore, count_as_used

if TYPE_CHECKING:
    from .engine.engine import Engine


_OF_THE_MAKING = ("faces", "fidelity_db", "seconds", "megapixels_per_second", "peak_memory_mb", "finished")
"""The facts of a result that was stored already which are those of the run that made it."""


@dataclass(frozen=True)
class Context:
    """What every run works with: the engine, the faces of the last pictures, and the store of tasks."""

    engine: Engine
    face_cache: FaceCache
    tasks: TaskStore


@dataclass(frozen=True)
class Target:
    """Where a result goes: `path`, and `keep` for the network's output where that is kept."""

    path: Path
    keep: Path | None = None


@contextmanager
def wait_in_queue(request: Request, callbacks: RunCallbacks) -> Iterator[None]:
    """Before step 1 of a long run: wait until it is next. Raises WeightsError, Cancelled."""
    for name in request.settings.weights.models:
        models.ensure(name, stop=callbacks.stop)  # a fetch, which may take minutes, keeps nobody from the device
    with SCHEDULER.queue_job(callbacks.ticket, ahead=1):
        yield


def decode(request: Request) -> Picture:
    """Return the decoded image of a request, with the requested name. Raises PictureError, StorageError."""
    picture = request.source
    if not isinstance(picture, Picture):
        limits = {"max_pixels": request.max_pixels, "max_bytes": request.max_bytes}
        picture = read_picture(picture, **limits, folder=request.folder)
    return picture if request.name is None else replace(picture, name=request.name)


def begin(request: Request, context: Context, callbacks: RunCallbacks) -> RunRecord:
    """Step 1: the picture decoded, the model's file at hand.

    Raises PictureError, WeightsError, Cancelled, and SettingsError where the picture cannot have the size asked for.
    """
    picture = decode(request)
    result_size(request.settings, picture.height, picture.width)  # what cannot be is refused before it costs anything
    located, *_ = [models.ensure(name, stop=callbacks.stop) for name in request.settings.weights.models]
    engine = context.engine
    precision = engine.precision(picture.bits, located.name)
    return RunRecord(
        picture, request.settings, located, precision, str(engine.device), callbacks.asked, callbacks.ticket
    )


def find_stored(record: RunRecord, tasks: TaskStore, path: Path) -> dict[str, Any] | None:
    """Step 2 of a task: the facts of an earlier result of the same run, now also at `path`; None if there is none."""
    earlier = tasks.find(record.signature, record.settings.dpi)
    if earlier is None:
        return None
    try:
        tasks.copy_result(earlier["task_id"], path)
    except StorageError:
        return None
    record.add(**{name: earlier[name] for name in _OF_THE_MAKING if name in earlier})
    return record.info(earlier["output"] | {"path": str(path)}, cached=True)


def find_at(record: RunRecord, path: Path, encoding: Encoding) -> dict[str, Any] | None:
    """Step 2 of a run to `path`: the facts of the result that lies there, if it is that of this run; else None.

    All its bytes are read, for their checksum and for the checksums inside a PNG.
    """
    origin = origin_of(path)
    if origin.signature != record.signature or origin.encoding != (None if encoding.is_stored else str(encoding)):
        return None
    if origin.dpi != (None if record.settings.dpi is None else str(record.settings.dpi)):
        return None
    if encoding.format == "png" and not is_intact(path):
        return None
    output = output_of(Written(path, file_sha256(path), path.stat().st_size), record.size)
    if not encoding.is_stored:
        of = record.picture
        notes = encoding.notes(alpha=of.alpha is not None, bits=of.bits, metadata=of.metadata)
        output = exported_output(output, path, encoding, notes)
    with suppress(ValueError):  # what somebody else has written there
        fidelity = float(origin.fidelity_db or "nan")
        record.add(fidelity_db=fidelity if math.isfinite(fidelity) else None)
    return record.info(output, cached=True)


def make(
    record: RunRecord, target: Target, context: Context, callbacks: RunCallbacks, preview: Preview | None = None
) -> dict[str, Any]:
    """Steps 3 to 7: make the result and write it to the target; gives its facts, all but the task's id."""
    record.watch_memory(context.engine.own.type, reset=True)
    scene = find_scene(record, context.face_cache, callbacks.ticket)
    with network_output(record, scene, context.engine, callbacks, target) as output:
        rows = finished_rows(record, output, scene)
        rendition = callbacks.watch.finished(rows) if callbacks.watch else None
        meter = None if rows.is_smaller else rows.meter()
        written, seconds = write_png(
            rows,
            target.path,
            signature=record.signature,
            meter=meter,
            thumbnail=rendition,
            stop=callbacks.stop,
        )
        record.spent(seconds)
        record.add(fidelity_db=meter and meter.decibels(), **scene.describe())
        if preview is not None and preview.region.network_key == record.network_key:
            record.add(agreement_db=agreement_db(preview, rows))
        return record.info(output_of(written, rows.size))


def make_preview(
    record: RunRecord,
    box: Box,
    context: Context,
    callbacks: RunCallbacks,
    *,
    known: Mapping[str, Preview] | None = None,
) -> Preview:
    """Steps 3 to 7 for the square `box` with a margin around it, kept in memory.

    What the network made of the same square before is taken
    from `known`, by the network's key, with the seconds that it took.
    """
    record.watch_memory(context.engine.own.type, reset=False)
    settings = record.settings
    outer = surroundings(box, record.picture.width, record.picture.height, settings)
    seen_outer = outer.reduced(settings.reduce)
    scene = find_scene(record, context.face_cache, callbacks.ticket, seen_outer)
    part, earlier = record.picture.cut(outer), (known or {}).get(record.network_key)
    seen = part.reduced(settings.reduce)
    if earlier is None:
        with network_output(record, scene, context.engine, callbacks, part=seen, box=seen_outer) as output:
            network = output.rows(0, output.height)
    else:
        network = earlier.region.network
        record.spent({"network": earlier.info["seconds"]["network"]})
    patches = scene.faces.patches if scene.faces else ()
    photo = scene.photo(seen, settings, record.seen.flaws, seen_outer)
    whole = record.picture.height, record.picture.width
    region = PreviewRegion(part, photo, network, box, outer, whole, record.network_key, patches)
    before, after, decibels = render(region, settings)
    record.stage("tuning")
    record.add(preview=asdict(box), fidelity_db=decibels, **scene.describe())
    return Preview(before, after, region, record.info())


def find_scene(record: RunRecord, face_cache: FaceCache, ticket: Ticket | None = None, box: Box | None = None) -> Scene:
    """Step 3: what the preset's scene finds in all that is enlarged (of faces, those that show in `box`)."""
    scene = record.settings.scene
    if scene is None:
        return Scene()
    picture = record.seen
    haze = find_haze(picture.rgb) if scene == "dehaze" else None
    faces = face_cache.faces(picture, box, ticket) if scene == "face" else None
    record.stage("scene")
    return Scene(haze, faces)


@contextmanager
def network_output(
    record: RunRecord,
    scene: Scene,
    engine: Engine,
    callbacks: RunCallbacks,
    target: Target | None = None,
    *,
    part: Picture | None = None,
    box: Box | None = None,
) -> Iterator[NetworkOutput]:
    """Step 4: the network's output, the one that is kept if there is one, else made, and kept where the target says so.

    A large one that is not kept lies beside the result for as long as it is needed. Of a `part` of what is enlarged,
    which lies at `box`, the output is that of the part alone.
    """
    picture = part or record.seen
    with _kept(target) or _empty(picture, record.settings.factor, target) as output:
        if output.filled < output.shape.along:
            record.ran = True
            folder = target.path.parent if target else None
            seen = scene.seen(picture, record.settings, box, folder)
            _fill(output, seen, record, engine, callbacks, folder)
            if target and target.keep:
                output.keep()
        SCHEDULER.leave_queue(callbacks.ticket)
        record.stage("network")
        yield output


def finished_rows(record: RunRecord, output: NetworkOutput, scene: Scene) -> ResultRows:
    """Step 5: the finished picture as rows on demand."""
    settings, patches = record.settings, scene.faces.patches if scene.faces else ()
    photo = scene.photo(record.seen, settings, record.seen.flaws if settings.tuning else FLAWLESS)
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


def _empty(picture: Picture, factor: int, target: Target | None) -> NetworkOutput:
    height, width = picture.height, picture.width
    shape = OutputShape(factor * height, factor * width, picture.rgb.dtype.name, streams_columns(height, width))
    folder = target.path.parent if target else None
    return NetworkOutput.create(shape, path=target.keep if target else None, folder=folder)


def _fill(
    output: NetworkOutput,
    rgb: np.ndarray,
    record: RunRecord,
    engine: Engine,
    callbacks: RunCallbacks,
    folder: Path | None,
) -> None:
    """Run the network."""

    def between_steps(done: int, total: int, left: float | None) -> None:
        if record.memory is not None:
            record.memory.sample()
        if callbacks.progress is not None:
            callbacks.progress(done, total, left)

    strips = engine.stream(
        rgb,
        record.settings.weights,
        tile=record.settings.tile,
        progress=between_steps,
        ticket=callbacks.ticket,
        folder=folder,
    )
    with closing(strips):
        for strip in strips:
            output.add(strip)
            if callbacks.watch is not None:
                callbacks.watch.strip(strip)


def run_as_task(
    record: RunRecord,
    source: Path,
    context: Context,
    callbacks: RunCallbacks,
    preview: Preview | None = None,
    hold: ExitStack | None = None,
) -> Result:
    """Steps 2 to 7 of a run whose result goes to the store, together with its input and the network's output."""
    tasks = context.tasks
    tasks.prepare()
    task_id = tasks.new_id()
    path, keep = tasks.result_path(task_id), tasks.network_path(record.network_key)
    upload = tasks.upload_path(record.picture.sha256, record.picture.name)
    if hold is not None:
        hold.enter_context(tasks.using(path))
    with tasks.using(upload, path, keep):
        tasks.keep_upload(source, record.picture)
        info = find_stored(record, tasks, path) if callbacks.watch is None else None
        info = info or make(record, Target(path, keep), context, callbacks, preview)
        info |= {"task_id": task_id}
        tasks.finish(task_id, info)
    return Result(path, info, path)


def run_to(
    output: Path,
    encoding: Encoding,
    record: RunRecord,
    source: Path,
    context: Context,
    callbacks: RunCallbacks,
    hold: ExitStack | None = None,
    *,
    with_png: bool = False,
) -> Result:
    """Steps 2 to 7 of a run whose result goes to a place of the caller's; no task, and nothing else is kept."""
    task = {"task_id": context.tasks.new_id()}
    there = find_at(record, output, encoding) if encoding.is_stored or not with_png else None
    if there is not None:
        return Result(output, there | task, output if encoding.is_stored else None)
    check_writable(output, source)
    check_replaceable(output)
    if encoding.is_stored:
        return Result(output, make(record, Target(output), context, callbacks) | task, output)
    with ExitStack() as here:
        png = temporary_path(output)
        (hold or here).callback(png.unlink, missing_ok=True)
        info = find_stored(record, context.tasks, png)
        try:
            info = info or make(record, Target(png), context, callbacks)
        except StorageError as error:  # nobody knows the PNG's name
            error.values |= {"name": output.name} if "name" in error.values else {}
            raise
        export(png, output, encoding, callbacks.stop, marked=True)
        return Result(png, info | task, png).exported_as(output, encoding)
