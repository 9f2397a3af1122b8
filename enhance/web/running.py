"""A run in its own thread: it can be watched and stopped from outside, and its picture grows before one's eyes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..enhancer import Enhancer, Result
from ..inference.network_output import streams_columns
from ..output.rendition import Rendition, reduce
from ..output.result import ResultRows
from ..preview import Preview
from ..settings import Settings
from .limits import Limits
from .screen import LIVE, icc_for_screen, whole_picture
from .work import Work


@dataclass(frozen=True)
class State:
    """How far a run is: rows done and in all, seconds left, and whether the network is through."""

    done: int = 0
    total: int = 0
    left: float | None = None
    writing: bool = False


class Run(Work[Result]):
    """One run of the engine. `result` raises EnhanceError, Cancelled among them."""

    def __init__(
        self,
        enhancer: Enhancer,
        source: Path,
        settings: Settings,
        limits: Limits,
        *,
        watch: Growing | None = None,
        preview: Preview | None = None,
    ):
        self.state = State()
        self.watch = watch

        def do(stop: threading.Event) -> Result:
            return enhancer.run(
                source,
                settings,
                progress=self._progress,
                stop=stop,
                watch=watch,
                preview=preview,
                max_pixels=limits.pixels,
                max_bytes=limits.bytes,
            )

        super().__init__(do, "enhance-run")

    def _progress(self, done: int, total: int, left: float | None) -> None:
        self.state = State(done, total, left, writing=done >= total)


@dataclass(frozen=True, eq=False)
class Whole:
    """The whole picture for the screen: before, and after as it is being filled, both of the same size."""

    before: np.ndarray
    after: Rendition
    icc: bytes | None


class Growing:
    """Watches a run: the picture as far as it has come, and at the end before and after for the screen.

    `backdrop` is the input at any size, uint8 [h, w, 3 or 4]; it stays visible, dimmed, where nothing has come yet.
    """

    def __init__(self, width: int, height: int, backdrop: np.ndarray):
        # every second pixel or fewer is enough for a small picture that is shown for a moment
        self._step = max(1, 4 * max(width, height) // (2 * LIVE))
        self._columns, self._passed = streams_columns(height, width), 0
        size = (-(-4 * side // self._step) for side in (height, width))
        self._live = Rendition(*size, columns=self._columns, limit=LIVE)
        self._live.pixels[:] = reduce(backdrop, self._live.size)[..., :3] // 3
        self._changed = False
        self._shown = 0.0
        self.whole: Whole | None = None

    def strip(self, strip: np.ndarray) -> None:
        step, first = self._step, -self._passed % self._step
        self._passed += strip.shape[1 if self._columns else 0]
        thinned = strip[::step, first::step] if self._columns else strip[first::step, ::step]
        if thinned.size:
            self._live.add(np.ascontiguousarray(thinned))
            self._changed = True

    def finished(self, rows: ResultRows) -> Rendition:
        height, width = rows.size
        after = Rendition(height, width, channels=rows.channels)
        self.whole = Whole(whole_picture(rows.picture, after.size), after, icc_for_screen(rows.picture))
        return after

    def look(self, every: float) -> np.ndarray | None:
        """The picture so far, if it has changed and was not looked at for `every` seconds."""
        now = time.monotonic()
        if not self._changed or now - self._shown < every:
            return None
        self._changed, self._shown = False, now
        return self._live.pixels
