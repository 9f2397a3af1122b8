"""The plan of a run: everything that is decided before its network runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import models, presets
from .analysis import Analysis
from .analysis.auto import LONG_SECONDS, choose, faster_preset
from .errors import WeightsError
from .images import SourceImage
from .info import AutoInfo
from .json_object import JsonObject
from .models import Located
from .restore.resample import has_second_pass, result_size
from .settings import (
    REFERENCE_PRESET,
    SECOND_MODEL,
    Settings,
    WeightInterpolation,
    network_key,
    signature,
)
from .size import Size

if TYPE_CHECKING:
    from .engine.engine import Engine

_NO_MODEL = Located("none", Path(os.devnull), "", "no network")
"""The model of a result without a network."""
_SECONDS_PER_MEGAPIXEL = 0.1
"""Rough time for tuning and encoding a megapixel of the result on two cores, which is short
compared with most networks."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that determines the pixels of a result, without the image itself.

    - `sha256`, `photo`: the checksum and the size of the image.
    - `settings`: with the preset that `auto` chose, and `denoise` 1 if the model for lower values
      is not installed.
    - `auto`: what `auto` chose, None for another preset.
    - `size`: the size of the result.
    - `networks`: the networks in their order: `network`, and `second` for a large result.
    - `model`, `second`: the files of their models.
    - `signature`: a checksum that is equal for two runs exactly if their results are equal, and
      `network_key` one for the outputs of the last network. Both are empty until all models are
      installed.
    """

    sha256: str
    photo: Size
    settings: Settings
    auto: AutoInfo | None
    size: Size
    networks: Mapping[str, WeightInterpolation]
    precision: str
    model: Located = _NO_MODEL
    second: Located | None = None
    signature: str = ""
    network_key: str = ""

    @property
    def has_second_pass(self) -> bool:
        """Whether a second network enlarges the result of the first one."""
        return "second" in self.networks

    def facts(self) -> JsonObject:
        """Return the part of `info` that follows from the plan."""
        settings = self.settings.as_dict()
        return {
            "signature": self.signature,
            "preset": settings.pop("preset"),
            "tile": settings.pop("tile"),
            "settings": settings,
            "auto": self.auto,
        }


def plan(
    image: SourceImage,
    settings: Settings,
    engine: Engine,
    analyse: Callable[[SourceImage], Analysis],
) -> Plan:
    """Return the plan of a run. Nothing is downloaded. `analyse` is called for the preset `auto`.

    Raises SettingsError if the image cannot have the requested size, and WeightsError if the file
    of a user model is missing.
    """
    auto = None
    if settings.is_auto:
        settings, auto = choose_preset(settings, analyse(image))
    precision = "fp32"
    if settings.model:
        precision = engine.precision(image.bits, settings.model)
    return _plan(image.sha256, image.size, settings, auto, precision)


def replan(plan: Plan, settings: Settings) -> Plan:
    """Return the plan for the same image with other settings and the same precision.

    Raises SettingsError if the image cannot have the requested size.
    """
    auto = plan.auto
    if settings.is_auto and auto:
        settings, auto = choose_preset(settings, Analysis(**auto["analysis"]))
    elif settings.is_auto:
        settings = settings.resolved(plan.settings.preset, reduce=plan.settings.reduce)
    return _plan(plan.sha256, plan.photo, settings, auto, plan.precision)


def install(plan: Plan, stop: threading.Event) -> Plan:
    """Return a plan after its missing models were downloaded. Raises WeightsError, Cancelled."""
    if plan.signature:
        return plan
    install_models(plan.settings, stop)
    for network in plan.networks.values():
        models.ensure(network.model, stop=stop)
    return replan(plan, plan.settings)


def _plan(
    sha256: str, photo: Size, settings: Settings, auto: AutoInfo | None, precision: str
) -> Plan:
    """Return the plan for an image and resolved settings with the models that are installed."""
    settings = presets.with_installed_models(settings)
    size = result_size(settings, photo)
    networks = _networks(settings, photo)
    plan = Plan(sha256, photo, settings, auto, size, networks, precision)
    needed = [name for network in networks.values() for name in network.models]
    if not all(map(presets.is_installed, needed)):
        return plan
    found = {phase: models.ensure(network.model) for phase, network in networks.items()}
    model = found.get("network", _NO_MODEL)
    second = found.get("second")
    identity = sha256, settings, model.sha256, precision, second and second.sha256
    keys = {"signature": signature(*identity), "network_key": network_key(*identity)}
    return replace(plan, model=model, second=second, **keys)


def _networks(settings: Settings, photo: Size) -> dict[str, WeightInterpolation]:
    networks: dict[str, WeightInterpolation] = {}
    if settings.model:
        networks["network"] = settings.weights
    if has_second_pass(settings, photo):
        networks["second"] = WeightInterpolation(SECOND_MODEL)
    return networks


def install_models(settings: Settings, stop: threading.Event) -> None:
    """Download the missing models of a preset, except a partner that is not available.

    Raises WeightsError, Cancelled.
    """
    weights = presets.with_installed_models(settings).weights
    if weights.model:
        models.ensure(weights.model, stop=stop)
    if weights.partner:
        with suppress(WeightsError):
            models.ensure(weights.partner, stop=stop)


def choose_preset(settings: Settings, analysis: Analysis) -> tuple[Settings, AutoInfo]:
    """Return settings with the preset that `auto` selects for an analysis, and the reason.

    Raises SettingsError if the image cannot have the requested size.
    """
    size = result_size(settings, analysis.size)
    choice = choose(analysis, presets.available_presets(), size)
    chosen = settings.resolved(choice.preset, reduce=choice.reduce, **choice.tuning)
    facts = asdict(analysis)
    del facts["face"]  # No stored result has the position of a face.
    return chosen, AutoInfo(preset=choice.preset, reason=choice.reason, analysis=facts)


def planned_seconds(engine: Engine, settings: Settings, photo: Size, bits: int) -> dict[str, float]:
    """Return the expected seconds of each network, and of tuning and encoding as `write`."""
    inputs = {"network": photo.downscale(settings.reduce), "second": photo.scale(settings.factor)}
    networks = _networks(settings, photo)
    seconds = {
        phase: engine.estimate(network.model, inputs[phase], bits)
        for phase, network in networks.items()
    }
    return {**seconds, "write": _SECONDS_PER_MEGAPIXEL * result_size(settings, photo).megapixels}


def estimate(engine: Engine, settings: Settings, photo: Size, bits: int) -> float:
    """Return the expected seconds of a run, with `auto` those of REFERENCE_PRESET.

    Raises SettingsError if an image of this size cannot have the requested size.
    """
    if settings.is_auto:
        settings = settings.resolved(REFERENCE_PRESET)
    return sum(planned_seconds(engine, settings, photo, bits).values())


@dataclass(frozen=True)
class Faster:
    """A preset that is faster than the selected one, with the expected seconds of both."""

    preset: str
    seconds: float
    selected_seconds: float

    def as_dict(self) -> JsonObject:
        """Return the preset and its seconds as JSON."""
        return {"preset": self.preset, "estimated_seconds": round(self.seconds, 2)}


def suggest_faster(engine: Engine, settings: Settings, analysis: Analysis) -> Faster | None:
    """Return the preset to suggest for a run of more than two minutes, or None.

    Its HaarPSI is at most 1 lower than with the selected preset, and it is at least twice as fast.
    """
    seconds = estimate(engine, settings, analysis.size, analysis.bits)
    if seconds <= LONG_SECONDS:
        return None
    name = faster_preset(settings.preset, analysis, presets.available_presets())
    if name is None:
        return None
    other = Settings(name, **settings.output_size)
    faster = estimate(engine, other, analysis.size, analysis.bits)
    if faster >= seconds / 2:
        return None
    return Faster(name, faster, seconds)
