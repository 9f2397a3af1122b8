"""The presets side by side: the square by each that is here, cell by cell on the stage, until one of them is taken.

What the networks made of the square is kept while the page shows it, so that the preset taken is there at once.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from ..comparison import Cell, Comparison
from ..errors import Cancelled, EnhanceError
from ..i18n import name_of, translate
from ..output.thumbnails import icc_for_screen, save_png, to_screen
from ..preview import Preview
from ..scheduler import SCHEDULER, Ticket
from ..settings import Settings, all_presets
from . import templates
from .controls import ControlHandlers
from .jobs import Job, RunState, said
from .layout import Page
from .params import settings_to_start
from .preview import Shown, fitting, state_of
from .session import Upload, Visitor
from .views import Services, Updates, show_preview

COMPARISONS: dict[str, Any] = {"concurrency_id": "comparisons", "concurrency_limit": None}
"""Comparisons of the page and of the API wait in the program's own queue."""
MOST_BYTES = 200_000_000
"""How much the pixels behind all open comparisons may take; the oldest lose theirs, and run anew what is taken."""
_LOOK_SECONDS = 0.2


def made(services: Services, source: Path, run: Job[Any], **asked: Any) -> Comparison:
    """What the enhancer makes for a run, which is told how far that is; `asked` as it takes it."""
    with SCHEDULER.place(run.ticket):
        picture = services.previews.picture(source)
        asked |= {"progress": run.progress, "ticket": run.ticket}
        return services.metrics.follow("comparison", "all", lambda: services.enhancer.compare(picture, **asked))


class Comparing(Job[Comparison]):
    """A comparison for a client. `result` raises EnhanceError, Cancelled among them."""

    def __init__(self, services: Services, source: Path, ticket: Ticket, **asked: Any):
        self._source = source
        super().__init__(lambda: made(services, source, self, **asked), ticket)

    def inputs(self) -> Iterable[Path]:
        return (self._source,)


class OpenComparison(Job[None]):
    """A comparison that a page shows: the names of what is `wanted`, and of what is done cells and pictures."""

    def __init__(
        self, services: Services, visitor: Visitor, upload: Upload, wanted: Sequence[Settings], ticket: Ticket
    ):
        self.wanted = [settings.preset for settings in wanted]
        self.cells: dict[str, Cell] = {}
        self.pictures: dict[str, Path] = {}
        self.began = time.monotonic()
        self._visitor, self._lock = visitor, threading.Lock()
        asked = {"wanted": wanted, "arrived": self._arrived, **_square(visitor)}

        def do() -> None:
            made(services, upload.path, self, **asked)

        super().__init__(do, ticket)

    def progress(self, done: int, total: int, left: float | None) -> None:
        self._state = RunState(done, total, left)  # nothing is written at its end

    def _arrived(self, cell: Cell) -> None:
        name, preview = cell.settings.preset, cell.preview
        if preview is not None:
            if not self.pictures:
                self._save("", preview.before, preview)
            try:
                self._save(name, preview.after, preview)
            except EnhanceError as error:
                cell = Cell(cell.settings, error=error)
        with self._lock:
            self.cells[name] = cell

    def _save(self, name: str, pixels: np.ndarray, preview: Preview) -> None:
        place = self.wanted.index(name) if name else "before"
        path = self._visitor.place(f"cell{place}", ".png")
        self.pictures[name] = save_png(to_screen(pixels), path, icc_for_screen(preview.piece.picture))

    def take(self, name: str) -> Preview | None:
        """The preview of a preset, if its pixels are still kept."""
        cell = self.cells.get(name)
        return cell.preview if cell else None

    def bytes(self) -> int:
        """What its pixels take; networks' outputs that presets share count once."""
        with self._lock:
            previews = [cell.preview for cell in self.cells.values() if cell.preview]
        arrays = [array for one in previews for array in (one.before, one.after, one.piece.network)]
        return sum({id(array): array.nbytes for array in arrays}.values())

    def forget(self) -> None:
        """Let the pixels go; what the page shows stays."""
        with self._lock:
            kept = {name: replace(cell, preview=None) for name, cell in self.cells.items()}
            self.cells = kept


def _square(visitor: Visitor) -> dict[str, Any]:
    box = visitor.box
    assert box is not None
    return {"x": box.left + box.width / 2, "y": box.top + box.height / 2, "size": max(box.width, box.height)}


class CompareHandlers:
    """Handlers of the button that opens and closes the comparison, and of its cells."""

    def __init__(self, page: Page, services: Services, controls: ControlHandlers):
        self._page, self._card, self._services, self._controls = page, page.preview, services, controls
        self._open: weakref.WeakSet[OpenComparison] = weakref.WeakSet()
        self._lock = threading.Lock()

    def toggle(self, request: gr.Request, *values: object) -> Iterator[Updates]:
        """Open the comparison and show it grow; one that is open is closed, and stopped."""
        visitor, language, values = self._services.asker_with(request, values)
        if visitor.comparing is not None or visitor.upload is None:
            visitor.end_comparison()
            yield self._closed(visitor, language)
            return
        try:
            comparison = self._begin(visitor, visitor.upload, values)
        except Exception as error:
            yield {self._card.problem: self._services.problem(language, error, "A comparison was refused")}
            return
        try:
            yield from self._follow(visitor, comparison, language)
        finally:
            comparison.close()

    def take(self, event: gr.SelectData, request: gr.Request, *values: object) -> Updates:
        """Take a preset: its sliders, and its preview if that is still kept."""
        visitor, language, values = self._services.asker_with(request, values)
        comparison, name = visitor.comparing, str(event.index)
        if not isinstance(comparison, OpenComparison) or name not in comparison.wanted:
            return {self._card.problem: gr.skip()}
        preview = comparison.take(name)
        chosen = self._controls.choose(visitor, name, tuple(values), language)
        visitor.end_comparison()
        shown = self._services.previews.take(visitor, preview, language) if preview else Shown(state_of(visitor))
        told = chosen | show_preview(self._page, visitor, shown, language)
        del told[self._card.cells]  # they go once the preset is chosen, which has the focus then
        return told

    def _begin(self, visitor: Visitor, upload: Upload, values: Sequence[object]) -> OpenComparison:
        """Raises EnhanceError if too many wait."""
        available = self._services.available()
        starts = [settings_to_start(name, values, visitor).settings for name in all_presets() if name in available]
        wanted = [fitting(settings, visitor) for settings in starts]
        with self._services.enter(visitor.caller, "comparison") as ticket:
            comparison = OpenComparison(self._services, visitor, upload, wanted, ticket)
        with self._lock:
            self._open.add(comparison)
        with visitor.lock:
            visitor.end_comparison()
            visitor.comparing = comparison
        return comparison

    def _follow(self, visitor: Visitor, comparison: OpenComparison, language: str) -> Iterator[Updates]:
        card, cells = self._card, -1
        button = gr.Button(translate(language, "cancel"))
        for _ in comparison.looks(_LOOK_SECONDS):
            if visitor.comparing is not comparison:
                break
            shown: Updates = {card.where: _progress(language, comparison)}
            if len(comparison.cells) != cells:
                cells = len(comparison.cells)
                shown |= {card.compare: button, card.cells: grid(language, visitor, comparison), card.problem: ""}
            yield shown
        self._bound()
        yield self._end(visitor, comparison, language)

    def _end(self, visitor: Visitor, comparison: OpenComparison, language: str) -> Updates:
        if visitor.comparing is not comparison:
            return {self._card.problem: gr.skip()}  # whoever put it away has shown that
        try:
            comparison.result()
        except Cancelled:
            visitor.end_comparison()
            return self._closed(visitor, language)
        except Exception as error:
            visitor.end_comparison()
            why = self._services.problem(language, error, "A comparison failed")
            return self._closed(visitor, language) | {self._card.problem: why}
        return {
            self._card.compare: gr.Button(translate(language, "compare_close")),
            self._card.cells: grid(language, visitor, comparison),
            self._card.where: templates.note(translate(language, "compare_choose")),
        }

    def _closed(self, visitor: Visitor, language: str) -> Updates:
        preview = visitor.preview
        shown = Shown(state_of(visitor), visitor.pair, preview.piece.box if preview else None)
        return show_preview(self._page, visitor, shown, language)

    def _bound(self) -> None:
        """Let the oldest comparisons forget their pixels where all of them take too much."""
        with self._lock:
            newest = sorted(self._open, key=lambda one: -one.began)
        taken = 0
        for one in newest:
            taken += one.bytes()
            if taken > MOST_BYTES:
                one.forget()


def _progress(language: str, comparison: OpenComparison) -> str:
    words, share = said(language, comparison.state)
    done = translate(language, "compare_done", done=len(comparison.cells), all=len(comparison.wanted))
    return templates.progress(f"{done} · {words}", share).replace('class="run"', 'class="run comparing"', 1)


def grid(language: str, visitor: Visitor, comparison: OpenComparison) -> str:
    """The photo, what is done, and what is to come; the page reads aloud what is new."""
    cells = [
        _picture(comparison.pictures.get(""))
        + _words(translate(language, "before"), translate(language, "compare_before"))
    ]
    cells = [f'<div class="cell before">{cells[0]}</div>']
    cells += [_cell(language, name, visitor, comparison) for name in comparison.wanted]
    over = len(comparison.cells) == len(comparison.wanted)
    last = next(reversed(comparison.cells.values()), None)
    news = translate(language, "compare_choose") if over else ""
    if last is not None and not over:
        news = f"{name_of(language, 'preset', last.settings.preset)}: {last.describe(language)}"
    items = "".join(f"<li>{cell}</li>" for cell in cells)
    label = templates.escape(translate(language, "compare_presets"))
    return f'<ul class="cells" aria-label="{label}" data-said="{templates.escape(news)}">{items}</ul>'


def _cell(language: str, name: str, visitor: Visitor, comparison: OpenComparison) -> str:
    cell, called = comparison.cells.get(name), name_of(language, "preset", name)
    if cell is None:
        return (
            f'<div class="cell pending">{_picture(None)}{_words(called, translate(language, "compare_pending"))}</div>'
        )
    about = cell.describe(language)
    if cell.error is not None:
        return f'<div class="cell failed">{_picture(None)}{_words(called, about)}</div>'
    does = templates.escape(translate(language, "compare_take", name=called, about=about))
    current = ' aria-current="true"' if name == visitor.controls.preset else ""
    within = _picture(comparison.pictures.get(name)) + _words(called, about)
    taken = f'data-preset="{templates.escape(name)}" aria-label="{does}"{current}'
    return f'<button type="button" class="cell" {taken}>{within}</button>'


def _picture(path: Path | None) -> str:
    return '<span class="none"></span>' if path is None else f'<img alt="" src="{templates.file_address(path)}">'


def _words(name: str, about: str) -> str:
    return f"<strong>{templates.escape(name)}</strong><span>{templates.escape(about)}</span>"
