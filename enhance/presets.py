"""The presets as a user sees them: their purpose, their settings, and whether their models are
installed."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TypedDict

from . import models
from .errors import EnhanceError, SettingsError, StorageError, WeightsError
from .i18n import translate
from .json_object import JsonObject
from .models.networks import NETWORKS
from .settings import AUTO, PRESETS, REFERENCE_PRESET, Preset, Settings, all_presets, find_preset


class PresetInfo(TypedDict):
    """A preset as a user sees it, as JSON.

    `own` is true for a user model. `reason` is a sentence on why the preset is not available.
    `relative_time` is the work of the network per pixel, relative to `gentle`. It is None without a
    network, and for a user model whose file is missing.
    """

    name: str
    own: bool
    summary: str
    licence: str | None
    model: str | None
    network: str | None
    settings: JsonObject
    denoises: bool
    denoise_is_fixed: bool
    scale: int
    available: bool
    reason: str | None
    relative_time: float | None


_SCENE_MODELS = {"face": ("gfpgan-v1.4", "yunet")}
_FACE_PACKAGE = {"extra": "models", "package": "spandrel"}
"""The extra and the package that restores faces."""


def is_installed(model: str) -> bool:
    """Return whether a model is installed, or part of an installed package."""
    try:
        return models.locate(model) is not None or models.is_convertible(model)
    except StorageError:  # a folder that cannot be read has no models
        return False


def has_fixed_denoise(preset: Preset) -> bool:
    """Return whether only the model for `denoise` 1 is installed, of a preset whose network can
    interpolate."""
    return (
        preset.partner is not None
        and is_installed(preset.model)
        and not is_installed(preset.partner)
    )


def with_installed_models(settings: Settings) -> Settings:
    """Return the settings with `denoise` 1 if only the model for that is installed."""
    if settings.denoises and has_fixed_denoise(find_preset(settings.preset)):
        return replace(settings, denoise=1.0)
    return settings


def available_presets() -> tuple[str, ...]:
    """Return the presets whose models and packages are installed, in order."""
    return tuple(name for name, preset in all_presets().items() if _problem(preset) is None)


def _problem(preset: Preset) -> EnhanceError | None:
    """Return why a preset is not available, or None if it is."""
    if preset.scene == "face" and importlib.util.find_spec(_FACE_PACKAGE["package"]) is None:
        return SettingsError("extra_missing", **_FACE_PACKAGE)
    missing = [name for name in _models_of(preset) if not is_installed(name)]
    if not missing:
        return None
    if preset.own:
        return WeightsError("weights_own_gone", name=preset.model)
    return WeightsError("weights_missing", names=" ".join(missing))


def _models_of(preset: Preset) -> tuple[str, ...]:
    """Return the models that a preset needs, for `auto` those of the preset that it falls back
    to."""
    if preset.name == AUTO:
        preset = PRESETS[REFERENCE_PRESET]
    settings = with_installed_models(Settings(preset.name))
    return *settings.weights.models, *_SCENE_MODELS.get(preset.scene or "", ())


def describe(preset: Preset, language: str) -> PresetInfo:
    """Return purpose, settings and availability of a preset."""
    problem = _problem(preset)
    settings = with_installed_models(Settings(preset.name)).as_dict()
    del settings["preset"]
    relative_time = None
    if preset.model and not (preset.own and problem):
        usual = models.graph_of(PRESETS[REFERENCE_PRESET].model).work
        relative_time = round(models.graph_of(preset.model).work / usual, 3)
    return PresetInfo(
        name=preset.name,
        own=preset.own,
        summary=_summary(preset, language),
        licence=_licence(preset, language),
        model=preset.model or None,
        network=_network_of(preset),
        settings=settings,
        denoises=preset.denoises,
        denoise_is_fixed=has_fixed_denoise(preset),
        scale=preset.scale,
        available=problem is None,
        reason=problem and problem.message(language),
        relative_time=relative_time,
    )


def _summary(preset: Preset, language: str) -> str:
    if not preset.own:
        return translate(language, f"about_{preset.name}")
    file = models.WeightStore().find(preset.model).origin
    about = "about_own" if preset.scale > 1 else "about_own_1x"
    return translate(language, about, network=_network_of(preset), scale=preset.scale, file=file)


def _licence(preset: Preset, language: str) -> str | None:
    """Return a sentence on the licences of the models of a preset, None if it has no model of its
    own."""
    if not preset.model:
        return None
    found = [models.WeightStore().find(name) for name in _models_of(preset)]
    licences = dict.fromkeys(licence_text(language, one.licence) for one in found)
    author = found[0].author
    return translate(
        language, "licence_by" if author else "licence", licence=" · ".join(licences), author=author
    )


def licence_text(language: str, licence: str) -> str:
    """Return a licence for display, with whether it forbids commercial use."""
    if licence == models.UNKNOWN_LICENCE:
        return translate(language, "licence_unknown")
    if models.allows_commercial_use(licence) is False:
        return translate(language, "licence_not_commercial", licence=licence)
    return licence


def _network_of(preset: Preset) -> str | None:
    """Return the common names of the networks of a preset, None if it has none."""
    if not preset.model:
        return None
    find = models.WeightStore().find
    names = [find(name).network for name in models.parts_of(preset.model)]
    # The graph of ncnn files can be of any network.
    return " · ".join(getattr(NETWORKS.get(name), "TITLE", name) for name in names)
