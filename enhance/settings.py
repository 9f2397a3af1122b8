"""What a person can set, the presets that set it for them, and the signature of a request."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

from . import models
from .errors import EnhanceError, SettingsError
from .i18n import name_of, translate

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger(__name__)

# Raised whenever the same request would give other pixels than before, so that no older result is taken for it.
PIPELINE = 4

_DPI = 1, 9_600
_MOST = 999_999
"""More pixels along a side, and more megapixels, than any picture has."""

DEFAULT_PRESET = "gentle"

SIZES = ("scale", "long_side", "megapixels")
"""The settings that say how large the result is, one of them at most."""


@dataclass(frozen=True)
class Preset:
    """A named starting point: the network and the sliders that suit one kind of picture."""

    name: str
    model: str
    scene: str | None = None
    """What is done around the network: `face`, `dehaze` or nothing."""
    scale: int = 4
    """How many times larger the network makes a picture."""
    partner: str | None = None
    """The model that `denoise` 0 stands for, where the network has two ends; `model` is that of 1."""
    tuning: bool = True
    strength: float = 1.0
    fidelity: float = 0.0
    denoise: float = 0.0
    sharpen: float = 0.0
    saturation: float = 1.0
    contrast: float = 1.0
    own: bool = False
    """Whether it is that of a model which whoever runs the program has added."""

    @property
    def denoises(self) -> bool:
        return self.partner is not None


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("gentle", "realesrgan-x4plus", strength=0.6, fidelity=1.0, sharpen=0.05),
        Preset("original", "realesrgan-x4plus", tuning=False),
        Preset("anime", "realesrgan-x4plus-anime"),
        Preset("anime-fast", "realesr-animevideov3"),
        Preset("face", "realesrgan-x4plus", scene="face", fidelity=1.0, sharpen=0.05),
        Preset("dehaze", "realesrgan-x4plus", scene="dehaze", fidelity=1.0, sharpen=0.05),
        Preset(
            "fast",
            "realesr-general-x4v3",
            partner="realesr-general-wdn-x4v3",
            strength=0.6,
            fidelity=1.0,
            denoise=0.5,
            sharpen=0.05,
        ),
        Preset("precise", "span-x4", strength=0.8, fidelity=1.0),
        Preset("gentle-2x", "realesrgan-x2plus", scale=2, strength=0.6, fidelity=1.0, sharpen=0.05),
    )
}
"""By name, in the order in which they are offered; the catalogue says what each is for (`about_<name>`)."""

RANGES: dict[str, tuple[float, float]] = {
    "strength": (0, 1),
    "fidelity": (0, 1),
    "denoise": (0, 1),
    "sharpen": (0, 1),
    "saturation": (0, 2),
    "contrast": (0.5, 1.5),
    "tile": (64, 1024),
    "reduce": (1, 4),
}

WHOLE = ("tile", "reduce", "long_side", "dpi")
"""The settings that are whole numbers."""

NEUTRAL = {"strength": 1.0, "fidelity": 0.0, "sharpen": 0.0, "saturation": 1.0, "contrast": 1.0}
"""The slider positions at which tuning changes nothing."""


@dataclass(frozen=True)
class WeightInterpolation:
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


class Changes(TypedDict, total=False):
    """The settings that can take the place of others, for type checkers: those of `Settings`; None leaves one alone."""

    preset: str | None
    scale: float | None
    tuning: bool | None
    strength: float | None
    fidelity: float | None
    denoise: float | None
    sharpen: float | None
    saturation: float | None
    contrast: float | None
    tile: int | None
    reduce: int | None
    long_side: int | None
    megapixels: float | None
    dpi: int | None


@dataclass(frozen=True)
class Settings:
    """One request's settings. Raises SettingsError when one is unknown, not a number, or out of its range.

    `tuning` off bypasses strength, fidelity, sharpen, saturation and contrast: the picture is the network's output.
    `strength` is the network's share of it, the rest is the photo without its noise, enlarged; `fidelity` how far it is
    brought to agree with the photo. The result is `scale` times as large as the input, or its longer side has
    `long_side` pixels, or it has so many `megapixels`; where none of the three is given it is as large as the network
    makes it, and never larger (`output.resample.result_size`). Before the network the photo is
    averaged down `reduce` times; the size counts from the photo itself. `tile` bounds memory and changes no pixel.
    `dpi` is the resolution that the file states, the photo's own if None; it changes no pixel either.
    """

    preset: str = DEFAULT_PRESET
    scale: float | None = None
    tuning: bool = True
    strength: float = 0.6
    fidelity: float = 1.0
    denoise: float = 0.0
    sharpen: float = 0.05
    saturation: float = 1.0
    contrast: float = 1.0
    tile: int = 192
    reduce: int = 1
    long_side: int | None = None
    megapixels: float | None = None
    dpi: int | None = None

    def __post_init__(self) -> None:
        find_preset(self.preset)
        sizes = [name for name in SIZES if getattr(self, name) is not None]
        if len(sizes) > 1:
            raise SettingsError("setting_one_size", given=", ".join(sizes))
        if not isinstance(self.tuning, bool):
            raise SettingsError("setting_switch", setting="tuning", value=repr(self.tuning))
        object.__setattr__(self, "reduce", _number("reduce", self.reduce, *RANGES["reduce"]))
        largest = largest_scale(self)
        if self.reduce > 1 and isinstance(self.scale, int | float) and self.scale > largest:
            raise SettingsError("scale_reduced", reduce=self.reduce, largest=f"{largest:.3g}")
        ranges = {"scale": (min(1, largest), largest), "long_side": (1, _MOST), "megapixels": (0.0001, _MOST)}
        given = {name: ranges[name] for name in sizes} | ({} if self.dpi is None else {"dpi": _DPI})
        for name, (low, high) in (given | RANGES).items():
            object.__setattr__(self, name, _number(name, getattr(self, name), low, high))

    @cached_property
    def _preset(self) -> Preset:
        return find_preset(self.preset)

    @property
    def denoises(self) -> bool:
        """Whether `denoise` means something to the network."""
        return self._preset.denoises

    @property
    def model(self) -> str:
        """The name of the network that these settings run."""
        return self._preset.model

    @property
    def factor(self) -> int:
        """How many times larger the network makes a picture."""
        return self._preset.scale

    @property
    def scene(self) -> str | None:
        """What is done around the network: `face`, `dehaze` or nothing."""
        return self._preset.scene

    @property
    def blend(self) -> float:
        """The network's share of the tuned picture; a scene takes `strength` for itself, and has gentle's share."""
        return PRESETS[DEFAULT_PRESET].strength if self.scene else self.strength

    @property
    def recipe(self) -> WeightInterpolation:
        """The weights that these settings run."""
        preset = self._preset
        if preset.partner is None or self.denoise == 1:
            return WeightInterpolation(preset.model)
        return WeightInterpolation(preset.model, preset.partner, self.denoise)

    @classmethod
    def from_preset(cls, name: str = DEFAULT_PRESET, **changes: Unpack[Changes]) -> Settings:
        """The settings of the preset called `name`, with those of `changes` in place of its own (None: its own)."""
        preset = find_preset(name)
        own = {one: getattr(preset, one) for one in ("tuning", "denoise", *NEUTRAL)}
        return cls(name, **own).changed(**changes)

    def changed(self, **values: Unpack[Changes]) -> Settings:
        """The same settings with the given ones replaced; None leaves one as it is.

        With another `reduce` alone the largest scale stays the largest, and another one is cut down to that.
        """
        known = {field.name for field in fields(self)}
        for name in values:
            if name not in known:
                raise SettingsError("setting_unknown", setting=name, known=", ".join(sorted(known)))
        given = {name: value for name, value in values.items() if value is not None}
        if given.keys() & set(SIZES):
            given = dict.fromkeys((*SIZES, "dpi")) | given  # one way to say the size takes the place of another
        elif "reduce" in given and self.scale is not None:
            largest = largest_scale(replace(self, reduce=given["reduce"], scale=None))  # type: ignore[arg-type]
            given["scale"] = None if self.scale == largest_scale(self) else min(self.scale, largest)
        return replace(self, **given)  # type: ignore[arg-type]

    @classmethod
    def of_earlier(cls, values: Mapping[str, Any], factor: int = 1) -> Settings:
        """Those of an earlier run, also where its own model was removed since, or has another scale than `factor` now.

        Such ones are to be read; whatever is made of them is refused. Raises SettingsError as all settings do.
        """
        try:
            return cls(**values)
        except SettingsError:
            name, usual = values.get("preset"), cls(**{**values, "preset": DEFAULT_PRESET, "scale": None})
            if not isinstance(name, str) or name in PRESETS:
                raise
        usual.__dict__.update(
            preset=name, scale=values.get("scale"), _preset=Preset(name, name, scale=factor, own=True)
        )
        return usual

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def in_words(self, language: str, size: str | None = None) -> str:
        """One line for a person: the preset's name, the size, or the words for it, and the sliders that count."""
        words = [name_of(language, "preset", self.preset), size or self.size_in_words(language)]
        if self.tuning:
            words += [f"{translate(language, name)} {getattr(self, name):g}" for name in NEUTRAL]
        else:
            words.append(translate(language, "untuned"))
        if self.denoises:
            words.append(f"{translate(language, 'denoise')} {self.denoise:g}")
        if self.reduce > 1:
            words.append(translate(language, "reduced_first", reduce=self.reduce))
        return " · ".join(words)

    def size_in_words(self, language: str) -> str:
        """How large the result is to be: 4×, or a longer side, or so many megapixels."""
        if self.long_side is not None:
            return translate(language, "long_side_of", pixels=self.long_side)
        if self.megapixels is not None:
            return translate(language, "megapixels_of", number=f"{self.megapixels:g}")
        return f"{self.scale or largest_scale(self):.3g}×"


def settings_of(given: Settings | str | None) -> Settings:
    """What stands for settings: settings, the name of a preset for its own, None for those of the usual one.

    Raises SettingsError for anything else.
    """
    return given if isinstance(given, Settings) else Settings.from_preset(DEFAULT_PRESET if given is None else given)


def largest_scale(settings: Settings) -> float:
    """How many times larger than its picture a result can be at most."""
    return settings.factor if settings.reduce == 1 else settings.factor / settings.reduce


def scales(settings: Settings) -> list[float]:
    """The whole scales that a result can have, and the largest."""
    largest = largest_scale(settings)
    return sorted({*range(1, int(largest) + 1), largest})


def find_preset(name: str) -> Preset:
    """The preset called `name`, that of a model of one's own too; raises SettingsError that names the known ones."""
    known = PRESETS if isinstance(name, str) and name in PRESETS else all_presets()
    if not isinstance(name, str) or name not in known:
        raise SettingsError("preset_unknown", preset=name, known=", ".join(known))
    return known[name]


def all_presets() -> dict[str, Preset]:
    """The presets by name, and after them one for each model of one's own: neutral sliders, the model's scale."""
    try:
        own_models = models.own_models(models.folder())
    except EnhanceError as error:  # what ships runs all the same
        log.warning("%s", str(error))  # the log hides the messages of exceptions, but this is the administrator's
        own_models = {}
    own = (Preset(name, name, scale=model.scale, own=True) for name, model in own_models.items() if model.scale)
    return PRESETS | {preset.name: preset for preset in own if preset.name not in PRESETS}


def signature(input_sha256: str, settings: Settings, model_sha256: str, precision: str) -> str:
    """64 hex digits that are equal exactly where the pixels are: SHA-256 of canonical JSON of all that can change one.

    What cannot is left out: tile, device, sliders that are bypassed or that the network does not have, and the preset's
    name beyond its scene.
    """
    tuning = {name: getattr(settings, name) for name in NEUTRAL} if settings.tuning else None
    return _digest(
        network=network_key(input_sha256, settings, model_sha256, precision),
        tuning=tuning,
        **_size_key(settings),
        scene=[settings.scene, settings.strength] if settings.scene else None,
    )


def _size_key(settings: Settings) -> dict[str, object]:
    """What says how large the result is; together with the picture it says how it is resized from the network's."""
    if settings.long_side is not None or settings.megapixels is not None:
        return {"long_side": settings.long_side, "megapixels": settings.megapixels}
    scale = float(settings.scale or largest_scale(settings))
    return {"scale": scale} if scale == largest_scale(settings) else {"scale": scale, "resized": "area"}


def network_key(input_sha256: str, settings: Settings, model_sha256: str, precision: str) -> str:
    """64 hex digits that are equal exactly where the network's output is, before any tuning."""
    return _digest(
        pipeline=PIPELINE,
        input=input_sha256,
        model=model_sha256,
        precision=precision,
        denoise=settings.denoise if settings.denoises else None,
        dehaze=settings.strength if settings.scene == "dehaze" else None,
        reduce=settings.reduce,
    )


def _digest(**parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _number(name: str, value: object, low: float, high: float) -> float | int:
    said = {"setting": name, "low": f"{low:g}", "high": f"{high:g}", "value": repr(value)}
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingsError("setting_range", **said)
    if name not in WHOLE:
        return float(value) + 0.0  # -0.0 and 0.0 are one setting
    if value != int(value):
        raise SettingsError("setting_whole", **said)
    return int(value)
