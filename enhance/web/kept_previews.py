"""Previews of the rectangle that a client shows, and the cached network outputs for its next preview.

Most requests differ from the previous one only in the value of a slider, so the network does not have to run again.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple, cast

from ..enhancer import Enhancer
from ..errors import SettingsError
from ..images import Box, SourceImage
from ..info import AutoInfo, InputInfo, PreviewInfo
from ..output.resample import Cut, result_size
from ..presets import with_installed_models
from ..preview import Preview
from ..scheduler import Ticket
from ..settings import Settings
from .owners import Owner
from .preview import Previews

_SCREEN_PIXELS = 4_000_000
"""The largest preview without a network, in pixels of the photo. A larger area is shown at a lower resolution."""
_REGIONS = 2
"""The number of rectangles that are cached for an owner, each with the outputs of all its networks."""


class Key(NamedTuple):
    """The key of a network output. `rectangle` is the requested one, of which possibly only the middle is previewed."""

    owner: Owner
    photo: str
    rectangle: Box
    network: str

    @property
    def region(self) -> tuple[str, Box]:
        return self.photo, self.rectangle

    @property
    def party(self) -> str:
        """The user or the address, neither of which a client can invent."""
        return self.owner.caller[0]


class KeptPreviews:
    """A thread-safe cache of the network outputs of previews, each for its owner only.

    The outputs have at most `max_bytes`. Beyond that, the least recently used output of the user or address with the
    most bytes is dropped, so inventing owners gives no advantage. Outputs are also dropped after `seconds` without use.
    """

    def __init__(self, max_bytes: int = 256_000_000, seconds: float = 300):
        self._max_bytes, self._seconds = max_bytes, seconds
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, tuple[Preview, float]] = OrderedDict()  # with the time of the last use

    @property
    def nbytes(self) -> int:
        """Bytes of all outputs."""
        with self._lock:
            return self._bytes()

    def find(self, key: Key) -> Preview | None:
        """Return a preview without its images, which `Enhancer.retune` creates."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries[key] = entry[0], time.monotonic()
            self._entries.move_to_end(key)
            return entry[0]

    def keep(self, key: Key, preview: Preview) -> None:
        """Keep the network output of a preview, and drop the outputs beyond the limits."""
        with self._lock:
            self._entries[key] = preview.without_images(), time.monotonic()
            self._entries.move_to_end(key)
            own = [one for one in reversed(self._entries) if one.owner == key.owner]
            newest = list(dict.fromkeys(one.region for one in own))[:_REGIONS]
            for one in own:
                if one.region not in newest:
                    del self._entries[one]
            while self._bytes() > self._max_bytes:
                self._drop_one()

    def sweep(self) -> None:
        """Drop the outputs that have expired."""
        oldest = time.monotonic() - self._seconds
        with self._lock:
            for key in [key for key, (_, used) in self._entries.items() if used <= oldest]:
                del self._entries[key]

    def _drop_one(self) -> None:
        sizes = Counter[str]()
        for key, (preview, _) in self._entries.items():
            sizes[key.party] += preview.region.nbytes
        ((largest, _),) = sizes.most_common(1)
        del self._entries[next(key for key in self._entries if key.party == largest)]

    def _bytes(self) -> int:
        return sum(preview.region.nbytes for preview, _ in self._entries.values())


@dataclass(frozen=True, eq=False)
class View:
    """A rectangle of a photo that a client shows, and the settings that the client has requested."""

    owner: Owner
    image: SourceImage
    rectangle: Box
    settings: Settings

    def key(self, network: str) -> Key:
        """Return the key of an output with this `network_key`."""
        return Key(self.owner, self.image.sha256, self.rectangle, network)


class ViewPreviews:
    """Creates the previews of views."""

    def __init__(self, enhancer: Enhancer, previews: Previews):
        self._enhancer, self._previews = enhancer, previews
        self.kept = KeptPreviews()

    def steps(self, view: View, ticket: Ticket) -> Iterator[tuple[Preview, bool]]:
        """Yield the preview, after a quick one if the network is slow, each with whether it is a quick one.

        Raises EnhanceError, also if the rectangle is outside the photo.
        """
        image, view = view.image, replace(view, rectangle=part_inside(view.rectangle, view.image))
        if (adjusted := self._adjusted(view)) is not None:
            yield adjusted, False
            return
        resolved, auto = self._enhancer.resolve(image, view.settings)
        settings = with_installed_models(resolved)
        if _is_reduction(image, settings):
            yield self._reduction(view, settings, auto, ticket), False
            return
        box = self._previews.region(image, view.rectangle, settings)
        if quick := self._previews.quick_settings(image, settings, box):
            quick_box = self._previews.region(image, view.rectangle, quick)
            yield self._previews.run(image, quick, box=quick_box, ticket=ticket), True
        preview = self._previews.run(image, view.settings, box=box, ticket=ticket)
        self.kept.keep(view.key(preview.region.network_key), preview)
        yield preview, False

    def _reduction(self, view: View, settings: Settings, auto: AutoInfo | None, ticket: Ticket) -> Preview:
        """Return the preview of a whole rectangle without a network.

        For a large rectangle, it is the preview of the photo averaged down, which a screen shows in the same way.
        """
        image, rectangle = view.image, view.rectangle
        step = 1
        while rectangle.width * rectangle.height > _SCREEN_PIXELS * step * step:
            step *= 2
        if step == 1:
            return self._previews.run(image, view.settings, box=rectangle, ticket=ticket)
        rectangle = rectangle.align_to_grid(step, image.width, image.height)
        size = max(result_size(settings, image.height, image.width))
        small = settings.changed(long_side=max(1, size // step), reduce=max(1, settings.reduce // step))
        preview = self._previews.run(image.downscale(step), small, box=rectangle.downscale(step), ticket=ticket)
        whole = Cut.whole(image.height, image.width)
        request = self._enhancer.request(image, settings)
        facts = {
            **(request.facts() if request else {}),
            "auto": auto,
            "input": {name: getattr(image, name) for name in InputInfo.__annotations__},
            "preview": asdict(rectangle),
        }
        region = replace(preview.region, box=rectangle, cut=whole)
        return replace(preview, region=region, info=cast(PreviewInfo, {**preview.info, **facts}))

    def _adjusted(self, view: View) -> Preview | None:
        """Return the preview without running the network, or None if its output is not cached."""
        resolved, auto = self._enhancer.resolve(view.image, view.settings)
        settings = with_installed_models(resolved)
        request = self._enhancer.request(view.image, settings)
        kept = request and self.kept.find(view.key(request.network_key))
        if kept is None:
            return None
        try:
            preview = self._enhancer.retune(kept, settings)
        except SettingsError:  # The output was approximate, and an exact one is possible now.
            return None
        # The output can come from a request with another preset and another file name.
        own = {"auto": auto, "input": {**preview.info["input"], "name": view.image.name}}
        return replace(preview, info=cast(PreviewInfo, {**preview.info, **own}))


def _is_reduction(image: SourceImage, settings: Settings) -> bool:
    """Return whether a run needs no network and its result is smaller than the image."""
    if settings.model:
        return False
    height, width = result_size(settings, image.height, image.width)
    return height * width <= image.height * image.width


def part_inside(rectangle: Box, image: SourceImage) -> Box:
    """Return the part of a rectangle that is inside the image. Raises SettingsError if there is none."""
    left, top = max(rectangle.left, 0), max(rectangle.top, 0)
    right = min(rectangle.left + rectangle.width, image.width)
    bottom = min(rectangle.top + rectangle.height, image.height)
    if left >= right or top >= bottom:
        raise SettingsError("rectangle_outside", width=image.width, height=image.height)
    return Box(left, top, right - left, bottom - top)
