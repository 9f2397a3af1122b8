"""A batch over the workers of a Ray cluster. File paths are sent to the workers, pixels are not.

Each worker is a Ray actor with an `Enhancer` of its own. When a worker's process dies, another worker processes its
file. Ray is imported only when a cluster is used.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .batch import BatchRun, Item, plan
from .enhancer import Enhancer
from .errors import EnhanceError, SettingsError
from .files import write_atomically
from .processes import remove_leftovers, temporary_path
from .settings import Settings

log = logging.getLogger(__name__)

_ADDRESS = re.compile(r"([^\s:/]+|\[[0-9A-Fa-f:]+\]):(\d{1,5})")
_MAX_CORES = 8
"""Cores of one worker by default: with more cores, a second file gains more than a faster first one."""
_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.5
_STOP_SECONDS = 4.0
"""How long workers can take to cancel; less than the command line's own limit."""
_MAX_ATTEMPTS = 3
"""Workers that can die while they process the same file."""
_WARN_SECONDS = 20.0
_STORE_BYTES = 80 << 20
"""Size of the object store of a local Ray, the smallest that Ray accepts."""


@dataclass(frozen=True)
class WorkerPlan:
    """The number of workers, and the cores and GPUs of each."""

    count: int
    cores: int
    gpus: int

    @classmethod
    def for_nodes(
        cls,
        nodes: Sequence[Mapping[str, float]],
        device: str = "auto",
        workers: int | None = None,
        cores: int | None = None,
    ) -> WorkerPlan:
        """Return one worker for each GPU, or without GPUs for each group of cores.

        `nodes` are the resources of the machines as Ray names them; `workers` is the largest number of workers and
        `cores` the cores of each. Raises EnhanceError if no machine has enough cores.
        """
        node_cores = [int(node.get("CPU", 0)) for node in nodes]
        node_gpus = [int(node.get("GPU", 0)) for node in nodes]
        if any(node_gpus) and device != "cpu":
            each, gpus = cores or 1, 1
            room = sum(min(gpu, core // each) for core, gpu in zip(node_cores, node_gpus, strict=True))
        else:
            share = max(1, sum(node_cores) // workers) if workers else _MAX_CORES
            each, gpus = cores or min([_MAX_CORES, share, *filter(None, node_cores)]), 0
            room = sum(core // each for core in node_cores)
        if not room:
            raise EnhanceError("cluster_no_room", cores=each, most=max(node_cores, default=0))
        return cls(min(room, workers or room), each, gpus)


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """Connect to the Ray cluster at `address` (host:port or auto), or start one on this machine: local. Yields `ray`.

    Ray's own output to `sys.stdout` is discarded meanwhile. Raises SettingsError if Ray is not installed or the address
    is malformed, EnhanceError if no cluster answers.
    """
    host = _ADDRESS.fullmatch(address)
    if not host and address not in ("auto", "local"):
        raise SettingsError("cluster_address", value=address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        raise SettingsError("cluster_no_ray") from error
    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    # A thread of Ray prints which workers died until the shutdown has ended it.
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        try:
            if host:
                socket.create_connection((host[1].strip("[]"), int(host[2])), _CONNECT_SECONDS).close()
            ray.init(**options)
            _restore(handlers)
            yield ray
        except (OSError, OverflowError, RuntimeError, ValueError, RayError) as error:
            if ray.is_initialized():
                raise
            raise EnhanceError("cluster_unreached", address=address, reason=str(error).split("\n")[0]) from error
        finally:
            ray.shutdown()
            _restore(handlers)


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    """Set the signal handlers again that Ray replaces."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)


class ClusterWorker:
    """The actor: an `Enhancer` that processes one file at a time."""

    def __init__(self, device: str, precision: str, data: Path, environment: Mapping[str, str]):
        for name, value in environment.items():
            os.environ.setdefault(name, value)
        self._enhancer = Enhancer(device, precision, data=data)
        self._stop = threading.Event()

    def check(self, probe: Path, secret: str, folders: Sequence[Path]) -> EnhanceError | None:
        """Return why this worker cannot be used: its device, or a folder that it does not share with the sender."""
        try:
            self._enhancer.check()
            missing = next((folder for folder in folders if not folder.is_dir()), None)
            if missing is None and probe.read_text("utf-8") == secret:
                return None
        except EnhanceError as error:
            return error
        except (OSError, ValueError):
            missing = None
        return EnhanceError("cluster_unseen", machine=socket.gethostname(), folder=missing or probe.parent)

    def run(self, item: Item, settings: Settings, options: Mapping[str, Any]) -> Item:
        """Process one file and return it with its result or its error."""
        return BatchRun(self._enhancer, settings, plan([item]), self._stop, **options).run().items[0]

    def stop(self) -> None:
        self._stop.set()


@dataclass
class ClusterRun(BatchRun):
    """A batch that the workers of a cluster process, several files at once.

    This process names and claims the results as in a plain run. `warn` is called with the reason for each worker that
    cannot be used while others can.
    """

    ray: Any = None
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    cores: int | None = None
    warn: Callable[[EnhanceError], object] = lambda error: None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in {"--ray-workers": self.workers, "--ray-cores": self.cores}.items():
            if value is not None and value < 1:
                raise SettingsError("cluster_number", name=name, value=value)

    def _work(self) -> None:
        waiting = [item for item in self.batch.items if item.state == "waiting"]
        unusable: list[EnhanceError] = []
        if waiting:
            folders = sorted({item.source.absolute().parent for item in waiting})
            with _probe(self._output_folder(waiting[0])) as (probe, secret):
                try:
                    unusable = self._process_in_thread(*self._workers(len(waiting)), (probe, secret, folders))
                finally:
                    for folder in {item.output.parent for item in self.batch.items if item.output}:
                        remove_leftovers(folder)  # partial files of killed workers
        if not self.stop.is_set() and unusable and self.batch.count("waiting"):
            raise unusable[0]
        self._next()
        for error in unusable:
            self.warn(error)

    def _workers(self, files: int) -> tuple[Callable[[], Any], int]:
        """Return a function that starts a worker, and the number of workers to start."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        plan = WorkerPlan.for_nodes(nodes, self.device, self.workers, self.cores)
        environment = {name: value for name, value in os.environ.items() if name.startswith("ENHANCE_")}
        # two calls at once: a file, and stop
        actor = self.ray.remote(num_cpus=plan.cores, num_gpus=plan.gpus, max_concurrency=2)(ClusterWorker)
        start = partial(actor.remote, self.device, self.precision, self.enhancer.tasks.folder, environment)
        return start, min(plan.count, files)

    def _process_in_thread(self, *work: Any) -> list[EnhanceError]:
        """Process the files in a thread: in the main thread, Ray turns SIGTERM into Ctrl-C."""
        with ThreadPoolExecutor(1) as threads:
            processing = threads.submit(self._process, *work)
            try:
                return processing.result()
            except BaseException:
                self.stop.set()
                raise

    def _process(self, start: Callable[[], Any], count: int, check: tuple[Any, ...]) -> list[EnhanceError]:
        """Give every usable worker one file after another; return why the others cannot be used.

        `check` holds the arguments of the first call of each worker, `ClusterWorker.check`.
        """
        unusable: list[EnhanceError] = []
        deaths: Counter[str] = Counter()
        tasks: dict[Any, tuple[Any, Item | None]] = {}  # a running task -> its worker, and its file
        warning = time.monotonic() + _WARN_SECONDS

        def begin() -> None:
            worker = start()
            tasks[worker.check.remote(*check)] = worker, None

        try:
            for _ in range(count):
                begin()
            while tasks and not self.stop.is_set():
                finished, _ = self.ray.wait(list(tasks), timeout=_POLL_SECONDS)
                for task in finished:
                    worker, item = tasks.pop(task)
                    warning = float("inf")
                    try:
                        answer = self._result(task)
                    except self.ray.exceptions.RayActorError as error:
                        if item is None:
                            unusable.append(EnhanceError("cluster_no_start", reason=str(error).split("\n")[0]))
                        else:
                            self._retry(item, deaths)
                            begin()
                        continue
                    if item is not None:
                        self._finish(item, answer)
                    elif isinstance(answer, EnhanceError):
                        unusable.append(answer)
                        continue
                    if (item := self._next()) is not None:
                        tasks[self._submit(worker, item)] = worker, item
                if time.monotonic() > warning:
                    warning = float("inf")
                    self.warn(EnhanceError("cluster_waiting"))
        finally:
            self._cancel(tasks)
        return unusable

    def _cancel(self, tasks: Mapping[Any, tuple[Any, Item | None]]) -> None:
        """Cancel what is still running and wait a short time for the workers."""
        if not tasks:
            return
        self.stop.set()
        for worker, _ in tasks.values():
            worker.stop.remote()
        finished, _ = self.ray.wait(list(tasks), num_returns=len(tasks), timeout=_STOP_SECONDS)
        for task, (_, item) in tasks.items():
            if item is not None:
                cancelled = replace(item, state="cancelled")
                with suppress(self.ray.exceptions.RayActorError):
                    cancelled = self._result(task) if task in finished else cancelled
                self._finish(item, cancelled)

    def _result(self, task: Any) -> Any:
        """Return what a task returned. Raises RayActorError if its worker died."""
        try:
            return self.ray.get(task)
        except self.ray.exceptions.RayActorError:
            raise
        except Exception:
            log.exception("A worker failed")
            return EnhanceError("unexpected")

    def _retry(self, item: Item, deaths: Counter[str]) -> None:
        """Let another worker process a file whose worker died, up to a number of times."""
        deaths[item.key] += 1
        if deaths[item.key] < _MAX_ATTEMPTS:
            self._put(replace(item, state="waiting"))
            self.warn(EnhanceError("cluster_lost", name=item.name))
        else:
            self._finish(item, EnhanceError("cluster_died", count=_MAX_ATTEMPTS))

    def _submit(self, worker: Any, item: Item) -> Any:
        output = item.output.absolute() if item.output else None
        sent = replace(item, source=item.source.absolute(), output=output, state="waiting")
        limits = {"max_pixels": self._pixels, "max_bytes": self._bytes}
        return worker.run.remote(sent, self.settings, {**limits, "report": self.report, "encoding": self.encoding})

    def _finish(self, item: Item, made: Item | EnhanceError) -> None:
        if isinstance(made, EnhanceError):
            self._end(replace(item, state="failed", error=made))
            return
        if made.info and item.output:
            made.info["output"]["path"] = str(item.output)
        self._end(replace(made, source=item.source, output=item.output))

    def _output_folder(self, first: Item) -> Path:
        folder = self.batch.names.folder if self.batch.names else self.enhancer.tasks.folder
        return (first.output.parent if first.output else folder).absolute()


@contextmanager
def _probe(folder: Path) -> Iterator[tuple[Path, str]]:
    """Write a file with a secret by which a worker recognises the shared folder; yields its path and the secret."""
    path, secret = temporary_path(folder / "probe"), secrets.token_hex(16)
    write_atomically(path, lambda temporary: temporary.write_text(secret, "utf-8"))
    try:
        yield path, secret
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
