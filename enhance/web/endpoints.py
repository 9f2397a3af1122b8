"""The public API: what `gradio_client` can call. No endpoint takes a path of the server: pictures are uploads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from ..output.png import encode_png
from ..preview import Preview
from ..settings import Settings
from .calling import for_client, settings_called, told, uploaded, whole_number
from .desk import Desk
from .handover import Handover
from .outbox import download_name
from .running import Run
from .screen import icc_for_screen
from .wiring import BATCHES, PREVIEWS, RUNS

_LOOK_SECONDS = 0.1


class Endpoints:
    """The functions behind the API; their docstrings and parameter names are its documentation."""

    def __init__(self, desk: Desk):
        self._desk = desk

    def enhance(
        self,
        request: gr.Request,
        image: str | None,
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
        """Enhance a picture. Gives the PNG file and `info`, the facts of the run with the task_id.

        `image` is an uploaded file. `preset` is gentle, original, anime, anime-fast, face, dehaze or fast; `scale` 1 to
        4; `tuning` False gives the network's output as it is. `strength` 0 to 1, `denoise` 0 to 1 (preset fast),
        `sharpen` 0 to 1, `saturation` 0 to 2 and `contrast` 0.5 to 1.5 take the preset's value when left out. `tile` 64
        to 1024 bounds memory and changes no pixel. The job's progress counts rows; cancelling it stops the engine.
        """
        with told(request):
            settings = settings_called(preset, scale, tuning, strength, denoise, sharpen, saturation, contrast, tile)
            run = Run(self._desk.enhancer, uploaded(image), settings, self._desk.limits)
            try:
                while not run.wait(_LOOK_SECONDS):
                    state = run.state
                    if state.total:
                        left = "" if state.left is None else f", {state.left:.0f} s left"
                        progress((state.done, state.total), desc=f"rows{left}", unit="rows")
                    yield gr.skip(), gr.skip()
                result = run.result()
            finally:
                run.stop.set()
            name = download_name(result.info["input"]["name"], settings.scale)
            self._desk.owners.remember(request, result.info["task_id"])
            yield str(self._desk.outbox.link(result.path, name)), for_client(result.info)

    def preview(
        self,
        request: gr.Request,
        image: str | None,
        x: float | None = None,
        y: float | None = None,
        size: float = 128,
        preset: str = "gentle",
        scale: float = 4,
        tuning: bool = True,
        strength: float | None = None,
        denoise: float | None = None,
        sharpen: float | None = None,
        saturation: float | None = None,
        contrast: float | None = None,
        tile: float = 192,
    ) -> tuple[str, str, dict[str, Any]]:
        """Enhance one square of a picture to see what will come. Gives before and after as PNG files, and `info`.

        `x` and `y` are the square's centre in input pixels, the middle when left out; `size` its side, 1 to 512. The
        other parameters are those of /enhance. It is served between the steps of longer runs, and `info` carries the
        signature that the whole run would have.
        """
        with told(request):
            settings = settings_called(preset, scale, tuning, strength, denoise, sharpen, saturation, contrast, tile)
            path = uploaded(image)
            made = self._desk.enhancer.preview(
                self._desk.previewing.picture(path), settings, x=x, y=y, size=whole_number("size", size)
            )
            before, after = self._files(made, path)
            return str(before), str(after), made.info
        raise AssertionError("told() always raises what it catches")

    def presets(self) -> list[dict[str, Any]]:
        """List the presets: name, summary, model, settings, whether each is available here and if not why, and the time
        that it takes as a multiple of gentle's.
        """
        return self._desk.enhancer.presets()

    def status(self) -> dict[str, Any]:
        """Tell the device, the precision, the model in memory, and how many runs go on and wait."""
        return self._desk.enhancer.status()

    def _files(self, preview: Preview, source: Path) -> tuple[Path, Path]:
        icc, files = icc_for_screen(preview.piece.picture), []
        for side, pixels in (("before", preview.before), ("after", preview.after)):
            path = self._desk.outbox.place(f"{source.stem}-{side}.png")
            path.write_bytes(encode_png(pixels, icc=icc))
            files.append(path)
        return files[0], files[1]


def add_endpoints(desk: Desk) -> None:
    """Add the endpoints to the Blocks around; their components are not shown."""
    endpoints, handover = Endpoints(desk), Handover(desk)
    with gr.Row(visible=False):
        image, settings = gr.File(label="image"), _setting_components()
        square = [gr.Number(label="x", value=None), gr.Number(label="y", value=None), gr.Number(128, label="size")]
        result, before, after = gr.File(label="result"), gr.File(label="before"), gr.File(label="after")
        info, answer = gr.JSON(label="info"), gr.JSON(label="answer")
        button = gr.Button()
        button.click(endpoints.enhance, [image, *settings], [result, info], api_name="enhance", **RUNS)
        button.click(
            endpoints.preview, [image, *square, *settings], [before, after, info], api_name="preview", **PREVIEWS
        )
        for name in ("presets", "status"):
            button.click(getattr(endpoints, name), None, answer, api_name=name, queue=False)
        images = gr.File(label="images", file_count="multiple")
        archive, pdf, task_id = gr.File(label="zip"), gr.File(label="pdf"), gr.Textbox(label="task_id")
        button.click(handover.batch, [images, *settings], [archive, info], api_name="batch", **BATCHES)
        button.click(handover.report, task_id, pdf, api_name="report", concurrency_limit=1)


def _setting_components() -> list[Component]:
    usual = Settings()
    optional = ("strength", "denoise", "sharpen", "saturation", "contrast")
    return [
        gr.Textbox(usual.preset, label="preset"),
        gr.Number(usual.scale, label="scale"),
        gr.Checkbox(usual.tuning, label="tuning"),
        *(gr.Number(value=None, label=name) for name in optional),
        gr.Number(usual.tile, label="tile"),
    ]
