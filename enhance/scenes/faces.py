"""The face scene of one picture: faces are found once, restored when they are needed, and remembered for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..picture import Box, Picture
from .face_detection import Face, find_faces
from .patches import FacePatch, Restore, restore_faces

_REMEMBERED = 4


@dataclass(frozen=True)
class Faces:
    """What was found and restored; `patches` go into the enlarged picture."""

    found: int
    patches: tuple[FacePatch, ...]

    def describe(self) -> dict[str, int]:
        return {"found": self.found, "treated": len(self.patches)}


@dataclass
class _Known:
    faces: tuple[Face, ...] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    patches: dict[int, FacePatch] = field(default_factory=dict)


class Portraits:
    """Faces of the last few pictures; safe to call from several threads.

    `detector` gives the detector's file, `restore` makes better faces of aligned ones, all of a picture in one call.
    """

    def __init__(self, detector: Callable[[], Path], restore: Restore):
        self._detector, self._restore = detector, restore
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def faces(self, picture: Picture, box: Box | None = None, stop: threading.Event | None = None) -> Faces:
        """The faces of the whole picture, or those that show inside `box`, restored all in one go.

        Raises WeightsError when the detector, or with a face to restore the face network, cannot be had; Cancelled.
        """
        known = self._remembered(picture.sha256)
        with known.lock:
            if known.faces is None:
                known.faces = find_faces(picture.rgb, self._detector())
            wanted = [
                place
                for place, face in enumerate(known.faces)
                if face.restorable and (box is None or _shows(face, box))
            ]
            missing = [place for place in wanted if place not in known.patches]
            patches = restore_faces(picture.rgb, [known.faces[place] for place in missing], self._restore, stop)
            known.patches.update(zip(missing, patches, strict=True))
            return Faces(len(known.faces), tuple(known.patches[place] for place in wanted))

    def _remembered(self, sha256: str) -> _Known:
        """What is known of a picture; each has a lock of its own, so that one does not wait for another's faces."""
        with self._lock:
            known = self._known.pop(sha256, None) or _Known()
            self._known[sha256] = known
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return known


def _shows(face: Face, box: Box) -> bool:
    left, top, right, bottom = face.reach
    return left < box.left + box.width and right > box.left and top < box.top + box.height and bottom > box.top
