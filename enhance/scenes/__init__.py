"""What a scene adds around the network: haze is taken off before it, faces are restored after it.

A picture may look as if a scene would suit it. That is said to the person, and never done without being asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..picture import Picture


def hints(picture: Picture) -> tuple[str, ...]:
    """The scenes that may suit it: `dehaze` where it looks hazy, `face` where the detector is here and sees one.

    Takes up to a second for a large picture; fetches nothing.
    """
    # only here, so that one scene can be imported without what the others need
    from .dehaze import HAZY, haze_amount
    from .faces import shows_a_face

    found = ["dehaze"] if haze_amount(picture.rgb) >= HAZY else []
    if shows_a_face(picture.rgb):
        found.append("face")
    return tuple(found)
