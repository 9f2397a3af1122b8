"""The page and the endpoints: the only part of the product that knows Gradio.

`build` puts all together and `serving` says how it is launched. `layout` says which cards there are; `upload`,
`controls`, `compare`, `run` and `batch` have the handlers of one card each, `api` the endpoints. They share `state`,
all that is held for each open page, `history`, what is kept of it on the disk, `preview`, the previews of all visitors,
`views`, what several of them show, and `metrics`, what is told of all this to who runs the server.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from ..errors import StorageError

if TYPE_CHECKING:
    from ..enhancer import Enhancer

_END_SECONDS = 3.0
"""How long the runs on their way have to let go of their files at the end."""


def serve(enhancer: Enhancer) -> None:
    """Serve the page until an exception such as KeyboardInterrupt ends it; then what runs is stopped first.

    Raises StorageError where the address cannot be had.
    """
    from .build import build  # Gradio writes to its folder when it is imported: that is checked before
    from .line import stop_all
    from .metrics import Metrics
    from .serving import launch_options, quiet_logs, warm_up

    quiet_logs()
    config, metrics = enhancer.config, Metrics(enhancer.config.metrics)
    demo = build(enhancer, metrics)
    try:
        try:
            demo.launch(**launch_options(config, metrics), prevent_thread_lock=True)
        except OSError as error:
            address = f"{config.host or '127.0.0.1'}:{config.port}"
            raise StorageError("not_served", address=address, reason=str(error).splitlines()[0]) from error
        warm_up(enhancer)
        threading.Event().wait()
    finally:
        stop_all(_END_SECONDS)
        demo.close(verbose=False)
        logging.disable()  # what is cut off from here on is no news
