"""What the server holds for each open page: bounded, forgotten when the page is idle, never shared between two.

With it one thing that it holds: work that goes on in the background.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import gradio as gr

from ..picture import Box, Facts
from ..preview import Preview
from ..settings import Settings
from .page_files import asker_of

T = TypeVar("T")

MOST_VISITORS = 200
MOST_OF_AN_ADDRESS = 50
"""Open pages of one user or address; its longest idle ones give way to new ones."""
IDLE_SECONDS = 2 * 3600
AWAY_SECONDS = 600
"""How long a closed page is remembered: a phone that slept comes back to its picture."""
_KEPT_FILES = 6
"""How many pictures of one kind stay on the disk: a browser may still be fetching the one before."""


_GOING: set[Background[Any]] = set()
"""All that goes on in the background, for the end of the server."""


def stop_all(seconds: float) -> None:
    """Stop what goes on in the background, and wait at most so long until it has let go of its files."""
    going = list(_GOING)
    for one in going:
        one.close()
    end = time.monotonic() + seconds
    for one in going:
        one.wait(max(0.0, end - time.monotonic()))


class Background(Generic[T]):
    """Runs `do(stop)` in a thread, at once. `close` tells it to stop, for when nobody waits for it any more."""

    def __init__(self, do: Callable[[threading.Event], T], name: str):
        self.stop = threading.Event()
        self._ended = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None
        _GOING.add(self)
        self._thread = threading.Thread(target=self._work, args=(do,), name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.stop.set()

    def looks(self, seconds: float) -> Iterator[None]:
        """A moment to look after it, every so many seconds until its end."""
        while not self.wait(seconds):
            yield

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long; True when it is there."""
        return self._ended.wait(seconds)

    def result(self) -> T:
        """What came of it, after its end. Raises what went wrong there."""
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _work(self, do: Callable[[threading.Event], T]) -> None:
        try:
            self._result.append(do(self.stop))
        except BaseException as error:
            self._error = error
        finally:
            _GOING.discard(self)
            self._ended.set()


@dataclass(frozen=True)
class Upload:
    """A picture that a visitor chose and that was accepted."""

    path: Path
    sha256: str
    facts: Facts
    thumbnail: Path
    thumbnail_size: tuple[int, int]
    """Width and height."""


@dataclass(frozen=True, eq=False)
class Finished:
    """A result of `upload` as the page shows it."""

    upload: Upload
    info: dict[str, Any]
    download: Path
    before: Path
    after: Path
    map: Path
    map_size: tuple[int, int]
    """Width and height."""


@dataclass(frozen=True, eq=False)
class Asked:
    """One request for a preview; `stop` is set as soon as a later one replaces it."""

    number: int
    settings: Settings
    stop: threading.Event = field(default_factory=threading.Event)


class Listeners:
    """Who listens: open streams of events, of answers and of signs of life, by the name of a session or of an event."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def __contains__(self, name: object) -> bool:
        return name in self._open

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def listening(self, name: str) -> Iterator[None]:
        """While the block goes on, somebody listens to what comes under this name."""
        with self._lock:
            self._open[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[name] -= 1
                self._open += Counter()  # without the names that nobody listens to any more


LISTENERS = Listeners()
"""The process's own: the names are random."""


class Visitor:
    """One open page. Its `lock` is held while these are changed together; none of them is held while something runs."""

    def __init__(self, folder: Path, address: str = ""):
        self.folder, self.address = folder, address
        self.lock = threading.RLock()
        self.seen = time.monotonic()
        self.upload: Upload | None = None
        self.box: Box | None = None
        self.choice = 0
        self.hints: tuple[str, ...] | None = None
        self.controls = Settings()
        self.preview: Preview | None = None
        self.asked: Asked | None = None
        self.requests = 0
        self.failed = False
        self.waiting = False
        self.run: Background[Any] | None = None
        self.finished: Finished | None = None
        self.batch: Background[Any] | None = None
        self.away: float | None = None
        """When the page was closed, in monotonic seconds."""
        self._files = 0

    @property
    def works(self) -> bool:
        """Whether anything of theirs runs or waits."""
        return self.busy or self.batch is not None or self.asked is not None

    @property
    def busy(self) -> bool:
        """Whether a run is going on or waits for its turn."""
        return self.waiting or self.run is not None

    def place(self, kind: str, suffix: str) -> Path:
        """A fresh file name for a picture of this kind; the oldest of the kind are removed."""
        with self.lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._files += 1
            number = self._files
        for old in sorted(self.folder.glob(f"{kind}-*"))[:-_KEPT_FILES]:
            with suppress(OSError):  # one that is open elsewhere goes another time
                shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        return self.folder / f"{kind}-{number:06d}{suffix}"

    def stop(self) -> None:
        """Stop the preview and the run."""
        with self.lock:
            if self.asked is not None:
                self.asked.stop.set()
            if self.run is not None:
                self.run.stop.set()

    def leave(self) -> None:
        """Stop all that runs for this page, the batch too."""
        self.stop()
        with self.lock:
            self.waiting = False
            if self.batch is not None:
                self.batch.stop.set()

    def start_over(self) -> int:
        """Forget the picture and all that was made of it; gives the number of the choice that begins now."""
        with self.lock:
            self.choice += 1
            choice = self.choice
            self.stop()
            self.upload = self.box = self.hints = self.preview = self.asked = None
            self.run = self.finished = None
            self.failed = self.waiting = False
        shutil.rmtree(self.folder, ignore_errors=True)
        return choice

    def take(self, choice: int, upload: Upload, box: Box, controls: Settings) -> bool:
        """Take a picture as the visitor's, unless another choice was begun since; says whether it was taken."""
        with self.lock:
            if self.choice != choice:
                return False
            self.upload, self.box, self.controls = upload, box, controls
            return True


class Visitors:
    """The open pages by the session name that Gradio gives each; the names are random and known to one browser only."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.Lock()
        self._visitors: dict[str, Visitor] = {}

    def of(self, request: gr.Request) -> Visitor:
        """The visitor of this request; those that were idle for long are forgotten on the way."""
        name = request.session_hash or ""
        with self._lock:
            visitor = self._visitors.pop(name, None) or Visitor(
                self._folder / secrets.token_hex(16), asker_of(request).address
            )
            self._visitors[name] = visitor
            visitor.seen = time.monotonic()
            visitor.away = None
            forgotten = self._idle()
        for one in forgotten:
            one.start_over()
        return visitor

    def leave(self, request: gr.Request) -> None:
        """The page was closed: nothing runs for it any more, and in a while its pictures go."""
        name = request.session_hash or ""
        with self._lock:
            visitor = self._visitors.get(name)
            if visitor is None:
                return
            visitor.away = time.monotonic()
        visitor.leave()

    def sweep(self) -> None:
        """Forget the visitors that closed their page a while ago, and those that were idle for long."""
        gone = time.monotonic() - AWAY_SECONDS
        with self._lock:
            away = [name for name, one in self._visitors.items() if one.away is not None and one.away < gone]
            forgotten = [self._visitors.pop(name) for name in away] + self._idle()
        for one in forgotten:
            one.start_over()

    def __len__(self) -> int:
        return len(self._visitors)

    def _idle(self) -> list[Visitor]:
        """Take out the visitors that were idle for long or are too many; never one for whom something runs or waits."""
        now = time.monotonic()
        idle = [(name, visitor) for name, visitor in list(self._visitors.items())[:-1] if not visitor.works]
        leaving = [name for name, visitor in idle if now - visitor.seen > IDLE_SECONDS]
        idle = [(name, visitor) for name, visitor in idle if name not in leaving]
        pages = Counter(visitor.address for visitor in self._visitors.values())
        surplus = len(self._visitors) - len(leaving) - MOST_VISITORS
        # the address with the most pages gives way: opening many of them throws out nobody else
        for name, visitor in sorted(idle, key=lambda one: -pages[one[1].address]):
            if pages[visitor.address] > MOST_OF_AN_ADDRESS or surplus > 0:
                pages[visitor.address] -= 1
                surplus -= 1
                leaving.append(name)
        return [self._visitors.pop(name) for name in leaving]
