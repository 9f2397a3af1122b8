"""Many files, one after the other: a bad one stops nothing, and what was done before is not done again."""

from __future__ import annotations

import csv
import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Cancelled, EnhanceError
from .naming import settings_in_words
from .picture import inspect
from .result import signature_of
from .settings import Settings
from .whole import place_whole

if TYPE_CHECKING:
    from .enhancer import Enhancer

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif")
"""The files of a folder that are taken for pictures; a file named by itself is judged by its content alone."""

COLUMNS: tuple[str, ...] = (
    *("file", "state", "reason", "result", "width", "height", "bytes", "seconds"),
    *("signature", "sha256"),
)


@dataclass(frozen=True, eq=False)
class Item:
    """One file of a batch. `state` is waiting, running, done, failed or cancelled; `error` says why it failed."""

    source: Path
    name: str
    output: Path | None = None
    state: str = "waiting"
    pixels: int = 0
    info: dict[str, Any] | None = None
    error: str | None = None

    @property
    def result(self) -> Path | None:
        """The finished PNG."""
        return Path(self.info["output"]["path"]) if self.info else None


@dataclass(frozen=True)
class Batch:
    """All files of a batch as they stand, the share of the work that is done (0..1), and the seconds left."""

    items: tuple[Item, ...]
    share: float = 0.0
    seconds_left: float | None = None

    def count(self, state: str) -> int:
        return sum(item.state == state for item in self.items)


def find_pictures(inputs: Iterable[Path], output: Path | None = None) -> list[Path]:
    """The files named, and the pictures in the folders named, each folder in the order of names.

    Results of an earlier batch in the `output` folder are not taken for pictures of a folder around it.
    """
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            pictures = sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
            found += [one for one in pictures if not _is_earlier_result(one, output)]
        else:
            found.append(path)
    return found


def plan(sources: Sequence[Path], folder: Path | None = None, names: Sequence[str] | None = None) -> Batch:
    """A batch of `sources`; their results go to `folder` under their own names, or become tasks where it is None.

    Equal names, and those of the originals, are kept apart by a number. `names` are what people call the files, where
    that is not the file's name.
    """
    called = [Path(name).name for name in names] if names else [source.name for source in sources]
    originals = {source.name for source in sources if folder and source.parent.absolute() == folder.absolute()}
    results = apart((f"{Path(name).stem}.png" for name in called), originals)
    return Batch(
        tuple(
            Item(source, name, folder / result if folder else None)
            for source, name, result in zip(sources, called, results, strict=True)
        )
    )


def apart(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """The names, each one once: those that come again, or are `taken`, get a number before their suffix."""
    taken = {name.casefold() for name in taken}
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
    """A batch on its way. `run` does it; `batch` may be looked at from another thread."""

    enhancer: Enhancer
    settings: Settings
    batch: Batch
    stop: threading.Event = field(default_factory=threading.Event)
    changed: Callable[[Batch], object] = lambda batch: None
    max_pixels: int | None = None
    max_bytes: int | None = None
    report: str | None = None
    """The language of a PDF report beside every result; None for no reports."""

    def run(self) -> Batch:
        """Do the files in turn and give the batch as it ended; a stop keeps what is done."""
        self._started = time.perf_counter()
        self._worked = 0
        for place in range(len(self.batch.items)):
            self._measure(place)
        for place in range(len(self.batch.items)):
            if self.stop.is_set():
                self._put(place, state="cancelled") if self.batch.items[place].state == "waiting" else None
            elif self.batch.items[place].state == "waiting":
                self._one(place)
        return self.batch

    def _measure(self, place: int) -> None:
        """Look at the header: the size is the file's share of the work, and what is no picture fails at once."""
        try:
            facts = inspect(self.batch.items[place].source, max_pixels=self.max_pixels, max_bytes=self.max_bytes)
        except EnhanceError as error:
            self._put(place, state="failed", error=str(error))
        else:
            self._put(place, pixels=facts.width * facts.height)

    def _one(self, place: int) -> None:
        item = self.batch.items[place]
        self._put(place, state="running")
        try:
            result = self.enhancer.run(
                item.source,
                self.settings,
                name=item.name,
                output=item.output,
                progress=lambda done, total, left: self._report(item.pixels * done / total),
                stop=self.stop,
                max_pixels=self.max_pixels,
                max_bytes=self.max_bytes,
            )
            if self.report:
                self.enhancer.write_report(result, item.source, result.path.with_suffix(".pdf"), self.report)
        except Cancelled:
            self._put(place, state="cancelled")
        except EnhanceError as error:
            self._put(place, state="failed", error=str(error))
        else:
            self._put(place, state="done", info=result.info)
            self._worked += 0 if result.info["cached"] else item.pixels
        self._report(0)

    def _put(self, place: int, **values: Any) -> None:
        items = list(self.batch.items)
        items[place] = replace(items[place], **values)
        self.batch = replace(self.batch, items=tuple(items))
        self.changed(self.batch)

    def _report(self, pixels: float) -> None:
        """Count the pixels done, of the file at work `pixels`, and reckon the time from those that took time."""
        total = sum(item.pixels for item in self.batch.items if item.state != "failed") or 1
        finished = sum(item.pixels for item in self.batch.items if item.state == "done")
        worked = self._worked + pixels
        elapsed = time.perf_counter() - self._started
        left = elapsed / worked * max(total - finished - pixels, 0) if worked else None
        self.batch = replace(self.batch, share=min(1.0, (finished + pixels) / total), seconds_left=left)
        self.changed(self.batch)


def write_csv(batch: Batch) -> str:
    """The batch as a table (RFC 4180, with the byte order mark that makes spreadsheets read it as UTF-8)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    names = _result_names(batch)
    for item in batch.items:
        row: dict[str, Any] = {"file": _harmless(item.name), "state": item.state, "reason": item.error or ""}
        row["result"] = _harmless(names.get(item, ""))
        if item.info:
            output = item.info["output"]
            row |= {name: output[name] for name in ("width", "height", "bytes", "sha256")}
            row |= {"seconds": item.info["seconds"]["total"], "signature": item.info["signature"]}
        writer.writerow(row)
    return "\ufeff" + text.getvalue()


def summarise(batch: Batch, path: Path, settings: Settings, language: str = "en") -> Path:
    """The summary of the batch as PDF at `path`."""
    from .report.summary import Line, write_summary

    lines = []
    for item in batch.items:
        output = item.info["output"] if item.info else None
        lines.append(
            Line(
                item.name,
                item.state,
                (output["width"], output["height"]) if output else None,
                output["bytes"] if output else 0,
                item.info["seconds"]["total"] if item.info else 0.0,
                item.error or "",
            )
        )
    return write_summary(path, lines, settings_in_words(language, settings), language=language)


def write_zip(batch: Batch, path: Path, *, summary: Path | None = None) -> Path:
    """The finished PNGs, `report.csv` and the summary PDF as one ZIP at `path`, never held in memory."""

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for item, name in _result_names(batch).items():
                assert item.result is not None
                archive.write(item.result, name)
            archive.writestr("report.csv", write_csv(batch), zipfile.ZIP_DEFLATED)
            if summary is not None:
                archive.write(summary, "summary.pdf")

    place_whole(path, write)
    return path


def _is_earlier_result(path: Path, output: Path | None) -> bool:
    return output is not None and output.absolute() in path.absolute().parents and signature_of(path) is not None


def _result_names(batch: Batch) -> dict[Item, str]:
    """The finished files and their names in the ZIP."""
    done = [item for item in batch.items if item.state == "done"]
    return dict(zip(done, apart(f"{Path(item.name).stem}.png" for item in done), strict=True))


def _harmless(name: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name
