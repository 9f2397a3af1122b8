"""The one door to everything: a picture file goes in, an enlarged PNG and its facts come out."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import weights

from .availability import describe_presets
from .canvas import Canvas, streams_columns
from .earlier import result_at, stored_result
from .errors import EnhanceError, PictureError, SettingsError, StorageError
from .info import describe, settings_of
from .job import Job
from .picture import Box, Picture, read_picture
from .preview import LARGEST, MARGIN, Piece, Preview, agreement_db, choose_box, render
from .progress import Progress
from .result import ResultRows, with_faces
from .running import Onlookers, Timing, Watcher, network_output, write_result
from .scenes.haze import find_haze
from .scenes.portrait import Faces, Portraits
from .settings import Settings
from .tasks import TaskStore
from .whole import try_place

if TYPE_CHECKING:
    from .engine import Engine

_SECONDS_PER_MEGAPIXEL = 0.04
"""Tuning and encoding of a megapixel of the result, roughly; small beside the network."""


@dataclass(frozen=True)
class Result:
    """A finished PNG and everything known of how it was made (the keys are those of the API's `info`)."""

    path: Path
    info: dict[str, Any]


class Enhancer:
    """Enhances pictures with one engine; safe to call from several threads.

    `device` is auto, cpu, cuda or mps; `precision` auto, fp32, bf16 or fp16; `data` the folder for inputs and results
    (`ENHANCE_DATA`, else `data/`). Nothing heavy is loaded before the first picture.
    """

    def __init__(self, device: str = "auto", precision: str = "auto", *, data: Path | str | None = None):
        self._device, self._precision = device, precision
        self._making = threading.Lock()
        self._engine: Engine | None = None
        self._portraits = Portraits(lambda face: self.engine.restore_face(face))
        self.tasks = TaskStore(data)

    @property
    def engine(self) -> Engine:
        """The engine, made at first use: this is what imports PyTorch."""
        with self._making:
            if self._engine is None:
                from .engine import Engine

                self._engine = Engine(self._device, self._precision)
            return self._engine

    def run(
        self,
        source: Path | str,
        settings: Settings | None = None,
        *,
        name: str | None = None,
        output: Path | str | None = None,
        preview: Preview | None = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
        watch: Watcher | None = None,
        max_pixels: int | None = None,
        max_bytes: int | None = None,
    ) -> Result:
        """Enhance the picture file `source` and write the result as PNG.

        Without `output` it becomes a task: `processed/<task_id>.png` and `.json`, the input is kept under `uploads/`
        and the network's output for further tuning. A result with the same signature, in the store or already at
        `output`, is not computed again. `preview` of the same picture is compared with the result, `watch` sees it
        grow; `name` is what the input is called, if not by its file name. Raises EnhanceError; nothing half-written is
        left.
        """
        started = time.perf_counter()
        job = self._job(source, settings, max_pixels, max_bytes)
        if name is not None:
            job = replace(job, picture=replace(job.picture, name=name))
        others = Onlookers(progress, stop, watch)
        if output is not None:
            return self._run_to(Path(output), Path(source), job, started, others)
        task_id = self.tasks.new_id()
        path, keep = self.tasks.result_path(task_id), self.tasks.network_path(job.network_key)
        upload = self.tasks.upload_path(job.picture.sha256, job.picture.name)
        with self.tasks.using(upload, path, keep):
            self.tasks.keep_upload(Path(source), job.picture)
            timing = Timing(started, self.engine.device.type)
            info = None
            if watch is None:
                info = stored_result(self.tasks, job, path, timing, str(self.engine.device))
            info = (info or self._make(job, path, timing, others, keep, preview)) | {"task_id": task_id}
            self.tasks.finish(task_id, info)
        return Result(path, info)

    def preview(
        self,
        source: Path | str | Picture,
        settings: Settings | None = None,
        *,
        x: float | None = None,
        y: float | None = None,
        size: int = 128,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
        max_pixels: int | None = None,
        max_bytes: int | None = None,
    ) -> Preview:
        """Before and after of the square of `size` px around x, y (default the middle), by the same way as `run`.

        It goes before the steps of a running `run`. Its `info` has the signature that the whole run would have.
        """
        started = time.perf_counter()
        if not 1 <= size <= LARGEST:
            raise SettingsError(f"size takes a number of pixels from 1 to {LARGEST}, not {size!r}.")
        job = self._job(source, settings, max_pixels, max_bytes)
        box = choose_box(job.picture.width, job.picture.height, x, y, size)
        outer = box.grown(MARGIN, job.picture.width, job.picture.height)
        part = job.part(outer)
        timing = Timing(started, self.engine.device.type)
        faces = self._faces(job, stop, outer)
        with network_output(self.engine, part, timing, Onlookers(progress, stop), urgent=True) as canvas:
            network = canvas.rows(0, canvas.height)
        piece = Piece(part.picture, network, box, outer, job.network_key, faces.patches if faces else ())
        before, after = render(piece, job.settings)
        timing.stage("tuning")
        info = describe(job, device=str(self.engine.device)) | {"preview": asdict(box)}
        info |= {"faces": faces.describe()} if faces else {}
        return Preview(before, after, piece, info | timing.measured(part.picture.width * part.picture.height))

    def retune(self, preview: Preview, settings: Settings) -> Preview:
        """The same square with other sliders, without running the network.

        Raises SettingsError when the settings need another network than the preview's.
        """
        info = preview.info
        located = weights.ensure(settings.model)
        job = Job(preview.piece.picture, settings, located, info["precision"])
        if job.network_key != preview.piece.network_key:
            raise SettingsError(f"The preset {settings.preset} needs a new preview: it runs the network differently.")
        changed = describe(job, device=info["device"])
        info = info | {name: changed[name] for name in ("signature", "preset", "settings", "tile")}
        return Preview(*render(preview.piece, settings), preview.piece, info)

    def result_rows(self, task_id: str) -> ResultRows:
        """The finished pixels of a task on demand, as long as its input and its network's output are kept.

        Raises EnhanceError when they are not, or when there is no such task.
        """
        info = self._finished(task_id)
        picture = read_picture(self.tasks.upload_path(info["input"]["sha256"], info["input"]["name"]))
        located = weights.Located(info["model"]["name"], Path(), info["model"]["sha256"], info["model"]["source"])
        job = Job(picture, settings_of(info), located, info["precision"])
        canvas = Canvas.open(self.tasks.network_path(job.network_key))
        return self._rows(job, canvas, self._faces(job, None))

    def report(self, task_id: str, language: str = "en") -> Path:
        """The PDF report of a finished task, in English or Chinese ("zh-CN"); made once, then found again.

        Raises EnhanceError when there is no such task or its files are no longer kept.
        """
        info = self._finished(task_id)
        path = self.tasks.reports / f"{task_id}{'.zh' if language.lower().startswith('zh') else ''}.pdf"
        upload = self.tasks.upload_path(info["input"]["sha256"], info["input"]["name"])
        result = Result(self.tasks.result_path(task_id), info)
        with self.tasks.using(path, upload, result.path):
            return path if path.exists() else self.write_report(result, upload, path, language)

    def write_report(self, result: Result, source: Path | str, path: Path | str, language: str = "en") -> Path:
        """Write the PDF report of a result of the input `source` to `path`. Raises EnhanceError."""
        from .output.png_rows import PngRows
        from .report import write_report

        spoken = "zh-CN" if language.lower().startswith("zh") else "en"
        with PngRows(result.path) as rows:
            return write_report(path, result.info, rows, read_picture(source), language=spoken)

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
            raise PictureError(
                f"upscale takes an array [height, width, 3] of uint8 or uint16, not {rgb.dtype} {list(rgb.shape)}."
            )
        height, width = rgb.shape[:2]
        result = np.empty((4 * height, 4 * width, 3), rgb.dtype)
        columns, filled = streams_columns(height, width), 0
        for strip in self.engine.stream(rgb, model, tile=Settings(tile=tile).tile, progress=progress, stop=stop):
            end = filled + strip.shape[1 if columns else 0]
            result[(slice(None), slice(filled, end)) if columns else slice(filled, end)] = strip
            filled = end
        return result

    def estimate(self, width: int, height: int, settings: Settings, bits: int = 8) -> float:
        """The seconds that a whole run of a picture of this size takes here, from what was measured."""
        megapixels = width * height * settings.scale**2 / 1e6
        return self.engine.estimate(settings.model, height, width, bits) + _SECONDS_PER_MEGAPIXEL * megapixels

    def presets(self) -> list[dict[str, Any]]:
        """Every preset with its settings, whether it can be chosen here and if not why, and its relative time."""
        return describe_presets()

    def status(self) -> dict[str, Any]:
        """The device, the precision, the model in memory with its size in MB, and the runs; loads nothing."""
        engine = self._engine
        loaded = engine.loaded() if engine else None
        runs = engine.runs if engine else 0
        return {
            "device": str(engine.device) if engine else self._device,
            "precision": engine.precision() if engine else self._precision,
            "model": loaded[0] if loaded else None,
            "model_memory_mb": round(loaded[1] / 1e6, 1) if loaded else 0.0,
            "running": min(runs, 1),
            "waiting": max(runs - 1, 0),
        }

    def check(self) -> None:
        """Find out now what would fail at the first picture: the device's and the precision's names."""
        self.engine.precision()

    def release(self) -> None:
        """Give back the memory of the model; the next run loads it again."""
        if self._engine is not None:
            self._engine.release()

    def _finished(self, task_id: str) -> dict[str, Any]:
        info = self.tasks.info(task_id)
        if info is None:
            raise EnhanceError("There is no such result (any more); run the picture again.")
        return info

    def _job(
        self, source: Path | str | Picture, settings: Settings | None, max_pixels: int | None, max_bytes: int | None
    ) -> Job:
        settings = settings or Settings()
        if not isinstance(source, Picture):
            source = read_picture(source, max_pixels=max_pixels, max_bytes=max_bytes)
        located, *_ = [weights.ensure(name) for name in settings.recipe.models]
        haze = find_haze(source.rgb) if settings.scene == "dehaze" else None
        return Job(source, settings, located, self.engine.precision(source.bits), haze)

    def _faces(self, job: Job, stop: threading.Event | None, box: Box | None = None) -> Faces | None:
        """The restored faces of the job's picture, where its preset asks for them."""
        return self._portraits.faces(job.picture, box, stop) if job.settings.scene == "face" else None

    def _rows(self, job: Job, canvas: Canvas, faces: Faces | None) -> ResultRows:
        network = with_faces(canvas.rows, faces.patches if faces else (), job.settings)
        return ResultRows(job.picture, network, job.settings)

    def _run_to(self, output: Path, source: Path, job: Job, started: float, others: Onlookers) -> Result:
        """A run whose result goes to a place of the caller's; no task, and nothing else is kept."""
        if output.exists() and source.exists() and output.samefile(source):
            raise StorageError(f"{output} is the input itself, which is never overwritten; choose another output name.")
        timing = Timing(started, self.engine.device.type)
        info = result_at(output, job, timing, str(self.engine.device))
        if info is None:
            try_place(output)
            info = self._make(job, output, timing, others)
        return Result(output, info | {"task_id": self.tasks.new_id()})

    def _make(
        self,
        job: Job,
        path: Path,
        timing: Timing,
        others: Onlookers,
        keep: Path | None = None,
        preview: Preview | None = None,
    ) -> dict[str, Any]:
        """Do the job and write its result to `path`; gives its facts."""
        faces = self._faces(job, others.stop)
        with network_output(self.engine, job, timing, others, keep=keep, folder=path.parent) as canvas:
            rows = self._rows(job, canvas, faces)
            info = write_result(job, rows, path, timing, others, str(self.engine.device))
            if preview is not None and preview.piece.network_key == job.network_key:
                info["agreement_db"] = agreement_db(preview, rows)
        return info | ({"faces": faces.describe()} if faces else {})
