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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from enhance.bench import MODEL, TILE, matrix_peak, measure, table
from enhance.inference import known_graph
from enhance.inference.engine import PRECISIONS, Engine
from enhance.inference.kernels import RowNetwork
from enhance.inference.rows import Steps, Stream, Threads, strip_rows
from enhance.inference.turns import DEVICE_THREAD
from enhance.info import PeakMemory
from enhance.settings import Recipe
from weights.networks import rrdbnet

ROOT = Path(__file__).parents[1]
SMALLER, QUICK = "realesrgan-x4plus-anime", "realesr-animevideov3"
"""Networks of the same kind as the usual one, which reach their steady state sooner."""
WIDTHS = (256, 384, 768, 1500, 2000)
MEGAPIXELS = (0.1, 0.5, 1, 2, 4)
HEIGHTS = (500, 1000, 2000, 4000)
THREADS = (2, 8, 16, 64)
_STEPS = 3


def shares(precision: str) -> dict[int, float]:
    """The share of the matrix product that the steady state of a run reaches, by the width of the picture.

    The product is measured before and after each, and the better one counts.
    """
    dtype, found = PRECISIONS[precision], dict[int, float]()
    engine = Engine("cpu", precision)
    network = DEVICE_THREAD.do(lambda: engine._load(Recipe(SMALLER), transposed=False))
    for width in WIDTHS:

        def reach(width: int = width) -> float:
            steps = Steps(Stream(network.graph, 10**6, width, _rows_of(width)), TILE, dtype)
            while not steps.step(network).numel():
                pass
            before, started = matrix_peak(dtype, engine.device), time.perf_counter()
            for _ in range(_STEPS):
                steps.step(network)
            rate = network.graph.work * _STEPS * steps.rows * width / (time.perf_counter() - started)
            return rate / max(before, matrix_peak(dtype, engine.device))

        found[width] = round(max(DEVICE_THREAD.do(reach) for _ in range(2)), 3)
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


def strips_by_threads(rate: float) -> dict[str, Any]:
    """What calls cost by themselves with more threads, were each as quick as one here (`rate` multiply-adds a second).

    The cost of a node is that of a network whose convolutions are too small to take time.
    """
    hollow = rrdbnet(6, features=2, growth=1)
    weights = {name: torch.zeros(shape) for name, shape in hollow.shapes().items()}
    network = RowNetwork(Recipe("hollow"), False, hollow, weights, {})

    def step() -> float:
        steps = Steps(Stream(hollow, 10**6, 16, _rows_of(16)), 64, torch.float32)
        steps.rows = 8
        while not steps.step(network).numel():
            pass
        started = time.perf_counter()
        for _ in range(20):
            steps.step(network)
        return (time.perf_counter() - started) / 20

    node = DEVICE_THREAD.do(step) / len(hollow.nodes)
    graph, found = known_graph(MODEL), dict[str, Any]()
    for count in THREADS:
        for tile in (192, 1024):
            pixels = 384 * strip_rows(384, tile, torch.device("cpu"), Threads(count))
            work = graph.work * pixels / (rate * count) / len(graph.nodes)
            found[f"{count} threads, tile {tile}"] = {"pixels": pixels, "bookkeeping": round(node / (node + work), 3)}
    return {"microseconds_a_node": round(1e6 * node, 1), "strips": found}


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
    told, threads = figures["machine"], figures["threads"]
    versions = f"PyTorch {told['torch']}, Python {told['python']}, commit {told['commit']}"
    text = [f"{platform.machine()}, {told['processor']}, {versions}", ""]
    text += [table(figures["bench"]), ""]
    for precision, by_width in figures["shares"].items():
        text.append(f"share of peak {precision}, by width        " + _row(by_width, "px", "{:.0%}"))
    text.append("seconds a megapixel, by megapixels   " + _row(figures["paces"], "MP", "{:.2f}"))
    text.append("memory in MB, 500 px wide, by height " + _row(figures["peaks"], "px", "{}"))
    text += [
        "",
        f"were there more threads: a node of the network costs {threads['microseconds_a_node']} µs by itself, so",
    ]
    for name, one in threads["strips"].items():
        text.append(f"{name:<24} strips of {one['pixels']:>7,} px, {one['bookkeeping']:.0%} of the time")
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
        "threads": strips_by_threads(rate / DEVICE_THREAD.do(torch.get_num_threads)),
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
