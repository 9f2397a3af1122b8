"""The page: `python app.py` serves it at port 7860, as `python -m enhance app` does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from enhance.cli import program

if TYPE_CHECKING:
    import gradio as gr

    from enhance.enhancer import Enhancer


def build_demo(enhancer: Enhancer | None = None) -> gr.Blocks:
    """The page and its endpoints, ready for `launch(**launch_options(...))`."""
    from enhance.config import read_config
    from enhance.enhancer import Enhancer
    from enhance.web.build import (
        build,
    )  # Gradio writes to its folder when it is imported: that is checked before

    config = read_config()
    return build(enhancer or Enhancer(data=config.server_data, config=config))


def main() -> None:
    """Serve the page until it is stopped; takes the arguments of `python -m enhance app`."""
    program(["app", *sys.argv[1:]])


if __name__ == "__main__":
    main()
