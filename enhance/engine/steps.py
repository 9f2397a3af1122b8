"""A picture's steps: how large they are, how cores share them, what happens when one fails, and how long they take."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace

import torch

from enhance.models.graphs import Conv, Graph, Input, Node, enlargement_of, sources_of
from enhance.models.memory import stream_bytes

from .. import models
from ..errors import MemoryShortError, is_memory_short
from ..scheduler import SCHEDULER, Ticket, together
from ..settings import WeightInterpolation
from .device import Record, Replay, all_finite, free_memory, moved_evenly, recorder
from .kernels import Ready, prepare
from .stream import Look, Stream, Window

log = logging.getLogger(__name__)

SMALLEST_STRIP = 8
"""As high as a strip is where memory is not short; it may have to be lower then."""
_HIGHEST_STRIP = 32
"""On a processor, where a small picture is to have a strip for each thread, too."""
_PIXELS_OF_A_CORE = 6_144
"""A strip on a processor: more would leave the cache, less would be ruled by what a call costs by itself."""
_WITH_TILES = 3
"""That many times more where bf16 has matrix tiles, which need larger convolutions to be kept busy."""
_WORK_OF_A_STEP = 20e9
"""Multiply-adds, about: at a step's end threads wait for each other, which quick networks would notice."""
_STRIPS_AT_ONCE = 4
"""With more Python, which begins one layer at a time, would have too much to do; then cores share a strip's layer."""
_REPLAYS_AT_LEAST = 8
"""A step is recorded where so many more of them are to come."""
_WORTH_REPLAYING = 0.9
"""The share of a step's time that its replay takes at most."""
_TRIAL_SIZE = 96, 256
"""Height and width of a trial, in pixels of what the node takes: a few of the strips that a run is made of."""
_TRIAL_TIMES = 3
_REMEMBERED_SECONDS = 60.0
"""How much earlier work speaks for a speed: a machine that gets busy is believed within a minute of work."""
_EXPECTED_SECONDS = 3.0
"""How many seconds of work what was expected of a run counts for while it goes on."""


@dataclass
class RowNetwork:
    """A network that streams by rows, in memory: its graph, its weights, and the kernels made ready so far."""

    recipe: WeightInterpolation
    transposed: bool
    graph: Graph
    state: dict[str, torch.Tensor]
    kernels: dict[torch.dtype, dict[int, Ready]]

    @classmethod
    def load(cls, recipe: WeightInterpolation, *, transposed: bool) -> RowNetwork:
        """The recipe's network with its weights, those of two models mixed where it names two."""
        started = time.perf_counter()
        states = [models.read_state_dict(models.ensure(name)) for name in recipe.models]
        graph = models.graph_of(recipe.models[0])
        for state, name in zip(states, recipe.models, strict=True):
            models.check_state(state, models.graph_of(name), name)
        state = states[0]
        if recipe.partner is not None:
            share, other = recipe.share, states[1]
            state = {key: share * tensor + (1 - share) * other[key] for key, tensor in state.items()}
        log.info("Loaded %s in %.1f s", " and ".join(recipe.models), time.perf_counter() - started)
        return cls(recipe, transposed, graph, state, {})

    def turn(self, *, transposed: bool) -> None:
        """Serve pictures of this direction from now on: the kernels of the other one are of no use."""
        if self.transposed != transposed:
            self.transposed = transposed
            self.kernels.clear()

    @property
    def name(self) -> str:
        return self.recipe.model

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions that the network declares."""
        return self.graph.precisions

    @property
    def bytes(self) -> int:
        stored = sum(tensor.numel() * tensor.element_size() for tensor in [*self.state.values()])
        return stored + sum(one.bytes for ready in [*self.kernels.values()] for one in ready.values())


@dataclass(frozen=True)
class Threads:
    """How a picture is shared: so many strips at once, so many cores for each; whether they have matrix tiles (AMX)."""

    strips: int
    cores: int = 1
    tiles: bool = False

    @classmethod
    def here(cls, device: torch.device, dtype: torch.dtype) -> Threads:
        """Those of this process; only to be asked on the device's thread.

        A graphics card takes one strip at a time, as does fp16, where a step may have to be done again.
        """
        cores = torch.get_num_threads()
        if device.type != "cpu" or dtype == torch.float16:
            return cls(1, cores)
        probe = getattr(torch.cpu, "_is_amx_tile_supported", bool)
        return cls.of(cores, dtype == torch.bfloat16 and bool(probe()))

    @classmethod
    def of(cls, cores: int, tiles: bool = False) -> Threads:
        """So many cores at work, as few of them idle as can be."""
        strips = max(range(1, 2 * _STRIPS_AT_ONCE + 1), key=lambda n: (cores // n * n, -abs(n - _STRIPS_AT_ONCE)))
        return cls(strips, cores // strips, tiles)


def strip_rows(width: int, tile: int, device: torch.device, threads: Threads) -> int:
    """How many rows a strip of a picture `width` pixels wide has, never more than `tile` x `tile` pixels.

    A graphics card takes as much as that; cores as much as keeps each of them busy within its cache.
    """
    most = tile * tile // width
    if device.type == "cpu":
        times = threads.cores * (_WITH_TILES if threads.tiles else 1)
        most = min(most, times * min(_HIGHEST_STRIP, _PIXELS_OF_A_CORE // width))
    return max(SMALLEST_STRIP, most)


class Steps:
    """One picture's steps: how high they are, what happens when one fails, and whether they are replayed."""

    def __init__(self, stream: Stream, tile: int, dtype: torch.dtype, threads: Threads | None = None):
        self.stream, self.dtype = stream, dtype
        self._threads = threads or Threads.here(stream.device, dtype)
        self.rows = strip_rows(stream.width, tile, stream.device, self._threads)
        if (free := free_memory(stream.device)) < math.inf:
            while self.rows > 1 and self._bytes > free:
                self.rows //= 2
        work = stream.graph.work * _PIXELS_OF_A_CORE * self._threads.cores * self._threads.strips
        self._rounds = max(1, round(_WORK_OF_A_STEP / work)) if self._threads.strips > 1 else 1
        self._record = recorder(stream.device)
        self._replay: Replay | None = None
        self._even = False

    def step(self, model: RowNetwork, look: Look = lambda: None) -> torch.Tensor:
        """The next output rows; halves the strip when memory is short, and repeats in fp32 what overflowed in fp16.

        They are to be read before the next step.
        """
        rows = self._finite_step(model, look)
        _wait_for(self.stream.device)
        return rows

    def _finite_step(self, model: RowNetwork, look: Look) -> torch.Tensor:
        replay = self._ready_replay(model)
        if replay is None:
            may_go_back = self.dtype == torch.float16 or self._record is not None
            before = self.stream.snapshot() if may_go_back else []
            rows = self._plain_step(model, before, look)
            if self.dtype != torch.float16 or all_finite(self.stream.snapshot(), rows):
                return rows
            self.stream.restore(before)
        else:
            look()
            rows = replay.step()
            if self.dtype != torch.float16 or replay.all_finite:
                return rows
            replay.undo()
        log.info("A step overflowed in fp16 and is repeated in fp32")
        return self._fitting_step(model, torch.float32, look)

    @property
    def _bytes(self) -> int:
        """What a stream takes at such steps."""
        return stream_bytes(self.stream.graph, self.stream.width, self.rows, self.dtype.itemsize)

    def _ready_replay(self, model: RowNetwork) -> Replay | None:
        """What does the next step, if there is such; where its kernels are gone, another model had the device."""
        replay = self._replay
        if replay is not None and not replay.is_of(model.kernels.get(self.dtype)):
            self._replay, self._record = None, recorder(self.stream.device)
        elif replay is not None and replay.is_over:
            self._replay = None
        return self._replay if self._replay is not None and self._replay.serves else None

    def _plain_step(self, model: RowNetwork, before: list[Window], look: Look) -> torch.Tensor:
        """A step whose operators are called one by one; once, it is tried whether the next ones are better replayed."""
        if self._record is None:
            return self._fitting_step(model, self.dtype, look)
        height, started = self.rows, time.perf_counter()
        rows = self._fitting_step(model, self.dtype, look)
        _wait_for(self.stream.device)
        seconds, was_even, left = time.perf_counter() - started, self._even, self.stream.height - self.stream.fed
        self._even = self.rows == height and moved_evenly(model.graph, before, self.stream.snapshot(), height)
        if was_even and self._even and left >= _REPLAYS_AT_LEAST * height:
            record, self._record = self._record, None
            self._replay = self._tried(record, model.kernels[self.dtype], before, rows, seconds)
        return rows

    def _tried(
        self, record: Record, kernels: dict[int, Ready], before: list[Window], rows: torch.Tensor, seconds: float
    ) -> Replay | None:
        """The last step as a replay, if that gives the same `rows` in less than the `seconds` that they took."""
        after = self.stream.snapshot()
        try:
            self.stream.restore(before)
            held = sum(chunk.nbytes for window in before for chunk in window.chunks)
            if 2 * held + self._bytes > free_memory(self.stream.device):
                return None
            replay = Replay(self.stream, kernels, self.rows, record)
            took = math.inf
            for _ in range(2):  # the first time a card only gets it
                self.stream.restore(before)
                started = time.perf_counter()
                replay.step()
                _wait_for(self.stream.device)
                took = time.perf_counter() - started
            return replay if took < _WORTH_REPLAYING * seconds and replay.gave(rows, after) else None
        except RuntimeError as error:
            log.info("Steps are not replayed: %s", str(error))
            return None
        finally:
            self.stream.restore(after)

    def _fitting_step(self, model: RowNetwork, dtype: torch.dtype, look: Look) -> torch.Tensor:
        while True:
            try:
                if dtype not in model.kernels:
                    model.kernels[dtype] = prepare(
                        model.graph, model.state, self.stream.device, dtype, transposed=model.transposed
                    )
                return self.stream.step(model.kernels[dtype], self.rows, look, self._threads.strips, self._rounds)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._take_less(error)

    def _take_less(self, error: Exception) -> None:
        self.stream.release_scratch()
        self._replay = None
        if self.stream.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.rows == 1:
            raise MemoryShortError("memory_short") from error
        self.rows //= 2
        log.info("Memory is short: going on with strips of %d rows", self.rows)


def _wait_for(device: torch.device) -> None:
    """A graphics card has only been asked until one waits for it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device's error says that memory is short."""
    return isinstance(error, torch.OutOfMemoryError) or is_memory_short(error)


@dataclass(frozen=True)
class Pace:
    """How long a network took: the seconds a pixel of the picture, and the seconds of work that speak for them."""

    graph: Graph
    pixel: float
    known: float = 0.0


class Speedometer:
    """How long networks take on one device: as long as they took, or as their nodes take, tried one by one.

    The trials have the device to themselves, so what never ran is expected to take as much longer than its nodes as
    what ran did.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._paces: dict[tuple[str, torch.dtype], Pace] = {}
        self._trials: dict[tuple[Node, int, torch.dtype], float] = {}
        self._lock = threading.Lock()

    def record(self, model: str, dtype: torch.dtype, pixels: float, seconds: float) -> None:
        """Remember that `pixels` pixels of a picture took `seconds`; each second counts, the last minute's most."""
        if seconds <= 0 or pixels <= 0:
            return
        now = Pace(models.graph_of(model), seconds / pixels)
        with self._lock:
            before = self._paces.get((model, dtype), now)
            known = before.known + seconds
            pixel = known / (before.known / before.pixel + pixels)
            self._paces[model, dtype] = replace(now, pixel=pixel, known=min(known, _REMEMBERED_SECONDS))

    def seconds(self, model: str, dtype: torch.dtype, pixels: float) -> float:
        """How long a picture of `pixels` pixels takes the network called `model`."""
        with self._lock:
            own = self._paces.get((model, dtype))
            others = [pace for (_, kind), pace in self._paces.items() if kind == dtype]
        if own is not None:
            return own.pixel * pixels
        took = sum(pace.known for pace in others)
        tried = sum(pace.known / pace.pixel * self._by_nodes(pace.graph, dtype) for pace in others)
        return self._by_nodes(models.graph_of(model), dtype) * pixels * (took / tried if others else 1.0)

    def _by_nodes(self, graph: Graph, dtype: torch.dtype) -> float:
        """The seconds a pixel of the picture, as the sum of what the network's nodes take by themselves."""
        alone = Counter((*_alone(graph, node), node.scale) for node in graph.nodes if not isinstance(node, Input))
        for node, taken, _ in alone:
            if (node, taken, dtype) not in self._trials:
                seconds = SCHEDULER.call(lambda node=node, taken=taken: self._try(node, taken, dtype))
                self._trials[node, taken, dtype] = seconds
        every = sum(
            count * scale**2 * self._trials[node, taken, dtype] for (node, taken, scale), count in alone.items()
        )
        return every / graph.unshuffle**2

    def _try(self, node: Node, taken: int, dtype: torch.dtype) -> float:
        """The seconds for a pixel that the node gives from `taken` channels, with all cores, each at its own rows."""
        graph = Graph(nodes=[Input(taken), node])
        weights = {name: torch.zeros(shape) for name, shape in graph.shapes().items()}
        kernels = {dtype: prepare(graph, weights, self._device, dtype, transposed=False)}
        network = RowNetwork(WeightInterpolation("trial"), False, graph, weights, kernels)
        height, width = _TRIAL_SIZE
        kept = dtype if isinstance(node, Conv) and not node.precise else torch.float32
        rows = torch.zeros(height, width, taken if taken > 1 else 3, dtype=kept, device=self._device)

        def feed(first: int, last: int) -> torch.Tensor:
            return rows[first:last]

        def run() -> None:
            steps = Steps(Stream(graph, height, width, feed), 192, dtype, replace(threads, strips=1))
            while not steps.stream.finished:
                steps.step(network, lambda: SCHEDULER.check(turn))

        def seconds() -> float:
            started = time.perf_counter()
            together(threads.strips, run)
            return time.perf_counter() - started

        threads, turn = Threads.here(self._device, dtype), Ticket("preview")
        return min(seconds() for _ in range(_TRIAL_TIMES)) / (threads.strips * height * width * node.scale**2)


class Clock:
    """Turns the share of the work that is done into rows and seconds left.

    What was expected counts like some seconds of work, so that the first steps, slow or quick, do not rule the rest.
    """

    def __init__(self, rows: int, expected: float):
        self._rows, self._expected = rows, max(expected, 1e-3)
        self._weight = min(_EXPECTED_SECONDS, self._expected / 3)
        self._started = time.perf_counter()

    def read(self, share: float) -> tuple[int, int, float | None]:
        elapsed = time.perf_counter() - self._started
        whole = (elapsed + self._weight) / (share + self._weight / self._expected)
        return min(self._rows, int(share * self._rows + 1e-6)), self._rows, whole * (1 - share)


def _alone(graph: Graph, node: Node) -> tuple[Node, int]:
    """The node as it is when all that it takes comes from one source, and the channels of that source."""
    if isinstance(node, Conv):
        slopes = node.activation and replace(node.activation, slopes=node.activation.slopes and "slopes")
        return replace(node, sources=(0,), name="trial", scale=node.enlarge, activation=slopes), graph.taken(node)
    blank = {name: 0 for name in ("source", "trunk") if hasattr(node, name)}
    blank |= {name: name for name in ("gain", "shift") if isinstance(getattr(node, name, None), str)}
    return replace(node, scale=enlargement_of(node), **blank), graph.nodes[sources_of(node)[0]].channels
