"""What the handlers of the page share, and what several of them show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext
from gradio.components import Component

from ..enhancer import Enhancer
from ..output.tuning import scaled_size
from ..settings import PRESETS, signature
from ..texts import say
from ..web import fragments
from .limits import Limits
from .outbox import Outbox
from .owners import Owners
from .page import Page
from .previewing import Previewing, Shown
from .screen import save_outlined
from .session import Visitor, Visitors

Updates = dict[Any, Any]
"""New values by component; Gradio leaves the others as they are."""
Outputs = list[Component | BlockContext]
"""The components that a handler may change."""


@dataclass(frozen=True)
class Desk:
    """The one enhancer, what the page takes, who is there, their previews, and what is on its way to them."""

    enhancer: Enhancer
    limits: Limits
    visitors: Visitors
    previewing: Previewing
    outbox: Outbox
    owners: Owners

    def available(self) -> set[str]:
        """The names of the presets that can be chosen here."""
        return {preset["name"] for preset in self.enhancer.presets() if preset["available"]}


def preview_outputs(page: Page) -> Outputs:
    """The components that `show_preview` changes."""
    preview = page.preview
    return [
        preview.slider,
        preview.chip,
        preview.where,
        preview.problem,
        preview.retry,
        page.picking.thumbnail,
        page.result.chip,
    ]


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


def show_running(page: Page, visitor: Visitor, language: str) -> Updates:
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
        page.running.enhance: gr.Button(interactive=upload is not None and not running),
        page.running.cancel: gr.Button(interactive=running),
        page.running.why: fragments.note(why),
    }


def running_outputs(page: Page) -> Outputs:
    """The components that `show_running` changes."""
    return [page.running.enhance, page.running.cancel, page.running.why]
