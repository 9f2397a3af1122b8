"""Batches of the page: their files, their start, progress and end, and their reports."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ...batch import Item, with_own_size, with_size
from ...batch_archive import archive_name
from ...errors import EnhanceError, StorageError
from ...files import write_atomically
from ...i18n import format_names
from ...output.names import UniqueNames
from ...output.thumbnails import list_data_url
from ...scheduler import Ticket
from ...settings import AUTO, Settings
from ...store import Entry, report_name
from .. import controls, templates
from ..history import record_file, show_history, unfinished_state
from ..params import encoding_from, request_settings, settings_from
from ..processing import BatchJob
from ..recent import shorten
from ..solutions import is_of_preset
from ..views import Call, Updates, offer_file, shows_errors
from .files import BatchFiles
from .selection import show_new_result
from .views import files_html, make_thumbnail, progress_html, show_batch

_POLL_SECONDS = 0.3
_PACKING_SECONDS = 60
_REPORTS_NAME = "reports.zip"
_DRAWING_SHARE = 10
"""Drawing the files takes at most one part in this many of a batch's time."""


class PageBatch(BatchJob):
    """A batch of a page. Each result can be downloaded and is in the list of results as soon as it is done."""

    def __init__(self, call: Call, settings: Settings, ticket: Ticket):
        session = call.session.owner
        self._call, self._session, self._files = call, session, session.files
        self._tasks, self._entries = call.services.enhancer.tasks, dict[str, Entry]()
        self._names = UniqueNames()
        for item in self._files.items:
            if item.state == "done" and item.result:
                name = self._name(item)
                if item.key not in self._files.results:
                    self._files.results[item.key] = call.services.downloads.link(item.result, name)
        encoding = session.encoding
        files = self._files
        super().__init__(
            call.services,
            call.request,
            files.items,
            settings,
            call.language,
            ticket,
            encoding,
            files.work(),
        )

    def _name(self, item: Item) -> str:
        """Return a name for the download of a finished file."""
        return self._names.add(archive_name(item))

    def record(self, items: Iterable[Item]) -> None:
        """Add waiting files to the list of results."""
        for item in items:
            if item.state == "waiting" and not self.cancelled_by:
                thumbnail = self._files.thumbnails.get((item.key, False))
                settings = item.settings or self.running.settings
                entry = record_file(self._tasks, self._session, item, settings, thumbnail)
                if entry is not None:
                    self._entries[item.key] = entry
        shorten(self._tasks, self._session.history)

    def add(self, items: Iterable[Item], settings: Settings | None = None) -> bool:
        """Add waiting files to the batch, with `settings` of their own if given. Return False if it has ended."""
        wanted, is_flexible = settings or self.running.settings, self._files.is_flexible
        items = [with_own_size(item, wanted, is_flexible=is_flexible) for item in items]
        items = [replace(item, settings=item.settings or settings) for item in items]
        self.record(items)  # First, because the batch can process them immediately and records their end.
        is_added = self.running.add(items)
        for item in items:
            self.discard_record(item.key)
        return is_added

    def discard_record(self, key: str) -> None:
        """Remove a file that is not in the batch from the list of results."""
        if key not in self.batch.files and (entry := self._entries.pop(key, None)):
            self._tasks.remove([entry])

    @contextmanager
    def recorded(self) -> Iterator[None]:
        self.record(self.batch.items)
        try:
            with self.running.hold:
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
            services.owners.remember(self._session.client, item.info)
            with suppress(StorageError):
                self._files.results[item.key] = services.downloads.link(item.result, self._name(item))
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


def panel_settings(call: Call) -> Settings:
    """Return the settings of the panel; with Auto, each file gets its own preset."""
    settings = settings_from(call.values)
    return request_settings(settings, call.session.chosen) if call.session.is_auto else settings


@shows_errors(lambda page: page.batch.progress, "A batch could not be started")
def start_batch(call: Call) -> Updates:
    """Start a batch. Files that are done with the same settings are not processed again."""
    session = call.session.owner
    with session.lock:
        session.encoding = encoding_from(call.values)
        session.files.is_flexible = bool(call.session.values["largest"])
        start(call, panel_settings(call))
    return show_batch(call) | {call.page.batch.problem: ""}


def start(call: Call, settings: Settings, *, only: str | None = None) -> None:
    """Start a batch of the session's files, unless one is running. Raises EnhanceError if the queue is full.

    `only` is the key of the only file to process.
    """
    session = call.session.owner
    if session.is_batch_running:
        return
    session.end_batch()
    if session.files.items:
        with call.services.enter(session.caller, "batch") as ticket:
            session.files.prepare(settings, session.encoding, only=only)
            session.batch = PageBatch(call, settings, ticket)


def add_files(call: Call, paths: list[str] | None) -> Updates:
    """Add uploaded files to the running batch, or to the files of the next one."""
    card, problem = call.page.batch, ""
    try:
        _add(call, [Path(path) for path in paths or []])
    except EnhanceError as error:
        problem = call.problem(error, "Files could not be added")
    return show_batch(call) | {card.files: None, card.problem: problem}


def _add(call: Call, paths: list[Path]) -> None:
    session, limits, job = call.session, call.services.limits, call.session.batch
    limits.check_together([*(item.source for item in session.current_batch.items), *paths])
    last = max((item.number for item in session.current_batch.items), default=0)
    items = [
        with_size(Item(path, Path(path.name), number=number), limits.pixels, limits.bytes)
        for number, path in enumerate(paths, last + 1)
    ]
    if session.is_batch_running and job.add(items):
        return
    # A batch that accepts no more files writes its ZIP file, or finishes its current file if it was cancelled.
    if job is not None and not job.wait(_PACKING_SECONDS):
        raise EnhanceError("batch_ends")
    with session.lock:
        session.end_batch()
        session.files.items += tuple(items)


def remove_file(call: Call) -> Updates:
    """Remove a file that is not processed yet, or that failed."""
    session, key = call.session, str(call.event.index)
    if session.is_batch_running:
        session.batch.running.remove(key)
        session.batch.discard_record(key)
    else:
        with session.lock:
            session.end_batch()
            session.files.items = tuple(item for item in session.files.items if item.key != key or item.state == "done")
    return show_batch(call)


def retry_file(call: Call, *, is_flexible: bool = False) -> Updates:
    """Read a failed file again, and add it to the running batch. If its batch has ended, process it in a new one.

    With `is_flexible`, it gets the largest possible size, because the requested one is too large.
    """
    session, card, limits = call.session.owner, call.page.batch, call.services.limits
    with session.lock:
        item, job = session.current_batch.files.get(str(call.event.index)), session.batch
        if item is None or item.state in ("running", "done"):
            return show_batch(call)
        fresh = replace(item, state="waiting", error=None, size=None, is_flexible=is_flexible or item.is_flexible)
        fresh = with_size(fresh, limits.pixels, limits.bytes)
        if item.source == session.selected.file:
            session.selected.is_flexible = fresh.is_flexible
        if session.is_batch_running:
            job.add([fresh], panel_settings(call) if item.error and is_of_preset(item.error) else None)
            return show_batch(call)
        session.end_batch()
        session.files.items = tuple(fresh if one.key == item.key else one for one in session.files.items)
        if job is not None and fresh.size:
            try:
                start(call, panel_settings(call), only=item.key)
            except Exception as error:
                return show_batch(call) | {card.progress: call.problem(error, "A file could not be processed again")}
    return show_batch(call) | {card.problem: ""}


def retry_with_auto(call: Call) -> Updates:
    """Select Auto instead of a preset whose model is missing, and process a failed file again."""
    values = call.services.with_chosen_preset(call.session, {**call.values, "preset": AUTO})
    return controls.select_preset(call, AUTO) | retry_file(replace(call, values=values))


def clear_files(call: Call) -> Updates:
    """Remove all files, unless a batch is running."""
    session = call.session
    with session.lock:
        if not session.is_batch_running:
            session.end_batch()
            session.files.clear()
            session.files = BatchFiles()
            session.selected.file = None
    return show_batch(call) | {call.page.batch.problem: ""}


def follow_batch(call: Call) -> Iterator[Updates]:
    """Show the progress of the session's batch until it ends."""
    session, card = call.session, call.page.batch
    job: PageBatch | None = session.batch
    if job is None:
        if session.files.items:  # Gradio repeats the last update, and files can have been added since.
            yield show_batch(call)
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
        updates = {card.progress: progress_html(call, job)}
        if files != shown_files:
            updates[card.cards] = files_html(call)
        if shown_files is None or files[0] != shown_files[0]:
            updates |= show_history(call)
        updates |= show_new_result(call)
        next_time = started + _DRAWING_SHARE * (time.monotonic() - started)
        yield updates
        shown_batch, shown_files = job.batch, files
    yield show_batch(call) | show_history(call) | show_new_result(call)


def cancel_batch(call: Call) -> Updates:
    """Cancel the batch. Finished files remain."""
    if call.session.batch is not None:
        call.session.batch.cancel("user")
    return show_batch(call)


@shows_errors(lambda page: page.result.report_problem, "Reports could not be written")
def write_reports(call: Call) -> Updates:
    """Write the PDF reports of the results into one ZIP file and let the browser download it.

    Results without a report, such as those whose photo was deleted, are left out and named on the page.
    """
    session, services, names = call.session, call.services, UniqueNames()
    done = [item for item in session.current_batch.items if item.info is not None]
    errors: dict[str, EnhanceError] = {}

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for item in done:
                assert item.info is not None
                try:
                    task, encoding = item.info["task_id"], session.files.encoding
                    pdf = services.enhancer.report(task, call.language, encoding=encoding)
                except EnhanceError as error:
                    errors[item.name] = error
                else:
                    archive.write(pdf, names.add(report_name(item.info)))
        if errors and not archive.namelist():
            raise next(iter(errors.values()))

    path = services.downloads.new_path(_REPORTS_NAME)
    try:
        write_atomically(path, write)
    except EnhanceError:
        path.parent.rmdir()
        raise
    session.archives[path] = {item.key for item in done}
    updates = offer_file(call, path)
    if errors:
        reason = services.visible_error(call.request, next(iter(errors.values())))
        text = call.text("reports_missing", names=format_names(call.language, [*errors]), reason=reason)
        updates[call.page.result.report_problem] = templates.note(text)
    return updates
