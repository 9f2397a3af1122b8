"""Warm worker processes that decode images, with a budget of time and memory.

Parent and worker exchange pickles over the worker's standard input and output. The parent sends a
request, and the worker answers with the memory and time that decoding needs. Once that much memory
is free, the parent sends the permission to start. The worker then sends the facts of the image and
its pixels, strip by strip. A pipe is as fast as shared memory for this, and nothing remains when a
process is killed.

The worker imports only what decoding needs. It is not a `multiprocessing` worker, because that
would run the caller's script a second time.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy import ndarray

from ..errors import PictureError
from ..files import check_disk_space, storage_errors
from .decode import DecodeBudget
from .image import FileFacts, SourceImage

log = logging.getLogger(__name__)

DEFAULT_MAX_PIXELS = 400_000_000
"""The default limit."""
PIXELS_IN_MEMORY = 128 << 20
"""Colour or alpha of an image is kept in memory up to this number of bytes, else in a mapped file.
"""

_HEADER_SECONDS = 10
_START_SECONDS = 60
_MAX_IDLE = 2
_MAX_WORKERS = 4
_MAX_INSPECTIONS = 2
CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Where Linux states the memory of a container."""
PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from enhance.images.decode import serve; serve()"
# Stacks and arenas of threads would count towards the limit of the address space, which `decode`
# sets.
_FEW_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def inspect_image(
    path: str | Path,
    *,
    name: str = "",
    max_pixels: int | None = None,
    max_bytes: int | None = None,
) -> FileFacts:
    """Return the facts in the file's header without decoding a pixel.

    The options are the same as for `read_image`. Raises PictureError.
    """
    return WORKERS.request("facts", Path(path), max_pixels, max_bytes, name=name)


def read_image(
    path: str | Path,
    *,
    name: str = "",
    max_pixels: int | None = None,
    max_bytes: int | None = None,
    folder: Path | None = None,
) -> SourceImage:
    """Decode an image; of an animation or a file with several pages, the first.

    - `name`: the name of the image, also in errors, by default that of the file.
    - `max_pixels`: None is `DEFAULT_MAX_PIXELS`. `max_bytes`: None is the size of `max_pixels`
      without compression.
    - `folder`: the pixels of a large image are an unnamed file in it; None is the system's folder
      for temporary files.

    Raises PictureError if the file is missing, damaged, too large or not supported, or needs
    unusually much time or memory, and StorageError if there is not enough disk space.
    """
    image = WORKERS.request("image", Path(path), max_pixels, max_bytes, folder, name)
    return replace(image, name=name or image.name)


def warm_up() -> None:
    """Start the first worker in the background, so that the first image does not wait for it."""
    WORKERS.warm_up()


class Workers:
    """Worker processes that are started when needed, which takes 0.2 s of one core, and used
    again. Thread-safe.

    At most `limit` decode at the same time, and only as many as free memory allows. Two are kept
    while they are idle. `program` is what a worker runs.
    """

    def __init__(self, limit: int, program: str = PROGRAM):
        self._program = program
        # Reading a header does not wait for long decoding, and a result does not wait for headers.
        self._slots = {
            "facts": threading.Semaphore(_MAX_INSPECTIONS),
            "image": threading.Semaphore(limit),
            "variants": threading.Semaphore(_MAX_INSPECTIONS),
        }
        self._idle: list[_Worker] = []
        self._changed = threading.Condition()
        self._granted: list[int] = []

    def warm_up(self) -> None:
        with self._changed, suppress(OSError):  # The first image reports the error.
            if not self._idle:
                self._idle.append(_Worker(self._program))

    def end_idle(self) -> None:
        with self._changed:
            while self._idle:
                self._idle.pop().end()

    def request(
        self,
        task: str,
        path: Path,
        max_pixels: int | None,
        max_bytes: int | None,
        folder: Path | None = None,
        name: str = "",
    ) -> Any:
        """Return the answer to a task of `decode`: "facts", "image" or "variants".

        Raises PictureError about the image called `name`, StorageError.
        """
        name = name or path.name or str(path)
        message = (task, path.absolute(), max_pixels or DEFAULT_MAX_PIXELS, max_bytes)
        with self._slots[task]:
            worker = self._take(name)
            try:
                return self._exchange(worker, message, folder)
            except PictureError as error:  # An answer, after which the worker can be used again.
                log.info("An image was rejected: %s", error.values.get("cause", error.key))
                raise PictureError(error.key, **{**error.values, "name": name}) from error
            except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
                raise worker.end_with_reason(name) from error
            except BaseException:
                worker.end()
                raise
            finally:
                self._give_back(worker)

    def _take(self, name: str) -> _Worker:
        with self._changed:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_usable():
                    return worker
                worker.end()
        try:
            return _Worker(self._program)
        except OSError as error:
            raise PictureError("image_no_reader", name=name) from error

    def _give_back(self, worker: _Worker) -> None:
        with self._changed:
            if worker.is_usable() and len(self._idle) < _MAX_IDLE:
                self._idle.append(worker)
                return
        worker.end()

    def _exchange(self, worker: _Worker, message: tuple[Any, ...], folder: Path | None) -> Any:
        """Return the answer: FileFacts, variants of metadata or a SourceImage. Raises
        PictureError."""
        worker.wait_until_ready()
        worker.send(message)
        with worker.time_limit(_HEADER_SECONDS):
            answer = worker.receive()
        if not isinstance(answer, DecodeBudget):
            return answer
        with self._memory(answer) as is_granted:
            worker.send(is_granted)
            with worker.time_limit(answer.seconds):
                return _receive_image(worker, folder)

    @contextmanager
    def _memory(self, budget: DecodeBudget) -> Iterator[bool]:
        """Wait until other images have freed enough memory.

        Yields False if this image alone needs too much.
        """
        with self._changed:
            # Without other images, waiting would not help.
            while not (is_enough := self._is_free(budget)) and self._granted:
                self._changed.wait(0.5)  # Other processes free memory without notice.
            self._granted.append(budget.memory)
        try:
            yield is_enough
        finally:
            with self._changed:
                self._granted.remove(budget.memory)
                self._changed.notify_all()

    def _is_free(self, budget: DecodeBudget) -> bool:
        return budget.memory + sum(self._granted) <= free_system_memory()


class _Worker:
    """A worker process and the parent's end of the pipes."""

    def __init__(self, program: str):
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | _FEW_THREADS,
            start_new_session=True,  # Ctrl-C must not reach the worker.
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        assert self.process.stdin
        assert self.process.stdout
        self._requests = self.process.stdin
        self._answers = self.process.stdout
        self._owner = os.getpid()
        self._is_ready = False
        self._is_late = False

    def is_usable(self) -> bool:
        """Return whether it is alive and not inherited by a fork.

        After a fork, two processes would share its pipes.
        """
        is_alive = not self._is_late and self.process.poll() is None
        return is_alive and self._owner == os.getpid()

    def wait_until_ready(self) -> None:
        if not self._is_ready:
            with self.time_limit(_START_SECONDS):
                self.receive()
            self._is_ready = True

    def send(self, message: object) -> None:
        pickle.dump(message, self._requests)
        self._requests.flush()

    def receive(self) -> Any:
        """Return the next answer. Raises PictureError if that is it."""
        message = pickle.load(self._answers)
        if isinstance(message, PictureError):
            raise message
        return message

    @contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """Kill the process if the block takes longer."""
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            # Otherwise a timer that has just expired could kill the process in its next request.
            timer.join()

    def end(self) -> None:
        if self._owner == os.getpid():
            self.process.kill()
            self.process.wait()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):  # Unwritten data cannot be flushed.
                pipe.close()

    def end_with_reason(self, name: str) -> PictureError:
        """End a process that failed, and return the error for the image that it was decoding."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)  # The pipe closes before the exit status is known.
        status = self.process.poll()
        self.end()
        log.info("A decoding process ended with %s", status)
        if not self._is_ready:
            return PictureError("image_no_reader", name=name)
        if self._is_late:
            return PictureError("image_too_slow", name=name)
        # Nothing here sends SIGKILL at this point, so the kernel's OOM killer did.
        if status == -9:
            return PictureError("image_memory_short", name=name)
        return PictureError("image_damaged", name=name)

    def _expire(self) -> None:
        self._is_late = True
        self.process.kill()


def allocate_pixels(shape: tuple[int, ...], dtype: str, folder: Path | None) -> ndarray:
    """Return an array in memory, or if it is large in a mapped file in `folder`.

    The kernel can reclaim the memory of a file. The file has no name, and disappears with the array
    even if the process is killed. Raises StorageError.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= PIXELS_IN_MEMORY:
        return np.empty(shape, dtype)
    folder = folder or Path(tempfile.gettempdir())
    with storage_errors(folder / "temporary"):
        folder.mkdir(parents=True, exist_ok=True)
        check_disk_space(folder, size)
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), size)
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))


def _reserve(file: int, size: int) -> None:
    """Reserve disk space.

    Without it, writing to the mapped file would kill the process when the disk is full.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    for first in range(0, size, 1 << 20):
        os.write(file, bytes(min(1 << 20, size - first)))


def _receive_image(worker: _Worker, folder: Path | None) -> SourceImage:
    """Receive an image.

    Raises PictureError if that is the answer, and ValueError if rows are missing.
    """
    (size, has_alpha), image = worker.receive()
    dtype = image.rgb.dtype.name
    rgb = allocate_pixels((*size.shape, 3), dtype, folder)
    alpha = None
    if has_alpha:
        alpha = allocate_pixels(size.shape, dtype, folder)
    row = 0
    while (strip := worker.receive()) is not None:
        end = row + len(strip)
        rgb[row:end] = strip[..., :3]
        if alpha is not None:
            alpha[row:end] = strip[..., 3]
        row = end
    if row < size.height:
        raise ValueError(f"{size.height - row} rows are missing")
    return replace(image, rgb=rgb, alpha=alpha)


def free_system_memory() -> int:
    """Return the bytes of memory that are free on this computer and in its container.

    File caches count as free.
    """
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError, KeyError):  # There is no limit.
        lines = (CONTROL_GROUP / "memory.stat").read_text().splitlines()
        stat = dict(line.split() for line in lines)
        used = int((CONTROL_GROUP / "memory.current").read_text()) - int(stat["inactive_file"])
        limit = int((CONTROL_GROUP / "memory.max").read_text())
        free = min(free, max(1, limit - used))
    return free


# All enhancers of a process share the workers, because their memory and their cores must be counted
# together.
WORKERS = Workers(min(_MAX_WORKERS, os.cpu_count() or 1))
atexit.register(WORKERS.end_idle)
