"""What the server holds for each open page: bounded, forgotten when the page is idle, never shared between two."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from ..batch import Batch, plan
from ..images import Box, Facts
from ..output.formats import Encoding
from ..output.live_view import LiveView
from ..output.resample import long_side_on
from ..preview import Preview
from ..scenes import Hint
from ..scheduler import Ticket
from ..settings import SIZES, Settings
from ..store import count_as_used
from .jobs import JOBS, Job
from .storage import Asker, BatchUploads, Packed, asker_of

Place = tuple[int, int]
"""The centre of a square, in input pixels from the left and from the top."""
MOST_PLACES = 3
MOST_VISITORS = 200
MOST_OF_AN_ADDRESS = 50
"""Open pages of one user or address; its longest idle ones give way to new ones."""
IDLE_SECONDS = 2 * 3600
AWAY_SECONDS = 600
"""How long a closed page is remembered: a phone that slept comes back to its picture."""
GRACE_SECONDS = 120
"""How long a run goes on for a closed page: one that is loaded anew, or whose connection broke, finds it going on."""
_KEPT_FILES = 6
"""How many pictures of one kind stay on the disk: a browser may still be fetching the one before."""


@dataclass(frozen=True)
class Upload:
    """A picture that a visitor chose and that was accepted."""

    path: Path
    sha256: str
    facts: Facts
    thumbnail: Path

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def bytes(self) -> int:
        return self.facts.bytes


@dataclass(frozen=True, eq=False)
class Finished:
    """A result of `upload` as the page shows it."""

    upload: Upload
    info: dict[str, Any]
    download: Path
    before: Path
    after: Path


@dataclass(frozen=True, eq=False)
class Asked:
    """One request for a preview; `stop` is set as soon as a later one replaces it."""

    settings: Settings
    stop: threading.Event = field(default_factory=threading.Event)


class PageRun(Job[Finished]):
    """A run of a page: of which picture, that picture as far as it has come, and how far the run is."""

    def __init__(self, do: Callable[[PageRun], Finished], upload: Upload, picture: LiveView, ticket: Ticket):
        self.upload, self.picture = upload, picture
        super().__init__(lambda: do(self), ticket)


class Visitor:
    """One open page. Its `lock` is held while these are changed together; none of them is held while something runs."""

    def __init__(self, folder: Path, address: str = "", user: str | None = None):
        self.folder, self.address, self.user = folder, address, user
        self.tab = ""  # the name that the browser gives the tab; a page keeps it when it is loaded anew
        self.listed = ""  # the name of the list on the disk of what they made
        self.lock = threading.RLock()
        self.seen = time.monotonic()
        self.order, self.values = 0, tuple[object, ...]()  # the newest request with the values of the controls
        self.upload: Upload | None = None
        self.box: Box | None = None
        self.places: tuple[Place, ...] = ()
        self.choice = 0
        self.hints: tuple[Hint, ...] | None = None
        self.controls = Settings()
        self.paper = ""  # the print that gives their size, if one does
        self.wished: dict[str, Any] = {}  # the size that was chosen before a network came that cannot make it
        self.encoding = Encoding()  # how results are handed out
        self.preview: Preview | None = None
        self.pair: tuple[Path, Path] | None = None  # before and after of the preview, as the browser has them
        self.asked: Asked | None = None
        self.comparing: Job[Any] | None = None  # the presets side by side, as long as the page shows them
        self.estimated: object = None  # the last estimate that was begun
        self.failed = False
        self.run: PageRun | None = None
        self.finished: Finished | None = None
        self.many = BatchUploads()
        self.batch: Job[Packed] | None = None  # the one that goes on, or the last one
        self.unfolded = ""  # the batch of their list of which each file is shown
        self.away: float | None = None  # when the page was closed, in monotonic seconds
        self._files = 0

    @property
    def caller(self) -> tuple[str, ...]:
        """Who takes turns with whom on the device, as `Asker.caller`."""
        return Asker(f"user {self.user}" if self.user else f"page {self.folder.name}", self.address).caller

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of the picture."""
        return None if self.upload is None else (self.upload.facts.height, self.upload.facts.width)

    @property
    def sized_by(self) -> str:
        """What says the size of the result: scale, long_side, megapixels, or the paper of a print."""
        if self.paper and self.controls.long_side == long_side_on(self.paper, self.shape):
            return "paper"
        return next((name for name in SIZES if getattr(self.controls, name) is not None), SIZES[0])

    @property
    def works(self) -> bool:
        """Whether anything of theirs runs or waits."""
        return self.busy or self.batch_busy or self.asked is not None

    @property
    def busy(self) -> bool:
        """Whether a run is going on or waits for its turn."""
        return self.run is not None and not self.run.over

    @property
    def batch_busy(self) -> bool:
        """Whether a batch is going on."""
        return self.batch is not None and not self.batch.over

    def newest(self, order: int, values: tuple[object, ...]) -> tuple[object, ...]:
        """Return the newest `values` of the controls. A request can arrive after one of a higher `order`."""
        with self.lock:
            if order >= self.order:
                self.order, self.values = order, values
            return self.values

    def place(self, kind: str, suffix: str) -> Path:
        """A fresh file name for a picture of this kind; the oldest of the kind are removed."""
        with self.lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            number = self._files = self._files + 1
        for old in sorted(self.folder.glob(f"{kind}-*"))[:-_KEPT_FILES]:
            with suppress(OSError):  # one that is open elsewhere goes another time
                shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        return self.folder / f"{kind}-{number:06d}{suffix}"

    def stop(self, whose: Literal["person", "absence"] = "person") -> None:
        """Stop all that goes on for the page."""
        with self.lock:
            for one in (self.run, self.batch):
                if one is not None:
                    one.stop_for(whose)
        self.leave()

    def leave(self) -> None:
        """Stop what only an open page needs, previews. A run and a batch go on for a while."""
        with self.lock:
            if self.asked is not None:
                self.asked.stop.set()
            self.end_comparison()

    def end_comparison(self) -> None:
        """Put the presets side by side away, and stop what still runs for them."""
        with self.lock:
            if self.comparing is not None:
                self.comparing.close()
            self.comparing = None

    @property
    def files(self) -> Batch:
        """The files of the second tab as they stand in their batch, or wait for one."""
        running = self.many.running if self.batch is not None else None
        return running.batch if running else plan(self.many.items)

    def used(self) -> list[Path]:
        """Return the files and folders that the page shows or still needs."""
        with self.lock:
            many, items, packed = self.many, self.files.items, None
            paths = [self.upload.path if self.upload else None, *many.archives]
            paths += [path for item in items for path in (item.source, item.result, item.png)]
            paths += [*list(many.pictures.values()), *list(many.results.values())]
            if self.batch is not None and self.batch.over:
                with suppress(Exception):  # a batch that failed has no files
                    packed = self.batch.result()
        if packed is not None:
            paths += [packed.archive, *packed.loose.values()]
        return [self.folder, *self.folder.rglob("*"), *filter(None, paths)]

    def settle(self) -> None:
        """Take what became of the last batch for files that may be done again, and joined by others."""
        if self.batch is not None and self.batch.over:
            with suppress(Exception):  # one that broke off has no ZIP
                self.many.archives.append(self.batch.result().archive)
            self.many.items, self.batch = self.files.items, None

    def forget_files(self, keys: Collection[str]) -> None:
        """Take done files from the second tab, with all that a browser may fetch of them: the ZIP too."""
        with self.lock:
            if self.batch_busy or not any(item.key in keys for item in self.files.items):
                return
            self.settle()
            self.many.forget(keys)

    def choose(self) -> int:
        """The number of a choice that begins now: an earlier one that is still being read gives way."""
        with self.lock:
            self.choice += 1
            return self.choice

    def start_over(self) -> int:
        """Forget the picture and all that was made of it; gives the number of the choice that begins now."""
        with self.lock:
            choice = self.choose()
            self.leave()
            if self.run is not None:
                self.run.stop_for("person")
            self.upload = self.box = self.hints = self.preview = self.pair = self.asked = None
            self.run = self.finished = None
            self.places, self.failed = (), False
        shutil.rmtree(self.folder, ignore_errors=True)
        return choice

    def take(self, choice: int, upload: Upload, box: Box, controls: Settings) -> None:
        """Take a picture as the visitor's, unless another choice was begun since."""
        with self.lock:
            if self.choice == choice:
                self.upload, self.box, self.controls = upload, box, controls


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
                self._folder / secrets.token_hex(16), asker_of(request).address, request.username
            )
            self._visitors[name] = visitor
            visitor.seen = time.monotonic()
            visitor.away = None
            forgotten = self._idle()
        for one in forgotten:
            one.start_over()
        return visitor

    def reopen(self, request: gr.Request, tab: str) -> Visitor:
        """The visitor of a page that opens: that of the same tab of the same user as it was before, else a new one."""
        name = request.session_hash or ""
        with self._lock:
            for old, visitor in list(self._visitors.items()):
                if tab and visitor.tab == tab and visitor.user == request.username and old != name:
                    self._visitors[name] = self._visitors.pop(old)
                    break
        visitor = self.of(request)
        visitor.tab, visitor.order = tab, 0
        return visitor

    def leave(self, request: gr.Request) -> None:
        """The page was closed: in a while its run stops, and later its pictures go."""
        with self._lock:
            visitor = self._visitors.get(request.session_hash or "")
            if visitor is None:
                return
            visitor.away = time.monotonic()
        visitor.leave()

    def sweep(self) -> None:
        """Stop the runs of pages that stay closed, and forget the visitors that closed theirs or were idle for long."""
        gone, alone = time.monotonic() - AWAY_SECONDS, time.monotonic() - GRACE_SECONDS
        with self._lock:
            for one in self._visitors.values():
                if one.away is not None and one.away < alone:
                    one.stop("absence")
            away = [name for name, one in self._visitors.items() if one.away is not None and one.away < gone]
            forgotten = [self._visitors.pop(name) for name in away] + self._idle()
        for one in forgotten:
            one.start_over()

    def keep_used(self, *roots: Path) -> None:
        """Restart the retention period of the files below `roots` that open pages and running jobs use."""
        with self._lock:
            visitors = list(self._visitors.values())
        used = {path for visitor in visitors for path in visitor.used()}
        used |= {path for work in list(JOBS) for path in work.inputs()}
        whole = [root.resolve() for root in roots]
        for path in used:
            if any(path.resolve().is_relative_to(root) for root in whole):
                count_as_used(path)
                count_as_used(path.parent)  # the sweep of the page's folder judges each file by its folder

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
