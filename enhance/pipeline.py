"""One run from an image to a written PNG, as numbered steps. A preview uses the same steps.

    1 decode    2 look up a cached result    3 scene    4 network    5 tune    6 write    7 describe

An image is decoded once, and all later steps use its pixels. A long run decodes when it is next on
the device, so that no run holds an image while it is queued.
"""

from __future__ import annotations

import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np
from numpy import ndarray

from . import models
from .analysis.haze import find_haze
from .engine.raw_store import NetworkOutput, OutputShape, streams_columns
from .errors import StorageError, WeightsError
from .files import check_writable, put_in_place
from .formats.encoding import Encoding, export
from .formats.png_reader import is_intact
from .images import Box, SourceImage
from .info import (
    AutoInfo,
    Info,
    InputInfo,
    OutputInfo,
    PeakMemory,
    PreviewInfo,
    Result,
    RunInputs,
    exported_output_info,
    fidelity_info,
    model_info,
    output_info,
    timestamp,
)
from .jobs.progress import Progress, RunProgress
from .jobs.scheduler import Job, Scheduler
from .json_object import JsonObject
from .metadata.provenance import Origin, check_replaceable, origin_of
from .presets import with_installed_models
from .preview import Preview, PreviewRegion, last_rows, render, surroundings
from .processes import temporary_path
from .restore.faces import FaceCache
from .restore.fidelity import Fidelity
from .restore.resample import Cut, Rows, has_second_pass, result_size
from .restore.result import Scene, collect, write_png
from .restore.tuning import ResultRows
from .settings import SECOND_MODEL, SECOND_SCALE, Settings, WeightInterpolation, network_scale
from .size import Size
from .store import TaskStore
from .store.remote import StoredFile

if TYPE_CHECKING:
    from .engine.engine import Engine
    from .restore.live_view import LiveView


_MEASURED_ONCE = (
    "faces",
    "fidelity_db",
    "fidelity_worst_db",
    "fidelity_worst_place",
    "seconds",
    "megapixels_per_second",
    "peak_memory_mb",
    "finished",
)
"""The measurements that a cached result takes from the run that computed it."""
_SECONDS_PER_MEGAPIXEL = 0.1
"""Rough time for tuning and encoding a megapixel of the result on two cores, which is short
compared with most networks."""

Replaceable: TypeAlias = Literal["result", "input", "request"]
"""The files at an output path that a run replaces: any result, those of the same input, or of the
same request."""


@dataclass(frozen=True, eq=False)
class RunOptions:
    """What a server, a batch and a command add to a run of `Enhancer.run`.

    - `job`: the job of the run, whose `stop` cancels it.
    - `name`: the name of the input, by default the file name. `image`: the decoded input, if
      available.
    - `on_compute`: called with the run before a result is computed, but not for a cached result. It
      can set the `watch` of the run.
    - `hold`: the result and its PNG exist until it is closed, so an `output` without its PNG is
      computed again.
    - `replaces`: which file at `output` is replaced: any `result`, or only one of the same `input`
      or `request`. Any other file raises StorageError.
    - `stored`: the file at an address that `output` will be uploaded to.
    """

    job: Job | None = None
    name: str | None = None
    image: SourceImage | None = None
    on_compute: Callable[[Run], object] | None = None
    hold: ExitStack | None = None
    replaces: Replaceable = "result"
    stored: StoredFile | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """The image of a run, or a part of it at `cut`.

    `network_input` is the same part after `reduce`, and `network_box` its region in the network's
    input for the whole image.
    """

    image: SourceImage
    cut: Cut
    network_input: SourceImage
    network_box: Box


def install_models(settings: Settings, stop: threading.Event) -> Settings:
    """Download missing models and return the settings, with `denoise` 1 if the second model is not
    available.

    Raises WeightsError, Cancelled.
    """
    settings = with_installed_models(settings)
    for name in settings.weights.models:
        try:
            models.ensure(name, stop=stop)
        except WeightsError:
            if name in models.parts_of(settings.model):
                raise
            return replace(settings, denoise=1.0)
    return settings


def planned_seconds(
    engine: Engine, settings: Settings, size: Size, bits: int = 8
) -> dict[str, float]:
    """Return the expected seconds of each phase of a run on this machine, for an image of this
    size.

    The phases are `network`, `second` for the second network and `write` for tuning and encoding.
    """
    seconds: dict[str, float] = {}
    if settings.model:
        small = size.downscale(settings.reduce)
        seconds["network"] = engine.estimate(settings.model, small, bits)
    if has_second_pass(settings, size):
        first = size.scale(settings.factor)
        seconds["second"] = engine.estimate(SECOND_MODEL, first, bits)
    megapixels = result_size(settings, size).megapixels
    return {**seconds, "write": _SECONDS_PER_MEGAPIXEL * megapixels}


@dataclass(eq=False)
class Run:
    """One run or preview: its inputs, its callbacks and its measurements so far. `info` is built
    from these.

    `auto` is what the preset `auto` chose. `started` is a `time.perf_counter`; `job` counts the
    time in the queue since then.
    """

    inputs: RunInputs
    engine: Engine
    face_cache: FaceCache
    scheduler: Scheduler
    job: Job
    started: float
    progress: Progress | None = None
    watch: LiveView | None = None
    """Receives the output of the first network and the rows of the result while they are
    computed."""
    auto: AutoInfo | None = None
    on_compute: Callable[[Run], object] | None = None
    """Called before a result is computed, but not for a cached result."""
    measurements: JsonObject = field(default_factory=dict)
    memory: PeakMemory | None = None
    folder: Path | None = None
    """The folder of temporary files for large images; None for that of the system."""

    def __post_init__(self) -> None:
        self._stage_start = self._working_time()
        self.seconds = {"decode": self._stage_start - self.started}
        """The seconds of each stage."""
        self._phases: RunProgress | None = None

    def _working_time(self) -> float:
        """Return the current time, less the time in the queue."""
        return time.perf_counter() - self.job.wait_seconds

    def create_result(self, path: Path, network_path: Path | None = None) -> Info:
        """Steps 3 to 7: write the result to `path` and return its info.

        The network's output is read from `network_path` or stored there.
        """
        if self.on_compute:
            self.on_compute(self)
        self.memory = PeakMemory(self.engine.device.type, reset=True)
        self.folder = path.parent
        image = self.inputs.image
        part = self._part(image, Cut.whole(image.size))
        scene = self._find_scene(part.network_box)
        with self._network_output(scene, part, network_path) as output:
            rows = last_rows(self._rows(output.rows, self.inputs.settings, scene, part))
            meter = rows.meter()
            thumbnail = None
            if self.watch:
                thumbnail = self.watch.create_thumbnail(rows)
            self.seconds |= write_png(
                rows,
                path,
                signature=self.inputs.signature,
                meter=meter,
                thumbnail=thumbnail,
                stop=self.job.stop,
                progress=partial(self._report, "write"),
            )
            self._record_fidelity(meter and meter.fidelity())
            return self.info(output_info(path, self.inputs.size))

    def _record_fidelity(self, fidelity: Fidelity | None) -> None:
        self.measurements |= fidelity_info(fidelity)
        if fidelity is None:
            return
        image = self.inputs.image
        reduce = self.inputs.settings.reduce
        in_photo = [reduce * at + reduce // 2 for at in fidelity.worst_place]
        inside = np.minimum(in_photo, (image.width - 1, image.height - 1))
        self.measurements["fidelity_worst_place"] = inside.tolist()

    def create_preview(self, box: Box, earlier: Mapping[str, Preview] | None = None) -> Preview:
        """Steps 3 to 7 for the region `box`, in memory.

        `earlier` has previews of the same region by network key. One with the same key saves
        running the network, and its network seconds are reported again.
        """
        self.memory = PeakMemory(self.engine.device.type, reset=False)
        image = self.inputs.image
        settings = self.inputs.settings
        network_key = self.inputs.network_key
        outer = surroundings(box, image.size, settings)
        part = self._part(image.crop(outer), Cut(outer, image.size))
        is_approximate = False
        if settings.model and part.cut != Cut.whole(image.size):
            is_approximate = models.graph_of(settings.model).needs_statistics
        scene = self._find_scene(part.network_box)
        known = (earlier or {}).get(network_key)
        if known is not None:
            network = known.region.network
            self.seconds["network"] = known.info["seconds"]["network"]
        else:
            with self._network_output(scene, part) as output:
                network = output.rows(0, output.shape.height)
        rows = self._rows(lambda first, last: network[first:last], settings, scene, part)
        region = PreviewRegion(rows, network, box, network_key)
        before, after, fidelity = render(region, settings)
        self.measurements |= fidelity_info(fidelity)
        self._end_stage("tuning")
        info = self._facts() | {"preview": asdict(box), "approximate": is_approximate}
        return Preview(before, after, region, cast(PreviewInfo, info))

    def info(
        self, output: OutputInfo, *, cached: bool = False, encoding: Encoding | None = None
    ) -> Info:
        """Return the facts of a run with its output file, and a new id; `cached` is True if the
        result existed before.

        `encoding` describes the file, None for the PNG that the run wrote.
        """
        image = self.inputs.image
        notes = image.metadata.notes
        if encoding:
            notes = encoding.input_notes(notes, has_gain_map=image.gain_map is not None)
        if notes:
            output = {**output, "notes": list(dict.fromkeys([*notes, *output.get("notes", ())]))}
        id = secrets.token_hex(16)
        return cast(Info, self._facts() | {"task_id": id, "output": output, "cached": cached})

    def _facts(self) -> JsonObject:
        seconds = dict.fromkeys(("wait", "decode", "network", "tuning", "encode"), 0.0)
        seconds |= self.seconds
        seconds["wait"] = self.job.wait_seconds
        seconds["total"] = time.perf_counter() - self.started
        peak_memory = None
        if self.memory:
            peak_memory = round(self.memory.sample(), 1)
        image = self.inputs.image
        second = self.inputs.second
        return {
            "task_id": None,
            "status": "done",
            **self.inputs.facts(),
            "input": {name: getattr(image, name) for name in InputInfo.__annotations__},
            "model": model_info(self.inputs.model),
            "second_model": second and model_info(second),
            "output": None,
            "device": str(self.engine.device),
            "precision": self.inputs.precision,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "megapixels_per_second": None,
            "peak_memory_mb": peak_memory,
            "agreement_db": None,  # No longer measured. Clients can expect the key.
            **fidelity_info(None),
            "cached": False,
            "finished": timestamp(),
            "auto": self.auto,
            **self.measurements,
        }

    def _begin_progress(self, *, has_network: bool) -> None:
        """Report the beginning of the run. Only a run whose output `has_network` must run it."""
        if self.progress is None:
            return
        image = self.inputs.image
        planned = planned_seconds(self.engine, self.inputs.settings, image.size, image.bits)
        if not has_network:
            planned = {"write": planned["write"]}
        self._phases = RunProgress(self.progress, image.height, planned, self._working_time)

    def _report(self, phase: str, share: float) -> None:
        """Report the finished share of a phase, as `planned_seconds` names it."""
        if self.memory is not None:
            self.memory.sample()
        if self._phases is not None:
            self._phases.advance(phase, share)

    def _end_stage(self, name: str) -> None:
        """Record the time since the end of the last stage as stage `name`, without the time in the
        queue."""
        now = self._working_time()
        self.seconds[name] = max(0.0, now - self._stage_start)
        self._stage_start = now

    def _find_scene(self, box: Box) -> Scene:
        """Step 3: return the haze of the network's input, or its faces, for a preset that uses
        them.

        Only faces that are visible in `box` are restored.
        """
        kind = self.inputs.settings.scene
        if kind is None:
            return Scene()
        image = self.inputs.network_input
        if kind == "dehaze":
            scene = Scene(find_haze(image.rgb))
        else:
            faces = self.face_cache.faces(image, box, self.job)
            self.measurements["faces"] = faces.describe()
            scene = Scene(patches=faces.patches)
        self._end_stage("scene")
        return scene

    def _part(self, image: SourceImage, cut: Cut) -> Part:
        reduce = self.inputs.settings.reduce
        return Part(image, cut, image.downscale(reduce), cut.box.downscale(reduce))

    def _rows(self, network: Rows, settings: Settings, scene: Scene, part: Part) -> ResultRows:
        """Step 5: return a result as rows on demand, from the rows of the network's output."""
        degradation = self.inputs.network_input.degradation
        image = part.network_input
        photo = scene.photo(image, self.inputs.settings, degradation, part.network_box)
        return ResultRows(part.image, network, settings, photo, scene.patches, part.cut)

    @contextmanager
    def _network_output(
        self, scene: Scene, part: Part, network_path: Path | None = None
    ) -> Iterator[NetworkOutput]:
        """Step 4: yield the output of the last network for an image or a part of it.

        It is read from `network_path` if it is stored there, and stored there if not. A large
        output that is not stored is a temporary file in `folder`.
        """
        scale = self.inputs.settings.factor
        if self.inputs.second:
            scale *= SECOND_SCALE
        stored = None
        if network_path is not None:
            with suppress(StorageError):  # It is missing or damaged.
                stored = NetworkOutput.open(network_path)
        output = stored or _empty_output(part.network_input, scale, self.folder, network_path)
        self._begin_progress(has_network=stored is None)
        with output:
            if stored is None:
                self._compute_output(output, scene, part)
                if network_path:
                    output.keep()
            # The next run can use the device during tuning and saving.
            self.scheduler.leave_queue(self.job)
            self._end_stage("network")
            seconds = self.seconds["network"]
            # A stored output has no speed.
            if stored is None and self.inputs.settings.model and seconds:
                megapixels = self.inputs.image.size.megapixels
                self.measurements["megapixels_per_second"] = round(megapixels / seconds, 4)
            yield output

    def _compute_output(self, output: NetworkOutput, scene: Scene, part: Part) -> None:
        """Fill the empty `output` with that of the last network, or with the image itself."""
        settings = self.inputs.settings
        second = self.inputs.second
        image = part.network_input
        if not settings.model:
            output.add(image.rgb)
        elif second is None:
            rgb = scene.network_pixels(image, settings, part.network_box, self.folder)
            self._run_network(output, rgb, settings.weights)
        else:
            rgb = self._first_result(scene, part)
            self._run_network(output, rgb, WeightInterpolation(second.name), "second")

    def _first_result(self, scene: Scene, part: Part) -> ndarray:
        """Return the colour of the result at the scale of the first network, the input of the
        second one: [H, W, 3].

        A large one is an unnamed file in `folder`.
        """
        settings = self.inputs.settings.changed(scale=network_scale(self.inputs.settings))
        with _empty_output(part.image, settings.factor, self.folder) as output:
            rgb = scene.network_pixels(part.image, settings, part.network_box, self.folder)
            self._run_network(output, rgb, settings.weights)
            colour = replace(part, image=replace(part.image, grey=False))
            result = self._rows(output.rows, settings, scene, colour)

            def rows(first: int, last: int) -> ndarray:
                self.job.check()
                return result.rows(first, last)

            return collect(rows, result.size, part.image.rgb.dtype.name, self.folder)

    def _run_network(
        self,
        output: NetworkOutput,
        rgb: ndarray,
        weights: WeightInterpolation,
        phase: str = "network",
    ) -> None:
        """Run a network for `rgb`, the image or a region of it, and add its strips to `output`.

        `watch` receives only the strips of the first one.
        """
        queued = nullcontext()
        if self.job.kind == "run":
            queued = self.scheduler.queue_job(self.job)
        strips = self.engine.stream(
            rgb,
            weights,
            tile=self.inputs.settings.tile,
            progress=partial(self._report, phase),
            job=self.job,
            folder=self.folder,
        )
        with queued, closing(strips):
            for strip in strips:
                output.add(strip)
                if self.watch is not None and phase == "network":
                    self.watch.strip(strip)


def _empty_output(
    image: SourceImage, scale: int, folder: Path | None, path: Path | None = None
) -> NetworkOutput:
    columns = streams_columns(image.size)
    dtype = image.rgb.dtype.name
    shape = OutputShape(scale * image.height, scale * image.width, dtype, columns)
    return NetworkOutput.create(shape, path=path, folder=folder)


def _find_stored(run: Run, tasks: TaskStore, path: Path) -> Info | None:
    """Step 2 of a task: link or copy a cached result of the same inputs to `path` and return its
    info, or None."""
    cached = tasks.find(run.inputs.signature, run.inputs.settings.dpi)
    if cached is None:
        return None
    try:
        tasks.copy_result(cached["task_id"], path)
    except StorageError:  # It can have been deleted in the meantime.
        return None
    run.measurements = {name: value for name, value in cached.items() if name in _MEASURED_ONCE}
    return run.info({**cached["output"], "path": str(path)}, cached=True)


def _find_at_path(
    run: Run, path: Path, encoding: Encoding, stored: StoredFile | None
) -> Info | None:
    """Step 2 of a run to `path`: return the info of the result at this path, or None if it belongs
    to another run.

    All its bytes are read, for its checksum and for the checksums inside a PNG. The result can be
    `stored` at an address instead, where its bytes are not read.
    """
    origin = stored.origin if stored else origin_of(path)
    if not _is_result_of(origin, run.inputs, encoding):
        return None
    if stored:
        width, height = run.inputs.size
        output = OutputInfo(
            path=str(path), sha256="", width=width, height=height, bytes=stored.bytes
        )
    elif encoding.format == "png" and not is_intact(path):
        return None
    else:
        output = output_info(path, run.inputs.size)
    if not encoding.is_stored:
        image = run.inputs.image
        notes = encoding.notes(image, has_alpha=image.alpha is not None)
        output = exported_output_info(output, encoding, notes)
    with suppress(ValueError):  # another program can have changed the text
        average = float(origin.fidelity_db or "nan")
        worst = float(origin.fidelity_worst_db or "nan")
        if math.isfinite(average) and math.isfinite(worst):
            run.measurements |= {"fidelity_db": average, "fidelity_worst_db": worst}
    return run.info(output, cached=True, encoding=encoding)


def _is_result_of(origin: Origin, inputs: RunInputs, encoding: Encoding) -> bool:
    """Return whether a file of this origin is the result of these inputs in this encoding."""
    dpi = inputs.settings.dpi
    return (
        origin.signature == inputs.signature
        and origin.encoding == encoding.mark()
        and origin.dpi == (dpi and str(dpi))
    )


def run_as_task(run: Run, source: Path, tasks: TaskStore, hold: ExitStack | None) -> Result:
    """Steps 2 to 7 of a run whose result is stored, together with its input and the network's
    output.

    A temporary store has no network outputs, which are large.
    """
    tasks.prepare()
    task_id = tasks.new_id()
    image = run.inputs.image
    path = tasks.result_path(task_id)
    network_path = tasks.network_path(image.sha256, run.inputs.network_key)
    if hold is not None:
        hold.enter_context(tasks.using(path))
    with tasks.using(tasks.upload_path(image.sha256, image.name), path, network_path):
        tasks.keep_upload(source, image.name, image.sha256, image.bytes)
        info = _find_stored(run, tasks, path)
        if info is None and tasks.temporary:
            info = run.create_result(path)
        elif info is None:
            info = run.create_result(path, network_path)
        info["task_id"] = task_id
        tasks.finish(task_id, info)
    return Result(path, info, path, tasks.temporary)


def run_to_path(
    run: Run,
    output: Path,
    encoding: Encoding,
    source: Path,
    tasks: TaskStore,
    options: RunOptions,
) -> Result:
    """Steps 2 to 7 of a run whose result is written to `output`. It is not a task, and nothing else
    is stored.

    For another format, the PNG is temporary. With `options.hold`, it exists until that is closed.
    """
    is_remote = options.stored is not None
    # A held result needs its PNG, which an earlier file in another format does not have.
    if options.hold is None or encoding.is_stored or is_remote:
        info = _find_at_path(run, output, encoding, options.stored)
        if info is not None:
            png = None
            if encoding.is_stored and not is_remote:
                png = output
            return Result(output, info, png)
    check_writable(output, source)
    check = partial(_check_replaced, run, output, encoding, options.replaces)
    check()
    with ExitStack() as until_written:
        temporary = _temporary_file(output, until_written)
        with _errors_about(output):
            if encoding.is_stored:
                png = output
                info = run.create_result(temporary)
            else:
                png = _temporary_file(output, options.hold or until_written)
                info = _find_stored(run, tasks, png) or run.create_result(png)
                export(png, temporary, encoding, run.job.stop, marked=True)
        put_in_place(temporary, output, check)
        return Result(output, info, png).exported_as(output, encoding)


def _check_replaced(run: Run, output: Path, encoding: Encoding, replaces: Replaceable) -> None:
    """Raise StorageError if there is a file at `output` that the run does not replace."""
    check_replaceable(output)
    if replaces == "result" or not os.path.lexists(output):
        return
    origin = origin_of(output)
    is_replaced = origin.input_sha256 == run.inputs.image.sha256
    if replaces == "request":
        is_replaced = _is_result_of(origin, run.inputs, encoding)
    if not is_replaced:
        raise StorageError("name_taken", output=output)


def _temporary_file(output: Path, until: ExitStack) -> Path:
    """Return a temporary path in the folder of `output` that is deleted when `until` is closed."""
    path = temporary_path(output)
    until.callback(path.unlink, missing_ok=True)
    return path


@contextmanager
def _errors_about(output: Path) -> Iterator[None]:
    """Convert errors about temporary files, whose names would not help the user, to errors about
    `output`."""
    try:
        yield
    except StorageError as error:
        if "name" not in error.values:
            raise
        raise StorageError(error.key, **{**error.values, "name": output.name}) from error
