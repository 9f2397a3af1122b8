"""The content of the Batch tab: the list of its files, their thumbnails, the progress and the buttons."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr

from ...batch import Batch, Item
from ...errors import EnhanceError, PictureError, SettingsError, expected_error
from ...i18n import format_duration, format_names, sentence_space
from ...info import grade_in
from ...output.formats import ENDINGS, FORMATS
from ...output.resample import with_possible_size
from ...output.thumbnails import save_small, save_small_result
from .. import templates
from ..params import page_message
from ..processing import BatchJob
from ..solutions import is_of_preset
from ..views import Call, Updates
from .files import BatchFiles

THUMBNAIL_EVENTS: dict[str, Any] = {"concurrency_id": "images", "concurrency_limit": 2}
_SMALL_SIDE = 160
SHOW_SECONDS = 0.7
"""How often a long piece of work shows what is new."""


def show_batch(call: Call) -> Updates:
    """Update the list and the bar, apart from the error message."""
    session, card = call.session.owner, call.page.batch
    job: BatchJob | None = session.batch
    is_running, has_files = session.is_batch_running, bool(session.current_batch.items)
    archive = job.packed.archive if job is not None else next(filter(None, reversed(session.files.archives)), None)
    variant = "secondary" if archive else "primary"
    return {
        card.cards: files_html(call),
        card.count: count_text(call, len(session.current_batch.items)),
        card.download: gr.DownloadButton(value=str(archive) if archive else None, visible=bool(archive)),
        card.reports: gr.Button(visible=bool(archive)),
        card.clear: gr.Button(visible=has_files and not is_running),
        card.progress: "" if job is None else progress_html(call, job),
        card.enhance: gr.Button(enhance_label(call), visible=not is_running, interactive=has_files, variant=variant),
        card.cancel: gr.Button(visible=is_running, interactive=job is None or not job.stop.is_set()),
    }


def progress_html(call: Call, job: BatchJob) -> str:
    """Return the progress of a batch, or how it ended."""
    batch = job.batch
    if job.is_over:
        try:
            packed = job.result()
        except Exception as error:
            return call.problem(error, "A batch failed")
        counts = {state: batch.count(state) for state in ("done", "failed", "cancelled")}
        texts = [call.text(f"count_{state}", n=n) for state, n in counts.items() if n]
        loose = call.text("batch_loose", reason=packed.error) if packed.error else ""
        return templates.note(format_names(call.language, texts)) + templates.problem(loose)
    if job.stop.is_set():
        return templates.progress(call.text("cancelling"), None)
    finished = batch.count("done") + batch.count("failed")
    words = [call.text("batch_progress", done=finished, total=len(batch.items))]
    if batch.ahead:
        time_left = format_duration(call.language, call.services.enhancer.scheduler.seconds(batch.ahead))
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
        message=partial(file_message, call),
        selected=session.selected.file,
        attention=[item for item in batch.items if _error(files, item)],
        repair=partial(_repair, call),
        grade=grade_in,
        formats=FORMATS,
        encoding=session.active.encoding,
        endings=ENDINGS,
        is_running=session.is_batch_running,
    )


def _error(files: BatchFiles, item: Item) -> EnhanceError | None:
    """Return why a file failed, or why it cannot have the size of the settings."""
    plan = files.plans.get(item.key)
    return item.error or (plan.error if plan and item.state == "waiting" else None)


def _repair(call: Call, item: Item) -> tuple[str, str]:
    """Return the event and the label of the button that solves a file's problem; ("", "") if nothing does."""
    if largest := _largest_size(call, item):
        return "submit", call.text("use_size", size=largest)
    if item.error is not None and is_of_preset(item.error) and not call.session.owner.active.is_auto:
        return "apply", call.text("use_instead", name=call.text("preset_auto"))
    if isinstance(item.error, PictureError):
        return "replace", call.text("batch_replace")
    return ("retry", call.text("batch_retry")) if item.state == "failed" else ("", "")


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


def file_message(call: Call, item: Item) -> str:
    """Return why a file needs attention, or ""."""
    files = call.session.owner.files
    error, plan = _error(files, item), files.plans.get(item.key)
    if error is None:
        return ""
    if error.key == "size_large":
        return call.text("batch_small")
    error = call.services.visible_error(call.request, error)
    text = page_message(call.language, error, plan.settings if plan else None)
    if (rest := text.removeprefix(f"{item.name} ")) != text:  # The list has the name above the message.
        text = call.text("this_file") + sentence_space(call.language) + rest
    return text


def count_text(call: Call, count: int) -> str:
    """Return the number of photos as text."""
    return call.text("batch_count_1" if count == 1 else "batch_count", n=count)


def enhance_label(call: Call) -> str:
    """Return the label of the button, with the number of files that a batch would process."""
    planned = sum(bool(one.size) for one in call.session.owner.files.plans.values())
    return call.text("batch_enhance_n", n=planned) if planned else call.text("batch_enhance")


def make_thumbnails(call: Call) -> Iterator[Updates]:
    """Make all missing thumbnails. While a batch is running, `follow_batch` shows them."""
    session, shown = call.session, time.monotonic()

    def updates() -> Updates:
        return {} if session.is_batch_running else {call.page.batch.cards: files_html(call)}

    while missing := session.files.without_thumbnail(session.current_batch.items):
        for item, of_result in missing:
            make_thumbnail(call, item, of_result)
            if time.monotonic() - shown > SHOW_SECONDS:
                yield updates()
                shown = time.monotonic()
    yield updates()


def make_thumbnail(call: Call, item: Item, of_result: bool) -> None:
    """Make the thumbnail of a file or of its result, once. A file that cannot be read has none."""
    files, limits, key = call.session.owner.files, call.services.limits, (item.key, of_result)
    with files.lock:
        if key in files.thumbnails:
            return
        files.thumbnails[key] = None
    try:
        path = call.services.downloads.new_path("small")
        if of_result and item.png is not None:
            files.thumbnails[key] = save_small_result(item.png, path, _SMALL_SIDE)
        else:
            small = save_small(item.source, path, _SMALL_SIDE, limits.pixels, limits.bytes)
            files.thumbnails[item.key, False] = small
    except Exception as error:
        if not isinstance(error, OSError):
            expected_error(error, "A thumbnail could not be made")
