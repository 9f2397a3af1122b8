"""Looking closely at the finished picture: a place of it, pixel for pixel, beside the input's."""

from __future__ import annotations

import logging

import gradio as gr

from ..enhancer import Enhancer
from ..errors import EnhanceError
from ..preview import Box, choose_box, look
from ..texts import say
from ..web import fragments
from .desk import Desk, Outputs, Updates
from .language import language_of
from .page import Page
from .screen import icc_for_screen, save_outlined, save_pair
from .session import Finished, Visitor

log = logging.getLogger(__name__)

SIZE = 160
"""The side of the square that is looked at, in input pixels."""


def inspecting_outputs(page: Page) -> Outputs:
    """The components that `show_place` changes."""
    return [page.result.map, page.result.closely, page.result.problem]


class Inspecting:
    """The handler of a click on the result's map."""

    def __init__(self, page: Page, desk: Desk):
        self._page, self._desk = page, desk

    def first(self, request: gr.Request) -> Updates:
        """Show the place of the preview, once a result is there."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        if visitor.finished is None:
            return {self._page.result.problem: ""}
        return show_place(self._page, self._desk.enhancer, visitor, None, language)

    def place(self, event: gr.SelectData, request: gr.Request) -> Updates:
        """Show the place that was clicked."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        finished = visitor.finished
        if finished is None:
            return {self._page.result.problem: fragments.problem(say(language, "too_late"))}
        source, (width, height) = finished.info["input"], finished.map_size
        centre = event.index[0] * source["width"] / width, event.index[1] * source["height"] / height
        return show_place(self._page, self._desk.enhancer, visitor, centre, language)


def show_place(
    page: Page, enhancer: Enhancer, visitor: Visitor, centre: tuple[float, float] | None, language: str
) -> Updates:
    """The square around `centre` in input pixels (None: where the preview was, else the middle) of the result."""
    finished = visitor.finished
    assert finished is not None
    source = finished.info["input"]
    if centre is None and visitor.box is not None:
        centre = visitor.box.left + visitor.box.width / 2, visitor.box.top + visitor.box.height / 2
    x, y = centre or (None, None)
    box = choose_box(source["width"], source["height"], x, y, SIZE)
    updates: Updates = {page.result.map: _marked(visitor, finished, box), page.result.problem: ""}
    try:
        rows = enhancer.result_rows(finished.info["task_id"])
        pair = save_pair(visitor, "closely", look(rows, box), icc_for_screen(rows.picture))
    except EnhanceError as error:
        return updates | {page.result.problem: fragments.problem(error.sentence(language))}
    except Exception:
        log.exception("A place of a result could not be shown")
        return updates | {page.result.problem: fragments.problem(say(language, "unexpected"))}
    return updates | {page.result.closely: (str(pair[0]), str(pair[1]))}


def _marked(visitor: Visitor, finished: Finished, box: Box) -> str:
    source, (width, height) = finished.info["input"], finished.map_size
    factor = width / source["width"], height / source["height"]
    return str(save_outlined(visitor, "marked", finished.map, box, factor))
