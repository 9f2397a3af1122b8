"""A batch over the workers of a cluster: each makes one file at a time, or one slab of a large picture.

This process names and claims the results as it does for a plain run. Of few large pictures it makes one after the
other, and the workers run its network, each on one slab at a time. What a worker had when it died goes to another one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from weights.memory import most_slabs

from .batch import Item, Running
from .cluster import ALONE_SECONDS, LOOK_SECONDS, MOST_DEATHS, Crew, Shift, Staffing, Worker, WorkerLost
from .errors import EnhanceError, SettingsError
from .files import sweep
from .inference import known_graph
from .inference.network_output import Slab, laid_out
from .picture import reduced_size

if TYPE_CHECKING:
    from .inference.engine import LentStep, Loan

log = logging.getLogger(__name__)


class Making:
    """One picture's slabs on their way over the workers, and the strips of its output as these are ready.

    `joined` is for the thread that wants the output, `waits` and `work` are for those of a `Shift`.
    """

    def __init__(self, slabs: Sequence[Slab], told: Callable[[EnhanceError], object]):
        self._slabs, self._told = slabs, told
        self._waiting, self._made = deque(range(len(slabs))), set[int]()
        self._shares, self._deaths = [0.0] * len(slabs), Counter[int]()
        self._stop, self._failed = threading.Event(), list[EnhanceError]()

    def waits(self) -> bool:
        return bool(self._waiting) and not self._stop.is_set()

    def work(self, worker: Worker) -> bool:
        """Have the worker make the next slab; False where none waits. Raises WorkerLost."""
        try:
            place = self._waiting.popleft()
        except IndexError:
            return False
        try:
            told = partial(self._shares.__setitem__, place)
            made = worker.make("make_slab", self._slabs[place], told=told, stop=self._stop)
        except WorkerLost:
            self._lose(place)
            raise
        except Exception:
            log.exception("A worker failed")
            made = EnhanceError("unexpected")
        if isinstance(made, EnhanceError):
            self._failed.append(made)
        elif made is not None:
            self._shares[place] = 1.0
            self._made.add(place)
        return self.waits()

    def _lose(self, place: int) -> None:
        self._deaths[place] += 1
        if self._deaths[place] < MOST_DEATHS:
            self._waiting.appendleft(place)
            self._told(EnhanceError("cluster_slab_lost", place=place + 1, count=len(self._slabs)))
        else:
            self._failed.append(EnhanceError("cluster_died", count=MOST_DEATHS))

    def joined(self, shift: Shift, expected: float) -> Generator[LentStep, None, None]:
        """The strips of all slabs in their order; `expected` are the seconds that one worker would take for all."""
        from .inference.engine import LentStep
        from .inference.steps import Clock

        started, nothing = time.perf_counter(), np.empty((0, 0, 3), np.uint8)
        clock = Clock(sum(slab.height for slab in self._slabs), expected / shift.crew.count)

        def step(strip: np.ndarray) -> LentStep:
            return LentStep(strip, clock.read(self._share()), time.perf_counter() - started)

        with shift.begun() as served:
            try:
                for place, slab in enumerate(self._slabs):
                    for _ in self._until_made(place, shift, served):
                        yield step(nothing)
                    yield from map(step, slab.strips())
                shift.report()
            finally:
                self._stop.set()

    def _until_made(self, place: int, shift: Shift, served: Sequence[Future[None]]) -> Iterator[None]:
        """Comes back now and then until the slab is made. Raises EnhanceError where it cannot be."""
        alone = time.monotonic() + ALONE_SECONDS
        while place not in self._made:
            ended = not wait(served, timeout=LOOK_SECONDS).not_done
            if self._failed:
                raise self._failed[0]
            if ended and place not in self._made:
                for one in served:
                    one.result()
                raise shift.unfit[0]
            if time.monotonic() > alone:
                shift.report()
            yield

    def _share(self) -> float:
        done = sum(share * slab.height for share, slab in zip(self._shares, self._slabs, strict=True))
        return done / sum(slab.height for slab in self._slabs)


@dataclass
class Spread(Running):
    """A batch that the workers of a cluster make: file by file, several at once, or each picture's slabs at once.

    `told` hears of every worker that dies, or that cannot work while others can.
    """

    ray: Any = None
    wanted: Staffing = field(default_factory=Staffing)
    told: Callable[[EnhanceError], object] = lambda error: None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._deaths: Counter[str] = Counter()
        self._left_in: set[Path] = set()

    def _work(self) -> None:
        waiting = [item for item in self.batch.items if item.state == "waiting"]
        if not waiting:
            self._next()
            return
        machines = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        data, folder = self.enhancer.tasks.folder, self._folder(waiting[0])
        if self._cuts(waiting, machines):
            self.enhancer.lend = partial(self._lend, machines, folder)
            super()._work()
            return
        crew = Crew.on(machines, self.wanted, len(waiting))
        folders = sorted({item.source.absolute().parent for item in waiting})
        way = (self._waits, self._make_next, self.told)
        self._spread(Shift(self.ray, crew, self.wanted, data, folders, folder, *way))

    def _cuts(self, waiting: Sequence[Item], machines: Sequence[Mapping[str, float]]) -> bool:
        """Whether each picture is cut into slabs: as asked, else where that is sooner than a worker for each.

        With n slabs of the least height one takes 2 / n of the time, and each waits for those before it.
        """
        if self.wanted.slabs is not None:
            return self.wanted.slabs > 1
        crew = Crew.on(machines, self.wanted)
        least = 2 * len(waiting)
        return all(self._slabs_of(item, crew.count) >= least for item in waiting) and self._computes_like(crew)

    def _slabs_of(self, item: Item, room: int) -> int:
        settings = item.settings or self.settings
        size = reduced_size(*item.size, settings.reduce) if item.size else (0, 0)
        return most_slabs(known_graph(settings.model), max(size), room)

    def _computes_like(self, crew: Crew) -> bool:
        """Whether this process, which chooses the precision then, has a card if the workers have."""
        from .inference.device import pick_device

        try:
            return (pick_device(self.wanted.device).type == "cuda") == bool(crew.cards)
        except SettingsError:
            return False

    def _lend(
        self, machines: Sequence[Mapping[str, float]], folder: Path, loan: Loan
    ) -> Generator[LentStep | EnhanceError, None, None]:
        """The network of one picture by the workers, whose files lie in the folder until they are joined."""
        wanted, graph = replace(self.wanted, precision=loan.precision), known_graph(loan.recipe.model)
        room, rows = Crew.on(machines, wanted).count, max(loan.rgb.shape[:2])
        count = wanted.slabs or most_slabs(graph, rows, room)
        try:
            with laid_out(loan.rgb, folder, loan.recipe, loan.tile, count) as slabs:
                making, crew = Making(slabs, self.told), Crew.on(machines, wanted, len(slabs))
                way = (making.waits, making.work, self.told)
                shift = Shift(self.ray, crew, wanted, self.enhancer.tasks.folder, (), folder, *way)
                yield from making.joined(shift, loan.seconds)
        finally:
            sweep(folder)

    def _folder(self, first: Item) -> Path:
        """Where the results go."""
        folder = self.batch.names.folder if self.batch.names else self.enhancer.tasks.folder
        return (first.output.parent if first.output else folder).absolute()

    def _spread(self, shift: Shift) -> None:
        with shift.begun() as served:
            try:
                while wait(served, timeout=ALONE_SECONDS).not_done:
                    shift.report()
            except BaseException:
                self.stop.set()
                raise
            finally:
                for folder in self._left_in:
                    sweep(folder)
        for one in served:
            one.result()
        if self.stop.is_set():
            self._next()
        elif self.batch.count("waiting"):
            raise shift.unfit[0]
        shift.report()

    def _waits(self) -> bool:
        return not self.stop.is_set() and self.batch.count("waiting") > 0

    def _make_next(self, worker: Worker) -> bool:
        item = self._next()
        if item is not None:
            self._hand(item, worker)
        return item is not None

    def _hand(self, item: Item, worker: Worker) -> None:
        output = item.output.absolute() if item.output else None
        sent = replace(item, source=item.source.absolute(), output=output, state="waiting")
        options = {"max_pixels": self._pixels, "max_bytes": self._bytes, "report": self.report}
        options |= {"encoding": self.encoding, "check": self._check}
        asked, tell = ("make", sent, self.settings, options), (lambda share: self._tell(item, share))
        try:
            made = worker.make(*asked, told=tell, stop=self.stop)
        except WorkerLost:
            self._deaths[item.key] += 1
            self._left_in |= {item.output.parent} if item.output else set()
            if self._deaths[item.key] < MOST_DEATHS:
                self._put(replace(item, state="waiting"))
                self.told(EnhanceError("cluster_lost", name=item.name))
            else:
                self._end(replace(item, state="failed", error=EnhanceError("cluster_died", count=MOST_DEATHS)))
            raise
        except Exception:
            log.exception("A worker failed")
            made = replace(item, state="failed", error=EnhanceError("unexpected"))
        made = made or replace(item, state="cancelled")
        if made.info and item.output:
            made.info["output"]["path"] = str(item.output)
        self._end(replace(made, source=item.source, output=item.output))
