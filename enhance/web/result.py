"""The finished picture: a place of it pixel for pixel beside the input's, and its report as a PDF."""

from __future__ import annotations

from contextlib import suppress

import gradio as gr

from ..errors import PictureError
from ..picture import Box, Picture
from ..preview import choose_box, look
from ..texts import say
from . import fragments
from .layout import Page
from .page_files import report_name
from .pictures import icc_for_screen, save_outlined, save_pair
from .state import Finished, Visitor
from .views import Services, Updates

SIZE = 160
"""The side of the square that is looked at, in input pixels."""


class ResultHandlers:
    """Handlers of a click on the result's map and of Report PDF."""

    def __init__(self, page: Page, services: Services):
        self._card, self._services = page.result, services

    def first(self, request: gr.Request) -> Updates:
        """Show the place of the preview, once a result is there."""
        visitor, language = self._services.asker(request)
        if visitor.finished is None:
            return {self._card.problem: ""}
        return self._place(visitor, visitor.finished, None, language)

    def place(self, event: gr.SelectData, request: gr.Request) -> Updates:
        """Show the place that was clicked."""
        visitor, language = self._services.asker(request)
        finished = visitor.finished
        if finished is None:
            return {self._card.problem: fragments.problem(say(language, "too_late"))}
        source, (width, height) = finished.info["input"], finished.map_size
        centre = event.index[0] * source["width"] / width, event.index[1] * source["height"] / height
        return self._place(visitor, finished, centre, language)

    def report(self, request: gr.Request) -> Updates:
        """Write the report and hand it to the browser."""
        visitor, language = self._services.asker(request)
        finished = visitor.finished
        if finished is None:
            return self._no_report(say(language, "too_late"))
        try:
            picture = self._decoded(finished)
            report = self._services.enhancer.report(finished.info["task_id"], language, picture)
            path = self._services.outbox.link(report, report_name(finished.info))
        except Exception as error:
            return self._no_report(self._services.reason(language, error, "A report could not be made"))
        return {self._card.report_file: gr.DownloadButton(value=str(path)), self._card.report_problem: ""}

    def _no_report(self, why: str) -> Updates:
        return {
            self._card.report_file: gr.DownloadButton(value=None),
            self._card.report_problem: fragments.problem(why),
        }

    def _place(
        self, visitor: Visitor, finished: Finished, centre: tuple[float, float] | None, language: str
    ) -> Updates:
        """The square around `centre` in input pixels (None: where the preview was, else the middle) of the result."""
        source = finished.info["input"]
        if centre is None and visitor.box is not None:
            centre = visitor.box.left + visitor.box.width / 2, visitor.box.top + visitor.box.height / 2
        x, y = centre or (None, None)
        box = choose_box(source["width"], source["height"], x, y, SIZE)
        updates: Updates = {self._card.map: _marked(visitor, finished, box), self._card.problem: ""}
        try:
            with self._services.enhancer.result_rows(finished.info["task_id"], self._decoded(finished)) as rows:
                pair = save_pair(visitor, "closely", look(rows, box), icc_for_screen(rows.picture))
        except Exception as error:
            why = self._services.reason(language, error, "A place of a result could not be shown")
            return updates | {self._card.problem: fragments.problem(why)}
        return updates | {self._card.closely: (str(pair[0]), str(pair[1]))}

    def _decoded(self, finished: Finished) -> Picture | None:
        """The input as the previews keep it, so that its file is not read once more; None where that is gone."""
        with suppress(PictureError):  # the enhancer keeps the input too
            return self._services.previews.picture(finished.upload.path)
        return None


def _marked(visitor: Visitor, finished: Finished, box: Box) -> str:
    source, (width, height) = finished.info["input"], finished.map_size
    factor = width / source["width"], height / source["height"]
    return str(save_outlined(visitor, "marked", finished.map, box, factor))
