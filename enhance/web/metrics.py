"""What the server says to who runs it: that it is alive, a line in the log for each picture, counts for Prometheus.

Neither tells whose picture it was or what was on it, and every label has values that the program itself knows.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Protocol, TypeVar

import psutil
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from ..config import version
from ..errors import Cancelled, EnhanceError
from ..i18n import catalogue
from ..logs import hide_messages, log_printed_exceptions
from ..settings import PRESETS

log = logging.getLogger(__name__)

METRICS = "/metrics"
_SWEEP_SECONDS = 5.0
_TALKERS = (
    *("httpx", "httpcore", "uvicorn.access", "mcp", "PIL", "asyncio", "fontTools", "fpdf", "huggingface_hub"),
    "filelock",
)
_STAGES = ("wait", "decode", "scene", "network", "tuning", "encode")
_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)
"""In seconds: from the decoding of a small picture to the network's work on a large one."""
_HANDED_ON = {b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via"}


class Made(Protocol):
    """A result or a preview."""

    @property
    def info(self) -> dict[str, Any]: ...


MadeT = TypeVar("MadeT", bound=Made)


class Metrics:
    """Tells of every picture in the log, and counts where that is asked for (`counts`).

    `kind` is task (a run), file (one of a batch), preview or comparison; an outcome is done, failed or cancelled.
    """

    def __init__(self, counts: bool = False):
        self._counts = _Counts() if counts else None

    @property
    def counts(self) -> bool:
        return self._counts is not None

    def watch(self, status: Callable[[], Mapping[str, Any]]) -> None:
        """Take how many run and wait from `status` whenever somebody looks."""
        if self._counts is not None:
            self._counts.running.set_function(lambda: status()["running"])
            self._counts.waiting.set_function(lambda: status()["waiting"])

    def follow(self, kind: str, preset: str, make: Callable[[], MadeT]) -> MadeT:
        """What `make` gives; what became of it is told."""
        begun, outcome, info = time.monotonic(), "failed", None
        try:
            made = make()
            outcome, info = "done", made.info
            return made
        except Cancelled:
            outcome = "cancelled"
            raise
        finally:
            self.ended(kind, preset, time.monotonic() - begun, outcome, info)

    def ended(
        self, kind: str, preset: str, seconds: float, outcome: str, info: Mapping[str, Any] | None = None
    ) -> None:
        """Tell what became of a picture: one line, for a preview only where somebody looks for faults."""
        task = (info or {}).get("task_id") or "-"
        size = "{width}x{height}".format_map(info["input"]) if info else "-"
        level = logging.DEBUG if kind == "preview" else logging.INFO
        log.log(level, "%s id=%s size=%s preset=%s seconds=%.1f outcome=%s", kind, task, size, preset, seconds, outcome)
        if self._counts is not None:
            self._counts.ended(kind, preset, outcome, info)

    def refused(self, error: Exception) -> None:
        """Count why somebody did not get what they asked for; who stops a run themselves is not refused."""
        if self._counts is not None and not isinstance(error, Cancelled):
            key = error.key if isinstance(error, EnhanceError) else "unexpected"
            self._counts.refused.labels(key if key in catalogue() else "unexpected").inc()

    def show(self, request: Request) -> Response:
        """The counts as they stand, in Prometheus' text format."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        assert self._counts is not None
        return Response(generate_latest(self._counts.registry), media_type=CONTENT_TYPE_LATEST)


class _Counts:
    """What is counted, in a registry of its own: several apps in one process do not count together."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = registry = CollectorRegistry()
        self._pictures = Counter(
            "enhance_pictures",
            "Runs (task), files of batches (file) and previews, by what became of them",
            ("kind", "preset", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "enhance_stage_seconds",
            "Seconds that a picture spent in each stage, for those that were computed",
            ("kind", "stage"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.refused = Counter(
            "enhance_refusals",
            "What was not done, by the key of the sentence that says why",
            ("reason",),
            registry=registry,
        )
        self.running = Gauge("enhance_running", "Runs that have the device", registry=registry)
        self.waiting = Gauge("enhance_waiting", "Runs and batches that wait for it", registry=registry)
        memory = Gauge("process_resident_memory_bytes", "Memory of the server's process", registry=registry)
        memory.set_function(lambda: psutil.Process().memory_info().rss)

    def ended(self, kind: str, preset: str, outcome: str, info: Mapping[str, Any] | None) -> None:
        known = preset in PRESETS or kind == "comparison"  # all presets together; one's own models count as one
        self._pictures.labels(kind, preset if known else "own", outcome).inc()
        if info is None or info["cached"]:
            return  # a stored result has the seconds of the run that made it, which was counted then
        for stage in _STAGES:
            if stage in info["seconds"]:
                self._seconds.labels(kind, stage).observe(info["seconds"][stage])


def quiet_logs() -> None:
    """One line for what matters; no line for every request of the libraries, and no name of a visitor's file."""
    hide_messages()
    log_printed_exceptions()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in _TALKERS:
        logging.getLogger(name).setLevel(logging.WARNING)


async def healthz(request: Request) -> JSONResponse:
    """That the server is alive, whether the page is ready, and which version it is."""
    gradio = request.scope.get("app")
    ready = bool(getattr(getattr(gradio, "blocks", None), "is_running", False))
    return JSONResponse({"alive": True, "ready": ready, "version": version()})


def asked_from_here(scope: Scope) -> bool:
    """Whether a program of this machine asks by itself, and no proxy on it for somebody else."""
    if any(name.lower() in _HANDED_ON for name, _ in scope["headers"]):
        return False
    try:
        address = ip_address(str((scope.get("client") or [""])[0]))
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def keep_swept(*jobs: Callable[[], None], seconds: float = _SWEEP_SECONDS) -> threading.Thread:
    """Do these one after the other every so many seconds, in the one thread that tidies up; also when nobody comes."""

    def sweep() -> None:
        while True:
            time.sleep(seconds)
            for job in jobs:
                try:
                    job()
                except Exception:
                    log.exception("Tidying up failed")

    thread = threading.Thread(target=sweep, name="enhance-sweeper", daemon=True)
    thread.start()
    return thread


def at_most_every(seconds: float, job: Callable[[], object]) -> Callable[[], None]:
    """`job`, done again only after so many seconds."""
    done = time.monotonic()

    def now_and_then() -> None:
        nonlocal done
        if time.monotonic() - done >= seconds:
            done = time.monotonic()
            job()

    return now_and_then
