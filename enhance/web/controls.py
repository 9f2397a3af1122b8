"""The preset and the sliders: as settings, and what follows when one of them is touched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from ..errors import SettingsError
from ..output.formats import Encoding
from ..settings import PRESETS, Settings
from ..texts import name_of, say
from . import fragments
from .history import show_history
from .language import language_of
from .layout import CONTROLS, TUNED, Page
from .page_files import list_of
from .preview import Shown
from .state import Visitor
from .views import (
    Services,
    Updates,
    show_all,
    show_changed,
    show_preview,
    show_reduction,
    show_result_chip,
    shown_controls,
)

FASTER = {"anime": "anime-fast"}
"""The preset that is offered in place of one that takes long: for drawings one for drawings, else `fast`."""


EXAMPLES_OF_PRESETS = Path(__file__).parent / "examples" / "presets"


def about_presets(language: str, presets: Sequence[Mapping[str, Any]]) -> str:
    """What each preset is for, with its time and an example; the page shows the one that is chosen or pointed at."""
    return "".join(_about(language, preset) for preset in presets)


def _about(language: str, preset: Mapping[str, Any]) -> str:
    name, share = preset["name"], preset["relative_time"]
    lines = [preset["summary"]]
    if not preset["available"]:
        lines.append(say(language, "unavailable", reason=preset["reason"]))
    elif share is not None and share < 1:
        lines.append(say(language, "time_share", percent=max(1, round(100 * share))))
    example = ""
    if (EXAMPLES_OF_PRESETS / f"{name}.jpg").exists():
        words = fragments.escape(say(language, "preset_example"))
        example = f'<img alt="{words}" src="presets/{quote(name)}.jpg" loading="lazy">'
    text, here = fragments.escape(" ".join(lines)), str(preset["available"]).lower()
    caption = f"{example}<figcaption>{text}</figcaption>"
    return f'<figure data-preset="{fragments.escape(name)}" data-here="{here}">{caption}</figure>'


def settings_from(values: Sequence[object]) -> Settings:
    """The settings that the controls show. Raises SettingsError for what no control can give."""
    chosen = dict(zip(CONTROLS, values, strict=True))
    missing = [name for name, value in chosen.items() if value is None and name != "scale"]
    if missing:
        raise SettingsError("control_empty", name=missing[0])
    return Settings(**chosen)  # type: ignore[arg-type]


def faster_than(preset: str) -> str:
    """The preset that does the same kind of picture in less time; the same one where there is none."""
    return preset if preset in FASTER.values() else FASTER.get(preset, "fast")


def settings_to_start(name: str | None, values: Sequence[object] | None = None) -> Settings:
    """The settings of the preset called `name`, keeping the scale, the tile and the reduction that are shown."""
    shown = dict(zip(CONTROLS, values, strict=True)) if values else {}
    kept = {key: shown.get(key) for key in ("scale", "tile", "reduce")}
    return Settings.from_preset(name or Settings().preset, **kept)


def settings_of_link(query: Mapping[str, str], remembered: Settings) -> Settings:
    """The settings that a link asks for: its preset, else what is `remembered`, with its values for the controls.

    Raises SettingsError for what cannot be set.
    """
    start = Settings.from_preset(query["preset"]) if "preset" in query else remembered
    return start.changed(**{name: _value_in_link(query[name]) for name in CONTROLS[1:] if name in query})


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
        settings = Settings(**{name: kept[name] for name in CONTROLS})  # type: ignore[index]
    except (SettingsError, TypeError, KeyError):
        return Settings()
    return settings.changed(reduce=1) if settings.preset in available else Settings()


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
        known = visitor.upload is not None
        page, presets = self._page, self._services.enhancer.presets(language)
        choices = [(name_of(language, "preset", preset["name"]), preset["name"]) for preset in presets]
        remembered = settings_remembered(kept, {preset["name"] for preset in presets if preset["available"]})
        problem = ""
        if visitor.upload is None:
            try:
                visitor.controls = settings_of_link(request.query_params or {}, remembered)
            except SettingsError as error:
                visitor.controls, problem = remembered, error.sentence(language)
        return {
            **show_all(page, visitor, language),
            **({page.run.progress: fragments.note(say(language, "restarted"))} if restarted and not known else {}),
            page.controls.controls["preset"]: gr.Radio(choices=choices, value=visitor.controls.preset),
            page.controls.problem: fragments.problem(problem),
            page.controls.about: about_presets(language, presets),
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
        card, shown = self._page.controls, dict[str, Any](zip(CONTROLS, values, strict=True))
        try:
            settings = Settings(**dict(shown, reduce=visitor.controls.reduce)).changed(reduce=shown["reduce"])
        except SettingsError as error:
            return {card.problem: fragments.problem(self._services.reason(language, error, "A reduction failed"))}
        visitor.controls = settings
        return {
            **show_reduction(self._page, settings),
            self._page.result.chip: show_result_chip(visitor, language),
            **show_changed(self._page, visitor, language),
        }

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
            shown: Iterable[Shown] = how(visitor, settings_from(values), language)
        except SettingsError as error:
            shown = (Shown("failed", problem=error.sentence(language)),)
        for one in shown:
            yield show_preview(self._page, visitor, one, language)

    def _preset(self, visitor: Visitor, name: str, values: tuple[object, ...] | None, language: str) -> Updates:
        settings = settings_to_start(name, values)
        visitor.controls = settings
        reasons = {preset["name"]: preset["reason"] for preset in self._services.enhancer.presets(language)}
        reason = reasons.get(name)
        card = self._page.controls
        return {
            **{card.controls[name]: update for name, update in shown_controls(settings).items()},
            card.problem: fragments.problem(say(language, "unavailable", reason=reason) if reason else ""),
            self._page.result.chip: show_result_chip(visitor, language),
            **show_changed(self._page, visitor, language),
        }
