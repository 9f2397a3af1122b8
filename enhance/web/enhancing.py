"""Enhance and Cancel: a run with its progress, its growing picture and its result."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from ..enhancer import Result
from ..errors import Cancelled, EnhanceError
from ..rendition import save_for_screen
from ..texts import say, say_measured, say_time
from ..web import fragments
from .controls import settings_from
from .desk import Desk, Outputs, Updates, result_is_current, running_outputs, show_result_chip, show_running
from .language import language_of
from .outbox import download_name, link_or_copy
from .page import Page
from .running import Growing, Run, State
from .screen import save_map
from .session import Finished, Upload, Visitor

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_PICTURE_SECONDS = 1.0


def enhancing_outputs(page: Page) -> Outputs:
    """The components that a run changes."""
    result = page.result
    return [
        *running_outputs(page),
        page.running.progress,
        result.box,
        result.slider,
        result.chip,
        result.download,
        result.map,
        result.closely,
        result.problem,
        result.facts,
    ]


class Enhancing:
    """Handlers of Enhance and Cancel."""

    def __init__(self, page: Page, desk: Desk):
        self._page, self._desk = page, desk

    def ask(self, request: gr.Request, *values: object) -> Updates:
        """Answer the click at once: what is to come, or why there is nothing to do."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        progress = self._page.running.progress
        with visitor.lock:
            if visitor.upload is None:
                return {progress: fragments.problem(say(language, "too_late"))}
            if visitor.busy:
                return show_running(self._page, visitor, language)
            try:
                visitor.controls = settings_from(values)
            except EnhanceError as error:
                return {progress: fragments.problem(error.sentence(language))}
            if result_is_current(visitor) and visitor.finished and visitor.finished.download.exists():
                return {progress: fragments.note(say(language, "same"))}
            visitor.waiting = True
        busy = self._desk.enhancer.status().get("running", 0)
        text = say(language, "waiting" if busy else "starting")
        return {progress: fragments.progress(language, text, None, None), **show_running(self._page, visitor, language)}

    def run(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """The run that was asked for, step by step; the engine is free again when the page is closed meanwhile."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        run = self._start(visitor, values)
        if run is None:
            yield {self._page.running.progress: gr.skip()}  # no update at all would empty the result
            return
        try:
            yield from self._watch(run, language)
            yield self._end(request, run, language)
        finally:
            run.stop.set()
            with visitor.lock:
                if visitor.run is run:
                    visitor.run = None

    def cancelling(self, request: gr.Request) -> Updates:
        """Stop the run, and say so at once."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        with visitor.lock:
            visitor.waiting = False
            if visitor.run is not None:
                visitor.run.stop.set()
        text = say(language, "cancelling")
        return {
            self._page.running.progress: fragments.progress(language, text, None, None),
            self._page.running.cancel: gr.Button(interactive=False),
        }

    def cancelled(self, request: gr.Request) -> Updates:
        """Wait until the engine is free, and tell."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        with visitor.lock:
            run, visitor.run, visitor.waiting = visitor.run, None, False
        if run is not None:
            run.stop.set()
            run.wait(600)
        return {
            self._page.running.progress: fragments.note(say(language, "cancelled")),
            **show_running(self._page, visitor, language),
        }

    def _start(self, visitor: Visitor, values: tuple[object, ...]) -> Run | None:
        with visitor.lock:
            upload = visitor.upload
            if not visitor.waiting or upload is None:
                return None
            visitor.waiting = False
            settings = settings_from(values)
            watch = Growing(upload.facts.width, upload.facts.height, _pixels(upload.thumbnail))
            visitor.run = Run(
                self._desk.enhancer, upload.path, settings, self._desk.limits, watch=watch, preview=visitor.preview
            )
            return visitor.run

    def _watch(self, run: Run, language: str) -> Iterator[Updates]:
        state, picture = None, None
        while not run.wait(_LOOK_SECONDS):
            fresh = run.watch.look(_PICTURE_SECONDS) if run.watch else None
            if fresh is None and run.state == state:
                continue
            state, picture = run.state, picture if fresh is None else fragments.in_page(fresh)
            text, share = _said(language, state)
            yield {self._page.running.progress: fragments.progress(language, text, share, picture)}

    def _end(self, request: gr.Request, run: Run, language: str) -> Updates:
        visitor, progress = self._desk.visitors.of(request), self._page.running.progress
        try:
            result = run.result()
            upload = visitor.upload
            if upload is None:
                raise Cancelled("stopped")
            shown = self._show(request, upload, run, result, language)
        except Cancelled:
            shown = {progress: fragments.note(say(language, "cancelled"))}
        except EnhanceError as error:
            shown = {progress: fragments.problem(error.sentence(language))}
        except Exception:
            log.exception("A run failed")
            shown = {progress: fragments.problem(say(language, "unexpected"))}
        with visitor.lock:
            visitor.run = None
        return {**shown, **show_running(self._page, visitor, language)}

    def _show(self, request: gr.Request, upload: Upload, run: Run, result: Result, language: str) -> Updates:
        visitor = self._desk.visitors.of(request)
        finished = _kept_for_page(visitor, upload, run, result)
        visitor.finished = finished
        self._desk.owners.remember(request, result.info["task_id"])
        parts, info = self._page.result, result.info
        done = say(language, "done", time=say_measured(language, info["seconds"]["total"]))
        return {
            self._page.running.progress: fragments.finished(done),
            parts.box: gr.Column(visible=True),
            parts.slider: (str(finished.before), str(finished.after)),
            parts.chip: show_result_chip(visitor, language),
            parts.download: gr.DownloadButton(value=str(finished.download), interactive=True),
            parts.facts: fragments.facts_of_result(language, info),
            parts.closely: None,
            parts.problem: "",
            parts.map: str(finished.map),
        }


def _kept_for_page(visitor: Visitor, upload: Upload, run: Run, result: Result) -> Finished:
    """The result's renditions, and the PNG under a name that says what it is."""
    assert run.watch is not None
    whole = run.watch.whole
    assert whole is not None
    before = save_for_screen(whole.before, visitor.place("whole-before", ""), whole.icc)
    after = save_for_screen(whole.after.pixels, visitor.place("whole-after", ""), whole.icc)
    place, size = save_map(visitor, whole.after.pixels, whole.icc)
    download = visitor.place("result", "") / download_name(upload.facts.name, result.info["settings"]["scale"])
    download.parent.mkdir(parents=True)
    link_or_copy(result.path, download)
    return Finished(result.info, download, before, after, place, size)


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _said(language: str, state: State) -> tuple[str, float | None]:
    if state.total == 0:
        return say(language, "starting"), None
    if state.writing:
        return say(language, "writing"), 1.0
    words = [say(language, "rows", done=f"{state.done:,}", total=f"{state.total:,}")]
    if state.left is not None:
        words.append(say(language, "left", time=say_time(language, state.left)))
    return " · ".join(words), state.done / state.total
