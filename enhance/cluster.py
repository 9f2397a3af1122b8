"""A batch over the workers of a Ray cluster. File paths are sent to the workers, pixels are not.

Each worker is a Ray actor with an `Enhancer` of its own. When a worker's process dies, Ray starts another one, which
processes the file again. Ray is imported only when a cluster is used.
"""

from __future__ import annotations

import math
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .batch import BatchRun, Item, plan
from .enhancer import Enhancer
from .errors import EnhanceError, SettingsError, expected_error, optional_packages
from .files import AtomicFile
from .output.names import ResultNames
from .processes import remove_leftovers
from .remote import RemoteNames

_ADDRESS = re.compile(r"([^\s:/]+|\[[0-9A-Fa-f:]+\]):(\d{1,5})")
_MAX_CORES = 8
"""The cores of one worker. With more cores, a second worker gains more than a faster first one."""
_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.5
_STOP_SECONDS = 4.0
"""How long workers can take to cancel; less than the command line's own limit."""
_MAX_ATTEMPTS = 3
"""A file fails when this many workers have died while they processed it."""
_WARN_SECONDS = 20.0
_SENT_OPTIONS = ("settings", "encoding", "report")
"""The options of the batch that workers need."""
_STORE_BYTES = 80 << 20
"""Size of the object store of a local Ray, the smallest that Ray accepts."""


def plan_workers(nodes: Sequence[Mapping[str, float]], device: str = "auto") -> tuple[int, int, int]:
    """Return the number of workers, and the cores and GPUs of each.

    There is one worker for each GPU with a core, or without GPUs for each group of cores. `nodes` are the resources of
    the machines as Ray names them. Raises EnhanceError if they have no cores, or if no machine with GPUs has any.
    """
    gpus, cores = ([int(node.get(name, 0)) for node in nodes] for name in ("GPU", "CPU"))
    if any(gpus) and device != "cpu":
        count, each, gpu = sum(map(min, gpus, cores)), 1, 1  # Ray never starts a worker that no machine has room for.
    else:
        each, gpu = min(filter(None, [_MAX_CORES, *cores])), 0
        count = sum(core // each for core in cores)
    if not count:
        raise EnhanceError("cluster_no_cores")
    return count, each, gpu


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
    with optional_packages("ray"):
        import ray
        from ray.exceptions import RayError
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

    def check(self, folders: Sequence[Path], probe: Path | None) -> EnhanceError | None:
        """Return why this worker cannot be used: its device, or a folder that it does not share with the sender.

        `probe` is a file that the sender has just created in the folder of the results; None if that is an address.
        """
        try:
            self._enhancer.check()
        except EnhanceError as error:
            return error
        missing = [folder for folder in folders if not folder.is_dir()]
        missing += [probe.parent] if probe and not probe.exists() else []
        if missing:
            return EnhanceError("cluster_unseen", machine=socket.gethostname(), folder=missing[0])
        return None

    def run(self, item: Item, names: Callable[[], ResultNames] | None = None, **options: Any) -> Item:
        """Process one file with the `options` of a `BatchRun` and return it with its result or its error.

        The result gets one of `names()`, unless the file has an `output`.
        """
        batch = plan([item], names and names())
        return BatchRun(self._enhancer, batch=batch, stop=self._stop, **options).run().items[0]

    def stop(self) -> None:
        """Cancel the current file, and all later ones."""
        self._stop.set()


@dataclass
class ClusterRun(BatchRun):
    """A batch that the workers of a cluster process, several files at once.

    The workers name the results as in a plain run. `warn` is called with the reason for each worker that cannot be
    used while others can.
    """

    ray: Any = None
    device: str = "auto"
    precision: str = "auto"
    warn: Callable[[EnhanceError], object] = lambda error: None

    def _process_all(self) -> None:
        waiting = [item for item in self.batch.items if item.state == "waiting"]
        with ThreadPoolExecutor(1) as thread:  # Ray turns SIGTERM into Ctrl-C in the main thread.
            try:
                unusable = thread.submit(self._use_workers, waiting).result() if waiting else []
            except BaseException:
                self.stop.set()
                raise
        if not self.stop.is_set() and unusable and self.batch.count("waiting"):
            raise unusable[0]
        self._next()  # Cancels the files that are still waiting. From then on, files cannot be added.
        for error in unusable:
            self.warn(error)

    def _use_workers(self, waiting: list[Item]) -> list[EnhanceError]:
        """Let every worker process one file after another. Return why workers cannot be used.

        A worker without files is released, so that a worker that restarts can use its resources.
        """
        folders = sorted({item.source.absolute().parent for item in waiting if not item.address})
        results = self.batch.names.folder if self.batch.names else self.enhancer.tasks.folder
        results = (waiting[0].output.parent if waiting[0].output else results).absolute()
        is_local, unusable = not isinstance(self.batch.names, RemoteNames), []
        warn_at, stop_at = time.monotonic() + _WARN_SECONDS, math.inf
        with AtomicFile(results / "probe") if is_local else nullcontext() as probe:
            if probe:
                probe.open().close()
            tasks: dict[Any, tuple[Any, Item | None]] = {
                worker.check.remote(folders, probe and probe.part): (worker, None)
                for worker in self._start_workers(len(waiting))
            }
            while tasks and time.monotonic() < stop_at:
                for task in self.ray.wait(list(tasks), timeout=_POLL_SECONDS)[0]:
                    worker, item = tasks.pop(task)
                    answer, warn_at = self._answer(task, item), math.inf
                    if isinstance(answer, Item):
                        self._end(answer)
                    elif answer is not None:
                        unusable.append(answer)
                        continue
                    if (item := self._next()) is not None:
                        tasks[self._send(worker, item)] = worker, item
                    del worker  # Ray ends a worker as soon as nothing refers to it.
                if time.monotonic() >= warn_at:
                    self.warn(EnhanceError("cluster_waiting"))
                    warn_at = math.inf
                if self.stop.is_set() and stop_at == math.inf:
                    stop_at = time.monotonic() + _STOP_SECONDS
                    for worker, _ in tasks.values():
                        worker.stop.remote()
        for _, item in tasks.values():
            if item is not None:
                self._end(replace(item, state="cancelled"))
        if is_local:
            for folder in {(results / item.target).parent for item in self.batch.items}:
                remove_leftovers(folder)  # partial files of killed workers
        return unusable

    def _start_workers(self, files: int) -> list[Any]:
        """Start at most one worker for each file. Ray restarts a worker that dies, and its file."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        count, cores, gpus = plan_workers(nodes, self.device)
        environment = {name: value for name, value in os.environ.items() if name.startswith("ENHANCE_")}
        actor = self.ray.remote(
            num_cpus=cores,
            num_gpus=gpus,
            max_concurrency=2,  # a file, and stop
            max_restarts=-1,
            max_task_retries=_MAX_ATTEMPTS - 1,
        )(ClusterWorker)
        values = self.device, self.precision, self.enhancer.tasks.folder, environment
        return [actor.remote(*values) for _ in range(min(count, files))]

    def _send(self, worker: Any, item: Item) -> Any:
        output = item.output.absolute() if item.output else None
        sent = replace(item, source=item.source.absolute(), output=output, state="waiting")
        options: dict[str, Any] = {name: getattr(self, name) for name in _SENT_OPTIONS}
        if names := self.batch.names:
            folder = names.address if isinstance(names, RemoteNames) else names.folder.absolute()
            options["names"] = partial(type(names), folder)
        return worker.run.remote(sent, **options)

    def _answer(self, task: Any, item: Item | None) -> Item | EnhanceError | None:
        """Return the processed `item`, or the result of a worker's check if there is no item."""
        try:
            answer = self.ray.get(task)
        except self.ray.exceptions.RayActorError as error:
            reason = str(error).split("\n")[0]
            died = EnhanceError("cluster_died", count=_MAX_ATTEMPTS)
            answer = died if item else EnhanceError("cluster_no_start", reason=reason)
        except Exception as error:
            answer = expected_error(error, "A worker failed")
        if item is None:
            return answer
        if isinstance(answer, EnhanceError):
            return replace(item, state="failed", error=answer)
        output = item.output
        if (names := self.batch.names) and answer.output and not isinstance(names, RemoteNames):
            output = names.folder / answer.output.relative_to(names.folder.absolute())
        if answer.info and output:
            answer.info["output"]["path"] = str(output)
        return replace(answer, source=item.source, output=output)
