"""The page and the endpoints put together, and which handler follows which touch of the page."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from ..enhancer import Enhancer
from .api import add_endpoints
from .batch import BATCHES, BatchHandlers
from .compare import COMPARISONS, CompareHandlers
from .controls import ControlHandlers
from .history import HistoryHandlers
from .layout import Page, build_page
from .line import WaitingLine
from .metrics import Metrics
from .page_files import Outbox, Owners, limits_of
from .preview import PREVIEWS, Previews
from .run import RUNS, ResultHandlers, RunHandlers
from .serving import (
    BROWSER,
    COPY_LINK,
    FETCH_FILE,
    FETCH_REPORT,
    LOOK_AT_BATCH,
    LOOK_AT_LISTED,
    LOOK_AT_PICTURE,
    NEW_PICTURE,
    REMEMBER,
    RUN_ENDED,
    page_folder,
)
from .state import Visitors
from .upload import PICTURES, FilesHandlers, UploadHandlers
from .views import Services, parts
from .wishes import SIZED, TAKEN, page_texts

log = logging.getLogger(__name__)

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_LIGHT: dict[str, Any] = {**_QUIET, "concurrency_limit": 8}
_SUPERSEDING: dict[str, Any] = {**_QUIET, **PREVIEWS, "trigger_mode": "multiple"}
"""A later request is sent while an earlier one is on its way: the server stops the earlier one."""

_NO_STATISTICS = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000"}
"""Nothing is sent anywhere; nor does Gradio sum up all events anew after each one, for a page that is closed here."""
_SWEEP_SECONDS = 5.0
_TIDY_SECONDS = 600
_MOST_EVENTS = 1000
"""Far above what the line lets wait: a full one refuses runs only, never an upload, a slider or a status."""


def build(enhancer: Enhancer, metrics: Metrics | None = None) -> gr.Blocks:
    """The whole app as Blocks, not yet launched; imports no PyTorch. What it does is told to `metrics`."""
    config, metrics = enhancer.config, metrics or Metrics()
    for name, value in _NO_STATISTICS.items():
        os.environ.setdefault(name, value)
    limits = limits_of(config)
    folder = page_folder(config, enhancer)
    kept = max(1, int(config.hours * 3600))
    with gr.Blocks(title="Enhance", analytics_enabled=False, delete_cache=(min(3600, kept), kept)) as demo:
        page = build_page(page_texts(limits), login=config.auth is not None)
        services = Services(
            enhancer,
            limits,
            Visitors(folder.path("visitors")),
            Previews(enhancer, limits, metrics),
            Outbox(folder),
            Owners(),
            WaitingLine(config.queue),
            metrics=metrics,
        )
        metrics.watch(services.status)
        tidied = at_most_every(_TIDY_SECONDS, enhancer.tasks.clean)
        keep_swept(services.visitors.sweep, services.previews.sweep, folder.sweep, tidied, enhancer.release_if_idle)
        add_endpoints(services)  # first, for their names
        _connect(demo, page, services)
    demo.queue(max_size=_MOST_EVENTS, default_concurrency_limit=8, api_open=False)
    return demo


def keep_swept(*jobs: Callable[[], None], seconds: float = _SWEEP_SECONDS) -> threading.Thread:
    """Do these one after the other every so many seconds, in the one thread that tidies up; also when nobody comes."""

    def sweep() -> None:
        while True:
            time.sleep(seconds)
            for job in jobs:
                try:
                    job()
                except Exception:
                    log.exception("Tidying up failed")

    thread = threading.Thread(target=sweep, name="enhance-sweeper", daemon=True)
    thread.start()
    return thread


def at_most_every(seconds: float, job: Callable[[], None]) -> Callable[[], None]:
    """`job`, done again only after so many seconds."""
    done = time.monotonic()

    def now_and_then() -> None:
        nonlocal done
        if time.monotonic() - done >= seconds:
            done = time.monotonic()
            job()

    return now_and_then


def _connect(demo: gr.Blocks, page: Page, services: Services) -> None:
    upload, controls = UploadHandlers(page, services), ControlHandlers(page, services)
    run, result = RunHandlers(page, services), ResultHandlers(page, services)
    opened = _connect_opening(demo, page, controls, upload, run, result)
    _connect_upload(page, upload, controls, result)
    _connect_controls(page, upload, controls)
    _connect_comparison(page, CompareHandlers(page, services, controls), upload)
    _connect_run(page, run, result)
    history, batch = HistoryHandlers(page, services), BatchHandlers(page, services)
    files = FilesHandlers(page, services, batch)
    _connect_history(page, history, controls, upload, run, result)
    _connect_batch(page, batch, files, opened)
    _connect_batches_of_history(page, history, batch, files)
    demo.unload(services.visitors.leave)


def _connect_opening(
    demo: gr.Blocks,
    page: Page,
    controls: ControlHandlers,
    upload: UploadHandlers,
    run: RunHandlers,
    result: ResultHandlers,
) -> Any:
    """What this tab of the browser had before is there again, and goes on."""
    whole = parts(page.upload, page.controls, page.preview, page.run, page.result, page.batch)
    opened = demo.load(controls.open, [*page.browser, page.remembered], whole, js=BROWSER, **_LIGHT)
    opened.then(run.follow, None, parts(page.run, page.result), **_QUIET, **RUNS)
    _resume(opened, page, controls, upload, result)
    return opened


def _resume(event: Any, page: Page, controls: ControlHandlers, upload: UploadHandlers, result: ResultHandlers) -> None:
    """After a picture was put on the stage with all that belongs to it: what takes a moment more."""
    values = page.controls.in_order
    event.then(controls.wake, values, _touched(page), **_SUPERSEDING)
    event.then(upload.estimate, values, parts(page.upload, page.run, page.result), **_LIGHT)
    event.then(result.place, None, parts(page.run, page.result), **_LIGHT)


def _connect_history(
    page: Page,
    history: HistoryHandlers,
    controls: ControlHandlers,
    upload: UploadHandlers,
    run: RunHandlers,
    result: ResultHandlers,
) -> None:
    whole = parts(page.upload, page.controls, page.preview, page.run, page.result)
    listed, outputs = page.result.listed, parts(page.run, page.result)
    waiting: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": [listed], "concurrency_limit": 2}
    told: dict[str, Any] = {"js": BROWSER, "api_visibility": "private", **waiting}
    opened = listed.select(history.open, page.browser, whole, **told)
    opened.success(None, None, None, js=LOOK_AT_LISTED, **_QUIET)
    _resume(opened, page, controls, upload, result)
    loaded = listed.retry(history.go_on, page.browser, whole, **told)
    loaded.success(None, None, None, js=LOOK_AT_LISTED, **_QUIET)
    asked = loaded.success(run.ask, page.controls.in_order, outputs, **_LIGHT)
    asked.success(run.follow, None, outputs, **_QUIET, **RUNS).then(result.place, None, outputs, **_LIGHT)
    _resume(loaded, page, controls, upload, result)
    fetched = listed.download(history.file, page.browser, outputs, **told)
    fetched.success(None, None, None, js=FETCH_REPORT, **_QUIET)


def _connect_batches_of_history(
    page: Page, history: HistoryHandlers, batch: BatchHandlers, files: FilesHandlers
) -> None:
    listed, outputs = page.result.listed, [*parts(page.batch), *parts(page.result)]
    whole = parts(page.upload, page.controls, page.preview, page.run, page.result, page.batch)
    told: dict[str, Any] = {"js": BROWSER, **_LIGHT}
    listed.expand(history.unfold, page.browser, parts(page.result), **told)
    removed = listed.delete(history.remove, page.browser, parts(page.run, page.result), **told)
    removed.success(batch.again, None, parts(page.batch), **_LIGHT)
    begun = listed.submit(files.go_on, page.browser, whole, **told)
    begun.success(None, None, None, js=LOOK_AT_BATCH, **_QUIET)
    begun.success(batch.follow, None, outputs, **_QUIET, **BATCHES)
    begun.success(files.pictures, None, outputs, trigger_mode="multiple", **_QUIET, **PICTURES)


def _connect_upload(page: Page, upload: UploadHandlers, controls: ControlHandlers, result: ResultHandlers) -> None:
    card, values = page.upload, page.controls.in_order
    outputs = parts(card, page.preview, page.run, page.result, page.controls)
    for event, handler, given in (
        (card.file.upload, upload.upload, card.file),
        (card.examples.click, upload.example, card.examples),
    ):
        chosen = event(handler, [given, *values], outputs, **_LIGHT)
        chosen.then(None, None, None, js=LOOK_AT_PICTURE, **_QUIET)
        _follow(chosen, page, upload, controls)
    page.result.again.click(upload.put_away, None, outputs, js=NEW_PICTURE, **_LIGHT)
    moved = card.photo.select(upload.move, None, parts(card), trigger_mode="multiple", **_LIGHT)
    moved.then(controls.preview, values, _touched(page), **_SUPERSEDING)
    moved.then(result.place, None, parts(page.result), trigger_mode="multiple", **_LIGHT)
    card.photo.input(upload.pin, None, parts(card), trigger_mode="multiple", **_LIGHT)


def _connect_controls(page: Page, upload: UploadHandlers, controls: ControlHandlers) -> None:
    values, named = page.controls.in_order, page.controls.controls
    cards = parts(page.controls, page.result, page.run)
    changed = named["preset"].input(controls.preset, values, cards, **_LIGHT)  # type: ignore[attr-defined]
    _follow(changed, page, upload, controls)
    _follow(page.controls.reset.click(controls.preset, values, cards, **_LIGHT), page, upload, controls)
    _follow(page.upload.tips.select(controls.take, values, cards, **_LIGHT), page, upload, controls)
    _follow(named["reduce"].input(controls.reduce, values, cards, **_LIGHT), page, upload, controls)  # type: ignore[attr-defined]
    moved = [part.input for name, part in named.items() if name not in ("preset", "size", *TAKEN, "tile", "reduce")]  # type: ignore[attr-defined]
    tuning: dict[str, Any] = {**_QUIET, **PREVIEWS, "trigger_mode": "always_last"}
    gr.on(moved, controls.tune, values, _touched(page), **tuning)
    named["tuning"].input(controls.rest, named["tuning"], parts(page.controls), **_LIGHT)  # type: ignore[attr-defined]
    sized = [named[name].input for name in SIZED]  # type: ignore[attr-defined]
    estimated = {**_LIGHT, "trigger_mode": "always_last"}
    gr.on(sized, upload.estimate, values, parts(page.upload, page.run, page.result), **estimated)
    said = named["size"].input(controls.size, values, cards, **_LIGHT)  # type: ignore[attr-defined]
    said.then(None, values, page.remembered, js=REMEMBER, **_QUIET)
    said.then(upload.estimate, values, parts(page.upload, page.run, page.result), **_LIGHT)
    said.then(controls.tune, values, _touched(page), **tuning)
    taken = [named[name].input for name in TAKEN]  # type: ignore[attr-defined]
    gr.on(taken, controls.taking, values, cards, **{**_LIGHT, "trigger_mode": "always_last"})
    gr.on(taken, None, values, page.remembered, js=REMEMBER, **_QUIET)
    page.preview.retry.click(controls.preview, values, _touched(page), **_SUPERSEDING)
    gr.on([*moved, named["tile"].input], None, values, page.remembered, js=REMEMBER, **_QUIET)  # type: ignore[attr-defined]
    copied = page.link.click(None, values, None, js=COPY_LINK, **_QUIET)
    copied.then(controls.copied, None, None, **_LIGHT)


def _connect_comparison(page: Page, compare: CompareHandlers, upload: UploadHandlers) -> None:
    card, values = page.preview, page.controls.in_order
    several: dict[str, Any] = {**_QUIET, "trigger_mode": "multiple"}
    card.compare.click(compare.toggle, values, _touched(page), **several, **COMPARISONS)
    taken = card.cells.select(compare.take, values, _touched(page), **_SUPERSEDING)
    taken.then(None, values, page.remembered, js=REMEMBER, **_QUIET)
    taken.then(upload.estimate, values, parts(page.upload, page.run, page.result), **several, concurrency_limit=8)


def _connect_run(page: Page, run: RunHandlers, result: ResultHandlers) -> None:
    card, outputs = page.run, parts(page.run, page.result)
    asked = card.enhance.click(run.ask, page.controls.in_order, outputs, **_LIGHT)
    followed = asked.then(run.follow, None, outputs, **_QUIET, **RUNS)
    followed.then(None, None, None, js=RUN_ENDED, **_QUIET)
    followed.then(result.place, None, parts(page.result), **_LIGHT)
    card.cancel.click(run.cancel, None, outputs, **_LIGHT)
    waiting: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": [page.result.report_problem]}
    made = page.result.report.click(
        result.report, None, parts(page.result), api_visibility="private", concurrency_limit=1, **waiting
    )
    made.then(None, None, None, js=FETCH_REPORT, **_QUIET)
    waiting["show_progress_on"] = [page.result.taken]
    handed: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 2, **waiting}
    made = page.result.download.click(result.hand_out, page.controls.in_order, parts(page.result), **handed)
    made.then(None, None, None, js=FETCH_FILE, **_QUIET)


def _connect_batch(page: Page, batch: BatchHandlers, files: FilesHandlers, opened: Any) -> None:
    """The second tab, which is there again and goes on when the page is `opened` anew."""
    card, values, outputs = page.batch, page.controls.in_order, [*parts(page.batch), *parts(page.result)]
    card.tab.select(batch.settings, values, outputs, **_LIGHT)
    switch = page.controls.controls["metadata"]
    switched = card.metadata.input(None, card.metadata, switch, js="(keep) => keep", **_QUIET)
    switched.then(None, values, page.remembered, js=REMEMBER, **_QUIET)
    added = card.files.upload(files.add, card.files, outputs, trigger_mode="multiple", **_LIGHT)
    begun = card.run.enhance.click(batch.ask, values, outputs, **_LIGHT)
    for event in (opened, begun):
        event.then(batch.follow, None, outputs, **_QUIET, **BATCHES)
    for event in (opened, added):
        event.then(files.pictures, None, outputs, trigger_mode="multiple", **_QUIET, **PICTURES)
    card.run.cancel.click(batch.cancel, None, outputs, **_LIGHT)
    card.clear.click(files.clear, None, outputs, **_LIGHT)
    card.cards.select(files.remove, None, outputs, trigger_mode="multiple", **_LIGHT)


def _follow(event: Any, page: Page, upload: UploadHandlers, controls: ControlHandlers) -> None:
    """After a new picture or preset: the preview, and beside it the estimate."""
    values = page.controls.in_order
    event.then(None, values, page.remembered, js=REMEMBER, **_QUIET)
    event.then(upload.estimate, values, parts(page.upload, page.run, page.result), trigger_mode="multiple", **_LIGHT)
    event.then(controls.preview, values, _touched(page), **_SUPERSEDING)


def _touched(page: Page) -> list[Any]:
    """What follows a touch of the controls."""
    return parts(page.preview, page.run, page.result, page.controls)
