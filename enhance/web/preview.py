"""Previews of a region: their requests, their adjustment to the controls, and their state.

A page requests previews faster than they are computed. A later request cancels the earlier one. A finished preview is
adjusted to the current values of the controls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..analysis import Analysis
from ..enhancer import Enhancer
from ..errors import Cancelled, EnhanceError, SettingsError
from ..images import Box, Facts, ImageCache, SourceImage, inspect
from ..info import NO_MODEL
from ..output.resample import Grid, has_second_pass
from ..output.thumbnails import icc_for_screen, most_detailed_point, small_size, to_screen, whole_image
from ..presets import available_presets, with_installed_models
from ..preview import LARGEST, Preview, choose_box
from ..scheduler import Ticket
from ..settings import Settings, network_key, signature
from .metrics import Metrics
from .params import with_fitting_size
from .session import PreviewRequest, Session, Upload, image_version

PREVIEW_EVENTS: dict[str, Any] = {"concurrency_id": "previews", "concurrency_limit": 4}
"""Previews do not wait for runs: the engine serves them between two steps of a run."""
REGION_SIDE = 128
"""The side of the region in input pixels that presets are compared on."""
_THUMBNAIL_SIDE = 896
_MIN_SIDE = 48
_MAX_SECONDS = 8.0
"""The longest expected time of the network. If the visible region takes longer, only its middle is previewed."""
_MAX_BYTES = 200_000_000
"""The size of the network outputs that are kept for the sliders of all pages. One of the largest region is 18 MB."""
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)
_QUICK_PRESET, _QUICK_SECONDS = "precise", 1.5
"""The preset of the quick preview, which is shown first if the selected preset takes longer than these seconds."""


@dataclass(frozen=True)
class Photo:
    """A decoded photo with its facts and its analysis."""

    path: Path
    facts: Facts
    image: SourceImage
    analysis: Analysis


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


class Previews:
    """The previews of all sessions."""

    def __init__(self, enhancer: Enhancer, metrics: Metrics, images: ImageCache | None = None):
        self._enhancer, self._metrics, self.images = enhancer, metrics, images or ImageCache()
        self._newest: WeakKeyDictionary[Session, None] = WeakKeyDictionary()  # In the order of their last previews.
        self._lock = Lock()

    def image(self, path: Path) -> SourceImage:
        """Return the decoded file, from memory if possible. Raises PictureError."""
        return self.images.get(path, lambda: self._enhancer.read(path))

    def run(self, image: SourceImage, settings: Settings, **options: Any) -> Preview:
        """Return a preview, with `options` as `Enhancer.preview` has them. Raises EnhanceError."""
        return self._metrics.follow(
            "preview", settings.preset, lambda: self._enhancer.preview(image, settings, **options)
        )

    def read(self, path: Path) -> Photo:
        """Return a photo that can become that of a session. Raises EnhanceError."""
        facts = inspect(path, max_pixels=self._enhancer.max_pixels, max_bytes=self._enhancer.max_bytes)
        image = self.image(path)
        return Photo(path, facts, image, self._enhancer.analyse(image))

    def set_photo(self, session: Session, photo: Photo, settings: Settings, choice: int) -> Upload | None:
        """Replace the session's photo. Return None if another choice than this one has begun.

        Raises StorageError, after the earlier photo was removed.
        """
        image = photo.image
        with session.lock:
            if session.choice != choice:
                return None
            before, choice = session.upload, session.reset(keep_files=True)
        if before is not None and before.path != photo.path:
            self.images.drop(before.path)
        small = whole_image(image, small_size(image.width, image.height, _THUMBNAIL_SIDE))
        thumbnail, focus = session.save_image("thumbnail", small, icc_for_screen(image)), most_detailed_point(small)
        upload = Upload(photo.path, image.sha256, photo.facts, thumbnail, focus, photo.analysis)
        view = choose_box(image.width, image.height, None, None, REGION_SIDE)
        with session.lock:
            if session.choice != choice:
                return None
            session.upload, session.settings, session.view = upload, settings, view
        return upload

    def make(self, session: Session, settings: Settings) -> Iterator[None]:
        """Run a preview of the region that the page shows. Yields when the page can show something new before the end.

        If the network is slow, the images of a quick preview come first. Raises EnhanceError.
        """
        with self._request(session, settings) as request:
            yield
            if (upload := session.upload) is None:
                raise Cancelled("stopped")
            image, settings = self.image(upload.path), with_fitting_size(settings, session.shape)
            region = self.region(image, request.view, settings)
            request.quick = self._quick_images(session, request, image, settings, region)
            if request.quick is not None:
                yield
            preview = self.run(image, settings, box=region, ticket=_ticket(session, request))
            self._show(session, request, preview, request.view)

    def adjust(self, session: Session, settings: Settings) -> Iterator[None]:
        """Adjust the preview to the settings, as `make` does. The network runs only if the settings need it."""
        with session.lock:
            session.settings = settings
            session.close_comparison()
            preview, request, shape = session.preview, session.preview_request, session.shape
        if request is not None:  # A running preview is adjusted when it is finished.
            is_needed = _network_of(request.settings, shape) != _network_of(settings, shape)
        elif preview is None or session.preview_view != session.view:  # The view moved while the page showed a result.
            is_needed = preview is not None
        else:
            adjusted = self._retune(preview, with_fitting_size(settings, shape))
            is_needed = adjusted is None
            if adjusted is not None:
                self._replace(session, preview, adjusted)
        if is_needed:
            yield from self.make(session, settings)

    def use(self, session: Session, preview: Preview) -> None:
        """Show a finished preview of a part of the view, adjusted to the session's settings. Raises EnhanceError."""
        with self._request(session, session.settings) as request:
            self._show(session, request, preview, preview.region.box)  # The rest of the view has no preview.

    @contextmanager
    def _request(self, session: Session, settings: Settings) -> Iterator[PreviewRequest]:
        """Replace the session's request for a preview. Errors of a request that was replaced are ignored."""
        with session.lock:
            session.settings = settings
            session.close_comparison()
            if session.preview_request is not None:
                session.preview_request.stop.set()
            request = session.preview_request = PreviewRequest(settings, session.view)
        try:
            yield request
        except Exception as error:
            with session.lock:
                is_failed = session.preview_request is request and not isinstance(error, Cancelled)
                if session.preview_request is request:
                    session.preview_request, session.has_failed_preview = None, is_failed
            if is_failed:
                raise
        finally:
            request.stop.set()  # If the page is closed, Gradio closes the generator, and the network must stop.

    def region(self, image: SourceImage, view: Box, settings: Settings) -> Box:
        """Return the middle of the visible region for which the network needs a few seconds at most."""
        region = _middle(view, LARGEST, LARGEST)
        while min(region.width, region.height) > _MIN_SIDE:
            share = _MAX_SECONDS / max(self._enhancer.estimate_preview(image, settings, region), 1e-6)
            if share >= 1:
                break
            # The time is about proportional to the area. But the margin around the region does not shrink with it, so
            # each step removes at least a twentieth of each side.
            smaller = min(0.95, math.sqrt(share))
            region = _middle(region, int(smaller * region.width), int(smaller * region.height))
        return region

    def _quick_images(
        self, session: Session, request: PreviewRequest, image: SourceImage, settings: Settings, region: Box
    ) -> PreviewImages | None:
        """Return a preview by a quick preset; None if it would not be quicker or is not possible."""
        with suppress(EnhanceError):  # The selected preset reports its own error.
            if quick := self.quick_settings(image, settings, region):
                box = self.region(image, request.view, quick)
                return _save(session, self.run(image, quick, box=box, ticket=_ticket(session, request)), is_quick=True)
        return None

    def quick_settings(self, image: SourceImage, settings: Settings, region: Box) -> Settings | None:
        """Return the settings of a quick preview to show first. None if it is not possible or would not be quicker."""
        if self._enhancer.estimate_preview(image, settings, region) < _QUICK_SECONDS:
            return None
        if _QUICK_PRESET not in available_presets():
            return None
        try:
            quick = with_installed_models(Settings(_QUICK_PRESET, **settings.output_size))
        except SettingsError:  # The size is larger than the largest one of the preset.
            return None
        quick = with_fitting_size(quick, (image.height, image.width))
        return quick if quick.model != settings.model else None

    def _replace(self, session: Session, preview: Preview, adjusted: Preview) -> None:
        """Show the adjusted preview, unless another preview was shown or requested meanwhile."""
        images = _save(session, adjusted)
        with session.lock:
            if session.preview is preview and session.preview_request is None:
                session.preview, session.preview_images = adjusted.without_images(), images
                session.has_failed_preview = False

    def _show(self, session: Session, request: PreviewRequest, preview: Preview, view: Box) -> None:
        """Adjust a finished preview of `view` until the controls stop changing, unless a later one was requested."""
        settings = None
        while settings != session.settings:
            with session.lock:
                settings = session.settings
                wanted = with_fitting_size(settings, session.shape)
                if not is_current(session, preview.info, wanted):
                    preview = self._retune(preview, wanted) or preview
            images = _save(session, preview)
            with session.lock:
                if session.preview_request is not request:
                    return
                if session.settings == settings:
                    session.preview_request, session.has_failed_preview = None, False
                    session.preview, session.preview_images = preview.without_images(), images
                    session.preview_view = view
        self._drop_oldest(session)

    def _drop_oldest(self, session: Session) -> None:
        """Drop the network outputs of the pages that were previewed longest ago, until the rest fits.

        Their images stay, and the network runs again when a slider changes.
        """
        size = 0
        with self._lock:
            self._newest.pop(session, None)
            self._newest[session] = None
            newest = list(self._newest)[::-1]
        for one in newest:
            with one.lock:  # One after the other: two threads that held several locks could wait for each other.
                if one.preview is not None:
                    size += one.preview.region.network.nbytes
                    one.preview = one.preview if one is session or size <= _MAX_BYTES else _without_network(one.preview)

    def _retune(self, preview: Preview, settings: Settings) -> Preview | None:
        """Return the preview with other values of tuning; None if the settings need another network."""
        try:
            return self._enhancer.retune(preview, settings)
        except SettingsError:
            return None


def _without_network(preview: Preview) -> Preview:
    """Return a preview that cannot be adjusted, because its key matches no settings."""
    return replace(preview, region=replace(preview.region, network=_NO_PIXELS, network_key="", patches=()))


def _save(session: Session, preview: Preview, *, is_quick: bool = False) -> PreviewImages:
    info = preview.info
    sides, icc = (preview.before, preview.after), icc_for_screen(preview.region.image)
    before, after = (session.save_image(f"preview-{n}", to_screen(pixels), icc) for n, pixels in enumerate(sides))
    window, size = window_of(preview)
    place = window.left, window.top, window.width, window.height
    photo = image_version(info["input"]["sha256"])
    return PreviewImages(photo, (before, after), place, size, info["signature"], is_quick)


def window_of(preview: Preview) -> tuple[Box, tuple[int, int]]:
    """Return the region of a preview in pixels of the whole result, and the result's width and height."""
    region, info = preview.region, preview.info
    settings = Settings(**info["settings"], preset=info["preset"], tile=info["tile"])
    grid = Grid.of(settings, region.cut.height, region.cut.width)
    down, across = grid.window(region.box)
    window = Box(across.start, down.start, across.stop - across.start, down.stop - down.start)
    return window, (grid.whole[1], grid.whole[0])


def _middle(box: Box, width: int, height: int) -> Box:
    """Return the middle of a region, with sides of at most `width` and `height`."""
    width, height = min(width, box.width), min(height, box.height)
    return Box(box.left + (box.width - width) // 2, box.top + (box.height - height) // 2, width, height)


def _ticket(session: Session, request: PreviewRequest) -> Ticket:
    return Ticket("preview", session.caller, request.stop)


def state_of(session: Session) -> str:
    """Return the state of the preview: none, running, quick, failed, matches or outdated."""
    with session.lock:
        preview, request = session.preview, session.preview_request
        if request is not None:
            return "quick" if request.quick else "running"
        if session.has_failed_preview:
            return "failed"
        if preview is None:
            return "none"
        current = is_current(session, preview.info, with_fitting_size(session.settings, session.shape))
        return "matches" if current and session.preview_view == session.view else "outdated"


def images_of(session: Session) -> PreviewImages | None:
    """Return the images of the quick preview that is shown first, or those of the last preview."""
    with session.lock:
        request = session.preview_request
        return (request.quick if request else None) or session.preview_images


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
    settings = with_fitting_size(settings, shape)
    is_large = shape is not None and has_second_pass(settings, *shape)
    return network_key("", settings, settings.model, "", "second" if is_large else None)
