"""Spoilt photos, what the networks make of them, and what the presets make of that.

What a network made is kept on the disk, so that other values take seconds.
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
from enhance.images import Picture
from enhance.output.result import ResultRows, Scene
from enhance.presets import with_installed_models
from enhance.scenes.dehaze import find_haze

from .photos import Pixels

KEPT = Path(__file__).parents[2] / ".quality"


@dataclass(frozen=True, eq=False)
class Case:
    """One photo, spoilt in one way and strength: the truth, and what is given of it."""

    truth: Pixels
    given: Pixels
    tables: tuple[tuple[int, ...], ...] = ((), ())
    """The quantisation tables of luminance and chrominance, if what is given was saved as JPEG."""

    @cached_property
    def picture(self) -> Picture:
        light, colour = self.tables
        file = "photo", "0" * 64, 0, "JPEG" if light else "PNG", "RGB"
        return Picture(*file, self.given, None, False, None, jpeg_table=light, jpeg_chroma_table=colour)


def jpeg_case(truth: Pixels, given: Pixels, quality: int) -> Case:
    """The case in which what is given was saved as JPEG."""
    code = io.BytesIO()
    Image.fromarray(given).save(code, "JPEG", quality=quality)
    image: Any = Image.open(code)
    return Case(truth, np.asarray(image), tuple(tuple(image.quantization[number]) for number in (0, 1)))


@dataclass(frozen=True)
class Networks:
    """The networks' outputs: made by the engine once, and read from the folder `kept` from then on."""

    enhancer: Enhancer
    kept: Path = KEPT

    def output(self, seen: Pixels, settings: Settings) -> Pixels:
        """What the network of these settings makes of a picture."""
        path = self.kept / f"{self._key(seen, settings)}.png"
        found = cv2.imread(str(path)) if path.exists() else None
        if found is not None:
            return cv2.cvtColor(found, cv2.COLOR_BGR2RGB)
        made = self.enhancer.engine.enlarge(seen, settings.weights, tile=settings.tile)
        path.parent.mkdir(exist_ok=True)
        whole, code = cv2.imencode(".png", cv2.cvtColor(made, cv2.COLOR_RGB2BGR))
        if whole:
            half = path.with_suffix(".part")
            half.write_bytes(code.tobytes())
            half.replace(path)
        return made

    def _key(self, seen: Pixels, settings: Settings) -> str:
        recipe = settings.weights
        told = {
            "recipe": asdict(recipe),
            "weights": [models.ensure(name).sha256 for name in recipe.models],
            "precision": self.enhancer.engine.precision(8, recipe.model),
            "pixels": [*seen.shape, hashlib.sha256(seen.tobytes()).hexdigest()],
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, eq=False)
class Made:
    """What came out: the pixels, and how many dB of the given it explains (no number for what has no network)."""

    pixels: Pixels
    fidelity_db: float = math.nan


def finished(case: Case, settings: Settings, networks: Networks) -> Made:
    """The result of a case with these settings, as the program makes it; faces are not restored."""
    picture, seen = case.picture, case.picture.reduced(settings.reduce)
    scene = Scene(find_haze(seen.rgb) if settings.scene == "dehaze" else None)
    photo, settings = scene.photo(seen, settings, seen.flaws), with_installed_models(settings)
    network = networks.output(photo.rows(0, seen.height), settings)
    result = ResultRows(picture, lambda first, last: network[first:last], settings, photo)
    rows, meter = result.rows(0, result.size[0]), result.meter()
    meter.add(rows)
    return Made(rows, meter.decibels())


def bicubic(case: Case) -> Made:
    """What is given, enlarged without a network."""
    return Made(cv2.resize(case.given, case.truth.shape[1::-1], interpolation=cv2.INTER_CUBIC))
