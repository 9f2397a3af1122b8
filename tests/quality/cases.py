"""Degraded photos, the outputs of the networks and the results of the presets.

The outputs of the networks are cached on the disk, so that a run with other values takes seconds.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from enhance import Enhancer, Settings, models
from enhance.images import SourceImage
from enhance.presets import with_installed_models
from enhance.restore.result import ResultRows, Scene

from .photos import Pixels

CACHE = Path(__file__).parents[2] / ".quality"


@dataclass(frozen=True, eq=False)
class Case:
    """A photo, and a downscaled and degraded version of it."""

    reference: Pixels
    degraded: Pixels
    tables: tuple[tuple[int, ...], ...] = ((), ())
    """The quantisation tables of luminance and chrominance, if the degraded photo was saved as
    JPEG."""

    @cached_property
    def image(self) -> SourceImage:
        light, colour = self.tables
        file = "photo", "0" * 64, 0, "JPEG" if light else "PNG", "RGB"
        return SourceImage(
            *file, self.degraded, None, False, None, jpeg_table=light, jpeg_chroma_table=colour
        )


def jpeg_case(reference: Pixels, degraded: Pixels, quality: int) -> Case:
    """Return a case whose degraded photo is saved as JPEG."""
    code = io.BytesIO()
    Image.fromarray(degraded).save(code, "JPEG", quality=quality)
    image: Any = Image.open(code)
    return Case(
        reference, np.asarray(image), tuple(tuple(image.quantization[number]) for number in (0, 1))
    )


@dataclass(frozen=True)
class Networks:
    """The outputs of the networks. The engine computes each once; after that, the folder `cache`
    has it."""

    enhancer: Enhancer
    cache: Path = CACHE

    def output(self, seen: Pixels, settings: Settings) -> Pixels:
        """Return the output of the network of these settings for an image."""
        path = self.cache / f"{self._key(seen, settings)}.png"
        found = cv2.imread(str(path)) if path.exists() else None
        if found is not None:
            return cv2.cvtColor(found, cv2.COLOR_BGR2RGB)
        pixels = self.enhancer.engine.enlarge(seen, settings.weights, tile=settings.tile)
        path.parent.mkdir(exist_ok=True)
        is_encoded, code = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        if is_encoded:
            partial = path.with_suffix(".part")
            partial.write_bytes(code.tobytes())
            partial.replace(path)
        return pixels

    def _key(self, seen: Pixels, settings: Settings) -> str:
        recipe = settings.weights
        values = {
            "recipe": asdict(recipe),
            "weights": [models.ensure(name).sha256 for name in recipe.models],
            "precision": self.enhancer.engine.precision(8, recipe.model),
            "pixels": [*seen.shape, hashlib.sha256(seen.tobytes()).hexdigest()],
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, eq=False)
class Upscaled:
    """A result and its fidelity in dB, on average and at its worst, which are NaN without a
    network."""

    pixels: Pixels
    fidelity_db: float = math.nan
    fidelity_worst_db: float = math.nan


def upscaled(case: Case, settings: Settings, networks: Networks) -> Upscaled:
    """Return the program's result for a case, with a preset that neither restores faces nor removes
    haze."""
    image, settings = case.image, with_installed_models(settings)
    photo = Scene().photo(image, settings, image.degradation)
    network = networks.output(image.rgb, settings)
    result = ResultRows(image, lambda first, last: network[first:last], settings, photo)
    rows, meter = result.rows(0, result.size[0]), result.meter()
    meter.add(rows)
    fidelity = meter.fidelity()
    return Upscaled(rows, fidelity.average_db, fidelity.worst_db)


def bicubic(case: Case) -> Upscaled:
    """Return the bicubic upscaling of the degraded photo."""
    return Upscaled(
        cv2.resize(case.degraded, case.reference.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    )
