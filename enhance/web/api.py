"""The public API for `gradio_client`, HTTP and MCP clients. Its documentation comes from the
docstrings here.

No endpoint accepts a path of the server: images are uploads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cache, partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import gradio as gr
from anyio import CapacityLimiter
from gradio.components import Component

from ..comparison import Cell, Comparison
from ..enhancer import Status
from ..errors import PictureError
from ..formats.thumbnails import icc_for_screen, save_png
from ..i18n import strip_direction_marks
from ..jobs.scheduler import Job
from ..jobs.threads import JobThread, call_regularly
from ..json_object import JsonObject
from ..presets import PresetInfo
from ..preview import Preview, choose_box
from ..restore.resample import with_possible_size
from ..store import report_name
from . import gradio_changes
from .calls import Endpoint
from .job_calls import JobCall, call_of_export, files_of, without_path
from .owners import owner_of
from .params import (
    API_DEFAULTS,
    API_PLAN,
    API_RECTANGLE,
    API_REGION,
    API_SETTINGS,
    ENCODING_PARAMETERS,
    call_encoding,
    call_file,
    call_rectangle,
    call_region,
    call_settings,
    language_of,
    parameter_schema,
)
from .preview import View
from .recent import describe_runs
from .run_jobs import CHECK_SECONDS, cancel_job, check_jobs, finish_job, run_job
from .services import Services
from .streams import follow

_POLL_SECONDS = 0.2
"""Gradio ends a call whose client has left when the call yields."""
_THREADS = 60
"""Calls of agents to an endpoint that run at a time, if the endpoint has no limit of its own."""
_PROGRESS = gr.Progress()
"""Gradio finds the parameter for a request's own progress by this default."""
_NOT_SENT = ("request", "progress")
"""The parameters of the functions that no client of the API sends."""


class Endpoints:
    """The functions of the API."""

    def __init__(self, services: Services):
        self._services = services

    @gradio_changes.name_parameters((*API_SETTINGS, "job"), API_DEFAULTS)
    def enhance(
        self,
        request: gr.Request,
        image: str | None,
        progress: gr.Progress = _PROGRESS,
        **given: Any,
    ) -> Iterator[Any]:
        """Enhance an image. Returns the file and `info`, the facts of the run with its task_id.

        Set at most one of `scale`, `long_side`, `megapixels` and a print size. Without one, the
        result has the scale of the model, usually 4.

        `output` in `info` describes the file, and its `notes` list what the file lacks. What the
        format does not support: on_white and on_black (transparency), eight_bits and ten_bits (bit
        depth), in_srgb (the colour profile), exif_short, xmp_left, iptc_left and texts_left
        (metadata). With `metadata` no-location: location_left (XMP or IPTC with a location). About
        the input: first_frame (its other images or pages are left out), raw_developed (it is a
        camera raw file), gain_map_left (its HDR gain map, which only a JPEG keeps), video_left (the
        video of a motion photo), xmp_extension_left (its extended XMP), large_exif_left,
        large_xmp_left and large_iptc_left (more than 1 MB of metadata).

        Cancelling the call stops the engine. If the call has a `job`, send it again to follow the
        same run, for example after a lost connection. Until the run ends, the file is null, and
        `info` has its `progress`: the rows that are `done`, their `total`, `seconds_left` and the
        number of jobs `ahead` in the queue. After a change, it also has the result so far as a
        data: URL (`live`), its share (`live_share`) and the side from which it grows (`live_edge`,
        x or y). After the run, `info` has the addresses of `regions` of the photo and the result.
        """
        services = self._services
        with services.errors_as_messages(request):
            settings, encoding = call_settings(given)
            source = self._upload(image)
            files = files_of(source)
            call = JobCall(services, request, files, settings, encoding, given["job"])
            yield from run_job(call, progress)

    @gradio_changes.name_parameters(
        (*API_REGION, *API_SETTINGS, *API_RECTANGLE, "largest"), API_DEFAULTS
    )
    def preview(self, request: gr.Request, image: str | None, **given: Any) -> Iterator[Any]:
        """Preview a region of an image. Returns it before and after as PNG files, and `info`.

        The region is a square (`x`, `y` and `size`) or a rectangle (`left`, `top`, `width` and
        `height`). Only the middle of a large rectangle is previewed, unless the result is smaller
        than the image and needs no network. In this case, the whole rectangle is previewed, and
        before and after have fewer pixels than `window`.

        `info` describes the complete run with its signature, as far as it is known in advance, and
        the region as `preview`. For a rectangle, it also has the region in pixels of the result, as
        `window`. If the settings are slow, a quick preview comes first, whose `info` has `quick`
        true and the signature null. A preview does not wait for the end of a longer run.
        """
        services = self._services
        with services.errors_as_messages(request):
            source = self._upload(image)
            settings, _ = call_settings(given)
            rectangle = call_rectangle(given)
            region = call_region(given)

            def steps(job: Job) -> Iterator[Any]:
                decoded = services.previews.image(source)
                wanted = settings
                if given["largest"]:
                    wanted = with_possible_size(settings, decoded.size)
                if rectangle is None:
                    box = choose_box(decoded.size, *region)
                    plan = services.enhancer.plan(decoded, wanted)
                    yield self._previewed(services.previews.run(decoded, plan, box, job))
                    return
                visible = rectangle.inside(decoded.size)
                view = View(owner_of(request), decoded, visible, wanted)
                for preview, is_quick in services.previews.steps(view, job):
                    facts = {"quick": is_quick, "window": asdict(preview.window)}
                    if is_quick:  # It lacks the signature of the requested run.
                        facts["signature"] = None
                    yield self._previewed(preview, **facts)

            yield from self._follow_steps(request, steps, source)

    def _follow_steps(
        self, request: gr.Request, steps: Callable[[Job], Iterator[Any]], source: Path
    ) -> Iterator[Any]:
        """Yield the outputs of each step of a job when they are ready."""
        ready = deque[Any]()

        def work(thread: JobThread[None]) -> None:
            for outputs in steps(thread.job):
                ready.append(outputs)

        def next_outputs() -> Any:
            if ready:
                return ready.popleft()
            return gr.skip()

        thread = self._services.start(request, "preview", work, source)
        yield from follow(thread, request, outputs=next_outputs, longest=_POLL_SECONDS)
        yield from ready

    def _upload(self, image: str | None) -> Path:
        """Return the path of an uploaded image, whose retention period begins again. Raises
        PictureError."""
        if not image:
            raise PictureError("api_no_image")
        self._services.downloads.note_use(Path(image))
        return Path(image)

    def _previewed(self, preview: Preview, **facts: Any) -> tuple[str, str, JsonObject]:
        """Return the outputs of a preview, with these `facts` in its info."""
        new_path = self._services.downloads.new_path
        info = preview.info
        icc = icc_for_screen(preview.region.rows.image)
        stem = strip_direction_marks(Path(info["input"]["name"]).stem)
        before = save_png(preview.before, new_path(f"{stem}-before.png"), icc)
        after = save_png(preview.after, new_path(f"{stem}-after.png"), icc)
        return str(before), str(after), {**info, **facts}

    @gradio_changes.name_parameters(API_REGION, API_DEFAULTS)
    def compare(
        self,
        request: gr.Request,
        image: str | None,
        progress: gr.Progress = _PROGRESS,
        **given: Any,
    ) -> Iterator[Any]:
        """Compare all available presets on a square region of an image. Returns a PNG with all
        previews, and `info`.

        `presets` in `info` has the seconds and the fidelity in dB of each preset or, if it failed,
        the error. Cancelling the call stops the engine.
        """
        services = self._services
        with services.errors_as_messages(request):
            source = self._upload(image)
            region = call_region(given)

            def visible(cell: Cell) -> Cell:
                error = cell.error and services.visible_error(request, cell.error)
                return replace(cell, error=error)

            def work(thread: JobThread[Comparison]) -> Comparison:
                enhancer = services.enhancer
                job = thread.job
                with enhancer.scheduler.queue_job(job):
                    decoded = services.previews.image(source)
                    box = choose_box(decoded.size, *region)
                    compare = partial(
                        enhancer.compare_region, decoded, box, job, progress=thread.progress
                    )
                    comparison = services.metrics.follow("comparison", "all", compare)
                return replace(comparison, cells=tuple(map(visible, comparison.cells)))

            job = services.start(request, "comparison", work, source)
            comparison = yield from follow(job, request, progress)
            sheet = services.downloads.new_path(f"{strip_direction_marks(source.stem)}-presets.png")
            yield str(sheet), without_path(comparison.save(sheet, language_of(request)))

    @gradio_changes.name_parameters((*API_SETTINGS, "largest", "job"), API_DEFAULTS)
    def batch(
        self,
        request: gr.Request,
        images: list[str] | None,
        progress: gr.Progress = _PROGRESS,
        **given: Any,
    ) -> Iterator[Any]:
        """Enhance several images. Returns a ZIP file of the results with report.csv and
        summary.pdf, and `info`.

        `info` counts the files that are done, failed and cancelled, and has the name, the state,
        the error and the facts of the run of each in `files`. A file that cannot be read does not
        stop the others. If there is not enough space for the ZIP file, it is null, `error` in
        `info` has the message, and each finished file is in `files` as `file`. Cancelling the call
        stops the engine.

        With a `job`, the same call follows the same batch, as in /enhance. Until the batch ends,
        the ZIP file is null, and `info` has the `progress` of /enhance with the finished `share`,
        the state of all `files`, and in `results` the `number` and `info` of each file that has
        finished since the last event. The facts of each file then have the addresses of `regions`
        of the photo and the result.
        """
        services = self._services
        with services.errors_as_messages(request):
            settings, encoding = call_settings(given)
            if not images:
                raise PictureError("api_no_images")
            files = files_of(*map(Path, images))
            services.limits.check_together(file.source for file in files)
            call = JobCall(
                services,
                request,
                files,
                settings,
                encoding,
                name=given["job"],
                is_batch=True,
                largest=bool(given["largest"]),
            )
            yield from run_job(call, progress)

    @gradio_changes.name_parameters(API_PLAN, API_DEFAULTS)
    def analyse(self, request: gr.Request, image: str | None, **given: Any) -> Iterator[Any]:
        """Return the properties of an image and the plan of a run: its settings, size, time and
        signature. Nothing is enhanced.

        Set at most one of `scale`, `long_side`, `megapixels` and a print size, as in /enhance.

        `auto` has the preset that Auto selects, the key of the reason, the reason as `text`, and
        the `analysis`: noise, grain, jpeg_quality, softness, blur, coherence, smoothness, kind,
        haze, faces and transparency. `presets` has the time of each installed preset. `faster` is a
        preset to use instead if the run takes more than two minutes, otherwise null. `tips` are
        suggestions with `solutions`, which have the settings to change. If a setting is not
        possible, `problem` is such a tip, and the plan describes the run with its first solution,
        without a `signature`. `photo` has the facts of the file, the point to show first as `focus`
        (shares of the width and height), and the `address` of its regions.
        """
        services = self._services
        with services.errors_as_messages(request):
            source = self._upload(image)
            known = owner_of(request), source, given, language_of(request)
            plans = services.planner.plans(*known)
            yield from self._follow_steps(request, lambda _: plans, source)

    def report(self, request: gr.Request, task_id: str) -> Iterator[Any]:
        """Return the PDF report of a finished run, for the file that the run returned."""
        services = self._services
        enhancer = services.enhancer
        language = language_of(request)
        with services.errors_as_messages(request):
            visible, encoding = services.owners.check(owner_of(request), task_id)

            def work(thread: JobThread[Path]) -> Path:
                return enhancer.report(
                    task_id, language, overrides=visible, encoding=encoding, stop=thread.job.stop
                )

            report = yield from follow(services.start(request, "preview", work), request)
            name = report_name(enhancer.tasks.finished_info(task_id))
            yield str(services.downloads.link(report, name))

    def cancel(self, request: gr.Request, job: str, file: int | None = None) -> JsonObject:
        """Cancel your job with this name. Returns whether it is `known`, and its `state`.

        A job that has ended does not change. If no job has the name yet, it is cancelled as soon as
        a call starts it within an hour. With `file`, only this file of a batch is cancelled, and
        `state` is the state of the file.
        """
        with self._services.errors_as_messages(request):
            return cancel_job(self._services, owner_of(request), job, call_file(file))

    def runs(self, request: gr.Request, id: str = "") -> list[JsonObject]:
        """List your recent results, newest first, with their names, states, times, sizes, settings
        and task_ids.

        The state is running, done, failed, interrupted, cancelled, or gone if the result is no
        longer stored. `id` identifies the result in other calls and is the name of its job, if it
        has one. `encoding` is the output file that was requested first, `progress` the progress of
        a running job, and `regions` has the addresses of regions of the photo and the result. A
        batch has `files`. With an `id`, only this result is returned, with its photo as `image` for
        further calls.
        """
        with self._services.errors_as_messages(request):
            return describe_runs(self._services, owner_of(request), language_of(request), id)

    @gradio_changes.name_parameters(ENCODING_PARAMETERS, API_DEFAULTS)
    def export(self, request: gr.Request, id: str, **given: Any) -> Iterator[Any]:
        """Export one of your recent results. Returns the file and `info`, like /enhance or /batch.

        Nothing is computed again. `id` can also identify a file of a batch. For a batch that is
        still running or was cancelled, the ZIP file has the results so far, and `info` has the
        `number` of each file in the call of the batch.
        """
        services = self._services
        with services.errors_as_messages(request):
            yield from finish_job(call_of_export(services, request, id, call_encoding(given)))

    def forget(self, request: gr.Request, id: str) -> list[str]:
        """Delete one of your recent results, or a file of a batch, with everything that was made
        from it. Returns the ids of the deleted results."""
        with self._services.errors_as_messages(request):
            return self._services.enhancer.tasks.forget(owner_of(request).digest, id)

    def presets(self, request: gr.Request) -> list[PresetInfo]:
        """List the presets with their names, summaries, models, settings and availability, and
        their time relative to gentle."""
        return self._services.presets(request)

    def status(self, request: gr.Request) -> Status:
        """Return the device, the precision, the loaded model, and the numbers of running and
        waiting jobs."""
        return self._services.enhancer.status()


def add_endpoints(services: Services) -> None:
    """Add the endpoints to the services, and to the current Blocks with hidden components."""
    endpoints = Endpoints(services)
    shared_input = cache(_input)
    with gr.Row(visible=False) as hidden:
        result, before, after, archive, pdf = (
            gr.File(label=name) for name in ("result", "before", "after", "zip", "pdf")
        )
        info = gr.JSON(label="info")
        answer = gr.JSON(label="answer")
        button = gr.Button()

    def add(name: str, outputs: list[gr.File | gr.JSON], **options: Any) -> None:
        """Add an endpoint with the parameters of its function, of which those without a default are
        required."""
        function = getattr(endpoints, name)
        declared = signature(function).parameters
        parameters = tuple(one for one in declared if one not in _NOT_SENT)
        ignored = ENCODING_PARAMETERS if name == "preview" else ()
        named: Any = {one: shared_input(one, one in ignored) for one in parameters}
        button.click(function, None, outputs, inputs_kwargs=named, api_name=name, **options)
        services.endpoints[name] = Endpoint(
            function,
            parameters,
            required=tuple(one for one in parameters if declared[one].default is Parameter.empty),
            outputs={str(one.label): isinstance(one, gr.File) for one in outputs},
            limiter=CapacityLimiter(options.get("concurrency_limit") or _THREADS),
            ignored=ignored,
        )

    with hidden:
        # Jobs without a limit here wait in the app's own queue.
        add("enhance", [result, info], concurrency_limit=None)
        add("preview", [before, after, info], concurrency_limit=None)
        add("compare", [result, info], concurrency_limit=None)
        add("presets", [answer], queue=False)
        add("status", [answer], queue=False)
        add("batch", [archive, info], concurrency_limit=None)
        add("analyse", [answer], concurrency_limit=2)
        add("report", [pdf], concurrency_limit=1)
        add("cancel", [answer], queue=False)
        add("runs", [answer], queue=False)
        add("export", [result, info], concurrency_limit=None)
        add("forget", [answer], queue=False)
    call_regularly(CHECK_SECONDS, lambda: check_jobs(services))


def _input(name: str, is_ignored: bool) -> Component:
    """Return the hidden component of a parameter. One that is ignored is deprecated in its
    schema."""
    schema = parameter_schema(name)
    if is_ignored:
        schema["deprecated"] = True
    description = {"additional_description": schema["description"]}
    if name in ("image", "images"):
        count = "single" if name == "image" else "multiple"
        file = gr.File(label=name, file_count=count)
        schema = file.api_info()
        gradio_changes.accept_any_file_value(file)
        component = file
    else:
        components = {"string": gr.Textbox, "boolean": gr.Checkbox}
        kind = components.get(schema["type"], gr.Number)
        component = kind(API_DEFAULTS.get(name), label=name)
    gradio_changes.describe_input(component, schema | description)
    return component
