"""The selected file of the Batch tab, which the stage shows with its preview and its result."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from ...batch import Item
from ...errors import EnhanceError, SettingsError
from ...info import Result
from .. import templates, upload
from ..history import load_result
from ..params import settings_from
from ..services import Services
from ..session import Session
from ..views import Call, Updates, clear, show_photo, show_preview, show_result, show_session
from .views import file_message, files_html


def show_tab(call: Call) -> Updates:
    """Show the tab that was opened: Single with its photo, or Batch with the file that is selected."""
    with suppress(SettingsError):  # The size control shows the message.
        call.session.settings = settings_from(call.values, call.session.shape)
    return clear(call.page) | show_session(call) | select_first(call)


def select_first(call: Call) -> Updates:
    """Select the first file, unless one is selected or the other tab is open."""
    session = call.session
    session.owner.files.are_plans_shown = False
    with session.lock:
        items = session.owner.current_batch.items
        if session is session.owner or any(item.source == session.file for item in items):
            return {}
        first = next((item for item in items if item.pixels), items[0] if items else None)
        if first is None:
            session.reset()
            session.file = None
            return {**clear(call.page), **show_photo(call)}
        choice = _begin_choice(session, first)
    return _show_file(call, first, choice) | {call.page.batch.cards: files_html(call)}


def select_file(call: Call) -> Updates:
    """Show the selected file on the stage."""
    item = call.session.owner.current_batch.files.get(str(call.event.index))
    if item is None or call.session is call.session.owner:
        return {}
    return _show_file(call, item, _begin_choice(call.session, item))


def _begin_choice(session: Session, item: Item) -> int:
    """Select a file and return the number of the choice. The last file that is selected is shown."""
    with session.lock:
        session.file, session.is_flexible = item.source, item.is_flexible
        return session.begin_choice()


def _show_file(call: Call, item: Item, choice: int) -> Updates:
    """Show a file on the stage with its result, if it has one, or show why it cannot be read."""
    session = call.session
    # The call can have the values of the previous file.
    call = replace(call, values={**call.values, "largest": session.values["largest"] or item.is_flexible})
    if not item.pixels:
        with session.lock:
            if session.choice != choice:
                return {}
            session.reset()
        problem = templates.problem(file_message(call, item))
        return {**clear(call.page), **show_photo(call), call.page.preview.problem: problem}
    updates = upload.load(call, item.source, choice)
    if _load_result(session, call.services, item):
        updates |= show_result(call) | show_preview(call)
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


def show_new_result(call: Call) -> Updates:
    """Show the result of the selected file as soon as it is done."""
    session = call.session.owner.selected
    item = session.batch_item
    if item is None or not _load_result(session, call.services, item) or not session.is_active:
        return {}
    call = replace(call, session=session)
    return show_result(call) | show_preview(call)
