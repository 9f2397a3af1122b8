"""One request, with everything that decides its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .inference.models import Located
from .picture import Box, Picture
from .scenes.dehaze import Haze, clear_part
from .settings import Settings, network_key, signature


@dataclass(frozen=True, eq=False)
class Job:
    """A decoded picture, what is to be done with it, and the network and precision that will do it."""

    picture: Picture
    settings: Settings
    located: Located
    precision: str
    haze: Haze | None = None
    """What the dehaze preset takes off the picture before the network."""
    origin: tuple[int, int] = (0, 0)
    """Top and left of the picture in the whole one, where it is only a part."""

    def network_input(self) -> np.ndarray:
        """What the network gets to see, like `picture.rgb`."""
        if self.haze is None:
            return self.picture.rgb
        top, left = self.origin
        return clear_part(self.picture.rgb, self.haze, self.settings.strength, top=top, left=left)

    def part(self, box: Box) -> Job:
        """The same job for a part of its picture."""
        return replace(self, picture=self.picture.cut(box), origin=(box.top, box.left))

    @property
    def signature(self) -> str:
        """Equal for two jobs exactly where their results are."""
        return signature(self.picture.sha256, self.settings, self.located.sha256, self.precision)

    @property
    def network_key(self) -> str:
        """Equal for two jobs exactly where the network's outputs are."""
        return network_key(self.picture.sha256, self.settings, self.located.sha256, self.precision)
