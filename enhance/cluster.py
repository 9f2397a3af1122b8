"""Workers on the machines of a Ray cluster: paths travel, pixels do not, and all see the same folders.

For each that dies another one comes. Ray is imported when it is asked for.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .batch import Batch, Item, Running, plan
from .enhancer import Enhancer
from .errors import EnhanceError, SettingsError
from .files import part_of, place_whole
from .inference.network_output import Slab
from .settings import Settings

log = logging.getLogger(__name__)

_ADDRESS = re.compile(r"([^\s:/]+|\[[0-9A-Fa-f:]+\]):(\d{1,5})")
_MOST_CORES = 8
"""Of one worker, where nothing else is asked for: beyond these a second picture gains more than a faster first one."""
LOOK_SECONDS = 0.5
_CONNECT_SECONDS = 5.0
_STOP_SECONDS = 4.0
"""How long a worker may take to put its file down; less than what the command line gives to the end."""
ALONE_SECONDS = 20.0
MOST_DEATHS = 3
"""So many workers that die of one file, or of one slab, are its doing."""
_STORE_BYTES = 80 << 20
"""What a local Ray keeps in memory for what travels: the least that it takes."""


@dataclass(frozen=True)
class Staffing:
    """What is asked of the cluster: so many workers at most (None: as many as fit), and the cores of each.

    `slabs` is how many every picture is cut into; None where that is decided by its height and the number of workers.
    """

    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    cores: int | None = None
    slabs: int | None = None

    def __post_init__(self) -> None:
        asked = {"--ray-workers": self.workers, "--ray-cores": self.cores, "--slabs": self.slabs}
        for name, value in asked.items():
            if value is not None and value < 1:
                raise SettingsError("cluster_number", name=name, value=value)


@dataclass(frozen=True)
class Crew:
    """How many workers there are to be, and the cores and graphics cards of each."""

    count: int
    cores: int
    cards: int

    @classmethod
    def on(cls, machines: Sequence[Mapping[str, float]], wanted: Staffing, files: int | None = None) -> Crew:
        """A worker for each card where there are cards, else for each group of cores; no more than `files`.

        Raises EnhanceError.
        """
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
        return cls(min(room, wanted.workers or room, files or room), each, int(on_cards))


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
    # A thread of Ray prints which workers died, until the shutdown has ended it.
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        try:
            if found:
                socket.create_connection((found[1].strip("[]"), int(found[2])), _CONNECT_SECONDS).close()
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
        running = Running(self._enhancer, settings, plan([item]), self._stop, self._watch, **options)
        return running.run().items[0]

    def make_slab(self, slab: Slab) -> EnhanceError | Slab:
        """The slab, whose output now lies where it says, or why there is none."""

        def progress(done: int, total: int, left: float | None) -> None:
            self._share = done / total

        self._share = 0.0
        try:
            slab.make(self._enhancer.engine.stream, progress, self._stop)
        except EnhanceError as error:
            return error
        return slab

    def share(self) -> float:
        """How much of what is at work is done, 0..1."""
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
            while not self._ray.wait([answer], timeout=LOOK_SECONDS)[0]:
                if not meanwhile():
                    return None
            return self._ray.get(answer)
        except self._ray.exceptions.RayActorError as error:
            raise WorkerLost(_reason(error)) from error

    def make(self, what: str, *values: Any, told: Callable[[float], object], stop: threading.Event) -> Any:
        """What came out; None where it was stopped and did not end in time. `told` hears how much is done."""
        until: list[float] = []

        def look() -> bool:
            if stop.is_set() and not until:
                until.append(time.monotonic() + _STOP_SECONDS)
                self._actor.stop.remote()
            with suppress(self._ray.exceptions.RayError):
                told(self._ray.get(self._actor.share.remote(), timeout=LOOK_SECONDS))
            return not until or time.monotonic() < until[0]

        return self.ask(what, *values, meanwhile=look)

    def dismiss(self) -> None:
        """End it, whatever it does, so that others can have its place."""
        self._ray.kill(self._actor)


@dataclass
class Shift:
    """Workers on their way through what there is to do; another one comes for each that dies.

    `waits` says whether there is anything left to begin. `work` has a worker do the next thing, and is False where
    there is none; it raises WorkerLost. Workers must see the `folders`, and `shared` as the folder that this process
    sees. `told` hears, once, of each that cannot work while others can, and that there is none.
    """

    ray: Any
    crew: Crew
    wanted: Staffing
    data: Path
    folders: Sequence[Path]
    shared: Path
    waits: Callable[[], bool]
    work: Callable[[Worker], bool]
    told: Callable[[EnhanceError], object]

    def __post_init__(self) -> None:
        self.unfit: list[EnhanceError] = []
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._working = 0

    @contextmanager
    def begun(self) -> Iterator[list[Future[None]]]:
        """The workers at work, each until nothing is left to begin; they are waited for."""
        with self._proof(), ThreadPoolExecutor(self.crew.count) as threads:
            yield [threads.submit(self._serve) for _ in range(self.crew.count)]

    def report(self) -> None:
        """Tell of what hinders, which has not been told yet."""
        alone = [] if self._working or not self.waits() else [EnhanceError("cluster_waiting")]
        for error in alone or self.unfit:
            if str(error) not in self._said:
                self._said.add(str(error))
                self.told(error)

    @contextmanager
    def _proof(self) -> Iterator[None]:
        """A file by which a worker knows that a folder is the same as here."""
        self._secret, self._seen_by = secrets.token_hex(16), part_of(self.shared / "proof")
        place_whole(self._seen_by, lambda temporary: temporary.write_text(self._secret, "utf-8"))
        try:
            yield
        finally:
            with suppress(OSError):
                self._seen_by.unlink(missing_ok=True)

    def _serve(self) -> None:
        """Keep one worker busy, and another one when it dies."""
        while worker := self._engaged():
            try:
                while self.work(worker):
                    pass
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
        answer = None
        for _ in range(MOST_DEATHS):  # at its start one may be killed for want of memory that is there again later
            worker = Worker(self.ray, self.crew, self.wanted, self.data)
            try:
                answer = worker.ask("look", self._seen_by, self._secret, self.folders, meanwhile=self.waits)
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
            self.unfit.append(answer)
        return None


def _reason(error: BaseException) -> str:
    """The line that tells it: the last of a trace that came from a worker, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1 if "ray::" in lines[0] else 0]
