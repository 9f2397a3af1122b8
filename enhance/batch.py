"""Many files, one after the other: a bad one stops nothing, and what was done before is not done again.

Each change of a file takes the same time however many files there are.
"""

from __future__ import annotations

import heapq
import math
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Cancelled, EnhanceError, MemoryShortError, PictureError, SettingsError, expected_error
from .i18n import DEFAULT_LANGUAGE, strip_direction_marks, translate
from .images import Picture, Shard, inspect, list_pictures
from .output.formats import Encoding
from .output.names import ResultNames, apart
from .output.provenance import origin_of
from .output.resample import DPI, long_side_on, result_size
from .scheduler import Ticket
from .settings import Settings

if TYPE_CHECKING:
    from .enhancer import Enhancer
    from .info import Result
    from .report import Line


@dataclass(frozen=True, eq=False)
class Item:
    """One file of a batch. `state` is waiting, running, done, failed, cancelled or, where another process makes it,
    elsewhere; `error` says why it failed.
    """

    source: Path
    place: Path
    """Below the folder that it was found in (its name, if it was named by itself)."""
    output: Path | None = None
    state: str = "waiting"
    size: tuple[int, int] | None = None
    """Height and width, once its header was looked at."""
    settings: Settings | None = None
    """Its own, where they are not those of the batch."""
    info: dict[str, Any] | None = None
    error: EnhanceError | None = None
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    """Tells it from every other file, whatever becomes of it."""

    png: Path | None = None
    """The lossless result, where it is kept."""

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def pixels(self) -> int:
        return math.prod(self.size) if self.size else 0

    @property
    def result(self) -> Path | None:
        """The finished file."""
        return Path(self.info["output"]["path"]) if self.info else None


@dataclass(frozen=True, eq=False)
class Batch:
    """All files of a batch, the share of the work that is done (0..1), and the seconds left.

    `share_of_file` is that of the file at work. The batches of a run share `files`, which change while it runs.
    """

    files: dict[str, Item]
    """By their keys, in their order."""
    counts: Counter[str]
    """The number of files in each state."""
    latest: Item | None = None
    """The file that has just changed."""
    share: float = 0.0
    share_of_file: float = 0.0
    seconds_left: float | None = None
    ahead: int = 0
    """How many runs are before its next file, while that waits."""
    names: ResultNames | None = None
    """What names the results, where they go to a folder."""
    listed: int = 0
    """How many pictures were found, of which these may be a share; `hidden` and `others` were passed over."""
    hidden: int = 0
    others: int = 0

    @property
    def items(self) -> tuple[Item, ...]:
        """All files in their order; a copy, which takes time for each of them."""
        return tuple(self.files.values())

    def count(self, state: str) -> int:
        return self.counts[state]


def find_images(
    inputs: Iterable[Path],
    output: Path | None = None,
    shard: Shard = Shard(),  # noqa: B008 - it never changes
    ending: str = ".png",
) -> Batch:
    """A batch of the files named, and of the pictures in the folders named, as `list_pictures` finds them.

    Results in the `output` folder are not taken for pictures of a folder around it. Of all the files `shard` says which
    are done; a folder that cannot be read is one that failed.
    """
    listing = list_pictures(inputs, lambda path: _is_earlier_result(path, output))
    items = [Item(one.path, one.place) for one in shard.of(listing.pictures)]
    for one in listing.closed:
        error = PictureError("folder_closed", name=one.place.as_posix())
        items.append(Item(one.path, one.place, state="failed", error=error))
    facts = {"listed": len(listing.pictures), "hidden": listing.hidden, "others": listing.others}
    return replace(plan(items, output, ending), **facts)


def plan(items: Iterable[Item], folder: Path | None = None, ending: str = ".png") -> Batch:
    """A batch of `items`; their results become tasks, or go below `folder` as `ResultNames` says."""
    files = {item.key: item for item in items}
    counts = Counter(item.state for item in files.values())
    return Batch(files, counts, names=ResultNames(folder, ending) if folder else None)


@dataclass
class Running:
    """A batch on its way. `run` does it; other threads may look at `batch`, and add and remove files that wait."""

    enhancer: Enhancer
    settings: Settings
    batch: Batch
    stop: threading.Event = field(default_factory=threading.Event)
    changed: Callable[[Batch], object] = lambda batch: None
    max_pixels: int | None = None
    max_bytes: int | None = None
    report: str | None = None
    """The language of a PDF report beside every result; None for no reports."""
    held: ExitStack = field(default_factory=ExitStack)
    """Keeps the results that are tasks from being cleaned away until it is closed."""
    encoding: Encoding = field(default_factory=Encoding)
    """How the results are handed out."""
    caller: Hashable = None
    """Whose batch it is: its files take turns with the runs of other callers."""

    def __post_init__(self) -> None:
        self._looked_again = False
        self._lock = threading.RLock()
        self._over = False
        self._waiting: list[tuple[int, str]] = []  # a heap of places and keys; some of these files wait no longer
        self._places: dict[str, int] = {}
        self._total = self._finished = self._worked = 0  # in pixels
        self._begun: dict[str, float] = {}
        self._pixels = self.max_pixels or self.enhancer.max_pixels
        self._bytes = self.max_bytes or self.enhancer.max_bytes
        for item in self.batch.items:
            self._add_up(item)

    def run(self) -> Batch:
        """Do the files in turn and give the batch as it ended; a stop keeps what is done.

        What another process is making is left to it; at the end it is looked for once more.
        """
        self._started = time.perf_counter()
        for item in self.batch.items:
            if item.state == "waiting":
                judged = self._judged(item)
                with self._lock:
                    if item.key in self.batch.files:
                        self._put(judged)
        with self.batch.names or nullcontext():
            self._work()
        return self.batch

    def _work(self) -> None:
        while (item := self._next()) is not None:
            self._one(item)

    def add(self, items: Iterable[Item]) -> bool:
        """Let more files join at the end; False where it is over or stopped, and then none has joined."""
        with self._lock:
            if self._over or self.stop.is_set():
                return False
            for item in map(self._judged, items):
                self._put(item)
        return True

    def _judged(self, item: Item) -> Item:
        """The file after a look at its header; one that cannot have the size or the format asked for fails at once."""
        if not item.size:
            item = measured(item, self._pixels, self._bytes)
        if item.size and item.state == "waiting":
            try:
                self.encoding.check(*reversed(result_size(item.settings or self.settings, *item.size)))
            except (PictureError, SettingsError) as error:
                return replace(item, state="failed", error=error)
            except MemoryShortError:  # there may be more when its turn comes
                pass
            except Exception as error:
                return replace(item, state="failed", error=_told(error))
        return item

    def remove(self, key: str) -> None:
        """Take a file out, if it still waits."""
        with self._lock:
            item = self.batch.files.get(key)
            if item is not None and item.state == "waiting":
                del self.batch.files[key]
                self._change(counts=self._counted(item, None), latest=None)

    def _next(self) -> Item | None:
        """The next file, which has begun; None when it is over, and from then on nothing can join."""
        with self._lock:
            while not self.stop.is_set():
                if not self.batch.count("waiting") and not self.batch.count("running") and not self._looked_again:
                    self._looked_again = True
                    self._set("elsewhere", "waiting")
                if not self.batch.count("waiting"):
                    break
                waiting = self.batch.files.get(heapq.heappop(self._waiting)[1])
                if waiting is not None and waiting.state == "waiting" and (begun := self._begin(waiting)):
                    return begun
            self._over = True
            self._set("waiting", "cancelled")
            return None

    def _begin(self, item: Item) -> Item | None:
        """Give the file its result's name, and let it run; not where that cannot be had, or is made elsewhere."""
        names = self.batch.names
        try:
            output = names.give(item.source, item.place) if names and item.output is None else item.output
        except Exception as error:
            self._end(replace(item, state="failed", error=_told(error)))
            return None
        elsewhere = names is not None and output is None
        item = replace(item, state="elsewhere" if elsewhere else "running", output=output)
        self._put(item)
        return None if elsewhere else item

    def _set(self, state: str, other: str) -> None:
        for item in self.batch.items if self.batch.count(state) else ():
            if item.state == state:
                self._put(replace(item, state=other))

    def _one(self, item: Item) -> None:
        try:
            with ExitStack() as until_reported:
                result, error = self._made(item, until_reported)
        except Cancelled:
            self._end(replace(item, state="cancelled"))
        except Exception as error:
            self._end(replace(item, state="failed", error=_told(error)))
        else:
            self._end(replace(item, state="done", info=result.info, error=error, png=result.png))

    def _end(self, item: Item) -> None:
        """The file came to this end; what it had claimed is free."""
        with self._lock:
            self._put(item)
            self._worked += item.pixels if item.info and not item.info["cached"] else 0
            self._tell(item, 0.0)
        if self.batch.names:
            self.batch.names.release(item.source)

    def _made(self, item: Item, until_reported: ExitStack) -> tuple[Result, EnhanceError | None]:
        """The result of a file, and why its report could not be written, which takes nothing from the result."""
        limits: dict[str, Any] = {"max_pixels": self._pixels, "max_bytes": self._bytes}
        picture = self.enhancer.read(item.source, item.output, **limits) if self.report else None
        result = self.enhancer.run(
            item.source,
            item.settings or self.settings,
            name=item.name,
            picture=picture,
            output=item.output,
            progress=lambda done, total, left: self._tell(item, done / total),
            **limits,
            hold=until_reported if item.output else self.held,
            ticket=Ticket("run", self.caller, self.stop, self._wait),
            encoding=self.encoding,
            with_png=bool(picture and item.output and not _report_place(item.output, picture).exists()),
        )
        return result, self._reported(item, result, picture) if picture else None

    def _reported(self, item: Item, result: Result, picture: Picture) -> EnhanceError | None:
        """Write the report, but that of a result which was there already as it is, with a report beside it."""
        if self.report is None or result.png is None:
            return None
        try:
            place = _report_place(item.output or result.png, picture)
            self.enhancer.write_report(result, picture, place, self.report)
        except Exception as error:
            return _told(error)
        return None

    def _put(self, item: Item) -> None:
        """Put the file in the place of what it was, or at the end."""
        with self._lock:
            before = self.batch.files.get(item.key)
            self.batch.files[item.key] = item
            self._change(counts=self._counted(before, item), latest=item)

    def _counted(self, before: Item | None, after: Item | None) -> Counter[str]:
        """Return the number of files in each state after a change of one file."""
        counts = self.batch.counts.copy()
        for item, sign in ((before, -1), (after, 1)):
            if item is not None:
                counts[item.state] += sign
                self._add_up(item, sign)
        return counts

    def _add_up(self, item: Item, sign: int = 1) -> None:
        """Add a file to the pixels in all, or subtract it, and to the queue where it waits."""
        self._total += sign * item.pixels * (item.state not in ("failed", "elsewhere"))
        self._finished += sign * item.pixels * (item.state == "done")
        if sign > 0 and item.state == "waiting":
            place = self._places.setdefault(item.key, len(self._places))
            heapq.heappush(self._waiting, (place, item.key))

    def _change(self, **facts: Any) -> None:
        with self._lock:
            self.batch = replace(self.batch, **facts)
            self.changed(self.batch)

    def _wait(self, ahead: int) -> None:
        with self._lock:
            if ahead != self.batch.ahead:
                self._change(ahead=ahead, latest=None)

    def _tell(self, item: Item, share: float) -> None:
        """Count the pixels done, of a file at work its `share`, and reckon the time from those that took time."""
        with self._lock:
            self._begun[item.key] = item.pixels * share
            if not share:  # It has ended.
                del self._begun[item.key]
            begun, total = sum(self._begun.values()), self._total or 1
            done, worked = self._finished + begun, self._worked + begun
            elapsed = time.perf_counter() - self._started
            left = elapsed / worked * max(total - done, 0) if worked else None
            facts = {"share": min(1.0, done / total), "share_of_file": share, "seconds_left": left}
            self._change(**facts, ahead=0, latest=None)


def _told(error: Exception) -> EnhanceError:
    return expected_error(error, "A file of a batch failed")


def measured(item: Item, max_pixels: int | None = None, max_bytes: int | None = None) -> Item:
    """The file after a look at its header: its size is its share of the work, and what is no picture fails at once."""
    try:
        facts = inspect(item.source, max_pixels=max_pixels, max_bytes=max_bytes)
    except EnhanceError as error:
        return replace(item, state="failed", error=error)
    return replace(item, size=(facts.height, facts.width))


def for_print(item: Item, settings: Settings, paper: str) -> Item:
    """The file with settings of its own, by which it fills a print on this paper; with none where there is no paper."""
    own = settings.changed(long_side=long_side_on(paper, item.size), dpi=DPI) if paper and item.size else None
    return item if item.settings == own else replace(item, settings=own)


def titles(batch: Batch) -> dict[Item, str]:
    """What the finished files are called where they lie together: each one in its sub-folder, and no two alike."""
    done = [item for item in batch.items if item.state == "done"]
    return dict(zip(done, apart(map(title, done)), strict=True))


def title(item: Item) -> str:
    """What the finished file is called where no other has its name."""
    place = Path(strip_direction_marks(item.place.as_posix()))
    return place.with_name(place.stem + (item.result.suffix if item.result else ".png")).as_posix()


def _report_place(result: Path, picture: Picture) -> Path:
    from .report import place_beside

    return place_beside(result, picture.sha256)


def pack(batch: Batch, path: Path, settings: Settings, language: str = DEFAULT_LANGUAGE) -> Path:
    """The finished files, `report.csv` and `summary.pdf` as one ZIP at `path`. Raises StorageError."""
    from .report import write_zip

    size = translate(language, "sizes_own") if any(item.settings for item in batch.items) else None
    return write_zip(path, lines_of(batch, language), settings.in_words(language, size), language=language)


def lines_of(batch: Batch, language: str) -> list[Line]:
    """The batch as its summary says it."""
    from .report import Line

    named, lines = titles(batch), []
    for item in batch.items:
        reason = strip_direction_marks(item.error.sentence(language)) if item.error else ""
        if item.info is None:
            lines.append(Line(strip_direction_marks(item.name), item.state, reason=reason))
            continue
        output, seconds = item.info["output"], item.info["seconds"]["total"]
        size, signs = (output["width"], output["height"]), (item.info["signature"], output["sha256"])
        figures = (size, output["bytes"], seconds, reason, item.result, named[item], *signs)
        lines.append(Line(strip_direction_marks(item.name), item.state, *figures, item.info.get("fidelity_db")))
    return lines


def _is_earlier_result(path: Path, output: Path | None) -> bool:
    return output is not None and output.absolute() in path.absolute().parents and origin_of(path).signature is not None
