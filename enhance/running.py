"""One run from a job to a written PNG: the network's output, made or found, then the result's rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .canvas import Canvas, streams_columns
from .errors import StorageError
from .info import describe, measured, output_of
from .job import Job
from .memory import PeakMemory
from .progress import Progress
from .result import ResultRows, write_png
from .tasks import count_as_used

if TYPE_CHECKING:
    from .engine import Engine
    from .output.rendition import Rendition


class Watcher(Protocol):
    """Someone who looks on while a picture is made."""

    def strip(self, strip: np.ndarray) -> None:
        """The network's next strip, [n, W, 3], or [H, n, 3] where the picture is wider than high."""

    def finished(self, rows: ResultRows) -> Rendition | None:
        """Called before the result is written; what it gives is fed the finished rows."""


@dataclass(frozen=True)
class Onlookers:
    """Who is told of a run's progress, who may stop it, and who watches."""

    progress: Progress | None = None
    stop: threading.Event | None = None
    watch: Watcher | None = None


class Timing:
    """The seconds of a run by stage, and its highest memory."""

    def __init__(self, started: float, device_type: str):
        self.started = started
        self.memory = PeakMemory(device_type)
        self.seconds = {"decode": time.perf_counter() - started}
        self._mark = time.perf_counter()

    def stage(self, name: str) -> None:
        """Count the time since the last stage's end as stage `name`."""
        now = time.perf_counter()
        self.seconds[name], self._mark = now - self._mark, now

    def measured(self, pixels: int) -> dict[str, Any]:
        """The figures of the run so far, under the names of `info`."""
        seconds = {"network": 0.0, "tuning": 0.0, "encode": 0.0} | self.seconds
        return measured(pixels, seconds | {"total": time.perf_counter() - self.started}, self.memory.look())


@contextmanager
def network_output(
    engine: Engine,
    job: Job,
    timing: Timing,
    others: Onlookers,
    *,
    keep: Path | None = None,
    folder: Path | None = None,
    urgent: bool = False,
) -> Iterator[Canvas]:
    """The network's output for the job: the one kept at `keep` if there is one, else made, and kept there.

    Without `keep` a large one lies in `folder` for as long as it is needed.
    """
    canvas = _kept(keep) or _make(engine, job, timing, others, keep, folder, urgent=urgent)
    with canvas:
        timing.stage("network")
        yield canvas


def write_result(
    job: Job, rows: ResultRows, path: Path, timing: Timing, others: Onlookers, device: str
) -> dict[str, Any]:
    """Write the result and give its facts, all but the task's id."""
    rendition = others.watch.finished(rows) if others.watch else None
    written, spent = write_png(rows, path, signature=job.signature, rendition=rendition, stop=others.stop)
    timing.seconds |= spent
    picture = job.picture
    return (
        describe(job, device=device)
        | {"output": output_of(written, rows.size)}
        | timing.measured(picture.width * picture.height)
    )


def _kept(path: Path | None) -> Canvas | None:
    if path is None or not path.exists():
        return None
    try:
        canvas = Canvas.open(path)
    except StorageError:
        return None
    count_as_used(path)
    return canvas


def _make(
    engine: Engine,
    job: Job,
    timing: Timing,
    others: Onlookers,
    keep: Path | None,
    folder: Path | None,
    *,
    urgent: bool,
) -> Canvas:
    picture = job.picture
    height, width = picture.height, picture.width
    canvas = Canvas(
        4 * height, 4 * width, picture.rgb.dtype, columns=streams_columns(height, width), path=keep, folder=folder
    )

    def between_steps(done: int, total: int, left: float | None) -> None:
        timing.memory.look()
        if others.progress is not None:
            others.progress(done, total, left)

    strips = engine.stream(
        job.network_input(),
        job.settings.recipe,
        tile=job.settings.tile,
        progress=between_steps,
        stop=others.stop,
        urgent=urgent,
    )
    try:
        with closing(strips):
            for strip in strips:
                canvas.add(strip)
                if others.watch is not None:
                    others.watch.strip(strip)
        if keep is not None:
            canvas.keep()
    except BaseException:
        canvas.close()
        raise
    return canvas
