"""The page and the endpoints put together, and which handler follows which touch of the page."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from ..enhancer import Enhancer
from .api import add_endpoints
from .batch import BATCHES, BatchHandlers
from .compare import COMPARISONS, CompareHandlers
from .controls import ControlHandlers, apart
from .gradio_changes import change_gradio
from .history import HistoryHandlers
from .layout import Page, build_page
from .metrics import Metrics, at_most_every, keep_swept
from .params import CONTROLS, SIZED, SLIDERS_OF_PRESET, TAKEN, TUNED
from .preview import PREVIEWS, Previews
from .run import RUNS, ResultHandlers, RunHandlers
from .serving import page_folder, page_texts
from .session import Visitors
from .storage import SHORTEST_RETENTION, TOUCH_SECONDS, DownloadFolder, Owners
from .upload import PICTURES, FilesHandlers, UploadHandlers
from .views import Services, parts

_BROWSER = "(...parts) => window.enhanceBrowser(...parts)"
_CONTROLS = json.dumps(CONTROLS)
_COPY_LINK = f"(...values) => window.enhanceCopyLink({_CONTROLS}, values, {json.dumps(SIZED)})"
_REMEMBER = f"(...values) => Object.fromEntries({_CONTROLS}.map((name, place) => [name, values[place]]))"
_REST = f"(on) => Array({len(TUNED)}).fill({{ __type__: 'update', interactive: on }})"

_PRESET = f"(preset) => window.enhancePreset(preset, {json.dumps(SLIDERS_OF_PRESET)}, {json.dumps(TUNED)}, %s)"
"""Sets the sliders of a preset at once: an answer of the server would come after the person's next touch."""
_ASKING = ("preset", "size", "reduce")
"""The controls whose touch the server answers with values for others."""

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_LIGHT: dict[str, Any] = {**_QUIET, "concurrency_limit": 8}
_SUPERSEDING: dict[str, Any] = {**_QUIET, **PREVIEWS, "trigger_mode": "multiple"}
"""A later request is sent while an earlier one is on its way: the server stops the earlier one."""

_NO_STATISTICS = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000"}
"""Nothing is sent anywhere; nor does Gradio sum up all events anew after each one, for a page that is closed here."""
_TIDY_SECONDS, _TRIM_SECONDS = 600, 60
_MOST_EVENTS = 1000
"""Far above what the line lets wait: a full one refuses runs only, never an upload, a slider or a status."""


def _as_told(self: gr.Radio, payload: Any, listed: Any = gr.Radio.preprocess) -> Any:
    """Also a size that an answer has just taken off the list, which the page does not have yet: it is judged later."""
    return payload if self.elem_id == "scale" and isinstance(payload, int | float) else listed(self, payload)


gr.Radio.preprocess = _as_told


def build(enhancer: Enhancer, metrics: Metrics | None = None) -> gr.Blocks:
    """The whole app as Blocks, not yet launched; imports no PyTorch. What it does is told to `metrics`."""
    change_gradio()
    config, metrics = enhancer.config, metrics or Metrics()
    for name, value in _NO_STATISTICS.items():
        os.environ.setdefault(name, value)
    limits = config.limits
    folder = page_folder(config, enhancer)
    kept = max(SHORTEST_RETENTION, int(config.hours * 3600))
    with gr.Blocks(title="Enhance", analytics_enabled=False, delete_cache=(min(3600, kept), kept)) as demo:
        page = build_page(page_texts(limits), login=config.auth is not None)
        services = Services(
            enhancer,
            limits,
            Visitors(folder.path("visitors")),
            Previews(enhancer, limits, metrics),
            DownloadFolder(folder),
            Owners(),
            config.queue,
            metrics=metrics,
        )
        metrics.watch(enhancer.status)
        visitors, tasks = services.visitors, enhancer.tasks
        folder.keep_used = lambda: visitors.keep_used(folder.root, tasks.folder)
        folder.uploads = lambda: list(demo.upload_file_set)
        tasks.page_items = folder.items
        used = at_most_every(TOUCH_SECONDS, folder.keep_used)
        tidied = at_most_every(_TIDY_SECONDS if config.max_disk is None else _TRIM_SECONDS, tasks.clean)
        keep_swept(visitors.sweep, services.previews.sweep, used, folder.sweep, tidied, enhancer.release_if_idle)
        add_endpoints(services)  # first, for their names
        _connect(demo, page, services)
    demo.queue(max_size=_MOST_EVENTS, default_concurrency_limit=8, api_open=False)
    return demo


class _Handlers:
    """What answers the touches of each card, and the browser: what it tells (tab, key, earlier server), and keeps."""

    def __init__(self, page: Page, services: Services):
        self.browser = [gr.Textbox(visible=False) for _ in range(3)]
        # what is random by default would end with the server
        self.remembered = gr.BrowserState(storage_key="enhance-settings", secret="no secret")
        self.upload, self.controls = UploadHandlers(page, services), ControlHandlers(page, services)
        self.run, self.result = RunHandlers(page, services), ResultHandlers(page, services)
        self.history, self.batch = HistoryHandlers(page, services), BatchHandlers(page, services)
        self.files = FilesHandlers(page, services, self.batch)
        self.compare = CompareHandlers(page, services, self.controls)


def _connect(demo: gr.Blocks, page: Page, services: Services) -> None:
    to = _Handlers(page, services)
    opened = _connect_opening(demo, page, to)
    _connect_upload(page, to)
    _connect_controls(page, to)
    _connect_comparison(page, to)
    _connect_run(page, to)
    _connect_history(page, to)
    _connect_batch(page, to, opened)
    _connect_batches_of_history(page, to)
    demo.unload(services.visitors.leave)
    _keep_quiet(demo, page.run.why)


def _keep_quiet(demo: gr.Blocks, one: gr.HTML) -> None:
    """Tell `one` part of progress that is hidden: else all that an answer may change is drawn anew at each step."""
    for event in demo.fns.values():
        if event.show_progress == "hidden":
            event.show_progress_on = [one]


def _connect_opening(demo: gr.Blocks, page: Page, to: _Handlers) -> Any:
    """What this tab of the browser had before is there again, and goes on."""
    whole = parts(page.upload, page.controls, page.preview, page.run, page.result, page.batch)
    opened = demo.load(to.controls.open, [*to.browser, to.remembered], whole, js=_BROWSER, **_LIGHT)
    _in_browser(opened.then, "enhanceOpened()")
    opened.then(to.run.follow, None, parts(page.run, page.result), **_QUIET, **RUNS)
    _resume(opened, page, to)
    return opened


def _resume(event: Any, page: Page, to: _Handlers) -> None:
    """After a picture was put on the stage with all that belongs to it: what takes a moment more."""
    values = page.controls.in_order
    event.then(to.controls.wake, values, _touched(page), **_SUPERSEDING)
    event.then(to.upload.estimate, values, parts(page.upload, page.run, page.result), **_LIGHT)
    event.then(to.result.place, None, parts(page.run, page.result), **_LIGHT)


def _connect_history(page: Page, to: _Handlers) -> None:
    whole = parts(page.upload, page.controls, page.preview, page.run, page.result)
    listed, outputs = page.result.listed, parts(page.run, page.result)
    waiting: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": [listed], "concurrency_limit": 2}
    told: dict[str, Any] = {"js": _BROWSER, "api_visibility": "private", **waiting}
    opened = _answer(page, listed.select, to.history.open, to.browser, whole, **told)
    _in_browser(opened.success, "enhanceLookAt('picture', 'one')")
    _resume(opened, page, to)
    loaded = _answer(page, listed.retry, to.history.go_on, to.browser, whole, **told)
    _in_browser(loaded.success, "enhanceLookAt('picture', 'one')")
    asked = loaded.success(to.run.ask, page.controls.in_order, outputs, **_LIGHT)
    asked.success(to.run.follow, None, outputs, **_QUIET, **RUNS).then(to.result.place, None, outputs, **_LIGHT)
    _resume(loaded, page, to)
    fetched = listed.download(to.history.file, to.browser, outputs, **told)
    _in_browser(fetched.success, "enhanceFetchReport()")


def _connect_batches_of_history(page: Page, to: _Handlers) -> None:
    listed, outputs = page.result.listed, [*parts(page.batch), *parts(page.result)]
    whole = parts(page.upload, page.controls, page.preview, page.run, page.result, page.batch)
    told: dict[str, Any] = {"js": _BROWSER, **_LIGHT}
    listed.expand(to.history.unfold, to.browser, parts(page.result), **told)
    removed = listed.delete(to.history.remove, to.browser, parts(page.run, page.result), **told)
    removed.success(to.batch.again, None, parts(page.batch), **_LIGHT)
    begun = _answer(page, listed.submit, to.files.go_on, to.browser, whole, **told)
    _in_browser(begun.success, "enhanceLookAt('batch', 'many')")
    begun.success(to.batch.follow, None, outputs, **_QUIET, **BATCHES)
    begun.success(to.files.pictures, None, outputs, trigger_mode="multiple", **_QUIET, **PICTURES)


def _connect_upload(page: Page, to: _Handlers) -> None:
    card, values = page.upload, page.controls.in_order
    outputs = parts(card, page.preview, page.run, page.result, page.controls)
    for event, handler, given in (
        (card.file.upload, to.upload.upload, card.file),
        (card.examples.click, to.upload.example, card.examples),
    ):
        chosen = _answer(page, event, handler, [given, *values], outputs, trigger_mode="multiple", **_LIGHT)
        _in_browser(chosen.then, "enhanceLookAt('picture')")
        _follow(chosen, page, to, to.controls.preview_photo)
    _in_browser(page.result.again.click, "enhanceLookAt('chooser')")
    _answer(page, page.result.again.click, to.upload.put_away, None, outputs, **_LIGHT)
    moved = card.photo.select(to.upload.move, None, parts(card), trigger_mode="multiple", **_LIGHT)
    moved.then(to.controls.preview, values, _touched(page), **_SUPERSEDING)
    moved.then(to.result.place, None, parts(page.result), trigger_mode="multiple", **_LIGHT)
    card.photo.input(to.upload.pin, None, parts(card), trigger_mode="multiple", **_LIGHT)


def _connect_controls(page: Page, to: _Handlers) -> None:
    values, named = page.controls.in_order, page.controls.controls
    cards = parts(page.controls, page.result, page.run)
    last: dict[str, Any] = {**_LIGHT, "trigger_mode": "always_last"}
    sliders = [named[name] for name in SLIDERS_OF_PRESET]
    for event, is_reset in ((named["preset"].input, "false"), (page.controls.reset.click, "true")):  # type: ignore[attr-defined]
        event(None, named["preset"], sliders, js=_PRESET % is_reset, **_QUIET, trigger_mode="multiple")
    for event, handler, how in (
        (named["preset"].input, to.controls.preset, {**last, "asks": "preset"}),  # type: ignore[attr-defined]
        (page.controls.reset.click, to.controls.preset, last),
        (page.upload.tips.select, to.controls.take, {**_LIGHT, "trigger_mode": "multiple"}),
        (named["reduce"].input, to.controls.reduce, {**last, "asks": "reduce"}),  # type: ignore[attr-defined]
    ):
        _follow(_answer(page, event, handler, values, cards, **how), page, to)
    moved = [part.input for name, part in named.items() if name not in ("preset", "size", *TAKEN, "tile", "reduce")]  # type: ignore[attr-defined]
    taken = [named[name].input for name in TAKEN]  # type: ignore[attr-defined]
    # the browser's own part first: what follows a touch waits for the answer to what was connected before it
    _remember(page, to, partial(gr.on, [*moved, *taken, named["tile"].input]))  # type: ignore[attr-defined]
    named["tuning"].input(None, named["tuning"], [named[name] for name in TUNED], js=_REST, **_QUIET)  # type: ignore[attr-defined]
    tuning: dict[str, Any] = {**_QUIET, **PREVIEWS, "trigger_mode": "always_last"}
    gr.on(moved, to.controls.tune, values, _touched(page), **tuning)
    sized = [named[name].input for name in SIZED]  # type: ignore[attr-defined]
    estimated = parts(page.upload, page.run, page.result)
    gr.on(sized, to.upload.estimate, values, estimated, **last)
    said = _answer(page, named["size"].input, to.controls.size, values, cards, asks="size", **last)  # type: ignore[attr-defined]
    _remember(page, to, said.then)
    said.then(to.upload.estimate, values, estimated, **last)
    said.then(to.controls.tune, values, _touched(page), **tuning)
    gr.on(taken, to.controls.taking, values, cards, **last)
    _settled(page.preview.retry.click, to.controls.preview, values, _touched(page), **_SUPERSEDING)
    copied = page.link.click(None, values, None, js=_COPY_LINK, **_QUIET)
    copied.then(to.controls.copied, None, None, **_LIGHT)


def _connect_comparison(page: Page, to: _Handlers) -> None:
    card, values = page.preview, page.controls.in_order
    several: dict[str, Any] = {**_QUIET, "trigger_mode": "multiple"}
    card.compare.click(to.compare.toggle, values, _touched(page), **several, **COMPARISONS)
    taken = _answer(page, card.cells.select, to.compare.take, values, _touched(page), **_SUPERSEDING)
    _remember(page, to, taken.then)
    taken.then(to.controls.wake, values, _touched(page), **_SUPERSEDING)
    taken.then(to.upload.estimate, values, parts(page.upload, page.run, page.result), **several, concurrency_limit=8)


def _connect_run(page: Page, to: _Handlers) -> None:
    card, outputs = page.run, parts(page.run, page.result)
    asked = _settled(card.enhance.click, to.run.ask, page.controls.in_order, outputs, **_LIGHT)
    followed = asked.then(to.run.follow, None, outputs, **_QUIET, **RUNS)
    _in_browser(followed.then, "enhanceLookAt('end')")
    followed.then(to.result.place, None, parts(page.result), **_LIGHT)
    card.cancel.click(to.run.cancel, None, outputs, **_LIGHT)
    waiting: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": [page.result.report_problem]}
    made = page.result.report.click(
        to.result.report, None, parts(page.result), api_visibility="private", concurrency_limit=1, **waiting
    )
    _in_browser(made.then, "enhanceFetchReport()")
    waiting["show_progress_on"] = [page.result.taken]
    handed: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 2, **waiting}
    made = _settled(page.result.download.click, to.result.export, page.controls.in_order, parts(page.result), **handed)
    _in_browser(made.then, "enhanceFetchFile()")


def _connect_batch(page: Page, to: _Handlers, opened: Any) -> None:
    """The second tab, which is there again and goes on when the page is `opened` anew."""
    card, values, outputs = page.batch, page.controls.in_order, [*parts(page.batch), *parts(page.result)]
    switch = page.controls.controls["metadata"]
    card.tab.select(None, switch, card.metadata, js="(keep) => keep", **_QUIET)
    card.tab.select(to.batch.settings, values, outputs, **{**_LIGHT, "trigger_mode": "always_last"})
    switched = card.metadata.input(None, card.metadata, switch, js="(keep) => keep", **_QUIET)
    _remember(page, to, switched.then)
    added = card.files.upload(to.files.add, card.files, outputs, trigger_mode="multiple", **_LIGHT)
    begun = _settled(card.enhance.click, to.batch.ask, values, outputs, **_LIGHT)
    for event in (opened, begun):
        event.then(to.batch.follow, None, outputs, **_QUIET, **BATCHES)
    for event in (opened, added):
        event.then(to.files.pictures, None, outputs, trigger_mode="multiple", **_QUIET, **PICTURES)
    card.cancel.click(to.batch.cancel, None, outputs, **_LIGHT)
    card.clear.click(to.files.clear, None, outputs, **_LIGHT)
    card.cards.select(to.files.remove, None, outputs, trigger_mode="multiple", **_LIGHT)


def _follow(event: Any, page: Page, to: _Handlers, preview: Callable[..., Any] | None = None) -> None:
    """After a new picture or preset: the preview, and beside it the estimate."""
    values = page.controls.in_order
    _remember(page, to, event.then)
    event.then(to.upload.estimate, values, parts(page.upload, page.run, page.result), trigger_mode="multiple", **_LIGHT)
    event.then(preview or to.controls.preview, values, _touched(page), **_SUPERSEDING)


def _answer(
    page: Page, event: Callable[..., Any], handler: Callable[..., Any], given: Any, outputs: Any, **how: Any
) -> Any:
    """An answer that may say where controls are to stand: what was touched since it was asked for stays as it is.

    `asks` is the control whose touch asked for it; that touch may lie before the request.
    """
    card, told = page.controls, gr.JSON(visible=False)
    asks, js = json.dumps([told._id, how.pop("asks", "")]), how.pop("js", "(...given) => given")
    how["js"] = f"(...given) => (window.enhanceAsks(...{asks}), ({js})(...given))"
    answered = event(apart(card.controls, told, handler), given, [*outputs, told], **how)
    taken = f"(values) => window.enhanceTakes({told._id}, {_CONTROLS}, values)"
    shown = answered.success(None, told, card.in_order, js=taken, **_QUIET)
    _in_browser(shown.then, "enhanceAnswered()")
    _in_browser(answered.failure, "enhanceFailed()")
    return shown


def _settled(event: Callable[..., Any], handler: Callable[..., Any], given: Any, outputs: Any, **how: Any) -> Any:
    """Call the handler at this event once the controls show all that they are to show."""
    waited = event(None, None, None, js=f"() => window.enhanceSettled({json.dumps(_ASKING)})", **_QUIET)
    return waited.then(handler, given, outputs, **how)


def _in_browser(event: Callable[..., Any], call: str) -> None:
    """A call of the page's own script at this event."""
    event(None, None, None, js=f"() => window.{call}", **_QUIET)


def _remember(page: Page, to: _Handlers, event: Callable[..., Any]) -> None:
    """The controls as they are now for the browser's next visit."""
    event(None, page.controls.in_order, to.remembered, js=_REMEMBER, **_QUIET)


def _touched(page: Page) -> list[Any]:
    """What follows a touch of the controls."""
    return parts(page.preview, page.run, page.result, page.controls)
