"""The settings of a run, the presets that fill them in, and the signature that identifies a result.

A setting is declared once, as a field of `Settings`: its range, whether it is a whole number, its
neutral value and its value in a preset that does not name it. The command line, the API, the
controls of the page and the report derive from these fields. Texts about a setting have its name as
their key.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from . import models
from .errors import EnhanceError, SettingsError
from .i18n import PixelCount, name_of, translate
from .json_object import JsonObject
from .preset_names import RESIZE, PresetName

log = logging.getLogger(__name__)

PIPELINE = 17
"""Part of every signature. Increase it whenever the same request produces other pixels or
measurements than before."""

AUTO: Final = "auto"
"""The preset that is replaced by the one that suits the image."""
DEFAULT_PRESET: Final = AUTO
REFERENCE_PRESET = "gentle"
"""The preset whose time is 1 in relative times. It is used to estimate the time of `auto` before a
photo is loaded."""

SIZES = ("scale", "long_side", "megapixels")
"""The settings for the size of the result. At most one of them is given, or a print size in their
place."""
PRINT_SIDES = ("print_width", "print_height")
PAPERS = {
    "10x15": (15.2, 10.2),
    "13x18": (17.8, 12.7),
    "20x30": (30.5, 20.3),
    "a4": (29.7, 21.0),
    "a3": (42.0, 29.7),
}
"""Print sizes in centimetres, the longer side first: three of photo laboratories and two of ISO
216."""
# One side can be missing, but not both.
_PRINT = re.compile(r"(?=.*\d)(\d+(?:\.\d+)?)?x(\d+(?:\.\d+)?)?(?:cm)?")
PRINT_DPI = 300
"""The usual resolution of a print, in pixels per inch."""
SIZE_FIELDS = (*SIZES, *PRINT_SIDES, "dpi")
"""The fields of `Settings` for the output size."""

SECOND_MODEL = "span-x4"
"""The model that enlarges a result beyond the scale of its network; made for clean images, as
results are."""
SECOND_SCALE = 4
_LARGEST_SCALE = 4 * SECOND_SCALE

_MAX_SIZE = 999_999
"""More pixels along a side, and more megapixels, than any image has."""


@dataclass(frozen=True)
class Preset:
    """A model, with the settings that suit one kind of image. Settings that are not named have
    their usual value.

    `model` is empty for `auto`, whose settings depend on the image, and for `resize`, which has no
    network.
    """

    name: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    scene: str | None = None
    """Processing around the network: `face`, `dehaze` or None."""
    scale: int = 4
    """Enlargement by the network."""
    partner: str | None = None
    """The model for `denoise` 0, of a network that can interpolate; `model` is the one for
    `denoise` 1."""
    own: bool = False
    """Whether this is the preset of a user model."""

    @property
    def denoises(self) -> bool:
        return self.partner is not None


_FAITHFUL = {"fidelity": 1.0, "sharpen": 0.05}
_GENTLE = {"strength": 0.6, **_FAITHFUL}

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(AUTO, ""),
        Preset("gentle", "realesrgan-x4plus", _GENTLE),
        Preset("original", "realesrgan-x4plus", {"tuning": False}),
        Preset("anime", "realesrgan-x4plus-anime"),
        Preset("anime-fast", "realesr-animevideov3"),
        Preset("face", "realesrgan-x4plus", _FAITHFUL, scene="face"),
        Preset("dehaze", "realesrgan-x4plus", _FAITHFUL, scene="dehaze"),
        Preset(
            "fast",
            "realesr-general-x4v3",
            {**_GENTLE, "denoise": 0.5},
            partner="realesr-general-wdn-x4v3",
        ),
        Preset("precise", "span-x4", {"strength": 0.8, "fidelity": 1.0}),
        Preset("balanced", "balanced", {"strength": 0.65}),
        Preset("gentle-2x", "realesrgan-x2plus", _GENTLE, scale=2),
    )
}
"""The presets by name, in the order of display. The text `about_<name>` describes each."""

_SHIPPED = ChainMap(PRESETS, {RESIZE: Preset(RESIZE, "", {"sharpen": 0.1}, scale=1)})


@dataclass(frozen=True)
class WeightInterpolation:
    """The weights of one run: those of `model`, or `share` of them and the rest of its partner's,
    tensor by tensor.

    Wang et al., "Deep Network Interpolation for Continuous Imagery Effect Transition", 2019.
    """

    model: str
    partner: str | None = None
    share: float = 1.0

    @property
    def models(self) -> tuple[str, ...]:
        """The models whose weight files are needed; none without a network."""
        names = [name for name in (self.model, self.partner) if name]
        return tuple(part for name in names for part in models.parts_of(name))


@dataclass(frozen=True)
class Range:
    """The values that a number setting can have, and its usual value.

    A tuning setting changes no pixel at its usual value, so signatures omit it at that value.
    """

    low: float
    high: float
    usual: float | None = None
    kind: type[float] = float
    """`int` for whole numbers."""
    is_tuning: bool = False


def _number(low: float, high: float, **options: Any) -> Any:
    """Return a field for a number; `options` are other fields of its `Range`."""
    return field(default=None, metadata={"range": Range(low, high, **options)})


@dataclass(frozen=True)
class Settings:
    """The settings of a run. A setting that is None has the value of the preset.

    With the preset `auto`, it stays None until the preset that suits the image is known
    (`Enhancer.resolve`).

    - `preset`: the name of one of the PRESETS or of a user model. Whether a user model exists and
      supports the scale is checked by `as_settings`, before a run.
    - `scale`, `long_side` (px) or `megapixels`: the size of the result, by default the scale of the
      model. A larger one, up to a scale of 16 for most presets, needs a second model.
    - `print_width` and `print_height` (cm): the size of a print at `dpi` (default 300), instead of
      these. With both, the whole photo fits on the paper, in either orientation.
    - `tuning`: False for the direct output of the model. The tuning settings, such as `strength`
      and `fidelity`, then have no effect.
    - `strength`: amount of generated detail, 0 to 1. With 0, the photo is only denoised and
      enlarged.
    - `fidelity`: how closely the result follows the photo, 0 to 1.
    - `denoise`: amount of noise to remove, 0 to 1, only for the preset `fast`. It is always 1 if
      the model for lower values is not installed.
    - `sharpen`: 0 to 1. `saturation`: 0 to 2, `contrast`: 0.5 to 1.5, where 1 means unchanged.
    - `tile`: tile size in pixels, 64 to 1024. Smaller tiles use less memory. The result is the
      same.
    - `reduce`: factor by which a soft photo is downscaled first, 1 to 4. The output size is still
      based on the original.
    - `dpi`: resolution stated in the file, by default the resolution of the photo. It changes no
      pixels unless the size is a print size.

    Raises SettingsError if a setting is unknown, not a number or out of range.
    """

    preset: str = DEFAULT_PRESET
    scale: float | None = None
    # None is replaced by the preset's value in `__post_init__`, here and below.
    tuning: bool = None  # type: ignore[assignment]
    strength: float = _number(0, 1, usual=1, is_tuning=True)
    fidelity: float = _number(0, 1, usual=0, is_tuning=True)
    denoise: float = _number(0, 1, usual=0)
    sharpen: float = _number(0, 1, usual=0, is_tuning=True)
    saturation: float = _number(0, 2, usual=1, is_tuning=True)
    contrast: float = _number(0.5, 1.5, usual=1, is_tuning=True)
    tile: int = _number(64, 1024, usual=192, kind=int)
    reduce: int = _number(1, 4, usual=1, kind=int)
    long_side: int | None = _number(1, _MAX_SIZE, kind=int)
    megapixels: float | None = _number(0.0001, _MAX_SIZE)
    dpi: int | None = _number(1, 9_600, kind=int)
    print_width: float | None = _number(0.1, 10_000)
    print_height: float | None = _number(0.1, 10_000)

    def __post_init__(self) -> None:
        if not models.is_name(self.preset):
            raise unknown_preset(self.preset)
        self._fill_in()
        self._check_size()
        if not isinstance(self.tuning, bool | None):
            raise SettingsError("setting_switch", setting="tuning", value=repr(self.tuning))
        for name, allowed in _RANGES.items():
            self._check_number(name, allowed)
        largest = _LARGEST_SCALE / (self.reduce or 1)
        if not self._preset.own:
            largest = self.largest_scale
        self._check_scale(largest)

    def _check_scale(self, largest: float) -> None:
        """Raise SettingsError if the scale is too large, because of `reduce` or the preset."""
        limit = f"{largest:.3g}"
        if isinstance(self.scale, int | float) and self.scale > largest:
            if self.reduce not in (None, 1):
                raise SettingsError(
                    "scale_reduced", setting="scale", reduce=self.reduce, largest=limit
                )
            if largest < _LARGEST_SCALE:
                raise SettingsError(
                    "scale_of_preset",
                    setting="scale",
                    preset=self._preset.name,
                    low="1",
                    high=limit,
                    value=f"{self.scale:g}",
                )
        self._check_number("scale", Range(min(1, largest), largest))

    def check_preset(self) -> None:
        """Raise SettingsError if the preset is a user model that does not exist or does not support
        the scale."""
        self._check_scale(self.largest_scale)

    def _fill_in(self) -> None:
        """Replace None by the values of the preset. `auto` has none but that of `tile`."""
        values = {"tile": USUAL["tile"]}
        if not self.is_auto:
            values = {"tuning": True, **USUAL, **self._preset.settings}
        if self.is_print:
            values["dpi"] = PRINT_DPI
        for name, value in values.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def _check_size(self) -> None:
        """Raise SettingsError if the size is stated by more than one setting, or one print size."""
        sizes = self.sizes
        if len(sizes) > 1 and set(sizes) != set(PRINT_SIDES):
            raise SettingsError("setting_one_size", given=", ".join(sizes))

    def _check_number(self, name: str, allowed: Range) -> None:
        """Convert a setting to int or float. Raises SettingsError if it is no number in its
        range."""
        value = getattr(self, name)
        if value is None:
            return
        limits = {"low": f"{allowed.low:g}", "high": f"{allowed.high:g}"}
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not allowed.low <= value <= allowed.high:
            raise SettingsError("setting_range", setting=name, value=repr(value), **limits)
        number = allowed.kind(value)
        if number != value:
            raise SettingsError("setting_whole", setting=name, value=repr(value), **limits)
        object.__setattr__(self, name, number + 0)  # -0.0 and 0.0 are one setting

    @property
    def _preset(self) -> Preset:
        """The preset. That of a user model has no scale, which is stored with the model."""
        name = self.preset
        return _SHIPPED.get(name) or Preset(Path(name).name, name, own=True)

    @property
    def is_auto(self) -> bool:
        """Whether the preset is still to be chosen for an image."""
        return self.preset == AUTO

    @property
    def is_print(self) -> bool:
        """Whether the size is a print size."""
        return self.print_width is not None or self.print_height is not None

    def resolution(self, stated: float | None = None) -> int:
        """Return the dots per inch of a print: `dpi`, otherwise the resolution `stated` by a photo.

        It is at least 300 if it is not set, because values such as 72 dpi from cameras have no
        meaning.
        """
        return self.dpi or max(round(stated or 0), PRINT_DPI)

    @property
    def denoises(self) -> bool:
        """Whether the network uses `denoise`."""
        return self._preset.denoises

    @property
    def model(self) -> str:
        """The name of the model, empty for `auto` and without a network."""
        return self._preset.model

    @cached_property
    def factor(self) -> int:
        """Enlargement by the network. Raises SettingsError for a user model that does not exist."""
        return find_preset(self.preset).scale

    @property
    def network_scale(self) -> float:
        """The scale of a result without a size: the scale of the network, for the photo before
        `reduce`."""
        return self.factor / (self.reduce or 1)

    @property
    def wanted_scale(self) -> float:
        """The requested scale, by default the scale of the network."""
        return self.scale or self.network_scale

    @property
    def largest_scale(self) -> float:
        """The maximum scale of a result. A second network can enlarge the first result up to 4
        times."""
        scale = self.network_scale
        if scale == 4 and not self._preset.own:
            return scale * SECOND_SCALE
        return scale

    @property
    def scene(self) -> str | None:
        """Processing around the network: `face`, `dehaze` or None."""
        return self._preset.scene

    @property
    def blend(self) -> float:
        """Share of the network in the tuned image. A scene uses `strength` itself and has the share
        of `gentle`."""
        if self.scene:
            return _GENTLE["strength"]
        return self.strength

    @property
    def weights(self) -> WeightInterpolation:
        """The weights that the network runs with."""
        preset = self._preset
        if preset.partner is None or self.denoise == 1:
            return WeightInterpolation(preset.model)
        return WeightInterpolation(preset.model, preset.partner, self.denoise)

    @classmethod
    def from_preset(cls, name: str = DEFAULT_PRESET, **changes: Any) -> Settings:
        """Return the settings of a preset with some of them changed. Same as `Settings(name,
        **changes)`."""
        _check_names(changes)
        return cls(name, **changes)

    @property
    def sizes(self) -> list[str]:
        """The names of the settings that state the output size."""
        return [name for name in (*SIZES, *PRINT_SIDES) if getattr(self, name) is not None]

    @property
    def output_size(self) -> JsonObject:
        """The values of SIZE_FIELDS; None if they do not state the output size."""
        return {name: getattr(self, name) for name in SIZE_FIELDS}

    def changed(self, **changes: Any) -> Settings:
        """Return these settings with changes. None leaves a setting as it is.

        A new size replaces the previous one. `dpi` is kept unless it is the resolution of a print
        that ends.
        """
        _check_names(changes)
        given = {name: value for name, value in changes.items() if value is not None}
        if given.keys() & {*SIZES, *PRINT_SIDES}:
            size = dict.fromkeys(SIZE_FIELDS)
            ends_print = self.is_print and given.keys().isdisjoint(PRINT_SIDES)
            if not ends_print:
                size["dpi"] = self.dpi
            given = size | given
        return replace(self, **given)

    def resolved(self, preset: str, **usual: Any) -> Settings:
        """Return these settings with a preset instead of `auto`.

        Settings that are None get their value from `usual` or from the preset.
        """
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return Settings(**{**usual, **given, "preset": preset})

    def as_dict(self) -> JsonObject:
        return asdict(self) | {"preset": self._preset.name}

    def describe(self, language: str, size: str) -> str:
        """Return one line of text: the preset, the text `size` and the adjustments."""
        preset = name_of(language, "preset", self.preset)
        return " · ".join([preset, size, *self.describe_adjustments(language)])

    def describe_adjustments(self, language: str) -> list[str]:
        """Return the sliders in use with their values as texts. `auto` has none."""
        if self.is_auto:
            return []
        words = [translate(language, "untuned")]
        if self.tuning:
            words = [f"{translate(language, name)} {getattr(self, name):g}" for name in NEUTRAL]
        if self.denoises:
            words.append(f"{translate(language, 'denoise')} {self.denoise:g}")
        if self.reduce > 1:
            words.append(translate(language, "reduced_first", reduce=self.reduce))
        return words

    def describe_size(self, language: str) -> str:
        """Return the size as text: a scale, a long side, megapixels or a print size."""
        if self.long_side is not None:
            return translate(language, "long_side_of", pixels=f"{self.long_side:,}")
        if self.megapixels is not None:
            return PixelCount(1e6 * self.megapixels, digits=6).message(language)
        if self.is_print:
            return translate(
                language, "print_size_of", name=self._describe_print(language), dpi=self.dpi
            )
        return translate(language, "scale_of", scale=f"{self.wanted_scale:.3g}")

    def _describe_print(self, language: str) -> str:
        given = self.print_width, self.print_height
        sides = [f"{side:.3g}" if side else "…" for side in given]
        return translate(language, "print_sides", sides=" × ".join(sides))


_RANGES: dict[str, Range] = {
    one.name: one.metadata["range"] for one in fields(Settings) if "range" in one.metadata
}
USUAL = {name: one.usual for name, one in _RANGES.items() if one.usual is not None}
"""The values of settings that a preset does not name."""
RANGES = {name: (_RANGES[name].low, _RANGES[name].high) for name in USUAL}
"""Lowest and highest value of each slider."""
NEUTRAL = {name: USUAL[name] for name, one in _RANGES.items() if one.is_tuning}
"""The values at which tuning changes nothing."""
WHOLE = tuple(name for name, one in _RANGES.items() if one.kind is int)
"""The settings that are whole numbers."""


def print_sides(text: str) -> tuple[float | None, float | None]:
    """Return width and height in cm of a print size such as 29.7x42cm, x20cm or a4. Raises
    SettingsError."""
    size = text.lower()
    if size in PAPERS:
        return PAPERS[size]
    match = _PRINT.fullmatch(size.replace(" ", "").replace("×", "x"))
    if match is None:
        raise SettingsError("print_unknown", value=text, papers=", ".join(PAPERS))
    width, height = (float(side) if side else None for side in match.groups())
    return width, height


def as_settings(given: Settings | PresetName | None) -> Settings:
    """Return settings unchanged, or the settings of the preset with this name; None means the
    default preset.

    Raises SettingsError if there is no such preset, or if it does not support the scale.
    """
    if given is None:
        given = DEFAULT_PRESET
    if not isinstance(given, Settings):
        given = Settings(given)
    given.check_preset()
    return given


def find_preset(name: str) -> Preset:
    """Return the preset called `name`, including presets of user models. Raises SettingsError if
    there is none."""
    path = Path(name)  # The name of a model of `models.use` begins with its folder.
    preset = _SHIPPED.get(name) or all_presets(models.folder() / path.parent).get(path.name)
    if preset is None:
        raise unknown_preset(name)
    return preset


def unknown_preset(name: object) -> SettingsError:
    """Return the error for a preset that does not exist."""
    known = ", ".join(all_presets())
    return SettingsError("preset_unknown", setting="preset", preset=name, known=known)


def all_presets(folder: Path | None = None) -> dict[str, Preset]:
    """Return the presets by name, followed by one for each user model in `folder`, by default the
    weights folder."""
    try:
        user_models = models.own_models(folder or models.folder())
    except EnhanceError as error:  # The presets that ship are available without the folder.
        # The log hides messages of exceptions, but this one is for the administrator.
        log.warning("%s", str(error))
        user_models = {}
    own = {
        name: Preset(name, name, scale=model.scale or 1, own=True)
        for name, model in user_models.items()
    }
    return PRESETS | own


def signature(
    input_sha256: str,
    settings: Settings,
    model_sha256: str,
    precision: str,
    second_sha256: str | None = None,
) -> str:
    """Return 64 hex digits that are equal for two runs if and only if their pixels are.

    The checksums are SHA-256: of the input file, of the weights of the model, and of the weights of
    the second model if the result is larger than the scale of the first. `settings` are resolved
    and `precision` is "fp32", "bf16" or "fp16".

    The signature is the SHA-256 of canonical JSON of everything that can change a pixel. Settings
    at their neutral value are left out, so that a new setting does not change the signatures of
    earlier results.
    """
    return _digest(
        network=network_key(input_sha256, settings, model_sha256, precision, second_sha256),
        **_tuning_key(settings),
        **_size_key(settings),
    )


def _tuning_key(settings: Settings) -> dict[str, object]:
    key: dict[str, object] = {"tuning": None, "scene": None}
    if settings.tuning is not False:
        values = {name: getattr(settings, name) for name in NEUTRAL}
        unusual = values.items() - NEUTRAL.items()
        key["tuning"] = {name: value for name, value in unusual if value is not None}
    if settings.scene:
        key["scene"] = [settings.scene, settings.strength]
    return key


def _size_key(settings: Settings) -> dict[str, object]:
    if settings.long_side is not None or settings.megapixels is not None:
        return {"long_side": settings.long_side, "megapixels": settings.megapixels}
    if settings.is_print:
        # The resolution of a print determines its pixels. For other results, it is only stated in
        # the file.
        return {"print": [settings.print_width, settings.print_height], "dpi": settings.dpi}
    scale = float(settings.wanted_scale)
    if scale == settings.network_scale:
        return {"scale": scale}
    return {"scale": scale, "resized": "area"}


def network_key(
    input_sha256: str,
    settings: Settings,
    model_sha256: str,
    precision: str,
    second_sha256: str | None = None,
) -> str:
    """Return 64 hex digits that are equal for two runs if and only if the last network's outputs
    are.

    A second network receives the first result after tuning.
    """
    denoise = None
    if settings.denoises:
        denoise = settings.denoise
    dehaze = None
    if settings.scene == "dehaze":  # Haze is removed before the network.
        dehaze = settings.strength
    key = _digest(
        pipeline=PIPELINE,
        input=input_sha256,
        model=model_sha256,
        precision=precision,
        denoise=denoise,
        dehaze=dehaze,
        reduce=settings.reduce,
    )
    if second_sha256 is None:
        return key
    return _digest(first=key, **_tuning_key(settings), second=second_sha256)


def _digest(**parts: object) -> str:
    text = json.dumps(
        parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _check_names(changes: JsonObject) -> None:
    known = {one.name for one in fields(Settings)}
    for name in changes:
        if name not in known:
            raise SettingsError("setting_unknown", setting=name, known=", ".join(sorted(known)))
