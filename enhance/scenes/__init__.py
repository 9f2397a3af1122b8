"""What a scene adds around the network: haze is taken off before it, faces are restored after it.

A picture may look as if a scene would suit it, or another preset, or a reduction. That is said to the person, and never
done without being asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ..picture import Picture

NOISY, COMPRESSED = 5.0, 1.5
"""From this noise, and from these steps between JPEG's blocks, a picture looks noisy, or heavily compressed."""
SUITED: dict[str, str | None] = {"dehaze": "dehaze", "face": "face", "noisy": None, "compressed": None}
"""The preset that measures best for a picture that looks like this; None where none is better than the usual one."""

BEST_REDUCTION = 2
"""The most that is offered: it measures best for a photo that is softer still too, docs/soft.md."""


@dataclass(frozen=True)
class Hint:
    """What a picture looks like (dehaze, face, noisy, compressed, soft), and the preset or the reduction for it."""

    looks: str
    preset: str | None = None
    reduce: int = 1


def hints(picture: Picture, detector: Path | None) -> tuple[Hint, ...]:
    """What may suit it: `dehaze` where it looks hazy, `face` where `detector` (its file, if here) sees one, and so on.

    Takes up to a second for a large picture.
    """
    # only here, so that one scene can be imported without what the others need
    from ..picture.degradation import degradation_of
    from .dehaze import HAZY, haze_amount
    from .face_detection import find_faces

    known = degradation_of(picture)
    looks = {
        "dehaze": haze_amount(picture.rgb) >= HAZY,
        "face": detector is not None and bool(find_faces(picture.rgb, detector, precise=False)),
        "noisy": known.noise >= NOISY,
        "compressed": known.blocks >= COMPRESSED,
    }
    found = [Hint(look, SUITED[look]) for look, so in looks.items() if so and SUITED[look]]
    reduce = min(known.softness, BEST_REDUCTION)
    return (*found, Hint("soft", reduce=reduce)) if reduce > 1 else tuple(found)
