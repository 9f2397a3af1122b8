"""Which handler follows which touch. None of these is part of the public API."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .adjusting import Adjusting, open_outputs, preset_outputs
from .batching import Batching, batch_outputs
from .choosing import FASTER, Choosing, chosen_outputs, estimate_outputs
from .desk import Desk, preview_outputs
from .enhancing import Enhancing, enhancing_outputs
from .inspecting import Inspecting, inspecting_outputs
from .page import Page
from .reporting import Reporting, report_outputs
from .style import COPY_LINK, FETCH_REPORT, SHOW_RESULT

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_LIGHT: dict[str, Any] = {**_QUIET, "concurrency_limit": 8}
_SUPERSEDING: dict[str, Any] = {**_QUIET, "trigger_mode": "multiple"}
"""A later request is sent while an earlier one is on its way: the server stops the earlier one."""
_REPORT: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private", "concurrency_limit": 1}
RUNS: dict[str, Any] = {"concurrency_id": "runs", "concurrency_limit": 1}
"""One long run at a time, the page's and the API's together; the others wait in Gradio's queue."""
BATCHES: dict[str, Any] = {"concurrency_id": "batches", "concurrency_limit": 8}
"""A batch lets other runs in between two of its files, so that several may be on their way."""
PREVIEWS: dict[str, Any] = {"concurrency_id": "previews", "concurrency_limit": 4}
"""Previews do not wait for runs: the engine lets them in between two steps."""


def connect(demo: gr.Blocks, page: Page, desk: Desk) -> None:
    """Bind the handlers to the page's parts."""
    adjusting, choosing = Adjusting(page, desk), Choosing(page, desk)
    _connect_choosing(page, choosing, adjusting)
    _connect_adjusting(demo, page, adjusting, choosing)
    _connect_enhancing(page, desk)
    place = Inspecting(page, desk).place
    page.result.map.select(place, None, inspecting_outputs(page), trigger_mode="multiple", **_LIGHT)
    page.link.click(None, page.controls["preset"], None, js=COPY_LINK, **_QUIET).then(
        adjusting.copied, None, None, **_LIGHT
    )
    _connect_report(page, desk)
    _connect_batch(page, desk)
    demo.unload(desk.visitors.leave)


def _connect_choosing(page: Page, choosing: Choosing, adjusting: Adjusting) -> None:
    picking, controls = page.picking, page.control_list
    for event, handler, given in (
        (picking.upload.upload, choosing.upload, picking.upload),
        (picking.examples.click, choosing.example, picking.examples),
    ):
        chosen = event(handler, [given, *controls], chosen_outputs(page), **_LIGHT)
        _follow(chosen, page, choosing, adjusting)
    gr.on(
        [picking.upload.clear, page.result.again.click],
        choosing.put_away,
        None,
        chosen_outputs(page),
        **_LIGHT,
    )
    picked = picking.thumbnail.select(
        choosing.pick, None, [picking.thumbnail, picking.problem], trigger_mode="multiple", **_LIGHT
    )
    picked.then(adjusting.preview, controls, preview_outputs(page), **_SUPERSEDING, **PREVIEWS)


def _connect_adjusting(demo: gr.Blocks, page: Page, adjusting: Adjusting, choosing: Choosing) -> None:
    controls, parts = page.control_list, page.controls
    demo.load(adjusting.open, None, open_outputs(page), **_LIGHT)
    changed = parts["preset"].input(adjusting.preset, controls, preset_outputs(page), **_LIGHT)  # type: ignore[attr-defined]
    _follow(changed, page, choosing, adjusting)
    for name, button in zip(FASTER, page.picking.faster, strict=True):
        changed = button.click(adjusting.faster(name), controls, preset_outputs(page), **_LIGHT)
        _follow(changed, page, choosing, adjusting)
    tuned = [name for name in parts if name not in ("preset", "tile")]
    gr.on(
        [parts[name].input for name in tuned],  # type: ignore[attr-defined]
        adjusting.tune,
        controls,
        preview_outputs(page),
        trigger_mode="always_last",
        **_QUIET,
        **PREVIEWS,
    )
    parts["tuning"].input(adjusting.rest_sliders, parts["tuning"], adjusting.resting(page), **_LIGHT)  # type: ignore[attr-defined]
    parts["scale"].input(choosing.estimate, controls, estimate_outputs(page), **_LIGHT)  # type: ignore[attr-defined]
    page.preview.retry.click(adjusting.preview, controls, preview_outputs(page), **_SUPERSEDING, **PREVIEWS)


def _connect_enhancing(page: Page, desk: Desk) -> None:
    enhancing, controls, outputs = Enhancing(page, desk), page.control_list, enhancing_outputs(page)
    asked = page.running.enhance.click(enhancing.ask, controls, outputs, **_LIGHT)
    running = asked.then(enhancing.run, controls, outputs, **_QUIET, **RUNS)
    running.then(None, None, None, js=SHOW_RESULT, **_QUIET)
    running.then(Inspecting(page, desk).first, None, inspecting_outputs(page), **_LIGHT)
    stopping = page.running.cancel.click(enhancing.cancelling, None, outputs, **_LIGHT)
    stopped = stopping.then(None, None, None, cancels=[running], **_QUIET)
    stopped.then(enhancing.cancelled, None, outputs, **_LIGHT)


def _connect_report(page: Page, desk: Desk) -> None:
    made = page.result.report.click(Reporting(page, desk).make, None, report_outputs(page), **_REPORT)
    made.then(None, None, None, js=FETCH_REPORT, **_QUIET)


def _connect_batch(page: Page, desk: Desk) -> None:
    batching, tab, controls = Batching(page, desk), page.batch, page.control_list
    tab.tab.select(batching.settings, controls, [tab.settings], **_LIGHT)
    gr.on(
        [tab.files.upload, tab.files.clear, tab.files.delete], batching.files, tab.files, batch_outputs(page), **_LIGHT
    )
    tab.enhance.click(batching.run, [tab.files, *controls], batch_outputs(page), **_QUIET, **BATCHES)
    tab.cancel.click(batching.cancel, None, batch_outputs(page), **_LIGHT)


def _follow(event: Any, page: Page, choosing: Choosing, adjusting: Adjusting) -> None:
    """After a new picture or preset: the preview, and beside it the estimate."""
    controls = page.control_list
    event.then(choosing.estimate, controls, estimate_outputs(page), trigger_mode="multiple", **_LIGHT)
    event.then(adjusting.preview, controls, preview_outputs(page), **_SUPERSEDING, **PREVIEWS)
