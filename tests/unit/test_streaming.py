"""Row streaming gives the output of the untiled network for all strips and numbers of threads."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Mapping

import pytest
import torch

from enhance.engine.kernels import ImageRows, Kernel, prepare
from enhance.engine.phases import PhasedStream
from enhance.engine.steps import SMALLEST_STRIP, Steps, Threads, strip_rows
from enhance.engine.stream import Stream, run_in_threads
from enhance.errors import Cancelled
from enhance.models.graphs import Conv, Graph
from enhance.models.memory import stream_bytes
from enhance.models.networks import NETWORKS
from enhance.models.networks.plksr import plksr
from enhance.models.networks.realcugan import realcugan
from enhance.models.networks.rrdbnet import rrdbnet
from enhance.models.networks.span import span
from enhance.models.networks.srvgg import srvgg
from tests.user_models import random_network, random_tensors

CPU = torch.device("cpu")
GRAPH = rrdbnet(2, features=8, growth=4)


def kernels_of(
    graph: Graph, state: Mapping[str, torch.Tensor] | None = None, *, transposed: bool = False
) -> dict[int, Kernel]:
    return prepare(graph, state or random_tensors(graph.shapes()), CPU, torch.float32, transposed=transposed)


KERNELS = kernels_of(GRAPH)


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread of PyTorch, which is fastest for images as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_image(height: int, width: int) -> torch.Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(1))


def stream(image: torch.Tensor, *, graph: Graph = GRAPH, transposed: bool = False) -> Stream:
    return Stream(graph, ImageRows(graph, image.shape[0], image.shape[1], lambda a, b: image[a:b], transposed))


def strips_of(run: Stream, rows: int, threads: int = 1, kernels: dict[int, Kernel] = KERNELS) -> list[torch.Tensor]:
    strips = []
    while not run.finished:
        strips.append(run.step(kernels, rows, strips=threads))
    return [strip for strip in strips if strip.numel()]


@pytest.mark.parametrize(("kind", "module"), [("esrgan-4x", "rrdbnet"), ("compact-4x", "srvgg")])
@pytest.mark.parametrize("size", [(1, 1), (9, 1), (31, 8), (7, 24)])
@pytest.mark.parametrize(("rows", "threads"), [(1, 3), (7, 2), (1000, 4)])
def test_streamed_equals_untiled(kind, module, size, rows, threads):
    network, image, transposed = random_network(kind), random_image(*size), size[1] > size[0]
    graph, state = NETWORKS[module].convert(network)

    run = stream(image.swapaxes(0, 1) if transposed else image, graph=graph, transposed=transposed)
    streamed = torch.cat(strips_of(run, rows, threads, kernels_of(graph, state, transposed=transposed)))

    with torch.inference_mode():
        expected = network(image.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    torch.testing.assert_close(streamed.swapaxes(0, 1) if transposed else streamed, expected, atol=2e-5, rtol=1e-5)


GRAPHS = {
    "rrdb": rrdbnet(1, features=8, growth=4),
    "rrdb of pairs of pixels": rrdbnet(1, features=8, growth=4, unshuffle=2),
    "srvgg": srvgg(3, features=8),
    "span": span(8),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_an_output_row_depends_on_the_rows_within_the_receptive_radius(name):
    graph = GRAPHS[name]
    kernels, fold, radius = kernels_of(graph), graph.unshuffle, graph.receptive_radius
    row, image = radius + 2 * fold, random_image(2 * radius + 5 * fold, 3)

    def output(near: int) -> torch.Tensor:
        """Return the output of the row for an image that is changed except for `near` rows above and below it."""
        other = 1e12 * image
        other[row - near : row + fold + near] = image[row - near : row + fold + near]
        whole = torch.cat(strips_of(stream(other, graph=graph), len(image), kernels=kernels))
        return whole[row * graph.scale : (row + fold) * graph.scale]

    assert torch.equal(output(radius), output(radius + fold))
    assert not torch.equal(output(radius - fold), output(radius))


@pytest.mark.parametrize("threads", [2, 9])
def test_the_number_of_threads_changes_no_bit(threads):
    image = random_image(61, 13)

    once, again = (strips_of(stream(image), 4, threads) for _ in range(2))

    assert torch.equal(torch.cat(once), torch.cat(strips_of(stream(image), 4)))
    assert [len(strip) for strip in once] == [len(strip) for strip in again]


def test_a_stream_holds_no_kernels_between_steps():
    """Another job can load its model then, and the memory is only enough for one."""

    class Kernels(dict):
        pass

    run, kernels = stream(random_image(61, 13)), Kernels(KERNELS)
    held = weakref.ref(kernels)

    def cancel() -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        run.step(kernels, 4, cancel)
    del kernels
    gc.collect()

    assert run._strips, "no strip is unfinished"
    assert held() is None


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "graph",
    [GRAPH, plksr(3, 8, 2, 9, 4, mixer=(3, 3), real=True, groups=4), realcugan(2)],
    ids=["rrdb", "plksr", "real-cugan"],
)
def test_memory_is_that_of_the_estimate_which_depends_on_the_width_only(graph, threads, monkeypatch):
    advance, lock, most, buffers = Stream._advance, threading.Lock(), 0, dict[int, list[torch.Tensor]]()

    def measured(run, layer, strip, step, scratch):
        nonlocal most
        advance(run, layer, strip, step, scratch)
        with lock:
            buffers[threading.get_ident()] = [*scratch.values()]
            held = [one for window in run.snapshot() for one in window.chunks]
            held += [one for several in buffers.values() for one in several]
            storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in held}
            stored = {one.untyped_storage().data_ptr() for one in run._maps.values()}
            most = max(most, sum(size for address, size in storages.items() if address not in stored))

    monkeypatch.setattr(Stream, "_advance", measured)
    image, kernels = random_image(200, 40), kernels_of(graph)
    run = PhasedStream(graph, 200, 40, lambda a, b: image[a:b].clone(), torch.float32)

    while not run.finished:
        run.step(kernels, 8, strips=threads)

    assert most == pytest.approx(stream_bytes(graph, graph.grid(1, 40)[1], 8, 4, threads), rel=0.35)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failed_step_continues_with_fewer_rows(threads):
    image = random_image(40, 11)
    places = [place for place, node in enumerate(GRAPH.nodes) if isinstance(node, Conv)]

    class Failing(dict):
        fails = len(places) // 2

        def __getitem__(self, place):
            if place == places[self.fails]:
                self.fails = 0 if self.fails == 0 else -1
                raise MemoryError
            return super().__getitem__(place)

    run, failing, strips, rows = stream(image), Failing(KERNELS), [], 16
    while not run.finished:
        try:
            strips.append(run.step(failing if rows == 16 else KERNELS, rows, strips=threads))
        except MemoryError:
            rows = 8

    assert rows == 8
    streamed = torch.cat([strip for strip in strips if strip.numel()])
    torch.testing.assert_close(streamed, torch.cat(strips_of(stream(image), 16)), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_every_layer_checks_for_cancelling_which_stops_all_threads(threads):
    run, checks = stream(random_image(400, 8)), [0]

    def check() -> None:
        checks[0] += 1
        if checks[0] > len(GRAPH.nodes):
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        run.step(KERNELS, 8, check, threads, rounds=9)
    assert checks[0] <= len(GRAPH.nodes) + threads
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


@pytest.mark.parametrize("width", [64, 384, 2000, 10_000])
@pytest.mark.parametrize(("cores", "tiles"), [(1, False), (2, False), (2, True), (16, False), (64, False)])
def test_a_strip_has_no_more_pixels_than_a_tile_unless_it_is_the_smallest(width, cores, tiles):
    threads = Threads.for_cores(cores, tiles)
    rows = strip_rows(width, 192, CPU, threads)
    assert rows == SMALLEST_STRIP or rows * width <= 192 * 192
    assert strip_rows(width, 64, CPU, threads) <= rows <= strip_rows(width, 1024, CPU, threads)


@pytest.fixture
def gpu(monkeypatch):
    """A function that sets the free memory of a GPU and the memory that PyTorch caches, in bytes."""

    def set_memory(free: float, cached: float = 0) -> None:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free - cached, 80e9))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: cached + 3e8)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 3e8)

    return set_memory


def test_a_lack_of_gpu_memory_frees_caches_and_halves_the_strip(gpu, monkeypatch):
    trimmed = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: trimmed.append(True))
    gpu(8e9)
    run = PhasedStream(GRAPH, 64, 8, lambda first, last: torch.zeros(last - first, 8, 3), torch.float32)
    run.step(KERNELS, 8)
    run.device = torch.device("cuda")
    steps = Steps(run, 64, torch.float16, Threads(1))
    rows = steps.rows

    steps._halve(torch.OutOfMemoryError())

    assert (steps.rows, trimmed) == (rows // 2, [True])


@pytest.mark.parametrize("cached", [0, 4e8], ids=["unused", "cached by PyTorch"])
def test_a_gpu_with_little_free_memory_uses_smaller_strips(gpu, cached):
    graph, width = rrdbnet(23), 2000

    def rows_for(free: float) -> int:
        gpu(free, cached)
        run = PhasedStream(graph, 9, width, lambda first, last: torch.zeros(last - first, width, 3), torch.float16)
        run.device = torch.device("cuda")
        return Steps(run, 512, torch.float16, Threads(1)).rows

    assert rows_for(8e9) == 512 * 512 // width
    assert [rows_for(free) for free in (1.5e9, 1e9, 5e8)] == [65, 16, 1]
    for free in (1.5e9, 1e9):
        assert 0.4 * free < stream_bytes(graph, width, rows_for(free), 2) < 0.8 * free
