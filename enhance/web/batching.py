"""The second tab: many pictures with the settings of the first."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from ..batch import Batch, Item, Running, Source, plan, summarise, write_zip
from ..errors import EnhanceError, StorageError
from ..settings import Settings
from ..texts import say, say_time
from ..web import fragments
from .controls import settings_from
from .desk import Desk, Outputs, Updates
from .language import language_of
from .page import BatchTab, Page
from .session import Visitor
from .work import Work

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.3
ZIP_NAME = "enhanced.zip"


@dataclass(frozen=True, eq=False)
class Packed:
    """A batch as it ended, and its ZIP; None when nothing in it was finished, or when there was no room for it.

    In that case `loose` has every finished file by itself, and `error` says why.
    """

    batch: Batch
    archive: Path | None
    loose: dict[Item, Path] = field(default_factory=dict)
    error: EnhanceError | None = None


class BatchWork(Work[Packed]):
    """A batch that runs, and is packed at its end."""

    def __init__(self, desk: Desk, sources: Sequence[Path], settings: Settings, language: str):
        self.batch = plan([Source(path, Path(path.name)) for path in sources])

        def look(batch: Batch) -> None:
            self.batch = batch

        def do(stop: threading.Event) -> Packed:
            limits = desk.limits
            running = Running(
                desk.enhancer,
                settings,
                self.batch,
                stop=stop,
                changed=look,
                max_pixels=limits.pixels,
                max_bytes=limits.bytes,
            )
            with running.held:
                return pack(desk, running.run(), settings, language)

        super().__init__(do, "enhance-batch")


def pack(desk: Desk, batch: Batch, settings: Settings, language: str) -> Packed:
    """The finished files, the table and the summary as one ZIP in the outbox; file by file where that cannot be."""
    if not batch.count("done"):
        return Packed(batch, None)
    try:
        return Packed(batch, _archive(desk, batch, settings, language))
    except StorageError as error:
        return Packed(batch, None, _loose(desk, batch), error)


def _archive(desk: Desk, batch: Batch, settings: Settings, language: str) -> Path:
    archive = desk.outbox.place(ZIP_NAME)
    summary = summarise(batch, archive.with_name("summary.pdf"), settings, language)
    try:
        return write_zip(batch, archive, summary=summary, language=language)
    finally:
        summary.unlink(missing_ok=True)


def _loose(desk: Desk, batch: Batch) -> dict[Item, Path]:
    """Every finished file in the outbox, where it takes no room that it does not have already."""
    loose = {}
    for item in batch.items:
        if item.result is not None:
            with suppress(StorageError):
                loose[item] = desk.outbox.link(item.result, f"{Path(item.name).stem}.png")
    return loose


def batch_outputs(page: Page) -> Outputs:
    """The components of the second tab that change."""
    tab = page.batch
    return [tab.enhance, tab.cancel, tab.why, tab.progress, tab.table, tab.download]


class Batching:
    """Handlers of the second tab."""

    def __init__(self, page: Page, desk: Desk):
        self._tab: BatchTab = page.batch
        self._desk = desk

    def settings(self, request: gr.Request, *values: object) -> Updates:
        """The settings of the first tab in words, where they are used."""
        language = language_of(request)
        try:
            words = fragments.settings_in_words(language, settings_from(values))
        except EnhanceError as error:
            return {self._tab.settings: fragments.problem(error.sentence(language))}
        return {self._tab.settings: fragments.note(say(language, "batch_settings", settings=words))}

    def files(self, request: gr.Request, paths: list[str] | None) -> Updates:
        """The files as they were chosen: a table of what waits."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        if visitor.batch is not None:
            return {self._tab.why: fragments.note(say(language, "why_running"))}
        batch = plan([Source(Path(path), Path(Path(path).name)) for path in paths or []])
        return {
            self._tab.table: fragments.batch_table(language, batch) if batch.items else "",
            self._tab.download: gr.DownloadButton(value=None, interactive=False),
            self._tab.progress: "",
            **self._buttons(language, ready=bool(batch.items), running=False),
        }

    def run(self, request: gr.Request, paths: list[str] | None, *values: object) -> Iterator[Updates]:
        """Do the files in turn."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        work = self._start(visitor, paths, values, language)
        if work is None:
            yield {self._tab.why: fragments.note(say(language, "why_no_files"))}
            return
        try:
            yield self._buttons(language, ready=True, running=True)
            yield from self._watch(work, language)
            yield self._end(request, work, language)
        finally:
            work.stop.set()
            with visitor.lock:
                visitor.batch = None

    def cancel(self, request: gr.Request) -> Updates:
        """Stop after this step; what is done stays."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        with visitor.lock:
            if visitor.batch is not None:
                visitor.batch.stop.set()
        return {
            self._tab.progress: fragments.progress(language, say(language, "cancelling"), None, None),
            self._tab.cancel: gr.Button(interactive=False),
        }

    def _start(
        self, visitor: Visitor, paths: list[str] | None, values: tuple[object, ...], language: str
    ) -> BatchWork | None:
        with visitor.lock:
            if not paths or visitor.batch is not None:
                return None
            sources = [Path(path) for path in paths]
            visitor.batch = BatchWork(self._desk, sources, settings_from(values), language)
            return visitor.batch

    def _watch(self, work: BatchWork, language: str) -> Iterator[Updates]:
        shown: Batch | None = None
        while not work.wait(_LOOK_SECONDS):
            batch = work.batch
            if batch is shown or work.stop.is_set():
                continue
            updates: Updates = {self._tab.progress: _progress(language, batch)}
            if shown is None or [item.state for item in shown.items] != [item.state for item in batch.items]:
                updates[self._tab.table] = fragments.batch_table(language, batch)
            shown = batch
            yield updates

    def _end(self, request: gr.Request, work: BatchWork, language: str) -> Updates:
        shown: Updates = self._buttons(language, ready=True, running=False)
        try:
            packed = work.result()
        except EnhanceError as error:
            return shown | {self._tab.progress: fragments.problem(error.sentence(language))}
        except Exception:
            log.exception("A batch failed")
            return shown | {self._tab.progress: fragments.problem(say(language, "unexpected"))}
        batch = packed.batch
        for item in batch.items:
            if item.info:
                self._desk.owners.remember(request, item.info["task_id"])
        counts = {state: batch.count(state) for state in ("done", "failed", "cancelled")}
        said = fragments.note(say(language, "batch_done", **counts))
        if packed.error is not None:
            said += fragments.problem(say(language, "batch_loose", reason=packed.error))
        return shown | {
            self._tab.progress: said,
            self._tab.table: fragments.batch_table(language, batch, packed.loose),
            self._tab.download: gr.DownloadButton(
                value=str(packed.archive) if packed.archive else None, interactive=packed.archive is not None
            ),
        }

    def _buttons(self, language: str, *, ready: bool, running: bool) -> Updates:
        why = "why_running" if running else ("why_batch" if ready else "why_no_files")
        return {
            self._tab.enhance: gr.Button(interactive=ready and not running),
            self._tab.cancel: gr.Button(interactive=running),
            self._tab.why: fragments.note(say(language, why)),
        }


def _progress(language: str, batch: Batch) -> str:
    finished = sum(batch.count(state) for state in ("done", "failed"))
    words = [say(language, "batch_progress", done=finished, total=len(batch.items))]
    if batch.seconds_left is not None:
        words.append(say(language, "left", time=say_time(language, batch.seconds_left)))
    return fragments.progress(language, " · ".join(words), batch.share, None)
