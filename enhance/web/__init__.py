"""The page and the API. No other part imports Gradio.

`build` creates the app. `page` has the page, whose state is in the browser, and `api` has the
endpoints that it and all other clients call. `plan` and `preview` have the answers before a run,
`run_jobs` the runs and batches, `streams` their progress, `recent` the list of results, and
`regions` the images that the page shows. `storage` has the files, `security` and `connections`
protect the server, and `gradio_changes` has every use of Gradio's private parts.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from ..config import log_unknown_variables
from ..errors import StorageError, optional_packages
from ..logs import quiet_logs

if TYPE_CHECKING:
    from ..enhancer import Enhancer

log = logging.getLogger(__name__)

_END_SECONDS = 3.0
"""How long running jobs have to close their files when the server ends."""
_STREAM_SECONDS = 1
"""How long the server waits for open streams after that."""


def serve_agents(enhancer: Enhancer) -> None:
    """Serve agents over standard input and output until the input ends. Raises SettingsError
    without mcp."""
    with optional_packages("app"):
        from .agents import serve_stdio

    serve_stdio(enhancer)


def serve(enhancer: Enhancer, *, share: bool = False) -> None:
    """Serve the page until an exception such as KeyboardInterrupt, and cancel all jobs then.

    With `share`, also serve it at a public address of Gradio. Raises StorageError if the address
    cannot be used, and SettingsError if the packages of the page are not installed.
    """
    with optional_packages("app"):
        from .build import (
            build,
            launch_options,
        )  # Importing Gradio writes to its folder, which must have been checked.
        from .connections import limit_connections
        from .gradio_changes import limit_shutdown
        from .services import SERVICES

    config = enhancer.config
    quiet_logs(as_json=config.json_log)
    log_unknown_variables(os.environ)  # At the first warning, the log was not set up yet.
    demo = build(enhancer)
    limit_connections()
    try:
        try:
            demo.launch(**launch_options(demo), share=share, prevent_thread_lock=True)
        except OSError as error:
            address = f"{config.host or '127.0.0.1'}:{config.port}"
            raise StorageError(
                "not_served", address=address, reason=str(error).splitlines()[0]
            ) from error
        if config.json_log:
            log.info("Serving the page at %s", demo.share_url or demo.local_url)
        enhancer.warm_up()
        threading.Event().wait()
    finally:
        SERVICES[demo].threads.stop(_END_SECONDS)
        logging.disable()  # Interrupted requests would log errors from here on.
        limit_shutdown(demo, _STREAM_SECONDS)
        demo.close(verbose=False)
