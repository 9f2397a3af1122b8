"""The jobs that pages and API calls share: one image, a comparison of presets, and a batch."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from ..comparison import Comparison
from ..errors import EnhanceError, StorageError
from ..formats.encoding import Encoding
from ..info import Result
from ..jobs.archive import archive_names, pack
from ..jobs.batch import Batch, BatchFile, RunningBatch, plan
from ..jobs.scheduler import Job
from ..pipeline import RunOptions
from ..preview import choose_box
from ..settings import Settings
from ..store import result_name
from .jobs import JobThread, follow
from .owners import owner_of
from .params import Region
from .services import Services
from .storage import PageFolder

ZIP_NAME = "enhanced.zip"


def enhance(
    services: Services,
    source: Path,
    settings: Settings,
    job: JobThread[Any],
    options: RunOptions,
    **file: Any,
) -> Result:
    """Enhance a file within a job; `file` has the `output` and the `encoding`. Raises
    EnhanceError."""
    run = partial(
        services.enhancer.run,
        source,
        settings,
        progress=job.progress,
        options=replace(options, job=job.admitted),
        **file,
    )
    return services.metrics.follow("task", settings.preset, run)


def enhance_once(
    services: Services,
    request: gr.Request,
    source: Path,
    name: str,
    settings: Settings,
    encoding: Encoding,
    progress: gr.Progress | None = None,
    output: Path | None = None,
) -> Generator[Any, None, None]:
    """Run a job without a name: yield unchanged outputs until its end, and then the file and its
    `info`.

    The job ends with its client. `output` is the path of the file that a local client wants. Raises
    EnhanceError.
    """
    with ExitStack() as hold:
        options = RunOptions(name=name, hold=hold)

        def work(job: JobThread[Result]) -> Result:
            file = {"output": output, "encoding": encoding}
            return enhance(services, source, settings, job, options, **file)

        job = services.start(request, "run", work, source)
        result = yield from follow(job, request, progress)
        file = output
        if file is None:
            title = result_name(result.info, encoding.file_format.ending, name)
            file = services.downloads.link(result.path, title)
    info = services.owners.remember(owner_of(request), result.info, encoding)
    yield str(file), without_path(info)


def compare(services: Services, source: Path, job: JobThread[Any], region: Region) -> Comparison:
    """Compare presets within a job. Raises EnhanceError."""
    enhancer = services.enhancer
    with enhancer.scheduler.queue_job(job.admitted):
        image = services.previews.image(source)
        box = choose_box(image.width, image.height, *region)
        work = partial(enhancer.compare_region, image, box, job.admitted, progress=job.progress)
        return services.metrics.follow("comparison", "all", work)


@dataclass(frozen=True, eq=False)
class Packed:
    """A finished batch and its ZIP file; None if no file is done or the disk is full.

    If the disk is full, `loose` has every finished file and `error` says so.
    """

    batch: Batch
    archive: Path | None
    loose: dict[BatchFile, Path] = field(default_factory=dict)
    error: EnhanceError | None = None


def pack_batch(downloads: PageFolder, batch: Batch, settings: Settings, language: str) -> Packed:
    """Write the finished files, the table and the summary into a ZIP file."""
    if not batch.count("done"):
        return Packed(batch, None)
    try:
        return Packed(batch, pack(batch, downloads.new_path(ZIP_NAME), settings, language))
    except StorageError as error:
        loose = {}
        for item, title in archive_names(batch).items():
            if item.result is not None:
                with suppress(StorageError):  # A link needs no space.
                    loose[item] = downloads.link(item.result, title)
        return Packed(batch, None, loose, error)


def without_path(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return an `info` without the path on this server.

    `gradio_client` would also take any object with a string called path for a file, and insert a
    local path.
    """
    return {**info, "output": {**info["output"], "path": None}}


def batch_info(
    packed: Packed, infos: Mapping[BatchFile, Mapping[str, Any]], language: str
) -> dict[str, Any]:
    """Return the facts of a batch for its client, with the `infos` of its finished files."""

    def message(error: EnhanceError | None) -> str | None:
        return error.message(language) if error else None

    files = []
    for item in packed.batch.items:
        loose = packed.loose.get(item)
        file = FileData(path=str(loose), orig_name=loose.name).model_dump() if loose else None
        facts = {
            "name": item.name,
            "state": item.state,
            "error": message(item.error),
            "info": infos.get(item),
        }
        if item.number:
            facts["number"] = item.number
        files.append(facts | {"file": file})
    counts = {state: packed.batch.count(state) for state in ("done", "failed", "cancelled")}
    return counts | {"files": files, "error": message(packed.error)}


class BatchJob(JobThread[Packed]):
    """A batch, and its ZIP file in a language."""

    def __init__(
        self,
        services: Services,
        request: gr.Request | None,
        items: Iterable[BatchFile],
        settings: Settings,
        language: str,
        job: Job,
        encoding: Encoding,
        hold: ExitStack | None = None,
    ):
        self.language = language
        self._services = services
        self._preset = settings.preset
        self._request = request
        self.running = RunningBatch(
            services.enhancer,
            settings,
            plan(items),
            stop=job.stop,
            on_change=self._handle_change,
            caller=job.caller,
            encoding=encoding,
            hold=hold or ExitStack(),
        )
        self._started: float | None = None
        super().__init__(services.enhancer.scheduler, BatchJob._run, job)

    @property
    def batch(self) -> Batch:
        return self.running.batch

    def inputs(self) -> Iterable[Path]:
        return [item.source for item in self.batch.items]

    def send(self, progress: gr.Progress) -> None:
        batch = self.batch
        finished = sum(batch.count(state) for state in ("done", "failed"))
        left = "" if batch.seconds_left is None else f", {batch.seconds_left:.0f} s left"
        left = f", waiting, {batch.ahead} before it" if batch.ahead else left
        progress((finished, len(batch.items)), desc=f"files{left}", unit="files")

    def recorded(self) -> AbstractContextManager[Any]:
        """Return a context in which the batch runs and is packed, and its results are kept. A
        subclass records them."""
        return self.running.hold

    def pack(self, batch: Batch) -> Packed:
        """Return the files to download of a batch that has ended."""
        visible = {
            key: replace(item, error=self._visible(item.error)) for key, item in batch.files.items()
        }
        batch = replace(batch, files=visible)
        packed = pack_batch(self._services.downloads, batch, self.running.settings, self.language)
        return replace(packed, error=self._visible(packed.error))

    def finish_file(self, item: BatchFile) -> None:
        """Count a file that has ended."""
        seconds = time.monotonic() - (self._started or time.monotonic())
        self._started = None
        self._services.metrics.record(
            "file", self._preset, seconds, item.state, item.info, item.error
        )
        if item.error is not None:
            self._services.metrics.count_error(item.error)

    def _run(self) -> Packed:
        with self.recorded():
            return self.pack(self.running.run())

    def _visible(self, error: EnhanceError | None) -> EnhanceError | None:
        return None if error is None else self._services.visible_error(self._request, error)

    def _handle_change(self, batch: Batch) -> None:
        item = batch.latest
        if item is None:
            return
        if item.state == "running":
            self._started = time.monotonic()
        elif item.state != "waiting":
            self.finish_file(item)
