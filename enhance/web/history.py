"""The list of recent results on the page, which is kept when the page or the server is restarted.

Each run is an entry of its owner in the database of the task store.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gradio as gr

from ..batch import Item, plan
from ..errors import EnhanceError, PictureError, SettingsError, StorageError
from ..files import file_sha256
from ..i18n import format_names, name_of
from ..images import Facts, inspect
from ..info import Info, Result, timestamp
from ..output.png_reader import PngReader
from ..output.resample import result_size
from ..output.thumbnails import Thumbnail, list_data_url
from ..processes import this_process
from ..settings import REFERENCE_PRESET, Settings
from ..store import Entry, TaskStore, report_name
from . import templates
from .jobs import Job
from .processing import pack_batch
from .recent import MAX_RESULTS, is_running, shorten, worst_state
from .session import Session, Upload
from .templates import pixel_size
from .views import Call, Updates, clear, offer_file, show_bar, show_session

log = logging.getLogger(__name__)


def record_run(tasks: TaskStore, session: Session, upload: Upload, settings: Settings) -> Entry | None:
    """Add a run that begins to the session's list. Return None if there is no list or the disk is full."""
    own = {"id": secrets.token_hex(16), "thumbnail": list_data_url(upload.thumbnail)}
    entry = _record(tasks, session, upload.facts, upload.sha256, settings, **own)
    shorten(tasks, session.history)
    return entry


def record_file(
    tasks: TaskStore, session: Session, item: Item, settings: Settings, thumbnail: Path | None
) -> Entry | None:
    """Add a file of a batch to the list and keep it, so that the list can open it.

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


def unfinished_state(job: Job[Any]) -> str:
    """Return the state of a list entry whose job did not finish, or "" for none if the user cancelled it."""
    if not job.stop.is_set():
        return "failed"
    return "" if job.cancelled_by == "user" else "interrupted"


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


def show_history(call: Call) -> Updates:
    """Update the list of results."""
    tasks, session = call.services.enhancer.tasks, call.session
    runs = tasks.runs(session.history)[:MAX_RESULTS]
    entries = [_run_values(call, tasks, run) for run in runs]
    html = templates.render("history", call.language, entries=entries)
    return {call.page.result.history: gr.Accordion(visible=bool(runs)), call.page.result.history_list: html}


def _run_values(call: Call, tasks: TaskStore, run: Sequence[Entry]) -> dict[str, Any]:
    """Return the template's values for a run, or for a batch, with its files if it is unfolded."""
    states = [tasks.state_of(entry) for entry in run]
    if len(run) == 1:
        return _entry_values(call, tasks, run[0], states[0])
    has_running, is_open = "running" in states, call.session.open_batch == run[0].batch
    worst = worst_state(states)
    counts = {"done": states.count("done"), "total": len(run)}
    actions, notes = ["files"], list[str]()
    if worst == "gone":
        notes = [call.text("history_kept", **counts)]
    elif worst != "done":
        notes = [call.text(f"history_{worst}"), call.text("history_finished", **counts)]
    if not has_running:
        by_entry = zip(run, states, strict=True)
        unfinished = [entry.name for entry, state in by_entry if state in ("interrupted", "failed")]
        if unfinished:
            notes.append(call.text("history_rest", names=format_names(call.language, unfinished)))
        actions += [*(["zip"] if "done" in states else []), "remove"]
    files = [
        _entry_values(call, tasks, entry, state, in_batch=True, is_removable=not has_running)
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
    is_stored = tasks.input_of(entry).exists()
    actions = ["download"] if state == "done" else []
    if is_stored and state == "done":
        actions.append("report")
    if is_stored and state != "running":
        actions.append("open")
    if is_removable and state != "running":
        actions.append("remove")
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


def find_entries(call: Call, *, is_settled: bool = False) -> list[Entry]:
    """Return the entry of the call's event, or the files of its batch.

    Raises EnhanceError, with the same text for a removed entry, an entry of another user and, with `is_settled`, an
    entry with a running file.
    """
    tasks, wanted = call.services.enhancer.tasks, getattr(call.event, "entry", None)
    for run in tasks.runs(call.session.history) if wanted else ():
        found = [entry for entry in run if wanted in (entry.id, entry.batch)]
        if found and not (is_settled and is_running(tasks, run)):
            return found
    raise EnhanceError("entry_gone")


def open_entry(call: Call) -> Updates:
    """Show the photo of an entry with its settings on the stage, and its result if it has one."""
    entry, tasks, session = find_entries(call)[0], call.services.enhancer.tasks, call.session
    info = tasks.info(entry.task_id or "")
    upload = _load_entry(call, entry)
    if upload is None:
        return {}
    if info is not None:
        png = tasks.result_path(info["task_id"])
        load_result(session, upload, Result(png, info, png))
    return {
        **clear(call.page),
        call.page.named["preset"]: session.preset_control,
        **show_session(call),
        **show_history(call),
    }


def load_result(session: Session, upload: Upload, result: Result) -> None:
    """Make a stored result the result of the session, unless another photo was chosen. Raises EnhanceError."""
    with PngReader(result.path) as rows:
        overview = Thumbnail(*rows.size, channels=rows.channels)
        overview.add_all(rows)
        icc = rows.icc if rows.channels > 2 else None
    shown = session.save_result(upload, overview, icc, result)
    with session.lock:
        session.result = shown if session.upload is upload else None


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
    return offer_file(call, path)


def remove_entry(call: Call) -> Updates:
    """Delete an entry with its files, and remove it from the stage if it is shown."""
    entries, session, card = find_entries(call, is_settled=True), call.session, call.page.result
    session.remove_files({entry.id for entry in entries})
    call.services.enhancer.tasks.remove(entries)
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
    """Write the ZIP file of a batch. Raises EnhanceError if no result is stored."""
    tasks = call.services.enhancer.tasks
    with tasks.using(*(tasks.result_path(entry.task_id or "") for entry in entries)):
        items = [_item_of(tasks, entry, entries[0]) for entry in entries]
        settings = Settings.from_stored(entries[0].settings)
        packed = pack_batch(call.services.downloads, plan(items), settings, call.language)
    if packed.archive is None:
        raise packed.error or EnhanceError("result_gone")
    return packed.archive


def _item_of(tasks: TaskStore, entry: Entry, first: Entry) -> Item:
    """Return a file of a batch, with settings only if they differ from the settings of the first file."""
    info = tasks.info(entry.task_id or "")
    state = "failed" if entry.state == "failed" else "cancelled"
    if info is not None:
        state = "done"
        info["output"]["path"] = str(tasks.result_path(info["task_id"]))  # The folder can have moved.
    settings = None if entry.settings == first.settings else Settings.from_stored(entry.settings)
    size = entry.height, entry.width
    return Item(tasks.input_of(entry), Path(entry.name), state=state, size=size, settings=settings, info=info)


def _load_entry(call: Call, entry: Entry) -> Upload | None:
    """Load an entry's photo and settings into the session. Return None if the user has chosen another photo since.

    If it raises EnhanceError, the session keeps its photo and settings.
    """
    session, previews = call.session, call.services.previews
    session.open_tab(is_batch=False)
    if session.is_running:
        raise EnhanceError("why_running")
    tasks = call.services.enhancer.tasks
    path, settings = tasks.input_of(entry), Settings(**entry.settings)
    if not path.exists():
        raise EnhanceError("input_gone")
    tasks.mark_used([path])
    choice = session.begin_choice()
    photo = previews.read(path)
    if photo.image.sha256 != entry.sha256:
        raise PictureError("input_changed", name=entry.name)
    session.is_auto = settings.is_auto
    settings = settings.resolved(REFERENCE_PRESET) if settings.is_auto else settings
    return previews.set_photo(session, photo, settings, choice)
