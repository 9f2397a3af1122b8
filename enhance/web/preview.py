"""Previews of a region: their requests, their adjustment to the controls, and their state.

A page requests previews faster than they are computed. A later request cancels the earlier one. A finished preview is
adjusted to the current values of the controls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..analysis import Analysis
from ..enhancer import Enhancer
from ..errors import Cancelled, EnhanceError, SettingsError
from ..images import Box, Facts, ImageCache, SourceImage
from ..info import NO_MODEL
from ..output.resample import Grid, has_second_pass
from ..output.thumbnails import icc_for_screen
from ..presets import available_presets, with_installed_models
from ..preview import LARGEST, Preview, choose_box
from ..scheduler import Ticket
from ..settings import Settings, network_key, signature
from .metrics import Metrics
from .params import fitting
from .session import PreviewRequest, Session, Upload, image_version

PREVIEW_EVENTS: dict[str, Any] = {"concurrency_id": "previews", "concurrency_limit": 4}
"""Previews do not wait for runs: the engine serves them between two steps of a run."""
REGION_SIDE = 128
"""The side of the region in input pixels that presets are compared on."""
_MIN_SIDE = 48
_MAX_SECONDS = 8.0
"""The longest expected time of the network. If the visible region takes longer, only its middle is previewed."""
_QUICK_PRESET, _QUICK_SECONDS = "precise", 1.5
"""The preset of the quick preview, which is shown first if the selected preset takes longer than these seconds."""


@dataclass(frozen=True)
class PreviewImages:
    """The images of a preview, before and after, of the photo with the version `photo`.

    `window` (left, top, width, height) is the region in pixels of a result of `size` (width, height). Images with the
    same `signature` have the same settings.
    """

    photo: str
    files: tuple[Path, Path]
    window: tuple[int, int, int, int]
    size: tuple[int, int]
    signature: str
    is_quick: bool = False


@dataclass(frozen=True, eq=False)
class PreviewState:
    """The state of the preview on the page: none, running, quick, failed, matches or outdated.

    The images on the page stay unchanged if `images` is None.
    """

    state: str
    images: PreviewImages | None = None
    error: Exception | None = None


class Previews:
    """The previews of all sessions."""

    def __init__(self, enhancer: Enhancer, metrics: Metrics, images: ImageCache | None = None):
        self._enhancer, self._metrics, self._images = enhancer, metrics, images or ImageCache()

    def image(self, path: Path) -> SourceImage:
        """Return the decoded file, from memory if possible. Raises PictureError."""
        return self._images.get(path, lambda: self._enhancer.read(path))

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
        self,
        session: Session,
        path: Path,
        facts: Facts,
        image: SourceImage,
        settings: Settings,
        analysis: Analysis,
        choice: int,
    ) -> Upload | None:
        """Replace the session's photo. Return None if another choice than this one has begun.

        Raises StorageError; the earlier photo is gone then.
        """
        with session.lock:
            if session.choice != choice:
                return None
            before, choice = session.upload, session.reset(keep_files=True)
        if before is not None and before.path != path:
            self.forget(before)
        upload = Upload(path, image.sha256, facts, *session.save_thumbnail(image))
        view = choose_box(image.width, image.height, None, None, REGION_SIDE)
        with session.lock:
            if session.choice != choice:
                return None
            session.upload, session.settings, session.view = upload, settings, view
            session.analysis = analysis
        return upload

    def make(self, session: Session, settings: Settings) -> Iterator[PreviewState]:
        """Run a preview of the region that the page shows and yield the states of the page.

        If the network is slow, the images of a quick one come first.
        """
        request = self._begin(session, settings)
        if request is None:
            yield PreviewState(state_of(session))
            return
        try:
            yield PreviewState("running")
            quick = self._quick_images(session, request, settings)
            if quick is not None:
                yield PreviewState("quick", quick)
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
        if session.preview_view != session.view:  # The view moved while the page showed a result.
            yield from self.make(session, settings)
            return
        try:
            yield self._replace(session, preview, self._enhancer.retune(preview, fitting(settings, session.shape)))
        except SettingsError:
            yield from self.make(session, settings)
        except Exception as error:
            yield PreviewState("failed", error=error)

    def _replace(self, session: Session, preview: Preview, adjusted: Preview) -> PreviewState:
        """Show the adjusted preview, unless another preview was shown or requested meanwhile."""
        images = _save(session, adjusted)
        with session.lock:
            if session.preview is not preview or session.preview_request is not None:
                return PreviewState(state_of(session))
            session.preview, session.preview_images, session.has_failed_preview = adjusted, images, False
            return PreviewState(state_of(session), images)

    def use(self, session: Session, preview: Preview) -> PreviewState:
        """Show a finished preview of a part of the view, adjusted to the session's settings."""
        request = self._begin(session, session.settings)
        if request is None:
            return PreviewState(state_of(session))
        try:
            return self._show(session, request, preview, preview.region.box)  # The rest of the view has no preview.
        except Exception as error:
            return _fail(session, request, error)

    def _begin(self, session: Session, settings: Settings) -> PreviewRequest | None:
        """Replace the session's request for a preview. Returns None without a photo."""
        with session.lock:
            session.settings = settings
            session.close_comparison()
            if session.upload is None:
                return None
            earlier = session.preview_request
            session.preview_request = PreviewRequest(settings, session.view)
            if earlier is not None:
                earlier.stop.set()
            return session.preview_request

    def _finish(self, session: Session, request: PreviewRequest, settings: Settings) -> PreviewState:
        try:
            upload = session.upload
            if upload is None:
                raise Cancelled("stopped")
            image, settings = self.image(upload.path), fitting(settings, session.shape)
            region = self._region(image, request.view, settings)
            preview = self.run(image, settings, **_options(session, request, region))
            return self._show(session, request, preview, request.view)
        except Cancelled:
            with session.lock:
                if session.preview_request is request:
                    session.preview_request = None
                return PreviewState(state_of(session))
        except Exception as error:
            return _fail(session, request, error)

    def _region(self, image: SourceImage, view: Box, settings: Settings) -> Box:
        """Return the middle of the visible region for which the network needs a few seconds at most."""
        region = _middle(view, LARGEST, LARGEST)
        while min(region.width, region.height) > _MIN_SIDE:
            share = _MAX_SECONDS / max(self._enhancer.estimate_preview(image, settings, region), 1e-6)
            if share >= 1:
                break
            smaller = min(0.95, math.sqrt(share))
            region = _middle(region, int(smaller * region.width), int(smaller * region.height))
        return region

    def _quick_images(self, session: Session, request: PreviewRequest, settings: Settings) -> PreviewImages | None:
        """Return a preview by a quick preset; None if it would not be quicker or is not possible."""
        upload = session.upload
        try:
            if upload is None or _QUICK_PRESET not in available_presets():
                return None
            image, settings = self.image(upload.path), fitting(settings, session.shape)
            quick = with_installed_models(Settings(_QUICK_PRESET, **settings.output_size))
            quick = fitting(quick, session.shape)
            slow = self._enhancer.estimate_preview(image, settings, self._region(image, request.view, settings))
            if slow < _QUICK_SECONDS or quick.model == settings.model:
                return None
            region = self._region(image, request.view, quick)
            return _save(session, self.run(image, quick, **_options(session, request, region)), is_quick=True)
        except EnhanceError:  # The selected preset reports its own error.
            return None

    def _show(self, session: Session, request: PreviewRequest, preview: Preview, view: Box) -> PreviewState:
        """Adjust a finished preview of `view` until the controls stop changing, unless a later one was requested."""
        while True:
            with session.lock:
                if session.preview_request is not request:
                    return PreviewState(state_of(session))
                settings = session.settings
                wanted = fitting(settings, session.shape)
                if not is_current(session, preview.info, wanted):
                    preview = self._adjust(preview, wanted)
            images = _save(session, preview)
            with session.lock:
                if session.preview_request is not request:
                    return PreviewState(state_of(session))
                if session.settings != settings:
                    continue
                session.preview_request, session.has_failed_preview = None, False
                session.preview, session.preview_images, session.preview_view = preview, images, view
                return PreviewState(state_of(session), images)

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


def _save(session: Session, preview: Preview, *, is_quick: bool = False) -> PreviewImages:
    region, info = preview.region, preview.info
    files = session.save_pair("preview", (preview.before, preview.after), icc_for_screen(region.image))
    settings = Settings(**info["settings"], preset=info["preset"], tile=info["tile"])
    grid = Grid.of(settings, *region.whole)
    down, across = grid.window(region.box)
    window = across.start, down.start, across.stop - across.start, down.stop - down.start
    photo = image_version(info["input"]["sha256"])
    return PreviewImages(photo, files, window, (grid.whole[1], grid.whole[0]), info["signature"], is_quick)


def _middle(box: Box, width: int, height: int) -> Box:
    """Return the middle of a region, with sides of at most `width` and `height`."""
    width, height = min(width, box.width), min(height, box.height)
    return Box(box.left + (box.width - width) // 2, box.top + (box.height - height) // 2, width, height)


def _options(session: Session, request: PreviewRequest, region: Box) -> dict[str, Any]:
    return {"box": region, "ticket": Ticket("preview", session.caller, request.stop)}


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
        return "matches" if current and session.preview_view == session.view else "outdated"


def current_preview(session: Session) -> PreviewState:
    """Return the session's preview with its images."""
    with session.lock:
        preview = session.preview
        return PreviewState(state_of(session), session.preview_images if preview else None)


def is_current(session: Session, info: Mapping[str, Any], settings: Settings) -> bool:
    """Return whether a preview or a result with this `info` is that of the session's photo and these settings."""
    upload, model, second = session.upload, info["model"], info.get("second_model")
    name = settings.model or NO_MODEL.name
    if upload is None or name != model["name"] or settings.dpi != info["settings"].get("dpi"):
        return False
    try:
        if has_second_pass(settings, upload.facts.height, upload.facts.width) != bool(second):
            return False
    except SettingsError:  # The size is not possible.
        return False
    second_sha256 = second["sha256"] if second else None
    return info["signature"] == signature(upload.sha256, settings, model["sha256"], info["precision"], second_sha256)


def _network_of(settings: Settings, shape: tuple[int, int] | None) -> str:
    """Return a key that is equal for two settings exactly if the network's output for the photo is."""
    settings = fitting(settings, shape)
    is_large = shape is not None and has_second_pass(settings, *shape)
    return network_key("", settings, settings.model, "", "second" if is_large else None)
