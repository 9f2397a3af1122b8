"""Degraded photos, the networks' outputs for them, and the presets' results.

The networks' outputs are cached on disk, so that measuring other settings takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import cv2

from enhance import Enhancer, Settings, models
from enhance.images import Picture
from enhance.output.result import ResultRows, Scene
from enhance.presets import with_installed_models
from enhance.scenes.dehaze import find_haze

from .photos import Pixels

CACHE = Path(__file__).parents[2] / ".quality"


@dataclass(frozen=True, eq=False)
class Case:
    """A `reference` photo and its `degraded` copy, which is smaller."""

    reference: Pixels
    degraded: Pixels
    jpeg_table: tuple[int, ...] = ()

    @cached_property
    def picture(self) -> Picture:
        table = self.jpeg_table
        return Picture("photo", "0" * 64, 0, "PNG", "RGB", self.degraded, None, False, None, jpeg_table=table)


@dataclass(frozen=True)
class Networks:
    """The outputs of networks, computed once and cached in `folder`."""

    enhancer: Enhancer
    folder: Path = CACHE

    def output(self, seen: Pixels, settings: Settings) -> Pixels:
        """Return the output of the network of these settings."""
        path = self.folder / f"{self._key(seen, settings)}.png"
        found = cv2.imread(str(path)) if path.exists() else None
        if found is not None:
            return cv2.cvtColor(found, cv2.COLOR_BGR2RGB)
        output_pixels = self.enhancer.engine.enlarge(seen, settings.weights, tile=settings.tile)
        path.parent.mkdir(exist_ok=True)
        whole, code = cv2.imencode(".png", cv2.cvtColor(output_pixels, cv2.COLOR_RGB2BGR))
        if whole:
            half = path.with_suffix(".part")
            half.write_bytes(code.tobytes())
            half.replace(path)
        return output_pixels

    def _key(self, seen: Pixels, settings: Settings) -> str:
        recipe = settings.weights
        facts = {
            "recipe": asdict(recipe),
            "weights": [models.ensure(name).sha256 for name in recipe.models],
            "precision": self.enhancer.engine.precision(8, recipe.model),
            "pixels": [*seen.shape, hashlib.sha256(seen.tobytes()).hexdigest()],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, eq=False)
class Output:
    """A result and its fidelity in dB, NaN without a network."""

    pixels: Pixels
    fidelity_db: float = math.nan


def restore(case: Case, settings: Settings, networks: Networks) -> Output:
    """Return the result of a case with these settings, like `Enhancer.run` but without restoring faces."""
    picture, seen = case.picture, case.picture.reduced(settings.reduce)
    scene = Scene(find_haze(seen.rgb) if settings.scene == "dehaze" else None)
    photo, settings = scene.photo(seen, settings, seen.flaws), with_installed_models(settings)
    network = networks.output(photo.rows(0, seen.height), settings)
    result = ResultRows(picture, lambda first, last: network[first:last], settings, photo)
    rows, meter = result.rows(0, result.size[0]), result.meter()
    meter.add(rows)
    return Output(rows, meter.decibels())


def bicubic(case: Case) -> Output:
    """Return the degraded photo after bicubic upscaling."""
    return Output(cv2.resize(case.degraded, case.reference.shape[1::-1], interpolation=cv2.INTER_CUBIC))
