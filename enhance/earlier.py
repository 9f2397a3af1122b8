"""Results that are there already: found by their signature, never computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import StorageError
from .info import describe, output_of
from .job import Job
from .output.resample import scaled_size
from .result import Written, file_sha256, signature_of
from .running import Timing
from .tasks import TaskStore


def stored_result(tasks: TaskStore, job: Job, path: Path, timing: Timing, device: str) -> dict[str, Any] | None:
    """The facts of an earlier task's result of the same job, now also under `path`; None when there is none."""
    earlier = tasks.find(job.signature)
    if earlier is None:
        return None
    try:
        tasks.copy_result(earlier["task_id"], path)
    except StorageError:
        return None
    kept = {"faces": earlier["faces"]} if "faces" in earlier else {}
    return _cached(job, timing, earlier["output"] | {"path": str(path)}, device) | kept


def result_at(output: Path, job: Job, timing: Timing, device: str) -> dict[str, Any] | None:
    """The facts of the result that lies at `output`, if it is that of this job; else None."""
    if signature_of(output) != job.signature:
        return None
    size = scaled_size(job.picture.height, job.picture.width, job.settings.scale)
    written = Written(output, file_sha256(output), output.stat().st_size)
    return _cached(job, timing, output_of(written, size), device)


def _cached(job: Job, timing: Timing, output: dict[str, Any], device: str) -> dict[str, Any]:
    figures = timing.measured(job.picture.width * job.picture.height)
    return describe(job, device=device) | figures | {"output": output, "cached": True}
