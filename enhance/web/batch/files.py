"""Changes to the files of the Batch tab: adding, removing and retrying them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...batch import Item, with_own_size, with_size
from ...errors import EnhanceError
from ...settings import Settings
from ..session import BatchFiles, Session
from ..views import Call, Updates
from .run import PageBatch, panel_settings, start
from .views import show_batch

_PACKING_SECONDS = 60


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
    last = max((item.number for item in session.current_batch.items), default=0)
    items = [
        with_size(Item(path, Path(path.name), number=number), limits.pixels, limits.bytes)
        for number, path in enumerate(paths, last + 1)
    ]
    if job is not None and not job.is_over:
        items = [_sized(session, item, job.running.settings) for item in items]
        job.record(items)
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
                start(call, panel_settings(call), only=item.key)
            except Exception as error:
                return show_batch(call) | {card.progress: call.problem(error, "A file could not be processed again")}
    return show_batch(call) | {card.problem: ""}


def clear_files(call: Call) -> Updates:
    """Remove all files, unless a batch is running."""
    session = call.session
    with session.lock:
        if not session.is_batch_running:
            session.batch, session.files = None, BatchFiles()
            session.selected.file = None
    return show_batch(call) | {call.page.batch.problem: ""}
