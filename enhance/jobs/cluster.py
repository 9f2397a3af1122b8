"""A batch on a Ray cluster, where each file is a task of Ray. File paths are sent to the workers,
pixels are not.

When a worker's process dies, Ray processes the file again in another one. Ray is imported only when
a cluster is used.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..enhancer import Enhancer
from ..errors import Cancelled, EnhanceError, SettingsError, optional_packages
from ..store.names import ResultNames
from .batch import Batch, BatchFile, RunningBatch, plan

_MAX_CORES = 8
"""The cores of one worker. With more cores, a second worker gains more than a faster first one."""
_MAX_ATTEMPTS = 3
"""A file fails when this many workers have died while they processed it."""
_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.5
_STOP_SECONDS = 4.0
"""How long workers can take to cancel; less than the command line's own limit."""


def plan_workers(
    nodes: Sequence[Mapping[str, float]], device: str = "auto"
) -> tuple[int, int, int]:
    """Return the number of workers, and the cores and GPUs of each.

    There is one worker for each GPU, or without GPUs for each group of cores. `nodes` are the
    resources of the machines as Ray names them; those without cores are not used. Raises
    EnhanceError if no machine has cores.
    """
    usable = [node for node in nodes if node.get("CPU", 0) >= 1]
    if not usable:
        raise EnhanceError("cluster_no_cores")
    gpus = sum(int(node.get("GPU", 0)) for node in usable)
    if gpus and device != "cpu":
        return gpus, 1, 1
    cores = [int(node["CPU"]) for node in usable]
    cores_each = min(_MAX_CORES, *cores)
    return sum(cores) // cores_each, cores_each, 0


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """Connect to the Ray cluster at `address` (host:port or auto), or start one on this machine:
    local. Yields `ray`.

    Ray's own output to `sys.stdout` is discarded meanwhile. Raises SettingsError if Ray is not
    installed or the address is malformed, EnhanceError if no cluster answers.
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()) and address not in ("auto", "local"):
        raise SettingsError("cluster_address", value=address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported
    os.environ.setdefault("RAY_task_oom_retries", str(_MAX_ATTEMPTS - 1))  # otherwise without limit
    with optional_packages("ray"):
        import ray
        from ray.exceptions import RayError
    local = {}
    if address == "local":
        # The smallest memory that Ray accepts.
        local = {"include_dashboard": False, "object_store_memory": 80 << 20}
    handler = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    # A thread of Ray prints which workers died until the shutdown has ended it.
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        try:
            try:
                if host:
                    head_node = (host.strip("[]"), int(port))
                    socket.create_connection(head_node, _CONNECT_SECONDS).close()
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **local)
            except (OSError, OverflowError, RuntimeError, ValueError, RayError) as error:
                reason = str(error).split("\n")[0]
                raise EnhanceError("cluster_unreached", address=address, reason=reason) from error
            finally:
                if threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGTERM, handler)  # Ray replaces it.
            yield ray
        finally:
            ray.shutdown()


@functools.cache  # One for the process, because Ray has a process for each worker.
def _enhancer(
    device: str, precision: str, folder: Path, variables: tuple[tuple[str, str], ...]
) -> Enhancer:
    """Return the `Enhancer` of this worker, with the folder and the missing environment variables
    of the sender."""
    for name, value in variables:
        os.environ.setdefault(name, value)
    with suppress(OSError):  # Only relative paths need this folder.
        os.chdir(folder)
    return Enhancer(device, precision)


def process_file(
    file: BatchFile, names: ResultNames | None, worker: tuple[Any, ...], **options: Any
) -> tuple[BatchFile, str]:
    """Return a file with its result or its error, and the name of this machine. `options` are those
    of `RunningBatch`."""
    enhancer = _enhancer(*worker)
    machine = socket.gethostname()
    if not file.address and not file.source.exists():
        return replace(file, state="failed", error=_unseen(machine, file.source)), machine
    batch = plan([replace(file, state="waiting")], names)
    (ended,) = RunningBatch(enhancer, batch=batch, **options).run().files
    return ended, machine


def _unseen(machine: str, path: Path) -> EnhanceError:
    """Return the error for a file of a folder that this worker does not share."""
    folder = path.absolute().parent
    return EnhanceError("cluster_unseen", machine=machine, folder=folder)


@dataclass
class ClusterBatch(RunningBatch):
    """A batch whose files are processed by the workers of a cluster."""

    ray: Any = None
    device: str = "auto"
    precision: str = "auto"

    def run(self) -> Batch:
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        workers, cores, gpus = plan_workers(nodes, self.device)
        remote = self.ray.remote(
            num_cpus=cores,
            num_gpus=gpus,
            max_calls=0,  # By default, a worker with a GPU would end after each file.
            max_retries=_MAX_ATTEMPTS - 1,
        )
        self._process_file = remote(process_file)
        self._at_once = 2 * workers  # so that each worker finds its next file
        return super().run()

    def _run_file(self, file: BatchFile) -> BatchFile:
        variables = tuple(
            (name, value) for name, value in os.environ.items() if name.startswith("ENHANCE_")
        )
        worker = self.device, self.precision, Path.cwd(), variables
        task = self._process_file.remote(
            file,
            self.batch.names,
            worker,
            settings=self.settings,
            encoding=self.encoding,
            report=self.report,
        )
        while not self.ray.wait([task], timeout=_POLL_SECONDS)[0]:
            if self.stop.is_set():
                self.ray.cancel(task)
                self.ray.wait([task], timeout=_STOP_SECONDS)
                raise Cancelled("stopped")
        try:
            ended, machine = self.ray.get(task)
        except self.ray.exceptions.RayTaskError as error:
            raise EnhanceError("cluster_failed", reason=str(error.cause).split("\n")[0]) from error
        except self.ray.exceptions.RayError as error:
            raise EnhanceError("cluster_died", count=_MAX_ATTEMPTS) from error
        if ended.output and not ended.output.exists():
            raise _unseen(machine, ended.output)
        return ended
