"""What a visitor asks for: language and settings, by the controls, a link, what their browser kept, or a program."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import EnhanceError, SettingsError, is_memory_short
from ..i18n import DEFAULT_LANGUAGE, catalogue, match_language, name_of, translate
from ..images.metadata import CHOICES
from ..output.formats import FORMATS, Encoding
from ..output.resample import DPI, long_side_on, result_size
from ..preview import LARGEST
from ..settings import DEFAULT_PRESET, RANGES, SIZES, WHOLE, Settings, all_presets, largest_scale
from .session import Visitor

log = logging.getLogger(__name__)

TUNED = ("strength", "fidelity", "sharpen", "saturation", "contrast")
"""The sliders that rest while tuning is off."""
SLIDERS_OF_PRESET = ("tuning", *TUNED, "denoise")
"""What a preset sets at once in the browser."""
SIZED = (*SIZES, "paper")
"""The ways to say the size of the result, each by a field of its own; a print is that of its longer side in pixels."""
TAKEN = ("format", "quality", "metadata")
CONTROLS = ("preset", "size", *SIZED, *TAKEN, "tuning", *TUNED[:2], "denoise", *TUNED[2:], "tile", "reduce")
"""The controls in the order in which every handler of the page gets their values."""
CALLED = (
    *("preset", "scale", "tuning", "strength", "denoise", "sharpen", "saturation", "contrast", "tile", "fidelity"),
    *("reduce", "long_side", "megapixels", *TAKEN),
)
"""What a program says of how a picture is enhanced, in the order in which the API takes it."""
SQUARE = ("x", "y", "size")
"""What it says of the square that is shown."""
USUAL: dict[str, Any] = {"tile": Settings().tile, "reduce": Settings().reduce, "tuning": True, "size": 128}
USUAL |= {"preset": DEFAULT_PRESET, **asdict(Encoding())}
"""What stands for a parameter that is left out; that of any other is for the preset or the picture to say."""
LIMITS = RANGES | {"size": (1, LARGEST), "quality": (1, 100)}
_KINDS: dict[str, str] = dict.fromkeys(("image", "task_id", "preset", "format", "metadata"), "string")
_KINDS |= {"images": "array", "tuning": "boolean"}
"""The parameters that are no numbers."""
_SIZES = {"long_side": ("long_side_of", "pixels"), "megapixels": ("megapixels_of", "number")}
"""What says a size of this kind, and the place of its number in that."""


def settings_from(values: Sequence[object], shape: tuple[int, int] | None = None) -> Settings:
    """The settings that the controls show, for a picture of this height and width, which says the size of a print.

    Raises SettingsError for what no control can give.
    """
    chosen = dict[str, Any](zip(CONTROLS, values, strict=True))
    plain = {name: value for name, value in chosen.items() if name not in ("size", *SIZED, *TAKEN)}
    given = plain | size_in(chosen, shape)
    missing = [name for name, value in given.items() if value is None and name != "scale"]
    if missing:
        raise SettingsError("control_empty", name=missing[0])
    return Settings(**given)


def size_in(chosen: Mapping[str, Any], shape: tuple[int, int] | None) -> dict[str, Any]:
    """The setting of the size as it is said, None where its field is empty."""
    if chosen["size"] == "paper":
        return {"long_side": long_side_on(str(chosen["paper"]), shape), "dpi": DPI}
    return {chosen["size"]: chosen[chosen["size"]]}


def paper_from(values: Sequence[object]) -> str:
    """The paper of the print that the controls ask for; empty where the size is said otherwise."""
    chosen = dict(zip(CONTROLS, values, strict=True))
    return str(chosen["paper"]) if chosen["size"] == "paper" else ""


def encoding_from(values: Sequence[object]) -> Encoding:
    """How a result is handed out by what the controls show. Raises SettingsError."""
    chosen = dict[str, Any](zip(CONTROLS, values, strict=True))
    return Encoding(**{name: chosen[name] for name in TAKEN})


@dataclass(frozen=True)
class Start:
    """What a preset that is chosen begins with."""

    settings: Settings
    wished: dict[str, Any]
    """The size that its network cannot make, which comes back with the first that can."""
    lowered: bool
    """Whether its largest size has taken the place of a larger one."""


def settings_to_start(name: str, values: Sequence[object], visitor: Visitor) -> Start:
    """The settings of the preset called `name`, with the tile, the reduction and the size that the controls show.

    The largest size stays the largest, and one that its network cannot make becomes that. Raises SettingsError.
    """
    shown, largest = dict[str, Any](zip(CONTROLS, values, strict=True)), largest_scale(visitor.controls)
    start = Settings.from_preset(name, tile=shown["tile"], reduce=shown["reduce"])
    size = size_in(shown, visitor.shape)
    scale = size.get("scale") or 0
    if scale >= largest:
        size = visitor.wished
    try:
        sized = start.changed(**size)
        _check_most(sized, visitor.shape)
    except SettingsError:
        return Start(start, size, lowered=True)
    return Start(sized, {}, scale > largest_scale(sized))


def _check_most(settings: Settings, shape: tuple[int, int] | None) -> None:
    """Raises SettingsError where a picture of this height and width cannot be made as large as that."""
    try:
        if shape is not None:
            result_size(settings, *shape)
    except SettingsError as error:
        if error.key != "size_small":  # what is too small is so with every network
            raise


def settings_of_link(query: Mapping[str, str], remembered: Settings) -> Settings:
    """The settings that a link asks for: its preset, else what is `remembered`, with its values for the controls.

    Raises SettingsError for what cannot be set.
    """
    start = Settings.from_preset(query["preset"]) if "preset" in query else remembered
    known = [name for name in CONTROLS[1:] if name not in ("size", "paper", *TAKEN)]
    given: dict[str, Any] = {name: _value_in_link(query[name]) for name in known if name in query}
    if "paper" in query:
        given |= size_in({"size": "paper", "paper": query["paper"]}, None)
    return start.changed(**given)


def encoding_of_link(query: Mapping[str, str], remembered: Encoding) -> Encoding:
    """How a link asks for results to be handed out. Raises SettingsError."""
    given: dict[str, Any] = {name: _value_in_link(query[name]) for name in TAKEN if name in query}
    return replace(remembered, **given)


def _value_in_link(text: str) -> object:
    """The number or the switch that stands in a link; the text itself where it is neither."""
    try:
        return {"true": True, "false": False}[text] if text in ("true", "false") else float(text)
    except ValueError:
        return text


def settings_remembered(kept: object, available: Collection[str]) -> Settings:
    """The settings that a browser kept of the last visit, but for the reduction, which is for each picture to choose.

    The usual ones where they cannot be had any more.
    """
    try:
        chosen: dict[str, Any] = {"size": "scale", **kept}  # type: ignore[dict-item]
        plain = {name: chosen[name] for name in CONTROLS if name not in ("size", *SIZED, *TAKEN)}
        settings = Settings(**plain | size_in(chosen, None))
    except (SettingsError, TypeError, KeyError):
        return Settings()
    return settings.changed(reduce=1) if settings.preset in available else Settings()


def encoding_remembered(kept: object) -> Encoding:
    """How the results of a browser's last visit were handed out; the usual way where that cannot be had any more."""
    try:
        told = {name: kept.get(name) for name in TAKEN}  # type: ignore[attr-defined]
        told["metadata"] = {True: "keep", False: "no-location"}.get(told["metadata"], told["metadata"])
        return Encoding(**told)
    except (SettingsError, TypeError, AttributeError):
        return Encoding()


def paper_in(kept: object) -> str:
    return str(kept.get("paper", "")) if isinstance(kept, dict) and kept.get("size") == "paper" else ""


def parameter(name: str) -> dict[str, Any]:
    """What a parameter of the API takes, in the words of JSON Schema; a picture is a text there."""
    low, high = LIMITS.get(name, (0, 0))
    kind = _KINDS.get(name, "integer" if name in (*WHOLE, "size", "quality") else "number")
    meaning = translate(DEFAULT_LANGUAGE, f"takes_{name}", low=f"{low:g}", high=f"{high:g}")
    choices: dict[str, Iterable[str]] = {"preset": all_presets(), "format": FORMATS, "metadata": CHOICES}
    return {
        "type": kind,
        "description": meaning,
        **({"items": {"type": "string"}} if kind == "array" else {}),
        **({"minimum": low, "maximum": high} if name in LIMITS else {}),
        **({"enum": [*choices[name]]} if name in choices else {}),
        **({"default": USUAL[name]} if name in USUAL else {}),
    }


def settings_from_call(preset: str, **given: Any) -> Settings:
    """The settings asked for by their names; None stands for the preset's own.

    A preset that does not tune by itself does so only when one of its sliders is given. Raises SettingsError.
    """
    if given.get("tuning") in (None, True):
        given["tuning"] = any(given.get(name) is not None for name in TUNED) or None
    return Settings.from_preset(preset, **given)


def called(given: Mapping[str, Any]) -> tuple[Settings, Encoding]:
    """The settings that a program asks for, and how its result is to be handed out. Raises SettingsError."""
    taken = {name: given[name] for name in TAKEN if given[name] is not None}
    return settings_from_call(**{name: given[name] for name in CALLED if name not in TAKEN}), Encoding(**taken)


def square_called(given: Mapping[str, Any]) -> dict[str, Any]:
    """The square that a program asks for. Raises SettingsError."""
    size = given["size"]
    if isinstance(size, bool) or not isinstance(size, int | float) or not math.isfinite(size) or size != int(size):
        raise SettingsError("api_whole_number", name="size", value=repr(size))
    return {"x": given["x"], "y": given["y"], "size": int(size)}


def language_of(request: gr.Request | None) -> str:
    """One of LANGUAGES for this request."""
    asked = request and ((request.query_params or {}).get("lang") or (request.headers or {}).get("accept-language"))
    return language_asked(asked or "")


def language_of_scope(scope: Scope) -> str:
    """That of the page that sent the request, as its address asks for it, else what the browser asks for."""
    headers = Headers(scope=scope)
    page = parse_qs(urlsplit(headers.get("referer", "")).query)
    return language_asked(page.get("lang", [""])[0] or headers.get("accept-language", ""))


def language_asked(asked: str) -> str:
    """The first of LANGUAGES in a list of wishes like that of Accept-Language."""
    wishes = (match_language(wish.split(";")[0]) for wish in asked.split(","))
    return next((language for language in wishes if language), DEFAULT_LANGUAGE)


def reason(language: str, error: Exception, what: str) -> str:
    """Why something failed, for the person; `what` failed goes to the log where nobody foresaw the error."""
    if isinstance(error, EnhanceError):
        return error.sentence(language)
    if is_memory_short(error):
        return translate(language, "memory_out")
    log.error(what, exc_info=error)
    return translate(language, "unexpected")


def on_page(language: str, error: EnhanceError, paper: str = "") -> str:
    """The sentence of an error in the words of the page's controls; `paper` is that of a print that gives the size."""
    key, values = error.key, error.values
    if key in ("size_large", "size_small") and (way := _SIZES.get(values["setting"])):
        phrase, place = way
        limit = values["largest" if key == "size_large" else "smallest"]
        wanted, bound = (translate(language, phrase, **{place: number}) for number in (values["value"], limit))
        if paper:
            wanted = translate(language, "paper_wanted", paper=name_of(language, "paper", paper), size=wanted)
        sizes = {"wanted": wanted[0].upper() + wanted[1:], "width": values["width"], "height": values["height"]}
        return translate(language, "too_large_here" if key == "size_large" else "too_small_here", bound=bound, **sizes)
    for field in ("setting", "name") if key in ("setting_range", "setting_whole", "control_empty") else ():
        if values.get(field) in (*SIZES, *RANGES):
            called = f"size_{values[field]}" if values[field] in _SIZES else values[field]
            values = values | {field: catalogue(language)[called]}
    return translate(language, key, **values)


_SCRIPT = b"<script>\n" + Path(__file__).with_name("language.js").read_bytes() + b"</script>"


class LanguageOfLinks:
    """Middleware that makes `?lang=` count: Gradio's front end asks `navigator.language` alone.

    The script has to run before the front end starts, so it goes into the head of the page as it is served. It also
    writes a language chosen in Gradio's settings back to the address, from where the server reads it.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].rstrip("/") not in ("", scope.get("root_path", "").rstrip("/")):
            await self._app(scope, receive, send)
            return
        started, page = None, b""

        async def with_script(message: Message) -> None:
            nonlocal started, page
            if started is None:
                started = message
                return
            page += message.get("body", b"")
            if not message.get("more_body"):
                body = page.replace(b"<head>", b"<head>" + _SCRIPT, 1)
                MutableHeaders(scope=started)["content-length"] = str(len(body))
                await send(started)
                await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, with_script)
