"""Estimates for the files of the Batch tab: sizes, presets, time and file sizes."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import gradio as gr

from ...batch import Item, with_own_size
from ...errors import EnhanceError, SettingsError
from ...i18n import format_bytes, format_duration, format_names, name_of
from ...output.formats import Encoding, typical_bytes
from ...output.resample import result_size
from ...presets import with_installed_models
from ...settings import Settings
from .. import templates, upload
from ..params import encoding_from
from ..views import Call, Updates
from .files import FilePlan
from .run import panel_settings
from .views import SHOW_SECONDS, count_text, enhance_label, files_html

_SAMPLE = 24
"""The number of files that are analysed for the estimate of a batch with Auto."""


def estimate(call: Call) -> Iterator[Updates]:
    """Show the time and the size of the result, for the photo on the stage and for the batch."""
    batch = iter(()) if call.session is call.session.owner else _estimate_batch(call)
    # One update, because Gradio can show the second update of an event after the response to a later event.
    yield upload.estimate(call) | next(batch, {})
    yield from batch


def _estimate_batch(call: Call) -> Iterator[Updates]:
    """Show what the settings make of the files: sizes that are not possible, the time, and the size of the results.

    With Auto, the estimate improves with each file that is analysed. A newer estimate or a batch ends this one.
    """
    session, card = call.session.owner, call.page.batch
    if session.is_batch_running:
        return
    files = session.files
    try:
        settings, encoding = panel_settings(call), encoding_from(call.values)
    except SettingsError:  # The controls have the message.
        return
    is_flexible = bool(call.session.values["largest"])
    sized = [
        with_own_size(item, settings, is_flexible=is_flexible) for item in session.current_batch.items if item.size
    ]
    items = [item for item in sized if not files.is_done(item, item.settings or settings, encoding)]
    plans = {item.key: _plan(item, settings, encoding) for item in items}
    is_new = plans != files.plans or not files.are_plans_shown
    files.plans, files.are_plans_shown = plans, True  # A later estimate replaces this object, which ends this one.
    possible = [item for item in items if plans[item.key].size]
    changed = {card.cards: files_html(call)} if is_new else {}
    yield _show_estimate(call, possible, settings, encoding) | changed
    shown, sample = time.monotonic(), possible[:: math.ceil(len(possible) / _SAMPLE) or 1]
    missing = [item for item in sample if settings.is_auto and item.source not in files.analyses]
    for item in missing:
        with suppress(EnhanceError):  # The run reports it.
            files.analyses[item.source] = call.services.enhancer.analyse(call.services.previews.image(item.source))
        if files.plans is not plans or session.is_batch_running:
            return
        if time.monotonic() - shown > SHOW_SECONDS or item is missing[-1]:
            yield _show_estimate(call, possible, settings, encoding)
            shown = time.monotonic()


def _plan(item: Item, settings: Settings, encoding: Encoding) -> FilePlan:
    settings = item.settings or settings
    background = encoding.background if item.has_alpha and not encoding.file_format.alpha else ""
    try:
        size = result_size(settings, *(item.size or (1, 1)))
    except SettingsError as error:
        return FilePlan(settings, error=error)
    return FilePlan(settings, size, item.is_limited, background)


def _show_estimate(call: Call, items: Sequence[Item], settings: Settings, encoding: Encoding) -> Updates:
    """Show the time of these files, the presets that Auto selects for them, and the size of their results."""
    files, card = call.session.owner.files, call.page.batch
    words, auto, seconds = "", "", dict[Path, float]()
    chosen = _choices(call, items, settings)
    if chosen:
        for item, one in zip(items, chosen, strict=True):
            height, width = item.size or (1, 1)
            seconds[item.source] = call.services.enhancer.estimate(width, height, one)
        duration = format_duration(call.language, sum(seconds.values()))
        pixels = sum(math.prod(files.plans[item.key].size or ()) for item in items)
        words = call.text("batch_about", time=duration, size=format_bytes(typical_bytes(encoding, pixels)))
        if settings.is_auto:
            counts = Counter(one.preset for one in chosen).most_common()
            names = [call.text("preset_count", n=n, preset=name_of(call.language, "preset", one)) for one, n in counts]
            is_exact = all(item.source in files.analyses for item in items)
            key = "auto_batch" if is_exact else "auto_batch_about"
            auto = call.text(key, presets=format_names(call.language, names), time=duration)
    files.seconds = seconds
    is_visible = (bool(items) or not files.results) and not call.session.owner.is_batch_running
    count = templates.note(count_text(call, len(items))) if items else ""
    return {
        card.why: count + templates.note(words) + templates.data("batch-auto", text=auto),
        card.enhance: gr.Button(enhance_label(call), visible=is_visible),
    }


def _choices(call: Call, items: Sequence[Item], settings: Settings) -> list[Settings]:
    """Return the settings of each file. With Auto, a file without an analysis counts as one of the analysed files.

    Returns [] if no file is analysed yet.
    """
    if not settings.is_auto:
        return [item.settings or settings for item in items]
    analyses, choices = call.session.owner.files.analyses, []
    known = [analyses[item.source] for item in items if item.source in analyses]
    for number, item in enumerate(items if known else ()):
        height, width = item.size or (1, 1)
        analysis = replace(analyses.get(item.source, known[number % len(known)]), height=height, width=width)
        chosen, _ = call.services.enhancer.resolve_for(item.settings or settings, analysis)
        choices.append(with_installed_models(chosen))
    return choices
