"""Conversions between controls, links, browser storage and API parameters on one side and settings on the other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qs

from ..errors import EnhanceError, SettingsError
from ..i18n import DEFAULT_LANGUAGE, catalogue, match_language, translate
from ..images import Box
from ..images.metadata import CHOICES
from ..output.formats import BACKGROUNDS, FORMATS, Encoding
from ..output.resample import at_most_largest, result_size, with_possible_size
from ..presets import with_installed_models
from ..preview import LARGEST
from ..settings import (
    AUTO,
    DEFAULT_PRESET,
    NEUTRAL,
    PRINT_DPI,
    PRINT_SIDES,
    RANGES,
    REFERENCE_PRESET,
    SIZE_FIELDS,
    SIZES,
    WHOLE,
    Settings,
    all_presets,
    largest_scale,
    network_scale,
    print_sides,
)
from .session import Session

Values = Mapping[str, Any]
"""The values of the controls by name."""
TUNING_CONTROLS = tuple(NEUTRAL)
"""The sliders that are disabled while tuning is off."""
PRESET_CONTROLS = ("tuning", *TUNING_CONTROLS, "denoise")
"""The controls that a preset sets."""
SIZE_CONTROLS = (*SIZES, "paper")
"""The controls for the output size, one of which is visible. `paper` is a print size by name, or OWN_PRINT."""
OWN_PRINT = "own"
PRINT_CONTROLS = (*PRINT_SIDES, "dpi")
"""The controls of a print: width and height of a custom size in cm, and the resolution."""
COMMON_SIZES: dict[str, dict[str, Any]] = {
    "2x": {"size": "scale", "scale": 2},
    "4x": {"size": "scale", "scale": 4},
    "web": {"size": "long_side", "long_side": 2048},
    "print": {"size": "paper"},
}
"""The sizes that the page offers first, as values of controls."""
ENCODING_CONTROLS = tuple(field.name for field in fields(Encoding))
BATCH_CONTROLS = ("largest",)
"""The control that only Batch has: use the largest possible size if the selected one is too large."""
CONTROLS = (
    *("preset", "size", *SIZE_CONTROLS, *PRINT_CONTROLS),
    *(*ENCODING_CONTROLS, *PRESET_CONTROLS, "tile", "reduce", *BATCH_CONTROLS),
)
"""All controls, in the order in which handlers get their values. `size` chooses one of SIZE_CONTROLS."""
_SETTINGS_CONTROLS = ("preset", *PRESET_CONTROLS, "tile", "reduce")

FIRST_SETTINGS = (
    *("preset", "scale", "tuning", "strength", "denoise", "sharpen", "saturation", "contrast", "tile", "fidelity"),
    *("reduce", "long_side", "megapixels", "format", "quality", "metadata"),
)
_LATER_PARAMETERS = (*PRINT_SIDES, "dpi", "label", "background", *(one.name for one in fields(Settings)))
API_SETTINGS = tuple(dict.fromkeys((*FIRST_SETTINGS, *_LATER_PARAMETERS)))
"""The settings that API endpoints accept, in the order of their parameters. New settings are the last ones.

Earlier clients send only the FIRST_SETTINGS.
"""
API_PLAN = (*dict.fromkeys((*SIZE_FIELDS, *API_SETTINGS)), "largest")
"""The same settings in the order of /analyse. Earlier clients send only the SIZES, or the SIZE_FIELDS."""
API_REGION = ("x", "y", "size")
API_RECTANGLE = ("left", "top", "width", "height")
API_DEFAULTS: dict[str, Any] = {
    "preset": DEFAULT_PRESET,
    "tuning": True,
    "tile": Settings().tile,
    "size": 128,
    "largest": False,
    "job": "",
    "id": "",
    **asdict(Encoding()),
}
"""The defaults of API parameters. Others depend on the preset or the image."""
LIMITS = RANGES | {"size": (1, LARGEST), "quality": (1, 100)}
_TYPES = {
    **dict.fromkeys(("image", "task_id", "job", "id", "preset", "format", "metadata", "background"), "string"),
    **dict.fromkeys((*WHOLE, "size", "quality", *API_RECTANGLE, "file"), "integer"),
    "images": "array",
    **dict.fromkeys(("tuning", "label", "largest"), "boolean"),
}


def settings_from(values: Values, shape: tuple[int, int] | None = None) -> Settings:
    """Return the settings of the controls, for a photo of this height and width. Raises SettingsError."""
    given = {name: values[name] for name in _SETTINGS_CONTROLS} | size_setting(values)
    missing = [name for name, value in given.items() if value is None and name != "scale"]
    if missing:
        raise SettingsError("control_empty", name=missing[0])
    settings = with_installed_models(Settings(**given))
    return at_most_largest(settings, *shape) if values["largest"] and shape else settings


def size_setting(values: Values) -> dict[str, Any]:
    """Return the settings of the output size; their value is None if the control is empty. Raises SettingsError."""
    if values["size"] != "paper":
        return {values["size"]: values[values["size"]]}
    dpi = {"dpi": values["dpi"]}
    if values["paper"] != OWN_PRINT:
        return dict(zip(PRINT_SIDES, print_sides(str(values["paper"])), strict=True)) | dpi
    unit = 2.54 if values.get("unit") == "in" else 1  # in links and stored values of earlier versions
    sides = {name: values[name] * unit for name in PRINT_SIDES if isinstance(values[name], int | float)}
    return (sides or dict.fromkeys(PRINT_SIDES)) | dpi


def size_controls(settings: Settings, values: Values) -> dict[str, Any]:
    """Return the values of the controls of the output size for the settings.

    A print size is one of the user's own if that is chosen in `values`, or if it has no name.
    """
    if not settings.is_print:
        control = next((name for name in SIZES if getattr(settings, name) is not None), SIZES[0])
        return {"size": control, control: getattr(settings, control)}
    sides = {name: getattr(settings, name) for name in PRINT_SIDES}
    return {
        "size": "paper",
        "paper": OWN_PRINT if values.get("paper") == OWN_PRINT else settings.paper or OWN_PRINT,
        **{name: side and round(side, 2) for name, side in sides.items()},
        "dpi": settings.resolution(),
    }


_NO_PRINT: dict[str, Any] = {**dict.fromkeys(PRINT_SIDES), "dpi": PRINT_DPI}
"""The values of PRINT_CONTROLS for links and stored values without them, as earlier versions had them."""


def encoding_from(values: Values) -> Encoding:
    """Return the file format of the controls. Raises SettingsError."""
    return Encoding(**{name: values[name] for name in ENCODING_CONTROLS})


@dataclass(frozen=True)
class PresetStart:
    """The settings with which a preset starts."""

    settings: Settings
    wanted_size: dict[str, Any]
    """The chosen size that the model cannot reach. The next preset that can reach it uses it."""
    is_lowered: bool
    """Whether the size was lowered to the largest one of the model."""


def settings_of_preset(name: str, values: Values, session: Session) -> PresetStart:
    """Return the settings of a preset, with the tile, the reduction and the size of the controls.

    The largest scale stays the largest scale. Raises SettingsError for an unknown preset.
    """
    start = with_installed_models(Settings(name, tile=values["tile"], reduce=values["reduce"]))
    size = size_setting(values)
    scale = size.get("scale") or 0
    if scale == network_scale(session.settings):
        size = session.wanted_size  # If it is empty, the settings have the largest scale of the preset.
    sized = start
    try:
        sized = start.changed(**size)
        if session.shape is not None:
            result_size(sized, *session.shape)
    except SettingsError as error:
        if error.key != "size_small":  # This size is too small with every preset.
            return PresetStart(start, size, is_lowered=True)
    return PresetStart(sized, {}, scale > largest_scale(sized))


def with_fitting_size(settings: Settings, shape: tuple[int, int] | None) -> Settings:
    """Return the settings, with the largest scale if their size is impossible, so that a preview can be shown."""
    try:
        if shape is not None:
            result_size(settings, *shape)
    except SettingsError:
        return settings.changed(scale=network_scale(settings))
    return settings


def settings_from_link(query: Mapping[str, str], remembered: Settings) -> Settings:
    """Return the settings of a link: its preset or the `remembered` settings, with its values. Raises SettingsError."""
    if query.get("print_fit", "contain") != "contain":
        raise SettingsError("print_fit_gone", name="print_fit")
    preset = REFERENCE_PRESET if query.get("preset") == AUTO else query.get("preset")
    start = remembered if preset is None else Settings(preset)
    values = {name: _link_value(text) for name, text in query.items()}
    given = {name: values[name] for name in (*_SETTINGS_CONTROLS[1:], *SIZES) if name in values}
    if values.keys() & {"paper", *PRINT_SIDES}:
        given |= size_setting({**_NO_PRINT, **values, "size": "paper", "paper": query.get("paper", OWN_PRINT)})
    return start.changed(**given)


def is_auto(query: Mapping[str, str], stored: object, available: Collection[str]) -> bool:
    """Return whether Auto is selected by a link or, without a preset in the link, by the browser's storage."""
    if "preset" in query:
        return query["preset"] == AUTO
    preset = stored.get("preset") if isinstance(stored, Mapping) else AUTO
    return preset == AUTO or preset not in available


def usual_settings(preset: str, reduce: int) -> Settings:
    """Return the values of a preset with its installed models."""
    return with_installed_models(Settings(preset, reduce=reduce))


def request_settings(settings: Settings, chosen: Settings) -> Settings:
    """Return settings of the page as a request of Auto, with the values that differ from those that Auto chose."""
    usual = chosen if chosen.preset == settings.preset else usual_settings(settings.preset, chosen.reduce)
    changed = {name: getattr(settings, name) for name in (*PRESET_CONTROLS, "reduce")}
    changed = {name: value for name, value in changed.items() if value != getattr(usual, name)}
    return Settings(AUTO, tile=settings.tile, **settings.output_size, **changed)


def encoding_from_link(query: Mapping[str, str], remembered: Encoding) -> Encoding:
    """Return the file format of a link. Raises SettingsError."""
    return replace(remembered, **{name: _link_value(query[name]) for name in ENCODING_CONTROLS if name in query})


def _link_value(text: str) -> Any:
    """Return the number or boolean in a link, or the text if it is neither."""
    try:
        return {"true": True, "false": False}[text] if text in ("true", "false") else float(text)
    except ValueError:
        return text


def settings_from_storage(stored: object, available: Collection[str]) -> Settings:
    """Return the settings that the browser stored, without `reduce`, which depends on the photo.

    These are the defaults if a value is no longer possible or the preset is not `available`.
    """
    try:
        values: dict[str, Any] = {"size": "scale", **_NO_PRINT, **stored}  # type: ignore[dict-item]
        size = size_setting(values)
        if values["preset"] == AUTO:
            return Settings(REFERENCE_PRESET, **size)
        settings = Settings(**{name: values[name] for name in _SETTINGS_CONTROLS} | size)
    except (SettingsError, TypeError, KeyError):
        return Settings(REFERENCE_PRESET)
    return settings.changed(reduce=1) if settings.preset in available else Settings(REFERENCE_PRESET)


def encoding_from_storage(stored: object) -> Encoding:
    """Return the file format that the browser stored, or the default."""
    try:
        # Earlier versions stored no label and no background, and a switch for the metadata.
        values = {name: stored[name] for name in ENCODING_CONTROLS if name in stored}  # type: ignore[operator, index]
        values["metadata"] = {True: "keep", False: "no-location"}.get(values["metadata"], values["metadata"])
        return Encoding(**values)
    except (SettingsError, TypeError, KeyError):
        return Encoding()


def batch_values(stored: object) -> dict[str, Any]:
    """Return the values of BATCH_CONTROLS that the browser stored, or the defaults."""
    return {"largest": not isinstance(stored, Mapping) or stored.get("largest") is not False}


def parameter_schema(name: str) -> dict[str, Any]:
    """Return the JSON schema of an API parameter. Images are strings."""
    low, high = LIMITS.get(name, (0, 0))
    kind = _TYPES.get(name, "number")
    choices: dict[str, Iterable[str]] = {
        "preset": all_presets(),
        "format": FORMATS,
        "metadata": CHOICES,
        "background": BACKGROUNDS,
    }
    return {
        "type": kind,
        "description": translate(DEFAULT_LANGUAGE, f"takes_{name}", low=f"{low:g}", high=f"{high:g}"),
        **({"items": {"type": "string"}} if kind == "array" else {}),
        **({"minimum": low, "maximum": high} if name in LIMITS else {}),
        **({"enum": [*choices[name]]} if name in choices else {}),
        **({"default": API_DEFAULTS[name]} if name in API_DEFAULTS else {}),
    }


def settings_from_call(preset: str, **given: Any) -> Settings:
    """Return the settings of an API call; None is the preset's value.

    A preset without tuning uses it only if a tuning slider is given. Raises SettingsError.
    """
    if given.get("tuning") in (None, True):
        given["tuning"] = any(given.get(name) is not None for name in TUNING_CONTROLS) or None
    return Settings.from_preset(preset, **given)


def call_settings(given: Values) -> tuple[Settings, Encoding]:
    """Return the settings and the file format of an API call. Raises SettingsError."""
    settings = {name: given[name] for name in API_SETTINGS if name not in ENCODING_CONTROLS}
    return settings_from_call(**settings), call_encoding(given)


def call_encoding(given: Values) -> Encoding:
    """Return the file format of an API call. Raises SettingsError."""
    return Encoding(**{name: given[name] for name in ENCODING_CONTROLS if given[name] is not None})


def call_region(given: Values) -> dict[str, Any]:
    """Return the region of an API call. Raises SettingsError."""
    return {"x": given["x"], "y": given["y"], "size": _whole_number("size", given["size"])}


def call_rectangle(given: Values) -> Box | None:
    """Return the rectangle of an API call, None if it has none. Raises SettingsError."""
    if all(given[name] is None for name in API_RECTANGLE):
        return None
    if any(given[name] is None for name in API_RECTANGLE):
        raise SettingsError("rectangle_incomplete")
    return Box(*(_whole_number(name, given[name]) for name in API_RECTANGLE))


def call_file(number: Any) -> int | None:
    """Return the number of a file in an API call, None if it has none. Raises SettingsError."""
    return None if number is None else _whole_number("file", number)


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingsError("api_whole_number", name=name, value=repr(value))
    return value


def language_of(request: Any) -> str:
    """Return the language of a request of Gradio or Starlette: from its link, its page's link or its browser."""
    headers = request.headers or {}
    page = parse_qs(headers.get("referer", "").partition("?")[2])  # The address can be malformed.
    link = (request.query_params or {}).get("lang") or page.get("lang", [""])[0]
    accepted = link or headers.get("accept-language", "")
    matches = (match_language(tag.split(";")[0]) for tag in accepted.split(","))
    return next((language for language in matches if language), DEFAULT_LANGUAGE)


def page_message(language: str, error: EnhanceError, settings: Settings | None = None) -> str:
    """Return the message of an error with the labels of the controls. `settings` have the size that is wrong."""
    key, values = error.key, error.values
    if key in ("size_large", "size_small") and settings is not None:
        possible = with_possible_size(settings, values["height"], values["width"])
        wanted, bound = (one.describe_size(language) for one in (settings, possible))
        size = {"wanted": wanted[0].upper() + wanted[1:], "width": values["width"], "height": values["height"]}
        return translate(language, "too_large_here" if key == "size_large" else "too_small_here", bound=bound, **size)
    for field in ("setting", "name") if key in ("setting_range", "setting_whole", "control_empty") else ():
        name = values.get(field)
        if name in (*SIZES, *RANGES, *PRINT_CONTROLS):
            is_labelled = name in ("long_side", "megapixels")
            values = values | {field: catalogue(language)[f"size_{name}" if is_labelled else name]}
    return translate(language, key, **values)
