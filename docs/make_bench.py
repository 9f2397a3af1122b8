"""Measures the engine on this machine and writes it down: figures in .bench/bench.json, a drawing in .bench/bench.svg.

`make bench`, on a machine that does nothing else; with `--docs` they go into docs/ and README's block. Beside what
`python -m enhance bench` measures: the share of the matrix product by width, the time and the memory of larger
pictures, and what more threads would make of the strips, by the cost of a call that was measured here.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from docs.measure_start import lines as start_lines
from docs.measure_start import starts
from enhance.bench import TILE, matrix_peak, measure, table
from enhance.engine.device import PRECISIONS
from enhance.engine.engine import Engine
from enhance.engine.steps import Steps, Threads, strip_rows
from enhance.engine.stream import Stream
from enhance.info import PeakMemory
from enhance.models import graph_of
from enhance.models.graphs import Conv, Graph
from enhance.models.networks import rrdbnet
from enhance.scheduler import SCHEDULER
from enhance.settings import WeightInterpolation

ROOT = Path(__file__).parents[1]
SMALLER, QUICK = "realesrgan-x4plus-anime", "realesr-animevideov3"
"""Networks of the same kind as the usual one, which reach their steady state sooner."""
WIDTHS = (256, 384, 768, 1500, 2000)
MEGAPIXELS = (0.1, 0.5, 1, 2, 4)
HEIGHTS = (500, 1000, 2000, 4000)
CORES = (2, 8, 16, 64)
_STEADY_PIXELS = 60_000
_ASLEEP_SECONDS = 4.0


def shares(precision: str) -> dict[int, float]:
    """The share of the matrix product that the steady state of a run reaches, by the width of the picture.

    The product is measured before and after each, and the better one counts.
    """
    dtype, found = PRECISIONS[precision], dict[int, float]()
    engine = Engine("cpu", precision)
    network = SCHEDULER.call(lambda: engine._load(WeightInterpolation(SMALLER), transposed=False))
    for width in WIDTHS:

        def reach(width: int = width) -> float:
            steps = Steps(Stream(network.graph, 10**6, width, _rows_of(width)), TILE, dtype)
            while not steps.step(network).numel():
                pass
            before, started, rows = matrix_peak(dtype, engine.device), time.perf_counter(), 0
            while rows * width < _STEADY_PIXELS:
                rows += steps.step(network).shape[0] // network.graph.scale
            rate = network.graph.work * rows * width / (time.perf_counter() - started)
            return rate / max(before, matrix_peak(dtype, engine.device))

        found[width] = round(max(SCHEDULER.call(reach) for _ in range(2)), 3)
    return found


def _rows_of(width: int) -> Any:
    return lambda first, last: torch.rand(last - first, width, 3)


def paces(precision: str) -> dict[float, float]:
    """Seconds a megapixel of square pictures, by their megapixels, with the quickest network; the best of two."""
    engine, found = Engine("cpu", precision), dict[float, float]()
    _drain(engine.stream(_grain(16, 16), QUICK))
    for megapixels in MEGAPIXELS:
        picture = _grain(round(1000 * megapixels**0.5), round(1000 * megapixels**0.5))
        found[megapixels] = round(min(_seconds(engine, picture) for _ in range(2)) / (picture.size / 3e6), 2)
    return found


def _seconds(engine: Engine, picture: np.ndarray) -> float:
    started = time.perf_counter()
    _drain(engine.stream(picture, QUICK))
    return time.perf_counter() - started


def peaks() -> dict[int, int]:
    """The most memory in MB of a process that enlarges a picture of 500 pixels by this height; its own pixels count."""
    call = [sys.executable, "-m", "docs.make_bench", "--height"]
    return {
        height: int(subprocess.run([*call, str(height)], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
        for height in HEIGHTS
    }


def _peak_of(height: int) -> int:
    memory = PeakMemory()  # of this process: what the system counts for a child begins with its parent's
    _drain(Engine("cpu").stream(_grain(height, 500), QUICK, progress=lambda *_: memory.look()))
    return round(memory.look())


def _grain(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def _drain(strips: Iterator[np.ndarray]) -> None:
    for _ in strips:
        pass


def more_cores(rate: float) -> dict[str, Any]:
    """How much of their time so many cores would work, were each as quick as one here: `rate` multiply-adds a second.

    Their threads are here, and all that Python does for them; only the convolutions are slept instead of computed.
    """
    return {str(count): SCHEDULER.call(lambda count=count: _share_worked(Threads.of(count), rate)) for count in CORES}


def _share_worked(threads: Threads, rate: float) -> dict[str, float]:
    rows, graph = strip_rows(384, TILE, torch.device("cpu"), threads), rrdbnet(6, features=2, growth=1)
    kernels, true = {place: _Asleep(node) for place, node in _convolutions(graph)}, graph_of(SMALLER)
    stream = Stream(graph, 10**6, 16, _rows_of(16))
    while not stream.step(kernels, rows, strips=threads.strips).numel():
        pass
    costs = true.costs()
    for place, node in _convolutions(true):
        kernels[place].seconds = costs[place] * node.scale * 384 / (rate * threads.cores)
    started, made = time.perf_counter(), 0
    while time.perf_counter() - started < _ASLEEP_SECONDS:
        made += stream.step(kernels, rows, strips=threads.strips).shape[0] // graph.scale
    worked = made * 384 * true.work / rate / (threads.strips * threads.cores)
    return {"strips": threads.strips, "rows": rows, "worked": round(worked / (time.perf_counter() - started), 3)}


def _convolutions(graph: Graph) -> list[tuple[int, Conv]]:
    return [(place, node) for place, node in enumerate(graph.nodes) if isinstance(node, Conv)]


@dataclass
class _Asleep:
    """A convolution that takes its time for each row of its output, and gives nothing of use."""

    node: Conv
    seconds: float = 0.0
    bytes: int = 0
    dtype: torch.dtype = torch.float32

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        made = (len(rows) - 2) * self.node.enlarge
        time.sleep(made * self.seconds)
        return torch.empty(made, rows.shape[1] * self.node.enlarge, self.node.channels)


def machine() -> dict[str, Any]:
    """What was measured, and of what: processor, versions and commit."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "processor": found[1] if found else platform.processor(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
    }


def lines(figures: dict[str, Any]) -> str:
    """The figures as README has them."""
    told = figures["machine"]
    versions = f"PyTorch {told['torch']}, Python {told['python']}, commit {told['commit']}"
    text = [f"{platform.machine()}, {told['processor']}, {versions}", ""]
    text += [table(figures["bench"]), ""]
    for precision, by_width in figures["shares"].items():
        text.append(f"share of peak {precision}, by width        " + _row(by_width, "px", "{:.0%}"))
    text.append("seconds a megapixel, by megapixels   " + _row(figures["paces"], "MP", "{:.2f}"))
    text.append("memory in MB, 500 px wide, by height " + _row(figures["peaks"], "px", "{}"))
    text += ["", *start_lines(figures["starts"]), ""]
    worked = {count: one["worked"] for count, one in figures["cores"].items()}
    text.append("were there more cores, each would work " + _row(worked, "cores", "{:.0%}"))
    return "\n".join(text)


def _row(values: dict[Any, Any], unit: str, form: str) -> str:
    return "  ".join(f"{at} {unit} {form.format(value)}" for at, value in values.items())


def draw(figures: dict[str, Any], path: Path) -> None:
    """Both straight lines: time by size, and memory by height."""
    seconds = [megapixels * pace for megapixels, pace in figures["paces"].items()]
    heights, memory = list(figures["peaks"]), list(figures["peaks"].values())
    style: dict[Any, Any] = {
        "svg.hashsalt": "enhance",
        "font.size": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(style):
        whole = Figure((7, 2.3), layout="constrained")
        time_axis, memory_axis = whole.subplots(1, 2)
        for axis, at, values, across, up in (
            (time_axis, list(figures["paces"]), seconds, "megapixels", "seconds"),
            (memory_axis, heights, memory, "height in pixels, 500 wide", "MB at most"),
        ):
            axis.plot(at, values, "o-", color="#2a7f62", markersize=3)
            axis.set(xlabel=across, ylabel=up, xlim=(0, None), ylim=(0, 1.15 * max(values)))
        whole.savefig(path, metadata={"Date": None}, facecolor="white")


def main() -> None:
    if "--height" in sys.argv:
        sys.stdout.write(f"{_peak_of(int(sys.argv[-1]))}\n")
        return
    bench = measure("cpu")
    precisions = list(bench["engine"])
    fastest = precisions[-1]
    rate = bench["engine"][fastest]["share_of_peak"] * bench["peak"][fastest] * 1e9
    figures = {
        "machine": machine(),
        "bench": bench,
        "shares": {precision: shares(precision) for precision in precisions},
        "paces": paces(fastest),
        "peaks": peaks(),
        "starts": starts(),
        "cores": more_cores(rate / SCHEDULER.call(torch.get_num_threads)),
    }
    sys.stdout.write(f"{lines(figures)}\n")
    record(figures, ROOT / ("docs" if "--docs" in sys.argv else ".bench"))


def record(figures: dict[str, Any], folder: Path) -> None:
    """Write the figures and the drawing into `folder`; where that is docs/, into both READMEs too."""
    folder.mkdir(exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    draw(figures, folder / "bench.svg")
    if folder.name == "docs":
        block = f"<!-- bench -->\n```\n{lines(figures)}\n```\n<!-- /bench -->"
        for readme in (ROOT / "README.md", ROOT / "README.zh-CN.md"):
            text = readme.read_text("utf-8")
            text = re.sub(r"<!-- bench -->.*?<!-- /bench -->", lambda _: block, text, flags=re.DOTALL)
            readme.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
