"""Previews of a region: their requests, their adjustment to the controls, and their state.

A page requests previews faster than they are computed. A later request cancels the earlier one. A finished preview is
adjusted to the current values of the controls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..analysis import Analysis
from ..config import Limits
from ..enhancer import Enhancer
from ..errors import Cancelled, SettingsError
from ..images import Box, Facts, ImageCache, SourceImage, read_image
from ..info import NO_MODEL
from ..output.resample import has_second_pass
from ..output.thumbnails import icc_for_screen
from ..preview import Preview, choose_box
from ..scheduler import Ticket
from ..settings import Settings, network_key, signature
from .metrics import Metrics
from .params import fitting
from .session import PreviewRequest, Session, Upload

PREVIEW_EVENTS: dict[str, Any] = {"concurrency_id": "previews", "concurrency_limit": 4}
"""Previews do not wait for runs: the engine serves them between two steps of a run."""
REGION_SIDE = 128
"""The side of the region in input pixels, which bounds the time of a preview."""


@dataclass(frozen=True, eq=False)
class PreviewState:
    """What the page shows of the preview: none, running, failed, matches or outdated. None leaves a part unchanged."""

    state: str
    files: tuple[Path, Path] | None = None
    region: Box | None = None
    error: Exception | None = None


class Previews:
    """The previews of all sessions."""

    def __init__(self, enhancer: Enhancer, limits: Limits, metrics: Metrics):
        self._enhancer, self._limits, self._metrics = enhancer, limits, metrics
        self._images = ImageCache()

    def image(self, path: Path) -> SourceImage:
        """Return the decoded file, from memory if possible. Raises PictureError."""
        limits, folder = self._limits, self._enhancer.tasks.folder
        return self._images.get(
            path, lambda: read_image(path, max_pixels=limits.pixels, max_bytes=limits.bytes, folder=folder)
        )

    def run(self, image: SourceImage, settings: Settings, **options: Any) -> Preview:
        """Return a preview, with `options` as `Enhancer.preview` has them. Raises EnhanceError."""
        return self._metrics.follow(
            "preview", settings.preset, lambda: self._enhancer.preview(image, settings, **options)
        )

    def forget(self, upload: Upload | None) -> None:
        if upload is not None:
            self._images.drop(upload.path)

    def sweep(self) -> None:
        """Drop decoded images that were not used for a while."""
        self._images.sweep()

    def set_photo(
        self, session: Session, path: Path, facts: Facts, image: SourceImage, settings: Settings, analysis: Analysis
    ) -> Upload:
        """Replace the session's photo, with the region in its middle, unless another choice has begun.

        Raises StorageError; the earlier photo is gone then.
        """
        if session.upload is not None and session.upload.path != path:
            self.forget(session.upload)
        choice = session.reset()
        upload = Upload(path, image.sha256, facts, session.save_thumbnail(image))
        region = choose_box(image.width, image.height, None, None, REGION_SIDE)
        with session.lock:
            if session.choice == choice:
                session.upload, session.region, session.settings = upload, region, settings
                session.analysis = analysis
        return upload

    def make(self, session: Session, settings: Settings) -> Iterator[PreviewState]:
        """Run a preview of the session's region and yield the states of the page."""
        request = self._begin(session, settings)
        if request is None:
            yield PreviewState(state_of(session))
            return
        try:
            yield PreviewState("running")
            yield self._finish(session, request, settings)
        finally:
            request.stop.set()

    def adjust(self, session: Session, settings: Settings) -> Iterator[PreviewState]:
        """Adjust the preview to the settings. The network runs only if the settings need it."""
        with session.lock:
            session.settings = settings
            session.close_comparison()
            preview, request = session.preview, session.preview_request
        shape = session.shape
        if request is not None and _network_of(request.settings, shape) != _network_of(settings, shape):
            yield from self.make(session, settings)
            return
        if request is not None or preview is None:
            yield PreviewState(state_of(session))  # The running preview is adjusted when it is finished.
            return
        try:
            yield self._replace(session, preview, self._enhancer.retune(preview, fitting(settings, session.shape)))
        except SettingsError:
            yield from self.make(session, settings)
        except Exception as error:
            yield PreviewState("failed", error=error)

    def _replace(self, session: Session, preview: Preview, adjusted: Preview) -> PreviewState:
        """Show the adjusted preview, unless another preview was shown or requested meanwhile."""
        files = _save(session, adjusted)
        with session.lock:
            if session.preview is not preview or session.preview_request is not None:
                return PreviewState(state_of(session))
            session.preview, session.preview_files, session.has_failed_preview = adjusted, files, False
            return PreviewState(state_of(session), files, adjusted.region.box)

    def use(self, session: Session, preview: Preview) -> PreviewState:
        """Show a finished preview of the region, adjusted to the session's settings."""
        request = self._begin(session, session.settings)
        if request is None:
            return PreviewState(state_of(session))
        try:
            return self._show(session, request, preview)
        except Exception as error:
            return _fail(session, request, error)

    def _begin(self, session: Session, settings: Settings) -> PreviewRequest | None:
        """Replace the session's request for a preview. Returns None without a photo."""
        with session.lock:
            session.settings = settings
            session.close_comparison()
            if session.upload is None or session.region is None:
                return None
            earlier = session.preview_request
            session.preview_request = PreviewRequest(settings)
            if earlier is not None:
                earlier.stop.set()
            return session.preview_request

    def _finish(self, session: Session, request: PreviewRequest, settings: Settings) -> PreviewState:
        with session.lock:
            upload, region = session.upload, session.region
        try:
            if upload is None or region is None:
                raise Cancelled("stopped")
            ticket = Ticket("preview", session.caller, request.stop)
            options = region_options(region) | {"ticket": ticket}
            preview = self.run(self.image(upload.path), fitting(settings, session.shape), **options)
            return self._show(session, request, preview)
        except Cancelled:
            with session.lock:
                if session.preview_request is request:
                    session.preview_request = None
                return PreviewState(state_of(session))
        except Exception as error:
            return _fail(session, request, error)

    def _show(self, session: Session, request: PreviewRequest, preview: Preview) -> PreviewState:
        """Adjust a finished preview to the controls until they rest, unless a later one was requested."""
        while True:
            with session.lock:
                if session.preview_request is not request:
                    return PreviewState(state_of(session))
                settings = session.settings
                wanted = fitting(settings, session.shape)
                if not is_current(session, preview.info, wanted):
                    preview = self._adjust(preview, wanted)
            files = _save(session, preview)
            with session.lock:
                if session.preview_request is not request:
                    return PreviewState(state_of(session))
                if session.settings != settings:
                    continue
                session.preview_request, session.has_failed_preview = None, False
                session.preview, session.preview_files = preview, files
                return PreviewState(state_of(session), files, preview.region.box)

    def _adjust(self, preview: Preview, settings: Settings) -> Preview:
        try:
            return self._enhancer.retune(preview, settings)
        except SettingsError:
            return preview


def _fail(session: Session, request: PreviewRequest, error: Exception) -> PreviewState:
    with session.lock:
        if session.preview_request is not request:
            return PreviewState(state_of(session))
        session.preview_request, session.has_failed_preview = None, True
        return PreviewState("failed", error=error)


def _save(session: Session, preview: Preview) -> tuple[Path, Path]:
    return session.save_pair("preview", (preview.before, preview.after), icc_for_screen(preview.region.image))


def region_options(region: Box) -> dict[str, Any]:
    """Return the arguments x, y and size of `Enhancer.preview` and `Enhancer.compare` for a region."""
    x, y = region.left + region.width / 2, region.top + region.height / 2
    return {"x": x, "y": y, "size": max(region.width, region.height)}


def state_of(session: Session) -> str:
    """Return the state of the preview: none, running, failed, matches or outdated."""
    with session.lock:
        preview = session.preview
        if session.preview_request is not None:
            return "running"
        if session.has_failed_preview:
            return "failed"
        if preview is None:
            return "none"
        current = is_current(session, preview.info, fitting(session.settings, session.shape))
        return "matches" if current and preview.region.box == session.region else "outdated"


def current_preview(session: Session) -> PreviewState:
    """Return the session's preview with its files and region."""
    with session.lock:
        preview = session.preview
        return PreviewState(state_of(session), session.preview_files, preview.region.box if preview else None)


def is_current(session: Session, info: Mapping[str, Any], settings: Settings) -> bool:
    """Return whether a preview or a result with this `info` is that of the session's photo and these settings."""
    upload, model, second = session.upload, info["model"], info.get("second_model")
    name = settings.model or NO_MODEL.name
    if upload is None or name != model["name"] or settings.dpi != info["settings"].get("dpi"):
        return False
    if has_second_pass(settings, upload.facts.height, upload.facts.width) != bool(second):
        return False
    second_sha256 = second["sha256"] if second else None
    return info["signature"] == signature(upload.sha256, settings, model["sha256"], info["precision"], second_sha256)


def _network_of(settings: Settings, shape: tuple[int, int] | None) -> str:
    """Return a key that is equal for two settings exactly if the network's output for the photo is."""
    settings = fitting(settings, shape)
    is_large = shape is not None and has_second_pass(settings, *shape)
    return network_key("", settings, settings.model, "", "second" if is_large else None)
