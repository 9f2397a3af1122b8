"""The `Enhancer` class, the main entry point of the library."""

from __future__ import annotations

import ctypes
import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeVar, cast

import numpy as np
from numpy import ndarray
from PIL.Image import Image

from . import models, pipeline, presets
from .analysis import Analysis, analyse
from .analysis.auto import LONG_SECONDS, choose, faster_preset
from .comparison import Cell, Comparison
from .config import Config, read_config
from .engine.device_thread import DEVICE_THREAD
from .errors import (
    Cancelled,
    EnhanceError,
    PictureError,
    SettingsError,
    WeightsError,
    check_stop,
    expected_error,
    memory_errors,
    optional_packages,
)
from .files import write_atomically
from .formats.encoding import Encoding, export
from .formats.in_memory import InMemory, as_file, is_array, is_batch, like, map_batch
from .formats.png_reader import PngReader
from .formats.thumbnails import most_detailed_point, small_size, whole_image
from .i18n import DEFAULT_LANGUAGE
from .images import Box, SourceImage, read_image, warm_up
from .info import (
    NO_MODEL,
    AutoInfo,
    Info,
    PreviewInfo,
    Result,
    RunInputs,
    existing_png,
    fidelity_info,
)
from .jobs.parallel import work_in_parallel
from .jobs.progress import Progress
from .jobs.scheduler import Job, JobKind, Scheduler
from .json_object import JsonObject
from .pipeline import Run, RunOptions
from .preset_names import PresetName
from .presets import PresetInfo
from .preview import Preview, choose_box, render, surroundings
from .processes import temporary_folder
from .restore.faces import RESTORER, FaceCache, FaceRestorer
from .restore.resample import Cut, has_second_pass, result_size
from .settings import (
    AUTO,
    REFERENCE_PRESET,
    SECOND_MODEL,
    Settings,
    all_presets,
    as_settings,
)
from .size import Size
from .store import TaskStore
from .store.names import ResultNames

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from typing import Self

    from .engine.engine import Engine

T = TypeVar("T", bound="Path | str | InMemory")
AnyImage: TypeAlias = "Path | str | InMemory | SourceImage"
"""An image file, an image in memory, or a decoded image."""
_DETECTOR = "yunet"
_RUNS_AT_ONCE = 2
"""Runs of `run_many`: one has the device, and the next one decodes its image."""
_NO_OPTIONS = RunOptions()
_MAX_ANALYSES = 1000
"""The number of analyses that are cached, more than the files of a batch on the page."""
_FOCUS_SIDE = 896
"""The longer side of the small image in which the most detailed point is found."""


@dataclass(frozen=True)
class Faster:
    """A preset that is faster than the selected one, with the expected seconds of both."""

    preset: str
    seconds: float
    selected_seconds: float

    def as_dict(self) -> JsonObject:
        """Return the preset and its seconds as JSON."""
        return {"preset": self.preset, "estimated_seconds": round(self.seconds, 2)}


class Status(TypedDict):
    """The device, the precision, the model in memory, and the numbers of running and waiting jobs,
    as JSON."""

    device: str
    precision: str
    model: str | None
    model_memory_mb: float
    running: int
    waiting: int


class Enhancer:
    """Upscales images and keeps the model in memory. Safe to use from several threads.

    - `device`: auto, cpu, cuda or mps. auto is `ENHANCE_DEVICE`, otherwise the fastest device.
    - `precision`: auto, fp32, bf16 or fp16.
    - `data`: the folder for inputs and results, by default `ENHANCE_DATA`. Without one, a result
      without an `output` is a temporary file until `close`, which a `with` block calls at its end.

    Attributes: `max_pixels` and `max_bytes` limit an input. Raises SettingsError if an environment
    variable has a value that cannot be used.
    """

    def __init__(
        self,
        device: str = "auto",
        precision: str = "auto",
        *,
        data: Path | str | None = None,
        config: Config | None = None,
    ):
        self.config = config or read_config()
        self._device = device
        if device == "auto":
            self._device = self.config.device
        self._precision = precision
        self.max_pixels = self.config.max_pixels
        self.max_bytes = self.config.max_bytes
        self.scheduler = Scheduler()
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._analyses = dict[str, Analysis]()  # by the checksum of the image, the newest last
        self._face_cache = FaceCache(lambda: models.ensure(_DETECTOR).path, self._restore_faces)
        self._data = data or self.config.data
        self._tasks: TaskStore | None = None

    @property
    def tasks(self) -> TaskStore:
        """The store of inputs and results. Without a data folder, its temporary folder is created
        at first use."""
        with self._lock:
            if self._tasks is None:
                folder = self._data or temporary_folder()
                self._tasks = TaskStore(
                    folder, hours=self.config.hours, max_disk=self.config.max_disk
                )
            return self._tasks

    @tasks.setter
    def tasks(self, tasks: TaskStore) -> None:
        self._tasks = tasks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory of the model and delete temporary results. The object can still be used
        afterwards."""
        self.release()
        with self._lock:
            if self._tasks is not None:
                self._tasks.close()
                if self._tasks.temporary is not None:
                    self._tasks = None

    @property
    def engine(self) -> Engine:
        """The engine, created at first use. This imports PyTorch."""
        if self._engine is None:
            warm_up()
            return DEVICE_THREAD.call(self._create_engine)
        return self._engine

    @memory_errors()
    def run(
        self,
        source: Path | str | InMemory,
        settings: Settings | PresetName | None = None,
        *,
        model: Path | str | None = None,
        output: Path | str | None = None,
        encoding: Encoding | None = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
        options: RunOptions = _NO_OPTIONS,
    ) -> Result:
        """Enhance an image and return the result.

        - `source`: the path of an image file, or an image in memory (`InMemory`).
        - `settings`: `Settings` or the name of a preset, by default auto.
        - `model`: the file of a user model, instead of a preset. It is checked as by `enhance
          weights add`, but not added.
        - `output`: the file to write. Only an earlier result is replaced. By default, the result is
          stored as a task: `processed/<task_id>.png` and `.json`, with the input in `uploads/`.
        - `encoding`: the format of the file, by default from the extension of `output`, otherwise
          PNG. The lossless PNG is stored, too; with `output`, it is temporary.
        - `progress`: called between the steps of the run. `stop`: cancels the run when it is set.
        - `options`: for servers and batches.

        A result with the same signature that is stored or at `output` is not computed again, unless
        it is damaged. A data folder also stores the output of the network for other tuning. Raises
        EnhanceError, before any work if the format cannot hold the result. No partial file remains.
        """
        settings = _with_model(as_settings(settings), model)
        target = None
        if output is not None:
            target = Path(output)
            by_name = Encoding.of_file(target, format=encoding and encoding.format)
            encoding = encoding or by_name
        encoding = encoding or Encoding()
        job = options.job or _job("run", stop)
        self.check()  # first, because this imports PyTorch
        started = time.perf_counter()
        # before the queue, because downloads can take minutes
        pipeline.install_models(settings, job.stop)
        with (
            as_file(source, self.tasks.network) as (path, own_name),
            self.scheduler.queue_job(job, ahead=1),
        ):
            image = self.read(options.image or path, target, name=options.name or own_name)
            run = self._start_run(image, settings, job, started, progress, options.on_compute)
            encoding.check(run.inputs.size)
            if target is not None:
                return pipeline.run_to_path(run, target, encoding, path, self.tasks, options)
            result = pipeline.run_as_task(run, path, self.tasks, options.hold)
        return self.export(result, encoding, stop=job.stop, hold=options.hold)

    def run_many(
        self,
        sources: Iterable[Path | str | InMemory] | Path | str,
        settings: Settings | PresetName | None = None,
        *,
        output: Path | str | None = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
        on_error: Callable[[Path | str | InMemory, EnhanceError], object] | None = None,
    ) -> Iterator[Result]:
        """Yield the result of each image in order. The next image is decoded during a run.

        - `sources`: images that are read as needed, such as a generator, or one path.
        - `output`: a folder for PNG files with the names of the images. A number is added to a name
          that another file has. By default, the results are stored as tasks.
        - `progress`: called between the steps of each run.
        - `on_error`: called with an image that failed and its error. Without it, the first error
          ends the iteration.

        Setting `stop` or closing the generator cancels the runs. Raises EnhanceError.
        """
        stop = stop or threading.Event()
        run = partial(self.run, settings=settings, progress=progress, stop=stop)
        if output is not None:
            run = partial(self._run_into, Path(output), run)
        if isinstance(sources, str | Path):
            sources = [sources]
        with closing(work_in_parallel(run, sources, _RUNS_AT_ONCE, stop, in_order=True)) as ended:
            for source, future in ended:
                try:
                    yield future.result()
                except EnhanceError as error:
                    if on_error is None or isinstance(error, Cancelled):
                        raise
                    on_error(source, error)

    def _run_into(
        self, folder: Path, run: Callable[..., Result], source: Path | str | InMemory
    ) -> Result:
        """Run an image whose result is a file in `folder`, with the first name that is free."""
        with as_file(source, self.tasks.network) as (path, name):
            options = RunOptions(name=name, replaces="input")
            target = folder / Path(name).with_suffix(".png")
            return ResultNames(folder).write(
                target, path, lambda output: run(path, output=output, options=options)
            )

    @memory_errors()
    def export(
        self,
        result: Result,
        encoding: Encoding,
        *,
        stop: threading.Event | None = None,
        hold: ExitStack | None = None,
    ) -> Result:
        """Return the result of a task in another format. The file is stored for the next call.

        It is not deleted until `hold` is closed. Raises EnhanceError.
        """
        if encoding.is_stored:
            return result
        png = self.tasks.result_path(result.info["task_id"])
        path = self.tasks.encoded_path(result.info["output"]["sha256"], encoding)
        if hold is not None:
            hold.enter_context(self.tasks.using(path))
        with self.tasks.using(path, png):
            if not path.exists():
                self.tasks.prepare()
                export(png, path, encoding, stop)
            return result.exported_as(path, encoding)

    @memory_errors()
    def preview(
        self,
        source: AnyImage,
        settings: Settings | PresetName | None = None,
        *,
        x: float | None = None,
        y: float | None = None,
        size: int = 128,
        stop: threading.Event | None = None,
    ) -> Preview:
        """Return a preview of the square of `size` px around x, y (default: the centre).

        At fp32, it agrees with the result of `run` to 57 dB or more. Its steps run before the steps
        of a run, which gets at least every third step. Its `info` has the signature of the complete
        run. Raises EnhanceError.
        """
        image = self.read(source)
        box = choose_box(image.width, image.height, x, y, size)
        return self.preview_region(image, as_settings(settings), box, _job("preview", stop))

    @memory_errors()
    def preview_region(self, image: SourceImage, settings: Settings, box: Box, job: Job) -> Preview:
        """Return a preview of a region of a decoded image, with sides of at most
        `enhance.preview.LARGEST_SIDE` px.

        Raises EnhanceError.
        """
        return self._start_run(image, settings, job, time.perf_counter()).create_preview(box)

    @memory_errors()
    def compare(
        self,
        source: AnyImage,
        *,
        x: float | None = None,
        y: float | None = None,
        size: int = 128,
        settings: Sequence[Settings] | None = None,
        stop: threading.Event | None = None,
    ) -> Comparison:
        """Return previews of a square, as `preview` does, with all available presets or `settings`.

        A comparison does not wait for runs, because their steps alternate. If a preset fails, its
        cell has the error. Raises EnhanceError if all fail.
        """
        image = self.read(source)
        box = choose_box(image.width, image.height, x, y, size)
        return self.compare_region(image, box, _job("comparison", stop), settings)

    @memory_errors()
    def compare_region(
        self,
        image: SourceImage,
        box: Box,
        job: Job,
        settings: Sequence[Settings] | None = None,
        progress: Progress | None = None,
    ) -> Comparison:
        """Return previews of a region of a decoded image, as `compare` does.

        `progress` is called with the numbers of finished presets and of all presets. Raises
        EnhanceError.
        """
        started = time.perf_counter()
        if settings is None:
            names = [name for name in presets.available_presets() if name != AUTO]
            settings = [Settings(name) for name in names or [REFERENCE_PRESET]]
        chosen = [self.resolve(image, one)[0] for one in settings]
        cells = dict[Settings, Cell]()
        previews = dict[str, Preview]()  # by the key of their network's output
        # Presets with the same model follow each other, so that it is loaded once. The face preset
        # unloads it, so it is the last of them.
        for one in sorted(chosen, key=lambda one: (one.model, one.scene == "face")):
            cell = self._compare_preset(image, one, box, job, previews)
            cells[one] = cell
            if cell.preview is not None:
                previews.setdefault(cell.preview.region.network_key, cell.preview)
            if progress is not None:
                progress(len(cells), len(chosen), None)
        ordered = tuple(cells[one] for one in chosen)
        if ordered[0].error is not None and not previews:
            raise ordered[0].error
        return Comparison(box, ordered, time.perf_counter() - started)

    def _compare_preset(
        self,
        image: SourceImage,
        settings: Settings,
        box: Box,
        job: Job,
        earlier: Mapping[str, Preview],
    ) -> Cell:
        """Return the preview of one preset, or its error. Raises Cancelled."""
        own_job = replace(job, wait_seconds=0.0)  # Each preview states its own time.
        try:
            run = self._start_run(image, settings, own_job, time.perf_counter())
            return Cell(settings, run.create_preview(box, earlier))
        except Cancelled:
            raise
        except Exception as error:
            what = f"The preset {settings.preset} could not be compared"
            return Cell(settings, error=expected_error(error, what))

    @memory_errors()
    def analyse(self, source: AnyImage) -> Analysis:
        """Return the properties of an image, measured in at most a second without a network.

        Faces are counted if the face detector is installed. Nothing is downloaded. Raises
        EnhanceError.
        """
        image = self.read(source)
        located = models.locate(_DETECTOR)
        detector = located and located.path
        analysis = self._analyses.get(image.sha256)
        # The detector can be installed after the first analysis.
        if analysis is None or (detector and analysis.faces is None):
            analysis = analyse(image, detector)
            with self._lock:
                self._analyses[image.sha256] = analysis
                for oldest in list(self._analyses)[:-_MAX_ANALYSES]:
                    del self._analyses[oldest]
        return analysis

    def focus(self, image: SourceImage) -> tuple[float, float]:
        """Return the point of an image to show first: its largest face, otherwise its most detailed
        point.

        x and y are shares of the width and height. Raises EnhanceError.
        """
        face = self.analyse(image).face
        if face is not None:
            return face
        small = small_size(image.size, _FOCUS_SIDE)
        return most_detailed_point(whole_image(image, small))

    def choose(self, source: AnyImage, *, format: str = "png", **size: Any) -> Settings:
        """Return the settings that `auto` selects for an image and an output size.

        `size` has the names and values of `Settings`: `scale`, `long_side`, `megapixels`,
        `print_width`, `print_height`, `dpi`. `resolve` also returns the reason. Raises
        EnhanceError, also if `format` does not support the size.
        """
        image = self.read(source)
        settings, _ = self.resolve(image, Settings.from_preset(AUTO, **size))
        pixels = result_size(settings, image.size)
        Encoding(format).check(pixels)
        return settings

    def resolve(self, image: SourceImage, settings: Settings) -> tuple[Settings, AutoInfo | None]:
        """Return the settings with the preset that `auto` selects for the image, and the reason.

        Settings with another preset are returned unchanged, with None. Raises EnhanceError.
        """
        if not settings.is_auto:
            return settings, None
        return self.resolve_for(settings, self.analyse(image))

    def resolve_for(self, settings: Settings, analysis: Analysis) -> tuple[Settings, AutoInfo]:
        """Return the settings with the preset that `auto` selects for an analysis, and the reason.

        Raises SettingsError if the image cannot have the requested size.
        """
        size = result_size(settings, analysis.size)
        choice = choose(analysis, presets.available_presets(), size)
        chosen = settings.resolved(choice.preset, reduce=choice.reduce, **choice.tuning)
        facts = asdict(analysis)
        del facts["face"]  # No stored result has the position of a face.
        return chosen, AutoInfo(preset=choice.preset, reason=choice.reason, analysis=facts)

    def suggest_faster(self, analysis: Analysis, settings: Settings) -> Faster | None:
        """Return the preset to suggest for a run of more than two minutes, or None.

        Its HaarPSI is at most 1 lower than with the selected preset, and it is at least twice as
        fast.
        """
        size = analysis.size
        seconds = self.estimate(*size, settings, analysis.bits)
        if seconds <= LONG_SECONDS:
            return None
        name = faster_preset(settings.preset, analysis, presets.available_presets())
        if name is None:
            return None
        faster = self.estimate(*size, Settings(name, **settings.output_size), analysis.bits)
        if faster >= seconds / 2:
            return None
        return Faster(name, faster, seconds)

    def estimate_preview(self, image: SourceImage, settings: Settings, box: Box) -> float:
        """Return the expected seconds of the network for a preview of the region `box`."""
        if not settings.model:
            return 0.0
        outer = surroundings(box, image.size, settings).downscale(settings.reduce)
        return self.engine.estimate(settings.model, outer.size, image.bits)

    def inputs_of(self, image: SourceImage, settings: Settings) -> RunInputs | None:
        """Return the inputs of a run with resolved settings, None if one of their models is not
        installed.

        Nothing is downloaded. Raises SettingsError if the image cannot have the requested size.
        """
        needed = settings.weights.models
        if has_second_pass(settings, image.size):
            needed = *needed, SECOND_MODEL
        if not all(map(presets.is_installed, needed)):
            return None
        return self._inputs_of(image, settings)

    def _inputs_of(
        self,
        image: SourceImage,
        settings: Settings,
        whole: Cut | None = None,
        stop: threading.Event | None = None,
    ) -> RunInputs:
        """Return the inputs of a run for an image, or for the larger image that it is a part of."""
        model = NO_MODEL
        precision = "fp32"
        if settings.model:
            model = models.ensure(settings.model)
            precision = self.engine.precision(image.bits, settings.model)
        second = None
        if has_second_pass(settings, (whole or image).size):
            second = models.ensure(SECOND_MODEL, stop=stop)
        return RunInputs(image, settings, model, precision, second)

    def _start_run(
        self,
        image: SourceImage,
        settings: Settings,
        job: Job,
        started: float,
        progress: Progress | None = None,
        on_compute: Callable[[Run], object] | None = None,
    ) -> Run:
        """Return a run at the end of step 1: its image is decoded, its preset chosen and its models
        are installed.

        Raises WeightsError, Cancelled, and SettingsError if the image cannot have the requested
        size.
        """
        settings, auto = self.resolve(image, settings)
        result_size(settings, image.size)  # raises before anything is downloaded
        settings = pipeline.install_models(settings, job.stop)
        return Run(
            inputs=self._inputs_of(image, settings, stop=job.stop),
            engine=self.engine,
            face_cache=self._face_cache,
            scheduler=self.scheduler,
            job=job,
            started=started,
            progress=progress,
            auto=auto,
            on_compute=on_compute,
        )

    def read(
        self, source: AnyImage, output: Path | None = None, *, name: str | None = None
    ) -> SourceImage:
        """Return the decoded image of a source, with another `name` if given.

        A decoded image is returned as it is. The pixels of a large image are in a temporary file in
        the folder of `output`, by default in the store. Raises PictureError, StorageError.
        """
        if isinstance(source, SourceImage):
            return source
        folder = self.tasks.folder
        if output is not None:
            folder = output.parent
        with as_file(source, self.tasks.network) as (path, own_name):
            return read_image(
                path,
                name=name or own_name,
                max_pixels=self.max_pixels,
                max_bytes=self.max_bytes,
                folder=folder,
            )

    @memory_errors()
    def retune(self, preview: Preview, settings: Settings | PresetName) -> Preview:
        """Return a preview of the same region with other tuning, without running the network.

        Raises SettingsError if the settings need another output of the network.
        """
        info = preview.info
        region = preview.region
        settings = as_settings(settings)
        if settings.is_auto and info["auto"]:
            settings, _ = self.resolve_for(settings, Analysis(**info["auto"]["analysis"]))
        elif settings.is_auto:
            settings = settings.resolved(info["preset"], reduce=info["settings"]["reduce"])
        settings = presets.with_installed_models(settings)
        inputs = self._inputs_of(region.rows.image, settings, region.rows.cut)
        # The output can be from an enhancer with another precision.
        inputs = replace(inputs, precision=info["precision"])
        has_other_output = inputs.network_key != region.network_key
        # The output is without the faces of another preset.
        has_other_scene = settings.scene != region.rows.settings.scene
        if has_other_output or has_other_scene:
            raise SettingsError("new_preview", preset=settings.preset)
        before, after, fidelity = render(region, settings)
        changed = cast(PreviewInfo, {**info, **inputs.facts(), **fidelity_info(fidelity)})
        return Preview(before, after, region, changed)

    def report(
        self,
        task_id: str,
        language: str = DEFAULT_LANGUAGE,
        overrides: Mapping[str, Any] | None = None,
        encoding: Encoding | None = None,
        stop: threading.Event | None = None,
    ) -> Path:
        """Return the PDF report of a finished task. It is stored for the next call.

        - `language`: one of `enhance.i18n.LANGUAGES`.
        - `overrides`: replace keys of the stored `info`.
        - `encoding`: the format of the file to report on, by default the stored PNG.

        `stop` cancels it. Raises EnhanceError if the task or one of its files no longer exists.
        """
        info = cast(Info, {**self.tasks.finished_info(task_id), **(overrides or {})})
        encoding = encoding or Encoding()
        path = self.tasks.report_path(task_id, language, encoding)
        upload = self.tasks.upload_path(info["input"]["sha256"], info["input"]["name"])
        png = self.tasks.result_path(task_id)
        with self.tasks.using(path, upload, png), ExitStack() as hold:
            if not path.exists():
                result = self.export(Result(png, info, png), encoding, stop=stop, hold=hold)
                self.write_report(result, upload, path, language, stop=stop)
        return path

    @memory_errors()
    def write_report(
        self,
        result: Result,
        source: AnyImage,
        path: Path | str,
        language: str = DEFAULT_LANGUAGE,
        *,
        stop: threading.Event | None = None,
    ) -> Path:
        """Save the PDF report of a result to `path` and return `path`. `source` is the input.

        `stop` cancels it. Raises EnhanceError.
        """
        with optional_packages("report"):
            from .report.photo_report import make_report

        path = Path(path)
        image = self.read(source, path)
        with PngReader(existing_png(result)) as rows:
            report = make_report(result.info, rows, image, self.focus(image), language=language)
        check_stop(stop)
        write_atomically(path, lambda temporary: temporary.write_bytes(report))
        return path

    @memory_errors()
    def upscale(self, rgb: ndarray, model: str = "realesrgan-x4plus", tile: int = 192) -> ndarray:
        """Return the direct output of a model, [4H, 4W, 3].

        `rgb` is an RGB image of uint8 or uint16, [H, W, 3]. Raises EnhanceError.
        """
        has_pixels = rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.size > 0
        if not has_pixels or rgb.dtype not in (np.uint8, np.uint16):
            raise PictureError("not_rgb", given=f"{rgb.dtype} {list(rgb.shape)}")
        job = Job()
        with self.scheduler.queue_job(job):
            return self.engine.enlarge(rgb, model, tile=Settings(tile=tile).tile, job=job)

    def estimate(
        self, width: int, height: int, settings: Settings | PresetName, bits: int = 8
    ) -> float:
        """Return the expected seconds of a run on this machine for an image of this size.

        They follow from measurements of the networks. With `auto`, this is the time of `gentle`,
        the slowest preset that it selects for a photo.
        """
        settings = as_settings(settings)
        if settings.is_auto:
            settings = settings.resolved(REFERENCE_PRESET)
        planned = pipeline.planned_seconds(self.engine, settings, Size(width, height), bits)
        return sum(planned.values())

    def estimate_file(self, sha256: str, size: Size, settings: Settings) -> float | None:
        """Return the expected seconds of a run for a file with this checksum, without reading it.

        Returns None if that depends on an analysis of the file that is not cached.
        """
        analysis = self._analyses.get(sha256)
        if settings.is_auto:
            if analysis is None:
                return None
            settings, _ = self.resolve_for(settings, analysis)
        bits = analysis.bits if analysis else 8
        return self.estimate(*size, presets.with_installed_models(settings), bits)

    def presets(self, language: str = DEFAULT_LANGUAGE) -> list[PresetInfo]:
        """Return all presets with their settings, relative time and availability."""
        return [presets.describe(preset, language) for preset in all_presets().values()]

    def status(self) -> Status:
        """Return the state of the device and of the queue."""
        jobs = self.scheduler.count()
        running = min(jobs, 1)
        status = Status(
            device=self._device,
            precision=self._precision,
            model=None,
            model_memory_mb=0.0,
            running=running,
            waiting=jobs - running,
        )
        if self._engine is not None:
            status["device"] = str(self._engine.device)
            status["precision"] = self._engine.precision()
            model, size = self._engine.loaded() or (None, 0)
            status["model"] = model
            status["model_memory_mb"] = round(size / 1e6, 1)
        return status

    def warm_up(self) -> None:
        """Load PyTorch and measure the networks in the background, so that the first run does not
        wait for it."""

        def load(preset: str) -> None:
            try:
                self.estimate(512, 512, Settings(preset))
            except Exception as error:  # The first run reports it.
                log.warning("The engine is not ready: %s", str(error))

        DEVICE_THREAD.submit(partial(load, AUTO))
        for preset in presets.available_presets():
            DEVICE_THREAD.submit(partial(load, preset), Job())  # Steps of previews go first.

    def check(self) -> None:
        """Raise SettingsError if the device or the precision is unknown or missing."""
        self.engine.precision()

    def release(self) -> None:
        """Free the memory of the model. The next run loads it again."""
        if self._engine is not None:
            self._engine.release()

    def release_if_idle(self) -> None:
        """Free the memory of a model that is idle for five minutes.

        A server calls this regularly.
        """
        if self._engine is not None and not self.scheduler.count():
            self._engine.release_if_idle()
        # glibc keeps freed memory for each thread: 130 MB after a busy minute.
        if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
            trim(0)

    def _create_engine(self) -> Engine:
        """Return the engine. Only on the device's thread, so that there is one for all callers."""
        if self._engine is None:
            from .engine.engine import Engine

            self._engine = Engine(self._device, self._precision)
        return self._engine

    def _restore_faces(self, crops: Sequence[ndarray], job: Job) -> list[ndarray]:
        """Restore all faces of an image in one step of the engine, so that the models are swapped
        once."""
        located = models.ensure(RESTORER, stop=job.stop)
        return self.engine.use(
            RESTORER,
            lambda device: FaceRestorer(models.read_state_dict(located), device),
            lambda restorer: restorer.restore(crops, job.stop),
            job,
        )


@cache  # One for the process, so that the calls of `enhance` share the model in memory.
def _shared_enhancer() -> Enhancer:
    return Enhancer()


def enhance(
    image: T,
    preset: PresetName | Settings = AUTO,
    scale: float | None = None,
    *,
    model: Path | str | None = None,
    output: Path | str | None = None,
    enhancer: Enhancer | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> T:
    """Upscale an image and return the same kind of image.

    - A path: returns the path of the result. Without `output`, it is a PNG, which without a data
      folder is a temporary file until the program ends.
    - `bytes` or a binary file object: returns the content of the result, a PNG without `output`.
    - A Pillow image: returns one of mode L, LA, RGB or RGBA, or I;16 for 16-bit grey. Other 16-bit
      images become 8-bit.
    - A NumPy array or PyTorch tensor as in `InMemory`, or a batch [B, C, H, W] or [B, H, W, C]:
      returns the same type, range, channels and order of axes.

    `preset` is the name of a preset or `Settings`. `scale` is the enlargement factor, by default
    the scale of the model. `model` is the file of a user model, instead of a preset. `output` is a
    file for the result, in the format of its extension. Only an earlier result is replaced.
    `enhancer` is by default one that all calls share. `progress` and `stop` are as in
    `Enhancer.run`. Raises EnhanceError.
    """
    settings = _with_model(as_settings(preset).changed(scale=scale), model)
    enhancer = enhancer or _shared_enhancer()
    run = partial(enhancer.run, settings=settings, progress=progress, stop=stop)
    if isinstance(image, str | Path):
        return cast(T, type(image)(run(image, output=output).path))
    if is_batch(image):
        if output is not None:
            raise SettingsError("output_of_batch")
        enhance_one = partial(
            enhance, preset=settings, enhancer=enhancer, progress=progress, stop=stop
        )
        return map_batch(enhance_one, image)
    with as_file(cast(InMemory, image), enhancer.tasks.network) as (path, name):
        result = run(path, output=output or path.with_suffix(".png"), options=RunOptions(name=name))
        try:
            return _same_kind(result, image)
        finally:
            if output is None:
                result.path.unlink()


def _same_kind(result: Result, image: Any) -> Any:
    if isinstance(image, bytes | bytearray | memoryview):
        return result.path.read_bytes()
    if isinstance(image, Image):
        loaded = result.image
        loaded.load()
        return loaded
    if is_array(image):
        return like(result.array, image)
    return io.BytesIO(result.path.read_bytes())


def _with_model(settings: Settings, model: Path | str | None) -> Settings:
    """Return the settings with the model in a file instead of `auto`. Raises SettingsError,
    StorageError."""
    if model is None:
        return settings
    if not settings.is_auto:
        raise SettingsError("model_and_preset", preset=settings.preset)
    try:
        return settings.resolved(models.use(Path(model)))
    except WeightsError as error:
        raise SettingsError("model_unusable", reason=error) from error


def _job(kind: JobKind, stop: threading.Event | None) -> Job:
    return Job(kind, stop=stop or threading.Event())
