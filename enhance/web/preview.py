"""The preview of a square: asked for, run, tuned again by the sliders, and never shown for more than it is.

A page asks for previews faster than they are made. Every request has a number; a later one stops the one before it,
and what comes too late is dropped. A preview that arrives is tuned to where the sliders are by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Limits
from ..enhancer import Enhancer
from ..errors import Cancelled, SettingsError
from ..files import explained, link_or_copy
from ..i18n import translate
from ..images import Box, Facts, ImageCache, Picture, read_picture
from ..info import Result, settings_in
from ..output.live_view import WholePicture
from ..output.resample import result_size
from ..output.thumbnails import (
    icc_for_screen,
    save_for_screen,
    save_png,
    small_size,
    to_screen,
    whole_picture,
)
from ..preview import Preview, choose_box
from ..scheduler import Ticket
from ..settings import Settings, largest_scale, network_key, signature
from ..store import download_name
from .metrics import Metrics
from .params import reason
from .session import Asked, Finished, Upload, Visitor

PREVIEWS: dict[str, Any] = {"concurrency_id": "previews", "concurrency_limit": 4}
"""Previews do not wait for runs: the engine lets them in between two steps."""
SIZE = 128
THUMBNAIL = 896
"""The square's side in input pixels: what a preview costs, whatever the picture."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What the page is to show of the preview; None leaves a part as it is."""

    state: str
    pair: tuple[Path, Path] | None = None
    box: Box | None = None
    problem: str = ""


class Previews:
    """Previews for all visitors, by one enhancer."""

    def __init__(self, enhancer: Enhancer, limits: Limits, metrics: Metrics | None = None):
        self._enhancer, self._limits, self._metrics = enhancer, limits, metrics or Metrics()
        self._kept = ImageCache()

    def picture(self, path: Path) -> Picture:
        """The decoded picture file, from memory if it is still there. Raises PictureError."""
        told = {"max_pixels": self._limits.pixels, "max_bytes": self._limits.bytes}
        return self._kept.picture(path, lambda: read_picture(path, **told, folder=self._enhancer.tasks.folder))

    def run(self, picture: Picture, settings: Settings, **square: Any) -> Preview:
        """A preview as the enhancer makes it, told of. Raises EnhanceError."""
        return self._metrics.follow(
            "preview", settings.preset, lambda: self._enhancer.preview(picture, settings, **square)
        )

    def forget(self, upload: Upload | None) -> None:
        if upload is not None:
            self._kept.drop(upload.path)

    def put_on_stage(self, visitor: Visitor, path: Path, facts: Facts, picture: Picture, settings: Settings) -> Upload:
        """A picture in the place of the visitor's, with the square in its middle, unless another is chosen meanwhile.

        Raises StorageError; the earlier picture is gone then.
        """
        if visitor.upload is not None and visitor.upload.path != path:
            self.forget(visitor.upload)
        choice = visitor.start_over()
        upload = Upload(path, picture.sha256, facts, save_thumbnail(visitor, picture))
        visitor.take(choice, upload, choose_box(picture.width, picture.height, None, None, SIZE), settings)
        return upload

    def sweep(self) -> None:
        """Drop the decoded pictures that nobody needed for a while."""
        self._kept.sweep()

    def make(self, visitor: Visitor, settings: Settings, language: str) -> Iterator[Shown]:
        """Run a preview of the visitor's square; what a page shows while it runs, and at the end."""
        asked = self._ask(visitor, settings)
        if asked is None:
            yield Shown(state_of(visitor))
            return
        try:
            yield Shown("running")
            yield self._answer(visitor, asked, settings, language)
        finally:
            asked.stop.set()

    def tune(self, visitor: Visitor, settings: Settings, language: str) -> Iterator[Shown]:
        """The shown preview with the sliders where they are now; the network runs only for what needs it."""
        with visitor.lock:
            visitor.controls = settings
            visitor.end_comparison()
            preview, asked = visitor.preview, visitor.asked
        if asked is not None and not _same_network(asked.settings, settings):
            yield from self.make(visitor, settings, language)
            return
        if asked is not None or preview is None:
            yield Shown(state_of(visitor))  # the preview on its way takes the sliders as it finds them
            return
        try:
            yield self._adopt(visitor, preview, self._enhancer.retune(preview, fitting(settings, visitor)))
        except SettingsError:
            yield from self.make(visitor, settings, language)
        except Exception as error:
            yield Shown("failed", problem=reason(language, error, "A preview could not be tuned"))

    def take(self, visitor: Visitor, preview: Preview, language: str) -> Shown:
        """Show a preview of the square that is there already, tuned to where the sliders are."""
        asked = self._ask(visitor, visitor.controls)
        if asked is None:
            return Shown(state_of(visitor))
        try:
            return self._arrived(visitor, asked, preview)
        except Exception as error:
            return self._fail(visitor, asked, reason(language, error, "A preview could not be taken"), language)

    def _ask(self, visitor: Visitor, settings: Settings) -> Asked | None:
        with visitor.lock:
            visitor.controls = settings
            visitor.end_comparison()
            if visitor.upload is None or visitor.box is None:
                return None
            before = visitor.asked
            visitor.asked = Asked(settings)
            if before is not None:
                before.stop.set()
            return visitor.asked

    def _answer(self, visitor: Visitor, asked: Asked, settings: Settings, language: str) -> Shown:
        with visitor.lock:
            upload, box = visitor.upload, visitor.box
        try:
            if upload is None or box is None:
                raise Cancelled("stopped")
            x, y = box.left + box.width / 2, box.top + box.height / 2
            preview = self.run(
                self.picture(upload.path),
                fitting(settings, visitor),
                x=x,
                y=y,
                size=max(box.width, box.height),
                ticket=Ticket("preview", visitor.caller, asked.stop),
            )
            return self._arrived(visitor, asked, preview)
        except Cancelled:
            with visitor.lock:
                if visitor.asked is asked:
                    visitor.asked = None
                return Shown(state_of(visitor))
        except Exception as error:
            self._metrics.refused(error)
            return self._fail(visitor, asked, reason(language, error, "A preview failed"), language)

    def _arrived(self, visitor: Visitor, asked: Asked, preview: Preview) -> Shown:
        """Take the preview that came, tuned to where the sliders are by now, unless a later one was asked for."""
        while True:
            with visitor.lock:
                if visitor.asked is not asked:
                    return Shown(state_of(visitor))
                controls, wanted = visitor.controls, fitting(visitor.controls, visitor)
                if not is_current(visitor, preview.info, wanted):
                    preview = self._tuned(preview, wanted)
            pair = _saved(visitor, preview)
            with visitor.lock:
                if visitor.asked is not asked:
                    return Shown(state_of(visitor))
                if visitor.controls != controls:
                    continue
                visitor.asked, visitor.failed, visitor.preview, visitor.pair = None, False, preview, pair
                return Shown(state_of(visitor), pair, preview.piece.box)

    def _tuned(self, preview: Preview, controls: Settings) -> Preview:
        try:
            return self._enhancer.retune(preview, controls)
        except SettingsError:
            return preview

    def _adopt(self, visitor: Visitor, preview: Preview, tuned: Preview) -> Shown:
        pair = _saved(visitor, tuned)
        with visitor.lock:
            if visitor.preview is not preview or visitor.asked is not None:
                return Shown(state_of(visitor))
            visitor.preview, visitor.pair, visitor.failed = tuned, pair, False
            return Shown(state_of(visitor), pair, tuned.piece.box)

    def _fail(self, visitor: Visitor, asked: Asked, why: str, language: str) -> Shown:
        with visitor.lock:
            if visitor.asked is not asked:
                return Shown(state_of(visitor))
            visitor.asked, visitor.failed = None, True
            if visitor.preview is not None:
                why = f"{why} {translate(language, 'chip_failed_old')}"
            return Shown("failed", problem=why)


def _saved(visitor: Visitor, preview: Preview) -> tuple[Path, Path]:
    """The preview's pictures as files. Raises StorageError."""
    return save_pair(visitor, "preview", (preview.before, preview.after), icc_for_screen(preview.piece.picture))


def state_of(visitor: Visitor) -> str:
    """What the chip says: none, running, failed, matches or outdated."""
    with visitor.lock:
        preview = visitor.preview
        if visitor.asked is not None:
            return "running"
        if visitor.failed:
            return "failed"
        if preview is None:
            return "none"
        current = is_current(visitor, preview.info, fitting(visitor.controls, visitor))
        return "matches" if current and preview.piece.box == visitor.box else "outdated"


def on_stage(visitor: Visitor) -> Shown:
    """The preview that the visitor has now."""
    with visitor.lock:
        preview = visitor.preview
        return Shown(state_of(visitor), visitor.pair, preview.piece.box if preview else None)


def fitting(settings: Settings, visitor: Visitor) -> Settings:
    """The same, at the largest size where the visitor's picture cannot have theirs: a square of it is shown anyway."""
    with suppress(SettingsError):
        if visitor.shape is not None:
            result_size(settings, *visitor.shape)
        return settings
    return settings.changed(scale=largest_scale(settings))


def is_current(visitor: Visitor, info: Mapping[str, Any], settings: Settings) -> bool:
    """Whether a preview or a result with this `info` is what the settings make of the visitor's picture."""
    upload, model = visitor.upload, info["model"]
    if upload is None or settings.model != model["name"] or settings.dpi != info["settings"].get("dpi"):
        return False
    return info["signature"] == signature(upload.sha256, settings, model["sha256"], info["precision"])


def _same_network(one: Settings, other: Settings) -> bool:
    """Whether both make the network give the same output of the same picture."""
    return network_key("", one, one.model, "") == network_key("", other, other.model, "")


def save_thumbnail(visitor: Visitor, picture: Picture) -> Path:
    small = whole_picture(picture, small_size(picture.width, picture.height, THUMBNAIL))
    return save_for_screen(small, visitor.place("thumbnail", ""), icc_for_screen(picture))


def save_pair(visitor: Visitor, kind: str, pair: tuple[np.ndarray, np.ndarray], icc: bytes | None) -> tuple[Path, Path]:
    """Before and after as PNG files, pixel for pixel in 8 bit. Raises StorageError."""
    files = []
    for side, pixels in zip(("before", "after"), pair, strict=True):
        path = visitor.place(f"{kind}-{side}", ".png")
        files.append(save_png(to_screen(pixels), path, icc))
    return files[0], files[1]


def keep_for_page(visitor: Visitor, upload: Upload, whole: WholePicture, result: Result) -> Finished:
    """The PNG under a name that says what it is, and the result's renditions. Raises StorageError."""
    download = visitor.place("result", "") / download_name(upload.facts.name, settings_in(result.info))
    try:
        download.parent.mkdir(parents=True)
        link_or_copy(result.path, download)
        before = save_for_screen(whole.before, visitor.place("whole-before", ""), whole.icc)
        after = save_for_screen(whole.after.pixels, visitor.place("whole-after", ""), whole.icc)
    except OSError as error:
        raise explained(download, error) from error
    return Finished(upload, result.info, download, before, after)
