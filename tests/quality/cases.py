"""Degraded photos, the outputs of the networks and the results of the presets."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from PIL import Image

from enhance import Enhancer, Settings
from enhance.images import SourceImage
from enhance.metadata import Metadata
from enhance.presets import with_installed_models
from enhance.restore.result import Scene
from enhance.restore.tuning import ResultRows

from .photos import Pixels


@dataclass(frozen=True, eq=False)
class Case:
    """A photo, and a downscaled and degraded version of it."""

    reference: Pixels
    degraded: Pixels
    tables: tuple[tuple[int, ...], ...] = ()
    """The quantisation tables of luminance and chrominance, if the degraded photo was saved as
    JPEG."""

    @cached_property
    def image(self) -> SourceImage:
        file = "photo", "0" * 64, 0, "JPEG" if self.tables else "PNG", "RGB"
        pixels = self.degraded, None, False, None
        return SourceImage(*file, *pixels, Metadata().variants(), jpeg_tables=self.tables)


def case_of_file(reference: Pixels, file: bytes) -> Case:
    """Return a case whose degraded photo is in this file."""
    with Image.open(io.BytesIO(file)) as image:
        tables = getattr(image, "quantization", {})
        degraded = np.asarray(image.convert("RGB"))
    return Case(reference, degraded, tuple(tuple(table) for table in tables.values()))


class Networks:
    """The outputs of the networks, each of which is computed once."""

    def __init__(self, enhancer: Enhancer) -> None:
        self.enhancer = enhancer
        self._outputs: dict[object, Pixels] = {}

    def output(self, seen: Pixels, settings: Settings) -> Pixels:
        """Return the output of the network of these settings for an image."""
        key = settings.weights, seen.shape, seen.tobytes()
        if key not in self._outputs:
            self._outputs[key] = self.enhancer.engine.enlarge(seen, settings.weights)
        return self._outputs[key]


@dataclass(frozen=True, eq=False)
class Upscaled:
    """A result and its fidelity in dB in the area that differs most, which is NaN without a
    network."""

    pixels: Pixels
    fidelity_worst_db: float = math.nan


def upscaled(case: Case, settings: Settings, networks: Networks) -> Upscaled:
    """Return the program's result for a case, with a preset that neither restores faces nor removes
    haze."""
    image, settings = case.image, with_installed_models(settings)
    photo = Scene().photo(image, settings, image.degradation)
    network = networks.output(image.rgb, settings)
    result = ResultRows(image, lambda first, last: network[first:last], settings, photo)
    rows = result.rows(0, result.size.height)
    meter = result.meter()
    assert meter
    meter.add(rows)
    return Upscaled(rows, meter.fidelity().worst_db)


def bicubic(case: Case) -> Upscaled:
    """Return the bicubic upscaling of the degraded photo."""
    return Upscaled(
        cv2.resize(case.degraded, case.reference.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    )
