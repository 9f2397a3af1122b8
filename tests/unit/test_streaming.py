"""Row streaming gives the output of the untiled network for all strips and numbers of threads."""

import threading

import pytest
import torch
import torch.nn.functional as F

from enhance.engine.kernels import Convolution, prepare
from enhance.engine.phases import PhasedStream
from enhance.engine.steps import SMALLEST_STRIP, Steps, Threads, strip_rows
from enhance.engine.stream import Stream, run_in_threads
from enhance.errors import Cancelled
from enhance.models.graphs import Conv, Graph
from enhance.models.memory import stream_bytes
from enhance.models.networks.rrdbnet import rrdbnet
from enhance.models.networks.span import span
from enhance.models.networks.srvgg import srvgg

CPU = torch.device("cpu")


def bytes_held(stream: Stream) -> int:
    """Return the bytes in the windows of a stream."""
    return sum(chunk.numel() * chunk.element_size() for window in stream._windows for chunk in window.chunks)


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread of PyTorch, which is fastest for images as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SMALL_RRDB = rrdbnet(2, features=8, growth=4)
SMALL_SRVGG = srvgg(3, features=8)


def random_state(graph: Graph, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in graph.shapes().items():
        spread = 0.5 if len(shape) == 1 else 1.5 / (shape[1] * 9) ** 0.5
        state[name] = torch.randn(shape, generator=generator) * spread
    return state


def convolve(state, name, image):
    return F.conv2d(image, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)


def untiled_rrdb(state, image, blocks=2):
    """Return the output of RRDBNet, as in its paper, for the whole image at once."""
    first = trunk = convolve(state, "conv_first", image)
    for block in range(blocks):
        entry = trunk
        for dense in (1, 2, 3):
            maps = [trunk]
            for layer in (1, 2, 3, 4):
                maps.append(
                    F.leaky_relu(convolve(state, f"body.{block}.rdb{dense}.conv{layer}", torch.cat(maps, 1)), 0.2)
                )
            trunk = trunk + 0.2 * convolve(state, f"body.{block}.rdb{dense}.conv5", torch.cat(maps, 1))
        trunk = entry + 0.2 * trunk
    up = first + convolve(state, "conv_body", trunk)
    for name in ("conv_up1", "conv_up2"):
        up = F.leaky_relu(convolve(state, name, F.interpolate(up, scale_factor=2, mode="nearest")), 0.2)
    return convolve(state, "conv_last", F.leaky_relu(convolve(state, "conv_hr", up), 0.2))


def untiled_srvgg(state, image, convolutions=3):
    trunk = image
    for index in range(convolutions + 1):
        trunk = F.prelu(convolve(state, f"body.{2 * index}", trunk), state[f"body.{2 * index + 1}.weight"])
    shuffled = F.pixel_shuffle(convolve(state, f"body.{2 * convolutions + 2}", trunk), 4)
    return shuffled + F.interpolate(image, scale_factor=4, mode="nearest")


def stream(graph, state, image, rows, *, transposed=False, dtype=torch.float32, threads=1):
    source = image.transpose(0, 1).contiguous() if transposed else image
    kernels = prepare(graph, state, torch.device("cpu"), dtype, transposed=transposed)
    run = Stream(graph, source.shape[0], source.shape[1], lambda a, b: source[a:b], transposed=transposed)
    strips = []
    while not run.finished:
        strips.append(run.step(kernels, rows, strips=threads))
    whole = torch.cat([strip for strip in strips if strip.numel()])
    return whole.transpose(0, 1) if transposed else whole


NETWORKS = {
    "rrdb": (SMALL_RRDB, untiled_rrdb),
    "srvgg": (SMALL_SRVGG, untiled_srvgg),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("size", [(1, 1), (9, 1), (31, 17), (11, 24)])
@pytest.mark.parametrize(("rows", "threads"), [(1, 3), (7, 2), (1000, 4)])
def test_streamed_equals_untiled(network, size, rows, threads):
    graph, untiled = NETWORKS[network]
    state = random_state(graph)
    image = torch.rand(*size, 3, generator=torch.Generator().manual_seed(1))

    streamed = stream(graph, state, image, rows, transposed=size[1] > size[0], threads=threads)

    expected = untiled(state, image.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    torch.testing.assert_close(streamed, expected, atol=2e-5, rtol=1e-5)


NETWORKS_BY_RADIUS = {
    "rrdb": rrdbnet(1, features=8, growth=4),
    "rrdb of pairs of pixels": rrdbnet(1, features=8, growth=4, unshuffle=2),
    "srvgg": SMALL_SRVGG,
    "span": span(8),
}


@pytest.mark.parametrize("name", NETWORKS_BY_RADIUS)
def test_an_output_row_depends_on_the_rows_within_the_receptive_radius(name):
    graph = NETWORKS_BY_RADIUS[name]
    state, fold, radius = random_state(graph), graph.unshuffle, graph.receptive_radius
    row, height = radius + 2 * fold, 2 * radius + 5 * fold
    image = torch.rand(height, 3, 3, generator=torch.Generator().manual_seed(1))

    def output(near: int) -> torch.Tensor:
        """Return the output of the row for an image that is changed except for `near` rows above and below it."""
        other = 1e12 * image
        other[row - near : row + fold + near] = image[row - near : row + fold + near]
        return stream(graph, state, other, height)[row * graph.scale : (row + fold) * graph.scale]

    assert torch.equal(output(radius), output(radius + fold))
    assert not torch.equal(output(radius - fold), output(radius))


def test_streaming_across_equals_streaming_down():
    state = random_state(SMALL_RRDB)
    image = torch.rand(19, 33, 3)

    down, across = (stream(SMALL_RRDB, state, image, 8, transposed=turned) for turned in (False, True))

    torch.testing.assert_close(down, across, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_memory_does_not_grow_with_the_height(monkeypatch, threads):
    graph = SMALL_RRDB
    convolve = Convolution.__call__
    held = [0]

    def measuring(kernel, rows):
        held.append(bytes_held(run) + rows.untyped_storage().nbytes())  # The peak is within a step.
        return convolve(kernel, rows)

    monkeypatch.setattr(Convolution, "__call__", measuring)
    kernels = prepare(graph, random_state(graph), torch.device("cpu"), torch.float32, transposed=False)

    def peak(height: int) -> int:
        nonlocal run
        held.clear()
        image = torch.rand(height, 24, 3)
        run = Stream(graph, height, 24, lambda first, last: image[first:last])
        while not run.finished:
            run.step(kernels, 8, strips=threads)
        return max(held)

    run = Stream(graph, 1, 1, lambda first, last: torch.zeros(1, 1, 3))
    slack = 1.15 if threads == 1 else 1.5  # The positions of several strips are random.
    assert peak(4 * 120) <= slack * peak(120)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failed_step_continues_with_fewer_rows(threads):
    graph, state = SMALL_RRDB, random_state(SMALL_RRDB)
    kernels = prepare(graph, state, torch.device("cpu"), torch.float32, transposed=False)
    image = torch.rand(40, 11, 3)
    expected = stream(graph, state, image, 16)
    run = Stream(graph, 40, 11, lambda first, last: image[first:last])
    places = [place for place, node in enumerate(graph.nodes) if isinstance(node, Conv)]

    class Failing(dict):
        fails = len(places) // 2

        def __getitem__(self, place):
            if place == places[self.fails]:
                self.fails = 0 if self.fails == 0 else -1
                raise MemoryError
            return super().__getitem__(place)

    strips, rows = [], 16
    failing = Failing(kernels)
    while not run.finished:
        try:
            strips.append(run.step(failing if rows == 16 else kernels, rows, strips=threads))
        except MemoryError:
            rows = 8

    assert rows == 8
    torch.testing.assert_close(torch.cat([strip for strip in strips if strip.numel()]), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("threads", [2, 9])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_number_of_threads_changes_no_bit(network, threads):
    graph, _ = NETWORKS[network]
    state, image = random_state(graph), torch.rand(61, 13, 3)
    kernels = prepare(graph, state, torch.device("cpu"), torch.float32, transposed=False)

    def strips(threads: int) -> list[torch.Tensor]:
        run, found = Stream(graph, 61, 13, lambda first, last: image[first:last]), []
        while not run.finished:
            found.append(run.step(kernels, 4, strips=threads))
        return [strip for strip in found if strip.numel()]

    once, again = strips(threads), strips(threads)
    assert torch.equal(torch.cat(once), torch.cat(strips(1)))
    assert [len(strip) for strip in once] == [len(strip) for strip in again]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_exception_of_one_thread_stops_all(threads):
    graph = SMALL_RRDB
    kernels = prepare(graph, random_state(graph), torch.device("cpu"), torch.float32, transposed=False)
    run, checks = Stream(graph, 400, 8, lambda first, last: torch.rand(last - first, 8, 3)), [0]

    def check() -> None:
        checks[0] += 1
        if checks[0] > 100:
            raise Cancelled("stopped")

    def enlarge() -> None:
        while not run.finished:
            run.step(kernels, 4, check, threads)

    with pytest.raises(Cancelled):
        enlarge()
    assert checks[0] <= 100 + threads
    assert not any(thread.name == "enhance-core" for thread in threading.enumerate())


def test_threads_share_the_cores_during_the_work_only():
    torch.set_num_threads(2)
    cores, meeting = [], threading.Barrier(3)

    def work() -> None:
        meeting.wait(10)
        cores.append(torch.get_num_threads())

    run_in_threads(3, work)
    assert cores == [1, 1, 1]
    assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError):
        run_in_threads(3, lambda: 1 / 0)
    assert torch.get_num_threads() == 2


def test_a_step_checks_for_cancelling_before_every_layer():
    checks = []
    state, graph = random_state(SMALL_RRDB), SMALL_RRDB
    kernels = prepare(graph, state, torch.device("cpu"), torch.float32, transposed=False)
    stream = Stream(graph, 40, 8, lambda a, b: torch.rand(b - a, 8, 3))

    stream.step(kernels, 40, lambda: checks.append(1))
    assert len(checks) >= len(graph.nodes)

    stream = Stream(graph, 40, 8, lambda a, b: torch.rand(b - a, 8, 3))
    with pytest.raises(Cancelled):
        stream.step(kernels, 8, lambda: (_ for _ in ()).throw(Cancelled("stopped")))


@pytest.mark.parametrize("width", [64, 384, 2000, 10_000])
@pytest.mark.parametrize(
    "threads",
    [
        Threads.for_cores(1),
        Threads.for_cores(2),
        Threads.for_cores(2, tiles=True),
        Threads.for_cores(16),
        Threads.for_cores(64),
    ],
)
def test_a_strip_has_no_more_pixels_than_a_tile_unless_it_is_the_smallest(width, threads):
    rows = strip_rows(width, 192, CPU, threads)
    assert rows == SMALLEST_STRIP or rows * width <= 192 * 192
    assert strip_rows(width, 64, CPU, threads) <= rows <= strip_rows(width, 1024, CPU, threads)


def test_a_lack_of_gpu_memory_frees_caches_and_halves_the_strip(monkeypatch):
    trimmed = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: trimmed.append(True))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8e9, 8e9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    stream = PhasedStream(SMALL_SRVGG, 64, 8, lambda first, last: torch.zeros(last - first, 8, 3), torch.float32)
    stream.step(prepare(SMALL_SRVGG, random_state(SMALL_SRVGG), CPU, torch.float32, transposed=False), 8)
    stream.device = torch.device("cuda")
    steps = Steps(stream, 64, torch.float16, Threads(1))
    rows = steps.rows

    steps._halve(torch.OutOfMemoryError())

    assert (steps.rows, trimmed, stream.current.scratch) == (rows // 2, [True], [])


@pytest.mark.parametrize("cached", [0, 4e8], ids=["unused", "cached by PyTorch"])
def test_a_gpu_with_little_free_memory_uses_smaller_strips(monkeypatch, cached):
    graph, width = rrdbnet(23), 2000

    def rows_for(free: float) -> int:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free - cached, 80e9))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: cached + 3e8)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 3e8)
        stream = PhasedStream(graph, 9, width, lambda first, last: torch.zeros(last - first, width, 3), torch.float16)
        stream.device = torch.device("cuda")
        return Steps(stream, 512, torch.float16, Threads(1)).rows

    assert rows_for(8e9) == 512 * 512 // width
    assert [rows_for(free) for free in (1.5e9, 1e9, 5e8)] == [65, 16, 1]
    for free in (1.5e9, 1e9):
        assert 0.4 * free < stream_bytes(graph, width, rows_for(free), 2) < 0.8 * free
