"""Which presets can be chosen here, why the others cannot, and how long each takes beside the default."""

from __future__ import annotations

from typing import Any

import weights

from .networks import known_graph
from .settings import DEFAULT_PRESET, PRESETS, Preset, from_preset

_SCENE_MODELS = {"face": ("gfpgan-v1.4", "yunet")}


def describe_presets() -> list[dict[str, Any]]:
    """Every preset in order: its purpose, its settings, whether it can be chosen and if not why, its relative time."""
    return [_describe(preset) for preset in PRESETS.values()]


def missing_models(preset: Preset) -> list[str]:
    """The models of the preset that are neither here nor in an installed package."""
    names = (*from_preset(preset.name).recipe.models, *_SCENE_MODELS.get(preset.scene or "", ()))
    return [name for name in names if weights.manifest()[name].package is None and weights.locate(name) is None]


def _describe(preset: Preset) -> dict[str, Any]:
    missing = missing_models(preset)
    settings = from_preset(preset.name).as_dict()
    return {
        "name": preset.name,
        "summary": preset.summary,
        "model": preset.model,
        "settings": {name: value for name, value in settings.items() if name != "preset"},
        "denoises": preset.denoises,
        "available": not missing,
        "reason": _reason(missing),
        "relative_time": round(known_graph(preset.model).work / known_graph(PRESETS[DEFAULT_PRESET].model).work, 3),
    }


def _reason(missing: list[str]) -> str | None:
    if not missing:
        return None
    names = " ".join(missing)
    return f"The weights are not here yet; fetch them with `python -m weights fetch {names}`."
