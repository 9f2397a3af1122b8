"""The preset and the sliders: as settings, and what follows when one of them is touched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any

import gradio as gr
from gradio.components import Component

from ..errors import SettingsError
from ..i18n import format_duration, name_of, translate
from ..output.resample import result_size
from ..settings import PRESETS, Settings, find_preset, largest_scale
from . import templates
from .history import show_history
from .layout import Page
from .params import (
    CONTROLS,
    Start,
    encoding_from,
    encoding_of_link,
    encoding_remembered,
    language_of,
    on_page,
    paper_from,
    paper_in,
    settings_from,
    settings_of_link,
    settings_remembered,
    settings_to_start,
    size_in,
)
from .preview import Shown, fitting, on_stage, state_of
from .session import Upload, Visitor
from .storage import list_of
from .views import (
    Services,
    Updates,
    show_all,
    show_changed,
    show_download,
    show_preview,
    show_result_chip,
    show_size,
    shown_controls,
)

LONG_SECONDS = 120
FASTER = {"anime": "anime-fast", "precise": "precise"}
"""The preset that is offered in place of one that takes long: for drawings one for drawings, else `fast`."""


def faster_than(preset: str) -> str:
    """The preset that does the same kind of picture in less time; the same one where none is known."""
    return preset if preset in FASTER.values() or preset not in PRESETS else FASTER.get(preset, "fast")


def seconds_of(services: Services, upload: Upload, settings: Settings) -> float:
    """What a whole run of the picture takes here."""
    facts = upload.facts
    return services.enhancer.estimate(facts.width, facts.height, settings, facts.bits)


def faster_offer(
    services: Services, visitor: Visitor, values: tuple[object, ...], seconds: float, clean: str | None, language: str
) -> str:
    """A preset that takes less than half the time, where that is long; for a clean picture, `clean` is its own."""
    available, preset = services.available(), find_preset(str(values[0]))
    clean = clean if clean in available and preset.scene is None and not preset.own else None
    name = clean or faster_than(preset.name)
    if visitor.upload is None or seconds <= LONG_SECONDS or name == preset.name or name not in available:
        return ""
    other = seconds_of(services, visitor.upload, settings_to_start(name, values, visitor).settings)
    if other >= seconds / 2:
        return ""
    words = translate(
        language, "use_preset", name=translate(language, f"preset_{name}"), time=format_duration(language, other)
    )
    return templates.hint(translate(language, "clean_offer" if clean else "slow_offer"), words, f"preset:{name}")


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
        query = request.query_params or {}
        problem = "" if "preset" in query and not known else _why_not(kept, presets, language)
        if visitor.upload is None:
            encoding = encoding_remembered(kept)
            visitor.paper = query.get("paper") or paper_in(kept)
            try:
                visitor.controls = settings_of_link(query, remembered)
                visitor.encoding = encoding_of_link(query, encoding)
            except SettingsError as error:
                visitor.controls, visitor.encoding, problem = remembered, encoding, error.sentence(language)
                visitor.paper = paper_in(kept)
        return {
            **show_all(page, visitor, language),
            **(
                {page.run.progress: templates.note(translate(language, "restarted"))} if restarted and not known else {}
            ),
            **self._offered(visitor, language, presets),
            **self._handed_out(visitor),
            page.controls.sheet: gr.Accordion(open=False),
            page.controls.problem: templates.problem(gone.sentence(language) if gone else problem),
            **show_history(page, self._services.enhancer.tasks, visitor, language, opened=True),
        }

    def wake(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """A preview for a picture that came without one of its settings."""
        visitor, language = self._services.asker(request)
        if state_of(visitor) == "matches":
            yield show_preview(self._page, visitor, Shown("matches"), language)
        else:
            yield from self.preview(request, *values)

    def preview_photo(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """Preview a new photo. After a rejected file, the earlier photo keeps its preview and the page the reason."""
        visitor, _ = self._services.asker(request)
        if visitor.preview is None and visitor.asked is None:
            yield from self.preview(request, *values)
        else:
            yield {self._page.preview.problem: gr.skip()}

    def preset(self, request: gr.Request, *values: object) -> Updates:
        """The preset's own sliders, and a word where it cannot run here."""
        visitor, language, values = self._services.asker_with(request, values)
        return self._preset(visitor, str(values[0]), values, language)

    def take(self, event: gr.EventData, request: gr.Request, *values: object) -> Updates:
        """What a hint offers, chosen by its button: a preset, or a reduction, or none any more."""
        visitor, language, values = self._services.asker_with(request, values)
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
        visitor, language, values = self._services.asker_with(request, values)
        card = self._page.controls
        try:
            before = settings_from((*values[:-1], visitor.controls.reduce), visitor.shape)
            visitor.controls = before.changed(reduce=values[-1])  # type: ignore[arg-type] - which is judged there
        except SettingsError as error:
            return {card.problem: templates.problem(on_page(language, error))}
        return {
            **show_size(self._page, visitor),
            self._page.result.chip: show_result_chip(visitor, language),
            **show_changed(self._page, visitor, language),
        }

    def size(self, request: gr.Request, *values: object) -> Updates:
        """Another way to say the size: its field, with the size that the result has now."""
        visitor, language, values = self._services.asker_with(request, values)
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
        visitor.controls = now.changed(**size_in({"size": kind, kind: own}, visitor.shape))
        return show_size(self._page, visitor) | show_changed(self._page, visitor, language)

    def taking(self, request: gr.Request, *values: object) -> Updates:
        """Another format, quality or choice of what is kept: what the bar gives is that, without a new run."""
        visitor, language, values = self._services.asker_with(request, values)
        try:
            visitor.encoding = encoding_from(values)
        except SettingsError as error:
            return {self._page.result.taken: templates.problem(on_page(language, error))}
        quality = self._page.controls.controls["quality"]
        shown = gr.Slider(visible=visitor.encoding.format != "png")
        return {quality: shown, **show_download(self._page, visitor, language)}

    def copied(self, request: gr.Request) -> None:
        gr.Info(translate(self._services.asker(request)[1], "copied"), duration=3)

    def preview(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """Run the network on the chosen square."""
        visitor, language, values = self._services.asker_with(request, values)
        if visitor.upload is None:
            yield {self._page.preview.problem: gr.skip()}
            return
        yield from self._show(visitor, language, values, self._services.previews.make)

    def tune(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """Show the preview as the sliders are now."""
        visitor, language, values = self._services.asker_with(request, values)
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
            shown = (Shown("failed", problem=on_page(language, error, paper_from(values))),)
        one, controls = Shown("none"), visitor.controls
        for one in shown:
            controls = visitor.controls
            yield show_preview(self._page, visitor, one, language)
        # A newer answer can have reached the page before this one did.
        while not one.problem and (now := on_stage(visitor)).state != "failed":
            if now.state == one.state and one.pair in (None, now.pair) and visitor.controls == controls:
                break
            one, controls = now, visitor.controls
            yield show_preview(self._page, visitor, one, language)

    def _preset(self, visitor: Visitor, name: str, values: tuple[object, ...], language: str) -> Updates:
        card, presets = self._page.controls, self._services.enhancer.presets(language)
        try:
            start = settings_to_start(name, values, visitor)
            visitor.controls, visitor.wished, offered = start.settings, start.wished, {}
            said = templates.problem(_unavailable(name, presets, language)) or _lowered(start, language)
        except SettingsError as error:  # its model was removed since the page was opened
            said, offered = templates.problem(error.sentence(language)), self._offered(visitor, language, presets)
        return {
            **offered,
            **{card.controls[name]: update for name, update in shown_controls(visitor).items()},
            card.problem: said,
            self._page.result.chip: show_result_chip(visitor, language),
            **show_changed(self._page, visitor, language),
        }

    def _handed_out(self, visitor: Visitor) -> Updates:
        card, encoding = self._page.controls.controls, visitor.encoding
        quality = gr.Slider(value=encoding.quality, visible=encoding.format != "png")
        return {card["format"]: encoding.format, card["quality"]: quality, card["metadata"]: encoding.metadata}

    def _offered(self, visitor: Visitor, language: str, presets: Sequence[Mapping[str, Any]]) -> Updates:
        """The presets to choose from, one's own models among them, and what each is for."""
        choices = [(_label(preset, language), preset["name"]) for preset in presets]
        return {
            self._page.controls.controls["preset"]: gr.Radio(choices=choices, value=visitor.controls.preset),
            self._page.controls.about: templates.about_presets(language, presets),
        }


def apart(controls: Mapping[str, Component], told: Component, handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, whose values for controls go to `told` by their names: the browser knows which are too late."""
    names = {part: name for name, part in controls.items()}

    @wraps(handler)
    def answer(*given: Any) -> Updates:
        updates, values = handler(*given), dict[str, object]()
        for part in names.keys() & updates.keys():
            update = updates.pop(part)
            look = dict(update.constructor_args) if isinstance(update, Component) else {"value": update}
            if "value" in look:
                values[names[part]] = look.pop("value")
            updates[part] = gr.update(**look)
        return {**updates, told: values}

    return answer


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
    return translate(language, "unavailable", reason=reasons[name]) if reasons[name] else ""


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
    words = translate(language, "size_followed_1x" if largest == 1 else "size_followed", largest=f"{largest:.3g}")
    return templates.note(words) if start.lowered else ""
