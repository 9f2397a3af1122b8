"""The list of a user's or browser's recent results, which survives restarts of the page and the server.

Each run is a small file in the task store, so that two servers never write the same one. The file's name begins with
the SHA-256 of the user's name, or of the browser's key.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from ..batch import Item, plan
from ..batch_archive import archive_names
from ..errors import Cancelled, EnhanceError, PictureError, SettingsError, StorageError
from ..files import file_sha256
from ..i18n import format_names, name_of
from ..images import Facts, inspect
from ..info import Info, Result, timestamp
from ..output.png_reader import PngReader
from ..output.resample import result_size
from ..output.thumbnails import Thumbnail, list_data_url, save_data_url
from ..processes import this_process
from ..settings import REFERENCE_PRESET, Settings
from ..store import Entry, TaskStore, count_as_used, report_name
from . import templates
from .batch.files import BatchFiles
from .jobs import Job, progress_text
from .processing import pack_batch
from .services import Services
from .session import Session, Upload
from .storage import history_name
from .templates import pixel_size
from .views import Call, Updates, clear, offer_file, show_bar, show_session

log = logging.getLogger(__name__)

MAX_RESULTS = 20
MAX_FILES = 400
"""The largest numbers of results and of files in a list. A batch is one result. The oldest results are removed."""
_WORST_FIRST = ("running", "cut", "away", "failed", "gone", "done")
"""The states of `Entry`. A batch has the first of these that one of its files has."""


def record_run(tasks: TaskStore, session: Session, upload: Upload, settings: Settings) -> Entry | None:
    """Add a run that begins to the session's list. Return None if there is no list or the disk is full."""
    own = {"id": secrets.token_hex(16), "thumbnail": list_data_url(upload.thumbnail)}
    entry = _record(tasks, session, upload.facts, upload.sha256, settings, **own)
    shorten(tasks, session)
    return entry


def record_file(
    tasks: TaskStore, session: Session, item: Item, settings: Settings, thumbnail: Path | None
) -> Entry | None:
    """Add a file of a batch to the list and keep it, so that the batch can continue after a restart.

    The caller shortens the list, once for all files.
    """
    entry = None
    with suppress(EnhanceError, OSError):  # The run reports the error.
        facts, sha256 = inspect(item.source), file_sha256(item.source)
        own: dict[str, Any] = {"id": item.key, "thumbnail": list_data_url(thumbnail), "batch": session.files.id}
        own["number"] = item.number
        entry = _record(tasks, session, facts, sha256, settings, **own)
        if entry is not None:
            tasks.keep_upload(item.source, entry.name, entry.sha256, entry.bytes)
    return entry


def _record(
    tasks: TaskStore, session: Session, facts: Facts, sha256: str, settings: Settings, **own: Any
) -> Entry | None:
    if not session.history:
        return None
    entry = Entry(
        session.history,
        state="running",
        began=timestamp(),
        name=facts.name,
        width=facts.width,
        height=facts.height,
        bytes=facts.bytes,
        sha256=sha256,
        settings=settings.as_dict(),
        process=this_process(),
        **own,
    )
    try:
        tasks.save_entry(entry)
    except StorageError as error:  # The run reports the error.
        log.warning("A run is not in the list of results: %s", error.key)
        return None
    return entry


def shorten(tasks: TaskStore, session: Session) -> None:
    """Remove the oldest entries of a list that is too long."""
    files = 0
    for number, run in enumerate(tasks.runs(session.history)):
        files += len(run)
        # The newest run stays, even if it is a batch with more files.
        if number >= MAX_RESULTS or (number and files > MAX_FILES):
            for old in run:
                old.path(tasks).unlink(missing_ok=True)


def unfinished_state(job: Job[Any]) -> str:
    """Return the state of a list entry whose job did not finish, or "" for none if the user cancelled it."""
    if not job.stop.is_set():
        return "failed"
    return {"": "cut", "absence": "away", "user": ""}[job.cancelled_by]  # "": the server ends.


@contextmanager
def recorded(tasks: TaskStore, entry: Entry | None, job: Job[Any]) -> Iterator[Callable[[Info, str], None]]:
    """Record the end of a run. The block passes its `info` and a thumbnail to the function that is yielded."""

    def finish(info: Info, thumbnail: str) -> None:
        if entry is not None:
            tasks.end_entry(entry, "done", task_id=info["task_id"], thumbnail=thumbnail)

    try:
        yield finish
    except BaseException as error:
        if entry is not None:
            tasks.end_entry(entry, unfinished_state(job) if isinstance(error, EnhanceError) else "failed")
        raise


def show_history(call: Call, is_opening: bool = False) -> Updates:
    """Update the list of results. On a page that opens, it is unfolded if a run was interrupted."""
    tasks, session = call.services.enhancer.tasks, call.session
    runs = tasks.runs(session.history)[:MAX_RESULTS]
    entries = [_run_values(call, tasks, run) for run in runs]
    arguments: dict[str, Any] = {"visible": bool(runs)}
    if is_opening and any(entry.current_state(tasks) == "cut" for run in runs for entry in run):
        arguments["open"] = True
    html = templates.render("history", call.language, entries=entries)
    return {call.page.result.history: gr.Accordion(**arguments), call.page.result.history_list: html}


def _run_values(call: Call, tasks: TaskStore, run: Sequence[Entry]) -> dict[str, Any]:
    """Return the template's values for a run, or for a batch, with its files if it is unfolded."""
    states = [entry.current_state(tasks) for entry in run]
    if len(run) == 1:
        return _entry_values(call, tasks, run[0], states[0])
    is_running, is_open = "running" in states, call.session.open_batch == run[0].batch
    worst = next(state for state in _WORST_FIRST if state in states)
    counts = {"done": states.count("done"), "total": len(run)}
    actions, notes = ["files"], list[str]()
    if worst == "gone":
        notes = [call.text("history_kept", **counts)]
    elif worst != "done":
        notes = [call.text(f"history_{worst}"), call.text("history_finished", **counts)]
    if not is_running:
        unfinished = [entry for entry, state in zip(run, states, strict=True) if state in ("cut", "away", "failed")]
        lost = [entry for entry in unfinished if not entry.input(tasks).exists()]
        for key, entries in (("history_rest", unfinished), ("history_lost", lost)):
            if entries:
                notes.append(call.text(key, names=format_names(call.language, [entry.name for entry in entries])))
        can_resume = len(lost) < len(unfinished)
        actions += [*(["zip"] if "done" in states else []), *(["rest"] if can_resume else []), "remove"]
    files = [
        _entry_values(call, tasks, entry, state, in_batch=True, is_removable=not is_running)
        for entry, state in zip(run, states, strict=True)
        if is_open and state != "running"
    ]
    with_thumbnail = next((one for one in run if one.thumbnail), run[0])
    return {
        "id": run[0].batch,
        "state": worst,
        "thumbnail": with_thumbnail.thumbnail,
        "name": call.text("batch_count", n=len(run)),
        "about": [name_of(call.language, "preset", with_thumbnail.settings["preset"])],
        "began": max(entry.began for entry in run),
        "notes": notes,
        "actions": actions,
        "files": files,
    }


def _entry_values(
    call: Call, tasks: TaskStore, entry: Entry, state: str, *, in_batch: bool = False, is_removable: bool = True
) -> dict[str, Any]:
    """Return the template's values for one file."""
    is_stored = entry.input(tasks).exists()
    actions = ["remove"] if is_removable and state != "running" else []
    if state == "done":
        actions = ["download", *(["report", "open"] if is_stored else []), *actions]
    elif is_stored and actions and not in_batch:
        actions = ["go_on", *actions]
    about = [] if in_batch else [name_of(call.language, "preset", entry.settings["preset"])]
    with suppress(SettingsError):  # The scale of a removed model is unknown.
        height, width = result_size(Settings(**entry.settings), entry.height, entry.width)
        about.insert(0, pixel_size(call.language, width, height))
    return {
        "id": entry.id,
        "state": state,
        "thumbnail": entry.thumbnail,
        "name": entry.name,
        "about": about,
        "began": "" if in_batch else entry.began,
        "notes": [call.text(f"history_{state}")] if state != "done" else [],
        "actions": actions,
        "files": [],
    }


def show_notice(call: Call) -> Updates:
    """Show the newest run if no open tab has it and its result was not seen: its progress or its result.

    The event has the browser's key and the names of its open tabs.
    """
    session, services, place = call.session, call.services, call.page.result.notice
    tasks, tabs = services.enhancer.tasks, getattr(call.event, "tabs", None)
    session.history = history_name(call.request, getattr(call.event, "key", None))
    entries = next(iter(tasks.runs(session.history)), [])
    states = {entry.current_state(tasks) for entry in entries}
    pages = [page for page in services.sessions.with_list(session.history) if any(map(page.shows, entries))]
    is_shown = any(page.tab in (tabs if isinstance(tabs, list) else ()) for page in pages)
    if is_shown or session in pages or any(entry.seen for entry in entries) or not states & {"running", "done"}:
        return {place: ""}
    values, is_batch = _run_values(call, tasks, entries), len(entries) > 1
    if "running" in states:
        for page in pages:  # A user sees this run, so the time until it is cancelled begins again.
            page.closed = page.closed and time.monotonic()
        done = sum(entry.state == "done" for entry in entries)
        progress = call.text("batch_progress", done=done, total=len(entries)) if is_batch else call.text("starting")
        if pages and not is_batch:
            progress, _ = progress_text(call.language, pages[0].run.state)
        title, actions = call.text("away_running", progress=progress), []
    else:
        title, actions = call.text("away_done"), ["zip"] if is_batch else ["download", "open"]
    values |= {"notes": [], "files": [], "actions": [*actions, "dismiss"]}
    return {place: templates.render("notice", call.language, title=title, entry=values), **show_history(call)}


def dismiss(call: Call) -> Updates:
    """Remove the notice about a run."""
    with suppress(EnhanceError):  # The run was removed.
        call.services.enhancer.tasks.mark_seen(find_entries(call))
    return {call.page.result.notice: ""}


def mark_downloaded(call: Call, task_id: str) -> None:
    """Record that the user has downloaded the result of a task."""
    tasks = call.services.enhancer.tasks
    tasks.mark_seen(
        entry for run in tasks.runs(call.session.owner.history) for entry in run if entry.task_id == task_id
    )


def mark_batch_downloaded(call: Call) -> Updates:
    """Record that the user has downloaded the ZIP file of the session's batch."""
    tasks, batch = call.services.enhancer.tasks, call.session.files.id
    tasks.mark_seen(entry for run in tasks.runs(call.session.history) for entry in run if entry.batch == batch)
    return {call.page.result.notice: ""}


def find_entries(call: Call, *, is_settled: bool = False) -> list[Entry]:
    """Return the entry of the call's event, or the files of its batch.

    The event has the browser's key. Raises EnhanceError, with the same text for a removed entry, an entry of another
    user and, with `is_settled`, an entry with a running file.
    """
    tasks, wanted = call.services.enhancer.tasks, getattr(call.event, "entry", None)
    call.session.history = history_name(call.request, getattr(call.event, "key", None))
    for run in tasks.runs(call.session.history) if wanted else ():
        found = [entry for entry in run if wanted in (entry.id, entry.batch)]
        if found and not (is_settled and any(entry.current_state(tasks) == "running" for entry in run)):
            return found
    raise EnhanceError("entry_gone")


def items_of(tasks: TaskStore, entries: Sequence[Entry]) -> list[Item]:
    """Return the files of a recorded batch, done or waiting. One has settings only if they differ from the first's."""
    items = []
    for entry in entries:
        info = tasks.info(entry.task_id or "")
        if info is not None:
            info["output"]["path"] = str(tasks.result_path(info["task_id"]))  # The folder can have moved.
        item = Item(
            entry.input(tasks),
            Path(entry.name),
            state="waiting" if info is None else "done",
            size=(entry.height, entry.width),
            settings=None if entry.settings == entries[0].settings else Settings.from_stored(entry.settings),
            info=info,
            key=entry.id,
            number=entry.number,
        )
        items.append(item)
    return items


def restore_files(services: Services, entries: Sequence[Entry]) -> tuple[BatchFiles, list[Entry]]:
    """Return the files of a recorded batch, and the entries whose file is no longer stored. Raises StorageError."""
    downloads, lost = services.downloads, list[Entry]()
    files = BatchFiles(id=entries[0].batch)
    for entry, item in zip(entries, items_of(services.enhancer.tasks, entries), strict=True):
        if item.info is None and not item.source.exists():
            lost.append(entry)
            continue
        if entry.thumbnail:
            files.thumbnails[item.key, False] = save_data_url(entry.thumbnail, downloads.new_path("small.jpg"))
        source = item.source if item.info else downloads.link(item.source, entry.name)
        with suppress(EnhanceError):  # A finished file can be restored without its input, and the run reports others.
            item = replace(item, has_alpha=inspect(source).has_alpha)
        files.items += (replace(item, source=source),)
    for item, title in archive_names(plan(files.items)).items():
        files.results[item.key] = downloads.link(item.result or item.source, title)
    return files, lost


def open_result(call: Call) -> Updates:
    """Show a result on the stage, with its photo and its settings."""
    entry, tasks, session = find_entries(call)[0], call.services.enhancer.tasks, call.session
    info = tasks.finished_info(entry.task_id or "")
    png = tasks.result_path(info["task_id"])
    upload = _load_entry(call, entry)
    if upload is None:
        return {}
    load_result(session, upload, Result(png, info, png))
    return _show_loaded(call)


def load_result(session: Session, upload: Upload, result: Result) -> None:
    """Make a stored result the result of the session, unless another photo was chosen. Raises EnhanceError."""
    with PngReader(result.path) as rows:
        overview = Thumbnail(*rows.size, channels=rows.channels)
        overview.add_all(rows)
        icc = rows.icc if rows.channels > 2 else None
    shown = session.save_result(upload, overview, icc, result)
    with session.lock:
        session.result = shown if session.upload is upload else None


def load_run(call: Call) -> Updates:
    """Load the photo and the settings of an interrupted run, which is then removed from the list."""
    entry = find_entries(call, is_settled=True)[0]
    if _load_entry(call, entry) is None:
        raise Cancelled("stopped")
    entry.path(call.services.enhancer.tasks).unlink(missing_ok=True)
    return _show_loaded(call)


def download_entry(call: Call) -> Updates:
    """Give the browser the result in the selected format, the report or the ZIP file of an entry."""
    entries, services = find_entries(call), call.services
    enhancer, encoding = services.enhancer, call.session.active.encoding
    is_report = getattr(call.event, "act", "") == "report"
    if len(entries) > 1:
        path = _pack_entries(call, entries)
        call.session.archives[path] = {entry.id for entry in entries}
    else:
        info = enhancer.tasks.finished_info(entries[0].task_id or "")
        if is_report:
            report = enhancer.report(info["task_id"], call.language, encoding=encoding)
            path = services.downloads.link(report, report_name(info))
        else:
            path = services.export(info, entries[0].name, encoding)
    if not is_report:
        enhancer.tasks.mark_seen(entries)
    return offer_file(call, path) | {call.page.result.notice: ""}


def remove_entry(call: Call) -> Updates:
    """Delete an entry with its files, and remove it from the stage if it is shown."""
    entries, session, card = find_entries(call, is_settled=True), call.session, call.page.result
    session.remove_files({entry.id for entry in entries})
    removed = call.services.enhancer.tasks.remove(entries)
    call.services.downloads.remove_links(removed)
    updates = show_history(call)
    if session.result is None or session.result.info["task_id"] not in {entry.task_id for entry in entries}:
        return updates
    session.result = None
    if not session.is_active:
        return updates
    return {
        **updates,
        **dict.fromkeys((card.images, card.chip), ""),
        call.page.run.progress: "",
        **show_bar(call),
    }


def toggle_batch(call: Call) -> Updates:
    """Show or hide the files of a batch."""
    batch, session = find_entries(call)[0].batch, call.session
    session.open_batch = "" if session.open_batch == batch else batch
    return show_history(call)


def _pack_entries(call: Call, entries: Sequence[Entry]) -> Path:
    tasks = call.services.enhancer.tasks
    with tasks.using(*(tasks.result_path(entry.task_id or "") for entry in entries)):
        items = [
            item if item.info else replace(item, state="failed" if entry.state == "failed" else "cancelled")
            for entry, item in zip(entries, items_of(tasks, entries), strict=True)
        ]
        settings = Settings.from_stored(entries[0].settings)
        packed = pack_batch(call.services.downloads, plan(items), settings, call.language)
    if packed.archive is None:
        raise packed.error or EnhanceError("result_gone")
    return packed.archive


def _load_entry(call: Call, entry: Entry) -> Upload | None:
    """Load an entry's photo and settings into the session. Return None if the user has chosen another photo since.

    If it raises EnhanceError, the session keeps its photo and settings.
    """
    session, previews = call.session, call.services.previews
    session.open_tab(is_batch=False)
    if session.is_running:
        raise EnhanceError("why_running")
    path, settings = entry.input(call.services.enhancer.tasks), Settings(**entry.settings)
    if not path.exists():
        raise EnhanceError("input_gone")
    count_as_used(path)
    choice = session.begin_choice()
    photo = previews.read(path)
    if photo.image.sha256 != entry.sha256:
        raise PictureError("input_changed", name=entry.name)
    session.is_auto = settings.is_auto
    settings = settings.resolved(REFERENCE_PRESET) if settings.is_auto else settings
    return previews.set_photo(session, photo, settings, choice)


def _show_loaded(call: Call) -> Updates:
    return {
        **clear(call.page),
        call.page.named["preset"]: call.session.preset_control,
        **show_session(call),
        **show_history(call),
        call.page.result.notice: "",
    }
