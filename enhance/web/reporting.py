"""The report of the shown result as a PDF."""

from __future__ import annotations

import logging

import gradio as gr

from ..errors import EnhanceError
from ..texts import say
from ..web import fragments
from .desk import Desk, Outputs, Updates
from .language import language_of
from .outbox import download_name
from .page import Page

log = logging.getLogger(__name__)


def report_outputs(page: Page) -> Outputs:
    """The components that a report changes."""
    return [page.result.report_file, page.result.report_problem]


class Reporting:
    """The handler of Report PDF."""

    def __init__(self, page: Page, desk: Desk):
        self._page, self._desk = page, desk

    def make(self, request: gr.Request) -> Updates:
        """Write the report and hand it to the browser."""
        visitor, language = self._desk.visitors.of(request), language_of(request)
        parts, finished = self._page.result, visitor.finished
        nothing = gr.DownloadButton(value=None)
        if finished is None:
            return {parts.report_file: nothing, parts.report_problem: fragments.problem(say(language, "too_late"))}
        try:
            report = self._desk.enhancer.report(finished.info["task_id"], language)
        except EnhanceError as error:
            return {parts.report_file: nothing, parts.report_problem: fragments.problem(error.sentence(language))}
        except Exception:
            log.exception("A report could not be made")
            return {parts.report_file: nothing, parts.report_problem: fragments.problem(say(language, "unexpected"))}
        path = self._desk.outbox.link(report, report_name(finished.info))
        return {parts.report_file: gr.DownloadButton(value=str(path)), parts.report_problem: ""}


def report_name(info: dict) -> str:
    """The name of a result's report: photo-4x-report.pdf of photo.jpg."""
    return download_name(info["input"]["name"], info["settings"]["scale"]).removesuffix(".png") + "-report.pdf"
