"""Enhance and Cancel, and what comes of it: a run with its progress and its growing picture, its place, its report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ..batch import Batch, Item, Running, plan
from ..errors import Cancelled, EnhanceError, PictureError
from ..i18n import format_seconds, translate
from ..images import Picture, reduced_size
from ..info import Result, settings_in
from ..output.formats import Encoding
from ..output.live_view import LiveView
from ..output.resample import result_size
from ..output.thumbnails import icc_for_screen
from ..preview import result_region
from ..scheduler import Ticket
from ..settings import Settings
from ..store import download_name, report_name
from . import templates
from .history import begin, recorded, show_history
from .jobs import Job, said
from .layout import Page
from .params import encoding_from, settings_from
from .preview import is_current, keep_for_page, save_pair
from .session import Finished, PageRun, Upload, Visitor
from .storage import Packed, packed
from .views import Services, Updates, show_download, show_progress, show_result, show_view

RUNS: dict[str, Any] = {"concurrency_id": "runs", "concurrency_limit": None}
"""Runs of the page and of the API wait in the program's own queue."""

_LOOK_SECONDS = 0.2
_PICTURE_SECONDS = 1.0


class Run(Job[Result]):
    """One run of the engine. `result` raises EnhanceError, Cancelled among them."""

    def __init__(self, services: Services, source: Path, settings: Settings, ticket: Ticket, **more: Any):
        self._source = source
        super().__init__(lambda: _made(services, source, settings, self, **more), ticket)

    def inputs(self) -> Iterable[Path]:
        return (self._source,)


def _made(services: Services, source: Path, settings: Settings, run: Job[Any], **more: Any) -> Result:
    """What the enhancer makes for a run, which is told how far that is; `more` as `Enhancer.run` takes it."""
    limits = services.limits
    more |= {"progress": run.progress, "ticket": run.ticket, "max_pixels": limits.pixels, "max_bytes": limits.bytes}
    return services.metrics.follow("task", settings.preset, lambda: services.enhancer.run(source, settings, **more))


class BatchWork(Job[Packed]):
    """A batch that runs, and is packed at its end in the `language` of that moment. Files may join it until then."""

    def __init__(
        self,
        services: Services,
        items: Iterable[Item],
        settings: Settings,
        language: str,
        ticket: Ticket,
        encoding: Encoding | None = None,
    ):
        self.language, self._services, self._preset = language, services, settings.preset
        self.running = Running(
            services.enhancer,
            settings,
            plan(items),
            stop=ticket.stop,
            changed=self._look,
            max_pixels=services.limits.pixels,
            max_bytes=services.limits.bytes,
            encoding=encoding or Encoding(),
            caller=ticket.caller,
        )
        self._begun: float | None = None

        def do() -> Packed:
            with self.running.held, self._listed():
                for item in self.batch.items:
                    if item.state == "failed":  # before it began
                        self._tell_of(item)
                return packed(services.outbox, self.running.run(), settings, self.language)

        super().__init__(do, ticket)

    @property
    def batch(self) -> Batch:
        """The batch as it stands."""
        return self.running.batch

    def inputs(self) -> Iterable[Path]:
        return [item.source for item in self.batch.items]

    @property
    def archive(self) -> Path | None:
        """The ZIP, once there is one."""
        if self.over:
            with suppress(Exception):  # one that broke off has none
                return self.result().archive
        return None

    def _listed(self) -> AbstractContextManager[None]:
        """While it runs and is packed, it is on a list of results, if there is one."""
        return nullcontext()

    def _look(self, batch: Batch) -> None:
        item = batch.latest
        if item is None:
            return
        if item.state == "running":
            self._begun = time.monotonic()
        elif item.state != "waiting":
            self._tell_of(item)

    def _tell_of(self, item: Item) -> None:
        """Tell of a file that has ended; one that never began took no time."""
        seconds, self._begun = time.monotonic() - (self._begun or time.monotonic()), None
        self._services.metrics.ended("file", self._preset, seconds, item.state, item.info)
        if item.error is not None:
            self._services.metrics.refused(item.error)


def page_run(request: gr.Request, services: Services, visitor: Visitor, upload: Upload, ticket: Ticket) -> PageRun:
    """A run that waits for its turn, works, and keeps what came of it, whether or not the page is open."""
    settings, preview = visitor.controls, visitor.preview
    pixels, tasks = _pixels(upload.thumbnail), services.enhancer.tasks
    height, width = reduced_size(upload.facts.height, upload.facts.width, settings.reduce)
    picture = LiveView(width, height, settings.factor, pixels)
    entry = begin(tasks, visitor, upload, settings)

    def do(run: PageRun) -> Finished:
        kept = tasks.using(tasks.upload_path(upload.sha256, upload.name))
        with recorded(tasks, entry, run) as done, kept:
            tasks.keep_upload(upload.path, upload)  # so that it can go on when the server ends while it waits
            seen = {"watch": picture, "preview": preview}
            result = _made(services, upload.path, settings, run, **seen)
            done(result.info)
        services.owners.remember(request, result.info)
        assert picture.whole is not None
        finished = keep_for_page(visitor, upload, picture.whole, result)
        with visitor.lock:
            if visitor.upload is not upload or run.stop.is_set():
                raise Cancelled("stopped")
            visitor.finished = finished
        return finished

    with ExitStack() as stack:
        if entry is not None:
            stack.callback(tasks.end, entry, "failed")
        run = PageRun(do, upload, picture, ticket)
        stack.pop_all()  # its thread records its end
    return run


class RunHandlers:
    """Handlers of Enhance and Cancel."""

    def __init__(self, page: Page, services: Services):
        self._page, self._card, self._services = page, page.run, services

    def ask(self, request: gr.Request, *values: object) -> Updates:
        """Begin a run and say what is to come, or why there is nothing to do."""
        visitor, language, values = self._services.asker_with(request, values)
        progress = self._card.progress
        with visitor.lock:
            upload = visitor.upload
            if upload is None:
                return {progress: templates.problem(translate(language, "too_late"))}
            if not visitor.busy:
                try:
                    visitor.controls = settings_from(values, visitor.shape)
                    result_size(visitor.controls, upload.facts.height, upload.facts.width)
                    there = visitor.finished
                    if there and is_current(visitor, there.info, visitor.controls) and there.download.exists():
                        return {progress: templates.note(translate(language, "same"))}
                    with self._services.enter(visitor.caller, "run") as ticket:
                        visitor.run = page_run(request, self._services, visitor, upload, ticket)
                except Exception as error:
                    return {progress: self._services.problem(language, error, "A run was refused")}
        return show_progress(self._page, visitor, language)

    def follow(self, request: gr.Request) -> Iterator[Updates]:
        """The run of this page, step by step to its end; it goes on for a while when nobody follows it."""
        visitor, language = self._services.asker(request)
        run = visitor.run
        if run is None:
            yield {self._card.progress: gr.skip()}  # no update at all would empty the result
            return
        seen = None
        for _ in run.looks(_LOOK_SECONDS):
            fresh, state = run.picture.look(_PICTURE_SECONDS), (run.state, run.stop.is_set())
            if (fresh is None and state == seen) or visitor.run is not run:
                continue
            seen = state
            words = (translate(language, "cancelling"), None) if run.stop.is_set() else said(language, run.state)
            shown: Updates = {self._card.progress: templates.progress(*words)}
            yield shown if fresh is None else shown | {self._page.result.live: templates.live(language, fresh)}
        yield self._end(visitor, run, language) if visitor.run is run else {self._card.progress: gr.skip()}

    def cancel(self, request: gr.Request) -> Updates:
        """Stop the run; `follow` says so, and alone, or an answer that is late would stand for the last word."""
        visitor, _ = self._services.asker(request)
        with visitor.lock:
            if visitor.run is None:
                return {self._card.cancel: gr.Button(visible=False)}
            visitor.run.stop_for("person")
        return {self._card.cancel: gr.Button(interactive=False)}

    def _end(self, visitor: Visitor, run: PageRun, language: str) -> Updates:
        view = "preview"
        try:
            finished = run.result()
            seconds = finished.info["seconds"]["total"] - finished.info["seconds"]["wait"]
            shown = show_result(self._page, visitor, language)
            done = translate(language, "done", time=format_seconds(language, seconds))
            shown[self._card.progress] = templates.note(done, "finished")
            view = "whole"
        except Cancelled:
            why = translate(language, "run_away" if run.stopped_by == "absence" else "cancelled")
            shown = {self._card.progress: templates.note(why, "cancelled")}
        except Exception as error:
            shown = {self._card.progress: self._services.problem(language, error, "A run failed")}
        return {
            **shown,
            self._page.result.live: "",
            **show_history(self._page, self._services.enhancer.tasks, visitor, language),
            **show_view(self._page, visitor, language, view),
            **show_download(self._page, visitor, language),
        }


class ResultHandlers:
    """Handlers of the square on the finished picture and of Report PDF."""

    def __init__(self, page: Page, services: Services):
        self._card, self._services = page.result, services

    def place(self, request: gr.Request) -> Updates:
        """The finished pixels of the square, once there are some."""
        visitor, language = self._services.asker(request)
        finished, box = visitor.finished, visitor.box
        if finished is None or box is None or finished.upload is not visitor.upload:
            return {self._card.problem: ""}
        try:
            with self._services.enhancer.result_rows(finished.info["task_id"], self._decoded(finished)) as rows:
                pair = save_pair(visitor, "closely", result_region(rows, box), icc_for_screen(rows.picture))
        except Exception as error:
            return {self._card.problem: self._services.problem(language, error, "A place of a result was not shown")}
        return {self._card.closely: (str(pair[0]), str(pair[1])), self._card.problem: ""}

    def export(self, request: gr.Request, *values: object) -> Updates:
        """Make the file of the chosen format and hand it to the browser; the stored PNG it has already."""
        visitor, language, values = self._services.asker_with(request, values)
        finished, enhancer, said = visitor.finished, self._services.enhancer, self._card.taken
        if finished is None:
            return self._nothing(said, templates.problem(translate(language, "too_late")))
        try:
            visitor.encoding = encoding = encoding_from(values)
            if encoding.is_stored:
                return {self._card.report_file: gr.DownloadButton(value=None)}
            png = enhancer.tasks.result_path(finished.info["task_id"])
            with ExitStack() as hold:
                made = enhancer.export(Result(png, finished.info, png), encoding, hold=hold)
                name = download_name(finished.upload.name, settings_in(finished.info), encoding.form.ending)
                path = self._services.outbox.link(made.path, name)
        except Exception as error:
            return self._nothing(said, self._services.problem(language, error, "Another format could not be made"))
        return {self._card.report_file: gr.DownloadButton(value=str(path)), self._card.report_problem: ""}

    def report(self, request: gr.Request) -> Updates:
        """Write the report and hand it to the browser."""
        visitor, language = self._services.asker(request)
        finished, said = visitor.finished, self._card.report_problem
        if finished is None:
            return self._nothing(said, templates.problem(translate(language, "too_late")))
        try:
            picture = self._decoded(finished)
            report = self._services.enhancer.report(finished.info["task_id"], language, picture)
            path = self._services.outbox.link(report, report_name(finished.info))
        except Exception as error:
            return self._nothing(said, self._services.problem(language, error, "A report could not be made"))
        return {self._card.report_file: gr.DownloadButton(value=str(path)), self._card.report_problem: ""}

    def _nothing(self, said: gr.HTML, why: str) -> Updates:
        """No file for the browser to fetch, and `why` where it is said."""
        return {self._card.report_file: gr.DownloadButton(value=None), said: why}

    def _decoded(self, finished: Finished) -> Picture | None:
        """The input as the previews keep it, so that its file is not read once more; None where that is gone."""
        with suppress(PictureError):  # the enhancer keeps the input too
            return self._services.previews.picture(finished.upload.path)
        return None


def _pixels(path: Path) -> np.ndarray:
    """Return the pixels of an upload's thumbnail. Raises EnhanceError if it was deleted."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError as error:
        raise EnhanceError("input_gone") from error
