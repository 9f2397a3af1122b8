"""Names that the page, the report and the summary of a batch share: those of presets, and the settings as one line."""

from __future__ import annotations

from .settings import NEUTRAL, PRESETS, Settings
from .texts import catalogue, say


def name_of(language: str, kind: str, name: str) -> str:
    """What the catalogue calls a `preset`, or another kind of thing; a name that it lacks stands for itself."""
    key = f"{kind}_{name}"
    return say(language, key) if key in catalogue() else name


def settings_in_words(language: str, settings: Settings) -> str:
    """The settings as one line: the preset's name, the scale, the sliders that count."""
    words = [name_of(language, "preset", settings.preset), f"{settings.scale:g}×"]
    if settings.tuning:
        words += [f"{say(language, name)} {getattr(settings, name):g}" for name in NEUTRAL]
    else:
        words.append(say(language, "untuned"))
    if PRESETS[settings.preset].denoises:
        words.append(f"{say(language, 'denoise')} {settings.denoise:g}")
    return " · ".join(words)
