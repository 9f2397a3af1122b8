"""The Batch tab: its files, the selected one on the stage, and batches of them with the settings of the panel."""

from __future__ import annotations

import math
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..batch import Batch, Item, archive_name, with_own_size, with_size
from ..errors import EnhanceError, SettingsError, StorageError
from ..files import storage_errors
from ..i18n import format_bytes, format_duration, format_names, name_of
from ..info import Result
from ..output.formats import ENDINGS, FORMATS, Encoding, typical_bytes
from ..output.names import UniqueNames, check_pattern, fill_pattern
from ..output.resample import result_size, with_possible_size
from ..output.thumbnails import list_data_url
from ..presets import with_installed_models
from ..scheduler import SCHEDULER, Ticket
from ..settings import REFERENCE_PRESET, Settings
from ..store import Entry, report_name
from . import controls, templates, upload
from .history import find_entries, load_result, record_file, restore_files, shorten, show_history, unfinished_state
from .params import (
    encoding_from,
    page_message,
    request_settings,
    settings_from,
)
from .preview import current_preview
from .processing import BatchJob
from .services import Services
from .session import BatchFiles, FilePlan, Session
from .views import Call, Updates, clear, control_updates, show_photo, show_preview, show_result

BATCH_EVENTS: dict[str, Any] = {"concurrency_id": "batches", "concurrency_limit": None}
"""Batches of the page and of the API wait in the app's own queue."""
THUMBNAIL_EVENTS: dict[str, Any] = {"concurrency_id": "images", "concurrency_limit": 2}
_POLL_SECONDS = 0.3
_SHOW_SECONDS = 0.7
_PACKING_SECONDS = 60
_REPORTS_NAME = "reports.zip"
_SAMPLE = 24
"""The number of files that are analysed for the estimate of a batch with Auto."""
_DRAWING_SHARE = 10
"""Drawing the files takes at most one part in this many of a batch's time."""


class PageBatch(BatchJob):
    """A batch of a page. Each result can be downloaded and is in the list of results as soon as it is done."""

    def __init__(self, call: Call, settings: Settings, ticket: Ticket):
        session = call.session.owner
        self._call, self._session, self._files = call, session, session.files
        self._tasks, self._entries = call.services.enhancer.tasks, dict[str, Entry]()
        self._names = UniqueNames()
        for number, item in enumerate(self._files.items, 1):
            if item.state == "done" and item.result:
                name, old = self._names.add(archive_name(item, self._files.pattern, number)), self._files.results
                if item.key not in old or old[item.key].name != Path(name).name:  # The pattern has changed.
                    old[item.key] = call.services.downloads.link(item.result, name)
        encoding = session.encoding
        super().__init__(
            call.services, self._files.items, settings, call.language, ticket, encoding, self._files.pattern
        )

    def record(self, items: Iterable[Item], first: int) -> None:
        """Add waiting files to the list of results. `first` is the number of the first one in the batch."""
        for number, item in enumerate(items, first):
            if item.state == "waiting" and not self.cancelled_by:
                thumbnail = self._files.thumbnails.get((item.key, False))
                settings = item.settings or self.running.settings
                entry = record_file(self._tasks, self._session, item, settings, number, thumbnail)
                if entry is not None:
                    self._entries[item.key] = entry
        shorten(self._tasks, self._session)

    def discard_record(self, key: str) -> None:
        """Remove a file that is not in the batch from the list of results."""
        if key not in self.batch.files and (entry := self._entries.pop(key, None)):
            self._tasks.remove([entry])

    @contextmanager
    def recorded(self) -> Iterator[None]:
        self.record(self.batch.items, 0)
        try:
            yield
        finally:
            for item in self.batch.items:  # Files that the batch did not reach.
                self._record_end(item)
            for key in list(self._entries):
                self.discard_record(key)

    def finish_file(self, item: Item) -> None:
        super().finish_file(item)
        if item.info and item.result:
            services = self._call.services
            services.owners.remember(self._call.request, item.info)
            with suppress(StorageError):
                number = list(self.batch.files).index(item.key) + 1
                name = self._names.add(archive_name(item, self._files.pattern, number))
                self._files.results[item.key] = services.downloads.link(item.result, name)
        self._record_end(item)

    def _record_end(self, item: Item) -> None:
        entry = self._entries.pop(item.key, None)
        if entry is None:
            return
        if item.info:
            if (item, False) in self._files.without_thumbnail([item]):
                make_thumbnail(self._call, item, of_result=False)
            thumbnail = entry.thumbnail or list_data_url(self._files.thumbnails.get((item.key, False)))
            self._tasks.end_entry(entry, "done", task_id=item.info["task_id"], thumbnail=thumbnail)
        else:
            self._tasks.end_entry(entry, "failed" if item.state == "failed" else unfinished_state(self))


def make_thumbnail(call: Call, item: Item, of_result: bool) -> None:
    call.session.owner.files.make_thumbnail(item, of_result, call.services.downloads, call.services.limits)


def show_tab(call: Call) -> Updates:
    """Show the tab that was opened: Single with its photo, or Batch with the file that is selected."""
    return controls.show_active(call) | select_first(call)


def select_first(call: Call) -> Updates:
    """Select the first file, unless one is selected or the other tab is open."""
    session = call.session
    with session.lock:
        items = session.owner.current_batch.items
        if session is session.owner or any(item.source == session.file for item in items):
            return {call.page.batch.cards: gr.skip()}
        first = next((item for item in items if item.pixels), items[0] if items else None)
        if first is None:
            session.reset()
            session.file = None
            return {**clear(call.page), **show_photo(call)}
        choice = _begin_choice(session, first)
    return _show_file(call, first, choice) | {call.page.batch.cards: files_html(call)}


def select_file(call: Call) -> Updates:
    """Show the selected file on the stage."""
    items, key = call.session.owner.current_batch.items, str(call.event.index)
    item = next((item for item in items if item.key == key), None)
    if item is None or call.session is call.session.owner:
        return {call.page.batch.cards: gr.skip()}
    return _show_file(call, item, _begin_choice(call.session, item))


def _begin_choice(session: Session, item: Item) -> int:
    """Select a file and return the number of the choice. The last file that is selected is shown."""
    with session.lock:
        session.file, session.is_flexible = item.source, item.is_flexible
        return session.begin_choice()


def _show_file(call: Call, item: Item, choice: int) -> Updates:
    """Show a file on the stage with its result, if it has one, or show why it cannot be read."""
    session = call.session
    # The values of the call can be those for the file before.
    call = replace(call, values={**call.values, "largest": session.values["largest"] or item.is_flexible})
    if not item.pixels:
        with session.lock:
            if session.choice != choice:
                return {call.page.batch.cards: gr.skip()}
            session.reset()
        problem = templates.problem(_message(call, item))
        return {**clear(call.page), **show_photo(call), call.page.preview.problem: problem}
    updates = upload.load(call, item.source, choice)
    if _load_result(session, call.services, item):
        updates |= show_result(call) | show_preview(call, current_preview(session))
    return updates


def _load_result(session: Session, services: Services, item: Item) -> bool:
    """Load the result of a selected file. Return whether there is a new one."""
    shown, photo = session.result, session.upload
    if item.info is None or photo is None or photo.path != item.source or (shown and shown.info is item.info):
        return False
    png = services.enhancer.tasks.result_path(item.info["task_id"])
    try:
        load_result(session, photo, Result(png, item.info, png))
    except EnhanceError:  # The result is no longer stored.
        return False
    return session.result is not None


def _show_new_result(call: Call) -> Updates:
    """Show the result of the selected file as soon as it is done."""
    session = call.session.owner.selected
    item = next((item for item in session.owner.current_batch.items if item.source == session.file), None)
    if item is None or not _load_result(session, call.services, item) or not session.is_active:
        return {}
    call = replace(call, session=session)
    return show_result(call) | show_preview(call, current_preview(session))


def _settings(call: Call) -> Settings:
    """Return the settings of the panel; with Auto, each file gets its own preset."""
    settings = settings_from(call.values)
    return request_settings(settings, call.session.chosen) if call.session.is_auto else settings


def start_batch(call: Call) -> Updates:
    """Start a batch. Files that are done with the same settings are not processed again."""
    session, card = call.session.owner, call.page.batch
    with session.lock:
        try:
            session.encoding = encoding_from(call.values)
            session.files.is_flexible = bool(call.session.values["largest"])
            session.files.pattern = check_pattern(str(call.values["name_pattern"]))
            _start(call, _settings(call))
        except Exception as error:
            return show_batch(call) | {card.progress: call.problem(error, "A batch could not be started")}
    return show_batch(call) | {card.problem: ""}


def _start(call: Call, settings: Settings, **options: Any) -> None:
    """Start a batch of the session's files, unless one is running. Raises EnhanceError if the queue is full.

    `options` are those of `BatchFiles.prepare`.
    """
    session = call.session.owner
    if session.is_batch_running:
        return
    session.end_batch()
    if session.files.items:
        with call.services.enter(session.caller, "batch") as ticket:
            session.files.prepare(settings, session.encoding, **options)
            session.batch = PageBatch(call, settings, ticket)


def follow_batch(call: Call) -> Iterator[Updates]:
    """Show the progress of the session's batch until it ends."""
    session, card = call.session, call.page.batch
    job: PageBatch | None = session.batch
    if job is None:
        # Without files, there is nothing to show. Gradio sends the last update again, when files can have been added.
        yield show_batch(call) if session.files.items else {card.progress: gr.skip()}
        return
    yield show_batch(call)
    job.language = call.language
    shown_batch, shown_files, next_time = None, None, 0.0
    for _ in job.poll(_POLL_SECONDS):
        if session.batch is not job:
            return
        if time.monotonic() < next_time:
            continue
        for item, of_result in session.files.without_thumbnail(session.current_batch.items):
            if of_result:
                make_thumbnail(call, item, of_result)
        started = time.monotonic()
        states, thumbnails = [(item.key, item.state) for item in job.batch.items], session.files.thumbnails.values()
        files = states, tuple(thumbnails), job.batch.ahead
        if (job.batch is shown_batch and files == shown_files) or job.stop.is_set():
            continue
        updates = {card.progress: _progress(call, job)}
        if files != shown_files:
            updates[card.cards] = files_html(call)
        if shown_files is None or files[0] != shown_files[0]:
            updates |= show_history(call)
        updates |= _show_new_result(call)
        next_time = started + _DRAWING_SHARE * (time.monotonic() - started)
        yield updates
        shown_batch, shown_files = job.batch, files
    yield show_batch(call) | show_history(call) | _show_new_result(call)


def cancel_batch(call: Call) -> Updates:
    """Cancel the batch. Finished files remain."""
    if call.session.batch is not None:
        call.session.batch.cancel("person")
    return show_batch(call)


def add_files(call: Call, paths: list[str] | None) -> Updates:
    """Add uploaded files to the running batch, or to the files that wait for one."""
    card, problem = call.page.batch, ""
    try:
        _add(call, [Path(path) for path in paths or []])
    except EnhanceError as error:
        problem = call.problem(error, "Files could not be added")
    return show_batch(call) | {card.files: None, card.problem: problem}


def _add(call: Call, paths: list[Path]) -> None:
    session, limits = call.session, call.services.limits
    job: PageBatch | None = session.batch
    limits.check_together([*(item.source for item in session.current_batch.items), *paths])
    items = [with_size(Item(path, Path(path.name)), limits.pixels, limits.bytes) for path in paths]
    if job is not None and not job.is_over:
        items = [_sized(session, item, job.running.settings) for item in items]
        job.record(items, len(session.current_batch.items))
        if job.running.add(items):
            return
        for item in items:
            job.discard_record(item.key)
    if job is not None and not job.wait(_PACKING_SECONDS):
        raise EnhanceError("batch_ends")
    with session.lock:
        session.end_batch()
        session.files.items += tuple(items)


def _sized(session: Session, item: Item, settings: Settings) -> Item:
    """Return a file with settings of its own where the size of the batch needs them."""
    return with_own_size(item, settings, is_flexible=session.files.is_flexible)


def remove_file(call: Call) -> Updates:
    """Remove a file that is not processed yet, or that failed."""
    session, key = call.session, str(call.event.index)
    job: PageBatch | None = session.batch
    if job is not None and not job.is_over:
        job.running.remove(key)
        job.discard_record(key)
    else:
        with session.lock:
            session.end_batch()
            session.files.items = tuple(item for item in session.files.items if item.key != key or item.state == "done")
    return show_batch(call)


def retry_file(call: Call) -> Updates:
    """Process a file again that failed."""
    return _retry(call, is_flexible=False)


def use_largest_size(call: Call) -> Updates:
    """Process a file in the largest possible size, because the requested one is too large."""
    return _retry(call, is_flexible=True)


def _retry(call: Call, *, is_flexible: bool) -> Updates:
    """Read a file again. It joins the running batch, or starts one of its own if it failed in a batch that ended."""
    session, card, limits = call.session.owner, call.page.batch, call.services.limits
    job: PageBatch | None = session.batch
    with session.lock:
        item = session.current_batch.files.get(str(call.event.index))
        if item is None or item.state in ("running", "done"):
            return show_batch(call)
        fresh = replace(item, state="waiting", error=None, size=None, is_flexible=is_flexible or item.is_flexible)
        fresh = with_size(fresh, limits.pixels, limits.bytes)
        if item.source == session.selected.file:
            session.selected.is_flexible = fresh.is_flexible
        if job is not None and not job.is_over:
            job.running.add([_sized(session, fresh, job.running.settings)])
            return show_batch(call)
        session.end_batch()
        session.files.items = tuple(fresh if one.key == item.key else one for one in session.files.items)
        if job is not None and fresh.size:
            try:
                _start(call, _settings(call), only=item.key)
            except Exception as error:
                return show_batch(call) | {card.progress: call.problem(error, "A file could not be processed again")}
    return show_batch(call) | {card.problem: ""}


def write_reports(call: Call) -> Updates:
    """Write the PDF report of each result and let the browser download them in one ZIP file."""
    session, services, card = call.session, call.services, call.page.result
    names, path, problem = UniqueNames(), services.downloads.new_path(_REPORTS_NAME), ""
    try:
        with storage_errors(path), zipfile.ZipFile(path, "w") as archive:
            for item in session.current_batch.items:
                if item.info is not None:
                    task, encoding = item.info["task_id"], session.files.encoding
                    pdf = services.enhancer.report(task, call.language, encoding=encoding)
                    archive.write(pdf, names.add(report_name(item.info)))
    except Exception as error:
        problem = call.problem(error, "Reports could not be written")
    return {card.report_file: gr.DownloadButton(value=None if problem else str(path)), card.report_problem: problem}


def estimate(call: Call) -> Iterator[Updates]:
    """Show the time and the size of the result of the photo on the stage, then those of the batch."""
    yield upload.estimate(call)
    if call.session is not call.session.owner:
        yield from _estimate_batch(call)


def _estimate_batch(call: Call) -> Iterator[Updates]:
    """Show what the settings make of the files: sizes that are not possible, the time, and the size of the results.

    With Auto, the estimate improves with each file that is analysed. A newer estimate or a batch ends this one.
    """
    session, card = call.session.owner, call.page.batch
    if session.is_batch_running:
        yield {card.why: gr.skip()}
        return
    files = session.files
    try:
        settings, encoding = _settings(call), encoding_from(call.values)
    except SettingsError:  # The controls have the message.
        yield {card.why: gr.skip()}
        return
    is_flexible = bool(call.session.values["largest"])
    sized = [
        with_own_size(item, settings, is_flexible=is_flexible) for item in session.current_batch.items if item.size
    ]
    items = [item for item in sized if not files.is_done(item, item.settings or settings, encoding)]
    plans = {item.key: _plan(item, settings, encoding) for item in items}
    plans_before, files.plans = files.plans, plans
    possible = [item for item in items if plans[item.key].size]
    yield {
        **_show_estimate(call, possible, settings, encoding),
        card.cards: gr.skip() if plans == plans_before else files_html(call),
        **show_name(call),
    }
    shown, sample = time.monotonic(), possible[:: math.ceil(len(possible) / _SAMPLE) or 1]
    missing = [item for item in sample if settings.is_auto and item.source not in files.analyses]
    for item in missing:
        with suppress(EnhanceError):  # The run reports it.
            files.analyses[item.source] = call.services.enhancer.analyse(call.services.previews.image(item.source))
        if files.plans is not plans or session.is_batch_running:
            return
        if time.monotonic() - shown > _SHOW_SECONDS or item is missing[-1]:
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
    files.planned = len(items)
    words, auto, seconds = "", "", 0.0
    chosen = _choices(call, items, settings)
    if chosen:
        for item, one in zip(items, chosen, strict=True):
            height, width = item.size or (1, 1)
            seconds += call.services.enhancer.estimate(width, height, one)
        duration = format_duration(call.language, seconds)
        pixels = sum(math.prod(files.plans[item.key].size or ()) for item in items)
        words = call.text("batch_about", time=duration, size=format_bytes(typical_bytes(encoding, pixels)))
        if settings.is_auto:
            counts = Counter(one.preset for one in chosen).most_common()
            names = [call.text("preset_count", n=n, preset=name_of(call.language, "preset", one)) for one, n in counts]
            is_exact = all(item.source in files.analyses for item in items)
            key = "auto_batch" if is_exact else "auto_batch_about"
            auto = call.text(key, presets=format_names(call.language, names), time=duration)
    count = templates.note(call.text("batch_count", n=len(items))) if items else ""
    values = templates.data("batch-auto", text=auto) + templates.data("seconds", value=round(seconds))
    return {
        card.why: count + templates.note(words) + values,
        card.enhance: gr.Button(_enhance_label(call)),
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


def _enhance_label(call: Call) -> str:
    """Return the label of the button, with the number of files that a batch would process."""
    planned = call.session.owner.files.planned
    return call.text("batch_enhance_n", n=planned) if planned else call.text("batch_enhance")


def show_name(call: Call) -> Updates:
    """Show an example of the names of output files, or why the pattern is not possible."""
    card, file = call.page.batch, call.session.file
    try:
        # The newest pattern: `estimate` can be slower than the response to a later change.
        pattern = check_pattern(str(call.session.values["name_pattern"]))
        ending = encoding_from(call.values).file_format.ending
    except SettingsError as error:
        return {card.pattern: templates.problem(page_message(call.language, error))}
    size = "2048x1365"
    if call.session.shape:
        with suppress(SettingsError):  # The control of the size has the message.
            height, width = result_size(settings_from(call.values, call.session.shape), *call.session.shape)
            size = f"{width}x{height}"
    preset, stem = call.session.settings.preset, file.stem if file else "photo"
    name = fill_pattern(pattern, ending, name=stem, preset=preset, size=size, n="01")
    return {card.pattern: templates.note(name)}


def clear_files(call: Call) -> Updates:
    """Remove all files, unless a batch is running."""
    session = call.session
    with session.lock:
        if not session.is_batch_running:
            session.batch, session.files = None, BatchFiles()
            session.selected.file = None
    return show_batch(call) | {call.page.batch.problem: ""}


def make_thumbnails(call: Call) -> Iterator[Updates]:
    """Make all missing thumbnails. While a batch is running, `follow_batch` shows them."""
    session, shown = call.session, time.monotonic()

    def updates() -> Updates:
        return {call.page.batch.cards: gr.skip() if session.is_batch_running else files_html(call)}

    while missing := session.files.without_thumbnail(session.current_batch.items):
        for item, of_result in missing:
            make_thumbnail(call, item, of_result)
            if time.monotonic() - shown > _SHOW_SECONDS:
                yield updates()
                shown = time.monotonic()
    yield updates()


def resume_batch(call: Call) -> Updates:
    """Continue an interrupted batch of the list of results, with its settings."""
    lost = _resume(call, find_entries(call, is_settled=True))
    names = format_names(call.language, [entry.name for entry in lost]) if lost else ""
    shown = replace(call, session=call.session.active)
    return {
        **{call.page.named[name]: update for name, update in control_updates(shown).items()},
        call.page.named["preset"]: shown.session.preset_control,
        **show_batch(call),
        call.page.batch.problem: templates.problem(call.text("history_lost", names=names) if lost else ""),
        **show_history(call),
    }


def _resume(call: Call, entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries whose file is no longer stored. Raises EnhanceError and changes nothing then."""
    session, before, settings = call.session, call.session.files, Settings(**entries[0].settings)
    session.end_batch()
    undone = {item.key for item in before.items if item.state in ("waiting", "cancelled")}
    if session.is_batch_running or undone - {entry.id for entry in entries}:
        raise EnhanceError("files_wait")
    with session.lock:
        session.files, lost = restore_files(call.services, entries)
        try:
            _start(call, settings, keeps_settings=True)
        except Exception:
            session.files = before
            raise
        shown = session.active
        shown.is_auto = settings.is_auto
        shown.settings = settings.resolved(REFERENCE_PRESET) if settings.is_auto else settings
    for entry in lost:
        entry.path(call.services.enhancer.tasks).unlink(missing_ok=True)
    return lost


def show_batch(call: Call) -> Updates:
    """Update the list and the bar, apart from the error message."""
    session, card = call.session.owner, call.page.batch
    job: PageBatch | None = session.batch
    is_running, has_files = session.is_batch_running, bool(session.current_batch.items)
    archive = job.archive if job is not None else next(filter(None, reversed(session.files.archives)), None)
    variant = "secondary" if archive else "primary"
    return {
        card.cards: files_html(call),
        card.count: call.text("batch_count", n=len(session.current_batch.items)),
        card.download: gr.DownloadButton(value=str(archive) if archive else None, visible=bool(archive)),
        card.reports: gr.Button(visible=bool(archive)),
        card.clear: gr.Button(visible=has_files and not is_running),
        card.progress: "" if job is None else _progress(call, job),
        card.enhance: gr.Button(_enhance_label(call), visible=not is_running, interactive=has_files, variant=variant),
        card.cancel: gr.Button(visible=is_running, interactive=job is None or not job.stop.is_set()),
    }


def _progress(call: Call, job: PageBatch) -> str:
    """Return the progress of a batch, or how it ended."""
    batch = job.batch
    if job.is_over:
        try:
            packed = job.result()
        except Exception as error:
            return call.problem(error, "A batch failed")
        counts = {state: batch.count(state) for state in ("done", "failed", "cancelled")}
        loose = call.text("batch_loose", reason=packed.error) if packed.error else ""
        return templates.note(call.text("batch_done", **counts)) + templates.problem(loose)
    if job.stop.is_set():
        return templates.progress(call.text("cancelling"), None)
    finished = batch.count("done") + batch.count("failed")
    words = [call.text("batch_progress", done=finished, total=len(batch.items))]
    if batch.ahead:
        time_left = format_duration(call.language, SCHEDULER.seconds(batch.ahead))
        words.append(call.text("batch_waiting", place=batch.ahead + 1, time=time_left))
    elif batch.seconds_left is not None:
        words.append(call.text("left", time=format_duration(call.language, batch.seconds_left)))
    return templates.progress(" · ".join(words), batch.share, _file_progress(call, batch))


def _file_progress(call: Call, batch: Batch) -> str:
    """Return the progress of the current file: its position in the queue, or its share."""
    if batch.ahead:
        return call.text("file_place", place=batch.ahead + 1)
    percent = int(100 * batch.share_of_file)
    return call.text("share_done", percent=percent) if percent else call.text("state_running")


def files_html(call: Call) -> str:
    """Return the files with thumbnail, state, and download or error.

    Waiting and failed files can be removed, until a batch is finished.
    """
    session, language = call.session.owner, call.language
    files, batch = session.files, session.current_batch
    return templates.render(
        "files",
        language,
        items=batch.items,
        files=files,
        progress=_file_progress(call, batch),
        message=partial(_message, call),
        selected=session.selected.file,
        attention=[item for item in batch.items if _error(files, item)],
        largest=partial(_largest_size, call),
        formats=FORMATS,
        encoding=session.active.encoding,
        endings=ENDINGS,
        is_running=session.is_batch_running,
    )


def _error(files: BatchFiles, item: Item) -> EnhanceError | None:
    """Return why a file failed, or why it cannot have the size of the settings."""
    plan = files.plans.get(item.key)
    return item.error or (plan.error if plan and item.state == "waiting" else None)


def _largest_size(call: Call, item: Item) -> str:
    """Return the largest possible size as text if the requested one is too large; otherwise ""."""
    session = call.session.owner
    error, plan, job = _error(session.files, item), session.files.plans.get(item.key), session.batch
    settings = item.settings or (plan.settings if plan else job.running.settings if job else None)
    if not isinstance(error, SettingsError) or error.key != "size_large" or settings is None:
        return ""
    possible = with_possible_size(settings, error.values["height"], error.values["width"])
    if possible.long_side:
        return call.text("batch_pixels", n=possible.long_side)
    return possible.describe_size(call.language)


def _message(call: Call, item: Item) -> str:
    """Return why a file needs attention, or ""."""
    files = call.session.owner.files
    error, plan = _error(files, item), files.plans.get(item.key)
    if error and error.key == "size_large":
        return call.text("batch_small")
    return page_message(call.language, error, plan.settings if plan else None) if error else ""
