"""What the handlers of the page share: the services behind them, and the views that several of them show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext
from gradio.components import Component

from ..enhancer import Enhancer
from ..output.resample import scaled_size
from ..settings import PRESETS, signature
from ..texts import say
from . import fragments
from .language import language_of
from .layout import Page, RunCard
from .page_files import Limits, Outbox, Owners
from .pictures import save_outlined
from .preview import Previews, Shown
from .state import Visitor, Visitors

Updates = dict[Any, Any]
"""New values by component; Gradio leaves the others as they are."""
Part = Component | BlockContext


@dataclass(frozen=True)
class Services:
    """The one enhancer, what the page takes, who is there, their previews, and what is on its way to them."""

    enhancer: Enhancer
    limits: Limits
    visitors: Visitors
    previews: Previews
    outbox: Outbox
    owners: Owners

    def asker(self, request: gr.Request) -> tuple[Visitor, str]:
        """Who sent the request, and the language that they read."""
        return self.visitors.of(request), language_of(request)

    def available(self) -> set[str]:
        """The names of the presets that can be chosen here."""
        return {preset["name"] for preset in self.enhancer.presets() if preset["available"]}


def parts(*cards: Any) -> list[Part]:
    """All that a handler may change on these cards; what it does not name stays as it is."""
    return [part for card in cards for field in fields(card) for part in _changing(getattr(card, field.name))]


def _changing(part: Any) -> Iterable[Part]:
    if isinstance(part, RunCard):
        return parts(part)
    if isinstance(part, dict):
        return part.values()
    if isinstance(part, tuple):
        return part
    return [] if isinstance(part, gr.Dataset | gr.Tab) else [part]  # these only listen, and are slow to make anew


def show_preview(page: Page, visitor: Visitor, shown: Shown, language: str) -> Updates:
    """The page after `shown`; the picture stays as it is unless there is a new one."""
    updates: Updates = {
        page.preview.chip: fragments.chip(language, shown.state),
        page.preview.retry: gr.Button(interactive=visitor.upload is not None),
        page.result.chip: show_result_chip(visitor, language),
    }
    if shown.state != "running":
        updates[page.preview.problem] = fragments.problem(shown.problem)
    if shown.pair is not None and shown.box is not None:
        box = shown.box
        updates[page.preview.slider] = (str(shown.pair[0]), str(shown.pair[1]))
        centre = {"x": box.left + box.width // 2, "y": box.top + box.height // 2}
        where = say(language, "preview_where", width=box.width, height=box.height, **centre)
        updates[page.preview.where] = fragments.note(where)
    return updates


def outlined_thumbnail(visitor: Visitor) -> str | None:
    """The thumbnail with the outline of the square, as a file."""
    upload, box = visitor.upload, visitor.box
    if upload is None or box is None:
        return None
    across, down = upload.thumbnail_size[0] / upload.facts.width, upload.thumbnail_size[1] / upload.facts.height
    return str(save_outlined(visitor, "outlined", upload.thumbnail, box, (across, down)))


def show_result_chip(visitor: Visitor, language: str) -> str:
    """Whether the finished picture is that of the controls; nothing while there is none."""
    finished = visitor.finished
    return "" if finished is None else fragments.result_chip(language, result_is_current(visitor))


def result_is_current(visitor: Visitor) -> bool:
    """Whether running again would give the finished picture once more."""
    finished, upload, controls = visitor.finished, visitor.upload, visitor.controls
    if finished is None or upload is None:
        return False
    model, precision = finished.info["model"], finished.info["precision"]
    if PRESETS[controls.preset].model != model["name"]:
        return False
    return finished.info["signature"] == signature(upload.sha256, controls, model["sha256"], precision)


def show_run(page: Page, visitor: Visitor, language: str) -> Updates:
    """Enhance and Cancel as far as they can act now, and why not."""
    upload, running = visitor.upload, visitor.busy
    if upload is None:
        why = say(language, "why_no_picture")
    elif running:
        why = say(language, "why_running")
    else:
        height, width = scaled_size(upload.facts.height, upload.facts.width, visitor.controls.scale)
        why = say(language, "why_ready", width=f"{width:,}", height=f"{height:,}")
    return {
        page.run.enhance: gr.Button(interactive=upload is not None and not running),
        page.run.cancel: gr.Button(interactive=running),
        page.run.why: fragments.note(why),
    }
