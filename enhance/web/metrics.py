"""Health check, one log line for each image, and metrics for Prometheus.

They contain no names of users or files, and the values of every label are known beforehand.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from ..config import version
from ..errors import Cancelled, EnhanceError
from ..i18n import catalogue
from ..settings import PRESETS
from .gradio_changes import is_ready

log = logging.getLogger(__name__)

METRICS = "/metrics"
_STAGES = ("wait", "decode", "scene", "network", "tuning", "encode")
_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)
"""In seconds."""
_PROXY_HEADERS = {b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via"}


class Metrics:
    """Logs every image and counts it for Prometheus, in a registry of its own.

    `kind` is task (a run), file (of a batch), preview or comparison. The outcome is done, failed or
    cancelled.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._images = Counter(
            "enhance_pictures",
            "Runs (task), files of batches (file) and previews by outcome",
            ("kind", "preset", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "enhance_stage_seconds",
            "Seconds that an image took in each stage, without cached results",
            ("kind", "stage"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._refusals = Counter(
            "enhance_refusals",
            "Rejected requests and failed jobs by the key of the error message",
            ("reason",),
            registry=registry,
        )
        build = Info("enhance_build", "Version of the server", registry=registry)
        build.info({"version": version()})
        ProcessCollector(registry=registry)

    def watch(self, status: Callable[[], Mapping[str, Any]], data: Path) -> None:
        """Read the numbers of jobs from `status`, and the free space of the folder `data`, at each
        request."""
        folder = next(one for one in (data, *data.parents) if one.exists())
        gauge = partial(Gauge, registry=self._registry)
        running = gauge("enhance_running", "Runs on the device")
        running.set_function(lambda: status()["running"])
        waiting = gauge("enhance_waiting", "Runs and batches in the queue")
        waiting.set_function(lambda: status()["waiting"])
        free = gauge("enhance_disk_free_bytes", "Free space of the data folder")
        free.set_function(lambda: psutil.disk_usage(str(folder)).free)

    def follow(self, kind: str, preset: str, work: Callable[[], Any]) -> Any:
        """Return the result of `work`, which has an `info`, and record its outcome."""
        started = time.monotonic()
        try:
            result = work()
        except Exception as error:
            outcome = "cancelled" if isinstance(error, Cancelled) else "failed"
            self.record(kind, preset, time.monotonic() - started, outcome, error=error)
            raise
        self.record(kind, preset, time.monotonic() - started, "done", result.info)
        return result

    def record(
        self,
        kind: str,
        preset: str,
        seconds: float,
        outcome: str,
        info: Mapping[str, Any] | None = None,
        error: Exception | None = None,
    ) -> None:
        """Record the outcome of an image. Previews are logged at level DEBUG; the reason is the key
        of an error."""
        reason = error and _key_of(error)
        task = (info or {}).get("task_id") or "-"
        size = "{width}x{height}".format_map(info["input"]) if info else "-"
        level = logging.DEBUG if kind == "preview" else logging.INFO
        facts = {
            "kind": kind,
            "task": task,
            "size": size,
            "preset": preset,
            "seconds": round(seconds, 1),
            "outcome": outcome,
            "reason": reason,
        }
        text = " ".join(f"{name}={value}" for name, value in facts.items())
        log.log(level, "%s", text, extra={"facts": facts})
        if preset not in PRESETS and kind != "comparison":
            preset = "own"  # User models share one label.
        self._images.labels(kind, preset, outcome).inc()
        if info is None or info["cached"]:
            return  # A stored result has the seconds of its run, which were counted then.
        for stage in _STAGES:
            if stage in info["seconds"]:
                self._seconds.labels(kind, stage).observe(info["seconds"][stage])

    def count_error(self, error: Exception) -> None:
        """Count an error by its key. A cancelled job is no error."""
        if not isinstance(error, Cancelled):
            self._refusals.labels(_key_of(error)).inc()

    def show(self, request: Request) -> Response:
        """Return the metrics in Prometheus' text format, or as OpenMetrics if the client accepts
        it."""
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), headers={"content-type": media_type})


def _key_of(error: Exception) -> str:
    """Return the key of an expected error, and the same for all others."""
    if isinstance(error, EnhanceError) and error.key in catalogue():
        return error.key
    return "unexpected"


async def healthz(request: Request) -> JSONResponse:
    """Return whether the page is ready, and the version."""
    return JSONResponse({"alive": True, "ready": is_ready(request.scope), "version": version()})


def is_local_request(scope: Scope) -> bool:
    """Return whether a program of this machine sent the request, and not a proxy for another
    client."""
    if any(name in _PROXY_HEADERS for name, _ in scope["headers"]):
        return False
    try:
        address = ip_address(str((scope.get("client") or [""])[0]))
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
