"""The parameters of the endpoints, and their conversion to settings."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..formats.encoding import BACKGROUNDS, FORMATS, Encoding
from ..i18n import DEFAULT_LANGUAGE, match_language, translate
from ..images import Box
from ..json_object import JsonObject
from ..metadata import CHOICES
from ..preview import LARGEST_SIDE
from ..settings import (
    DEFAULT_PRESET,
    NEUTRAL,
    PRINT_SIDES,
    RANGES,
    SIZE_FIELDS,
    WHOLE,
    Settings,
    all_presets,
    as_settings,
    unknown_preset,
)

ENCODING_PARAMETERS = tuple(field.name for field in fields(Encoding))
"""The parameters of the output file."""

_SETTINGS_IN_ORDER = (
    "preset",
    "scale",
    "tuning",
    "strength",
    "denoise",
    "sharpen",
    "saturation",
    "contrast",
    "tile",
    "fidelity",
    "reduce",
    "long_side",
    "megapixels",
    "format",
    "quality",
    "metadata",
    *PRINT_SIDES,
    "dpi",
    "label",
    "background",
)
API_SETTINGS = tuple(dict.fromkeys((*_SETTINGS_IN_ORDER, *(one.name for one in fields(Settings)))))
"""The settings that API endpoints accept, in the order of their parameters. New settings are the
last ones, because clients can send values by position."""
API_PLAN = (*dict.fromkeys((*SIZE_FIELDS, *API_SETTINGS)), "largest")
"""The same settings in the order of /analyse."""
API_REGION = ("x", "y", "size")
API_RECTANGLE = ("left", "top", "width", "height")
API_DEFAULTS: JsonObject = {
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
LIMITS = RANGES | {"size": (1, LARGEST_SIDE), "quality": (1, 100)}
SLIDER_STEP = 0.05
SLIDER_STEPS = {"contrast": 0.01, "tile": 64, "reduce": 1, "quality": 1}
"""The steps of the sliders with another step."""
_TYPES = {
    **dict.fromkeys(
        ("image", "task_id", "job", "id", "preset", "format", "metadata", "background"), "string"
    ),
    **dict.fromkeys((*WHOLE, "size", "quality", *API_RECTANGLE, "file"), "integer"),
    "images": "array",
    **dict.fromkeys(("tuning", "label", "largest"), "boolean"),
}


def parameter_schema(name: str) -> JsonObject:
    """Return the JSON schema of an API parameter. Images are strings."""
    low, high = LIMITS.get(name, (0, 0))
    kind = _TYPES.get(name, "number")
    choices = {
        "preset": all_presets(),
        "format": FORMATS,
        "metadata": CHOICES,
        "background": BACKGROUNDS,
    }
    description = translate(DEFAULT_LANGUAGE, f"takes_{name}", low=f"{low:g}", high=f"{high:g}")
    schema: JsonObject = {"type": kind, "description": description}
    if kind == "array":
        schema["items"] = {"type": "string"}
    if name in LIMITS:
        schema |= {"minimum": low, "maximum": high}
    if name in choices:
        schema["enum"] = [*choices[name]]
    if name in API_DEFAULTS:
        schema["default"] = API_DEFAULTS[name]
    return schema


def settings_from_call(preset: str, **given: Any) -> Settings:
    """Return the settings of an API call; None is the preset's value.

    A preset without tuning uses it only if a tuning slider is given. Raises SettingsError.
    """
    if given.get("tuning") in (None, True):
        given["tuning"] = any(given.get(name) is not None for name in NEUTRAL) or None
    settings = Settings.from_preset(preset, **given)
    if Path(settings.preset).name != settings.preset:  # Clients cannot name folders of the server.
        raise unknown_preset(preset)
    return as_settings(settings)


def call_settings(given: JsonObject) -> tuple[Settings, Encoding]:
    """Return the settings and the file format of an API call. Raises SettingsError."""
    settings = {name: given[name] for name in API_SETTINGS if name not in ENCODING_PARAMETERS}
    return settings_from_call(**settings), call_encoding(given)


def call_encoding(given: JsonObject) -> Encoding:
    """Return the file format of an API call. Raises SettingsError."""
    return Encoding(
        **{name: given[name] for name in ENCODING_PARAMETERS if given[name] is not None}
    )


def call_region(given: JsonObject) -> tuple[float | None, float | None, int]:
    """Return the square of an API call: its centre x and y, None for the centre of the image, and
    its side. Raises SettingsError."""
    return given["x"], given["y"], _whole_number("size", given["size"])


def call_rectangle(given: JsonObject) -> Box | None:
    """Return the rectangle of an API call, None if it has none. Raises SettingsError."""
    sides = [given[name] for name in API_RECTANGLE]
    if sides.count(None) == len(sides):
        return None
    if None in sides:
        raise SettingsError("rectangle_incomplete")
    return Box(*map(_whole_number, API_RECTANGLE, sides))


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
    """Return the language that a request of Gradio or Starlette accepts."""
    for tag in (request.headers or {}).get("accept-language", "").split(","):
        language = match_language(tag.split(";")[0])
        if language:
            return language
    return DEFAULT_LANGUAGE
