"""The served app for the tests of the page and of the API."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Enhancer
from enhance.comparison import Cell
from enhance.config import Config
from enhance.jobs.scheduler import Job
from enhance.pipeline import RunOptions

SETTINGS = {
    "preset": "auto",
    "scale": None,
    "tuning": True,
    "strength": None,
    "denoise": None,
    "sharpen": None,
    "saturation": None,
    "contrast": None,
    "tile": 192,
    "fidelity": None,
    "reduce": None,
    "long_side": None,
    "megapixels": None,
    "format": "png",
    "quality": 92,
    "metadata": "keep",
}
"""The settings of /enhance, /preview and /batch in their order, with their defaults."""
ADDED_SETTINGS = {
    "print_width": None,
    "print_height": None,
    "dpi": None,
    "label": True,
    "background": "white",
}
"""The settings after those, which earlier clients do not send."""

LOGIN = {"username": "ada", "password": "secret"}


class WatchedEnhancer(Enhancer):
    """The real enhancer. It counts its calls, and a test can pause them or make them fail."""

    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        self.calls = Counter()
        self.names = []
        """File names of the runs, in the order in which they began."""
        self.pauses = {}
        self._errors = {}

    @contextmanager
    def paused(self, point, of=""):
        """Pause calls for files with `of` in their path until the block ends or the call is
        stopped.

        `point` is "run" or "preview" for the start of a call, "progress" for a third of a run,
        and "adjust" for the change of a preview by sliders.
        """
        self.pauses[point] = of
        try:
            yield
        finally:
            del self.pauses[point]

    @contextmanager
    def failing(self, call, error):
        """Let every call, such as `run`, raise this error, or each "cell" of a comparison with
        `anime-fast` have it."""
        self._errors[call] = error
        try:
            yield
        finally:
            del self._errors[call]

    def preview_region(self, image, plan, box, job):
        self._begin("preview", image, job.stop)
        return super().preview_region(image, plan, box, job)

    def adjust(self, preview, plan):
        self.calls["adjust"] += 1
        self._wait("adjust", "", None)
        return super().adjust(preview, plan)

    def compare_region(self, image, box, job, settings=None, progress=None):
        def checked(cell):
            error = self._errors.get("cell")
            if error and cell.settings.preset == "anime-fast":
                return Cell(cell.settings, error=error)
            return cell

        self._begin("compare", image, job.stop)
        comparison = super().compare_region(image, box, job, settings, progress)
        return replace(comparison, cells=tuple(map(checked, comparison.cells)))

    def run(self, source, *given, progress=None, stop=None, options=None, **named):
        options = options or RunOptions()
        job = options.job or Job(stop=stop or threading.Event())

        def report(done, total, left):
            if progress is not None:
                progress(done, total, left)
            if 3 * done >= total:
                self._wait("progress", source, job.stop)

        self._begin("run", source, job.stop)
        self.names.append(Path(source).name)
        options = replace(options, job=job)
        return super().run(source, *given, progress=report, options=options, **named)

    def _begin(self, call, source, stop):
        self.calls[call] += 1
        self._wait(call, source, stop)
        if error := self._errors.get(call):
            raise error

    def _wait(self, point, source, stop):
        while self.pauses.get(point, "\0") in str(source) and not (stop and stop.is_set()):
            time.sleep(0.02)


@dataclass
class Site:
    """A running app: its URL, its enhancer, a folder for the tests' own files, and the folder of
    the page."""

    url: str
    enhancer: WatchedEnhancer
    files: Path
    page: Path

    def photo(self, name, height, width):
        """Write a part of a real photo as a PNG file called `name`."""
        path = self.files / name
        Image.fromarray(photo(height, width)).resize((width, height)).save(path)
        return path

    def text(self, name):
        """Write a file that is not an image."""
        path = self.files / name
        path.write_text("This is not an image.")
        return path


def photo(height, width):
    """Return a part of a real photo, uint8 [height, width, 3]."""
    return np.ascontiguousarray(data.astronaut()[60 : 60 + height, 150 : 150 + width])


def wait_until(condition, seconds=120):
    """Wait for a condition; fail if it does not become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.02)


def is_ready(url):
    """Return whether a server at this address has started."""
    try:
        # Loading the certificates would take long.
        return httpx.get(f"{url}healthz", verify=False).json()["ready"]
    except (httpx.HTTPError, OSError, ValueError):
        return False


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def served(enhancer, *, port=None, agents=True, **options):
    """Serve the app in this process and yield its URL. `options` replace those of the launch."""
    from app import build_demo
    from enhance.web import streams
    from enhance.web.build import launch_options

    has_agents = agents and bool(importlib.util.find_spec("mcp"))
    enhancer.config = replace(enhancer.config, agents=has_agents)
    with pytest.MonkeyPatch.context() as changed:
        # Another app of the tests can be running, with the same folder.
        changed.setenv("GRADIO_TEMP_DIR", "")
        # The clients of the tests can need seconds on a busy machine to open their streams.
        changed.setattr(streams, "UNREAD_SECONDS", 20.0)
        demo = build_demo(enhancer)
        # A port of our own: Gradio's search for one leaves a thread with an error for each port in
        # use.
        options = {
            "server_port": port or free_port(),
            "quiet": True,
            "prevent_thread_lock": True,
            **options,
        }
        _, url, _ = demo.launch(**launch_options(demo) | options)
        try:
            yield url
        finally:
            demo.close(verbose=False)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The app with its own data and only with weights from Python packages: the preset `fast` is
    unavailable."""
    from enhance import models

    folder = tmp_path_factory.mktemp("site")
    page = folder / "page"
    weights = folder / "weights"
    for path in (folder / "files", weights):
        path.mkdir()
    for path in models.folder().glob("span-x4.*"):  # pip would download it again
        shutil.copy2(path, weights)
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("ENHANCE_WEIGHTS", str(weights))
        for name in ("realesrgan-x4plus", "realesr-animevideov3"):
            models.ensure(name)
        config = Config(data=folder / "data", page_folder=page, metrics=True)
        enhancer = WatchedEnhancer("cpu", config=config)
        with served(enhancer) as url:
            yield Site(url, enhancer, folder / "files", page / "enhance-page")


@contextmanager
def guarded_site(folder, *keys, login=True):
    """Serve an app with metrics, with these API keys and with a login."""
    auth = (LOGIN["username"], LOGIN["password"]) if login else None
    config = Config(
        folder / "data", page_folder=folder / "page", auth=auth, api_keys=keys, metrics=True
    )
    enhancer = WatchedEnhancer("cpu", config=config)
    with served(enhancer) as url:
        yield Site(url, enhancer, folder, folder / "page" / "enhance-page")


@contextmanager
def busy_device(scheduler, jobs=1):
    """Occupy the device, and the next positions of the queue, until the end of the block.

    The jobs of earlier tests must have ended, which can take a moment after their clients have.
    """
    wait_until(lambda: not scheduler.count())
    with ExitStack() as stack:
        for ahead in range(jobs):
            stack.enter_context(scheduler.queue_job(Job(caller=f"other {ahead}"), ahead))
        yield
