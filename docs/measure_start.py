"""Start times compared with other programs: `python -m docs.measure_start`. `make bench` includes
them.

- the start of the page, compared with an empty Gradio page
- the start and the first preview, compared with a process that upscales the same area by
  RealESRGANer
- loading another model, compared with constructing a RealESRGANer
- a preview on a running page, compared with the network alone on the same area
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from gradio_client import Client, handle_file
from PIL import Image

from docs.measure_engine import MODEL, TILE
from docs.measure_peers import import_reference
from enhance import models
from enhance.engine.device import PRECISIONS
from enhance.engine.device_thread import DEVICE_THREAD
from enhance.engine.engine import Engine
from enhance.engine.steps import RowNetwork
from enhance.preview import MARGIN
from enhance.settings import WeightInterpolation

ROOT = Path(__file__).parents[1]
OTHER = "realesrgan-x4plus-anime"
_PRESET, _SQUARE, _SIDE = "original", 128, 512
_TIMES = 3
_PATIENCE = 120.0
_BARE = (
    "import gradio; page = gradio.Blocks(); page.__enter__(); gradio.Image(); "
    "page.__exit__(); page.launch()"
)


def starts() -> dict[str, float | None]:
    """Measure all times in seconds, by name. A time is None if the package that it needs is not
    installed."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        photo = np.random.default_rng(7).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
        Image.fromarray(photo).save(place / "photo.png")
        found: dict[str, float | None] = {"bare_page": _bare_page(place)}
        found |= _page(place)
        found |= _engine(photo)
        found |= _peers(place)
    return {name: None if seconds is None else round(seconds, 2) for name, seconds in found.items()}


def lines(found: dict[str, float | None]) -> list[str]:
    """Return the times as lines of text, each with the time that it is compared with."""

    def line(label: str, ours: str, compared: str, theirs: str) -> str:
        seconds = found[theirs]
        other = "not measured" if seconds is None else f"{seconds:.2f} s"
        return f"{label:<25} {found[ours]:8.2f} s   {compared}: {other}"

    return [
        line("start of the page", "page", "empty Gradio page", "bare_page"),
        line(
            "start and first preview", "first_preview", "RealESRGANer, the area", "reference_first"
        ),
        line("loading another model", "switch", "constructing RealESRGANer", "reference_made"),
        line("preview on a running page", "warm_preview", "its network alone", "its_network"),
    ]


def _bare_page(folder: Path) -> float:
    with served_app([sys.executable, "-c", _BARE], folder) as (_, started):
        return time.perf_counter() - started


def _page(folder: Path) -> dict[str, float | None]:
    with served_app([sys.executable, "app.py"], folder) as (url, started):
        page = time.perf_counter() - started
        client = Client(url, verbose=False)

        def preview(at: int) -> float:
            asked = time.perf_counter()
            photo = handle_file(folder / "photo.png")
            client.predict(
                image=photo, preset=_PRESET, x=at, y=at, size=_SQUARE, api_name="/preview"
            )
            return time.perf_counter() - asked

        preview(_SIDE // 2)
        first = time.perf_counter() - started
        return {
            "page": page,
            "first_preview": first,
            "warm_preview": min(preview(200 + at) for at in range(_TIMES)),
        }


@contextlib.contextmanager
def served_app(command: list[str], folder: Path) -> Iterator[tuple[str, float]]:
    """Start a server and yield its address and its start time, as soon as it responds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "ENHANCE_DATA": str(folder / "data"),
    }
    environment |= {"GRADIO_ANALYTICS_ENABLED": "False"}
    started, url = time.perf_counter(), f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not _answers(url):
            if server.poll() is not None or time.perf_counter() - started > _PATIENCE:
                raise RuntimeError(f"{command[1]} did not start")
            time.sleep(0.02)
        yield url, started
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _engine(photo: np.ndarray) -> dict[str, float | None]:
    """Measure the network alone on the area of a preview with its margin, and loading another
    model."""
    engine, side = Engine(), _SQUARE + 2 * MARGIN
    square = photo[:side, :side]
    engine.enlarge(photo[:16, :16], MODEL)

    def run() -> float:
        started = time.perf_counter()
        engine.enlarge(square, MODEL)
        return time.perf_counter() - started

    def load() -> None:
        network = RowNetwork.load(WeightInterpolation(OTHER))
        network.kernels_for(engine.device, PRECISIONS[engine.precision()])

    def switch() -> float:
        started = time.perf_counter()
        DEVICE_THREAD.call(load)
        return time.perf_counter() - started

    found: dict[str, float | None] = {
        "its_network": min(run() for _ in range(_TIMES)),
        "switch": min(switch() for _ in range(_TIMES)),
    }
    engine.release()
    return found


def _peers(folder: Path) -> dict[str, float | None]:
    """Measure RealESRGANer in its own process: its construction, and the time from the start to the
    first area."""
    for name, model in (("default", MODEL), ("other", OTHER)):
        torch.save(
            {"params_ema": models.read_state_dict(models.ensure(model))}, folder / f"{name}.pth"
        )
    started = time.perf_counter()
    call = [sys.executable, "-m", "docs.measure_start", "--peer", str(folder)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        return {"reference_first": None, "reference_made": None}
    answer = json.loads(done.stdout.splitlines()[-1])
    return {"reference_first": answer["ended"] - started, "reference_made": answer["made"]}


def _peer(folder: Path) -> dict[str, float]:
    network, upscaler = import_reference()
    photo = np.asarray(Image.open(folder / "photo.png"))
    with contextlib.redirect_stdout(io.StringIO()):
        default = upscaler(
            4,
            str(folder / "default.pth"),
            model=network(3, 3, num_block=23),
            tile=TILE,
            device="cpu",
        )
        default.enhance(photo[:_SQUARE, :_SQUARE, ::-1])
        ended = time.perf_counter()

        def construct() -> float:
            began = time.perf_counter()
            upscaler(
                4,
                str(folder / "other.pth"),
                model=network(3, 3, num_block=6),
                tile=TILE,
                device="cpu",
            )
            return time.perf_counter() - began

        return {"ended": ended, "made": min(construct() for _ in range(_TIMES))}


def main() -> None:
    if "--peer" in sys.argv:
        sys.stdout.write(f"{json.dumps(_peer(Path(sys.argv[-1])))}\n")
        return
    sys.stdout.write("\n".join(lines(starts())) + "\n")


if __name__ == "__main__":
    main()
