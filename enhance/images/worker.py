"""Decoding happens in warm child processes with a budget of time and memory, so no file takes the program down with it.

A conversation over the child's standard input and output, in pickles: the request; what decoding needs; leave to begin,
once that memory is free; the facts of the picture, and strip by strip its pixels as they are. They go through the pipe
because that is as fast as shared memory (36 MB in 20 ms; a mapping costs that in page faults), and a pipe leaves
nothing behind, whoever is killed.

The child imports what decoding needs and nothing else. It is no `multiprocessing` child, since that would run the
caller's script a second time.
"""

from __future__ import annotations

import atexit
import io
import logging
import math
import mmap
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import psutil

from ..errors import PictureError
from ..files import check_room, writing
from .decode import Need
from .image import Facts, Picture

log = logging.getLogger(__name__)

MOST_PIXELS = 400_000_000
"""The largest picture that is read where the caller names no other limit."""
IN_MEMORY = 128 << 20
"""The bytes up to which a picture's colour, or its alpha, is kept in memory, not in a file that is mapped."""

_HEADER_SECONDS = 10
_START_SECONDS = 60
_MOST_WORKERS, _MOST_LOOKS = 4, 2
PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from enhance.images.decode import serve; serve()"
_FEW_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
_CGROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def inspect(path: str | Path, *, max_pixels: int | None = MOST_PIXELS, max_bytes: int | None = None) -> Facts:
    """What the file's header tells, without decoding a pixel.

    The limits are those of `read_picture`. Raises PictureError with one sentence for a person.
    """
    return WORKERS.ask("look", Path(path), max_pixels, max_bytes)


def read_picture(
    path: str | Path,
    *,
    max_pixels: int | None = MOST_PIXELS,
    max_bytes: int | None = None,
    folder: Path | None = None,
) -> Picture:
    """The decoded picture; of an animation or a file with several pages, the first.

    `max_pixels` None is the default; `max_bytes` None is as many bytes as so many pixels can take. The pixels of a
    large one lie in a file without a name in `folder` (None: the system's own for such files) as long as anyone holds
    them. Raises PictureError with one sentence for a person: no such file, no picture, damaged or cut off, too large,
    of a kind that is not supported, or one that takes more time or memory than its size calls for; and StorageError
    where that folder has no room.
    """
    return WORKERS.ask("decode", Path(path), max_pixels, max_bytes, folder)


def warm_up() -> None:
    """Start the first worker in the background, so that the first picture finds it ready."""
    WORKERS.warm_up()


class Workers:
    """A few child processes that decode, started when needed and kept; safe to call from several threads.

    At most `most` decode at once, and only as many as the free memory allows; the rest wait. `program` is what a child
    runs.
    """

    def __init__(self, most: int, program: str = PROGRAM):
        self._program = program
        # a look at a header does not wait for long decoding
        self._seats = {"look": threading.Semaphore(_MOST_LOOKS), "decode": threading.Semaphore(most)}
        self._idle: list[_Child] = []
        self._changed = threading.Condition()
        self._granted: list[int] = []

    def warm_up(self) -> None:
        with self._changed, suppress(OSError):  # the first picture tells
            if not self._idle:
                self._idle.append(_Child(self._program))

    def close(self) -> None:
        """End the workers that are at rest."""
        with self._changed:
            ending, self._idle = self._idle, []
        for child in ending:
            child.end()

    def ask(
        self, task: str, path: Path, max_pixels: int | None, max_bytes: int | None, folder: Path | None = None
    ) -> Any:
        """The Facts of a file by the task "look", its Picture by "decode". Raises PictureError, StorageError."""
        request = (task, path.absolute(), MOST_PIXELS if max_pixels is None else max_pixels, max_bytes)
        with self._seats[task]:
            child = self._take(path.name)
            try:
                answer = self._conversation(child, request, folder)
            except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
                raise child.last_word(path.name) from error
            except MemoryError as error:
                child.end()
                raise PictureError("picture_memory_short", name=path.name) from error
            except BaseException:
                child.end()
                raise
            with self._changed:
                self._idle.append(child)
        if isinstance(answer, PictureError):
            raise answer
        return answer

    def _take(self, name: str) -> _Child:
        with self._changed:
            while self._idle:
                child = self._idle.pop()
                if child.is_usable():
                    return child
                child.end()
        try:
            return _Child(self._program)
        except OSError as error:
            raise PictureError("picture_no_reader", name=name) from error

    def _conversation(self, child: _Child, request: tuple[Any, ...], folder: Path | None) -> Any:
        """The answer to a request: Facts, a Picture, or the PictureError that it failed with."""
        child.get_ready()
        child.send(request)
        with child.within(_HEADER_SECONDS):
            answer = child.receive()
        if not isinstance(answer, Need):
            return answer
        with self._memory(answer) as granted:
            child.send(granted)
            with child.within(answer.seconds):
                announced = child.receive()
                return announced if isinstance(announced, PictureError) else _picture(announced, answer, child, folder)

    @contextmanager
    def _memory(self, need: Need) -> Iterator[bool]:
        """Waits until the memory is there, beside what others were granted; False if it is not there for one alone."""
        with self._changed:
            while (enough := need.memory + sum(self._granted) <= free_memory()) is False and self._granted:
                self._changed.wait(0.5)
            self._granted.append(need.memory)
        try:
            yield enough
        finally:
            with self._changed:
                self._granted.remove(need.memory)
                self._changed.notify_all()


class _Child:
    """One child process, seen from its parent."""

    def __init__(self, program: str):
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | _FEW_THREADS,
            start_new_session=True,  # Ctrl-C is the parent's
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        assert self._process.stdout is not None
        _widen(self._process.stdout.fileno())
        self._answers = cast(io.BufferedReader, self._process.stdout)
        self._owner = os.getpid()
        self._ready, self._late = False, False

    def is_usable(self) -> bool:
        """Whether it lives, and is this process's own: after a fork two would talk through one pipe."""
        return self._is_own() and not self._late and self._process.poll() is None

    def get_ready(self) -> None:
        if not self._ready:
            with self.within(_START_SECONDS):
                self.receive()
            self._ready = True

    def send(self, what: object) -> None:
        assert self._process.stdin is not None
        pickle.dump(what, self._process.stdin)
        self._process.stdin.flush()

    def receive(self) -> Any:
        """What it says next; what it noted about the picture until then is logged here."""
        what, notes = pickle.load(self._answers)
        for name, level, message in notes:
            logging.getLogger(name).log(level, "%s", message)
        return what

    def receive_array(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        values = np.empty(shape, dtype)
        left = values.reshape(-1).view(np.uint8).data
        while left:
            count = self._answers.readinto(left)
            if not count:
                raise EOFError("the pixels ended too early")
            left = left[count:]
        return values

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Kill the process if the block takes longer."""
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def end(self) -> None:
        if self._is_own():
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what could not be written any more
                assert pipe is not None
                pipe.close()

    def last_word(self, name: str) -> PictureError:
        """End it, and what to say of the picture that it died of."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        status = self._process.poll()
        self.end()
        log.info("A process that decodes ended with %s%s", status, ", out of time" if self._late else "")
        if not self._ready:
            return PictureError("picture_no_reader", name=name)
        if self._late:
            return PictureError("picture_too_slow", name=name)
        if status == -9:  # by no one here, so by the system for want of memory
            return PictureError("picture_memory_short", name=name)
        return PictureError("picture_damaged", name=name)

    def _is_own(self) -> bool:
        return self._owner == os.getpid()

    def _expire(self) -> None:
        self._late = True
        self._process.kill()


class Arriving:
    """Rows [n, ...] of pixels on their way into an array: in memory, or where they are many in a file that is mapped.

    The system may take back the memory of a mapped file. It has no name, and vanishes with the last who holds the
    array, also when the process is killed. Raises StorageError.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str, folder: Path | None):
        self._shape, self._dtype, self._row = shape, dtype, 0
        self._size = math.prod(shape) * np.dtype(dtype).itemsize
        self._values, self._file = None, None
        folder = folder or Path(tempfile.gettempdir())
        self._writing = partial(writing, folder / "temporary")
        if self._size <= IN_MEMORY:
            self._values = np.empty(shape, dtype)
            return
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            check_room(folder, self._size)
            self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=folder))  # noqa: SIM115

    def add(self, rows: np.ndarray) -> None:
        if self._file is not None:
            with self._writing():
                self._file.write(np.ascontiguousarray(rows).data)
        elif self._values is not None:
            self._values[self._row : self._row + len(rows)] = rows
            self._row += len(rows)

    def filled(self) -> np.ndarray:
        """The array, once it has all of its rows."""
        if self._file is None:
            assert self._values is not None
            return self._values
        with self._writing(), self._file as file:
            file.flush()
            # a private mapping: what is written into the array goes to memory, never to a disk that may be full
            mapped = mmap.mmap(file.fileno(), self._size, access=mmap.ACCESS_COPY)
        return np.frombuffer(mapped, self._dtype).reshape(self._shape)


def _picture(announced: tuple[Any, ...], need: Need, child: _Child, folder: Path | None) -> Picture | PictureError:
    """The picture whose pixels follow, if they are as many as its header announced, or what is said in their stead."""
    (height, width, channels), dtype, facts = announced
    if height * width != need.pixels or channels not in (3, 4) or dtype not in ("uint8", "uint16"):
        raise ValueError(f"{height} x {width} x {channels} is not what was announced")
    rgb = Arriving((height, width, 3), dtype, folder)
    alpha = Arriving((height, width), dtype, folder) if channels == 4 else None
    left = height
    while count := child.receive():
        if isinstance(count, PictureError):
            return count
        if not 0 < count <= left:
            raise ValueError(f"{count} rows are not what was announced")
        left -= count
        strip = child.receive_array((count, width, channels), dtype)
        rgb.add(strip[..., :3])
        if alpha is not None:
            alpha.add(strip[..., 3])
    if left:
        raise ValueError(f"{left} rows are missing")
    return Picture(**facts, rgb=rgb.filled(), alpha=alpha.filled() if alpha else None)


def _widen(pipe: int) -> None:
    """Let more pixels wait in the pipe, so that the two processes change turns less often; 5 ms less for 12 MP."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # a user may have used up what there is for pipes
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)


def free_memory() -> int:
    """Bytes that can be had, by the system and by the container's limit."""
    return min([psutil.virtual_memory().available, *filter(None, map(_free_in_container, _CGROUPS))])


def _free_in_container(cgroup: tuple[Path, str, str, str]) -> int | None:
    """What the container's limit leaves; what it keeps of files it can give back. None where there is no limit."""
    folder, limit, used, files = cgroup
    try:
        kept = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        taken = int((folder / used).read_text()) - int(kept[files])
        return max(1, int((folder / limit).read_text()) - taken)
    except (OSError, ValueError, KeyError):  # no such file, or the word max
        return None


WORKERS = Workers(min(_MOST_WORKERS, os.cpu_count() or 1))
atexit.register(WORKERS.close)
