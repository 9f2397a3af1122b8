"""Benchmark of the engine: `make bench` writes .bench/bench.json.

Run it on an idle machine. With `--docs`, which needs the extra `reference`, the file goes to docs/,
and the table in docs/streaming.md is updated. The printed lines have

- the time, the peak memory and the estimate that the page shows before a run, at each precision
- `peak`, the speed of PyTorch's fastest operation, and the share of it that the engine reaches
- other programs on the same images
- larger images, and RealPLKSR with random weights in phases
- the start of the program
- `simulated load`, the share of time that each core works on a machine with more cores of the same
  speed
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from spandrel.architectures.PLKSR import RealPLKSR

from docs.measure_auto import PROGRAMS, measure_auto
from docs.measure_auto import lines as auto_lines
from docs.measure_engine import TILE, measure, peak_speed, table
from docs.measure_memory import peak_memory
from docs.measure_peers import measure_peers
from docs.measure_peers import table as peer_table
from docs.measure_start import lines as start_lines
from docs.measure_start import starts
from enhance.engine.device import PRECISIONS
from enhance.engine.device_thread import DEVICE_THREAD
from enhance.engine.engine import Engine
from enhance.engine.kernels import ImageRows, prepare
from enhance.engine.phased_stream import PhasedStream
from enhance.engine.steps import RowNetwork, Steps, Threads, strip_rows
from enhance.images import worker
from enhance.models import graph_of
from enhance.models.graphs import Conv, Graph
from enhance.models.networks import plksr
from enhance.models.networks.rrdbnet import rrdbnet
from enhance.models.phases import split
from enhance.settings import WeightInterpolation
from enhance.size import Size
from tests.progress import Progress

ROOT = Path(__file__).parents[1]
SMALLER, QUICK = "realesrgan-x4plus-anime", "realesr-animevideov3"
"""A smaller network of the default's kind and the fastest one, which reach their steady state
sooner."""
WIDTHS = (256, 384, 768, 1500, 2000)
MEGAPIXELS = (0.1, 0.5, 1, 2, 4)
HEIGHTS = (500, 1000, 2000, 4000)
BARRIER_SIDE = 256
CORES = (2, 8, 16, 64)
_STEADY_PIXELS = 60_000
_SIMULATION_SECONDS = 4.0


def shares(precision: str) -> dict[int, float]:
    """Return the share of the peak that a run reaches in its steady state, by image width.

    The peak is measured before and after each run, and the higher one counts.
    """
    dtype, found = PRECISIONS[precision], dict[int, float]()
    network = DEVICE_THREAD.call(lambda: RowNetwork.load(WeightInterpolation(SMALLER)))
    for width in WIDTHS:

        def reach(width: int = width) -> float:
            image = ImageRows(network.graph, Size(width, 10**6), _rows_of(width))
            steps = Steps(PhasedStream(image, dtype), TILE, dtype)
            while not steps.step(network).numel():
                pass
            before = peak_speed(dtype)
            rows = 0
            started = time.perf_counter()
            while rows * width < _STEADY_PIXELS:
                rows += steps.step(network).shape[0] // network.graph.scale
            rate = network.graph.work * rows * width / (time.perf_counter() - started)
            return rate / max(before, peak_speed(dtype))

        found[width] = round(max(DEVICE_THREAD.call(reach) for _ in range(2)), 3)
    return found


def barriers() -> dict[str, Any]:
    """Return the time of RealPLKSR in phases and of spandrel's network on the whole image, and the
    size of its maps.

    The weights are random. The feature maps are in files.
    """
    torch.manual_seed(7)
    network, dtype = RealPLKSR().eval(), torch.float32
    graph, state = plksr.convert(network)
    loaded = RowNetwork(WeightInterpolation("random"), graph, dict(state))
    image, folder = torch.rand(BARRIER_SIDE, BARRIER_SIDE, 3), Path(gettempdir())
    _, slots = split(graph)

    def stream() -> None:
        size = Size.of_shape(image.shape)
        rows = ImageRows(graph, size, lambda first, last: image[first:last])
        stream = PhasedStream(rows, dtype, folder=folder)
        steps = Steps(stream, TILE, dtype)
        while not stream.finished:
            steps.step(loaded)

    def untiled() -> None:
        with torch.inference_mode():
            network(image.permute(2, 0, 1)[None])

    with patch.object(worker, "PIXELS_IN_MEMORY", 0):
        times = [
            [DEVICE_THREAD.call(lambda work=work: _duration(work)) for work in (stream, untiled)]
            for _ in range(3)
        ]
    streamed, whole = (min(several) for several in zip(*times, strict=True))
    stored = sum(slot.bytes(1000, 1000, dtype.itemsize) for slot in slots)
    return {
        "streamed": round(streamed, 3),
        "untiled": round(whole, 3),
        "stored_bytes_per_megapixel": stored,
    }


def _duration(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _rows_of(width: int) -> Any:
    return lambda first, last: torch.rand(last - first, width, 3)


def paces(precision: str) -> dict[float, float]:
    """Return the seconds per megapixel of square images with the fastest network, by megapixels;
    the best of two."""
    engine, found = Engine("cpu", precision), dict[float, float]()
    _drain(engine.stream(_noise(16, 16), QUICK))
    for megapixels in MEGAPIXELS:
        image = _noise(round(1000 * megapixels**0.5), round(1000 * megapixels**0.5))
        found[megapixels] = round(
            min(_seconds(engine, image) for _ in range(2)) / (image.size / 3e6), 2
        )
    return found


def _seconds(engine: Engine, image: np.ndarray) -> float:
    started = time.perf_counter()
    _drain(engine.stream(image, QUICK))
    return time.perf_counter() - started


def peaks() -> dict[int, int]:
    """Return the peak memory in MB of a process that upscales an image 500 px wide, by height."""
    return {height: peak_memory(QUICK, "auto", 500, height) for height in HEIGHTS}


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def _drain(strips: Iterator[np.ndarray]) -> None:
    for _ in strips:
        pass


def simulate_cores(rate: float) -> dict[str, Any]:
    """Simulate machines with more cores of `rate` multiply-adds per second, and return the share of
    time each works.

    The threads and the Python code are real. Only the convolutions sleep instead of computing.
    """
    return {
        str(count): DEVICE_THREAD.call(
            lambda count=count: _share_worked(Threads.for_cores(count), rate)
        )
        for count in CORES
    }


def _share_worked(threads: Threads, rate: float) -> dict[str, float]:
    rows, graph = (
        strip_rows(384, TILE, torch.device("cpu"), threads),
        rrdbnet(6, features=2, growth=1),
    )
    sleeping = {place: _SleepingConvolution(node) for place, node in _convolutions(graph)}
    weights = {name: torch.zeros(shape) for name, shape in graph.shapes().items()}
    kernels = prepare(graph, weights, torch.device("cpu"), torch.float32, transposed=False)
    kernels |= sleeping
    true = graph_of(SMALLER)
    stream = PhasedStream(ImageRows(graph, Size(16, 10**6), _rows_of(16)), torch.float32)
    while not stream.step(kernels, rows, strips=threads.strips).numel():
        pass
    work = true.node_work()
    for place, node in _convolutions(true):
        sleeping[place].seconds = work[place] / node.scale * 384 / (rate * threads.cores)
    started, made = time.perf_counter(), 0
    while time.perf_counter() - started < _SIMULATION_SECONDS:
        made += stream.step(kernels, rows, strips=threads.strips).shape[0] // graph.scale
    worked = made * 384 * true.work / rate / (threads.strips * threads.cores)
    return {
        "strips": threads.strips,
        "rows": rows,
        "worked": round(worked / (time.perf_counter() - started), 3),
    }


def _convolutions(graph: Graph) -> list[tuple[int, Conv]]:
    return [(place, node) for place, node in enumerate(graph.nodes) if isinstance(node, Conv)]


@dataclass
class _SleepingConvolution:
    """A stand-in for a convolution that sleeps `seconds` for each output row and returns
    uninitialised rows."""

    node: Conv
    seconds: float = 0.0
    bytes: int = 0
    dtype: torch.dtype = torch.float32

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        made = (len(rows) - 2) * self.node.enlarge
        time.sleep(made * self.seconds)
        return torch.empty(made, rows.shape[1] * self.node.enlarge, self.node.channels)


def machine() -> dict[str, Any]:
    """Return the processor, the versions and the commit of this measurement."""
    found = re.search(
        r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return {
        "processor": found[1] if found else platform.processor(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
    }


def lines(figures: dict[str, Any]) -> str:
    """Return all figures as text, as `make bench` prints them."""
    text = [f"{platform.machine()}, {figures['machine']['processor']}, {_versions(figures)}", ""]
    text += [table(figures["bench"]), "", peer_table(figures["bench"]), ""]
    text += [auto_lines(figures["auto"]), ""]
    for precision, by_width in figures["shares"].items():
        text.append(f"share of peak {precision}, by width        " + _row(by_width, "px", "{:.0%}"))
    text.append("seconds per MP, by input size        " + _row(figures["paces"], "MP", "{:.2f}"))
    text.append("memory in MB, 500 px wide, by height " + _row(figures["peaks"], "px", "{}"))
    if one := figures.get("barriers"):
        share, stored = one["streamed"] / one["untiled"], one["stored_bytes_per_megapixel"] / 1e9
        text.append(
            f"RealPLKSR fp32, in 29 phases         {share:.0%} of spandrel's time   {stored:.2f} "
            f"GB per MP on disk"
        )
    text += ["", *start_lines(figures["starts"]), ""]
    worked = {count: one["worked"] for count, one in figures["cores"].items()}
    text.append("simulated load of each core          " + _row(worked, "cores", "{:.0%}"))
    return "\n".join(text)


def _versions(figures: dict[str, Any]) -> str:
    machine = figures["machine"]
    return f"PyTorch {machine['torch']}, Python {machine['python']}, commit {machine['commit']}"


def _row(values: dict[Any, Any], unit: str, form: str) -> str:
    return "  ".join(f"{at} {unit} {form.format(value)}" for at, value in values.items())


def main() -> None:
    progress = Progress(9)
    with progress.part("engine"):
        bench = measure()
    with progress.part("other programs"):
        bench |= measure_peers({name: one["seconds"] for name, one in bench["engine"].items()})
    precisions = list(bench["engine"])
    fastest = precisions[-1]
    rate = bench["engine"][fastest]["share_of_peak"] * bench["peak"][fastest] * 1e9
    figures: dict[str, Any] = {"machine": machine(), "bench": bench}
    with progress.part("Auto"):
        figures["auto"] = measure_auto()
    with progress.part("share of the peak"):
        figures["shares"] = {precision: shares(precision) for precision in precisions}
    with progress.part("time by input size"):
        figures["paces"] = paces(fastest)
    with progress.part("memory"):
        figures["peaks"] = peaks()
    with progress.part("RealPLKSR in phases"):
        figures["barriers"] = barriers()
    with progress.part("start of the program"):
        figures["starts"] = starts()
    with progress.part("simulated load"):
        threads = DEVICE_THREAD.call(torch.get_num_threads)
        figures["cores"] = simulate_cores(rate / threads)
    sys.stdout.write(f"{lines(figures)}\n")
    record(figures, ROOT / ("docs" if "--docs" in sys.argv else ".bench"))


def record(figures: dict[str, Any], folder: Path) -> None:
    """Write the figures into `folder`. For docs/, also update docs/streaming.md."""
    folder.mkdir(exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    if folder.name == "docs":
        write_document(figures)


def write_document(figures: dict[str, Any]) -> None:
    """Put the table between the `bench` marks of docs/streaming.md."""
    document = ROOT / "docs" / "streaming.md"
    block = f"<!-- bench -->\n{document_table(figures)}\n<!-- /bench -->"
    text = re.sub(
        r"<!-- bench -->.*?<!-- /bench -->",
        lambda _: block,
        document.read_text("utf-8"),
        flags=re.DOTALL,
    )
    document.write_text(text, "utf-8")


def document_table(figures: dict[str, Any]) -> str:
    """Return the figures that a reader compares, in Markdown."""
    bench = figures["bench"]
    starts = figures["starts"]
    rows = [("", "Enhance", "RealESRGANer"), ("---",) * 3]
    for precision, one in bench["engine"].items():
        peer = ""
        if precision == bench["reference"]["precision"]:
            peer = f"{bench['reference']['seconds']:.1f} s"
        rows.append((f"384 × 384 px at {precision}", f"{one['seconds']:.1f} s", peer))
    rows.append(("the same image with `precise`", f"{bench['whole']['precise']:.1f} s", ""))
    if "reason" not in figures["auto"]:
        auto, peer = (_time_and_quality(figures["auto"][name]) for name in PROGRAMS)
        rows.append((f"{figures['auto']['photos']} degraded photos with Auto", auto, peer))
    first, reference = (f"{starts[name]:.1f} s" for name in ("first_preview", "reference_first"))
    rows.append(("start and preview of 128 × 128 px", first, reference))
    (low, least), *_, (high, most) = figures["peaks"].items()
    sizes = f"500 × {int(low):,} to 500 × {int(high):,} px"
    rows.append((f"memory for {sizes}", f"{least} to {most} MB", ""))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _time_and_quality(one: dict[str, float]) -> str:
    return f"{one['seconds']:.0f} s, HaarPSI {one['haarpsi']:.1f}"


if __name__ == "__main__":
    main()
