"""Faces are found on the input, whatever their size and tilt, with five landmarks each, and brought upright by them.

What this does not find: faces of under about 16 px where the picture is small, and of under 1/150 of its longer side
where it is large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import WeightsError

CROP = 512
"""Side of the square in pixels."""

# Where the eyes, the nose and the corners of the mouth lie in the mean face of FFHQ (Karras, Laine, Aila 2019) at 512
# px: the five points of facexlib's FaceRestoreHelper, which GFPGAN was trained with.
TEMPLATE = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.19360],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
TEMPLATE.flags.writeable = False

MOST_FACES = 50
SMALLEST_FACE = 16
"""Height or width in pixels, whichever is more; in smaller faces there is nothing to restore."""

# The detector knows faces of about 10 to 300 px, so the picture is shown to it in several sizes, small ones enlarged
# twice at most; and it knows them upright, so it is also shown turned.
_LONGER_SIDES = (320, 640, 1280)
_LARGEST_SIDE = 2560
_TURNS = (0, 45, -45, 90, -90, 180)
# Measured on eight photos with 16 faces, also turned, noisy, dark, blurred and compressed, and on thirteen without:
# the faces scored 0.82 and more, other things 0.77 and less but for a cheetah cub's face.
_SCORE = 0.8
_OVERLAP = 0.5
_WORST_SCALE = 0.5

_UPRIGHTING_SIDES = (112,)
_MOST_ROUNDS, _SETTLED = 4, 4.0  # the largest move of a landmark, of 512
_MEASURING_SIDES = (112, 240, 256)
_REFINING_TURNS = (-20, -10, 0, 10, 20)
_REFINING_ROOM = 0.35
_REFINING_TOLERANCE = 50.0  # of 512; farther off is another face, or a mistake


_SMOOTH_BELOW = 0.7  # a reduction stronger than this is averaged first, so that nothing flickers


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture: all places are x, y in the picture's pixels.

    `box` is left, top, width, height and may reach beyond the picture. `landmarks` [5, 2] are the two eyes, the tip of
    the nose and the two corners of the mouth, of each pair first the one that is left in an upright face as one sees
    it. `score` 0..1 is how sure the detector is.
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    score: float

    @property
    def size(self) -> float:
        """The longer side of the box."""
        return max(self.box[2:])

    @property
    def restorable(self) -> bool:
        """Whether restoring can make it better: it is neither tiny nor already finer than a restored one."""
        return self.size >= SMALLEST_FACE and scale_of(similarity(self.landmarks, TEMPLATE)) >= _WORST_SCALE

    @property
    def reach(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of what restoring the face may change."""
        back = inverse(similarity(self.landmarks, TEMPLATE))
        corners = moved(back, np.array([[0, 0], [CROP, 0], [0, CROP], [CROP, CROP]], np.float64))
        left, top = corners.min(axis=0)
        right, bottom = corners.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


def find_faces(rgb: np.ndarray, detector: Path | str, *, precise: bool = True) -> tuple[Face, ...]:
    """The faces in a picture, uint8 or uint16 [H, W, 3] RGB, the largest first, at most 50.

    `detector` is the file of YuNet (Wu, Peng, Yu: YuNet, a tiny millisecond-level face detector, 2023). `precise` looks
    at each face again for its landmarks: without, they are good enough to count faces. Raises WeightsError when the
    file is missing or is no such detector.
    """
    height, width = rgb.shape[:2]
    network = _load(Path(detector))
    if max(height, width) < SMALLEST_FACE:
        return ()
    eight_bit = rgb if rgb.dtype == np.uint8 else _high_bytes(rgb)
    found = [face for matrix, view in _views(eight_bit) for face in _detected(network, view, matrix)]
    faces = sorted(_distinct(found), key=lambda face: face.size, reverse=True)[:MOST_FACES]
    return tuple(_refined(face, eight_bit, network) if precise and face.restorable else face for face in faces)


def _high_bytes(rgb: np.ndarray) -> np.ndarray:
    """uint16 as uint8, with nothing else as large as the picture on the way."""
    return np.right_shift(rgb, 8, out=np.empty(rgb.shape, np.uint8), casting="unsafe")


def _load(path: Path) -> cv2.FaceDetectorYN:
    if not path.is_file():
        raise WeightsError("faces_detector_missing", path=str(path))
    model = np.fromfile(path, np.uint8)
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it warns of a target that nobody asked for
    try:
        return cv2.FaceDetectorYN.create("onnx", model, np.empty(0, np.uint8), (320, 320), _SCORE, 0.3, 5 * MOST_FACES)
    except cv2.error as error:
        raise WeightsError("faces_detector_unusable", path=str(path)) from error
    finally:
        cv2.utils.logging.setLogLevel(level)


def _views(rgb: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The picture in every size and turn, each with the matrix that maps the picture to it."""
    height, width = rgb.shape[:2]
    longer = max(height, width)
    for side in (*_LONGER_SIDES, _LARGEST_SIDE):
        if side > max(2 * longer, _LONGER_SIDES[0]):
            continue
        scale = side / longer
        size = max(1, round(width * scale)), max(1, round(height * scale))
        view = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        shrunk = np.array([[size[0] / width, 0.0, 0.0], [0.0, size[1] / height, 0.0]])
        for turn in _TURNS if side < _LARGEST_SIDE else (0,):
            matrix, canvas = _turned(size, turn)
            yield chained(shrunk, matrix), cv2.warpAffine(view, matrix, canvas) if turn else view


def _turned(size: tuple[int, int], degrees: float) -> tuple[np.ndarray, tuple[int, int]]:
    """The matrix that turns a picture of width, height `size`, and the width and height that hold all of it."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    canvas = np.abs(turn) @ size
    shift = canvas / 2 - turn @ (np.array(size) / 2)
    return np.column_stack([turn, shift]), (max(1, round(canvas[0])), max(1, round(canvas[1])))


def _detected(network: cv2.FaceDetectorYN, view: np.ndarray, matrix: np.ndarray) -> Iterator[Face]:
    """The faces in a view of the picture, in the picture's pixels."""
    network.setInputSize((view.shape[1], view.shape[0]))
    _, rows = network.detect(np.ascontiguousarray(view[..., ::-1]))
    back = inverse(matrix)
    scale = float(np.sqrt(abs(np.linalg.det(back[:, :2]))))
    for row in np.empty((0, 15)) if rows is None else np.asarray(rows, np.float64):
        left, top, width, height = row[:4]
        middle = moved(back, np.array([[left + width / 2, top + height / 2]]))[0]
        width, height = width * scale, height * scale
        box = (middle[0] - width / 2, middle[1] - height / 2, width, height)
        yield Face(tuple(map(float, box)), moved(back, row[4:14].reshape(5, 2)), float(row[14]))  # type: ignore[arg-type]


def _distinct(faces: Sequence[Face]) -> list[Face]:
    """Of several sightings of one face the surest."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if all(_shared(face, other) <= _OVERLAP for other in kept):
            kept.append(face)
    return kept


def _shared(one: Face, other: Face) -> float:
    """The common area as a share of the smaller box."""
    (left, top, width, height), (x, y, wide, high) = one.box, other.box
    across = min(left + width, x + wide) - max(left, x)
    down = min(top + height, y + high) - max(top, y)
    return max(across, 0.0) * max(down, 0.0) / min(width * height, wide * high)


def _refined(face: Face, rgb: np.ndarray, network: cv2.FaceDetectorYN) -> Face:
    """The face with the mean landmarks of many looks at it: those of a single look are off by about 9 px of 512.

    Quick rounds set it upright first, because the detector is at its best there; then it is measured.
    """
    landmarks = face.landmarks
    for _ in range(_MOST_ROUNDS):
        before, landmarks = landmarks, _looked_up(landmarks, rgb, network, _UPRIGHTING_SIDES)
        aligned = similarity(before, TEMPLATE)
        if np.linalg.norm(moved(aligned, landmarks) - moved(aligned, before), axis=1).max() < _SETTLED:
            break
    return Face(face.box, _looked_up(landmarks, rgb, network, _MEASURING_SIDES), face.score)


def _looked_up(landmarks: np.ndarray, rgb: np.ndarray, network: cv2.FaceDetectorYN, sides: Sequence[int]) -> np.ndarray:
    """The landmarks as several views of the face show them, or as they were where it does not show."""
    aligned = similarity(landmarks, TEMPLATE)
    looks = [
        look
        for side in sides
        for degrees in _REFINING_TURNS
        for mirrored in (False, True)
        if (look := _look(rgb, aligned, network, side, degrees, mirrored)) is not None
    ]
    return moved(inverse(aligned), _usual_mean(np.array(looks))) if len(looks) >= 3 else landmarks


def _usual_mean(looks: np.ndarray) -> np.ndarray:
    """The mean of the looks [n, 5, 2] that are not far off."""
    off = np.linalg.norm(looks - np.median(looks, axis=0), axis=2).max(axis=1)
    return looks[off <= max(_REFINING_TOLERANCE, off.min())].mean(axis=0)


def _look(
    rgb: np.ndarray, aligned: np.ndarray, network: cv2.FaceDetectorYN, side: int, degrees: float, mirrored: bool
) -> np.ndarray | None:
    """The landmarks in the aligned crop, as one small, turned, perhaps mirrored view shows them, if it does."""
    room = round(side * (1 + 2 * _REFINING_ROOM))
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]]) * (side / CROP)
    if mirrored:
        turn = turn * [-1, 1]
    view = np.column_stack([turn, np.full(2, room / 2) - turn @ np.full(2, CROP / 2)])
    pixels = np.clip(np.rint(sample(rgb, chained(aligned, view), room)), 0, 255).astype(np.uint8)
    seen = [face.landmarks for face in _detected(network, pixels, view)]
    if mirrored:
        seen = [landmarks[[1, 0, 2, 4, 3]] for landmarks in seen]
    expected = TEMPLATE.mean(axis=0)
    nearest = min(seen, key=lambda landmarks: np.linalg.norm(landmarks.mean(axis=0) - expected), default=None)
    if nearest is None or np.linalg.norm(nearest.mean(axis=0) - expected) > _REFINING_TOLERANCE:
        return None
    return nearest


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The rotation, scale and shift, 2x3, that brings `points` [n, 2] nearest to `targets`; it never mirrors.

    Least squares: Umeyama, Least-squares estimation of transformation parameters between two point patterns, 1991,
    equations 40 to 43.
    """
    from_mean, to_mean = points.mean(axis=0), targets.mean(axis=0)
    centred, aimed = points - from_mean, targets - to_mean
    u, values, v = np.linalg.svd(aimed.T @ centred / len(points))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = (u * signs) @ v
    scale = (values * signs).sum() / (centred**2).sum() * len(points)
    return np.column_stack([scale * rotation, to_mean - scale * rotation @ from_mean])


def scale_of(matrix: np.ndarray) -> float:
    """How many pixels a similarity makes of one."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The points [n, 2] after the transform."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def inverse(matrix: np.ndarray) -> np.ndarray:
    back = np.linalg.inv(matrix[:, :2])
    return np.column_stack([back, -back @ matrix[:, 2]])


def chained(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """One 2x3 transform for two, one after the other."""
    return np.column_stack([then[:, :2] @ first[:, :2], then[:, :2] @ first[:, 2] + then[:, 2]])


def align(rgb: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The face upright and in the middle, float32 [512, 512, 3] in 0..1, and the 2x3 matrix from picture to crop.

    `rgb` is uint8 or uint16 [H, W, 3]; `landmarks` [5, 2] are x, y in its pixels, in the order of `TEMPLATE`: of each
    pair first the one that is left as one sees it. Beyond the border the picture goes on as in a mirror.
    """
    matrix = similarity(np.asarray(landmarks, np.float64), TEMPLATE)
    crop = sample(rgb, matrix, CROP)
    crop /= np.float32(np.iinfo(rgb.dtype).max)
    return np.clip(crop, 0, 1, out=crop), matrix


def sample(pixels: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """The square of `side` pixels that `matrix` maps the picture to: float32 [side, side, C] in the picture's levels.

    Only the part that is seen is touched, so the picture may be of any size.
    """
    part, matrix = _seen(pixels, matrix, side)
    scale = scale_of(matrix)
    if scale < _SMOOTH_BELOW:
        height, width = part.shape[:2]
        size = max(1, round(width * scale)), max(1, round(height * scale))
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        matrix = chained(_resized(size[0] / width, size[1] / height), matrix)
    return cv2.warpAffine(
        part.astype(np.float32), matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )


def _seen(pixels: np.ndarray, matrix: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of the picture that the square shows, and the matrix for it."""
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float64)
    places = moved(inverse(matrix), corners)
    margin = 4 + 4 / scale_of(matrix)
    height, width = pixels.shape[:2]
    left, top = (np.floor(places.min(axis=0) - margin)).astype(int)
    right, bottom = (np.ceil(places.max(axis=0) + margin)).astype(int)
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    right, bottom = max(min(right, width), left + 1), max(min(bottom, height), top + 1)
    shift = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    return pixels[top:bottom, left:right], chained(shift, matrix)


def _resized(across: float, down: float) -> np.ndarray:
    """From the pixels of a resized picture to those it was made of; a pixel's centre has whole coordinates."""
    return np.array([[1 / across, 0.0, 0.5 / across - 0.5], [0.0, 1 / down, 0.5 / down - 0.5]])
