"""Many files, one after the other: a bad one stops nothing, and what was done before is not done again."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Cancelled, EnhanceError
from .files import file_sha256
from .output.result import Origin, origin_of
from .picture import Picture, inspect, read_picture
from .settings import Settings
from .texts import DEFAULT_LANGUAGE, straight

if TYPE_CHECKING:
    from .enhancer import Enhancer, Result
    from .report import Line

log = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif")
"""The files of a folder that are taken for pictures; a file named by itself is judged by its content alone."""


@dataclass(frozen=True, eq=False)
class Item:
    """One file of a batch. `state` is waiting, running, done, failed or cancelled; `error` says why it failed."""

    source: Path
    place: Path
    """Below the folder that it was found in (its name, if it was named by itself)."""
    output: Path | None = None
    state: str = "waiting"
    pixels: int = 0
    info: dict[str, Any] | None = None
    error: EnhanceError | None = None
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    """Tells it from every other file, whatever becomes of it."""

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def result(self) -> Path | None:
        """The finished PNG."""
        return Path(self.info["output"]["path"]) if self.info else None


@dataclass(frozen=True)
class Batch:
    """All files of a batch as they stand, the share of the work that is done (0..1), and the seconds left.

    `share_of_file` is that of the file at work.
    """

    items: tuple[Item, ...]
    share: float = 0.0
    share_of_file: float = 0.0
    seconds_left: float | None = None
    ahead: int = 0
    """How many runs are before its next file, while that waits."""
    names: ResultNames | None = None
    """What names the results, where they go to a folder."""

    def count(self, state: str) -> int:
        return sum(item.state == state for item in self.items)


def find_pictures(inputs: Iterable[Path], output: Path | None = None) -> list[Item]:
    """The files named, and the pictures in the folders named, each folder in the order of names.

    Each file is taken once. Results of an earlier batch in the `output` folder are not taken for pictures of a folder
    around it.
    """
    found: dict[Path, Item] = {}
    for path in inputs:
        if path.is_dir():
            pictures = sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
            items = [Item(one, one.relative_to(path)) for one in pictures if not _is_earlier_result(one, output)]
        else:
            items = [Item(path, Path(path.name))]
        for item in items:
            found.setdefault(item.source.resolve(), item)
    return list(found.values())


def plan(items: Iterable[Item], folder: Path | None = None) -> Batch:
    """A batch of `items`; their results become tasks, or go below `folder` as `ResultNames` says."""
    return Batch(tuple(items), names=ResultNames(folder) if folder else None)


class ResultNames:
    """Gives each source a result's name of its own below a folder, where it keeps its sub-folder and name.

    A result that lies there already is replaced only by one of the same source, which is known by its bytes. Where a
    name is taken by another file, be it an original, another source's result or anything else, a number is added.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._given: set[str] = set()
        self._there: dict[Path, dict[Path, Origin]] = {}

    def give(self, source: Path, place: Path) -> Path:
        """Where the result of `source` goes, which lies at `place` below the folder that it was found in."""
        folder = self.folder / place.parent
        return self._earlier(source, folder) or self._free(source, folder)

    def _earlier(self, source: Path, folder: Path) -> Path | None:
        """Where a result of this source lies already."""
        stem = re.compile(rf"{re.escape(source.stem)}(-\d+)?\.png", re.IGNORECASE)
        results = {path: one.input_sha256 for path, one in self._results(folder).items() if stem.fullmatch(path.name)}
        if not results or (sha256 := _content(source)) is None:
            return None
        plain_first = sorted(results, key=lambda path: (len(path.name), path.name))
        return next((path for path in plain_first if results[path] == sha256 and self._take(path)), None)

    def _free(self, source: Path, folder: Path) -> Path:
        """The first name that no file has and no other source was given."""
        for number in itertools.count(1):
            path = folder / f"{source.stem}{f'-{number}' if number > 1 else ''}.png"
            if not path.exists() and self._take(path):
                return path
        raise AssertionError("count() does not end")

    def _take(self, path: Path) -> bool:
        key = str(path.absolute()).casefold()
        if key in self._given:
            return False
        self._given.add(key)
        return True

    def _results(self, folder: Path) -> dict[Path, Origin]:
        """The results of an earlier batch in a folder."""
        if folder not in self._there:
            found = ((path, origin_of(path)) for path in folder.glob("*.png"))
            self._there[folder] = {path: origin for path, origin in found if origin.signature}
        return self._there[folder]


def _content(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def apart(names: Iterable[str]) -> list[str]:
    """The names, each one once: those that come again get a number before their suffix."""
    taken: set[str] = set()
    result = []
    for name in names:
        path, candidate, number = Path(name), name, 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{path.stem}-{number}{path.suffix}"
        taken.add(candidate.casefold())
        result.append(candidate)
    return result


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
    caller: Hashable = None
    """Whose batch it is: its files take turns with the runs of other callers."""

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._over = False
        self._worked = 0
        self._pixels = self.max_pixels or self.enhancer.max_pixels
        self._bytes = self.max_bytes or self.enhancer.max_bytes

    def run(self) -> Batch:
        """Do the files in turn and give the batch as it ended; a stop keeps what is done."""
        self._started = time.perf_counter()
        with self._lock:
            for place, item in enumerate(self.batch.items):
                if item.state == "waiting" and not item.pixels:
                    self._put(place, measured(item, self._pixels, self._bytes))
        while (place := self._next()) is not None:
            self._one(place)
        return self.batch

    def add(self, items: Iterable[Item]) -> bool:
        """Let more files join at the end; False where it is over or stopped, and then none has joined."""
        with self._lock:
            if self._over or self.stop.is_set():
                return False
            self.batch = replace(self.batch, items=(*self.batch.items, *items))
            self.changed(self.batch)
        return True

    def remove(self, key: str) -> None:
        """Take a file out, if it still waits."""
        with self._lock:
            kept = tuple(item for item in self.batch.items if item.key != key or item.state != "waiting")
            self.batch = replace(self.batch, items=kept)
            self.changed(self.batch)

    def _next(self) -> int | None:
        """The place of the next file, which has begun; None when it is over, and from then on nothing can join."""
        with self._lock:
            waiting = [place for place, item in enumerate(self.batch.items) if item.state == "waiting"]
            if waiting and not self.stop.is_set():
                item = self.batch.items[waiting[0]]
                names = self.batch.names if item.output is None else None
                output = names.give(item.source, item.place) if names else item.output
                self._put(waiting[0], replace(item, state="running", output=output))  # no one can remove it any more
                return waiting[0]
            self._over = True
            for place in waiting:
                self._put(place, replace(self.batch.items[place], state="cancelled"))
            return None

    def _one(self, place: int) -> None:
        item = self.batch.items[place]
        try:
            picture = self._decoded(item) if self.report else None
            result = self.enhancer.run(
                item.source,
                self.settings,
                name=item.name,
                picture=picture,
                output=item.output,
                progress=lambda done, total, left: self._tell(item.pixels, done / total),
                stop=self.stop,
                max_pixels=self._pixels,
                max_bytes=self._bytes,
                hold=self.held,
                caller=self.caller,
                queued=self._wait,
            )
            error = self._reported(result, picture)
        except Cancelled:
            self._put(place, replace(item, state="cancelled"))
        except EnhanceError as error:
            self._put(place, replace(item, state="failed", error=error))
        except Exception:
            log.exception("A file of a batch failed")
            self._put(place, replace(item, state="failed", error=EnhanceError("unexpected")))
        else:
            self._put(place, replace(item, state="done", info=result.info, error=error))
            self._worked += 0 if result.info["cached"] else item.pixels
        self._tell(0, 0.0)

    def _reported(self, result: Result, picture: Picture | None) -> EnhanceError | None:
        """Write the report where one is asked for; why it could not be written takes nothing from the result."""
        if self.report is None or picture is None:
            return None
        from .report import place_beside

        try:
            self.enhancer.write_report(result, picture, place_beside(result.path, picture.sha256), self.report)
        except EnhanceError as error:
            return error
        return None

    def _decoded(self, item: Item) -> Picture:
        return read_picture(item.source, max_pixels=self._pixels, max_bytes=self._bytes)

    def _put(self, place: int, item: Item) -> None:
        with self._lock:
            items = list(self.batch.items)
            items[place] = item
            self.batch = replace(self.batch, items=tuple(items))
            self.changed(self.batch)

    def _wait(self, ahead: int) -> None:
        with self._lock:
            if ahead != self.batch.ahead:
                self.batch = replace(self.batch, ahead=ahead)
                self.changed(self.batch)

    def _tell(self, pixels: int, share: float) -> None:
        """Count the pixels done, of the file at work a `share`, and reckon the time from those that took time."""
        with self._lock:
            total = sum(item.pixels for item in self.batch.items if item.state != "failed") or 1
            finished = sum(item.pixels for item in self.batch.items if item.state == "done")
            done, worked = finished + pixels * share, self._worked + pixels * share
            elapsed = time.perf_counter() - self._started
            left = elapsed / worked * max(total - done, 0) if worked else None
            told = {"share": min(1.0, done / total), "share_of_file": share, "seconds_left": left, "ahead": 0}
            self.batch = replace(self.batch, **told)
            self.changed(self.batch)


def measured(item: Item, max_pixels: int | None = None, max_bytes: int | None = None) -> Item:
    """The file after a look at its header: its size is its share of the work, and what is no picture fails at once."""
    try:
        facts = inspect(item.source, max_pixels=max_pixels, max_bytes=max_bytes)
    except EnhanceError as error:
        return replace(item, state="failed", error=error)
    return replace(item, pixels=facts.width * facts.height)


def titles(batch: Batch) -> dict[Item, str]:
    """What the finished files are called where they lie together: each one as it was, and no two alike."""
    done = [item for item in batch.items if item.state == "done"]
    return dict(zip(done, apart(f"{straight(Path(item.name).stem)}.png" for item in done), strict=True))


def pack(batch: Batch, path: Path, settings: Settings, language: str = DEFAULT_LANGUAGE) -> Path:
    """The finished PNGs, `report.csv` and `summary.pdf` as one ZIP at `path`. Raises StorageError."""
    from .report import write_zip

    return write_zip(path, lines_of(batch, language), settings.in_words(language), language=language)


def lines_of(batch: Batch, language: str) -> list[Line]:
    """The batch as its summary says it."""
    from .report import Line

    named, lines = titles(batch), []
    for item in batch.items:
        reason = straight(item.error.sentence(language)) if item.error else ""
        if item.info is None:
            lines.append(Line(straight(item.name), item.state, reason=reason))
            continue
        output, seconds = item.info["output"], item.info["seconds"]["total"]
        size, signs = (output["width"], output["height"]), (item.info["signature"], output["sha256"])
        figures = (size, output["bytes"], seconds, reason, item.result, named[item], *signs)
        lines.append(Line(straight(item.name), item.state, *figures, item.info.get("fidelity_db")))
    return lines


def _is_earlier_result(path: Path, output: Path | None) -> bool:
    return output is not None and output.absolute() in path.absolute().parents and origin_of(path).signature is not None
