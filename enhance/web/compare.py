"""Compare presets: the region with every available preset on the stage, until one of them is selected.

The networks' outputs are kept while the page shows them, so that the selected preview appears at once.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from ..comparison import Cell
from ..errors import Cancelled, EnhanceError
from ..i18n import name_of
from ..output.thumbnails import icc_for_screen, save_png, to_screen
from ..preview import Preview, choose_box, upscale
from ..scheduler import Ticket
from ..settings import AUTO, Settings
from . import templates
from .controls import select_preset
from .jobs import Job, RunState, progress_text
from .params import settings_of_preset, with_fitting_size
from .preview import REGION_SIDE
from .processing import compare
from .session import Upload
from .views import Call, Updates, in_page_order, show_preview

_POLL_SECONDS = 0.2
_NEWEST: deque[weakref.ref[PageComparison]] = deque(maxlen=8)
"""The comparisons whose pixels stay in memory: about 30 MB each, or 60 MB for 16-bit photos."""


class PageComparison(Job[None]):
    """The comparison that a page shows: its `presets`, and the finished cells and images by preset.

    `centre` is the centre of the compared region, in pixels of the photo.
    """

    def __init__(
        self, call: Call, upload: Upload, settings: Sequence[Settings], centre: tuple[Any, Any], ticket: Ticket
    ):
        self.presets = [one.preset for one in settings]
        self.cells: dict[str, Cell] = {}
        self.images: dict[str, Path] = {}  # The original has the name "".
        self.previews: dict[str, Preview] | None = {}  # None once the memory was needed.
        self._call, self._session = call, call.session
        region: dict[str, Any] = {"x": centre[0], "y": centre[1], "size": REGION_SIDE}
        options = {"settings": settings, "on_cell": self._add, **region}

        def work(job: PageComparison) -> None:
            image = call.services.previews.image(upload.path)
            box = choose_box(image.width, image.height, **region)
            self._save("", upscale(image, settings[0], box), icc_for_screen(image))
            compare(call.services, upload.path, job, **options)

        super().__init__(call.services.enhancer.scheduler, work, ticket, upload.path)

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        self._state = RunState(done, total, seconds_left)  # No file is written at its end.

    def _add(self, cell: Cell) -> None:
        name, preview = cell.settings.preset, cell.preview
        if preview is not None:
            try:
                self._save(name, preview.after, icc_for_screen(preview.region.image))
            except EnhanceError as error:
                cell = Cell(cell.settings, error=error)
        if self.previews is not None and preview is not None and cell.error is None:
            self.previews[name] = preview
        error = cell.error and self._call.services.visible_error(self._call.request, cell.error)
        self.cells[name] = replace(cell, preview=None, error=error)

    def _save(self, name: str, pixels: np.ndarray, icc: bytes | None) -> None:
        kind = f"cell{self.presets.index(name) if name else 'before'}"
        path = self._session.new_path(kind, ".png")
        self.images[name] = save_png(to_screen(pixels), path, icc)


def toggle_comparison(call: Call, centre: object = None) -> Iterator[Updates]:
    """Open a comparison and show its progress, cancel it, or close it. A cancelled one keeps its finished cells.

    `centre` [x, y] is what the stage shows. Without it, the comparison is in the middle of the last preview.
    """
    session = call.session
    comparison = session.comparison
    if comparison is not None and comparison.cells and not comparison.is_over:
        comparison.cancel("user")  # The response that follows it shows what is finished.
        return
    if comparison is not None or session.upload is None:
        session.close_comparison()
        yield show_preview(call)
        return
    try:
        comparison = _start(call, session.upload, centre)
    except Exception as error:
        yield {call.page.preview.problem: call.problem(error, "A comparison could not be started")}
        return
    with closing(comparison):
        yield from _follow(call, comparison)


def select_cell(call: Call) -> Updates:
    """Select a preset of the comparison, with its preview if that is still in memory."""
    session, card = call.session, call.page.preview
    comparison, name = session.comparison, str(call.event.index)
    if comparison is None or name not in comparison.presets:
        return {}
    preview, failure = (comparison.previews or {}).get(name), None
    updates = select_preset(call, name)
    session.close_comparison()
    if preview:
        try:
            call.services.previews.use(session, preview)
        except Exception as error:
            failure = error
    updates |= show_preview(call, failure)
    del updates[card.cells]  # They disappear once the preset is selected, which gets the focus then.
    return updates


def _start(call: Call, upload: Upload, centre: object) -> PageComparison:
    """Start a comparison of all available presets. Raises EnhanceError if the queue is full."""
    session, view = call.session, call.session.view
    place = view.left + view.width / 2, view.top + view.height / 2
    if isinstance(centre, list) and len(centre) == 2:
        place = centre[0], centre[1]
    shown = in_page_order(call.services.enhancer.presets())
    presets = [one["name"] for one in shown if one["available"] and one["name"] != AUTO]
    starts = [settings_of_preset(name, call.values, session).settings for name in presets]
    with call.services.enter(session.caller, "comparison") as ticket:
        comparison = PageComparison(
            call, upload, [with_fitting_size(one, session.shape) for one in starts], place, ticket
        )
    if len(_NEWEST) == _NEWEST.maxlen and (oldest := _NEWEST[0]()):
        oldest.previews = None  # A preset that is selected there is run again.
    _NEWEST.append(weakref.ref(comparison))
    with session.lock:
        session.close_comparison()
        session.comparison = comparison
    return comparison


def _follow(call: Call, comparison: PageComparison) -> Iterator[Updates]:
    card, session, shown = call.page.preview, call.session, (-1, 0)
    for _ in comparison.poll(_POLL_SECONDS):
        if session.comparison is not comparison:
            break
        text, share = progress_text(call.language, comparison.state)
        done = call.text("compare_done", done=len(comparison.cells), all=len(comparison.presets))
        progress = templates.progress(f"{done} · {text}", share, kind="comparing")
        updates: Updates = {card.comparison_progress: progress}
        now = len(comparison.cells), len(comparison.images)
        if now != shown:
            shown = now
            button = gr.Button(call.text("cancel"))
            updates |= {card.compare: button, card.cells: cells_html(call, comparison), card.problem: ""}
        yield updates
    yield _show_end(call, comparison)


def _show_end(call: Call, comparison: PageComparison) -> Updates:
    card, session = call.page.preview, call.session
    if session.comparison is not comparison:
        return {}  # The response that closed the comparison updates the page.
    try:
        comparison.result()
    except Cancelled:
        if not comparison.cells:
            session.close_comparison()
            return show_preview(call)
        comparison.presets = [name for name in comparison.presets if name in comparison.cells]
    except Exception as error:
        session.close_comparison()
        return show_preview(call) | {card.problem: call.problem(error, "A comparison failed")}
    return {
        card.compare: gr.Button(call.text("close")),
        card.cells: cells_html(call, comparison),
        card.comparison_progress: templates.note(_end_text(call, comparison)),
    }


def _end_text(call: Call, comparison: PageComparison) -> str:
    return call.text("compare_cancelled" if comparison.cancelled_by else "compare_choose")


def cells_html(call: Call, comparison: PageComparison) -> str:
    """Return the original and the cells of all presets, with the change that a screen reader announces."""
    cells, news = comparison.cells, ""
    last: Cell | None = next(reversed(cells.values()), None)
    if len(cells) == len(comparison.presets):
        news = _end_text(call, comparison)
    elif last is not None:
        news = f"{name_of(call.language, 'preset', last.settings.preset)}: {last.describe(call.language)}"
    return templates.render(
        "comparison",
        call.language,
        presets=comparison.presets,
        cells=cells,
        images=comparison.images,
        current=call.session.settings.preset,
        announcement=news,
    )
