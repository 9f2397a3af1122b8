"""Choosing a picture and a place in it: the upload, the examples, the facts, the estimate, the square."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from ..errors import EnhanceError
from ..hints import hints
from ..picture import inspect
from ..preview import choose_box
from ..settings import Settings
from ..texts import say, say_time
from ..web import fragments
from .controls import settings_from
from .desk import Desk, Outputs, Updates, outlined_thumbnail, running_outputs, show_running
from .language import language_of
from .page import EXAMPLES, Page
from .previewing import SIZE
from .screen import save_thumbnail
from .session import Upload, Visitor

log = logging.getLogger(__name__)

FASTER = ("fast", "anime-fast")
"""The presets that are offered when a run takes long."""
LONG_SECONDS = 120


def chosen_outputs(page: Page) -> Outputs:
    """The components that change when a picture is chosen or put away."""
    picking, preview, result = page.picking, page.preview, page.result
    return [
        picking.upload,
        picking.problem,
        picking.examples_box,
        picking.chosen,
        picking.thumbnail,
        picking.facts,
        picking.estimate,
        picking.offers,
        *running_outputs(page),
        preview.slider,
        preview.chip,
        preview.where,
        preview.problem,
        preview.retry,
        page.running.progress,
        result.box,
        result.slider,
        result.map,
        result.closely,
        result.problem,
        result.report_problem,
        result.download,
    ]


def estimate_outputs(page: Page) -> Outputs:
    """The components that the estimate changes."""
    picking = page.picking
    return [picking.facts, picking.estimate, picking.offers, *picking.faster, *running_outputs(page)]


class Choosing:
    """Handlers of the picture card."""

    def __init__(self, page: Page, desk: Desk):
        self._page, self._desk = page, desk

    def upload(self, request: gr.Request, path: str | None, *values: object) -> Iterator[Updates]:
        """Take the file, or say why not."""
        yield from self._choose(None if path is None else Path(path), values, request)

    def example(self, request: gr.Request, index: int, *values: object) -> Iterator[Updates]:
        yield from self._choose(EXAMPLES[index], values, request)

    def put_away(self, request: gr.Request) -> Updates:
        """No picture any more: everything that was made of it goes too."""
        visitor = self._desk.visitors.of(request)
        self._desk.previewing.forget(visitor.upload)
        visitor.start_over()
        return self._empty(visitor, language_of(request), "")

    def pick(self, event: gr.SelectData, request: gr.Request) -> Updates:
        """The square around the clicked place."""
        visitor = self._desk.visitors.of(request)
        upload = visitor.upload
        if upload is None:
            return {self._page.picking.problem: fragments.problem(say(language_of(request), "too_late"))}
        facts, (width, height) = upload.facts, upload.thumbnail_size
        x, y = event.index[0] * facts.width / width, event.index[1] * facts.height / height
        visitor.box = choose_box(facts.width, facts.height, x, y, SIZE)
        return {self._page.picking.thumbnail: outlined_thumbnail(visitor)}

    def estimate(self, request: gr.Request, *values: object) -> Updates:
        """The time of a whole run here, and faster presets when it is long."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        picking, upload = self._page.picking, visitor.upload
        hidden: Updates = {picking.offers: gr.Row(visible=False)}
        if upload is None:
            return hidden
        try:
            settings = settings_from(values)
            shown: Updates = {picking.facts: fragments.facts_of_upload(language, upload.facts, settings)}
            seconds = self._seconds(upload, settings)
        except EnhanceError as error:
            return hidden | {picking.estimate: fragments.note(error.sentence(language))}
        shown |= show_running(self._page, visitor, language)
        shown[picking.estimate] = fragments.estimate(language, seconds) + self._hints(
            visitor, upload, settings, language
        )
        return shown | (self._offers(upload, settings, seconds, language) if seconds > LONG_SECONDS else hidden)

    def _choose(self, path: Path | None, values: tuple[object, ...], request: gr.Request) -> Iterator[Updates]:
        visitor, language = self._desk.visitors.of(request), language_of(request)
        self._desk.previewing.forget(visitor.upload)
        visitor.start_over()
        if path is None:
            yield self._empty(visitor, language, "")
            return
        limits = self._desk.limits
        try:
            settings = settings_from(values)
            facts = inspect(path, max_pixels=limits.pixels, max_bytes=limits.bytes)
            yield self._empty(visitor, language, "", keep_file=True) | {
                self._page.picking.facts: fragments.facts_of_upload(language, facts, settings),
                self._page.picking.examples_box: gr.Column(visible=False),
                self._page.picking.chosen: gr.Column(visible=True),
            }
            picture = self._desk.previewing.picture(path)
            thumbnail, size = save_thumbnail(visitor, picture)
        except EnhanceError as error:
            yield self._empty(visitor, language, error.sentence(language))
            return
        except Exception:
            log.exception("A picture could not be taken")
            yield self._empty(visitor, language, say(language, "unexpected"))
            return
        with visitor.lock:
            visitor.controls = settings
            visitor.upload = Upload(path, picture.sha256, facts, thumbnail, size)
            visitor.box = choose_box(picture.width, picture.height, None, None, SIZE)
        yield {
            self._page.picking.thumbnail: outlined_thumbnail(visitor),
            self._page.picking.estimate: fragments.estimate(language, None),
            **show_running(self._page, visitor, language),
        }

    def _empty(self, visitor: Visitor, language: str, reason: str, *, keep_file: bool = False) -> Updates:
        page, picking, preview, result = self._page, self._page.picking, self._page.preview, self._page.result
        updates: Updates = {
            picking.problem: fragments.problem(reason),
            picking.examples_box: gr.Column(visible=True),
            picking.chosen: gr.Column(visible=False),
            picking.thumbnail: None,
            picking.facts: "",
            picking.estimate: "",
            picking.offers: gr.Row(visible=False),
            preview.slider: None,
            preview.chip: fragments.chip(language, "none"),
            preview.where: fragments.note(say(language, "preview_none")),
            preview.problem: "",
            preview.retry: gr.Button(interactive=False),
            page.running.progress: "",
            result.box: gr.Column(visible=False),
            result.slider: None,
            result.map: None,
            result.closely: None,
            result.problem: "",
            result.report_problem: "",
            result.download: gr.DownloadButton(value=None, interactive=False),
            **show_running(page, visitor, language),
        }
        return updates if keep_file else updates | {picking.upload: None}

    def _hints(self, visitor: Visitor, upload: Upload, settings: Settings, language: str) -> str:
        """What the picture could do with and the preset does not do: looked for once, only ever said."""
        found = visitor.hints
        if found is None:
            found = hints(self._desk.previewing.picture(upload.path))
            with visitor.lock:
                if visitor.upload is upload:
                    visitor.hints = found
        return "".join(fragments.hint(say(language, f"hint_{name}")) for name in found if name != settings.scene)

    def _seconds(self, upload: Upload, settings: Settings) -> float:
        return self._desk.enhancer.estimate(upload.facts.width, upload.facts.height, settings, upload.facts.bits)

    def _offers(self, upload: Upload, settings: Settings, seconds: float, language: str) -> Updates:
        available = self._desk.available()
        buttons: Updates = {}
        offered = False
        for name, button in zip(FASTER, self._page.picking.faster, strict=True):
            buttons[button] = gr.Button(visible=False)
            if name == settings.preset or name not in available:
                continue
            other = self._seconds(upload, Settings.preset(name, scale=settings.scale))
            if other < seconds / 2:
                offered = True
                words = {"name": say(language, f"preset_{name}"), "time": say_time(language, other)}
                buttons[button] = gr.Button(say(language, "use_preset", **words), visible=True)
        return buttons | {self._page.picking.offers: gr.Row(visible=offered)}
