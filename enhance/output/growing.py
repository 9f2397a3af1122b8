"""A picture that grows on the screen while a run makes it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ..inference.network_output import streams_columns
from .rendition import Rendition, icc_for_screen, reduce, whole_picture
from .result import ResultRows

LIVE = 720
"""The longest side of what is shown for a moment, in pixels."""


@dataclass(frozen=True, eq=False)
class WholePicture:
    """The whole picture for the screen: before, and after as it is being filled, both of the same size."""

    before: np.ndarray
    after: Rendition
    icc: bytes | None


class GrowingPicture:
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
        self.whole: WholePicture | None = None

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
        self.whole = WholePicture(whole_picture(rows.picture, after.size), after, icc_for_screen(rows.picture))
        return after

    def look(self, every: float) -> np.ndarray | None:
        """The picture so far, if it has changed and was not looked at for `every` seconds."""
        now = time.monotonic()
        if not self._changed or now - self._shown < every:
            return None
        self._changed, self._shown = False, now
        return self._live.pixels
