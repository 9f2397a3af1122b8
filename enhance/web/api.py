"""The public API: what `gradio_client` can call. No endpoint takes a path of the server: pictures are uploads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.data_classes import FileData

from ..batch import Batch, Item
from ..errors import PictureError
from ..preview import Preview
from ..settings import Settings
from ..tasks import download_name
from ..texts import straight
from .batch import BATCHES
from .compare import COMPARISONS, Comparing
from .line import Attention, RunState
from .page_files import Packed, asker_of, check_together, report_name, uploaded, whole_number
from .preview import icc_for_screen, save_png
from .run import RUNS, BatchWork, Run
from .views import Services
from .wishes import encoding_called, language_of, settings_called

_LOOK_SECONDS = 0.1
_COUNTED: dict[str, Any] = {"concurrency_limit": None}
"""Counted by the program, not by Gradio's queue."""


class Endpoints:
    """The functions behind the API; their docstrings and parameter names are its documentation."""

    def __init__(self, services: Services):
        self._services = services

    def enhance(
        self,
        request: gr.Request,
        image: str | None,
        preset: str = "gentle",
        scale: float | None = None,
        tuning: bool = True,
        strength: float | None = None,
        denoise: float | None = None,
        sharpen: float | None = None,
        saturation: float | None = None,
        contrast: float | None = None,
        tile: float = 192,
        fidelity: float | None = None,
        reduce: float = 1,
        long_side: float | None = None,
        megapixels: float | None = None,
        format: str = "png",
        quality: float = 92,
        metadata: str = "keep",
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by its default
    ) -> Iterator[tuple[Any, Any]]:
        """Enhance a picture. Gives the file and `info`, the facts of the run with the task_id.

        `image` is an uploaded file. `preset` is gentle, original, anime, anime-fast, face, dehaze, fast, precise or
        gentle-2x. The result is `scale` times as large, or its longer side has `long_side` pixels, or it has so many
        `megapixels`:
        give one of the three, or none for the largest that the network makes. `tuning` False gives the network's output
        as it is. `strength` 0 to 1 is the network's share, `fidelity` 0 to 1 how far the result is brought to agree
        with the photo, `denoise` 0 to 1 (preset fast), `sharpen` 0 to 1, `saturation` 0 to 2 and `contrast` 0.5 to 1.5
        take the preset's value when left out. `tile` 64 to 1024 bounds memory and changes no pixel. `reduce` 1 to 4
        averages a soft picture down first; sizes still count from the picture, so `scale` is at most the network's,
        divided by it. `format` is png, jpeg, webp or avif, `quality` 1 to 100; `output` of `info` is the file that is
        given, and its `notes` say what the format could not hold: on_white (transparency), eight_bits, exif_short,
        xmp_left, iptc_left, texts_left. `metadata` is keep, no-location, or none, which leaves colour profile and
        resolution. The job's progress counts rows; cancelling it stops the engine.
        """
        with self._services.told(request):
            settings = settings_called(
                *(preset, scale, tuning, strength, denoise, sharpen, saturation, contrast, tile, fidelity),
                *(reduce, long_side, megapixels),
            )
            encoding = encoding_called(format, quality, metadata)
            picture = uploaded(image)
            attention = Attention(request)
            with self._services.line.enter(asker_of(request)) as turn:
                for ahead in turn.looks(_LOOK_SECONDS):
                    attention.check()
                    progress(0, desc=f"waiting, {ahead} before it")
                    yield gr.skip(), gr.skip()
                with ExitStack() as hold:
                    made = {"caller": request.session_hash, "encoding": encoding, "hold": hold}
                    run = hold.enter_context(closing(Run(self._services, picture, settings, **made)))
                    for _ in run.looks(_LOOK_SECONDS):
                        if run.state.ahead:
                            attention.check()
                        _tell_rows(run.state, progress)
                        yield gr.skip(), gr.skip()
                    result = run.result()
                    name = download_name(result.info["input"]["name"], settings, encoding.form.ending)
                    file = self._services.outbox.link(result.path, name)
            yield str(file), for_client(self._services.owners.remember(request, result.info))

    def preview(
        self,
        request: gr.Request,
        image: str | None,
        x: float | None = None,
        y: float | None = None,
        size: float = 128,
        preset: str = "gentle",
        scale: float | None = None,
        tuning: bool = True,
        strength: float | None = None,
        denoise: float | None = None,
        sharpen: float | None = None,
        saturation: float | None = None,
        contrast: float | None = None,
        tile: float = 192,
        fidelity: float | None = None,
        reduce: float = 1,
        long_side: float | None = None,
        megapixels: float | None = None,
        format: str = "png",
        quality: float = 92,
        metadata: str = "keep",
    ) -> tuple[str, str, dict[str, Any]]:
        """Enhance one square of a picture to see what will come. Gives before and after as PNG files, and `info`.

        `x` and `y` are the square's centre in input pixels, the middle when left out; `size` its side, 1 to 512. The
        other parameters are those of /enhance; `format` to `metadata` change nothing here. It is served between the
        steps of longer runs, and `info` carries the signature that the whole run would have.
        """
        with self._services.told(request):
            settings = settings_called(
                *(preset, scale, tuning, strength, denoise, sharpen, saturation, contrast, tile, fidelity),
                *(reduce, long_side, megapixels),
            )
            encoding_called(format, quality, metadata)
            path = uploaded(image)
            with self._services.previews_of_clients.enter(asker_of(request)):
                picture, side = self._services.previews.picture(path), whole_number("size", size)
                made = self._services.previews.run(picture, settings, x=x, y=y, size=side, caller=request.session_hash)
            before, after = self._files(made, path)
            return str(before), str(after), made.info
        raise AssertionError("told() always raises what it catches")

    def compare(
        self,
        request: gr.Request,
        image: str | None,
        x: float | None = None,
        y: float | None = None,
        size: float = 128,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by its default
    ) -> Iterator[tuple[Any, Any]]:
        """Show one square of a picture by every preset that is here. Gives a PNG sheet of them all, and `info`.

        `x`, `y` and `size` are those of /preview. `info` has for each of its `presets` the seconds, the fidelity in dB
        and, where one failed, the error. Previews go first. Cancelling the job stops the engine.
        """
        with self._services.told(request):
            path, attention = uploaded(image), Attention(request)
            asked = {"x": x, "y": y, "size": whole_number("size", size), "caller": request.session_hash}
            turn = self._services.comparisons.enter(asker_of(request))
            with closing(Comparing(self._services, path, turn, **asked)) as work:
                for _ in work.looks(_LOOK_SECONDS):
                    if work.state.ahead:
                        attention.check()
                    _tell_rows(work.state, progress)
                    yield gr.skip(), gr.skip()
                made = work.result()
            sheet = self._services.outbox.place(f"{straight(path.stem)}-presets.png")
            yield str(sheet), for_client(made.save(sheet, language_of(request)))

    def batch(
        self,
        request: gr.Request,
        images: list[str] | None,
        preset: str = "gentle",
        scale: float | None = None,
        tuning: bool = True,
        strength: float | None = None,
        denoise: float | None = None,
        sharpen: float | None = None,
        saturation: float | None = None,
        contrast: float | None = None,
        tile: float = 192,
        fidelity: float | None = None,
        reduce: float = 1,
        long_side: float | None = None,
        megapixels: float | None = None,
        format: str = "png",
        quality: float = 92,
        metadata: str = "keep",
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by its default
    ) -> Iterator[tuple[Any, Any]]:
        """Enhance several pictures. Gives a ZIP of the results with report.csv and summary.pdf, and `info`.

        `images` is a list of uploaded files; the other parameters are those of /enhance. `info` counts the files that
        are done, failed and cancelled, and has for each its name, state, error, and the facts of its run. A file that
        cannot be read does not stop the others. Cancelling the job stops the engine. Where there is no room for a ZIP,
        `error` says so, the ZIP is null, and each finished file is in `info` by itself as `file`.
        """
        with self._services.told(request):
            settings = settings_called(
                *(preset, scale, tuning, strength, denoise, sharpen, saturation, contrast, tile, fidelity),
                *(reduce, long_side, megapixels),
            )
            encoding = encoding_called(format, quality, metadata)
            if not images:
                raise PictureError("api_no_pictures")
            items = [Item(Path(image), Path(Path(image).name)) for image in images]
            check_together([item.source for item in items], self._services.limits)
            attention = Attention(request)
            given = self._services, items, settings, language_of(request), request.session_hash
            with (
                self._services.line.enter(asker_of(request), "batch"),
                closing(BatchWork(*given, encoding=encoding)) as work,
            ):
                for _ in work.looks(_LOOK_SECONDS):
                    if work.batch.ahead:
                        attention.check()
                    self._tell(work.batch, progress)
                    yield gr.skip(), gr.skip()
                packed = work.result()
            remember = self._services.owners.remember
            infos = {item: for_client(remember(request, item.info)) for item in packed.batch.items if item.info}
            yield str(packed.archive) if packed.archive else None, _info(packed, infos, request)

    def report(self, request: gr.Request, task_id: str) -> str:
        """Give the PDF report of a finished run. `task_id` is from the `info` of a run of your own."""
        with self._services.told(request):
            own, told = self._services.owners.check(request, task_id)
            report = self._services.enhancer.report(own, language_of(request), told=told)
            info = self._services.enhancer.tasks.info(own)
            name = report_name(info) if info else report.name
            return str(self._services.outbox.link(report, name))
        raise AssertionError("told() always raises what it catches")

    def presets(self, request: gr.Request) -> list[dict[str, Any]]:
        """List the presets: name, summary, model, settings, whether each is available here and if not why, and the time
        that it takes as a multiple of gentle's.
        """
        return self._services.enhancer.presets(language_of(request))

    def status(self) -> dict[str, Any]:
        """Tell the device, the precision, the model in memory, and how many runs go on and wait."""
        return self._services.status()

    def _files(self, preview: Preview, source: Path) -> tuple[Path, Path]:
        icc, files = icc_for_screen(preview.piece.picture), []
        for side, pixels in (("before", preview.before), ("after", preview.after)):
            path = self._services.outbox.place(f"{straight(source.stem)}-{side}.png")
            files.append(save_png(pixels, path, icc))
        return files[0], files[1]

    def _tell(self, batch: Batch, progress: gr.Progress) -> None:
        finished = sum(batch.count(state) for state in ("done", "failed"))
        left = "" if batch.seconds_left is None else f", {batch.seconds_left:.0f} s left"
        left = f", waiting, {batch.ahead} before it" if batch.ahead else left
        progress((finished, len(batch.items)), desc=f"files{left}", unit="files")


def add_endpoints(services: Services) -> None:
    """Add the endpoints to the Blocks around; their components are not shown."""
    endpoints = Endpoints(services)
    with gr.Row(visible=False):
        image, settings = gr.File(label="image"), _setting_components()
        square = [gr.Number(label="x", value=None), gr.Number(label="y", value=None), gr.Number(128, label="size")]
        result, before, after = gr.File(label="result"), gr.File(label="before"), gr.File(label="after")
        info, answer = gr.JSON(label="info"), gr.JSON(label="answer")
        button = gr.Button()
        button.click(endpoints.enhance, [image, *settings], [result, info], api_name="enhance", **RUNS)
        button.click(
            endpoints.preview, [image, *square, *settings], [before, after, info], api_name="preview", **_COUNTED
        )
        button.click(endpoints.compare, [image, *square], [result, info], api_name="compare", **COMPARISONS)
        for name in ("presets", "status"):
            button.click(getattr(endpoints, name), None, answer, api_name=name, queue=False)
        images = gr.File(label="images", file_count="multiple")
        archive, pdf, task_id = gr.File(label="zip"), gr.File(label="pdf"), gr.Textbox(label="task_id")
        button.click(endpoints.batch, [images, *settings], [archive, info], api_name="batch", **BATCHES)
        button.click(endpoints.report, task_id, pdf, api_name="report", concurrency_limit=1)


def _tell_rows(state: RunState, progress: gr.Progress) -> None:
    if state.total:
        left = "" if state.left is None else f", {state.left:.0f} s left"
        progress((state.done, state.total), desc=f"rows{left}", unit="rows")
    elif state.ahead:
        progress(0, desc=f"waiting, {state.ahead} before it")


def _setting_components() -> list[Component]:
    usual = Settings()
    optional = ("strength", "denoise", "sharpen", "saturation", "contrast")
    return [
        gr.Textbox(usual.preset, label="preset"),
        gr.Number(value=None, label="scale"),
        gr.Checkbox(usual.tuning, label="tuning"),
        *(gr.Number(value=None, label=name) for name in optional),
        gr.Number(usual.tile, label="tile"),
        gr.Number(value=None, label="fidelity"),
        gr.Number(usual.reduce, label="reduce"),
        *(gr.Number(value=None, label=name) for name in ("long_side", "megapixels")),
        gr.Textbox("png", label="format"),
        gr.Number(92, label="quality"),
        gr.Textbox("keep", label="metadata"),
    ]


def for_client(info: dict[str, Any]) -> dict[str, Any]:
    """The facts without the path on this server, which is nobody else's business.

    `gradio_client` also takes any object with a text called path for a file, and would put a local path in its place.
    """
    return info | {"output": info["output"] | {"path": None}}


def _info(packed: Packed, infos: dict[Item, dict[str, Any]], request: gr.Request) -> dict[str, Any]:
    counts = {state: packed.batch.count(state) for state in ("done", "failed", "cancelled")}
    files = [_file(item, infos.get(item), packed.loose.get(item), request) for item in packed.batch.items]
    error = packed.error.sentence(language_of(request)) if packed.error else None
    return counts | {"files": files, "error": error}


def _file(item: Item, info: dict[str, Any] | None, loose: Path | None, request: gr.Request) -> dict[str, Any]:
    return {
        "name": item.name,
        "state": item.state,
        "error": item.error.sentence(language_of(request)) if item.error else None,
        "info": info,
        "file": None if loose is None else FileData(path=str(loose), orig_name=loose.name).model_dump(),
    }
