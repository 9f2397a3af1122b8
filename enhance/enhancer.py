"""The one door to everything: a picture file goes in, an enlarged PNG and its facts come out."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import models, pipeline, presets, scenes
from .comparison import Cell, Comparison, compare
from .config import Config, read_config
from .engine.raw_store import IN_MEMORY, NetworkOutput
from .errors import PictureError, SettingsError, StorageError, memory_errors
from .i18n import DEFAULT_LANGUAGE, match_language
from .images import Picture, reduced_size, warm_up
from .info import Request, Result, RunCallbacks, RunRecord, StripCallback, record_of
from .output.formats import Encoding, export
from .output.resample import result_size
from .output.result import ResultRows
from .pipeline import Context
from .preview import Preview, choose_box, render, surroundings
from .scenes.faces import RESTORER, FaceCache, FaceRestorer
from .scheduler import SCHEDULER, Kind, Progress, Ticket
from .settings import Settings, as_settings
from .store import TaskStore, count_as_used

if TYPE_CHECKING:
    from .engine.engine import Engine, Lend

Source = Path | str | Picture
"""A picture's file, or the picture where it is decoded already."""
_DETECTOR = "yunet"
_SECONDS_PER_MEGAPIXEL = 0.04
"""Tuning and encoding of a megapixel of the result, roughly; small beside the network."""
_KNOWN_MEMORIES = 256


class Enhancer:
    """Enhances pictures with one engine; safe to call from several threads.

    `device` is auto (`ENHANCE_DEVICE`, else the best there is), cpu, cuda or mps; `precision` auto, fp32, bf16 or fp16;
    `data` the folder for inputs and results (`ENHANCE_DATA`, else `data/`). Nothing heavy is loaded before the first
    picture. Raises SettingsError where an environment variable has no usable value.
    """

    def __init__(
        self,
        device: str = "auto",
        precision: str = "auto",
        *,
        data: Path | str | None = None,
        config: Config | None = None,
    ):
        self.config = config = config or read_config()
        self._device = config.device if device == "auto" else device
        self._precision = precision
        self.max_pixels, self.max_bytes = config.max_pixels, config.max_bytes
        self.lend: Lend | None = None  # set before the first picture where the device is only lent
        self._engine: Engine | None = None
        self._face_cache = FaceCache(lambda: models.ensure(_DETECTOR).path, self._restore_faces)
        self._memory = lru_cache(_KNOWN_MEMORIES)(lambda _checksum, *asked: self.engine.memory(*asked))
        self.tasks = TaskStore(data or config.data, hours=config.hours, max_disk=config.max_disk)

    @property
    def engine(self) -> Engine:
        """The engine, made at first use: this is what imports PyTorch."""
        if self._engine is None:
            warm_up()
            return SCHEDULER.call(self._one_engine)
        return self._engine

    @memory_errors()
    def run(
        self,
        source: Path | str,
        settings: Settings | str | None = None,
        *,
        name: str | None = None,
        picture: Picture | None = None,
        output: Path | str | None = None,
        preview: Preview | None = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
        watch: StripCallback | None = None,
        max_pixels: int | None = None,
        max_bytes: int | None = None,
        hold: ExitStack | None = None,
        ticket: Ticket | None = None,
        encoding: Encoding | None = None,
        with_png: bool = False,
    ) -> Result:
        """Enhance the picture file `source` and write the result as PNG; a preset's name stands for its settings.

        Without `output` it becomes a task: `processed/<task_id>.png` and `.json`, the input is kept under `uploads/`
        and the network's output for further tuning. A result with the same signature, in the store or already at
        `output`, is not computed again. `preview` of the same picture is compared with the result, `watch` sees it
        grow; `name` is what the input is called, if not by its file name, and `picture` the input decoded, where the
        caller has it. Until `hold` is closed the result is not cleaned away. Runs wait for each other; a
        `ticket` for the device replaces `stop` by its own. Raises EnhanceError; nothing half-written is left.

        `encoding` (by the ending of `output`, else PNG) makes a file of another format from the PNG, which stays in
        the store; that of an `output` goes, or when `hold` is closed, and `with_png` takes no earlier result there that
        has none. What the format cannot hold is refused before any work.
        A damaged PNG at `output` is replaced.
        """
        place, source = None if output is None else Path(output), Path(source)
        if place is not None:
            wanted = encoding or Encoding.of_file(place)
            encoding = Encoding.of_file(place, wanted.quality, wanted.metadata, wanted.format)
        encoding, context = encoding or Encoding(), self._context()
        limits = max_pixels or self.max_pixels, max_bytes or self.max_bytes
        request = Request(picture or source, as_settings(settings), *limits, name, self._folder(place))
        callbacks = RunCallbacks(ticket or _ticket("run", stop), progress, watch)
        with pipeline.wait_in_queue(request, callbacks):
            record = pipeline.begin(request, context, callbacks)
            height, width = record.size
            encoding.check(width, height)
            if place is not None:
                return pipeline.run_to(place, encoding, record, source, context, callbacks, hold, with_png=with_png)
            result = pipeline.run_as_task(record, source, context, callbacks, preview, hold)
        return self.export(result, encoding, stop=callbacks.stop, hold=hold)

    @memory_errors()
    def export(
        self, result: Result, encoding: Encoding, *, stop: threading.Event | None = None, hold: ExitStack | None = None
    ) -> Result:
        """A finished task as a file of another format: made once, then found again as long as it is kept.

        Until `hold` is closed it is not cleaned away. Raises EnhanceError.
        """
        if encoding.is_stored:
            return result
        png = self.tasks.result_path(result.info["task_id"])
        path = self.tasks.encoded_path(result.info["output"]["sha256"], encoding)
        if hold is not None:
            hold.enter_context(self.tasks.using(path))
        with self.tasks.using(path, png):
            if path.exists():
                count_as_used(path)
            else:
                self.tasks.prepare()
                export(png, path, encoding, stop)
            return result.exported_as(path, encoding)

    @memory_errors()
    def preview(
        self,
        source: Source,
        settings: Settings | str | None = None,
        *,
        x: float | None = None,
        y: float | None = None,
        size: int = 128,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
        ticket: Ticket | None = None,
    ) -> Preview:
        """Before and after of the square of `size` px around x, y (default the middle), by the same way as `run`.

        It goes before the steps of a running `run`, which gets every third step at least. Its `info` has the signature
        that the whole run would have.
        """
        context = self._context()
        callbacks = RunCallbacks(ticket or _ticket("preview", stop), progress)
        picture = self.read(source, None, self.max_pixels, self.max_bytes)
        record = pipeline.begin(Request(picture, as_settings(settings)), context, callbacks)
        box = choose_box(picture.width, picture.height, x, y, size)
        return pipeline.make_preview(record, box, context, callbacks)

    @memory_errors()
    def compare(
        self,
        source: Source,
        *,
        x: float | None = None,
        y: float | None = None,
        size: int = 128,
        settings: Sequence[Settings] | None = None,
        on_cell: Callable[[Cell], object] | None = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
        ticket: Ticket | None = None,
    ) -> Comparison:
        """The square of `preview` by every preset that can run here, or by the `settings`, model after model.

        It waits for no run and takes turns with its steps, and previews go before its own. `on_cell` is called with each
        preset that is done. What one of them fails of is in its cell; EnhanceError is raised where all fail.
        """
        started, context, ticket = time.perf_counter(), self._context(), ticket or _ticket("comparison", stop)
        picture = self.read(source, None, self.max_pixels, self.max_bytes)
        decoded, box = time.perf_counter() - started, choose_box(picture.width, picture.height, x, y, size)

        def make(settings: Settings, known: Mapping[str, Preview], told: Progress) -> Preview:
            callbacks = RunCallbacks(replace(ticket, wait_seconds=0.0), told)
            record = pipeline.begin(Request(picture, settings), context, callbacks)
            return pipeline.make_preview(record, box, context, callbacks, known=known)

        def expected(settings: Settings) -> float:
            seen = surroundings(box, picture.width, picture.height, settings).reduced(settings.reduce)
            return self.engine.estimate(settings.model, seen.height, seen.width, picture.bits)

        here = [Settings.from_preset(preset["name"]) for preset in self.presets() if preset["available"]]
        cells = compare(settings or here or [Settings()], make, expected, progress, on_cell)
        return Comparison(box, cells, {"decode": decoded, "total": time.perf_counter() - started})

    def read(
        self, source: Source, output: Path | None = None, max_pixels: int | None = None, max_bytes: int | None = None
    ) -> Picture:
        """The picture as a run decodes it, with the limits of `read_picture`; one that is decoded stays as it is.

        The pixels of a large one lie where its result is to lie: beside `output`, else in the data folder.
        """
        return pipeline.decode(Request(source, Settings(), max_pixels, max_bytes, folder=self._folder(output)))

    @memory_errors()
    def retune(self, preview: Preview, settings: Settings | str) -> Preview:
        """The same square with other sliders, without running the network.

        Raises SettingsError when the settings need another network than the preview's.
        """
        info, picture, settings = preview.info, preview.region.picture, as_settings(settings)
        located = models.ensure(settings.model)
        record = RunRecord(picture, settings, located, info["precision"], info["device"], 0.0)
        if record.network_key != preview.region.network_key:
            raise SettingsError("new_preview", preset=settings.preset)
        changed = record.info()
        info = info | {name: changed[name] for name in ("signature", "preset", "settings", "tile")}
        before, after, decibels = render(preview.region, settings)
        return Preview(before, after, preview.region, info | {"fidelity_db": decibels})

    @contextmanager
    def result_rows(self, task_id: str, picture: Picture | None = None) -> Iterator[ResultRows]:
        """The finished pixels of a task on demand, as long as its input and its network's output are kept.

        `picture` is the decoded input, where the caller has it. Raises EnhanceError when they are not kept, or when
        there is no such task.
        """
        info = self.tasks.finished_info(task_id)
        picture = picture or self.read(self._upload(info))
        record = record_of(info, picture)
        with NetworkOutput.open(self.tasks.network_path(record.network_key)) as output:
            yield pipeline.finished_rows(record, output, pipeline.find_scene(record, self._face_cache))

    def report(
        self,
        task_id: str,
        language: str = DEFAULT_LANGUAGE,
        picture: Picture | None = None,
        told: Mapping[str, Any] | None = None,
    ) -> Path:
        """The PDF report of a finished task, in English or Chinese ("zh-CN"); made once, then found again.

        `picture` is the decoded input, where the caller has it; facts that are `told` to the reader take the place of
        those that are stored. Raises EnhanceError when there is no such task or its files are no longer kept.
        """
        info = self.tasks.finished_info(task_id) | dict(told or {})
        path = self.tasks.report_path(task_id, language)
        upload, png = self._upload(info), self.tasks.result_path(task_id)
        with self.tasks.using(path, upload, png):
            if not path.exists():
                self.write_report(Result(png, info, png), picture or upload, path, language)
        return path

    @memory_errors()
    def write_report(self, result: Result, source: Source, path: Path | str, language: str = DEFAULT_LANGUAGE) -> Path:
        """Write the PDF report of a result of the input `source` to `path`. Raises EnhanceError."""
        from .output.png_reader import PngReader
        from .report import write_report

        picture = self.read(source, Path(path))
        if result.png is None:
            raise StorageError("result_png_gone", name=result.path.name)
        with PngReader(result.png) as rows:
            return write_report(path, result.info, rows, picture, language=match_language(language) or DEFAULT_LANGUAGE)

    @memory_errors()
    def upscale(
        self,
        rgb: np.ndarray,
        model: str = "realesrgan-x4plus",
        tile: int = 192,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> np.ndarray:
        """The network's output alone: uint8 (or uint16) [H, W, 3] RGB gives [4H, 4W, 3] of the same type."""
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype not in (np.uint8, np.uint16) or 0 in rgb.shape:
            raise PictureError("not_rgb", given=f"{rgb.dtype} {list(rgb.shape)}")
        return self.engine.enlarge(
            rgb, model, tile=Settings(tile=tile).tile, progress=progress, ticket=_ticket("run", stop)
        )

    def estimate(self, width: int, height: int, settings: Settings | str, bits: int = 8) -> float:
        """The seconds that a whole run of a picture of this size takes here, from what was measured."""
        settings = as_settings(settings)
        megapixels = math.prod(result_size(settings, height, width)) / 1e6
        seen = reduced_size(height, width, settings.reduce)
        return self.engine.estimate(settings.model, *seen, bits) + _SECONDS_PER_MEGAPIXEL * megapixels

    def estimate_memory(self, width: int, height: int, settings: Settings | str, bits: int = 8) -> float:
        """The megabytes that such a run takes at most, of the device or beside what the process holds anyway."""
        settings, channels = as_settings(settings), 3 * bits // 8
        seen = reduced_size(height, width, settings.reduce)
        network = self._memory(models.Store().find(settings.model).sha256, settings.model, *seen, bits, settings.tile)
        output = min(math.prod(seen) * settings.factor**2 * channels, IN_MEMORY)
        beside = 0 if self.engine.own.type == "cuda" else output + width * height * channels
        return (network + beside) / 1e6

    def hints(self, picture: Picture) -> tuple[scenes.Hint, ...]:
        """The presets and the reduction that may suit the picture: to be said, never done without being asked."""
        detector = models.locate(_DETECTOR)
        return scenes.hints(picture, detector.path if detector else None)

    def presets(self, language: str = DEFAULT_LANGUAGE) -> list[dict[str, Any]]:
        """Every preset with its settings, whether it can be chosen here and if not why, and its relative time."""
        return presets.describe_presets(language)

    def status(self) -> dict[str, Any]:
        """The device, the precision, the model in memory with its size in MB, and the runs; loads nothing."""
        engine = self._engine
        loaded, running = engine.loaded() if engine else None, min(SCHEDULER.count(admitted=False), 1)
        return {
            "device": str(engine.device) if engine else self._device,
            "precision": engine.precision() if engine else self._precision,
            "model": loaded[0] if loaded else None,
            "model_memory_mb": round(loaded[1] / 1e6, 1) if loaded else 0.0,
            "running": running,
            "waiting": max(SCHEDULER.count() - running, 0),
        }

    def check(self) -> None:
        """Find out now what would fail at the first picture: the device's and the precision's names."""
        self.engine.precision()

    def release(self) -> None:
        """Give back the memory of the model; the next run loads it again."""
        if self._engine is not None:
            self._engine.release()

    def release_if_idle(self) -> None:
        """The same when nothing has needed the model for five minutes: for one who serves, and asks now and then."""
        if self._engine is not None:
            self._engine.release_if_idle()

    def _one_engine(self) -> Engine:
        """Only on the device's thread: so there is one, however many ask for it at first."""
        if self._engine is None:
            from .engine.engine import Engine

            self._engine = Engine(self._device, self._precision, lend=self.lend)
        return self._engine

    def _upload(self, info: dict[str, Any]) -> Path:
        return self.tasks.upload_path(info["input"]["sha256"], info["input"]["name"])

    def _context(self) -> Context:
        return Context(self.engine, self._face_cache, self.tasks)

    def _folder(self, output: Path | None) -> Path:
        """Where the pixels of a large picture lie: with its result."""
        return output.parent if output else self.tasks.folder

    def _restore_faces(self, crops: Sequence[np.ndarray], ticket: Ticket | None) -> list[np.ndarray]:
        """All faces of a picture in one step of the engine, so that the models change places once."""
        ticket = ticket or Ticket()
        located = models.ensure(RESTORER, stop=ticket.stop)
        return self.engine.use(
            RESTORER,
            lambda device: FaceRestorer(models.read_state_dict(located), device),
            lambda restorer: restorer.restore(crops, ticket.stop),
            ticket,
        )


def _ticket(kind: Kind, stop: threading.Event | None) -> Ticket:
    return Ticket(kind, stop=stop or threading.Event())
