"""One run from an image to a written PNG, as numbered steps. A preview uses the same steps.

    1 decode    2 look up a cached result    3 scene    4 network    5 tune    6 write    7 describe

An image is decoded once, and all later steps use its pixels. A long run decodes when it is next on the device, so that
no run holds an image while it is queued.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from . import models
from .engine.raw_store import NetworkOutput, OutputShape, streams_columns
from .errors import Cancelled, StorageError, WeightsError
from .files import check_writable, file_sha256
from .images import Box, SourceImage
from .images.worker import allocate_pixels
from .info import (
    NO_MODEL,
    AutoInfo,
    Info,
    Measurements,
    Result,
    RunRecord,
    exported_output_info,
    output_info,
)
from .output.fidelity import Fidelity
from .output.formats import Encoding, export
from .output.png_reader import is_intact
from .output.provenance import check_replaceable, origin_of
from .output.resample import Cut, has_second_pass, result_size
from .output.result import ResultRows, Scene, Written, faces_over, write_png
from .presets import with_installed_models
from .preview import Preview, PreviewRegion, agreement_db, render, surroundings
from .processes import temporary_path
from .scenes.dehaze import find_haze
from .scenes.faces import FaceCache
from .scheduler import SCHEDULER, Progress, Ticket
from .settings import SECOND_MODEL, SECOND_SCALE, Settings, WeightInterpolation, network_scale
from .store import TaskStore, count_as_used

if TYPE_CHECKING:
    from .engine.engine import Engine
    from .models import Located
    from .output.thumbnails import Thumbnail


_ROWS = 64
_COPIED_PIXELS = 1 << 22
"""Pixels of an image without a network that are copied at once."""
_MEASURED_ONCE = (
    *("faces", "fidelity_db", "fidelity_worst_db", "seconds", "megapixels_per_second", "peak_memory_mb", "finished"),
)
"""The measurements that a cached result takes from the run that computed it."""


@dataclass(frozen=True)
class Context:
    """What all runs share: the engine, the faces of the last images, and the store of tasks."""

    engine: Engine
    face_cache: FaceCache
    tasks: TaskStore


class StripCallback(Protocol):
    """Receives a result while it is computed."""

    def strip(self, strip: np.ndarray) -> None:
        """Receive the next strip of the network's output: [n, W, 3], or [H, n, 3] if the image is wider than high."""

    def finished(self, rows: ResultRows) -> Thumbnail | None:
        """Return a thumbnail that the rows of the result are added to while they are written, or None."""


@dataclass(frozen=True)
class RunCallbacks:
    """The ticket of a run, the callbacks during the run, and its start as a `time.perf_counter`.

    `on_compute` is called before a result is computed, but not for a cached result.
    """

    ticket: Ticket
    progress: Progress | None = None
    watch: StripCallback | None = None
    on_compute: Callable[[RunRecord], object] | None = None
    started: float = field(default_factory=time.perf_counter)

    @property
    def stop(self) -> threading.Event:
        """The event that cancels the run."""
        return self.ticket.stop

    def part(self, first: float, last: float) -> RunCallbacks:
        """Return the callbacks of a part of the networks' work, from the share `first` of all work to `last`.

        The strips are those of the first network.
        """

        def report(done: int, total: int, seconds_left: float | None) -> None:
            if self.progress is not None:
                share = first + (last - first) * done / total
                self.progress(round(share * total), total, seconds_left if last == 1 else None)

        return replace(self, progress=report, watch=self.watch if first == 0 else None)


@dataclass(frozen=True)
class Target:
    """The `path` of a result, and `network_path` for the network's output if that is stored."""

    path: Path
    network_path: Path | None = None


@contextmanager
def wait_in_queue(settings: Settings, ticket: Ticket) -> Iterator[None]:
    """Download missing models, then wait until the run is next, before step 1 of a long run.

    Downloads come first, because they can take minutes. Raises WeightsError, Cancelled.
    """
    _install_models(settings, ticket.stop)
    with SCHEDULER.queue_job(ticket, ahead=1):
        yield


def begin(
    image: SourceImage, settings: Settings, context: Context, callbacks: RunCallbacks, auto: AutoInfo | None = None
) -> RunRecord:
    """End step 1: return the record of a run, whose image is decoded and whose model is installed.

    `auto` is the reason for settings that were chosen for the image. Raises WeightsError, Cancelled, and SettingsError
    if the image cannot have the requested size.
    """
    result_size(settings, image.height, image.width)  # raises before anything is downloaded
    settings, stop, ticket = _install_models(settings, callbacks.stop), callbacks.stop, callbacks.ticket
    engine, (model, second) = context.engine, find_models(settings, (image.height, image.width), stop)
    precision = engine.precision(image.bits, model.name) if settings.model else "fp32"
    return RunRecord(
        image, settings, model, precision, str(engine.device), callbacks.started, ticket, auto=auto, second=second
    )


def find_models(
    settings: Settings, size: tuple[int, int], stop: threading.Event | None = None
) -> tuple[Located, Located | None]:
    """Return the model for an image of this height and width and, for a large result, that of the second network.

    Raises WeightsError, Cancelled.
    """
    model = models.ensure(settings.model, stop=stop) if settings.model else NO_MODEL
    return model, models.ensure(SECOND_MODEL, stop=stop) if has_second_pass(settings, *size) else None


def _install_models(settings: Settings, stop: threading.Event) -> Settings:
    """Download missing models and return the settings, with `denoise` 1 if the second model is not available.

    Raises WeightsError, Cancelled.
    """
    settings = with_installed_models(settings)
    for name in settings.weights.models:
        try:
            models.ensure(name, stop=stop)
        except WeightsError:
            if name == settings.model:
                raise
            return replace(settings, denoise=1.0)
    return settings


def find_stored(record: RunRecord, tasks: TaskStore, path: Path) -> Info | None:
    """Step 2 of a task: link or copy a cached result of the same request to `path` and return its info, or None."""
    cached = tasks.find(record.signature, record.settings.dpi)
    if cached is None:
        return None
    try:
        tasks.copy_result(cached["task_id"], path)
    except StorageError:
        return None
    measurements = {name: value for name, value in cached.items() if name in _MEASURED_ONCE}
    record.measurements = cast(Measurements, measurements)
    return record.info({**cached["output"], "path": str(path)}, cached=True)


def find_at_path(record: RunRecord, path: Path, encoding: Encoding) -> Info | None:
    """Step 2 of a run to `path`: return the info of the result at this path, or None if it is not that of this run.

    All its bytes are read, for its checksum and for the checksums inside a PNG.
    """
    origin, dpi = origin_of(path), record.settings.dpi
    if origin.signature != record.signature or origin.encoding != (None if encoding.is_stored else str(encoding)):
        return None
    if origin.dpi != (None if dpi is None else str(dpi)):
        return None
    if encoding.format == "png" and not is_intact(path):
        return None
    output = output_info(Written(path, file_sha256(path), path.stat().st_size), record.size)
    if not encoding.is_stored:
        image = record.image
        notes = encoding.notes(alpha=image.alpha is not None, bits=image.bits, metadata=image.metadata)
        output = exported_output_info(output, path, encoding, notes)
    with suppress(ValueError):  # another program can have changed the text
        average, worst = float(origin.fidelity_db or "nan"), float(origin.fidelity_worst_db or "nan")
        if math.isfinite(average) and math.isfinite(worst):
            record.add_fidelity(Fidelity(average, worst))
    return record.info(output, cached=True)


def create_result(
    record: RunRecord, target: Target, context: Context, callbacks: RunCallbacks, preview: Preview | None = None
) -> Info:
    """Steps 3 to 7: write the result to the target and return its info, without the id of a task."""
    if callbacks.on_compute:
        callbacks.on_compute(record)
    record.watch_memory(context.engine.own.type, reset=True)
    scene = find_scene(record, context.face_cache, callbacks.ticket)
    with network_output(record, scene, context.engine, callbacks, target) as output:
        rows = result_rows(record, output, scene)
        meter = None if rows.is_smaller else rows.meter()
        written, seconds = write_png(
            rows,
            target.path,
            signature=record.signature,
            meter=meter,
            thumbnail=callbacks.watch.finished(rows) if callbacks.watch else None,
            stop=callbacks.stop,
        )
        record.seconds |= seconds
        record.add_fidelity(meter and meter.fidelity())
        if preview is not None and preview.region.network_key == record.network_key:
            record.measurements["agreement_db"] = agreement_db(preview, rows)
        return record.info(output_info(written, rows.size))


def create_preview(
    record: RunRecord,
    box: Box,
    context: Context,
    callbacks: RunCallbacks,
    *,
    earlier: Mapping[str, Preview] | None = None,
) -> Preview:
    """Steps 3 to 7 for the region `box`, in memory.

    `earlier` has previews of the same region by network key. One with the same key saves running the network, and its
    network seconds are reported again.
    """
    record.watch_memory(context.engine.own.type, reset=False)
    image, settings = record.image, record.settings
    outer = surroundings(box, image.width, image.height, settings)
    input_box = outer.downscale(settings.reduce)
    scene = find_scene(record, context.face_cache, callbacks.ticket, input_box)
    part, known = image.crop(outer), (earlier or {}).get(record.network_key)
    network_input = part.downscale(settings.reduce)
    if known is None:
        cut = Cut(outer, image.height, image.width)
        with network_output(
            record, scene, context.engine, callbacks, part=network_input, box=input_box, cut=cut
        ) as output:
            network = output.rows(0, output.height)
    else:
        network = known.region.network
        record.seconds["network"] = known.info["seconds"]["network"]
    photo = scene.photo(network_input, settings, record.network_input.flaws, input_box)
    patches = scene.faces.patches if scene.faces else ()
    size = image.height, image.width
    region = PreviewRegion(part, photo, network, box, outer, size, record.network_key, patches)
    before, after, fidelity = render(region, settings)
    record.add_fidelity(fidelity)
    record.end_stage("tuning")
    return Preview(before, after, region, record.preview_info(asdict(box)))


def find_scene(record: RunRecord, face_cache: FaceCache, ticket: Ticket | None = None, box: Box | None = None) -> Scene:
    """Step 3: return the haze of the network's input, or its faces, for a preset that uses them.

    Only faces that are visible in `box` are restored.
    """
    name = record.settings.scene
    if name is None:
        return Scene()
    image = record.network_input
    haze = find_haze(image.rgb) if name == "dehaze" else None
    faces = face_cache.faces(image, box, ticket) if name == "face" else None
    if faces:
        record.measurements["faces"] = faces.describe()
    record.end_stage("scene")
    return Scene(haze, faces)


@contextmanager
def network_output(
    record: RunRecord,
    scene: Scene,
    engine: Engine,
    callbacks: RunCallbacks,
    target: Target | None = None,
    *,
    part: SourceImage | None = None,
    box: Box | None = None,
    cut: Cut | None = None,
) -> Iterator[NetworkOutput]:
    """Step 4: yield the network's output, from the target's `network_path` if it is stored there.

    Otherwise run the network, and store the output if the target has a `network_path`. A large output that is not
    stored is a temporary file in the folder of the result. With `part`, the region `box` of the network's input, yield
    the output of that part; `cut` is its region of the input. With a second model, yield the output of that.
    """
    image, folder = part or record.network_input, target.path.parent if target else None
    factor, size = record.settings.factor, (image.height, image.width)
    if record.second:
        factor *= SECOND_SCALE
    with _stored_output(target) or _empty_output(size, image.rgb.dtype.name, factor, target) as output:
        if output.filled < output.shape.along:
            record.has_run_network = bool(record.settings.model)
            if not record.settings.model:
                _copy_input(output, image, callbacks)
            elif record.second is None:
                rgb = scene.network_pixels(image, record.settings, box, folder)
                _run_network(output, rgb, record, record.settings.weights, engine, callbacks, folder)
            else:
                rgb = _first_result(image, scene, record, engine, callbacks, folder, box, cut)
                weights, late = WeightInterpolation(record.second.name), callbacks.part(0.5, 1.0)
                _run_network(output, rgb, record, weights, engine, late, folder)
            if target and target.network_path:
                output.keep()
        SCHEDULER.leave_queue(callbacks.ticket)
        record.end_stage("network")
        yield output


def _first_result(
    image: SourceImage,
    scene: Scene,
    record: RunRecord,
    engine: Engine,
    callbacks: RunCallbacks,
    folder: Path | None,
    box: Box | None,
    cut: Cut | None,
) -> np.ndarray:
    """Return the colour of the result at the scale of the first network, the input of the second one: [H, W, 3].

    A large one is an unnamed file in `folder`.
    """
    settings, dtype = record.settings.changed(scale=network_scale(record.settings)), image.rgb.dtype.name
    with _empty_output((image.height, image.width), dtype, settings.factor, None, folder) as output:
        rgb = scene.network_pixels(image, settings, box, folder)
        _run_network(output, rgb, record, settings.weights, engine, callbacks.part(0.0, 0.5), folder)
        rows = _rows(replace(image, grey=False), settings, output, scene, record.network_input, box, cut)
        height, width = rows.size
        result = allocate_pixels((height, width, 3), dtype, folder)
        for first in range(0, height, _ROWS):
            if callbacks.stop.is_set():
                raise Cancelled("stopped")
            result[first : first + _ROWS] = rows.rows(first, min(first + _ROWS, height))[..., :3]
    return result


def result_rows(record: RunRecord, output: NetworkOutput, scene: Scene) -> ResultRows:
    """Step 5: return the finished result as rows on demand."""
    # The input of a second network is tuned already.
    settings = replace(record.settings, tuning=False) if record.second else record.settings
    return _rows(record.image, settings, output, Scene() if record.second else scene, record.network_input)


def _rows(
    image: SourceImage,
    settings: Settings,
    output: NetworkOutput,
    scene: Scene,
    network_input: SourceImage,
    box: Box | None = None,
    cut: Cut | None = None,
) -> ResultRows:
    """Return the result of an image, or of its region `cut`; `box` is that region of the network's input."""
    patches, flaws = scene.faces.patches if scene.faces else (), network_input.flaws
    part = network_input if box is None else image.downscale(settings.reduce)
    photo, origin = scene.photo(part, settings, flaws, box), (box.top, box.left) if box else (0, 0)
    return ResultRows(image, output.rows, settings, photo, faces_over(patches, settings, origin), cut)


def _stored_output(target: Target | None) -> NetworkOutput | None:
    path = target.network_path if target else None
    if path is None or not path.exists():
        return None
    try:
        output = NetworkOutput.open(path)
    except StorageError:
        return None
    count_as_used(path)
    return output


def _empty_output(
    size: tuple[int, int], dtype: str, factor: int, target: Target | None, folder: Path | None = None
) -> NetworkOutput:
    """Return an empty output for an image of this height and width."""
    height, width = size
    shape = OutputShape(factor * height, factor * width, dtype, streams_columns(height, width))
    if target is None:
        return NetworkOutput.create(shape, folder=folder)
    return NetworkOutput.create(shape, path=target.network_path, folder=target.path.parent)


def _run_network(
    output: NetworkOutput,
    rgb: np.ndarray,
    record: RunRecord,
    weights: WeightInterpolation,
    engine: Engine,
    callbacks: RunCallbacks,
    folder: Path | None,
) -> None:
    """Run a network for `rgb` and add its strips to `output`."""

    def report(done: int, total: int, seconds_left: float | None) -> None:
        if record.memory is not None:
            record.memory.sample()
        if callbacks.progress is not None:
            callbacks.progress(done, total, seconds_left)

    strips = engine.stream(
        rgb,
        weights,
        tile=record.settings.tile,
        progress=report,
        ticket=callbacks.ticket,
        folder=folder,
    )
    with closing(strips):
        for strip in strips:
            output.add(strip)
            if callbacks.watch is not None:
                callbacks.watch.strip(strip)


def _copy_input(output: NetworkOutput, image: SourceImage, callbacks: RunCallbacks) -> None:
    """Add the image itself to `output`, for settings without a network."""
    shape = output.shape
    count = max(1, _COPIED_PIXELS // shape.across)
    for first in range(0, shape.along, count):
        if callbacks.stop.is_set():
            raise Cancelled("stopped")
        last = min(first + count, shape.along)
        strip = image.rgb[:, first:last] if shape.columns else image.rgb[first:last]
        output.add(np.ascontiguousarray(strip))
        if callbacks.progress is not None:
            callbacks.progress(last, shape.along, None)
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
    """Steps 2 to 7 of a run whose result is stored, together with its input and the network's output."""
    tasks = context.tasks
    tasks.prepare()
    task_id = tasks.new_id()
    path, network_path = tasks.result_path(task_id), tasks.network_path(record.network_key)
    upload = tasks.upload_path(record.image.sha256, record.image.name)
    if hold is not None:
        hold.enter_context(tasks.using(path))
    with tasks.using(upload, path, network_path):
        tasks.keep_upload(source, record.image)
        info = find_stored(record, tasks, path) if callbacks.watch is None else None
        info = info or create_result(record, Target(path, network_path), context, callbacks, preview)
        info["task_id"] = task_id
        tasks.finish(task_id, info)
    return Result(path, info, path)


def run_to_path(
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
    """Steps 2 to 7 of a run whose result is written to `output`. It is not a task, and nothing else is stored."""
    task_id = context.tasks.new_id()
    info = find_at_path(record, output, encoding) if encoding.is_stored or not with_png else None
    if info is None:
        check_writable(output, source)
        check_replaceable(output)
        if not encoding.is_stored:
            return _run_and_export(output, encoding, record, context, callbacks, hold, task_id)
        info = create_result(record, Target(output), context, callbacks)
    return Result(output, {**info, "task_id": task_id}, output if encoding.is_stored else None)


def _run_and_export(
    output: Path,
    encoding: Encoding,
    record: RunRecord,
    context: Context,
    callbacks: RunCallbacks,
    hold: ExitStack | None,
    task_id: str,
) -> Result:
    """Write the result to a temporary PNG, which exists until `hold` is closed, and export it to `output`."""
    with ExitStack() as until_exported:
        png = temporary_path(output)
        (hold or until_exported).callback(png.unlink, missing_ok=True)
        info = find_stored(record, context.tasks, png)
        try:
            info = info or create_result(record, Target(png), context, callbacks)
        except StorageError as error:  # the user does not know the name of the PNG
            error.values |= {"name": output.name} if "name" in error.values else {}
            raise
        export(png, output, encoding, callbacks.stop, marked=True)
        return Result(png, {**info, "task_id": task_id}, png).exported_as(output, encoding)
