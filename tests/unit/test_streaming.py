"""Row streaming gives the output of the untiled network for all strips and numbers of threads."""

import threading
from functools import partial

import pytest
import torch

from enhance.engine.kernels import ImageRows, prepare
from enhance.engine.phased_stream import PhasedStream
from enhance.engine.stream import Stream, run_in_threads
from enhance.errors import Cancelled
from enhance.models.memory import stream_bytes
from enhance.models.networks import NETWORKS, plksr, realcugan
from enhance.models.networks.rrdbnet import rrdbnet
from enhance.size import Size
from tests.user_models import random_network, random_tensors

CPU = torch.device("cpu")
GRAPH = rrdbnet(2, features=8, growth=4)
PLKSR, _ = plksr.convert(random_network("real-plksr-2x"))
REAL_CUGAN, _ = realcugan.convert(random_network("real-cugan-2x"))


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread of PyTorch, which is fastest for images as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_image(height, width):
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(1))


def start(image, graph=GRAPH, state=None, transposed=False):
    """Return the stream of an image, and its `step` with the kernels for it."""
    rows = ImageRows(graph, Size.of_shape(image.shape), lambda a, b: image[a:b], transposed)
    stream = PhasedStream(rows, torch.float32)
    state = state or random_tensors(graph.shapes())
    kernels = prepare(graph, state, CPU, torch.float32, transposed=transposed)
    return stream, partial(stream.step, kernels)


def strips_of(image, rows, threads=1, **network):
    stream, step = start(image, **network)
    strips = []
    while not stream.finished:
        strips.append(step(rows, strips=threads))
    return [strip for strip in strips if strip.numel()]


@pytest.mark.parametrize(("kind", "module"), [("esrgan-4x", "rrdbnet"), ("compact-4x", "srvgg")])
@pytest.mark.parametrize("size", [(1, 1), (31, 8), (7, 24)])
@pytest.mark.parametrize(("rows", "threads"), [(1, 3), (7, 2), (1000, 4)])
def test_streamed_equals_untiled(kind, module, size, rows, threads):
    network = random_network(kind)
    graph, state = NETWORKS[module].convert(network)
    image = random_image(*size)
    is_landscape = size[1] > size[0]
    given = image.swapaxes(0, 1) if is_landscape else image

    strips = strips_of(given, rows, threads, graph=graph, state=state, transposed=is_landscape)

    streamed = torch.cat(strips)
    if is_landscape:
        streamed = streamed.swapaxes(0, 1)
    with torch.inference_mode():
        expected = network(image.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    torch.testing.assert_close(streamed, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("threads", [2, 9])
def test_the_number_of_threads_changes_no_bit(threads):
    image = random_image(61, 13)

    assert torch.equal(torch.cat(strips_of(image, 4, threads)), torch.cat(strips_of(image, 4)))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("graph", [GRAPH, PLKSR, REAL_CUGAN], ids=["rrdb", "plksr", "real-cugan"])
def test_memory_is_that_of_the_estimate_which_depends_on_the_width_only(
    graph, threads, monkeypatch
):
    advance = Stream._advance
    image = random_image(200, 40)
    lock = threading.Lock()
    held = []

    def measured(run, layer, strip, step):
        advance(run, layer, strip, step)
        with lock:
            tensors = [one for window in run.snapshot() for one in window.chunks]
            storages = [one.untyped_storage() for one in [*tensors, *step.buffers.values()]]
            sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
            for stored in run._maps.values():
                sizes.pop(stored.untyped_storage().data_ptr(), None)
            held.append(sum(sizes.values()))

    monkeypatch.setattr(Stream, "_advance", measured)
    kernels = prepare(graph, random_tensors(graph.shapes()), CPU, torch.float32, transposed=False)
    rows = ImageRows(graph, Size(40, 200), lambda first, last: image[first:last].clone())
    run = PhasedStream(rows, torch.float32)

    while not run.finished:
        run.step(kernels, 8, strips=threads)

    estimate = stream_bytes(graph, graph.grid_length(40), 8, 4, threads)
    assert max(held) == pytest.approx(estimate, rel=0.35)


@pytest.mark.parametrize("threads", [1, 3])
def test_every_layer_checks_for_cancelling_which_stops_all_threads(threads):
    checks = []

    def check():
        checks.append(1)
        if len(checks) > len(GRAPH.nodes):
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        start(random_image(400, 8))[1](8, check, threads, rounds=9)
    assert len(checks) <= len(GRAPH.nodes) + threads
    assert not any(thread.name.startswith("enhance-core") for thread in threading.enumerate())


def test_threads_share_the_cores_during_the_work_only():
    torch.set_num_threads(2)

    def work():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_in_threads(3, work)
    assert torch.get_num_threads() == 2
