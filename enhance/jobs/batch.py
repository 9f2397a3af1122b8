"""Batches: files processed one after the other. A failed file does not stop the others, finished
files are skipped.

A change of one file takes the same time for any number of files.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..enhancer import Enhancer
from ..errors import Cancelled, EnhanceError, MemoryShortError, StorageError, expected_error
from ..formats.encoding import Encoding
from ..images import SourceImage, inspect
from ..info import Info, Result
from ..pipeline import Replaceable, Run, RunOptions
from ..processes import temporary_folder
from ..restore.resample import result_size, with_possible_size
from ..settings import Settings
from ..store import download_name
from ..store.names import NamesBeside, ResultNames
from ..store.remote import RemoteNames, StoredFile, download, stored_at, upload
from .parallel import work_in_parallel
from .scheduler import Job

_LEAST_SHARE = 0.03
"""The share of the work, without cached files, after which the time left is estimated."""
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
    """Path of the result below an output folder, unique in the batch."""
    state: str = "waiting"
    size: tuple[int, int] | None = None
    """Height and width, once the header was read."""
    has_alpha: bool = False
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
    """The address of a file that is not local. It has a `source` only while it is processed."""
    bytes: int = 0
    """Size of the file at an address, which stands for its pixels."""
    entry: Mapping[str, Any] | None = None
    """The entry of a list that named this file."""

    @property
    def name(self) -> str:
        return self.relative_path.name

    @property
    def pixels(self) -> int:
        return math.prod(self.size) if self.size else self.bytes

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


@dataclass(frozen=True, eq=False)
class Batch:
    """The files of a batch and its progress.

    `share` is the finished part of the work, 0 to 1. `share_of_file` and `seconds_left_of_file`
    belong to the current file. All `Batch` objects of one run share `files`, which changes during
    the run.
    """

    files: dict[str, BatchFile]
    """The files by key, in order."""
    counts: Counter[str]
    """The number of files in each state."""
    latest: BatchFile | None = None
    """The file that changed last."""
    share: float = 0.0
    share_of_file: float = 0.0
    seconds_left: float | None = None
    seconds_left_of_file: float | None = None
    ahead: int = 0
    """Runs ahead of the next file in the queue."""
    names: ResultNames | None = None
    """Assigns the names of results in an output folder."""
    hidden: int = 0
    others: int = 0
    """Hidden and other files that were skipped."""

    @property
    def items(self) -> tuple[BatchFile, ...]:
        """A copy of the files in order, which takes time for each file."""
        return tuple(self.files.values())

    def count(self, state: str) -> int:
        return self.counts[state]


def plan(items: Iterable[BatchFile], names: ResultNames | None = None) -> Batch:
    """Return a batch of `items` whose results are stored as tasks, or where `names` assigns."""
    files = {item.key: item for item in items}
    return Batch(files, Counter(item.state for item in files.values()), names=names)


@dataclass
class RunningBatch:
    """A batch that is being processed. Other threads can read `batch` and cancel files.

    - `on_change(batch)`: called after each change.
    - `on_compute(item, run)`: called before a result is computed, unless it is cached.
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
        self._waiting = deque[str]()  # keys in order, also of files that no longer wait
        self._stops = dict[str, _StopOfFile]()  # of the files that were started, by key
        self._work: defaultdict[str, float] = defaultdict(float)  # by state
        self._running_work = dict[str, float]()  # finished work of the running files, by key
        self._computed_work = 0.0  # of finished files that were not cached
        # The number of files that are processed at the same time.
        self._at_once = min(sum(map(self._is_remote, self.batch.items)), _REMOTE_AT_ONCE) or 1
        for item in self.batch.items:
            self._work[item.state] += item.pixels

    def run(self) -> Batch:
        """Process the files in order and return the batch at its end. After `stop`, finished
        results are kept."""
        self._started = time.perf_counter()
        with self._lock:
            self._waiting.clear()
            items = self.batch.items
        for item in items:
            if item.state in ("waiting", "failed"):  # Failed files are also reported.
                is_unchecked = item.state == "waiting" and not item.address
                checked = self._check(item) if is_unchecked else item
                self._put(checked)
        with closing(
            work_in_parallel(self._process, iter(self._next, None), self._at_once, self.stop)
        ) as ended:
            for _, future in ended:
                self._end(future.result())
        return self.batch

    def cancel(self, key: str) -> None:
        """Cancel one file that waits or is processed."""
        with self._lock:
            item = self.batch.files.get(key)
            if item is None:
                return
            if item.state == "waiting":
                self._put(replace(item, state="cancelled"))
            elif item.state == "running":
                self._stops[key].set()

    def _check(self, item: BatchFile) -> BatchFile:
        """Return the file with its size, or as failed if it cannot have the requested size or
        format."""
        if not item.size:
            item = with_size(item, self.enhancer.max_pixels, self.enhancer.max_bytes)
        return checked(item, self.settings, self.encoding)

    def _is_remote(self, item: BatchFile) -> bool:
        """Return whether the file or its result has an address. Its result is named after the
        download."""
        return bool(item.address) or isinstance(self.batch.names, RemoteNames)

    def _next(self) -> BatchFile | None:
        """Start the next file and return it, or None at the end."""
        with self._lock:
            while self.batch.count("waiting") and not self.stop.is_set():
                item = self.batch.files[self._waiting.popleft()]
                if item.state == "waiting":
                    item = replace(item, state="running")
                    self._stops[item.key] = _StopOfFile(self.stop)
                    self._put(item)
                    return item
            for item in self.batch.items if self.batch.count("waiting") else ():
                if item.state == "waiting":
                    self._put(replace(item, state="cancelled"))
            return None

    def _process(self, item: BatchFile) -> BatchFile:
        """Return the file with its result or its error."""
        try:
            return self._run_file(item)
        except Cancelled:
            return replace(item, state="cancelled")
        except Exception as error:
            return _as_failed(item, error)

    def _run_file(self, item: BatchFile) -> BatchFile:
        """Return the file with its result, also if only its report failed. Raises EnhanceError."""
        return self._process_remote(item) if self._is_remote(item) else self._write_result(item)

    def _process_remote(self, item: BatchFile) -> BatchFile:
        """Download the file if it is remote, process it, and upload a remote result."""
        local = item
        with temporary_folder() as folder:
            if item.address:
                source = Path(folder, item.key).with_suffix(item.relative_path.suffix)
                local = self._check(replace(item, source=download(item.address, source)))
                if local.error is not None:
                    raise local.error
            ended = self._write_result(replace(local, size=None))  # Progress counts bytes.
        return replace(
            item, state=ended.state, output=ended.output, info=ended.info, error=ended.error
        )

    def _write_result(self, item: BatchFile) -> BatchFile:
        """Enhance a local file. At the end of the run, its result gets the first name that is still
        free."""
        names = self.batch.names
        if names is None or item.output:
            return self._enhance(item, item.output)
        path, image = names.folder / item.target, None
        is_beside = isinstance(names, NamesBeside)
        if is_beside:  # photo-4x.png, where the size can depend on what Auto chooses for the image
            image = self.enhancer.read(item.source, name=item.name)
            settings, _ = self.enhancer.resolve(image, item.settings or self.settings)
            size = result_size(settings, image.height, image.width)
            path = path.with_name(download_name(path.name, settings, size, path.suffix))
        for output in names.candidates(path, item.source):
            try:
                if isinstance(names, RemoteNames):
                    return self._enhance_for(names, item, output)
                return self._enhance(
                    item, output, image=image, replaces="request" if is_beside else "input"
                )
            except StorageError as error:
                if is_beside and error.key == "not_permitted":
                    raise StorageError("beside_not_permitted", folder=output.parent) from error
                if error.key != "name_taken":  # by another process, in the meantime
                    raise
        raise AssertionError("unreachable")

    def _enhance_for(self, names: RemoteNames, item: BatchFile, output: Path) -> BatchFile:
        """Enhance a local file and upload its result and report. Skip a file whose result and
        report exist."""
        address, stored = names.address_of(output), names.stored.pop(output)
        report = f"{address.rpartition('.')[0]}.pdf"
        is_complete = stored and (not self.report or stored_at(report))
        with temporary_folder() as folder:
            result = Path(folder, output.name)
            ended = replace(
                self._enhance(item, result, stored if is_complete else None), output=None
            )
            if ended.info:
                ended.info["output"]["path"] = address
            if result.exists():
                upload(result, address, stored)
            if (made := result.with_suffix(".pdf")).exists():
                try:
                    upload(made, report)
                except EnhanceError as error:
                    return replace(ended, error=error)
            return ended

    def _enhance(
        self,
        item: BatchFile,
        output: Path | None,
        stored: StoredFile | None = None,
        *,
        image: SourceImage | None = None,
        replaces: Replaceable = "result",
    ) -> BatchFile:
        """Enhance a local file, unless its result is `stored` at an address."""
        on_compute = self.on_compute
        with ExitStack() as until_reported:
            hold = self.hold if output is None else None
            if self.report:
                image = image or self.enhancer.read(item.source, output)
                if output and not _report_path(output, image).exists():
                    hold = until_reported
            result = self.enhancer.run(
                item.source,
                item.settings or self.settings,
                output=output,
                encoding=self.encoding,
                progress=lambda done, total, left: self._update_progress(item, done / total, left),
                options=RunOptions(
                    job=Job("run", self.caller, self._stops[item.key], self._update_queue),
                    name=item.name,
                    image=image,
                    on_compute=on_compute and (lambda run: on_compute(item, run)),
                    hold=hold,
                    replaces=replaces,
                    stored=stored,
                ),
            )
            error = self._write_report(output, result, image) if image else None
        return replace(
            item, state="done", output=output, info=result.info, error=error, png=result.png
        )

    def _write_report(
        self, output: Path | None, result: Result, image: SourceImage
    ) -> EnhanceError | None:
        """Write the report and return its error. Without a PNG, the result and its report already
        existed."""
        if self.report is None or result.png is None:
            return None
        try:
            self.enhancer.write_report(
                result, image, _report_path(output or result.png, image), self.report
            )
        except Exception as error:
            return expected_error(error, "The report of a file could not be written")
        return None

    def _end(self, item: BatchFile) -> None:
        with self._lock:
            self._put(item)
            self._computed_work += item.pixels if item.info and not item.info["cached"] else 0
            self._update_progress(item, 0.0)

    def _put(self, item: BatchFile) -> None:
        """Replace the file in the batch."""
        with self._lock:
            before = self.batch.files[item.key]
            self.batch.files[item.key] = item
            if item.state == "waiting":
                self._waiting.append(item.key)
            self._update_counts(before, item)

    def _update_counts(self, before: BatchFile, after: BatchFile) -> None:
        """Update the counts of a file that was changed."""
        counts = self.batch.counts.copy()
        for item, sign in ((before, -1), (after, 1)):
            counts[item.state] += sign
            self._work[item.state] += sign * item.pixels
        self._change(counts=counts, latest=after)

    def _update_queue(self, ahead: int) -> None:
        with self._lock:
            if ahead != self.batch.ahead:
                self._change(ahead=ahead, latest=None)

    def _update_progress(
        self, item: BatchFile, share: float, left_of_file: float | None = None
    ) -> None:
        """Update the progress by the `share` of the current file, which is 0 after its end, and the
        time left."""
        with self._lock:
            self._running_work.pop(item.key, None)
            if share:
                self._running_work[item.key] = item.pixels * share
            running = sum(self._running_work.values())
            # Cached files take hardly any time, so only the others show the speed.
            done, computed = self._work["done"] + running, self._computed_work + running
            total = sum(self._work.values()) - self._work["failed"] - self._work["cancelled"] or 1
            elapsed = time.perf_counter() - self._started
            # The start of the first file is not typical, because models are loaded then.
            cached = self._work["done"] - self._computed_work
            is_known = computed > _LEAST_SHARE * (total - cached)
            left = elapsed / computed * max(total - done, 0) if is_known else None
            share_done = min(1.0, done / total)
            self._change(
                share=share_done,
                share_of_file=share,
                seconds_left=left,
                seconds_left_of_file=left_of_file,
                ahead=0,
                latest=None,
            )

    def _change(self, **values: Any) -> None:
        with self._lock:
            self.batch = replace(self.batch, **values)
            self.on_change(self.batch)


class _StopOfFile(threading.Event):
    """The event that cancels one file. It is also set while the event of the batch is set."""

    def __init__(self, batch: threading.Event):
        super().__init__()
        self._batch = batch

    def is_set(self) -> bool:
        return super().is_set() or self._batch.is_set()


def _as_failed(item: BatchFile, error: Exception) -> BatchFile:
    return replace(item, state="failed", error=expected_error(error, "A file of a batch failed"))


def with_size(
    item: BatchFile, max_pixels: int | None = None, max_bytes: int | None = None
) -> BatchFile:
    """Return the file with the size from its header, or as failed if it is not a supported
    image."""
    try:
        facts = inspect(item.source, name=item.name, max_pixels=max_pixels, max_bytes=max_bytes)
    except EnhanceError as error:
        return replace(item, state="failed", error=error)
    return replace(item, size=(facts.height, facts.width), has_alpha=facts.has_alpha)


def checked(item: BatchFile, settings: Settings, encoding: Encoding) -> BatchFile:
    """Return the file, as failed if it cannot have the requested size or format."""
    if item.size and item.state == "waiting":
        try:
            encoding.check(*reversed(result_size(item.settings or settings, *item.size)))
        except MemoryShortError:  # more memory can be free later
            pass
        except Exception as error:
            return _as_failed(item, error)
    return item


def with_nearest_size(item: BatchFile, settings: Settings) -> BatchFile:
    """Return the file with settings of its own if it cannot have the size of `settings`."""
    own = with_possible_size(settings, *item.size) if item.size else settings
    return replace(item, settings=None if own == settings else own)


def _report_path(result: Path, image: SourceImage) -> Path:
    from ..report.photo_report import report_path_next_to

    return report_path_next_to(result, image.sha256)
