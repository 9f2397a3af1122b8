"""Previews: a region of the image by the same engine and the same tuning as the whole run.

The region has a margin around it, because the network needs the surroundings. With a margin of 48
px, the preview agrees with the whole result to 57 dB and more at fp32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy import ndarray

from . import models
from .errors import SettingsError
from .images import Box, SourceImage, widen
from .info import PreviewInfo, fidelity_info
from .plan import Plan
from .restore.fidelity import METER_HALO, Fidelity
from .restore.resample import Cut, Grid, enlarge
from .restore.tuning import ResultRows
from .size import Size

if TYPE_CHECKING:
    from .engine.engine import Engine

MARGIN = 48
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)
LARGEST_SIDE = 512
"""The longest side of a region in input pixels."""


@dataclass(frozen=True, eq=False)
class PreviewRegion:
    """The network's output for a region, enough to adjust it without running the network again.

    `rows` are the result of the region with its margin, made from `network`, the output of the last
    network, [s * height, s * width, 3]. `box` is the region in pixels of the input, and `plan` the
    run of the whole image.
    """

    rows: ResultRows
    network: ndarray
    box: Box
    plan: Plan

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels."""
        faces = sum(patch.pixels.nbytes for patch in self.rows.patches)
        return self.rows.image.nbytes + self.network.nbytes + faces


@dataclass(frozen=True, eq=False)
class Preview:
    """A region of an image before and after, at the size of the result, with its `info`.

    `before` (bicubic upscaling) and `after` are arrays of uint8 or uint16 [H, W, C].
    """

    before: ndarray
    after: ndarray
    region: PreviewRegion
    info: PreviewInfo

    @property
    def window(self) -> Box:
        """The region in pixels of the whole result."""
        plan = self.region.plan
        grid = Grid.of(plan.settings, Cut.whole(plan.photo))
        down, across = grid.window(Box(**self.info["preview"]))
        return Box(across.start, down.start, across.stop - across.start, down.stop - down.start)

    def without_images(self) -> Preview:
        """Return a preview without its images, which can still be adjusted."""
        return replace(self, before=_NO_PIXELS, after=_NO_PIXELS)


def choose_box(image: Size, x: float | None, y: float | None, size: int) -> Box:
    """Return the square of `size` px around x, y (by default the centre), moved and cut to lie
    inside the image.

    Raises SettingsError if a value is not a number or out of range.
    """
    if not 1 <= size <= LARGEST_SIDE:
        raise SettingsError("size_range", largest=LARGEST_SIDE, value=repr(size))
    across = min(size, image.width)
    down = min(size, image.height)
    return Box(_start(x, across, image.width), _start(y, down, image.height), across, down)


def _start(centre: float | None, size: int, length: int) -> int:
    if centre is None:
        centre = length / 2
    if not (isinstance(centre, Real) and math.isfinite(centre)):
        raise SettingsError("place_number", value=repr(centre))
    return min(max(round(centre - size / 2), 0), length - size)


def surroundings(box: Box, plan: Plan) -> Box:
    """Return the region with its margin, aligned to the network's grid after `reduce`."""
    settings = plan.settings
    total = MARGIN * settings.reduce
    if plan.has_second_pass:
        total += MARGIN // settings.factor  # The second network reads it of the first result.
    grid = 1
    if settings.model:
        grid = models.graph_of(settings.model).unshuffle
    return box.expand(total, plan.photo).align_to_grid(grid * settings.reduce, plan.photo)


def expected_seconds(engine: Engine, image: SourceImage, plan: Plan, box: Box) -> float:
    """Return the expected seconds of the network for a preview of the region `box`."""
    model = plan.settings.model
    if not model:
        return 0.0
    outer = surroundings(box, plan).downscale(plan.settings.reduce)
    return engine.estimate(model, outer.size, image.bits)


def adjust(preview: Preview, plan: Plan) -> Preview:
    """Return a preview of the same region with other tuning, without running the network.

    Raises SettingsError if the plan needs another output of the network.
    """
    region = preview.region
    settings = plan.settings
    has_other_output = plan.network_key != region.plan.network_key
    # The output is without the faces of another preset.
    if has_other_output or settings.scene != region.plan.settings.scene:
        raise SettingsError("new_preview", preset=settings.preset)
    before, after, fidelity = render(region, plan)
    info = cast(PreviewInfo, {**preview.info, **plan.facts(), **fidelity_info(fidelity)})
    return Preview(before, after, replace(region, plan=plan), info)


def render(region: PreviewRegion, plan: Plan) -> tuple[ndarray, ndarray, Fidelity | None]:
    """Return the region before (upscaled bicubically) and after, and its fidelity: None if the
    result is smaller than the photo."""
    result = last_rows(replace(region.rows, settings=plan.settings), plan)
    height = result.size.height
    down, across = result.grid.window(region.box)
    halo = math.ceil((METER_HALO + 2) * height / result.photo.size.height)
    low, high = widen(down.start, down.stop, halo, height)
    rows = result.rows(low, high)
    before = enlarge(_channels(result.image), result.grid, down.start, down.stop)[:, across]
    after = rows[down.start - low : down.stop - low, across]
    box = region.box
    outer = result.grid.cut.box
    inside = replace(box, left=box.left - outer.left, top=box.top - outer.top)
    meter = result.meter(inside.downscale(plan.settings.reduce), low)
    if meter is None:
        return before, after, None
    meter.add(rows)
    return before, after, meter.fidelity()


def last_rows(rows: ResultRows, plan: Plan) -> ResultRows:
    """Return the rows of a finished result, without tuning and faces after a second network, whose
    input has them already."""
    if plan.has_second_pass:
        return replace(rows, settings=replace(rows.settings, tuning=False), patches=())
    return rows


def _channels(image: SourceImage) -> ndarray:
    colour = image.rgb
    if image.grey:
        colour = colour[..., :1]
    if image.alpha is None:
        return colour
    return np.dstack([colour, image.alpha])
