"""The state of one open page on the server."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis import Analysis
from ..batch import Batch, Item, plan
from ..files import link_or_copy, storage_errors
from ..images import Box, Facts
from ..info import Info, Result
from ..output.formats import Encoding
from ..output.thumbnails import Thumbnail, save_for_screen
from ..preview import Preview
from ..settings import AUTO, REFERENCE_PRESET, Settings
from ..store import result_name
from .batch.files import BatchFiles
from .owners import Owner

_MAX_FILES = 6
"""The number of files of one kind in a session's folder: a browser can still be loading an earlier one."""
_NOBODY = Owner("session ", "")


def image_version(sha256: str) -> str:
    """Return the name of an image with this checksum in the data of the page."""
    return sha256[:16]


@dataclass(frozen=True)
class Upload:
    """An accepted photo of a session. `focus` is what the page shows first, as shares of width and height."""

    path: Path
    sha256: str
    facts: Facts
    thumbnail: Path
    focus: tuple[float, float]
    analysis: Analysis

    @property
    def version(self) -> str:
        """The name of the image in the data of the page."""
        return image_version(self.sha256)


@dataclass(frozen=True, eq=False)
class PageResult:
    """A result of `upload` with the files that the page shows.

    `overview` is the whole result for the screen, `downloaded` the encoding of the last download, which a report
    describes.
    """

    upload: Upload
    info: Info
    download: Path
    overview: Path
    downloaded: Encoding | None = None


@dataclass(eq=False)
class PreviewRequest:
    """A request for a preview of the visible region `view`. A later request replaces it and sets `stop`.

    `quick` are the PreviewImages that are shown first.
    """

    settings: Settings
    view: Box
    stop: threading.Event = field(default_factory=threading.Event)
    quick: Any = None


class Session:
    """One open page. `lock` is held while several attributes change together, but not while work runs.

    Each tab has a session with a photo, its preview and its result. That of Single is the page's own. That of the file
    that is selected in Batch is `selected`, and its `owner` is the page's. `active` is the session of the open tab.
    """

    def __init__(self, folder: Path, client: Owner = _NOBODY, owner: Session | None = None):
        self.folder = folder
        self.client = client  # Who owns everything that the page makes.
        self.owner = owner or self
        self.selected = self if owner else Session(folder.with_name(secrets.token_hex(16)), client, self)
        self.is_batch_open = False
        self.file: Path | None = None  # The file of the batch that is selected.
        self.is_flexible = False  # Whether this file can have its largest size.
        self.tab = ""  # The browser's name for the tab, which a reload keeps.
        self.lock = threading.RLock()  # Methods that hold it call others that acquire it.
        self.seen = time.monotonic()
        self.closed: float | None = None  # When the page was closed, in monotonic seconds.
        self.order, self.values = 0, dict[str, Any]()  # The newest request with the values of the controls.

        self.upload: Upload | None = None
        self.choice = 0  # The number of the last choice of a photo.
        self.view, self.view_order = Box(0, 0, 1, 1), 0  # The region of the photo that the page shows, and its request.

        self.settings = Settings(REFERENCE_PRESET)  # With the preset that Auto chose, if Auto is selected.
        self.is_auto = True
        self.chosen = Settings(REFERENCE_PRESET)  # What Auto chose, without changes by the user.
        self.shown_values = Settings(REFERENCE_PRESET)  # The values of the preset or of Auto that the page has.
        self.wanted_size: dict[str, Any] = {}  # The chosen size, while the preset's model cannot reach it.
        self.encoding = Encoding()

        self.preview: Preview | None = None
        self.preview_view: Box | None = None  # The visible region that the preview was made for.
        self.preview_images: Any = None  # The PreviewImages that are shown.
        self.preview_request: PreviewRequest | None = None
        self.has_failed_preview = False
        self.comparison: Any = None  # The PageComparison that is shown.
        self.last_estimate: object = None
        self.run: Any = None  # The current or last PageRun.
        self.result: PageResult | None = None

        self.files = BatchFiles()
        self.batch: Any = None  # The current or last PageBatch.
        self.archives: dict[Path, set[str]] = {}  # The keys of the files in each other ZIP file.
        self.open_batch = ""  # The batch whose files the list of results shows.
        self._file_number = 0

    @property
    def caller(self) -> tuple[str, ...]:
        """The key for fair scheduling."""
        return self.client.caller

    @property
    def history(self) -> str:
        """The name of the list of results; "" if the client could not find it again."""
        return self.client.digest if self.client.is_lasting else ""

    @property
    def tabs(self) -> tuple[Session, Session]:
        """The sessions of both tabs of the page."""
        return self, self.selected

    @property
    def active(self) -> Session:
        """The session whose photo the page shows."""
        return self.selected if self.is_batch_open else self

    def open_tab(self, is_batch: bool) -> None:
        """Show the photo of Single or Batch, with the settings of the panel, which both tabs share."""
        before, self.is_batch_open = self.active, is_batch
        if before is not self.active:
            for name in ("settings", "is_auto", "shown_values", "wanted_size", "encoding"):
                setattr(self.active, name, getattr(before, name))

    @property
    def is_active(self) -> bool:
        return self.owner.active is self

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of the photo."""
        return None if self.upload is None else (self.upload.facts.height, self.upload.facts.width)

    @property
    def preset_control(self) -> str:
        """The preset that is selected on the page."""
        return AUTO if self.is_auto else self.settings.preset

    @property
    def is_running(self) -> bool:
        """Whether a run is in progress or in the queue."""
        return self.run is not None and not self.run.is_over

    @property
    def is_batch_running(self) -> bool:
        return self.batch is not None and not self.batch.is_over

    @property
    def is_busy(self) -> bool:
        is_previewing = any(one.preview_request is not None for one in self.tabs)
        return self.is_running or self.is_batch_running or is_previewing

    @property
    def current_batch(self) -> Batch:
        """The files of the Batch tab with their current states."""
        job = self.batch
        return plan(self.files.items) if job is None else job.batch

    @property
    def batch_item(self) -> Item | None:
        """The selected file, if this is the session of the Batch tab."""
        items = () if self is self.owner else self.owner.current_batch.items
        return next((item for item in items if item.source == self.file), None)

    def newest(self, order: int, values: dict[str, Any]) -> dict[str, Any]:
        """Return the newest values of the controls. Requests can arrive out of order."""
        with self.lock:
            if order >= self.order:
                self.order, self.values = order, values
            return self.values

    def show_view(self, view: Box, order: int) -> bool:
        """Set the region that the page shows, unless a later request has set it. Return whether it was set."""
        with self.lock:
            if order < self.view_order:
                return False
            self.view, self.view_order = view, order
            return True

    def new_path(self, kind: str, suffix: str = "") -> Path:
        """Return the path for a new file of this kind, and delete the oldest files of the kind."""
        with self.lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            number = self._file_number = self._file_number + 1
        # Numbers have leading zeros, so that the names are in the order of their age.
        for old in sorted(self.folder.glob(f"{kind}-*"))[:-_MAX_FILES]:
            with suppress(OSError):  # A file that is open elsewhere is deleted later.
                shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        return self.folder / f"{kind}-{number:06d}{suffix}"

    def save_image(self, kind: str, pixels: np.ndarray, icc: bytes | None) -> Path:
        """Write an image for the screen. Raises StorageError."""
        path = self.new_path(kind)
        with storage_errors(path):
            return save_for_screen(pixels, path, icc)

    def save_result(self, upload: Upload, overview: Thumbnail, icc: bytes | None, result: Result) -> PageResult:
        """Save the download with its final name and the whole result for the screen. Raises StorageError."""
        download = self.new_path("result") / result_name(result.info, ".png", upload.facts.name)
        with storage_errors(download):
            download.parent.mkdir(parents=True)
            link_or_copy(result.path, download)
        with storage_errors(download):
            shown = save_for_screen(overview.pixels, download.with_name("overview"), icc)
        return PageResult(upload, result.info, download, shown)

    def cancel_previews(self) -> None:
        """Cancel the preview and the comparison, which only an open page needs."""
        with self.lock:
            if self.preview_request is not None:
                self.preview_request.stop.set()
            self.close_comparison()

    def close_comparison(self) -> None:
        with self.lock:
            if self.comparison is not None:
                self.comparison.close()
            self.comparison = None

    def used_paths(self) -> list[Path]:
        """Return the files and folders that the page shows or still needs."""
        with self.lock:
            files = self.files
            paths = [self.upload.path if self.upload else None, *files.archives, *files.thumbnails.values()]
            paths += [path for item in self.current_batch.items for path in (item.source, item.result, item.png)]
            paths += [*files.results.values(), *(self.batch.packed.paths if self.batch else ())]
        folders = [one.folder for one in self.tabs]
        return [*folders, *(path for folder in folders for path in folder.rglob("*")), *filter(None, paths)]

    def end_batch(self) -> None:
        """Copy the files of the last batch back, so that they can be processed again and others can be added."""
        if self.batch is not None and self.batch.is_over:
            self.files.archives.append(self.batch.packed.archive)
            self.files.items, self.batch = self.current_batch.items, None

    def remove_files(self, keys: Collection[str]) -> None:
        """Delete all downloads that contain these files, and remove finished ones from the Batch tab."""
        with self.lock:
            if not self.is_batch_running and any(item.key in keys for item in self.current_batch.items):
                self.end_batch()
                self.files.remove(keys)
            for path in [path for path, contained in self.archives.items() if not contained.isdisjoint(keys)]:
                del self.archives[path]
                path.unlink(missing_ok=True)

    def begin_choice(self) -> int:
        """Return the number of a new choice of a photo, which replaces an earlier one that is still being read."""
        with self.lock:
            self.choice += 1
            return self.choice

    def reset(self, *, keep_files: bool = False) -> int:
        """Remove the photo with its preview and result, and return the number of a new choice.

        With `keep_files`, `new_path` deletes the files later: the browser can still be loading some of them.
        """
        with self.lock:
            choice = self.begin_choice()
            self.cancel_previews()
            if self.run is not None:
                self.run.cancel("user")
            self.upload = self.preview = self.preview_images = self.preview_request = None
            self.run = self.result = self.preview_view = None
            self.has_failed_preview = False
        if not keep_files:
            shutil.rmtree(self.folder, ignore_errors=True)
        return choice
