"""Previews of a square, or of the rectangle that a client shows.

Most requests differ from the previous one only in the value of a slider, so the outputs of the
network are cached and it does not have to run again.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

from ..enhancer import Enhancer
from ..errors import SettingsError
from ..images import Box, ImageCache, SourceImage
from ..info import PreviewInfo, input_info
from ..jobs.scheduler import Job
from ..plan import Plan
from ..presets import available_presets
from ..preview import LARGEST_SIDE, Preview, expected_seconds
from ..settings import AUTO, Settings
from .metrics import Metrics
from .owners import Owner

_MIN_SIDE = 48
_MAX_SECONDS = 8.0
"""The longest expected time of the network.

If the visible region takes longer, only its middle is previewed.
"""
_SCREEN_PIXELS = 4_000_000
"""The largest preview without a network, in pixels of the photo.

A larger area is shown at a lower resolution.
"""
_QUICK_PRESET = "precise"
_QUICK_SECONDS = 1.5
"""If a preview is expected to take longer, one by _QUICK_PRESET comes first."""
_MAX_BYTES = 256_000_000
"""The largest size of all network outputs in the cache."""
_REGIONS = 2
"""The number of rectangles that are cached for an owner, each with the outputs of all its
networks."""


class Key(NamedTuple):
    """The key of a network output. `rectangle` is the requested one, of which possibly only the
    middle is previewed."""

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

    The outputs have at most _MAX_BYTES. Beyond that, the least recently used output of the user or
    address with the most bytes is dropped, so inventing owners gives no advantage. Outputs are also
    dropped after `seconds` without use.
    """

    def __init__(self, seconds: float = 300):
        self._seconds = seconds
        self._lock = threading.Lock()
        self._entries = dict[Key, tuple[Preview, float]]()
        """The outputs in the order of their last use, with its time."""

    @property
    def nbytes(self) -> int:
        """Bytes of all outputs."""
        return sum(preview.region.nbytes for preview, _ in self._entries.values())

    def find(self, key: Key) -> Preview | None:
        """Return a preview without its images, which `Enhancer.retune` creates."""
        with self._lock:
            if key not in self._entries:
                return None
            preview, _ = self._entries.pop(key)
            self._entries[key] = preview, time.monotonic()
            return preview

    def keep(self, key: Key, preview: Preview) -> None:
        """Keep the network output of a preview, and drop the outputs beyond the limits."""
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = preview.without_images(), time.monotonic()
            own = [one for one in reversed(self._entries) if one.owner == key.owner]
            newest = list(dict.fromkeys(one.region for one in own))[:_REGIONS]
            for one in own:
                if one.region not in newest:
                    del self._entries[one]
            while self.nbytes > _MAX_BYTES:
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


@dataclass(frozen=True, eq=False)
class View:
    """A rectangle of a photo that a client shows, and the settings that the client has
    requested."""

    owner: Owner
    image: SourceImage
    rectangle: Box
    settings: Settings

    def key(self, plan: Plan) -> Key:
        """Return the key of the network's output."""
        return Key(self.owner, plan.sha256, self.rectangle, plan.network_key)


class Previews:
    """Creates previews. Photos and network outputs are cached for the next ones."""

    def __init__(self, enhancer: Enhancer, metrics: Metrics, images: ImageCache):
        self._enhancer = enhancer
        self._metrics = metrics
        self.images = images
        self.kept = KeptPreviews()

    def image(self, path: Path) -> SourceImage:
        """Return the decoded file, from memory if possible. Raises PictureError."""
        return self.images.get(path, lambda: self._enhancer.read(path))

    def run(self, image: SourceImage, plan: Plan, box: Box, job: Job) -> Preview:
        """Return a preview of a region. Raises EnhanceError."""
        job.wait_seconds = 0.0  # Each preview states its own time, also the one after a quick one.
        work = partial(self._enhancer.preview_region, image, plan, box, job)
        preset = AUTO if plan.auto else plan.settings.preset
        return self._metrics.follow("preview", preset, work)

    def steps(self, view: View, job: Job) -> Iterator[tuple[Preview, bool]]:
        """Yield the preview, after a quick one if the network is slow, each with whether it is a
        quick one.

        Raises EnhanceError.
        """
        image = view.image
        plan = self._enhancer.plan(image, view.settings)
        kept = self.kept.find(view.key(plan))
        if kept is not None:
            with suppress(SettingsError):  # The output is without the faces of another preset.
                preview = self._enhancer.adjust(kept, plan)
                # The output can come from a run with another preset and another file name.
                own = cast(PreviewInfo, {**preview.info, "input": input_info(image)})
                yield replace(preview, info=own), False
                return
        if not plan.networks and plan.size.pixels <= image.size.pixels:
            yield self._reduction(view, plan, job), False
            return
        box = self._region(view, plan)
        quick = self._quick_plan(view, plan, box)
        if quick is not None:
            yield self.run(image, quick, self._region(view, quick), job), True
        preview = self.run(image, plan, box, job)
        self.kept.keep(view.key(preview.region.plan), preview)
        yield preview, False

    def _reduction(self, view: View, plan: Plan, job: Job) -> Preview:
        """Return the preview of a whole rectangle without a network.

        For a large rectangle, it is the preview of the photo averaged down, which a screen shows in
        the same way.
        """
        image = view.image
        rectangle = view.rectangle
        step = 1
        while rectangle.size.pixels > _SCREEN_PIXELS * step * step:
            step *= 2
        if step == 1:
            return self.run(image, plan, rectangle, job)
        rectangle = rectangle.align_to_grid(step, image.size)
        settings = plan.settings.changed(
            long_side=max(1, *(side // step for side in plan.size)),
            reduce=max(1, plan.settings.reduce // step),
        )
        small = image.downscale(step)
        small_plan = self._enhancer.plan(small, settings)
        preview = self.run(small, small_plan, rectangle.downscale(step), job)
        facts = {**plan.facts(), "input": input_info(image), "preview": asdict(rectangle)}
        region = replace(preview.region, plan=plan)
        return replace(preview, region=region, info=cast(PreviewInfo, {**preview.info, **facts}))

    def _region(self, view: View, plan: Plan) -> Box:
        """Return the middle of the visible region for which the network needs a few seconds at
        most."""
        region = view.rectangle.middle(LARGEST_SIDE, LARGEST_SIDE)
        while min(region.size) > _MIN_SIDE and self._seconds(view, plan, region) > _MAX_SECONDS:
            region = region.middle(int(0.95 * region.width), int(0.95 * region.height))
        return region

    def _quick_plan(self, view: View, plan: Plan, region: Box) -> Plan | None:
        """Return the plan of a quick preview to show first.

        Return None if it is not possible or would not be quicker.
        """
        is_slow = self._seconds(view, plan, region) >= _QUICK_SECONDS
        if is_slow and _QUICK_PRESET in available_presets():
            with suppress(SettingsError):  # The preset does not support the size.
                settings = Settings(_QUICK_PRESET, **plan.settings.output_size)
                quick = self._enhancer.plan(view.image, settings)
                if quick.settings.model != plan.settings.model:
                    return quick
        return None

    def _seconds(self, view: View, plan: Plan, region: Box) -> float:
        return expected_seconds(self._enhancer.engine, view.image, plan, region)
