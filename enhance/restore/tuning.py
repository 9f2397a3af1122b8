"""Tuning: from the network's output to the result, row by row, without running the network again.

Any rows can be requested, and they are bit for bit the same in any request: the rows that a filter
needs above and below are read with them, and running sums are computed in fixed blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import cv2
import numpy as np
from numpy import ndarray

from ..images import Box, SourceImage, widen
from ..settings import Settings
from ..size import Size
from .deblocking import without_steps
from .faces import FacePatch, blend_faces
from .fidelity import BaseLayer, FidelityMeter, Photo
from .resample import Cut, Grid, Rows, enlarge, enlarge_rows, rounded

_LUMA = np.array([[0.2126, 0.7152, 0.0722]], np.float32)  # ITU-R BT.709
_SHARPEN_SIGMA = 1.5
_SHARPEN_HALO = 6  # For float32, OpenCV cuts a Gaussian filter off at four standard deviations.
_SHARPEN_GAIN = 2.0
_STEPS_REMOVED = 2.0
"""The share of a JPEG's steps that is removed from the output of the network, divided by 1 -
Strength."""


@dataclass(frozen=True)
class ResultRows:
    """The finished result as rows on demand: adjusted colour, upscaled alpha, grey if the input is
    grey.

    `network` returns rows of the network's output for `image`, [n, s * width, 3] in the image's own
    type, and `photo` is the network's input. `patches` are restored faces. `cut` is the region of
    the whole image that `image` is, if it is a part.
    """

    image: SourceImage
    network: Rows
    settings: Settings
    photo: Photo
    patches: Sequence[FacePatch] = ()
    cut: Cut | None = None

    @cached_property
    def grid(self) -> Grid:
        return Grid.of(self.settings, self.cut or Cut.whole(self.image.size))

    @property
    def size(self) -> Size:
        """The size of the result."""
        return self.grid.size

    @property
    def channels(self) -> int:
        """1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
        count = 1 if self.image.grey else 3
        if self.image.alpha is not None:
            count += 1
        return count

    def meter(self, box: Box | None = None, first: int = 0) -> FidelityMeter | None:
        """Return a meter for the fidelity of this result, or of a region of it in pixels of the
        photo; None if the result is smaller than the photo, so that it cannot be measured.

        The meter receives the rows from `first` on.
        """
        photo = self.photo
        if not photo.size.fits_into(self.size):
            return None
        width, height = self.size
        columns = self.settings.reduce * width * photo.size.width / self.image.width
        rows = self.settings.reduce * height * photo.size.height / self.image.height
        box = box or Box(0, 0, *photo.size)
        return FidelityMeter(photo, self.size, (columns, rows), box, first)

    def rows(self, first: int, last: int) -> ndarray:
        """Return the rows [first, last) [n, width, channels], uint8 or uint16."""
        colour = self._colour(first, last)  # [n, W, 3]
        if self.image.grey:
            colour = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)[..., None]  # [n, W, 1]
        if self.image.alpha is None:
            return colour
        alpha = enlarge(self.image.alpha, self.grid, first, last)  # [n, W]
        return np.concatenate([colour, alpha[..., None]], axis=2)  # [n, W, 2 or 4]

    def _colour(self, first: int, last: int) -> ndarray:
        """Return the adjusted colour, rounded to the nearest level."""
        settings = self.settings
        halo = 0
        if settings.tuning and settings.sharpen > 0:
            halo = _SHARPEN_HALO
        low, high = widen(first, last, halo, self.size.height)
        rows = self.grid.rows(self._mixed, low, high)
        if settings.tuning:
            if self._alpha is not None:
                rows = self._with_edges(rows, self._alpha, low, high)
            rows = _coloured(rows, settings, self.photo.levels)
        return rounded(rows[first - low : last - low], self.photo.levels)

    @cached_property
    def _alpha(self) -> ndarray | None:
        """The alpha of the photo."""
        return self.image.downscale(self.settings.reduce).alpha

    @cached_property
    def _base(self) -> Rows | None:
        settings = self.settings
        strength = settings.blend
        fidelity = settings.fidelity
        if not settings.tuning or (strength == 1 and fidelity == 0):
            return None
        network = self._smooth_network
        return BaseLayer(network, self.photo, settings.factor, strength, fidelity).rows()

    @cached_property
    def _smooth_network(self) -> Rows:
        """The rows of the network's output, without the steps of JPEG blocks below Strength 1."""
        settings = self.settings
        share = min(_STEPS_REMOVED * (1 - settings.blend), 1)
        if share == 0 or not settings.tuning or self.photo.deblocked is None:
            return self.network
        return without_steps(self.network, self.photo, settings.factor, share)

    def _with_edges(self, rows: ndarray, alpha: ndarray, first: int, last: int) -> ndarray:
        """Return rows with the colour of the photo where its alpha is below a half.

        The photo is upscaled premultiplied by alpha. The network does not receive alpha, so the
        colour of nearly transparent pixels counts as much as any other.
        """

        def premultiplied(first: int, last: int) -> ndarray:
            weight = alpha[first:last, :, None].astype(np.float32)
            colour = self.photo.rows(first, last) * weight
            return np.concatenate([colour, weight], axis=2)

        height = self.photo.size.height
        upscaled = partial(enlarge_rows, premultiplied, height, self.settings.factor)
        levels = self.photo.levels
        mixed = self.grid.rows(upscaled, first, last)
        opacity = mixed[..., 3:]
        # 1 up to a quarter of full alpha, 0 from a half on.
        weight = np.clip(2 - 4 / levels * opacity, 0, 1)
        # Where alpha rounds to 0 in 8 bits, no colour is known.
        weight[opacity * 2 * 255 <= levels] = 0
        colour = np.clip(mixed[..., :3] / np.maximum(opacity, 1), 0, levels)
        return rows + weight * (colour - rows)

    def _mixed(self, first: int, last: int) -> ndarray:
        """Return rows of the output mixed with the base layer and the faces, float32 in the photo's
        levels."""
        settings = self.settings
        factor = settings.factor
        rows = self._smooth_network(first, last).astype(np.float32)
        if self._base is not None:
            base = enlarge_rows(self._base, self.photo.size.height, factor, first, last)
            scale = self.photo.levels / 255
            rows = cv2.addWeighted(rows, settings.blend, base, scale, 0, dst=rows)
        seen = self.grid.cut.box.downscale(settings.reduce)
        top = factor * seen.top + first
        left = factor * seen.left
        return blend_faces(rows, top, self.patches, settings.strength, left=left)


def _coloured(rows: ndarray, settings: Settings, levels: int) -> ndarray:
    """Apply contrast, saturation and sharpness.

    The first two never clip a value that was not clipped before. Sharpness is an unsharp mask on
    the luma, so that edges get no colour fringes.
    """
    coloured = rows
    if settings.contrast != 1 or settings.saturation != 1:
        shares = np.clip(rows, 0, levels) / levels
        contrasted = _contrasted(shares, settings.contrast)
        coloured = _saturated(contrasted, settings.saturation) * levels
        coloured = np.clip(coloured, np.minimum(rows, 1), np.maximum(rows, levels - 1))
    if settings.sharpen > 0:
        light = cv2.transform(rows, _LUMA)
        blurred = cv2.GaussianBlur(light, (0, 0), _SHARPEN_SIGMA, borderType=cv2.BORDER_REPLICATE)
        detail = settings.contrast * settings.sharpen * _SHARPEN_GAIN * (light - blurred)
        coloured = coloured + cv2.merge([detail] * 3)
    return coloured


def _contrasted(colour: ndarray, contrast: float) -> ndarray:
    """Apply contrast to values of 0..1.

    It is the slope at middle grey, above 1 as an S-curve that stays within 0..1.
    """
    if contrast <= 1:
        return contrast * colour + (1 - contrast) / 2
    from_middle = 2 * colour - 1
    slope = contrast - (contrast - 1) * from_middle**2
    return (from_middle * slope + 1) / 2


def _saturated(colour: ndarray, saturation: float) -> ndarray:
    """Scale the chroma of values of 0..1; above 1 less so near the edge of the gamut."""
    light = cv2.transform(colour, _LUMA)
    grey = cv2.merge([light] * 3)
    chroma = colour - grey
    if saturation <= 1:
        return grey + saturation * chroma
    planes = cv2.split(chroma)
    highest = np.maximum.reduce(planes)
    lowest = np.minimum.reduce(planes)
    tiny = 1e-6
    # 1 is on the edge of the gamut.
    edge = cv2.max(highest / (1 - light + tiny), -lowest / (light + tiny))
    gain = 1 + (saturation - 1) * np.maximum(1 - edge, 0)
    return grey + chroma * cv2.merge([gain] * 3)
