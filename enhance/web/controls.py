"""The controls of the page as settings, and the settings as controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from ..errors import SettingsError
from ..settings import PRESETS, Settings

CONTROLS = ("preset", "scale", "tuning", "strength", "denoise", "sharpen", "saturation", "contrast", "tile")
"""The controls in the order in which every handler of the page gets their values."""

TUNED = ("strength", "sharpen", "saturation", "contrast")
"""The sliders that rest while tuning is off."""


def settings_from(values: Sequence[object]) -> Settings:
    """The settings that the controls show. Raises SettingsError for what no control can give."""
    chosen = dict(zip(CONTROLS, values, strict=True))
    missing = [name for name, value in chosen.items() if value is None]
    if missing:
        raise SettingsError("control_empty", name=missing[0])
    return Settings(**chosen)  # type: ignore[arg-type]


def settings_to_start(name: str | None, values: Sequence[object] | None = None) -> Settings:
    """The settings of the preset called `name`, keeping the scale and the tile that the controls show."""
    shown = dict(zip(CONTROLS, values, strict=True)) if values else {}
    return Settings.preset(name or Settings().preset, scale=shown.get("scale"), tile=shown.get("tile"))


def shown_controls(settings: Settings) -> list[object]:
    """Updates for the controls after the preset, in the order of CONTROLS: values, and which sliders can move."""
    values: dict[str, Any] = settings.as_dict()
    tuned = {name: gr.Slider(value=values[name], interactive=settings.tuning) for name in TUNED}
    updates: dict[str, object] = {
        "scale": settings.scale,
        "tuning": settings.tuning,
        "denoise": gr.Slider(value=settings.denoise, visible=PRESETS[settings.preset].denoises),
        "tile": settings.tile,
        **tuned,
    }
    return [updates[name] for name in CONTROLS[1:]]
