"""Row streaming gives what the whole picture at once gives, whatever the strips."""

import pytest
import torch
import torch.nn.functional as F

from enhance.errors import Cancelled, WeightsError
from enhance.inference import checked_graph
from enhance.inference.kernels import Kernel, prepare
from enhance.inference.rows import SMALLEST_STRIP, Stream, Threads, strip_rows
from weights.graphs import Conv, Graph
from weights.networks import rrdbnet, span, srvgg


def bytes_held(stream: Stream) -> int:
    """What the windows and the assembly buffers of a stream hold now."""
    held = [chunk for window in stream._windows for chunk in window.chunks] + list(stream._scratch.values())
    return sum(tensor.numel() * tensor.element_size() for tensor in held)


@pytest.fixture(autouse=True)
def one_thread():
    """Threads only get into each other's way on pictures as small as these."""
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


def convolve(state, name, picture):
    return F.conv2d(picture, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)


def untiled_rrdb(state, picture, blocks=2):
    """RRDBNet as its paper draws it, on the whole picture at once."""
    first = trunk = convolve(state, "conv_first", picture)
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


def untiled_srvgg(state, picture, convolutions=3):
    trunk = picture
    for index in range(convolutions + 1):
        trunk = F.prelu(convolve(state, f"body.{2 * index}", trunk), state[f"body.{2 * index + 1}.weight"])
    shuffled = F.pixel_shuffle(convolve(state, f"body.{2 * convolutions + 2}", trunk), 4)
    return shuffled + F.interpolate(picture, scale_factor=4, mode="nearest")


def stream(graph, state, picture, rows, *, transposed=False, dtype=torch.float32):
    source = picture.transpose(0, 1).contiguous() if transposed else picture
    kernels = prepare(graph, state, torch.device("cpu"), dtype, transposed=transposed)
    run = Stream(graph, source.shape[0], source.shape[1], lambda a, b: source[a:b], transposed=transposed)
    strips = []
    while not run.finished:
        strips.append(run.step(kernels, rows))
    whole = torch.cat([strip for strip in strips if strip.numel()])
    return whole.transpose(0, 1) if transposed else whole


NETWORKS = {
    "rrdb": (SMALL_RRDB, untiled_rrdb),
    "srvgg": (SMALL_SRVGG, untiled_srvgg),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (31, 17), (11, 24)])
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_streamed_equals_untiled(network, size, rows):
    graph, untiled = NETWORKS[network]
    state = random_state(graph)
    picture = torch.rand(*size, 3, generator=torch.Generator().manual_seed(1))

    streamed = stream(graph, state, picture, rows, transposed=size[1] > size[0])

    expected = untiled(state, picture.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    torch.testing.assert_close(streamed, expected, atol=2e-5, rtol=1e-5)


SEEING = {
    "rrdb": rrdbnet(1, features=8, growth=4),
    "rrdb of pairs of pixels": rrdbnet(1, features=8, growth=4, unshuffle=2),
    "srvgg": SMALL_SRVGG,
    "span": span(8),
}


@pytest.mark.parametrize("name", SEEING)
def test_a_row_of_the_output_depends_on_the_rows_in_sight_and_on_no_other(name):
    graph = SEEING[name]
    state, fold, sight = random_state(graph), graph.unshuffle, graph.sight
    row, height = sight + 2 * fold, 2 * sight + 5 * fold
    picture = torch.rand(height, 3, 3, generator=torch.Generator().manual_seed(1))

    def made(seen: int) -> torch.Tensor:
        """The output of the row, where all rows but so many above and below it are far too bright to be missed."""
        other = 1e12 * picture
        other[row - seen : row + fold + seen] = picture[row - seen : row + fold + seen]
        return stream(graph, state, other, height)[row * graph.scale : (row + fold) * graph.scale]

    assert torch.equal(made(sight), made(sight + fold))
    assert not torch.equal(made(sight - fold), made(sight))


def test_streaming_across_equals_streaming_down():
    state = random_state(SMALL_RRDB)
    picture = torch.rand(19, 33, 3)

    down, across = (stream(SMALL_RRDB, state, picture, 8, transposed=turned) for turned in (False, True))

    torch.testing.assert_close(down, across, atol=2e-5, rtol=1e-5)


def test_every_step_moves_each_layer_by_at_most_its_rows_also_while_draining():
    graph, rows = SMALL_RRDB, 4
    kernels = prepare(graph, random_state(graph), torch.device("cpu"), torch.float32, transposed=False)
    picture = torch.rand(60, 5, 3)
    run = Stream(graph, 60, 5, lambda first, last: picture[first:last])

    while not run.finished:
        before = [window.end for window in run.snapshot()]
        run.step(kernels, rows)
        after = [window.end for window in run.snapshot()]
        moved = [(b - a) / node.scale for a, b, node in zip(before, after, graph.nodes, strict=True)]
        assert max(moved) <= rows


def test_memory_does_not_grow_with_the_height(monkeypatch):
    graph = SMALL_RRDB
    convolve = Kernel.__call__
    held = [0]

    def looking(kernel, rows):
        held.append(bytes_held(run))  # within a step, where it is highest
        return convolve(kernel, rows)

    monkeypatch.setattr(Kernel, "__call__", looking)
    kernels = prepare(graph, random_state(graph), torch.device("cpu"), torch.float32, transposed=False)

    def peak(height: int) -> int:
        nonlocal run
        held.clear()
        picture = torch.rand(height, 24, 3)
        run = Stream(graph, height, 24, lambda first, last: picture[first:last])
        while not run.finished:
            run.step(kernels, 8)
        return max(held)

    run = Stream(graph, 1, 1, lambda first, last: torch.zeros(1, 1, 3))
    assert peak(8 * 80) <= 1.15 * peak(80)


def test_a_step_that_failed_goes_on_where_it_stopped_with_fewer_rows():
    graph, state = SMALL_RRDB, random_state(SMALL_RRDB)
    kernels = prepare(graph, state, torch.device("cpu"), torch.float32, transposed=False)
    picture = torch.rand(40, 11, 3)
    expected = stream(graph, state, picture, 16)
    run = Stream(graph, 40, 11, lambda first, last: picture[first:last])
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
            strips.append(run.step(failing if rows == 16 else kernels, rows))
        except MemoryError:
            rows = 8

    assert rows == 8
    torch.testing.assert_close(torch.cat([strip for strip in strips if strip.numel()]), expected, atol=2e-5, rtol=1e-5)


def test_work_done_rises_to_one():
    graph = SMALL_SRVGG
    kernels = prepare(graph, random_state(graph), torch.device("cpu"), torch.float32, transposed=False)
    picture = torch.rand(30, 6, 3)
    run = Stream(graph, 30, 6, lambda first, last: picture[first:last])

    shares = [0.0]
    while not run.finished:
        run.step(kernels, 5)
        shares.append(run.work_done())

    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_a_state_dict_of_another_network_is_refused_with_its_name():
    state = random_state(srvgg(32))

    with pytest.raises(WeightsError, match="realesr-animevideov3 is of another network"):
        checked_graph(state, "realesr-animevideov3")


def test_a_step_looks_up_before_every_piece_of_every_layer_and_ends_where_it_is_told_to():
    looks = []
    state, graph = random_state(SMALL_RRDB), SMALL_RRDB
    kernels = prepare(graph, state, torch.device("cpu"), torch.float32, transposed=False)
    stream = Stream(graph, 40, 8, lambda a, b: torch.rand(b - a, 8, 3))

    stream.step(kernels, 40, lambda: looks.append(1))
    assert len(looks) >= len(graph.nodes)

    stream = Stream(graph, 40, 8, lambda a, b: torch.rand(b - a, 8, 3))
    with pytest.raises(Cancelled):
        stream.step(kernels, 8, lambda: (_ for _ in ()).throw(Cancelled("stopped")))


CPU = torch.device("cpu")


@pytest.mark.parametrize("width", [64, 256, 384, 1000, 2000, 4000, 10_000])
@pytest.mark.parametrize("threads", [Threads(1), Threads(2), Threads(2, tiles=True), Threads(16), Threads(64)])
def test_no_strip_has_more_pixels_than_a_tile_unless_it_is_the_smallest(width, threads):
    rows = strip_rows(width, 192, CPU, threads)
    assert rows == SMALLEST_STRIP or rows * width <= 192 * 192
    assert strip_rows(width, 64, CPU, threads) <= rows <= strip_rows(width, 1024, CPU, threads)


def test_a_strip_gives_every_thread_its_share_until_the_tile_ends_it():
    assert [strip_rows(384, 192, CPU, Threads(count)) for count in (1, 2, 4, 16)] == [16, 32, 64, 96]
    assert [strip_rows(384, 1024, CPU, Threads(count)) for count in (16, 64)] == [256, 1024]
    assert strip_rows(384, 192, CPU, Threads(2, tiles=True)) == 96


def test_strips_of_wide_pictures_are_not_so_low_that_their_borders_rule():
    assert [strip_rows(width, 192, CPU, Threads(2)) for width in (1500, 2000, 4000)] == [16, 16, 9]


def test_a_graphics_card_takes_whole_tiles():
    assert strip_rows(384, 192, torch.device("cuda"), Threads(2)) == 96
