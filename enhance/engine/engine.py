"""The engine: one device with one model in memory, which runs networks by row streaming."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy import ndarray

from enhance.models.memory import ImagePart, divide_to_fit, stream_bytes

from .. import models
from ..errors import MemoryShortError, SettingsError, is_memory_short
from ..jobs.scheduler import Job
from ..settings import WeightInterpolation
from ..size import Size
from .device import (
    PRECISIONS,
    free_memory,
    pick_device,
    pick_precision,
    row_reader,
    to_pixels,
)
from .device_thread import DEVICE_THREAD
from .estimates import Estimator
from .kernels import ImageRows
from .phased_stream import PhasedStream
from .raw_store import ShareDone, Strips, streams_columns, strips_of_parts, swap_axes
from .steps import SMALLEST_STRIP, RowNetwork, Steps

_STREAM_BYTES = 1_800_000_000
"""The memory that a stream can use, except on a GPU. With everything else, a run needs less than 3
GB."""
_CPU_STRIPS = 2
_IDLE_SECONDS = 300
_ALWAYS_FITS = 1024
"""Images with at most this many pixels on the longer side are never cut, so previews need no
check."""

ModelT = TypeVar("ModelT")
ResultT = TypeVar("ResultT")


class Engine:
    """Runs networks on one device; safe to call from several threads.

    The model stays in memory for the next image. A server calls `release_if_idle` now and then.
    """

    def __init__(self, device: str = "auto", precision: str = "auto"):
        self.device = DEVICE_THREAD.call(lambda: pick_device(device))
        if precision not in (*PRECISIONS, "auto"):
            raise SettingsError(
                "precision_unknown",
                precision=precision,
                known=", ".join(PRECISIONS),
            )
        self._precision = precision
        # A GPU runs the next step while the strip of the last one is written. On a CPU, both would
        # need the same cores.
        self._runs_ahead = self.device.type != "cpu"
        self._estimates = Estimator(self.device)
        self._used = time.monotonic()
        self._model: Any = None  # with `name` and `bytes`
        self._model_key: Hashable = None

    def estimate(self, model: str, size: Size, bits: int = 8) -> float:
        """Return the expected seconds of a network on this machine for an image of this size."""
        dtype = PRECISIONS[self.precision(bits, model)]
        return self._estimates.seconds(model, dtype, size.pixels)

    def precision(self, bits: int = 8, model: str | None = None) -> str:
        """Return the precision of a model, or of any, for an image of `bits` bits per channel."""
        supported = models.graph_of(model).precisions if model else tuple(PRECISIONS)
        return pick_precision(self._precision, self.device, bits, supported)

    def loaded(self) -> tuple[str, int] | None:
        """Return the model in memory and its size in bytes, or None."""
        model = self._model
        if model is None:
            return None
        return model.name, model.bytes

    def use(
        self,
        name: str,
        load: Callable[[torch.device], ModelT],
        work: Callable[[ModelT], ResultT],
        job: Job | None = None,
    ) -> ResultT:
        """Return the result of `work` with the model called `name`, in one step; `load` loads the
        model if necessary."""

        def step() -> ResultT:
            model = self._load(name, lambda: load(self.device))
            try:
                return work(model)
            except Exception as error:
                if not is_memory_short(error):
                    raise
                self._drop()
                raise MemoryShortError("memory_short") from error

        return DEVICE_THREAD.call(step, job)

    def release(self) -> None:
        """Free the memory of the model; the next run loads it again."""
        DEVICE_THREAD.call(self._drop)

    def release_if_idle(self) -> None:
        """Free the memory of the model if nothing has used it for a while."""
        if self._model is not None and time.monotonic() - self._used >= _IDLE_SECONDS:
            self.release()

    def stream(
        self,
        rgb: ndarray,
        model: str | WeightInterpolation,
        *,
        tile: int = 192,
        progress: ShareDone = lambda share: None,
        job: Job | None = None,
        folder: Path | None = None,
    ) -> Strips:
        """Yield the network's output for `rgb` [H, W, 3] (uint8 or uint16, RGB) in strips of the
        same type.

        The strips of a portrait or square image are [n, W * scale, 3] from top to bottom, those of
        a landscape image [H * scale, n, 3] from left to right (`streams_columns`). `tile` bounds
        the size of a step and changes no pixel.

        An image that is too large for memory is processed in parts, whose output is stored in
        `folder`, and so are the feature maps between the phases of a network with barriers. Raises
        Cancelled, WeightsError, MemoryShortError, StorageError.
        """
        recipe = _recipe(model)
        job = job or Job()
        dtype = PRECISIONS[self.precision(8 * rgb.itemsize, recipe.model)]
        columns = streams_columns(Size.of_shape(rgb.shape))
        along, across, _ = swap_axes(rgb, columns).shape
        parts = self._parts(recipe.model, dtype, along, across)
        run = partial(self._run, recipe, dtype, tile, job, folder)
        if not parts:
            yield from run(rgb, columns, progress)
            return
        scale = models.graph_of(recipe.model).scale
        with closing(strips_of_parts(rgb, parts, scale, run, progress, folder)) as strips:
            for strip in strips:
                job.check()
                yield strip

    def enlarge(
        self,
        rgb: ndarray,
        model: str | WeightInterpolation,
        **options: Any,
    ) -> ndarray:
        """Return the network's output [H * scale, W * scale, 3]; see `stream` for parameters and
        errors."""
        recipe = _recipe(model)
        scale = models.graph_of(recipe.model).scale
        size = Size.of_shape(rgb.shape)
        columns = streams_columns(size)
        result = np.empty((*size.scale(scale).shape, 3), rgb.dtype)
        along = swap_axes(result, columns)
        for strip in self.stream(rgb, recipe, **options):
            rows = swap_axes(strip, columns)
            along[: len(rows)] = rows
            along = along[len(rows) :]
        return result

    def _parts(self, model: str, dtype: torch.dtype, along: int, across: int) -> list[ImagePart]:
        """Return the parts of an image that is too large for memory, none if it is processed as a
        whole.

        The limit of a GPU is its free memory. All CPUs have the same limit and count as two cores,
        so that neither their number nor the tile changes a pixel.
        """
        graph = models.graph_of(model)
        if max(along, across) <= _ALWAYS_FITS or graph.has_barriers:
            return []
        room = float(_STREAM_BYTES)
        if self.device.type == "cuda":
            room = DEVICE_THREAD.call(lambda: free_memory(self.device))

        def bytes_of(width: int) -> int:
            columns = graph.grid_length(width)
            return stream_bytes(graph, columns, SMALLEST_STRIP, dtype.itemsize, _CPU_STRIPS)

        return divide_to_fit(graph, along, across, bytes_of, room)

    def _run(
        self,
        recipe: WeightInterpolation,
        dtype: torch.dtype,
        tile: int,
        job: Job,
        folder: Path | None,
        part: ndarray,
        columns: bool,
        report: ShareDone,
    ) -> Strips:
        """Yield the strips of a part of the image, which fits into memory."""
        image = swap_axes(part, columns)
        size = Size.of_shape(image.shape)
        busy_seconds = 0.0

        def network() -> RowNetwork:
            return self._load(recipe, lambda: RowNetwork.load(recipe))

        def begin() -> Steps:
            reader = row_reader(image, self.device)
            rows = ImageRows(network().graph, size, reader, columns)
            stream = PhasedStream(rows, dtype, folder=folder)
            return Steps(stream, tile, dtype)

        def step() -> ndarray:
            nonlocal busy_seconds
            # Again, because another job can have loaded its model in the meantime.
            loaded = network()
            started = time.perf_counter()
            rows = steps.step(loaded, lambda: DEVICE_THREAD.check(job))
            pixels = to_pixels(rows, part.dtype)
            busy_seconds += time.perf_counter() - started
            return pixels

        steps = DEVICE_THREAD.call(begin, job)
        stream = steps.stream
        submitted = DEVICE_THREAD.submit(step, job)
        finished = False
        try:
            while not finished:
                strip = DEVICE_THREAD.wait_for(submitted)
                finished = stream.finished
                if self._runs_ahead and not finished:
                    submitted = DEVICE_THREAD.submit(step, job)
                report(stream.work_done())
                if strip.size:
                    yield swap_axes(strip, columns)
                if not (self._runs_ahead or finished):
                    submitted = DEVICE_THREAD.submit(step, job)
        finally:
            submitted.cancel()
            del submitted  # The traceback of an error would keep its rows in memory.
        self._estimates.record(recipe.model, dtype, size.pixels, busy_seconds)

    def _load(self, key: Hashable, load: Callable[[], ModelT]) -> ModelT:
        """Return the model of a key, and load it if it is not in memory; only on the device's
        thread."""
        self._used = time.monotonic()
        if key != self._model_key:
            self._drop()
            self._model = load()
            self._model_key = key
        return self._model

    def _drop(self) -> None:
        self._model = self._model_key = None
        torch.cuda.empty_cache()  # without effect if CUDA is not in use


def _recipe(model: str | WeightInterpolation) -> WeightInterpolation:
    if isinstance(model, str):
        return WeightInterpolation(model)
    return model
