"""The runs and batches of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..errors import Cancelled, EnhanceError, StorageError, expected_error
from ..formats.thumbnails import data_url, thumbnail_of
from ..i18n import LANGUAGES
from ..images import SourceImage
from ..jobs.batch import Batch, BatchFile, RunningBatch, plan
from ..jobs.scheduler import Job
from ..jobs.threads import JobThread
from ..json_object import JsonObject
from ..pipeline import Run
from ..restore.live_view import LiveView
from ..store import RecentRun
from ..store.job_records import id_of_file
from .job_calls import (
    JobCall,
    export_file,
    file_facts,
    file_of,
    visible_info,
    with_states,
)


class LocalJob(JobThread[None]):
    """A run or a batch of this process, its entries as they are now, and its readers.

    A run is a batch of one file. Only a job with a name is recorded in the data folder, with its
    inputs.
    """

    def __init__(self, call: JobCall, job: Job):
        threads = call.services.threads
        self.call = call
        self.tasks = call.services.enhancer.tasks
        self.key = call.key
        entries = call.entries
        files = call.files
        if call.name:
            entries = self.tasks.entries_of(*self.key)
            files = with_states(call, entries).files
        self.entries = {entry.id: entry for entry in entries}
        if call.is_batch:
            self.unit = "files"
        self.last_read = time.time()
        self._hold = ExitStack()
        """Results that are not deleted while the job runs or a client of this process reads it."""
        self._users = 0
        self._lock = threading.Lock()
        self._live_view: LiveView | None = None
        self._began = dict[str, float]()
        self.batch = plan(files)
        self._running = RunningBatch(
            call.services.enhancer,
            call.settings,
            self.batch,
            stop=job.stop,
            on_change=self._handle_change,
            on_compute=self._watch if call.name else None,
            find_image=self._find_image,
            caller=job.caller,
            hold=self._hold,
        )
        super().__init__(threads, job, LocalJob._run, tuple(file.source for file in call.files))
        if call.name:
            # The caller holds `starting`, so the job cannot have released its name already.
            threads.named[self.key] = self

    @property
    def rows(self) -> tuple[int, int, float | None]:
        """The finished and all rows of a run, or files of a batch, and the seconds left."""
        batch = self.batch
        if not self.call.is_batch:
            return *batch.rows_of_file, batch.seconds_left_of_file
        ended = batch.count("done") + batch.count("failed")
        return ended, len(batch.by_key), batch.seconds_left

    @property
    def ahead(self) -> int:
        """The number of runs ahead of the job in the queue."""
        return self._running.ahead

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the results inside the block."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                is_unused = not self._users
            if is_unused:
                self._hold.close()

    def facts(self, language: str) -> JsonObject:
        """Return the progress: the seconds left and the jobs ahead, and the finished and all rows
        of a run, or the finished share and the files of a batch."""
        done, total, left = self.rows
        facts = {"done": done, "total": total}
        if self.call.is_batch:
            files = [self._file_progress(file, language) for file in self.batch.files]
            facts = {"files": files, "share": round(self.batch.share, 4)}
        return facts | {"seconds_left": left, "ahead": self.ahead}

    def _file_progress(self, file: BatchFile, language: str) -> JsonObject:
        facts = file_facts(self.call.services, file, language)
        if file.state == "running":
            done, total = self.batch.rows_of_file
            facts["share"] = round(done / max(total, 1), 4)
            facts["seconds_left"] = self.batch.seconds_left_of_file
        return facts

    def news(self, call: JobCall, shown: set[float]) -> JsonObject:
        """Return what a client does not have yet, and add to `shown` what identifies it.

        That is the results of the files of a batch that are done, identified by their numbers. Or,
        at most once a second, it is the result of a run so far, identified by its share and the
        second: its share `live_share` is computed, from the left if `live_edge` is x, otherwise
        from the top.
        """
        if self.call.is_batch:
            return self._new_results(call, shown)
        live = self._live_view
        if live is None or not live.share:
            return {}
        share_and_second = {live.share, int(time.monotonic())}
        if share_and_second & shown:
            return {}
        shown |= share_and_second
        edge = "y"
        if live.columns:
            edge = "x"
        url = data_url(live.pixels, live.icc)
        return {"live": url, "live_share": live.share, "live_edge": edge}

    def _new_results(self, call: JobCall, shown: set[float]) -> JsonObject:
        results = list[JsonObject]()
        for entry in list(self.entries.values()):
            if entry.state == "done" and entry.number not in shown:
                shown.add(entry.number)
                info = file_of(call, entry).info
                if info:  # Otherwise the result was deleted.
                    results.append({"number": entry.number, "info": visible_info(call, info)})
        if not results:
            return {}
        return {"results": results}

    def cancel(self, number: int | None) -> None:
        """Cancel the job, or one file of a batch. The others are not affected."""
        if number is None:
            self.close()
            return
        id = id_of_file(self.call.name, number)
        self.entries[id] = replace(self.entries[id], state="cancelled")
        self._running.cancel(id)

    def _run(self) -> None:
        """Process the files and record the end of the job."""
        kept = list[RecentRun]()
        if self.call.name:
            kept += self.entries.values()
        try:
            with self.in_use(), self.tasks.using(*map(self.tasks.input_of, kept)):
                done = (file.png for file in self.batch.files if file.png)
                self._hold.enter_context(self.tasks.using(*done))
                for entry in kept:
                    self._keep_input(entry)
                self._running.run()
                if any(entry.state == "running" for entry in self.entries.values()):
                    raise Cancelled("stopped")
                error = self.batch.files[0].error
                if error and not self.call.is_batch:
                    raise error
                self._end("done")
        except Cancelled:
            self._end("interrupted")
            raise
        except Exception as raised:
            error = expected_error(raised, "A job failed")
            self._end("failed", self._recorded(error))
            raise error from raised
        finally:
            threads = self.call.services.threads
            with threads.starting:
                # An interrupted job can have been started again.
                if threads.named.get(self.key) is self:
                    del threads.named[self.key]

    def _keep_input(self, entry: RecentRun) -> None:
        """Copy an input into the store, because its upload can be deleted. Raises EnhanceError."""
        upload = self.inputs[entry.number - 1]
        try:
            self.tasks.keep_upload(upload, entry.name, entry.sha256, entry.bytes)
        except EnhanceError as error:
            if upload.exists():
                raise
            raise Cancelled("stopped") from error  # The request has already ended.

    def _find_image(self, file: BatchFile) -> SourceImage | None:
        """Return the decoded upload of a file, which its plan or a preview has left in memory."""
        upload = self.call.files[file.number - 1].source
        return self.call.services.previews.images.find(upload)

    def _watch(self, file: BatchFile, run: Run) -> None:
        """Provide the result so far while a run computes it."""
        run.watch = self._live_view = LiveView(run.image, run.plan.settings)

    def _thumbnail(self, result: Path) -> str:
        live = self._live_view
        if live is None or live.overview is None:  # A cached result.
            return thumbnail_of(result)
        return data_url(live.overview.pixels, live.icc)

    def _handle_change(self, batch: Batch) -> None:
        file = batch.latest
        if file is None or file.state == "waiting":
            return
        now = time.monotonic()
        if file.state == "running":
            self._began[file.key] = now
            self._live_view = None
            return
        self._count(file, now - self._began.get(file.key, now))
        if file.key in self.entries:
            self._finish_file(file, self.entries[file.key])

    def _count(self, file: BatchFile, seconds: float) -> None:
        metrics = self.call.services.metrics
        kind = "file" if self.call.is_batch else "task"
        preset = self.call.settings.preset
        metrics.record(kind, preset, seconds, file.state, file.info, file.error)
        if file.error and self.call.is_batch:  # The error of a run is counted with its message.
            metrics.count_error(file.error)

    def _finish_file(self, file: BatchFile, entry: RecentRun) -> None:
        """Set the result or the error of a file. A cancelled file keeps its entry."""
        if file.info and file.png:
            with suppress(EnhanceError):  # Each client exports the files again and then uses these.
                export_file(self.call, file, self._hold, self.job.stop)
            visible = self.call.services.owners.remember(self.call.owner, file.info)
            entry = replace(
                entry,
                state="done",
                task_id=file.info["task_id"],
                thumbnail=self._thumbnail(file.png) if self.call.name else "",
                visible={"cached": visible["cached"], "finished": visible["finished"]},
                fidelity_worst_db=file.info["fidelity_worst_db"],
            )
        elif file.error:
            entry = replace(entry, state="failed", error=self._recorded(file.error))
        else:
            return
        self.entries[entry.id] = entry
        if self.call.name:
            with suppress(StorageError):  # The end of the job records it again.
                self.tasks.save_entry(entry)

    def _recorded(self, error: EnhanceError) -> dict[str, str]:
        """Return the key and the messages of an error, as all its readers can see them.

        A job with a name can have a reader on another computer.
        """
        request = None
        if not self.call.name:
            request = self.call.request
        visible = self.call.services.visible_error(request, error)
        messages = {language: visible.message(language) for language in LANGUAGES}
        return {"key": visible.key, **messages}

    def _end(self, state: str, error: Mapping[str, str] | None = None) -> None:
        """Record the end of a job with a name. Raises Cancelled if its owner has cancelled it."""
        if self.call.name:
            entries = list(self.entries.values())
            jobs = self.call.services.jobs
            if jobs.end(*self.key, state, entries, error) == "cancelled":
                raise Cancelled("job_cancelled")
