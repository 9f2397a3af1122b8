"""The page: `python app.py` serves it at port 7860."""

from __future__ import annotations

import sys

import gradio as gr

from enhance.config import read_config
from enhance.enhancer import Enhancer
from enhance.errors import EnhanceError
from enhance.web.build import build
from enhance.web.serving import launch_options, quiet_logs, warm_up


def build_demo(enhancer: Enhancer | None = None) -> gr.Blocks:
    """The page and its endpoints, ready for `launch(**launch_options(...))`."""
    return build(enhancer or Enhancer(), read_config())


def main() -> None:
    """Serve the page until it is stopped."""
    quiet_logs()
    try:
        enhancer = Enhancer()
        enhancer.tasks.check()
        enhancer.tasks.clean()
        demo = build_demo(enhancer)
        options = launch_options(read_config())
    except EnhanceError as error:
        sys.exit(f"enhance: {error}")
    demo.launch(**options, prevent_thread_lock=True)
    warm_up(enhancer)
    demo.block_thread()


if __name__ == "__main__":
    main()
