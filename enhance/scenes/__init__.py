"""What a scene adds around the network: haze is taken off before it, faces are restored after it.

A picture may look as if a scene would suit it. That is said to the person, and never done without being asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ..picture import Picture


def hints(picture: Picture, detector: Path | None) -> tuple[str, ...]:
    """The scenes that may suit it: `dehaze` where it looks hazy, `face` where `detector` (its file, if here) sees one.

    Takes up to a second for a large picture.
    """
    # only here, so that one scene can be imported without what the others need
    from .dehaze import HAZY, haze_amount
    from .face_detection import find_faces

    found = ["dehaze"] if haze_amount(picture.rgb) >= HAZY else []
    if detector is not None and find_faces(picture.rgb, detector, precise=False):
        found.append("face")
    return tuple(found)
