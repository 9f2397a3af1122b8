"""The endpoints that hand over more than one picture: /batch and /report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from ..batch import Batch, Item
from ..errors import PictureError
from .batching import BatchWork, Packed
from .calling import for_client, settings_called, told
from .desk import Desk
from .language import language_of
from .reporting import report_name

_LOOK_SECONDS = 0.1


class Handover:
    """The functions behind /batch and /report."""

    def __init__(self, desk: Desk):
        self._desk = desk

    def batch(
        self,
        request: gr.Request,
        images: list[str] | None,
        preset: str = "gentle",
        scale: float = 4,
        tuning: bool = True,
        strength: float | None = None,
        denoise: float | None = None,
        sharpen: float | None = None,
        saturation: float | None = None,
        contrast: float | None = None,
        tile: float = 192,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by its default
    ) -> Iterator[tuple[Any, Any]]:
        """Enhance several pictures. Gives a ZIP of the PNGs with report.csv and summary.pdf, and `info`.

        `images` is a list of uploaded files; the other parameters are those of /enhance. `info` counts the files that
        are done, failed and cancelled, and has for each its name, state, error, and the facts of its run. A file that
        cannot be read does not stop the others. Cancelling the job stops the engine. Where there is no room for a ZIP,
        `error` says so, the ZIP is null, and each finished file is in `info` by itself as `file`.
        """
        with told(request):
            settings = settings_called(preset, scale, tuning, strength, denoise, sharpen, saturation, contrast, tile)
            if not images:
                raise PictureError("api_no_pictures")
            work = BatchWork(self._desk, [Path(image) for image in images], settings, language_of(request))
            try:
                while not work.wait(_LOOK_SECONDS):
                    self._tell(work.batch, progress)
                    yield gr.skip(), gr.skip()
                packed = work.result()
            finally:
                work.stop.set()
            for item in packed.batch.items:
                if item.info:
                    self._desk.owners.remember(request, item.info["task_id"])
            yield str(packed.archive) if packed.archive else None, _info(packed, request)

    def report(self, request: gr.Request, task_id: str) -> str:
        """Give the PDF report of a finished run. `task_id` is from the `info` of a run of your own."""
        with told(request):
            own = self._desk.owners.check(request, task_id)
            report = self._desk.enhancer.report(own, language_of(request))
            info = self._desk.enhancer.tasks.info(own)
            name = report_name(info) if info else report.name
            return str(self._desk.outbox.link(report, name))
        raise AssertionError("told() always raises what it catches")

    def _tell(self, batch: Batch, progress: gr.Progress) -> None:
        finished = sum(batch.count(state) for state in ("done", "failed"))
        left = "" if batch.seconds_left is None else f", {batch.seconds_left:.0f} s left"
        progress((finished, len(batch.items)), desc=f"files{left}", unit="files")


def _info(packed: Packed, request: gr.Request) -> dict[str, Any]:
    counts = {state: packed.batch.count(state) for state in ("done", "failed", "cancelled")}
    files = [_file(item, packed.loose.get(item), request) for item in packed.batch.items]
    error = packed.error.sentence(language_of(request)) if packed.error else None
    return counts | {"files": files, "error": error}


def _file(item: Item, loose: Path | None, request: gr.Request) -> dict[str, Any]:
    return {
        "name": item.name,
        "state": item.state,
        "error": item.error.sentence(language_of(request)) if item.error else None,
        "info": for_client(item.info) if item.info else None,
        "file": None if loose is None else FileData(path=str(loose), orig_name=loose.name).model_dump(),
    }
