"""The preset, the sliders and the preview: what follows when one of them is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import gradio as gr

from ..errors import SettingsError
from ..texts import say
from ..web import fragments
from .controls import TUNED, settings_from, settings_to_start, shown_controls
from .desk import Desk, Outputs, Updates, show_preview, show_result_chip
from .language import language_of
from .page import Page
from .previewing import Shown
from .session import Visitor


def preset_outputs(page: Page) -> Outputs:
    """The components that change with the preset."""
    return [*page.control_list, page.preset_problem, page.preset_example, page.result.chip]


class Adjusting:
    """Handlers of the presets, the sliders and the preview."""

    def __init__(self, page: Page, desk: Desk):
        self._page, self._desk = page, desk

    def open(self, request: gr.Request) -> Updates:
        """A page that opens: which presets work here, and the one that the link asks for."""
        language = language_of(request)
        presets = self._desk.enhancer.presets()
        choices = [(_choice(language, preset), preset["name"]) for preset in presets]
        names = {preset["name"] for preset in presets}
        asked = (request.query_params or {}).get("preset")
        chosen = settings_to_start(asked if asked in names else None)
        unknown = "" if asked is None or asked in names else _problem_of(asked, language)
        return {
            **self._preset(self._desk.visitors.of(request), chosen.preset, None, language),
            self._page.controls["preset"]: gr.Radio(choices=choices, value=chosen.preset),
            self._page.preview.where: fragments.note(say(language, "preview_none")),
            self._page.preview.chip: fragments.chip(language, "none"),
            self._page.running.why: fragments.note(say(language, "why_no_picture")),
            self._page.batch.why: fragments.note(say(language, "why_no_files")),
            **({self._page.preset_problem: fragments.problem(unknown)} if unknown else {}),
        }

    def preset(self, request: gr.Request, *values: object) -> Updates:
        """The preset's own sliders, and a word where it cannot run here."""
        return self._preset(self._desk.visitors.of(request), str(values[0]), values, language_of(request))

    def faster(self, name: str) -> Callable[..., Updates]:
        """The handler of the button that offers the preset called `name`."""

        def choose(request: gr.Request, *values: object) -> Updates:
            changed = self._preset(self._desk.visitors.of(request), name, (name, *values[1:]), language_of(request))
            return {self._page.controls["preset"]: name, **changed}

        return choose

    def copied(self, request: gr.Request) -> None:
        gr.Info(say(language_of(request), "copied"), duration=3)

    def rest_sliders(self, tuning: bool) -> list[object]:
        """The sliders follow the switch: they rest while it is off."""
        return [gr.Slider(interactive=tuning) for _ in TUNED]

    def resting(self, page: Page) -> Outputs:
        """The components that `rest_sliders` changes."""
        return [page.controls[name] for name in TUNED]

    def preview(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """Run the network on the chosen square."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        if visitor.upload is None:
            yield {self._page.preview.problem: gr.skip()}
            return
        yield from self._show(visitor, language, values, self._desk.previewing.make)

    def tune(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """Show the preview as the sliders are now."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        yield from self._show(visitor, language, values, self._desk.previewing.tune)

    def _show(self, visitor: Visitor, language: str, values: tuple[object, ...], how) -> Iterator[Updates]:
        try:
            shown: Iterable[Shown] = how(visitor, settings_from(values), language)
        except SettingsError as error:
            shown = (Shown("failed", problem=error.sentence(language)),)
        for one in shown:
            yield show_preview(self._page, visitor, one, language)

    def _preset(self, visitor: Visitor, name: str, values: tuple[object, ...] | None, language: str) -> Updates:
        settings = settings_to_start(name, values)
        visitor.controls = settings
        reasons = {preset["name"]: preset["reason"] for preset in self._desk.enhancer.presets()}
        reason = reasons.get(name)
        controls = dict(zip(self._page.control_list[1:], shown_controls(settings), strict=True))
        return {
            **controls,
            self._page.preset_problem: fragments.problem(_unavailable(language, reason) if reason else ""),
            self._page.preset_example: fragments.preset_example(language, name),
            self._page.result.chip: show_result_chip(visitor, language),
        }


def open_outputs(page: Page) -> Outputs:
    """The components that a page that opens fills."""
    return [*preset_outputs(page), page.preview.where, page.preview.chip, page.running.why, page.batch.why]


def _choice(language: str, preset: dict) -> str:
    name, share = preset["name"], preset["relative_time"]
    lines = [say(language, f"preset_{name}"), say(language, f"about_{name}")]
    if share < 1:
        lines.append(say(language, "time_share", percent=max(1, round(100 * share))))
    if not preset["available"]:
        lines.append(say(language, "not_here"))
    return "\n".join(lines)


def _unavailable(language: str, reason: str) -> str:
    return say(language, "unavailable", reason=reason)


def _problem_of(name: str, language: str) -> str:
    try:
        settings_to_start(name)
    except SettingsError as error:
        return error.sentence(language)
    return ""
