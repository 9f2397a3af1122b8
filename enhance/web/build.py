"""The app: the page and the endpoints, the handler of each event, and the options of its launch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gradio as gr
from gradio.components import Component
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Scope

from ..config import Config
from ..enhancer import Enhancer
from ..store import TaskStore
from . import compare, controls, history, run, upload
from .api import add_endpoints
from .batch import estimate as batch_estimate
from .batch import run as batch_run
from .batch import selection as batch_selection
from .batch import views as batch_views
from .calls import API
from .gradio_changes import add_page_head, change_gradio, component_id, show_hidden_progress_on
from .http_api import HTTP_ROUTES
from .jobs import JOB_EVENTS
from .layout import Page, build_page
from .metrics import CLEAN_SECONDS, METRICS, Metrics, healthz, start_cleaning
from .page.assets import assets_route, language_script
from .page.assets import page_head as new_page_head
from .page.layout import build_page as build_new_page
from .page.layout import page_texts as new_page_texts
from .params import (
    BATCH_CONTROLS,
    CONTROLS,
    ENCODING_CONTROLS,
    PRESET_CONTROLS,
    PRINT_CONTROLS,
    SIZE_CONTROLS,
    TUNING_CONTROLS,
)
from .preview import PREVIEW_EVENTS
from .regions import regions_route
from .security import Access, OriginCheck, RequestChecks, SecurityHeaders
from .services import Services, create_services, register, services_of
from .sessions import MAX_SESSIONS
from .storage import MARK_SECONDS, MIN_RETENTION
from .theme import page_head, page_texts, page_theme, style_sheet
from .views import Call, Updates, bind, parts

_IS_NEW = bool(os.environ.get("ENHANCE_" + "NEW_PAGE"))  # Undocumented, until the old page goes.
_CONTROLS = json.dumps(CONTROLS)
_CENTRE = "(centre, ...values) => [window.enhanceCentre(), ...values]"
_BROWSER = "(...parts) => window.enhanceBrowser(...parts)"
_LINK_CONTROLS = json.dumps([name for name in CONTROLS if name not in BATCH_CONTROLS])
_SIZES = f"{json.dumps(SIZE_CONTROLS)}, {json.dumps(PRINT_CONTROLS)}"
_COPY_LINK = f"(...values) => window.enhanceCopyLink({_LINK_CONTROLS}, values, {_SIZES})"
_REMEMBER = f"(...values) => Object.fromEntries({_CONTROLS}.map((name, place) => [name, values[place]]))"
_ENABLE = f"(on) => Array({len(TUNING_CONTROLS)}).fill({{ __type__: 'update', interactive: on }})"
_PRESET = f"(preset) => window.enhancePreset(preset, {json.dumps(PRESET_CONTROLS)}, {json.dumps(TUNING_CONTROLS)}, %s)"
"""Sets a preset's sliders at once. A response of the server could come after the next change of a slider."""
_ANSWERED_CONTROLS = ("preset", "reduce")
"""The controls whose changes the server answers with values of other controls."""

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_SHORT: dict[str, Any] = {**_QUIET, "concurrency_limit": 8}
_EACH: dict[str, Any] = {**_SHORT, "trigger_mode": "multiple"}
_LAST: dict[str, Any] = {**_SHORT, "trigger_mode": "always_last"}
_PREVIEW: dict[str, Any] = {**_QUIET, **PREVIEW_EVENTS, "trigger_mode": "multiple"}
"""A later request is sent while an earlier one is in progress: the server stops the earlier one."""
_ADJUST: dict[str, Any] = {**_QUIET, **PREVIEW_EVENTS, "trigger_mode": "always_last"}
_JOB: dict[str, Any] = {**_QUIET, **JOB_EVENTS}
_COMPARISON: dict[str, Any] = {**_JOB, "trigger_mode": "multiple"}
_THUMBNAILS: dict[str, Any] = {**_QUIET, **batch_views.THUMBNAIL_EVENTS, "trigger_mode": "multiple"}

_NO_STATISTICS = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000"}
"""Gradio sends nothing, and does not sum up all events after each one for a route that is closed here."""
_TRIM_SECONDS = 60
_THREADS = 60
"""Threads for everything but the waiting runs, each of which needs another one."""
_MAX_EVENTS = 1000
"""Far above what the app's own queue admits: a full queue rejects runs, but no upload and no slider."""


def build(enhancer: Enhancer, metrics: Metrics | None = None) -> gr.Blocks:
    """Return the whole app, not yet launched. Imports no PyTorch. Jobs and errors are recorded in `metrics`."""
    change_gradio()
    config, metrics = enhancer.config, metrics or Metrics()
    for name, value in _NO_STATISTICS.items():
        os.environ.setdefault(name, value)
    limits, tasks = config.limits, enhancer.tasks
    enhancer.max_pixels, enhancer.max_bytes = limits.pixels, limits.bytes
    services = create_services(enhancer, metrics)
    folder = services.downloads
    retention = max(MIN_RETENTION, int(config.hours * 3600))
    # Gradio deletes its own copies of files after the same time as the app deletes the files of the page.
    with gr.Blocks(title="Enhance", analytics_enabled=False, delete_cache=(min(3600, retention), retention)) as demo:
        if _IS_NEW:
            build_new_page(gr.I18n())
            add_page_head(_head_of, language_script)
        else:
            page = build_page(page_texts(limits), login=config.auth is not None)
            add_endpoints(services)  # Before the page's events, so that the endpoints get their names.
            _Events(demo, page, services).add_all()
    if _IS_NEW:
        # On a page of their own, the endpoints are not part of what a browser loads.
        with demo.route("API", "endpoints", show_in_navbar=False):
            add_endpoints(services)
    register(demo, services)
    metrics.watch(enhancer.status, tasks.folder)
    sessions = services.sessions

    def mark_used() -> None:
        used = sessions.used_paths() | folder.take_used()
        folder.touch(used)
        tasks.mark_used(used)

    folder.mark_used = mark_used
    start_cleaning(
        (0, sessions.sweep),
        (0, services.previews.images.sweep),
        (0, services.views.kept.sweep),
        (MARK_SECONDS, mark_used),
        (CLEAN_SECONDS if config.max_disk is None else _TRIM_SECONDS, tasks.clean),
        (0, enhancer.release_if_idle),
    )
    demo.queue(max_size=_MAX_EVENTS, default_concurrency_limit=8, api_open=False)
    return demo


def _head_of(scope: Scope) -> str:
    return new_page_head(services_of(scope).enhancer.config)


def launch_options(config: Config, metrics: Metrics | None = None, tasks: TaskStore | None = None) -> dict[str, Any]:
    """Return the arguments of `Blocks.launch`, apart from those that Gradio reads from the environment.

    `metrics` belong to the app. Uploads share the disk space of `tasks`.
    """
    limits, metrics = config.limits, metrics or Metrics()
    routes: list[BaseRoute] = [
        assets_route(config),
        regions_route(),
        *HTTP_ROUTES,
        Route("/healthz", healthz, methods=["GET", "HEAD"]),
    ]
    if config.agents:
        from .agents import serve_http  # Only a server with agents spends the time to import the package mcp.

        routes.append(Mount(f"{API}/mcp", serve_http))
    if metrics.is_served:
        routes.append(Route(METRICS, metrics.show))
    return {
        "server_name": config.host,
        "server_port": config.port,
        "auth": config.auth,
        "theme": page_theme(),
        **({} if _IS_NEW else {"css": style_sheet(), "head": page_head(limits)}),
        "i18n": new_page_texts() if _IS_NEW else page_texts(limits),
        "footer_links": ["api"],
        "max_file_size": limits.bytes,
        # Gradio has a state for each page and API session, which holds the components that changed.
        "state_session_capacity": MAX_SESSIONS,
        "max_threads": _THREADS + config.queue,
        "strict_cors": True,
        "show_error": False,
        "run_history": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "app_kwargs": {
            "middleware": [
                Middleware(SecurityHeaders, config.frame_ancestors),
                Middleware(OriginCheck, metrics, config.public_host),
                Middleware(Access, config.api_keys),
                Middleware(RequestChecks, limits, tasks or TaskStore(config.server_data)),
            ],
            "routes": routes,
        },
    }


class _Events:
    """The events of the page. The outputs of a handler are the components that it can change."""

    def __init__(self, demo: gr.Blocks, page: Page, services: Services):
        self._demo, self._page, self._services = demo, page, services
        self._named, self._values = page.named, page.values
        # Gradio's defaults for both arguments are random, so that stored values would be lost at a restart.
        self._stored = gr.BrowserState(storage_key="enhance-settings", secret="no secret")
        self._result = parts(page.result)
        self._bar = parts(page.run, page.result)
        self._estimate = parts(page.upload, page.run, page.result, page.batch)
        self._controls = [*parts(page.controls, page.named, page.result, page.run), page.batch.progress]
        self._preview = parts(page.preview, page.run, page.result, page.controls, page.named)
        self._photo = parts(page.upload) + self._preview
        self._batch = parts(page.batch, page.result)
        self._file = parts(page.batch) + self._photo

    def add_all(self) -> None:
        self._add_upload()
        self._add_controls()
        self._add_comparison()
        self._add_run()
        self._add_batch()
        self._add_history()
        browser = [gr.Textbox(visible=False) for _ in range(2)]  # The tab and the earlier server.
        browser_state = [*browser, self._stored]
        opened = self._on(self._demo.load, controls.open_page, browser_state, self._file, js=_BROWSER, **_SHORT)
        self._script(opened.then, "enhanceOpened()")
        self._on(opened.then, run.follow_run, [], self._bar, **_JOB)
        self._show_loaded(opened)
        self._follow_batch(opened.then)
        self._make_thumbnails(opened.then)
        self._demo.unload(self._services.sessions.close)
        show_hidden_progress_on(self._demo, self._page.run.why)

    def _add_upload(self) -> None:
        card, again = self._page.upload, self._page.result.again
        for event, handler, given in (
            (card.file.upload, upload.choose_file, card.file),
            (card.examples.click, upload.choose_example, card.examples),
        ):
            chosen = self._answer(event, handler, [given, *self._values], self._photo, **_EACH)
            self._script(chosen.then, "enhanceFocusStep('image')")
            self._remember(chosen.then)
            self._show_estimate(chosen.then)
        self._script(again.click, "enhanceFocusStep('chooser')")
        self._answer(again.click, upload.start_over, [], self._photo, **_SHORT)
        self._show_preview(card.photo.select, controls.change_view)

    def _add_controls(self) -> None:
        card, named, values = self._page.controls, self._named, self._values
        tuned = [named[name] for name in TUNING_CONTROLS]
        own = [named[name] for name in PRESET_CONTROLS]
        sizes = ("size", *SIZE_CONTROLS, *PRINT_CONTROLS)
        sized = [card.sizes.select, *(named[name].input for name in sizes)]
        encodings = [named[name].input for name in ENCODING_CONTROLS]
        for event, is_reset in ((named["preset"].input, "false"), (card.reset.click, "true")):
            event(None, named["preset"], own, js=_PRESET % is_reset, **_QUIET, trigger_mode="multiple")
        for event, handler, options in (
            (named["preset"].input, controls.choose_preset, {**_LAST, "asks": ["preset"]}),
            (card.reset.click, controls.choose_preset, _LAST),
            (named["reduce"].input, controls.change_reduction, {**_LAST, "asks": ["reduce"]}),
        ):
            chosen = self._answer(event, handler, values, self._controls, **options)
            self._remember(chosen.then)
            self._show_estimate(chosen.then)
            self._show_preview(chosen.then, controls.preview)
        # The browser's own part comes first: later listeners of an event wait for the response to earlier ones.
        remembered = (*PRESET_CONTROLS, *ENCODING_CONTROLS, "tile", *BATCH_CONTROLS)
        self._remember(partial(gr.on, [*sized, *(named[name].input for name in remembered)]))
        named["tuning"].input(None, named["tuning"], tuned, js=_ENABLE, **_QUIET)
        self._show_preview(partial(gr.on, [part.input for part in own]), controls.adjust_preview)
        changed = self._answer(partial(gr.on, sized), controls.change_size, values, self._controls, sizes, **_LAST)
        self._show_estimate(changed.then)
        self._show_preview(changed.then, controls.adjust_preview)
        self._on(partial(gr.on, encodings), controls.change_encoding, values, self._controls, **_LAST)
        self._show_estimate(partial(gr.on, encodings))
        self._show_estimate(named["largest"].input)
        self._show_preview(named["largest"].input, controls.adjust_preview)
        self._when_settled(self._page.preview.retry.click, controls.preview, values, self._preview, **_PREVIEW)
        messages = [self._page.run.progress, self._page.batch.progress]
        self._on(self._page.upload.tips.select, controls.clear_messages, [], messages, **_EACH)
        copied = card.link.click(None, values, None, js=_COPY_LINK, **_QUIET)
        self._on(copied.then, controls.confirm_copied_link, [], None, **_SHORT)

    def _add_comparison(self) -> None:
        card, values = self._page.preview, self._values
        given = [gr.JSON(visible=False), *values]
        self._on(card.compare.click, compare.toggle_comparison, given, self._preview, js=_CENTRE, **_COMPARISON)
        selected = self._answer(card.cells.select, compare.select_cell, values, self._preview, **_PREVIEW)
        self._remember(selected.then)
        self._show_loaded(selected)

    def _add_run(self) -> None:
        card, result, values = self._page.run, self._page.result, self._values
        started = self._when_settled(card.enhance.click, run.start_run, values, self._bar, **_SHORT)
        followed = self._on(started.then, run.follow_run, [], self._bar, **_JOB)
        self._script(followed.then, "enhanceFocusStep('end')")
        self._on(card.cancel.click, run.cancel_run, [], self._bar, **_SHORT)
        options = _visible_progress(result.report_problem, 1)
        for button, handler, of_page in (
            (result.report, run.report, False),
            (self._page.batch.reports, batch_run.write_reports, True),
        ):
            written = self._on(button.click, handler, [], self._result, of_page=of_page, **options)
            self._script(written.then, "enhanceFetch('#report-problem')")
        options = _visible_progress(result.download_message, 2)
        exported = self._when_settled(result.download.click, run.export, values, self._result, **options)
        self._script(exported.then, "enhanceFetch('#download-message')")

    def _add_batch(self) -> None:
        card, values = self._page.batch, self._values
        # Gradio's own event of a tab is also sent when the page opens.
        for event, handler, options in (
            (card.cards.expand, batch_selection.show_tab, {**_LAST, "opens_tab": True}),
            (card.cards.select, batch_selection.select_file, _EACH),
        ):
            self._show_loaded(self._answer(event, handler, values, self._file, **options))
        for event, handler, given in (
            (card.files.upload, batch_run.add_files, [card.files]),
            (card.clear.click, batch_run.clear_files, []),
            (card.cards.delete, batch_run.remove_file, []),
        ):
            changed = self._on(event, handler, given, self._batch, of_page=True, **_EACH)
            self._make_thumbnails(changed.then)
            self._select_first(changed.then)
        for event, handler in (
            (card.cards.retry, batch_run.retry_file),
            (card.cards.submit, partial(batch_run.retry_file, is_flexible=True)),
            (card.cards.apply, batch_run.retry_with_auto),
        ):
            again = self._on(event, handler, values, self._file, **_EACH)
            self._follow_batch(again.then)
            self._select_first(again.then)
        started = self._when_settled(card.enhance.click, batch_run.start_batch, values, self._batch, **_SHORT)
        self._follow_batch(started.then)
        self._on(card.cancel.click, batch_run.cancel_batch, [], self._batch, of_page=True, **_SHORT)

    def _add_history(self) -> None:
        page, history_list = self._page, self._page.result.history_list
        # The next press can be on another row.
        long: dict[str, Any] = {**_visible_progress(history_list, 2), "of_page": True, "trigger_mode": "multiple"}
        opened = self._answer(history_list.select, history.open_entry, [], self._photo, **long)
        self._script(opened.success, "enhanceFocusStep('image', 'one')")
        self._show_loaded(opened)
        downloaded = self._on(history_list.download, history.download_entry, [], self._bar, **long)
        self._script(downloaded.success, "enhanceFetch('#report-problem')")
        self._on(history_list.expand, history.toggle_batch, [], self._result, of_page=True, **_EACH)
        # One at a time, because the page shows the list of the response that arrives last.
        one_by_one = {**_EACH, "concurrency_limit": 1}
        removed = self._on(history_list.delete, history.remove_entry, [], self._bar, of_page=True, **one_by_one)
        self._on(removed.success, batch_views.show_batch, [], parts(page.batch), of_page=True, **_SHORT)

    def _show_loaded(self, event: Any) -> None:
        """Update the preview and the estimate after a photo is shown with its settings."""
        self._show_preview(event.then, controls.update_preview)
        self._show_estimate(event.then)

    def _show_preview(self, event: Callable[..., Any], handler: Callable[..., Any]) -> None:
        options = _ADJUST if handler is controls.adjust_preview else _PREVIEW
        self._on(event, handler, self._values, self._preview, **options)

    def _show_estimate(self, event: Callable[..., Any]) -> None:
        self._on(event, batch_estimate.estimate, self._values, self._estimate, **_EACH)

    def _select_first(self, event: Callable[..., Any]) -> None:
        """Show a file after a change of the list."""
        self._show_loaded(self._answer(event, batch_selection.select_first, self._values, self._file, **_EACH))

    def _follow_batch(self, event: Callable[..., Any]) -> None:
        followed = self._on(event, batch_run.follow_batch, [], self._file, of_page=True, **_JOB)
        self._show_estimate(followed.then)

    def _make_thumbnails(self, event: Callable[..., Any]) -> None:
        self._on(event, batch_views.make_thumbnails, [], self._batch, of_page=True, **_THUMBNAILS)

    def _on(
        self,
        event: Any,
        handler: Callable[..., Any],
        inputs: list[Any],
        outputs: Any,
        of_page: bool = False,
        **options: Any,
    ) -> Any:
        """Call the handler at an event. `of_page` and `opens_tab` are as in `bind`."""
        opens_tab = options.pop("opens_tab", False)
        call = bind(self._page, self._services, handler, inputs, outputs or (), of_page=of_page, opens_tab=opens_tab)
        return event(call, inputs, outputs, **options)

    def _answer(
        self,
        event: Any,
        handler: Callable[..., Any],
        inputs: list[Any],
        outputs: list[Any],
        asks: Sequence[str] = (),
        **options: Any,
    ) -> Any:
        """Call a handler that sets values of controls. Controls that changed since the event keep their value.

        `asks` are the controls that cause the event. They can change before the request is sent.
        """
        # As outputs of the handler, controls would lose changes that the user made meanwhile. So their values go to a
        # hidden component, and the script sets the controls that have not changed.
        values = gr.JSON(visible=False)
        marker = component_id(values)
        js = f"(...given) => (window.enhanceAsks(...{json.dumps([marker, asks])}), given)"
        separated = _separate_values(self._named, values, handler)
        answered = self._on(event, separated, inputs, [*outputs, values], js=js, **options)
        take = f"(values) => window.enhanceTakes({marker}, {_CONTROLS}, values)"
        shown = answered.success(None, values, self._values, js=take, **_QUIET)
        self._script(shown.then, "enhanceAnswered()")
        self._script(answered.failure, "enhanceFailed()")
        return shown

    def _when_settled(self, event: Callable[..., Any], *handler: Any, **options: Any) -> Any:
        """Call a handler at an event, once all answers for controls have arrived."""
        call = f"() => window.enhanceSettled({json.dumps(_ANSWERED_CONTROLS)})"
        return self._on(event(None, None, None, js=call, **_QUIET).then, *handler, **options)

    def _script(self, event: Callable[..., Any], call: str) -> None:
        """Call a function of the page's script at an event."""
        event(None, None, None, js=f"() => window.{call}", **_QUIET)

    def _remember(self, event: Callable[..., Any]) -> None:
        """Store the controls in the browser for the next visit."""
        event(None, self._values, self._stored, js=_REMEMBER, **_QUIET)


def _separate_values(
    controls: dict[str, Component], target: Component, handler: Callable[..., Updates]
) -> Callable[..., Updates]:
    """Return the handler with its new values of controls in `target`, by name. The script sets those that still fit."""
    names = {component: name for name, component in controls.items()}

    def separated(call: Call, *given: Any) -> Updates:
        updates, values = handler(call, *given), dict[str, object]()
        for component in names.keys() & updates.keys():
            update = updates.pop(component)
            arguments = dict(update.constructor_args) if isinstance(update, Component) else {"value": update}
            if "value" in arguments:
                values[names[component]] = arguments.pop("value")
            updates[component] = gr.update(**arguments)
        return {**updates, target: values}

    return separated


def _visible_progress(component: Component, limit: int) -> dict[str, Any]:
    """Return the options of a slow event, whose progress is shown in `component`."""
    return {
        "api_visibility": "private",
        "concurrency_limit": limit,
        "show_progress": "minimal",
        "show_progress_on": [component],
    }
