"""What a person can set, the presets that set it for them, and the signature of a request."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from .errors import SettingsError
from .texts import name_of, say

# Raised whenever the same request would give other pixels than before, so that no older result is taken for it.
PIPELINE = 2

DEFAULT_PRESET = "gentle"

FACTOR = 4
"""How many times larger the networks that ship make a picture."""


@dataclass(frozen=True)
class Preset:
    """A named starting point: the network and the sliders that suit one kind of picture."""

    name: str
    model: str
    scene: str | None = None
    """What is done around the network: `face`, `dehaze` or nothing."""
    partner: str | None = None
    """The model that `denoise` 0 stands for, where the network has two ends; `model` is that of 1."""
    tuning: bool = True
    strength: float = 1.0
    fidelity: float = 0.0
    denoise: float = 0.0
    sharpen: float = 0.0
    saturation: float = 1.0
    contrast: float = 1.0

    @property
    def denoises(self) -> bool:
        return self.partner is not None


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("gentle", "realesrgan-x4plus", strength=0.65, fidelity=1.0, sharpen=0.05),
        Preset("original", "realesrgan-x4plus", tuning=False),
        Preset("anime", "realesrgan-x4plus-anime"),
        Preset("anime-fast", "realesr-animevideov3"),
        Preset("face", "realesrgan-x4plus", scene="face", fidelity=1.0, sharpen=0.05),
        Preset("dehaze", "realesrgan-x4plus", scene="dehaze", fidelity=1.0, sharpen=0.05),
        Preset("fast", "realesr-general-x4v3", partner="realesr-general-wdn-x4v3", denoise=0.5),
    )
}
"""By name, in the order in which they are offered; the catalogue says what each is for (`about_<name>`)."""

RANGES: dict[str, tuple[float, float]] = {
    "scale": (1, 4),
    "strength": (0, 1),
    "fidelity": (0, 1),
    "denoise": (0, 1),
    "sharpen": (0, 1),
    "saturation": (0, 2),
    "contrast": (0.5, 1.5),
    "tile": (64, 1024),
    "reduce": (1, 4),
}

WHOLE = ("tile", "reduce")
"""The settings that are whole numbers."""

NEUTRAL = {"strength": 1.0, "fidelity": 0.0, "sharpen": 0.0, "saturation": 1.0, "contrast": 1.0}
"""The slider positions at which tuning changes nothing."""


@dataclass(frozen=True)
class Recipe:
    """The weights of one run: a model's, or `share` of them and the rest of its partner's, tensor by tensor.

    Wang et al., "Deep Network Interpolation for Continuous Imagery Effect Transition", 2019.
    """

    model: str
    partner: str | None = None
    share: float = 1.0

    @property
    def models(self) -> tuple[str, ...]:
        """The models whose weight files it takes."""
        return (self.model,) if self.partner is None else (self.model, self.partner)


@dataclass(frozen=True)
class Settings:
    """One request's settings. Raises SettingsError when one is unknown, not a number, or out of its range.

    `tuning` off bypasses strength, fidelity, sharpen, saturation and contrast: the picture is the network's output.
    `strength` is the network's share of it, the rest is the photo without its noise, enlarged; `fidelity` how far it is
    brought to agree with the photo. `scale` is the size of the result against the photo's, None the `largest`; the
    network always enlarges four times, and before it the photo is averaged down `reduce` times. `tile` bounds memory
    and changes no pixel.
    """

    preset: str = DEFAULT_PRESET
    scale: float = None  # type: ignore[assignment]  # a number once the settings are made
    tuning: bool = True
    strength: float = 0.65
    fidelity: float = 1.0
    denoise: float = 0.0
    sharpen: float = 0.05
    saturation: float = 1.0
    contrast: float = 1.0
    tile: int = 192
    reduce: int = 1

    def __post_init__(self) -> None:
        find_preset(self.preset)
        if not isinstance(self.tuning, bool):
            raise SettingsError("setting_switch", setting="tuning", value=repr(self.tuning))
        for name, (low, high) in RANGES.items():
            if name != "scale" or self.scale is not None:
                object.__setattr__(self, name, _number(name, getattr(self, name), low, high))
        if self.scale is None:
            object.__setattr__(self, "scale", self.largest)
        elif self.scale > self.largest:
            raise SettingsError("scale_reduced", reduce=self.reduce, largest=f"{self.largest:.3g}")

    @property
    def largest(self) -> float:
        """The largest scale: the network enlarges the reduced photo, the result's size counts from the photo itself."""
        return FACTOR / self.reduce

    @property
    def scales(self) -> list[float]:
        """The whole scales, and the largest."""
        return sorted({*range(1, int(self.largest) + 1), self.largest})

    @property
    def model(self) -> str:
        """The name of the network that these settings run."""
        return PRESETS[self.preset].model

    @property
    def scene(self) -> str | None:
        """What is done around the network: `face`, `dehaze` or nothing."""
        return PRESETS[self.preset].scene

    @property
    def blend(self) -> float:
        """The network's share of the tuned picture; a scene takes `strength` for itself, and has gentle's share."""
        return PRESETS[DEFAULT_PRESET].strength if self.scene else self.strength

    @property
    def recipe(self) -> Recipe:
        """The weights that these settings run."""
        preset = PRESETS[self.preset]
        if preset.partner is None or self.denoise == 1:
            return Recipe(preset.model)
        return Recipe(preset.model, preset.partner, self.denoise)

    @classmethod
    def from_preset(cls, name: str = DEFAULT_PRESET, **changes: object) -> Settings:
        """The settings of the preset called `name`, with those of `changes` in place of its own (None: its own)."""
        preset = find_preset(name)
        own = cls(
            name,
            tuning=preset.tuning,
            strength=preset.strength,
            fidelity=preset.fidelity,
            denoise=preset.denoise,
            sharpen=preset.sharpen,
            saturation=preset.saturation,
            contrast=preset.contrast,
        )
        return own.changed(**changes)

    def changed(self, **values: object) -> Settings:
        """The same settings with the given ones replaced; None leaves one as it is.

        With another `reduce` alone the largest scale stays the largest, and another one is cut down to that.
        """
        known = {field.name for field in fields(self)}
        for name in values:
            if name not in known:
                raise SettingsError("setting_unknown", setting=name, known=", ".join(sorted(known)))
        given = {name: value for name, value in values.items() if value is not None}
        if "reduce" in given and "scale" not in given:
            largest = replace(self, reduce=given["reduce"], scale=None).largest  # type: ignore[arg-type]
            given["scale"] = largest if self.scale == self.largest else min(self.scale, largest)
        return replace(self, **given)  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def in_words(self, language: str) -> str:
        """One line for a person: the preset's name, the scale, the sliders that count."""
        words = [name_of(language, "preset", self.preset), f"{self.scale:.3g}×"]
        if self.tuning:
            words += [f"{say(language, name)} {getattr(self, name):g}" for name in NEUTRAL]
        else:
            words.append(say(language, "untuned"))
        if PRESETS[self.preset].denoises:
            words.append(f"{say(language, 'denoise')} {self.denoise:g}")
        if self.reduce > 1:
            words.append(say(language, "reduced_first", reduce=self.reduce))
        return " · ".join(words)


def settings_of(given: Settings | str | None) -> Settings:
    """What stands for settings: settings, the name of a preset for its own, None for those of the usual one.

    Raises SettingsError for anything else.
    """
    return given if isinstance(given, Settings) else Settings.from_preset(DEFAULT_PRESET if given is None else given)


def find_preset(name: str) -> Preset:
    """The preset called `name`; raises SettingsError that names the known ones."""
    if not isinstance(name, str) or name not in PRESETS:
        raise SettingsError("preset_unknown", preset=name, known=", ".join(PRESETS))
    return PRESETS[name]


def signature(input_sha256: str, settings: Settings, model_sha256: str, precision: str) -> str:
    """64 hex digits that are equal exactly where the pixels are: SHA-256 of canonical JSON of all that can change one.

    What cannot is left out: tile, device, sliders that are bypassed or that the network does not have, and the preset's
    name beyond its scene.
    """
    tuning = {name: getattr(settings, name) for name in NEUTRAL} if settings.tuning else None
    return _digest(
        network=network_key(input_sha256, settings, model_sha256, precision),
        tuning=tuning,
        scale=settings.scale,
        scene=[settings.scene, settings.strength] if settings.scene else None,
    )


def network_key(input_sha256: str, settings: Settings, model_sha256: str, precision: str) -> str:
    """64 hex digits that are equal exactly where the network's output is, before any tuning."""
    return _digest(
        pipeline=PIPELINE,
        input=input_sha256,
        model=model_sha256,
        precision=precision,
        denoise=settings.denoise if PRESETS[settings.preset].denoises else None,
        dehaze=settings.strength if settings.scene == "dehaze" else None,
        reduce=settings.reduce,
    )


def _digest(**parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _number(name: str, value: object, low: float, high: float) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingsError("setting_range", setting=name, low=low, high=high, value=repr(value))
    if name in WHOLE:
        if value != int(value):
            raise SettingsError("setting_whole", setting=name, low=low, high=high, value=repr(value))
        return int(value)
    return float(value) + 0.0  # -0.0 and 0.0 are one setting
