"""What a picture looks like it could do with: said to the person, never done without being asked."""

from __future__ import annotations

from .inference import models
from .picture import Picture
from .scenes.dehaze import HAZY, haze_amount
from .scenes.faces import find_faces
from .scenes.portrait import DETECTOR


def hints(picture: Picture) -> tuple[str, ...]:
    """The scenes that may suit it: `dehaze` where it looks hazy, `face` where the detector is here and sees one.

    Takes up to a second for a large picture; fetches nothing.
    """
    found = ["dehaze"] if haze_amount(picture.rgb) >= HAZY else []
    detector = models.locate(DETECTOR)
    if detector is not None and find_faces(picture.rgb, detector.path, precise=False):
        found.append("face")
    return tuple(found)
