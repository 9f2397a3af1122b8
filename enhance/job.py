"""One request, with everything that decides its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import weights

from .picture import Picture
from .settings import Settings, network_key, signature


@dataclass(frozen=True, eq=False)
class Job:
    """A decoded picture, what is to be done with it, and the network and precision that will do it."""

    picture: Picture
    settings: Settings
    located: weights.Located
    precision: str

    @property
    def signature(self) -> str:
        """Equal for two jobs exactly where their results are."""
        return signature(self.picture.sha256, self.settings, self.located.sha256, self.precision)

    @property
    def network_key(self) -> str:
        """Equal for two jobs exactly where the network's outputs are."""
        return network_key(self.picture.sha256, self.settings, self.located.sha256, self.precision)
