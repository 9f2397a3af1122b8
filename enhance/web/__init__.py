"""The page and the API. No other part imports Gradio.

`build` creates the app. `layout` has the components, `upload`, `controls`, `compare`, `run`, `batch` and `history` have
the handlers, and `api` has the endpoints. `session` keeps what each open page needs, `storage` its files, `processing`
the kinds of jobs and `views` the updates that handlers share. `security` and `connections` protect the server, and
`gradio_changes` has every use of Gradio's private parts.

A ZeroGPU Space provides a GPU for one call at a time, in another process. `lent_steps` is this call,
made once for each run of a network.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Generator
from contextlib import closing
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from ..errors import EnhanceError, StorageError
from ..presets import available_presets
from ..scheduler import SCHEDULER, Ticket
from ..settings import AUTO, Settings

if TYPE_CHECKING:
    from ..engine.engine import Engine, Lend, LentStep, Loan
    from ..enhancer import Enhancer

log = logging.getLogger(__name__)

_END_SECONDS = 3.0
"""How long running jobs have to close their files when the server ends."""
_STREAM_SECONDS = 1
"""How long the server then waits for open streams."""

_LENT_FOR = 10, 1.5, 120
"""Seconds to start and to load the model, a factor for the estimated time of the run, and the maximum in seconds."""


def lent_seconds(loan: Loan) -> int:
    """Return for how many seconds the GPU is requested. Shorter requests are served sooner."""
    start, factor, maximum = _LENT_FOR
    return min(maximum, math.ceil(start + factor * loan.seconds))


def lent_steps(loan: Loan) -> Generator[LentStep | EnhanceError, None, None]:
    """Run a network in the process that has the GPU. Arguments and results can be pickled."""
    from ..engine.engine import LentStep

    started, reported = time.perf_counter(), (0, 0, None)

    def progress(*now: Any) -> None:
        nonlocal reported
        reported = now

    try:
        engine, ticket = (
            _engine_that_is_lent(loan.precision),
            Ticket("preview"),
        )  # Queued by the other process.
        strips = engine.stream(loan.rgb, loan.recipe, tile=loan.tile, progress=progress, ticket=ticket)
        with closing(strips):
            for strip in strips:
                yield LentStep(strip, reported, time.perf_counter() - started)
    except EnhanceError as error:
        yield error  # If it was raised here, it would become an error of `spaces`.


@cache
def _engine_that_is_lent(precision: str) -> Engine:
    from ..engine.engine import Engine

    return Engine(precision=precision)


def _lender() -> Lend:
    """Return the function that runs `lent_steps` on the GPU of a ZeroGPU Space. Call it before PyTorch is used."""
    import spaces  # Only installed on such a Space.

    return spaces.GPU(duration=lent_seconds)(lent_steps)


def warm_up(enhancer: Enhancer) -> None:
    """Load PyTorch and time the networks on the device's thread, while the page is already served."""

    def load(preset: str) -> None:
        try:
            enhancer.estimate(512, 512, Settings(preset))
        except Exception as error:  # The first run reports it to the user.
            log.warning("The engine is not ready: %s", str(error))  # The message contains nothing of a user.

    SCHEDULER.submit(partial(load, AUTO))
    for preset in available_presets():  # Else the first photo would wait for their times.
        SCHEDULER.submit(partial(load, preset), Ticket("background"))


def stop_all(seconds: float) -> None:
    """Cancel all jobs, and wait at most `seconds` until they have ended."""
    from .jobs import JOBS

    jobs = list(JOBS)
    for job in jobs:
        job.close()
    end = time.monotonic() + seconds
    for job in jobs:
        job.wait(max(0.0, end - time.monotonic()))


def serve_agents(enhancer: Enhancer) -> None:
    """Serve agents over standard input and output until its end. Raises EnhanceError if the package mcp is missing."""
    from .agents import serve_stdio

    serve_stdio(enhancer)


def serve(enhancer: Enhancer, *, share: bool = False) -> None:
    """Serve the page until an exception such as KeyboardInterrupt, and cancel all jobs then.

    With `share`, also serve it at a public address of Gradio. Raises StorageError if the address cannot be used.
    """
    if enhancer.config.zero_gpu:
        enhancer.lend = _lender()
    from .build import build, launch_options  # Importing Gradio writes to its folder, which must have been checked.
    from .connections import limit_connections
    from .gradio_changes import limit_shutdown
    from .metrics import Metrics, quiet_logs

    config, metrics = enhancer.config, Metrics(enhancer.config.metrics)
    quiet_logs(as_json=config.json_log)
    demo = build(enhancer, metrics)
    limit_connections(metrics)
    try:
        try:
            demo.launch(**launch_options(config, metrics, enhancer.tasks), share=share, prevent_thread_lock=True)
        except OSError as error:
            address = f"{config.host or '127.0.0.1'}:{config.port}"
            raise StorageError("not_served", address=address, reason=str(error).splitlines()[0]) from error
        warm_up(enhancer)
        threading.Event().wait()
    finally:
        stop_all(_END_SECONDS)
        logging.disable()  # Interrupted requests would log errors from here on.
        limit_shutdown(demo, _STREAM_SECONDS)
        demo.close(verbose=False)
