"""A step that is recorded and replayed does what the operators do that are called one by one.

No graphics card is needed for it: a tape stands in, which repeats every operator on the memory that it was first done
on, as a card's graph does.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from enhance.engine import steps as steps_module
from enhance.engine.replay import StepRows, recorder
from enhance.engine.steps import RowNetwork, Steps, Threads
from enhance.engine.stream import Stream
from enhance.models.graphs import Graph
from enhance.models.networks import rrdbnet, span, srvgg
from enhance.settings import WeightInterpolation

HEIGHT, WIDTH, ROWS = 128, 6, 4
NETWORKS = {
    "rrdbnet": rrdbnet(1, features=8, growth=4),
    "unshuffled": rrdbnet(1, features=8, growth=4, unshuffle=2),
    "compact": srvgg(3, features=8),
    "span": span(features=8),
}
GRAPH = NETWORKS["compact"]


class Tape(TorchDispatchMode):
    """What was done to tensors, to be done again on the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, function, types, given=(), named=None):
        made = function(*given, **(named or {}))
        self.done.append((function, given, named or {}, made))
        return made

    def again(self) -> None:
        for function, given, named, made in self.done:
            theirs = {memory(leaf) for leaf in tensors((given, named))}
            for old, new in zip(tensors(made), tensors(function(*given, **named)), strict=True):
                if memory(old) not in theirs:
                    old.copy_(new)


def tensors(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def record(work: Callable[[], object]) -> Callable[[], object]:
    tape = Tape()
    with tape:
        work()
    return tape.again


def random_state(graph: Graph) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(shape, generator=generator) * (0.5 if len(shape) == 1 else 1.5 / (shape[1] * 9) ** 0.5)
        for name, shape in graph.shapes().items()
    }


def network_of(graph: Graph) -> RowNetwork:
    return RowNetwork(WeightInterpolation("test"), False, graph, random_state(graph), {})


def steps_of(graph: Graph, picture: torch.Tensor, dtype: torch.dtype = torch.float32) -> Steps:
    height, width, _ = picture.shape
    return Steps(Stream(graph, height, width, lambda first, last: picture[first:last]), 192, dtype, Threads(1))


def enlarged(
    graph: Graph,
    picture: torch.Tensor,
    dtype: torch.dtype = torch.float32,
    between: Callable[[Steps], object] = id,
    network: RowNetwork | None = None,
) -> tuple[torch.Tensor, list[bool]]:
    """The whole output, and of each step whether it was replayed; `between` comes before each."""
    steps, network, made, replayed = steps_of(graph, picture, dtype), network or network_of(graph), [], []
    steps.rows = ROWS
    while not steps.stream.finished:
        between(steps)
        replayed.append(steps._ready_replay(network) is not None)
        made.append(steps.step(network).clone())
    return torch.cat([rows for rows in made if rows.numel()]), replayed


@pytest.fixture(autouse=True)
def one_thread_and_all_the_time(monkeypatch):
    """A tape is slower than what it has recorded."""
    monkeypatch.setattr(steps_module, "_LEAST_REPLAY_GAIN", math.inf)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def taped(monkeypatch):
    """The device can record, as a card can: this has it done."""
    return lambda record=record: monkeypatch.setattr(steps_module, "recorder", lambda device: record)


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("graph", NETWORKS.values(), ids=NETWORKS)
def test_replayed_steps_give_the_bits_of_steps_called_one_by_one(graph, picture, taped):
    expected, _ = enlarged(graph, picture)

    taped()
    result, replayed = enlarged(graph, picture)

    assert replayed.count(True) >= 5
    assert torch.equal(result, expected)


def test_what_overflows_in_a_replayed_step_is_repeated_in_fp32_and_the_next_ones_are_replayed_again(picture, taped):
    picture[HEIGHT // 2] = 1e6
    exact, _ = enlarged(GRAPH, picture)
    expected, _ = enlarged(GRAPH, picture, torch.float16)

    taped()
    result, replayed = enlarged(GRAPH, picture, torch.float16)

    assert replayed.count(True) >= 5
    assert torch.equal(result, expected)
    assert result.isfinite().all()
    assert exact.abs().max() > torch.finfo(torch.float16).max


def never(work: Callable[[], object]) -> Callable[[], object]:
    raise RuntimeError("operation not permitted when stream is capturing")


def of_fewer_rows(work: Callable[[], object]) -> Callable[[], object]:
    StepRows(torch.zeros(ROWS, WIDTH, 3)).rows(0, ROWS - 1)
    return record(work)


def forgetful(work: Callable[[], object]) -> Callable[[], object]:
    record(work)
    return lambda: None


@pytest.mark.parametrize("record", [never, of_fewer_rows, forgetful])
def test_a_device_that_cannot_record_or_gives_other_numbers_goes_on_one_by_one(record, picture, taped):
    expected, _ = enlarged(GRAPH, picture)

    taped(record)
    result, replayed = enlarged(GRAPH, picture)

    assert not any(replayed)
    assert torch.equal(result, expected)


def test_what_is_no_faster_replayed_is_not(picture, taped, monkeypatch):
    monkeypatch.setattr(steps_module, "_LEAST_REPLAY_GAIN", 0.0)
    taped()

    _, replayed = enlarged(GRAPH, picture)

    assert not any(replayed)


def test_nothing_is_recorded_where_there_is_no_memory_for_it(picture, taped, monkeypatch):
    free = iter([math.inf])
    monkeypatch.setattr(steps_module, "free_memory", lambda device: next(free, 1.0))
    recorded = []
    taped(lambda work: recorded.append(work))

    _, replayed = enlarged(GRAPH, picture)

    assert recorded == []
    assert not any(replayed)


def test_nothing_is_recorded_for_a_few_steps(picture, taped):
    recorded = []
    taped(lambda work: recorded.append(work))

    enlarged(GRAPH, picture[: 10 * ROWS])

    assert recorded == []


def test_a_step_is_recorded_anew_when_its_kernels_are_gone(picture, taped):
    """As when another model had the device meanwhile."""
    expected, _ = enlarged(GRAPH, picture)
    recorded = []

    def counted(work):
        recorded.append(work)
        return record(work)

    def once(steps):
        if steps._replay is not None and len(recorded) == 1:
            network.kernels.clear()

    taped(counted)
    network = network_of(GRAPH)
    result, _ = enlarged(GRAPH, picture, between=once, network=network)

    assert len(recorded) == 2
    assert torch.equal(result, expected)


def test_a_replay_is_let_go_when_memory_is_short(picture, taped):
    expected, _ = enlarged(GRAPH, picture)
    let_go = []

    def once(steps):
        if steps._replay is not None:
            let_go.append(steps._replay)
            steps._halve(torch.OutOfMemoryError())

    taped()
    result, replayed = enlarged(GRAPH, picture, between=once)

    assert len(let_go) == 1
    assert not any(replayed)
    assert torch.allclose(result, expected, atol=1e-5)


def test_only_a_graphics_card_records(monkeypatch):
    """By CUDA's graphs, on the card that was asked for, without minding what other threads do."""
    told = []

    class Graph:
        def replay(self):
            told.append("replayed")

    def capturing(graph, capture_error_mode):
        told.append(capture_error_mode)
        return nullcontext()

    def on(device):
        told.append(str(device))
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capturing)
    monkeypatch.setattr(torch.cuda, "device", on)
    card = recorder(torch.device("cuda:1"))
    assert card is not None

    card(lambda: told.append("done"))()

    assert told == ["cuda:1", "thread_local", "done", "replayed"]
    assert recorder(torch.device("cpu")) is None
    assert recorder(torch.device("mps")) is None
