"""The app served for real, for the tests of the page and of its API."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Enhancer
from enhance.scheduler import SCHEDULER, Ticket

SETTINGS = {
    "preset": "gentle",
    "scale": None,
    "tuning": True,
    "strength": None,
    "denoise": None,
    "sharpen": None,
    "saturation": None,
    "contrast": None,
    "tile": 192,
    "fidelity": None,
    "reduce": 1,
    "long_side": None,
    "megapixels": None,
    "format": "png",
    "quality": 92,
    "metadata": "keep",
}
"""The settings of /enhance, /preview and /batch in their order, as they stand when a caller leaves them out."""


class CountingEnhancer(Enhancer):
    """The real enhancer, which also counts how often it is asked for something, and can be held in the middle of it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.previews = self.retunes = self.runs = 0
        self._held_file, self._let_go = "", threading.Event()
        self._let_go.set()

    @contextmanager
    def midway(self, of: str = "") -> Iterator[None]:
        """Runs (`of` this file) rest at a third of their way, on any machine, until this is left or they stop."""
        self._held_file = of
        self._let_go.clear()
        try:
            yield
        finally:
            self._let_go.set()

    def preview(self, *given, **named):
        self.previews += 1
        return super().preview(*given, **named)

    def retune(self, *given, **named):
        self.retunes += 1
        return super().retune(*given, **named)

    def run(self, source, *given, progress=None, stop=None, ticket=None, **named):
        self.runs += 1
        ticket = ticket or Ticket(stop=stop or threading.Event())
        held = self._held_file in str(source)

        def told(done: int, total: int, left: float | None) -> None:
            if progress is not None:
                progress(done, total, left)
            while held and 3 * done >= total and not ticket.stop.is_set() and not self._let_go.wait(0.02):
                pass

        return super().run(source, *given, progress=told, ticket=ticket, **named)


@dataclass
class Site:
    """A running app: its address, the enhancer behind it, the tests' own pictures, and the page's folder."""

    url: str
    enhancer: CountingEnhancer
    files: Path
    page: Path

    def photo(self, name: str, height: int, width: int) -> Path:
        """A piece of a real photo as a PNG file called `name`."""
        path = self.files / name
        Image.fromarray(photo(height, width)).resize((width, height)).save(path)
        return path


def beside_the_tests() -> dict[str, Any]:
    """Options of a launch at a free port. Gradio's own search leaves a thread with an error for each port in use."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"server_port": free.getsockname()[1], "quiet": True, "prevent_thread_lock": True}


def photo(height: int, width: int) -> np.ndarray:
    """A piece of a real photo, uint8 [height, width, 3]."""
    return np.ascontiguousarray(data.astronaut()[60 : 60 + height, 150 : 150 + width])


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Iterator[Site]:
    """The app with its own data and its own weights: those of the package, so that the preset fast has none."""
    from app import build_demo
    from enhance import models
    from enhance.config import Config
    from enhance.web.metrics import Metrics
    from enhance.web.serving import launch_options

    folder, shared = tmp_path_factory.mktemp("site"), tmp_path_factory.getbasetemp()
    # one place for every app of a process: it looks them up whenever it is asked for something
    changed = {"ENHANCE_WEIGHTS": str(shared / "site-weights"), "GRADIO_TEMP_DIR": str(shared / "site-page")}
    before = {name: os.environ.get(name) for name in changed}
    os.environ |= changed
    for name in ("realesrgan-x4plus", "realesr-animevideov3"):
        models.ensure(name)
    enhancer, metrics = CountingEnhancer(device="cpu", data=folder / "data"), Metrics(True)
    demo = build_demo(enhancer, metrics)
    options = launch_options(Config(), metrics) | beside_the_tests()
    _, url, _ = demo.launch(**options)
    (folder / "files").mkdir()
    yield Site(url, enhancer, folder / "files", shared / "site-page")
    demo.close()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def guarded_site(folder: Path) -> Iterator[str]:
    """The address of an app with a login, ada and secret, and with counts."""
    from app import build_demo
    from enhance.config import Config
    from enhance.web.metrics import Metrics
    from enhance.web.serving import launch_options

    config = Config(data=folder / "data", page_folder=folder / "page", auth=("ada", "secret"), metrics=True)
    metrics = Metrics(config.metrics)
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("GRADIO_TEMP_DIR", str(config.page_folder))
        demo = build_demo(Enhancer("cpu", config=config), metrics)
        options = launch_options(config, metrics) | beside_the_tests()
        _, url, _ = demo.launch(**options)
        yield url
        demo.close()


@contextmanager
def busy_device(jobs: int = 1) -> Iterator[None]:
    """Other runs have the device, and the place next to it, until the end of the block."""
    with ExitStack() as stack:
        for ahead in range(jobs):
            stack.enter_context(SCHEDULER.place(Ticket(caller=f"other {ahead}"), ahead))
        yield
