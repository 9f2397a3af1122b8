"""Batches: files processed one after the other. A failed file does not stop the others, finished
files are skipped.

A change of one file takes the same time for any number of files.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ..enhancer import Enhancer
from ..errors import Cancelled, EnhanceError, MemoryShortError, expected_error
from ..formats.encoding import Encoding
from ..images import SourceImage, inspect_image
from ..info import Info, Result
from ..json_object import JsonObject
from ..pipeline import Replaceable, Run, RunOptions
from ..processes import temporary_folder
from ..restore.resample import result_size, with_possible_size
from ..settings import Settings
from ..size import Size
from ..store import download_name
from ..store.names import ResultNames, report_path_next_to
from ..store.remote import RemoteNames, StoredFile, download, stored_at, upload
from .parallel import work_in_parallel
from .progress import BatchProgress
from .scheduler import Job

_REMOTE_AT_ONCE = 3
"""Files of addresses at once: one has the device, while others are downloaded, decoded and
uploaded."""


@dataclass(frozen=True, eq=False)
class BatchFile:
    """One file of a batch.

    `state` is waiting, running, done, failed or cancelled. `error` is the reason for a failure.
    """

    source: Path
    relative_path: Path
    """Path below the folder that was searched, or the name of a file that was given by itself."""
    output: Path | None = None
    """The output file: a given path, or the result of a finished file."""
    target: Path = Path()
    """Path of the result below an output folder, unique in the batch. A result next to its file has
    an absolute one, without the size in its name."""
    state: str = "waiting"
    size: Size | None = None
    """The size of the image, once the header was read."""
    sha256: str = ""
    """The checksum of the file, if it is known."""
    settings: Settings | None = None
    """Settings of this file, if they differ from the settings of the batch."""
    info: Info | None = None
    error: EnhanceError | None = None
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    """Identifies the file in all its states."""
    number: int = 0
    """Position in the batch of a page, starting at 1."""

    png: Path | None = None
    """The lossless result, if it is kept."""
    address: str = ""
    """The address of a file that is not local. Its `source` exists only while it is processed."""
    bytes: int = 0
    """Size of the file at an address, which stands for its pixels."""
    entry: JsonObject | None = None
    """The entry of a list that named this file."""

    @property
    def name(self) -> str:
        return self.relative_path.name

    @property
    def pixels(self) -> int:
        return math.prod(self.size or [self.bytes])

    @property
    def place(self) -> str:
        """The path or address of the file, as in a list of files."""
        return self.address or (self.entry or {}).get("input") or str(self.source)

    @property
    def named_after(self) -> Path:
        """The path after which `target` is named, from a list or the file itself. Its extension has
        no effect."""
        return Path((self.entry or {}).get("output") or self.relative_path)

    @property
    def result(self) -> Path | None:
        """The output file."""
        return Path(self.info["output"]["path"]) if self.info else None


@dataclass(eq=False)
class Batch:
    """The files of a batch and its progress, which change during a run.

    `share` is the finished part of the work, 0 to 1, without cached files. `rows_of_file`, its
    finished and all rows, and `seconds_left_of_file` belong to the current file.
    """

    by_key: dict[str, BatchFile]
    """The files by key, in order."""
    counts: Counter[str]
    """The number of files in each state."""
    latest: BatchFile | None = None
    """The file that the last change is about, None if only the progress changed."""
    share: float = 0.0
    rows_of_file: tuple[int, int] = (0, 0)
    seconds_left: float | None = None
    seconds_left_of_file: float | None = None
    names: ResultNames | None = None
    """Assigns the names of results in an output folder."""
    hidden: int = 0
    others: int = 0
    """Hidden and other files that were skipped."""

    @property
    def files(self) -> tuple[BatchFile, ...]:
        """A copy of the files in order, which takes time for each file."""
        return tuple(self.by_key.values())

    def count(self, state: str) -> int:
        return self.counts[state]


def plan(files: Iterable[BatchFile], names: ResultNames | None = None) -> Batch:
    """Return a batch of `files` whose results are stored as tasks, or where `names` assigns."""
    by_key = {file.key: file for file in files}
    return Batch(by_key, Counter(file.state for file in by_key.values()), names=names)


@dataclass
class RunningBatch:
    """A batch that is being processed. Other threads can read `batch` and cancel files.

    - `on_change(batch)`: called after each change.
    - `on_compute(file, run)`: called before a result is computed, unless it is cached.
    - `report`: language of the PDF reports next to the results; None for no reports.
    - `hold`: stored results are not deleted until it is closed.
    - `caller`: identifies the user for fair scheduling.
    """

    enhancer: Enhancer
    settings: Settings
    batch: Batch
    stop: threading.Event = field(default_factory=threading.Event)
    on_change: Callable[[Batch], object] = lambda batch: None
    on_compute: Callable[[BatchFile, Run], object] | None = None
    report: str | None = None
    hold: ExitStack = field(default_factory=ExitStack)
    encoding: Encoding = field(default_factory=Encoding)
    caller: Hashable = None

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._jobs = dict[str, Job]()  # of the files that were started, by key
        self._newest_job = Job()
        # Cached files take hardly any time and do not count.
        self._progress = BatchProgress()
        self._is_planned = False
        self._waited = 0.0
        """The seconds that the files before the newest one were in the queue."""
        self._at_once = 1
        """The number of files that are processed at the same time."""
        has_addresses = any(file.address for file in self.batch.files)
        if has_addresses or isinstance(self.batch.names, RemoteNames):
            self._at_once = _REMOTE_AT_ONCE
        for file in self.batch.files:
            if _is_pending(file):
                self._progress.add(file.key, file.pixels)

    def run(self) -> Batch:
        """Process the files in order and return the batch at its end. After `stop`, finished
        results are kept."""
        for file in self.batch.files:
            if file.state == "waiting" and not file.address:
                if not file.size:
                    file = with_size(file, self.enhancer)
                file = checked(file, self.settings, self.encoding)
            if file.state in ("waiting", "failed"):  # Failed files are also reported.
                self._put(file)
        work = work_in_parallel(self._process, self._start_files(), self._at_once, self.stop)
        with closing(work) as ended:
            for _, future in ended:
                self._put(future.result())
        return self.batch

    @property
    def ahead(self) -> int:
        """The number of runs ahead of the batch in the queue."""
        return self.enhancer.scheduler.ahead(self._newest_job)

    def cancel(self, key: str) -> None:
        """Cancel one file that waits or is processed."""
        with self._lock:
            file = self.batch.by_key.get(key)
            if file is None:
                return
            if file.state == "waiting":
                self._put(replace(file, state="cancelled"))
            elif file.state == "running":
                self._jobs[key].stop.set()

    def _start_files(self) -> Iterator[BatchFile]:
        """Yield the files that wait, each when its work begins. After `stop`, they are
        cancelled."""
        batch = self.batch
        for key in list(batch.by_key):
            with self._lock:
                file = batch.by_key[key]
                if file.state != "waiting":
                    continue
                if self.stop.is_set():
                    self._put(replace(file, state="cancelled"))
                    continue
                file = replace(file, state="running")
                self._waited += self._newest_job.wait_seconds
                self._newest_job = Job("run", self.caller, _StopOfFile(self.stop))
                self._jobs[key] = self._newest_job
                batch.rows_of_file = (0, 0)
                batch.seconds_left_of_file = None
                self._put(file)
            yield file

    def _process(self, file: BatchFile) -> BatchFile:
        """Return the file with its result or its error."""
        try:
            return self._run_file(file)
        except Cancelled:
            return replace(file, state="cancelled")
        except Exception as error:
            return _as_failed(file, error)

    def _run_file(self, file: BatchFile) -> BatchFile:
        """Return the file with its result, also if only its report failed. Raises EnhanceError.

        A remote file is downloaded first.
        """
        if not file.address:
            return self._run_local_file(file)
        with temporary_folder() as folder:
            source = Path(folder, file.key).with_suffix(file.relative_path.suffix)
            local = replace(file, source=download(file.address, source))
            return replace(self._run_local_file(local), source=file.source)

    def _run_local_file(self, file: BatchFile) -> BatchFile:
        """Enhance a local file. At the end of the run, its result gets the first name that is still
        free."""
        names = self.batch.names
        if names is None or file.output:
            return self._enhance(file, file.output)
        path = names.folder / file.target
        if isinstance(names, RemoteNames):
            write = partial(self._enhance_and_upload, file, names=names)
        elif file.target.is_absolute():  # It is next to the photo.
            image = self.enhancer.read(file.source, name=file.name)
            path = self._path_with_size(path, image, file)
            write = partial(self._enhance, file, image=image, replaces="request")
        else:
            write = partial(self._enhance, file, replaces="input")
        return names.write(path, file.source, write)

    def _path_with_size(self, path: Path, image: SourceImage, file: BatchFile) -> Path:
        """Return the path of a result with its size in the name, such as photo-4x.png.

        The size can depend on what Auto selects for the image.
        """
        settings, _ = self.enhancer.resolve(image, file.settings or self.settings)
        size = result_size(settings, image.size)
        return path.with_name(download_name(path.name, settings, size, path.suffix))

    def _enhance_and_upload(
        self, file: BatchFile, output: Path, *, names: RemoteNames
    ) -> BatchFile:
        """Enhance a local file and upload its result and report. Skip a file whose result and
        report exist."""
        address = names.address_of(output)
        stored = names.stored.pop(output)
        report = f"{address.rpartition('.')[0]}.pdf"
        complete = stored
        if stored and self.report and not stored_at(report):
            complete = None
        with temporary_folder() as folder:
            result = Path(folder, output.name)
            ended = replace(self._enhance(file, result, complete), output=None, png=None)
            if ended.info:
                ended.info["output"]["path"] = address
            if result.exists():
                upload(result, address, stored)
            made = result.with_suffix(".pdf")
            if made.exists():
                try:
                    upload(made, report)
                except EnhanceError as error:
                    return replace(ended, error=error)
            return ended

    def _enhance(
        self,
        file: BatchFile,
        output: Path | None,
        stored: StoredFile | None = None,
        *,
        image: SourceImage | None = None,
        replaces: Replaceable = "result",
    ) -> BatchFile:
        """Enhance a local file, unless its result is `stored` at an address."""
        with ExitStack() as until_reported:
            hold = None
            if output is None:
                hold = self.hold
            if self.report:
                image = image or self.enhancer.read(file.source, output, name=file.name)
                if output and not report_path_next_to(output, image.sha256).exists():
                    hold = until_reported
            result = self.enhancer.run(
                file.source,
                file.settings or self.settings,
                output=output,
                encoding=self.encoding,
                progress=partial(self._update_progress, file),
                options=RunOptions(
                    job=self._jobs[file.key],
                    name=file.name,
                    image=image,
                    on_compute=self.on_compute and partial(self.on_compute, file),
                    hold=hold,
                    replaces=replaces,
                    stored=stored,
                ),
            )
            error = None
            if image is not None:
                error = self._write_report(result, image)
        return replace(
            file, state="done", output=output, info=result.info, error=error, png=result.png
        )

    def _write_report(self, result: Result, image: SourceImage) -> EnhanceError | None:
        """Write the report and return its error. Without a PNG, the result and its report already
        existed."""
        if self.report is None or result.png is None:
            return None
        path = report_path_next_to(result.path, image.sha256)
        try:
            self.enhancer.write_report(result, image, path, self.report)
        except Exception as error:
            return expected_error(error, "The report of a file could not be written")
        return None

    def _put(self, file: BatchFile) -> None:
        """Replace the file in the batch."""
        with self._lock:
            batch = self.batch
            before = batch.by_key[file.key]
            batch.by_key[file.key] = file
            batch.counts[before.state] -= 1
            batch.counts[file.state] += 1
            if _is_pending(file):  # Its header can have been read.
                self._progress.add(file.key, file.pixels)
            elif _is_pending(before):
                seconds = None
                if file.info and not file.info["cached"]:
                    seconds = file.info["seconds"]["total"]
                self._progress.end(file.key, seconds)
            self._report_change(file)

    def _update_progress(
        self, file: BatchFile, done: int, total: int, left_of_file: float | None
    ) -> None:
        """Update the progress by the rows of the current file."""
        with self._lock:
            if not self._is_planned:
                self._plan_files()
            if not done and left_of_file is not None:
                self._progress.plan(file.key, left_of_file)
            self._progress.advance(file.key, done / total)
            self.batch.rows_of_file = (done, total)
            self.batch.seconds_left_of_file = left_of_file
            self._report_change(None)

    def _plan_files(self) -> None:
        """Plan the files that wait. The caller holds the lock.

        The first computed file needs this, because its network has to be timed anyway.
        """
        self._is_planned = True
        for file in self.batch.files:
            if file.state == "waiting" and file.size:
                settings = file.settings or self.settings
                seconds = None
                with suppress(EnhanceError):  # Its own run raises the error.
                    seconds = self.enhancer.estimate_file(file.sha256, file.size, settings)
                if seconds is not None:
                    self._progress.plan(file.key, seconds)

    def _report_change(self, file: BatchFile | None) -> None:
        """Report a change of a file or of the progress alone. The caller holds the lock."""
        now = time.perf_counter()
        if self._at_once == 1:  # Otherwise, the files wait for each other.
            now -= self._waited + self._newest_job.wait_seconds
        batch = self.batch
        batch.share = self._progress.share
        batch.seconds_left = self._progress.seconds_left(now)
        batch.latest = file
        self.on_change(batch)


def _is_pending(file: BatchFile) -> bool:
    """Return whether a file has not ended."""
    return file.state in ("waiting", "running")


class _StopOfFile(threading.Event):
    """The event that cancels one file. It is also set while the event of the batch is set."""

    def __init__(self, batch: threading.Event):
        super().__init__()
        self._batch = batch

    def is_set(self) -> bool:
        return super().is_set() or self._batch.is_set()


def _as_failed(file: BatchFile, error: Exception) -> BatchFile:
    return replace(file, state="failed", error=expected_error(error, "A file of a batch failed"))


def with_size(file: BatchFile, enhancer: Enhancer) -> BatchFile:
    """Return the file with the size from its header, or as failed if it is not an image that the
    enhancer supports."""
    try:
        facts = inspect_image(
            file.source,
            name=file.name,
            max_pixels=enhancer.max_pixels,
            max_bytes=enhancer.max_bytes,
        )
    except EnhanceError as error:
        return replace(file, state="failed", error=error)
    return replace(file, size=Size(facts.width, facts.height))


def checked(file: BatchFile, settings: Settings, encoding: Encoding) -> BatchFile:
    """Return the file, as failed if it cannot have the requested size or format."""
    if file.size and file.state == "waiting":
        try:
            encoding.check(result_size(file.settings or settings, file.size))
        except MemoryShortError:  # more memory can be free later
            pass
        except Exception as error:
            return _as_failed(file, error)
    return file


def with_nearest_size(file: BatchFile, settings: Settings) -> BatchFile:
    """Return the file with settings of its own if it cannot have the size of `settings`."""
    if not file.size:
        return file
    own = with_possible_size(settings, file.size)
    return file if own == settings else replace(file, settings=own)
