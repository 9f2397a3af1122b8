"""The preset and the sliders: as settings, and what follows when one of them is touched."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ..errors import SettingsError
from ..output.formats import Encoding
from ..output.resample import result_size
from ..settings import PRESETS, Settings, largest_scale
from ..texts import name_of, say
from . import fragments
from .history import show_history
from .language import language_of
from .layout import CONTROLS, SIZED, TAKEN, TUNED, Page
from .page_files import list_of
from .preview import Shown, fitting
from .state import Visitor, side_of_print
from .views import (
    Services,
    Updates,
    show_all,
    show_bar,
    show_changed,
    show_preview,
    show_result_chip,
    show_size,
    shown_controls,
)

FASTER = {"anime": "anime-fast", "precise": "precise"}
"""The preset that is offered in place of one that takes long: for drawings one for drawings, else `fast`."""


METADATA = ("keep", "no-location")
"""What the page's switch can say of what is kept of a photo's details."""


def settings_from(values: Sequence[object], shape: tuple[int, int] | None = None) -> Settings:
    """The settings that the controls show, for a picture of this height and width, which says the size of a print.

    Raises SettingsError for what no control can give.
    """
    chosen = dict[str, Any](zip(CONTROLS, values, strict=True))
    plain = {name: value for name, value in chosen.items() if name not in ("size", *SIZED, *TAKEN)}
    given = plain | _size_in(chosen, shape)
    missing = [name for name, value in given.items() if value is None and name != "scale"]
    if missing:
        raise SettingsError("control_empty", name=missing[0])
    return Settings(**given)


def _size_in(chosen: Mapping[str, Any], shape: tuple[int, int] | None) -> dict[str, Any]:
    """The setting of the size as it is said, None where its field is empty."""
    if chosen["size"] == "paper":
        return {"long_side": side_of_print(str(chosen["paper"]), shape)}
    return {chosen["size"]: chosen[chosen["size"]]}


def paper_from(values: Sequence[object]) -> str:
    """The paper of the print that the controls ask for; empty where the size is said otherwise."""
    chosen = dict(zip(CONTROLS, values, strict=True))
    return str(chosen["paper"]) if chosen["size"] == "paper" else ""


def encoding_from(values: Sequence[object]) -> Encoding:
    """How a result is handed out by what the controls show. Raises SettingsError."""
    chosen = dict(zip(CONTROLS, values, strict=True))
    return _encoding(chosen["format"], chosen["quality"], "keep" if chosen["metadata"] else "no-location")


def _encoding(format: object, quality: object, metadata: object) -> Encoding:
    """Raises SettingsError; a page keeps the details of a photo, or all but the location."""
    if metadata not in METADATA:
        raise SettingsError("metadata_unknown", value=metadata, choices=", ".join(METADATA))
    return Encoding(str(format), quality, str(metadata))  # type: ignore[arg-type]


def faster_than(preset: str) -> str:
    """The preset that does the same kind of picture in less time; the same one where none is known."""
    return preset if preset in FASTER.values() or preset not in PRESETS else FASTER.get(preset, "fast")


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
    size = _size_in(shown, visitor.shape)
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
    given = {name: _value_in_link(query[name]) for name in known if name in query}
    if "paper" in query:
        given["long_side"] = side_of_print(query["paper"], None)
    return start.changed(**given)


def encoding_of_link(query: Mapping[str, str], remembered: Encoding) -> Encoding:
    """How a link asks for results to be handed out. Raises SettingsError."""
    given = {name: getattr(remembered, name) for name in TAKEN} | {
        name: _value_in_link(query[name]) for name in TAKEN if name in query
    }
    return _encoding(**given)


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
        settings = Settings(**plain | _size_in(chosen, None))
    except (SettingsError, TypeError, KeyError):
        return Settings()
    return settings.changed(reduce=1) if settings.preset in available else Settings()


def encoding_remembered(kept: object) -> Encoding:
    """How the results of a browser's last visit were handed out; the usual way where that cannot be had any more."""
    try:
        return encoding_from([kept.get(name) for name in CONTROLS])  # type: ignore[attr-defined]
    except (SettingsError, TypeError, AttributeError):
        return Encoding()


def _paper_in(kept: object) -> str:
    return str(kept.get("paper", "")) if isinstance(kept, dict) and kept.get("size") == "paper" else ""


def settings_called(
    preset: str,
    scale: float | None,
    tuning: bool | None,
    strength: float | None,
    denoise: float | None,
    sharpen: float | None,
    saturation: float | None,
    contrast: float | None,
    tile: float | None,
    fidelity: float | None,
    reduce: float | None = None,
    long_side: float | None = None,
    megapixels: float | None = None,
) -> Settings:
    """The settings asked for. A preset that does not tune by itself does so only when one of its sliders is given."""
    sliders = {
        "strength": strength,
        "fidelity": fidelity,
        "sharpen": sharpen,
        "saturation": saturation,
        "contrast": contrast,
    }
    given = any(value is not None for value in sliders.values())
    switch = False if tuning is False else (True if given else None)
    more = {"denoise": denoise, "tile": tile, "reduce": reduce}
    sizes = {"scale": scale, "long_side": long_side, "megapixels": megapixels}
    return Settings.from_preset(preset, tuning=switch, **more, **sliders, **sizes)


def encoding_called(format: str | None, quality: float | None, metadata: str | None) -> Encoding:
    """How a result is to be handed out. Raises SettingsError."""
    usual = Encoding()
    quality = usual.quality if quality is None else quality
    return Encoding(format or usual.format, quality, metadata or usual.metadata)  # type: ignore[arg-type]


class ControlHandlers:
    """Handlers of the presets and the sliders, with the preview that follows them."""

    def __init__(self, page: Page, services: Services):
        self._page, self._services = page, services

    def open(
        self, request: gr.Request, tab: object = "", key: object = "", restarted: object = "", kept: object = None
    ) -> Updates:
        """A page that opens: as this tab of the browser had it, else with the settings that the link asks for.

        `key` is the browser's, by which it finds its results; `restarted` says that the tab was open with an earlier
        server; `kept` are the settings of this browser's last visit.
        """
        language = language_of(request)
        visitor = self._services.visitors.reopen(request, tab if isinstance(tab, str) else "")
        visitor.listed = list_of(request, key)
        known, gone = visitor.upload is not None, self._services.missing(visitor)
        page, presets = self._page, self._services.enhancer.presets(language)
        remembered = settings_remembered(kept, {preset["name"] for preset in presets if preset["available"]})
        problem = gone.sentence(language) if gone else ""
        if visitor.upload is None:
            query, encoding = request.query_params or {}, encoding_remembered(kept)
            visitor.paper = query.get("paper") or _paper_in(kept)
            problem = "" if "preset" in query else _why_not(kept, presets, language)
            try:
                visitor.controls = settings_of_link(query, remembered)
                visitor.encoding = encoding_of_link(query, encoding)
            except SettingsError as error:
                visitor.controls, visitor.encoding, problem = remembered, encoding, error.sentence(language)
                visitor.paper = _paper_in(kept)
        return {
            **show_all(page, visitor, language),
            **({page.run.progress: fragments.note(say(language, "restarted"))} if restarted and not known else {}),
            **self._offered(visitor, language, presets),
            page.controls.problem: fragments.problem(problem),
            **show_history(page, self._services.enhancer.tasks, visitor, language, opened=True),
        }

    def wake(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """A preview for a picture that a page had when it was loaded anew before the preview came."""
        visitor, _ = self._services.asker(request)
        if visitor.upload is None or visitor.preview is not None:
            yield {self._page.preview.problem: gr.skip()}
            return
        yield from self.preview(request, *values)

    def preset(self, request: gr.Request, *values: object) -> Updates:
        """The preset's own sliders, and a word where it cannot run here."""
        visitor, language = self._services.asker(request)
        return self._preset(visitor, str(values[0]), values, language)

    def take(self, event: gr.EventData, request: gr.Request, *values: object) -> Updates:
        """What a hint offers, chosen by its button: a preset, or a reduction, or none any more."""
        visitor, language = self._services.asker(request)
        kind, _, what = str(event.index).partition(":")
        if kind == "preset" and what in PRESETS:
            return self.choose(visitor, what, values, language)
        return self.reduce(request, *values[:-1], int(what) if what.isdigit() else values[-1])

    def choose(self, visitor: Visitor, name: str, values: tuple[object, ...], language: str) -> Updates:
        """The preset called `name`, which was chosen elsewhere than on its card."""
        changed = self._preset(visitor, name, (name, *values[1:]), language)
        return {self._page.controls.controls["preset"]: name, **changed}

    def reduce(self, request: gr.Request, *values: object) -> Updates:
        """Another reduction: the sizes to choose from follow, and the largest stays the largest."""
        visitor, language = self._services.asker(request)
        card = self._page.controls
        try:
            before = settings_from((*values[:-1], visitor.controls.reduce), visitor.shape)
            visitor.controls = before.changed(reduce=values[-1])
        except SettingsError as error:
            return {card.problem: fragments.problem(error.sentence(language))}
        return {
            **show_size(self._page, visitor),
            self._page.result.chip: show_result_chip(visitor, language),
            **show_changed(self._page, visitor, language),
        }

    def size(self, request: gr.Request, *values: object) -> Updates:
        """Another way to say the size: its field, with the size that the result has now."""
        visitor, language = self._services.asker(request)
        chosen = dict[str, Any](zip(CONTROLS, values, strict=True))
        now, kind = fitting(visitor.controls, visitor), chosen["size"]
        height, width = result_size(now, *(visitor.shape or (600, 800)))  # it stands for a picture that is to come
        megapixels = height * width / 1e6
        own = {
            "scale": largest_scale(now),
            "long_side": max(height, width),
            "megapixels": math.floor(100 * megapixels) / 100 or megapixels,
            "paper": str(chosen["paper"]),
        }[kind]
        visitor.paper, visitor.wished = paper_from(values), {}
        visitor.controls = now.changed(**_size_in({"size": kind, kind: own}, visitor.shape))
        return show_size(self._page, visitor) | show_changed(self._page, visitor, language)

    def taking(self, request: gr.Request, *values: object) -> Updates:
        """Another format, quality or choice of what is kept: what the bar gives is that, without a new run."""
        visitor, language = self._services.asker(request)
        try:
            visitor.encoding = encoding_from(values)
        except SettingsError as error:
            return {self._page.result.taken: fragments.problem(error.sentence(language))}
        quality = self._page.controls.controls["quality"]
        return {quality: gr.Slider(visible=visitor.encoding.format != "png"), **show_bar(self._page, visitor, language)}

    def copied(self, request: gr.Request) -> None:
        gr.Info(say(self._services.asker(request)[1], "copied"), duration=3)

    def rest(self, tuning: bool) -> Updates:
        """The sliders follow the switch: they rest while it is off."""
        return {self._page.controls.controls[name]: gr.Slider(interactive=tuning) for name in TUNED}

    def preview(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """Run the network on the chosen square."""
        visitor, language = self._services.asker(request)
        if visitor.upload is None:
            yield {self._page.preview.problem: gr.skip()}
            return
        yield from self._show(visitor, language, values, self._services.previews.make)

    def tune(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """Show the preview as the sliders are now."""
        visitor, language = self._services.asker(request)
        yield from self._show(visitor, language, values, self._services.previews.tune)

    def _show(
        self,
        visitor: Visitor,
        language: str,
        values: tuple[object, ...],
        how: Callable[[Visitor, Settings, str], Iterator[Shown]],
    ) -> Iterator[Updates]:
        try:
            shown: Iterable[Shown] = how(visitor, settings_from(values, visitor.shape), language)
        except SettingsError as error:
            shown = (Shown("failed", problem=error.sentence(language)),)
        for one in shown:
            yield show_preview(self._page, visitor, one, language)

    def _preset(self, visitor: Visitor, name: str, values: tuple[object, ...], language: str) -> Updates:
        card, presets = self._page.controls, self._services.enhancer.presets(language)
        try:
            start = settings_to_start(name, values, visitor)
            visitor.controls, visitor.wished, offered = start.settings, start.wished, {}
            said = fragments.problem(_unavailable(name, presets, language)) or _lowered(start, language)
        except SettingsError as error:  # its model was removed since the page was opened
            said, offered = fragments.problem(error.sentence(language)), self._offered(visitor, language, presets)
        return {
            **offered,
            **{card.controls[name]: update for name, update in shown_controls(visitor).items()},
            card.problem: said,
            self._page.result.chip: show_result_chip(visitor, language),
            **show_changed(self._page, visitor, language),
        }

    def _offered(self, visitor: Visitor, language: str, presets: Sequence[Mapping[str, Any]]) -> Updates:
        """The presets to choose from, one's own models among them, and what each is for."""
        choices = [(_label(preset, language), preset["name"]) for preset in presets]
        return {
            self._page.controls.controls["preset"]: gr.Radio(choices=choices, value=visitor.controls.preset),
            self._page.controls.about: fragments.about_presets(language, presets),
        }


def _label(preset: Mapping[str, Any], language: str) -> str:
    """What a preset is called among the others: one's own model with its scale and its kind of network."""
    if not preset["own"]:
        return name_of(language, "preset", preset["name"])
    return f"{preset['name']} · {preset['scale']}× {preset['network']}"


def _unavailable(name: str, presets: Sequence[Mapping[str, Any]], language: str) -> str:
    """Why a preset cannot be chosen; empty where it can. Raises SettingsError for one that there is not."""
    reasons = {one["name"]: one["reason"] for one in presets}
    if name not in reasons:
        raise SettingsError("preset_unknown", preset=name, known=", ".join(reasons))
    return say(language, "unavailable", reason=reasons[name]) if reasons[name] else ""


def _why_not(kept: object, presets: Sequence[Mapping[str, Any]], language: str) -> str:
    """Why what a browser kept is not begun with, where its preset is not here any more."""
    if not isinstance(kept, dict) or "preset" not in kept:
        return ""
    try:
        return _unavailable(str(kept["preset"]), presets, language)
    except SettingsError as error:
        return error.sentence(language)


def _lowered(start: Start, language: str) -> str:
    """That the network cannot make the size that was shown."""
    largest = largest_scale(start.settings)
    words = say(language, "size_followed_1x" if largest == 1 else "size_followed", largest=f"{largest:.3g}")
    return fragments.note(words) if start.lowered else ""
