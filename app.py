"""The page: `python app.py` serves it at port 7860."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from enhance.config import read_config, terminal_language
from enhance.enhancer import Enhancer
from enhance.errors import EnhanceError, StorageError

if TYPE_CHECKING:
    import gradio as gr

    from enhance.web.metrics import Metrics


def build_demo(enhancer: Enhancer | None = None, metrics: Metrics | None = None) -> gr.Blocks:
    """The page and its endpoints, ready for `launch(**launch_options(...))` with the same `metrics`."""
    from enhance.web.build import build  # Gradio writes to its folder when it is imported: that is checked before

    return build(enhancer or Enhancer(), metrics)


def main() -> None:
    """Serve the page until it is stopped."""
    try:
        enhancer = Enhancer(config=read_config())
        enhancer.tasks.check()
        enhancer.tasks.clean()
        _serve(enhancer)
    except EnhanceError as error:
        sys.exit(f"enhance: {error.sentence(terminal_language())}")


def _serve(enhancer: Enhancer) -> None:
    from enhance.web.metrics import Metrics
    from enhance.web.serving import launch_options, quiet_logs, warm_up

    quiet_logs()
    config, metrics = enhancer.config, Metrics(enhancer.config.metrics)
    demo = build_demo(enhancer, metrics)
    try:
        demo.launch(**launch_options(config, metrics), prevent_thread_lock=True)
    except OSError as error:
        address = f"{config.host or '127.0.0.1'}:{config.port}"
        raise StorageError("not_served", address=address, reason=str(error).splitlines()[0]) from error
    warm_up(enhancer)
    demo.block_thread()


if __name__ == "__main__":
    main()
