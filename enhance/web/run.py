"""Enhance and Cancel, the progress of a run, and downloads of its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from ..errors import Cancelled, EnhanceError, PictureError
from ..i18n import format_seconds
from ..images import downscaled_size
from ..output.live_view import LiveView
from ..output.resample import result_size
from ..output.thumbnails import LIST_SIDE, data_url
from ..scheduler import Ticket
from ..store import report_name
from . import templates
from .history import record_run, recorded, show_history
from .jobs import Job, progress_text
from .params import encoding_from, request_settings, settings_from
from .preview import is_current
from .processing import enhance
from .session import PageResult, Upload
from .views import Call, Updates, offer_file, show_download, show_progress, show_result, shows_errors

_POLL_SECONDS = 0.2
_IMAGE_SECONDS = 1.0


class PageRun(Job[PageResult]):
    """A run of a page. It continues for a while after the page is closed. `growing` is the result so far."""

    def __init__(self, call: Call, upload: Upload, ticket: Ticket):
        settings = call.session.settings
        self.upload, self._call, self._settings = upload, call, settings
        self._request = request_settings(settings, call.session.chosen) if call.session.is_auto else settings
        height, width = downscaled_size(upload.facts.height, upload.facts.width, settings.reduce)
        self.growing = LiveView(width, height, settings.factor, _thumbnail_pixels(upload.thumbnail))
        self._preview = call.session.preview
        super().__init__(call.services.enhancer.scheduler, PageRun._run, ticket, upload.path)

    def _run(self) -> PageResult:
        services, session, upload = self._call.services, self._call.session, self.upload
        tasks = services.enhancer.tasks
        entry = record_run(tasks, session, upload, self._settings)
        in_use = tasks.using(tasks.upload_path(upload.sha256, upload.facts.name))
        with recorded(tasks, entry, self) as finish, in_use:
            # The list of results can then open the photo even if the run is interrupted.
            tasks.keep_upload(upload.path, upload.facts.name, upload.sha256, upload.facts.bytes)
            options = {"watch": self.growing, "preview": self._preview}
            result = enhance(services, upload.path, self._request, self, **options)
            assert self.growing.overview is not None
            finish(result.info, data_url(self.growing.overview.pixels, LIST_SIDE))
        services.owners.remember(self._call.session.client, result.info)
        page_result = session.save_result(upload, self.growing.overview, self.growing.icc, result)
        with session.lock:
            if session.upload is not upload or self.stop.is_set():  # Another photo was chosen after the last check.
                raise Cancelled("stopped")
            session.result = page_result
        return page_result


def _thumbnail_pixels(path: Path) -> np.ndarray:
    """Return the thumbnail of an upload, uint8 [h, w, 3]. Raises EnhanceError if it was deleted."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError as error:
        raise EnhanceError("input_gone") from error


@shows_errors(lambda page: page.run.progress, "A run could not be started")
def start_run(call: Call) -> Updates:
    """Start a run, unless the result is there already."""
    session, progress = call.session, call.page.run.progress
    with session.lock:
        upload, shown = session.upload, session.result
        if upload is None:
            raise EnhanceError("too_late")
        if not session.is_running:
            session.settings = settings_from(call.values, session.shape)
            result_size(session.settings, upload.facts.height, upload.facts.width)
            if shown and is_current(session, shown.info, session.settings) and shown.download.exists():
                return {progress: templates.note(call.text("same"))}
            with call.services.enter(session.caller, "run") as ticket:
                session.run = PageRun(call, upload, ticket)
    return show_progress(call)


def follow_run(call: Call) -> Iterator[Updates]:
    """Show the progress of the session's run until it ends."""
    session, card = call.session, call.page.run
    run = session.run
    if run is None:
        return
    shown = None
    for _ in run.poll(_POLL_SECONDS):
        pixels, state = run.growing.view(_IMAGE_SECONDS), (run.state, run.stop.is_set())
        if (pixels is None and state == shown) or session.run is not run:  # A run of an earlier photo ends soon.
            continue
        shown = state
        words = (call.text("cancelling"), None) if run.stop.is_set() else progress_text(call.language, run.state)
        updates: Updates = {card.progress: templates.progress(*words)}
        if pixels is not None:
            updates[call.page.result.live] = _live(call, run, pixels)
        yield updates
    if session.run is run:
        yield _show_end(call, run)
    elif session.run is None:  # The last update can have arrived after the response that removed the photo.
        yield {card.progress: "", call.page.result.live: ""}


def _live(call: Call, run: PageRun, pixels: np.ndarray) -> str:
    growing = run.growing
    edge = "x" if growing.columns else "y"
    return templates.render("live", call.language, source=data_url(pixels), edge=edge, share=growing.share)


def cancel_run(call: Call) -> Updates:
    """Cancel the run. Only `follow_run` shows that, because this response could arrive after its last one."""
    with call.session.lock:
        if call.session.run is None:
            return {call.page.run.cancel: gr.Button(visible=False)}
        call.session.run.cancel("user")
    return {call.page.run.cancel: gr.Button(interactive=False)}


def _show_end(call: Call, run: PageRun) -> Updates:
    progress, updates = call.page.run.progress, Updates()
    try:
        seconds = run.result().info["seconds"]
        done = call.text("done", time=format_seconds(call.language, seconds["total"] - seconds["wait"]))
        updates = show_result(call) | {progress: templates.note(done, "finished")}
    except Cancelled:
        text = call.text("run_disconnected" if run.cancelled_by == "absence" else "stopped")
        updates = {progress: templates.note(text, "cancelled")}
    except Exception as error:
        updates = {progress: call.problem(error, "A run failed")}
    return {
        **updates,
        call.page.result.live: "",
        **show_history(call),
        **show_download(call),
    }


def _shown_result(call: Call) -> PageResult:
    if call.session.result is None:
        raise EnhanceError("too_late")
    return call.session.result


@shows_errors(lambda page: page.result.download_message, "A result could not be exported")
def export(call: Call) -> Updates:
    """Create the file of the selected format and let the browser download it. The stored PNG exists already."""
    session, result, path = call.session, _shown_result(call), None
    session.encoding = encoding = encoding_from(call.values)
    if not encoding.is_stored:
        path = call.services.export(result.info, result.upload.facts.name, encoding)
    with session.lock:
        if session.result is result:
            session.result = replace(result, downloaded=encoding)
    return offer_file(call, path)


@shows_errors(lambda page: page.result.report_problem, "A report could not be written")
def report(call: Call) -> Updates:
    """Write the PDF report on the file of the last download and let the browser download it.

    Before a download, the report is on the file that Download would give.
    """
    result, photo = _shown_result(call), None
    with suppress(PictureError):  # If the upload was deleted, the stored input is read.
        photo = call.services.previews.image(result.upload.path)
    encoding = result.downloaded or call.session.encoding
    pdf = call.services.enhancer.report(result.info["task_id"], call.language, photo, encoding=encoding)
    return offer_file(call, call.services.downloads.link(pdf, report_name(result.info)))
