"""Enhance and Cancel: a run with its progress, its growing picture and its result."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ..enhancer import Result
from ..errors import Cancelled, EnhanceError
from ..files import explained, link_or_copy
from ..output.rendition import save_for_screen
from ..preview import Preview
from ..settings import Settings
from ..tasks import download_name
from ..texts import say, say_measured, say_time
from . import fragments
from .controls import settings_from
from .layout import Page
from .page_files import asker_of
from .pictures import GrowingPicture, save_map
from .state import Background, Finished, Upload, Visitor
from .views import Attention, LinePlace, Services, Updates, result_is_current, show_result_chip, show_run

RUNS: dict[str, Any] = {"concurrency_id": "runs", "concurrency_limit": None}
"""One long run at a time, the page's and the API's together: the others wait in the program's own line."""

_LOOK_SECONDS = 0.2
_PICTURE_SECONDS = 1.0


@dataclass(frozen=True)
class RunState:
    """How far a run is: rows done and in all, seconds left, whether it is being written; before, how many are ahead."""

    done: int = 0
    total: int = 0
    left: float | None = None
    writing: bool = False
    ahead: int = 0


class Run(Background[Result]):
    """One run of the engine, in its turn. `result` raises EnhanceError, Cancelled among them."""

    def __init__(
        self,
        services: Services,
        source: Path,
        settings: Settings,
        *,
        watch: GrowingPicture | None = None,
        preview: Preview | None = None,
        caller: Hashable = None,
    ):
        self.state, limits = RunState(), services.limits

        def do(stop: threading.Event) -> Result:
            return services.metrics.follow("task", settings.preset, lambda: make(stop))

        def make(stop: threading.Event) -> Result:
            return services.enhancer.run(
                source,
                settings,
                progress=self._progress,
                stop=stop,
                watch=watch,
                preview=preview,
                max_pixels=limits.pixels,
                max_bytes=limits.bytes,
                caller=caller,
                queued=self._queued,
            )

        super().__init__(do, "enhance-run")

    def _queued(self, ahead: int) -> None:
        self.state = RunState(ahead=ahead)

    def _progress(self, done: int, total: int, left: float | None) -> None:
        self.state = RunState(done, total, left, writing=done >= total)


@dataclass(frozen=True, eq=False)
class _Watched:
    """A run of the page: whose picture it makes, and what is seen of it."""

    run: Run
    upload: Upload
    picture: GrowingPicture


class RunHandlers:
    """Handlers of Enhance and Cancel."""

    def __init__(self, page: Page, services: Services):
        self._page, self._card, self._services = page, page.run, services

    def ask(self, request: gr.Request, *values: object) -> Updates:
        """Answer the click at once: what is to come, or why there is nothing to do."""
        visitor, language = self._services.asker(request)
        progress = self._card.progress
        with visitor.lock:
            if visitor.upload is None:
                return {progress: fragments.problem(say(language, "too_late"))}
            if visitor.busy:
                return show_run(self._page, visitor, language)
            try:
                visitor.controls = settings_from(values)
            except EnhanceError as error:
                return {progress: fragments.problem(error.sentence(language))}
            if result_is_current(visitor) and visitor.finished and visitor.finished.download.exists():
                return {progress: fragments.note(say(language, "same"))}
            visitor.waiting = True
        busy = self._services.enhancer.status().get("running", 0)
        text = say(language, "waiting" if busy else "starting")
        return {progress: fragments.progress(language, text, None, None), **show_run(self._page, visitor, language)}

    def run(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """The run that was asked for, step by step; the engine is free again when the page is closed meanwhile."""
        visitor, language = self._services.asker(request)
        if not visitor.waiting:
            yield {self._card.progress: gr.skip()}  # no update at all would empty the result
            return
        try:
            turn = self._services.line.enter(asker_of(request))
        except EnhanceError as error:
            visitor.waiting = False
            refused = fragments.problem(self._services.reason(language, error, "A run was refused"))
            yield {self._card.progress: refused, **show_run(self._page, visitor, language)}
            return
        with turn:
            try:
                yield from self._wait(visitor, turn, Attention(request), language)
            except GeneratorExit:  # the page left the line
                visitor.waiting = False
                raise
            yield from self._go(request, values)

    def _wait(self, visitor: Visitor, turn: LinePlace, attention: Attention, language: str) -> Iterator[Updates]:
        shown = 0
        for ahead in turn.looks(_LOOK_SECONDS):
            visitor.waiting = visitor.waiting and not attention.lost
            if not visitor.waiting:
                return
            text = say(language, "waiting_place", ahead=ahead)
            same, shown = ahead == shown, ahead
            yield {self._card.progress: gr.skip() if same else fragments.progress(language, text, None, None)}

    def _go(self, request: gr.Request, values: tuple[object, ...]) -> Iterator[Updates]:
        visitor, language = self._services.asker(request)
        if (watched := self._start(visitor, values)) is None:
            yield {self._card.progress: gr.skip()}
            return
        try:
            with closing(watched.run):
                yield from self._watch(visitor, watched, language)
                yield self._end(request, watched, language)
        finally:
            _let_go(visitor, watched.run)

    def cancelling(self, request: gr.Request) -> Updates:
        """Stop the run, and say so at once."""
        visitor, language = self._services.asker(request)
        with visitor.lock:
            visitor.waiting = False
            if visitor.run is not None:
                visitor.run.stop.set()
        return {
            self._card.progress: fragments.progress(language, say(language, "cancelling"), None, None),
            self._card.cancel: gr.Button(interactive=False),
        }

    def cancelled(self, request: gr.Request) -> Updates:
        """Wait until the engine is free, and tell."""
        visitor, language = self._services.asker(request)
        with visitor.lock:
            run, visitor.run, visitor.waiting = visitor.run, None, False
        if run is not None:
            run.stop.set()
            run.wait(600)
        return {
            self._card.progress: fragments.note(say(language, "cancelled")),
            **show_run(self._page, visitor, language),
        }

    def _start(self, visitor: Visitor, values: tuple[object, ...]) -> _Watched | None:
        with visitor.lock:
            upload = visitor.upload
            if not visitor.waiting or upload is None:
                return None
            visitor.waiting = False
            settings, services = settings_from(values), self._services
            picture = GrowingPicture(upload.facts.width, upload.facts.height, _pixels(upload.thumbnail))
            run = Run(
                services,
                upload.path,
                settings,
                watch=picture,
                preview=visitor.preview,
                caller=visitor.folder,
            )
            visitor.run = run
            return _Watched(run, upload, picture)

    def _watch(self, visitor: Visitor, watched: _Watched, language: str) -> Iterator[Updates]:
        state, picture = None, None
        for _ in watched.run.looks(_LOOK_SECONDS):
            fresh = watched.picture.look(_PICTURE_SECONDS)
            if (fresh is None and watched.run.state == state) or visitor.upload is not watched.upload:
                continue
            state, picture = watched.run.state, picture if fresh is None else fragments.in_page(fresh)
            text, share = _said(language, state)
            yield {self._card.progress: fragments.progress(language, text, share, picture)}

    def _end(self, request: gr.Request, watched: _Watched, language: str) -> Updates:
        visitor, _ = self._services.asker(request)
        try:
            result = watched.run.result()
            self._services.owners.remember(request, result.info)
            shown = self._show(visitor, watched, result, language)
        except Cancelled:
            shown = {self._card.progress: fragments.note(say(language, "cancelled"))}
        except Exception as error:
            shown = {self._card.progress: fragments.problem(self._services.reason(language, error, "A run failed"))}
        _let_go(visitor, watched.run)
        if visitor.upload is not watched.upload:  # the page has gone on to another picture
            shown = {} if visitor.busy else {self._card.progress: ""}
        return {**shown, **show_run(self._page, visitor, language)}

    def _show(self, visitor: Visitor, watched: _Watched, result: Result, language: str) -> Updates:
        finished = _kept_for_page(visitor, watched, result)
        with visitor.lock:
            if visitor.upload is not watched.upload:
                raise Cancelled("stopped")
            visitor.finished = finished
        card, info = self._page.result, result.info
        done = say(language, "done", time=say_measured(language, info["seconds"]["total"]))
        return {
            self._card.progress: fragments.finished(done),
            card.box: gr.Column(visible=True),
            card.slider: (str(finished.before), str(finished.after)),
            card.chip: show_result_chip(visitor, language),
            card.download: gr.DownloadButton(value=str(finished.download), interactive=True),
            card.facts: fragments.facts_of_result(language, info),
            card.closely: None,
            card.problem: "",
            card.map: str(finished.map),
        }


def _let_go(visitor: Visitor, run: Run) -> None:
    with visitor.lock:
        if visitor.run is run:
            visitor.run = None


def _kept_for_page(visitor: Visitor, watched: _Watched, result: Result) -> Finished:
    """The PNG under a name that says what it is, and the result's renditions. Raises StorageError."""
    whole, upload = watched.picture.whole, watched.upload
    assert whole is not None
    download = visitor.place("result", "") / download_name(upload.facts.name, result.info["settings"]["scale"])
    try:
        download.parent.mkdir(parents=True)
        link_or_copy(result.path, download)
        before = save_for_screen(whole.before, visitor.place("whole-before", ""), whole.icc)
        after = save_for_screen(whole.after.pixels, visitor.place("whole-after", ""), whole.icc)
        place, size = save_map(visitor, whole.after.pixels, whole.icc)
    except OSError as error:
        raise explained(download, error) from error
    return Finished(upload, result.info, download, before, after, place, size)


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _said(language: str, state: RunState) -> tuple[str, float | None]:
    if state.total == 0:
        words = say(language, "waiting_place", ahead=state.ahead) if state.ahead else say(language, "starting")
        return words, None
    if state.writing:
        return say(language, "writing"), 1.0
    words = [say(language, "rows", done=f"{state.done:,}", total=f"{state.total:,}")]
    if state.left is not None:
        words.append(say(language, "left", time=say_time(language, state.left)))
    return " · ".join(words), state.done / state.total
