"""The whole result for the screen, during a run and when it is finished."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from ..engine.raw_store import streams_columns, swap_axes
from ..formats.thumbnails import LIST_SIDE, Thumbnail, icc_for_screen, whole_image
from ..images import SourceImage
from ..settings import Settings
from ..size import Size
from .tuning import ResultRows

_LIMIT = 720
"""The longest side of the view during a run, in pixels."""


class LiveView:
    """The result of a run as far as it has been computed, and at the end its `overview`.

    The image is shown darkened where there is no result yet. `icc` is its profile for the screen.
    The overview has the size of a list entry.
    """

    def __init__(self, image: SourceImage, settings: Settings):
        self.icc = icc_for_screen(image)
        factor = settings.factor
        reduced = image.size.downscale(settings.reduce)
        # Every second pixel or fewer is enough for a view this small. All pixels of 24 megapixels
        # at 4x would take 5 s.
        self._step = max(1, factor * reduced.long_side // (2 * _LIMIT))
        self.columns = streams_columns(reduced)
        self._passed = 0
        self._length = factor * reduced.long_side
        thinned = Size(factor * min(reduced), self._length).downscale(self._step)
        self._live = Thumbnail(thinned, _LIMIT)
        shown = swap_axes(self._live.pixels, self.columns)
        shown[:] = whole_image(image, Size.of_shape(shown.shape))[..., :3] // 2
        self.overview: Thumbnail | None = None

    def strip(self, strip: ndarray) -> None:
        """Add the network's next strip."""
        rows = swap_axes(strip, self.columns)  # A thumbnail needs rows.
        first = -self._passed % self._step
        thinned = rows[first :: self._step, :: self._step]
        self._passed += len(rows)
        self._live.add(np.ascontiguousarray(thinned))

    @property
    def share(self) -> float:
        """The share of the result that has been computed: from the left with `columns`, else from
        the top."""
        return self._passed / self._length

    def create_thumbnail(self, rows: ResultRows) -> Thumbnail:
        """Return the thumbnail that is to receive the rows of the result."""
        self.overview = Thumbnail(rows.size, LIST_SIDE, rows.channels)
        return self.overview

    @property
    def pixels(self) -> ndarray:
        """The current view, uint8 [h, w, 3]."""
        return swap_axes(self._live.pixels, self.columns)
