"""A folder's files over the machines of a Ray cluster: paths travel, pixels do not, and all see the same folders.

This process names and claims the results as it does for a plain run, and each worker makes one file at a time. A file
whose worker died goes to another one. Ray is imported when it is asked for.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .batch import Batch, Item, Running
from .enhancer import Enhancer
from .errors import EnhanceError, SettingsError
from .files import part_of, place_whole, sweep
from .settings import Settings

log = logging.getLogger(__name__)

_ADDRESS = re.compile(r"([^\s:/]+|\[[0-9A-Fa-f:]+\]):(\d{1,5})")
_MOST_CORES = 8
"""Of one worker, where nothing else is asked for: beyond these a second picture gains more than a faster first one."""
_LOOK_SECONDS = 0.5
_CONNECT_SECONDS = 5.0
_STOP_SECONDS = 4.0
"""How long a worker may take to put its file down; less than what the command line gives to the end."""
_ALONE_SECONDS = 20.0
_MOST_DEATHS = 3
"""So many workers that die of one file are the file's doing."""
_STORE_BYTES = 80 << 20
"""What a local Ray keeps in memory for what travels: the least that it takes."""


@dataclass(frozen=True)
class Staffing:
    """What is asked of the cluster: so many workers at most (None: as many as fit), and the cores of each."""

    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    cores: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("--ray-workers", self.workers), ("--ray-cores", self.cores)):
            if value is not None and value < 1:
                raise SettingsError("cluster_number", name=name, value=value)


@dataclass(frozen=True)
class Crew:
    """How many workers there are to be, and the cores and graphics cards of each."""

    count: int
    cores: int
    cards: int

    @classmethod
    def on(cls, machines: Sequence[Mapping[str, float]], wanted: Staffing, files: int) -> Crew:
        """A worker for each card where there are cards, else for each group of cores. Raises EnhanceError."""
        cores = [int(machine.get("CPU", 0)) for machine in machines]
        cards = [int(machine.get("GPU", 0)) for machine in machines]
        on_cards = any(cards) and wanted.device != "cpu"
        if on_cards:
            each = wanted.cores or 1
            room = sum(min(card, own // each) for own, card in zip(cores, cards, strict=True))
        else:
            shared = max(1, sum(cores) // wanted.workers) if wanted.workers else _MOST_CORES
            each = wanted.cores or min([_MOST_CORES, shared, *filter(None, cores)])
            room = sum(own // each for own in cores)
        if not room:
            raise EnhanceError("cluster_no_room", cores=each, most=max(cores, default=0))
        return cls(min(room, wanted.workers or room, files), each, int(on_cards))


@contextmanager
def reach(address: str) -> Iterator[Any]:
    """Ray, connected to the cluster at `address` (host:port, or auto), or to one of this machine alone: local.

    Raises SettingsError where Ray is not installed or that is no address, EnhanceError where nothing answers there. As
    long as it lasts, `sys.stdout` leads nowhere.
    """
    found = _ADDRESS.fullmatch(address)
    if not found and address not in ("auto", "local"):
        raise SettingsError("cluster_address", value=address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of its use; read by the import
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        raise SettingsError("cluster_no_ray") from error
    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        if found:
            socket.create_connection((found[1].strip("[]"), int(found[2])), _CONNECT_SECONDS).close()
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):  # where Ray tells of workers that died
            ray.init(**options)
            _take_back(handlers)
            yield ray
    except (OSError, OverflowError, RuntimeError, ValueError, RayError) as error:
        if ray.is_initialized():
            raise
        raise EnhanceError("cluster_unreached", address=address, reason=_reason(error)) from error
    finally:
        ray.shutdown()
        _take_back(handlers)


def _take_back(handlers: Mapping[signal.Signals, Any]) -> None:
    """Ray ends a process in its own way; here a signal ends it in order."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)


class Maker:
    """What runs in a worker: one `Enhancer`, which makes files that it is told the paths of."""

    def __init__(self, wanted: Staffing, data: Path, environment: Mapping[str, str]):
        for name, value in environment.items():
            os.environ.setdefault(name, value)
        self._enhancer = Enhancer(wanted.device, wanted.precision, data=data)
        self._stop = threading.Event()
        self._share = 0.0

    def look(self, proof: Path, secret: str, folders: Iterable[Path]) -> EnhanceError | str:
        """The machine's name, or why it can make nothing: its device, or a folder that is not the sender's."""
        machine = socket.gethostname()
        try:
            self._enhancer.check()
            unseen = [folder for folder in folders if not folder.is_dir()]
            if not unseen and proof.read_text("utf-8") == secret:
                return machine
        except EnhanceError as error:
            return error
        except (OSError, ValueError):
            unseen = []
        return EnhanceError("cluster_unseen", machine=machine, folder=[*unseen, proof.parent][0])

    def make(self, item: Item, settings: Settings, options: Mapping[str, Any]) -> Item:
        """The file as it came out."""
        running = Running(self._enhancer, settings, Batch((item,)), self._stop, self._watch, **options)
        return running.run().items[0]

    def share(self) -> float:
        """How much of the file at work is done, 0..1."""
        return self._share

    def stop(self) -> None:
        self._stop.set()

    def _watch(self, batch: Batch) -> None:
        self._share = batch.share_of_file


class WorkerLost(Exception):
    """The worker is no more, or cannot be reached; what it was making is not made."""


class Worker:
    """A `Maker` on some machine of the cluster, as this process sees it. What it is asked raises WorkerLost."""

    def __init__(self, ray: Any, crew: Crew, wanted: Staffing, data: Path):
        self._ray = ray
        environment = {name: value for name, value in os.environ.items() if name.startswith("ENHANCE_")}
        kind = ray.remote(num_cpus=crew.cores, num_gpus=crew.cards, max_concurrency=4, max_restarts=0)(Maker)
        self._actor = kind.remote(wanted, data, environment)

    def ask(self, what: str, *values: Any, meanwhile: Callable[[], bool]) -> Any:
        """The answer, or None as soon as `meanwhile`, which is asked again and again, no longer wants it."""
        try:
            answer = getattr(self._actor, what).remote(*values)
            while not self._ray.wait([answer], timeout=_LOOK_SECONDS)[0]:
                if not meanwhile():
                    return None
            return self._ray.get(answer)
        except self._ray.exceptions.RayActorError as error:
            raise WorkerLost(_reason(error)) from error

    def make(self, item: Item, *values: Any, told: Callable[[float], object], stop: threading.Event) -> Item | None:
        """The file as it came out; None where it was stopped and did not end in time."""
        until: list[float] = []

        def look() -> bool:
            if stop.is_set() and not until:
                until.append(time.monotonic() + _STOP_SECONDS)
                self._actor.stop.remote()
            with suppress(self._ray.exceptions.RayError):
                told(self._ray.get(self._actor.share.remote(), timeout=_LOOK_SECONDS))
            return not until or time.monotonic() < until[0]

        return self.ask("make", item, *values, meanwhile=look)

    def dismiss(self) -> None:
        """End it, whatever it does, so that others can have its place."""
        self._ray.kill(self._actor)


@dataclass
class Spread(Running):
    """A batch whose files are made by the workers of a cluster, several at once.

    `told` hears of every worker that dies, or that cannot work while others can.
    """

    ray: Any = None
    wanted: Staffing = field(default_factory=Staffing)
    told: Callable[[EnhanceError], object] = lambda error: None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._deaths: Counter[str] = Counter()
        self._unfit: list[EnhanceError] = []
        self._said: set[str] = set()
        self._left_in: set[Path] = set()
        self._working = 0

    def _work(self) -> None:
        waiting = [self.batch.items[place] for place in self._places("waiting")]
        if not waiting:
            self._next()
            return
        machines = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        self._crew = Crew.on(machines, self.wanted, len(waiting))
        self._folders = sorted({item.source.absolute().parent for item in waiting})
        with self._proof(waiting[0]), ThreadPoolExecutor(self._crew.count) as threads:
            served = [threads.submit(self._serve) for _ in range(self._crew.count)]
            try:
                while wait(served, timeout=_ALONE_SECONDS).not_done:
                    self._report_on_workers()
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
        elif self._places("waiting"):
            raise self._unfit[0]
        self._report_on_workers()

    def _report_on_workers(self) -> None:
        """Tell of those that cannot work, while others can, and that there is none yet; everything once."""
        alone = [] if self._working or not self._places("waiting") else [EnhanceError("cluster_waiting")]
        for error in alone or self._unfit:
            if str(error) not in self._said:
                self._said.add(str(error))
                self.told(error)

    @contextmanager
    def _proof(self, first: Item) -> Iterator[None]:
        """A file in the folder of the results, by which a worker knows that it is the same folder."""
        folder = self.batch.names.folder if self.batch.names else self.enhancer.tasks.folder
        folder = first.output.parent if first.output else folder
        self._secret, self._seen_by = secrets.token_hex(16), part_of(folder.absolute() / "proof")
        place_whole(self._seen_by, lambda temporary: temporary.write_text(self._secret, "utf-8"))
        try:
            yield
        finally:
            with suppress(OSError):
                self._seen_by.unlink(missing_ok=True)

    def _serve(self) -> None:
        """Keep one worker busy until nothing waits, and another one when it dies."""
        while worker := self._engaged():
            try:
                while (place := self._next()) is not None:
                    self._hand(place, worker)
                return
            except WorkerLost:
                continue
            finally:
                self._count(-1)
                worker.dismiss()

    def _count(self, workers: int) -> None:
        with self._lock:
            self._working += workers

    def _engaged(self) -> Worker | None:
        """A worker that is ready; None where none can work here, or nothing waits any more."""

        def needed() -> bool:
            return not self.stop.is_set() and bool(self._places("waiting"))

        answer = None
        for _ in range(_MOST_DEATHS):  # at its start one may be killed for want of memory that is there again later
            worker = Worker(self.ray, self._crew, self.wanted, self.enhancer.tasks.folder)
            try:
                answer = worker.ask("look", self._seen_by, self._secret, self._folders, meanwhile=needed)
            except (WorkerLost, self.ray.exceptions.RayError) as lost:
                worker.dismiss()
                answer = EnhanceError("cluster_no_start", reason=_reason(lost))
                continue
            if isinstance(answer, str):
                self._count(1)
                return worker
            worker.dismiss()
            break
        if answer is not None:
            self._unfit.append(answer)
        return None

    def _hand(self, place: int, worker: Worker) -> None:
        item = self.batch.items[place]
        output = item.output.absolute() if item.output else None
        sent = replace(item, source=item.source.absolute(), output=output, state="waiting")
        options = {"max_pixels": self._pixels, "max_bytes": self._bytes, "report": self.report}
        options |= {"encoding": self.encoding}
        try:
            made = worker.make(sent, self.settings, options, told=lambda share: self._tell(item, share), stop=self.stop)
        except WorkerLost:
            self._deaths[item.key] += 1
            self._left_in |= {item.output.parent} if item.output else set()
            if self._deaths[item.key] < _MOST_DEATHS:
                self._put(place, replace(item, state="waiting"))
                self.told(EnhanceError("cluster_lost", name=item.name))
            else:
                self._end(place, replace(item, state="failed", error=EnhanceError("cluster_died", count=_MOST_DEATHS)))
            raise
        except Exception:
            log.exception("A worker failed")
            made = replace(item, state="failed", error=EnhanceError("unexpected"))
        made = made or replace(item, state="cancelled")
        if made.info and item.output:
            made.info["output"]["path"] = str(item.output)
        self._end(place, replace(made, source=item.source, output=item.output))


def _reason(error: BaseException) -> str:
    """The line that tells it: the last of a trace that came from a worker, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1 if "ray::" in lines[0] else 0]
