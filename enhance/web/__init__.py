"""The page and the API, the only part that imports Gradio.

`build` creates the app and `launch` its launch options. `layout` has the components, `upload`, `controls`, `compare`,
`run`, `batch` and `history` have the handlers, and `api` has the endpoints. `session` keeps what each open page needs,
`storage` its files, `processing` the kinds of jobs and `views` the updates that handlers share. `security` and
`connections` protect the server, and `gradio_changes` has every use of Gradio's private parts.

A ZeroGPU Space lends a GPU to one call at a time, in another process. `lent_steps` is that call, one for each run of a
network.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Generator
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import EnhanceError, StorageError
from ..scheduler import SCHEDULER, Ticket
from ..settings import Settings

if TYPE_CHECKING:
    from ..engine.engine import Engine, Lend, LentStep, Loan
    from ..enhancer import Enhancer

log = logging.getLogger(__name__)

_END_SECONDS = 3.0
"""How long the runs on their way have to let go of their files at the end."""
_GOODBYE_SECONDS = 1
"""How long whoever still listens then is waited for."""

_LENT_FOR = 10, 1.5, 120
"""Seconds to start and to load the model, then so many times what the run is expected to take; and at most."""


def lent_seconds(loan: Loan) -> int:
    """For how long the card is asked for; whoever asks for less is served sooner."""
    start, times, most = _LENT_FOR
    return min(most, math.ceil(start + times * loan.seconds))


def lent_steps(loan: Loan) -> Generator[LentStep | EnhanceError, None, None]:
    """One run of a network where the card is, which may be another process: what comes and goes can be pickled."""
    from ..engine.engine import LentStep

    started, told = time.perf_counter(), (0, 0, None)

    def progress(*now: Any) -> None:
        nonlocal told
        told = now

    try:
        engine, ticket = _engine_that_is_lent(loan.precision), Ticket("preview")  # the process that asks has queued it
        strips = engine.stream(loan.rgb, loan.recipe, tile=loan.tile, progress=progress, ticket=ticket)
        with closing(strips):
            for strip in strips:
                yield LentStep(strip, told, time.perf_counter() - started)
    except EnhanceError as error:
        yield error  # raised, it would arrive as the lender's own


@cache
def _engine_that_is_lent(precision: str) -> Engine:
    from ..engine.engine import Engine

    return Engine(precision=precision)


def _lender() -> Lend:
    """What lends a card for one call on a ZeroGPU Space; to be asked before PyTorch is used."""
    import spaces  # is there on such a Space, and needed on no other

    return spaces.GPU(duration=lent_seconds)(lent_steps)


def warm_up(enhancer: Enhancer) -> None:
    """Load PyTorch and measure the device, on the device's thread, while the page is there already."""

    def load() -> None:
        try:
            enhancer.estimate(512, 512, Settings())
        except Exception as error:  # the first picture tells the visitor
            log.warning("The engine is not ready: %s", str(error))  # no visitor's file is involved

    SCHEDULER.submit(load)


def stop_all(seconds: float) -> None:
    """Stop what goes on in the background, and wait at most so long until it has let go of its files."""
    from .jobs import JOBS

    going = list(JOBS)
    for one in going:
        one.close()
    end = time.monotonic() + seconds
    for one in going:
        one.wait(max(0.0, end - time.monotonic()))


def serve(enhancer: Enhancer, *, share: bool = False) -> None:
    """Serve the page until an exception such as KeyboardInterrupt ends it; then what runs is stopped first.

    With `share` also at a public address of Gradio's, which ends with it. Raises StorageError where the address cannot
    be had.
    """
    if enhancer.config.zero_gpu:
        enhancer.lend = _lender()
    from .build import build  # Gradio writes to its folder when it is imported: that is checked before
    from .connections import limit_connections
    from .gradio_changes import limit_shutdown
    from .launch import launch_options
    from .metrics import Metrics, quiet_logs

    quiet_logs()
    config, metrics = enhancer.config, Metrics(enhancer.config.metrics)
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
        logging.disable()  # what is cut off from here on is no news
        limit_shutdown(demo, _GOODBYE_SECONDS)
        demo.close(verbose=False)
