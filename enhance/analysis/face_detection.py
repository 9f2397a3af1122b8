"""Face detection: faces of any size and rotation, with five landmarks each, by which they are
aligned.

Faces of less than about 16 px in a small image, or 1/150 of the long side of a large one, are not
found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy import ndarray

from ..errors import WeightsError
from ..images import Box
from ..size import Size

CROP = 512
"""The side of an aligned face in pixels."""

# The eyes, the nose and the corners of the mouth in the mean face of FFHQ (Karras, Laine, Aila
# 2019) at 512 px: the points of facexlib's FaceRestoreHelper, which GFPGAN was trained with.
TEMPLATE = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.19360],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ],
)
TEMPLATE.flags.writeable = False

MOST_FACES = 50
SMALLEST_FACE = 16
"""The larger of height and width in pixels; smaller faces are not restored."""

# The detector finds upright faces of about 10 to 300 px, so it gets the image in several sizes,
# upscaled 2x at most, and rotated.
_SMALLEST_SIDE = 320
_ROTATIONS = (0, 45, -45, 90, -90, 180)
_VIEWS = {_SMALLEST_SIDE: _ROTATIONS, 640: _ROTATIONS, 1280: _ROTATIONS, 2560: (0,)}
"""The rotations in degrees by the longer side of the resized image."""
# Measured on eight photos with 16 faces, also rotated, noisy, dark, blurred and compressed, and on
# thirteen without: faces scored at least 0.82, other objects at most 0.77, except for the face of a
# cheetah cub.
_SCORE = 0.8
_SUPPRESSED_OVERLAP = 0.3
_OVERLAP = 0.5
_WORST_SCALE = 0.5

_ROUGH_SIDES = (112,)
_MOST_ROUNDS = 4
_SETTLED = 4.0  # the largest move of a landmark, of 512
_FINE_SIDES = (112, 240, 256)
_FINE_ROTATIONS = (-20, -10, 0, 10, 20)
_FINE_MARGIN = 0.35
_TOLERANCE = 50.0  # of 512; beyond this it is another face, or an error

_SMOOTH_BELOW = 0.7  # a stronger downscaling averages first, against aliasing


@dataclass(frozen=True, eq=False)
class Face:
    """A face in an image, in x, y of its pixels.

    `box` [2, 2] has two opposite corners and can reach beyond the image. `landmarks` [5, 2] are the
    eyes, the tip of the nose and the corners of the mouth. Of each pair, the left one in the image
    of an upright face comes first. `score` is 0 to 1.
    """

    box: ndarray
    landmarks: ndarray
    score: float

    @property
    def size(self) -> float:
        """The longer side of the box."""
        return float(np.ptp(self.box, axis=0).max())

    @property
    def is_restorable(self) -> bool:
        """Whether the face is neither tiny nor sharper than a restored one."""
        return self.size >= SMALLEST_FACE and scale_of(self._to_template) >= _WORST_SCALE

    @property
    def nose(self) -> ndarray:
        """The tip of the nose, x and y."""
        return self.landmarks[2]

    def is_visible(self, box: Box) -> bool:
        """Return whether a restoration can change pixels in `box`."""
        corners = _corners(self._to_template, CROP)
        area = box_around(corners.min(axis=0), corners.max(axis=0))
        return area.intersection(box) is not None

    @property
    def _to_template(self) -> ndarray:
        return similarity(self.landmarks, TEMPLATE)


def find_faces(rgb: ndarray, detector: Path | str, *, precise: bool = True) -> tuple[Face, ...]:
    """Return the faces in an image, uint8 or uint16 [H, W, 3] RGB, the largest first, at most 50.

    `detector` is the file of YuNet (Wu, Peng, Yu: YuNet, a tiny millisecond-level face detector,
    2023). `precise` refines the landmarks; without it they are good enough to count faces. Raises
    WeightsError if the file is missing or is no such detector.
    """
    network = _load(Path(detector))
    if max(rgb.shape[:2]) < SMALLEST_FACE:
        return ()
    eight_bit = rgb
    if rgb.dtype == np.uint16:  # its high bytes, without a temporary array of that size
        eight_bit = np.empty(rgb.shape, np.uint8)
        np.right_shift(rgb, 8, out=eight_bit, casting="unsafe")
    found: list[Face] = []
    for matrix, view in _views(eight_bit):
        found += _detect(network, view, matrix)
    distinct = _remove_duplicates(found)
    faces = sorted(distinct, key=lambda face: face.size, reverse=True)[:MOST_FACES]
    for index, face in enumerate(faces):
        if precise and face.is_restorable:
            faces[index] = _refine(face, eight_bit, network)
    return tuple(faces)


def _load(path: Path) -> cv2.FaceDetectorYN:
    if not path.is_file():
        raise WeightsError("faces_detector_missing", path=path)
    model = np.fromfile(path, np.uint8)
    no_config = np.empty(0, np.uint8)
    size = (320, 320)  # until `_detect` sets it
    try:
        return cv2.FaceDetectorYN.create(
            "onnx",
            model,
            no_config,
            size,
            _SCORE,
            _SUPPRESSED_OVERLAP,
            5 * MOST_FACES,
        )
    except cv2.error as error:
        raise WeightsError("faces_detector_unusable", path=path) from error


def _views(rgb: ndarray) -> Iterator[tuple[ndarray, ndarray]]:
    """Yield the matrix from the image to a resized and rotated view of it, and the view."""
    whole = Size.of_shape(rgb.shape)
    for side, rotations in _VIEWS.items():
        if side > max(2 * whole.long_side, _SMALLEST_SIDE):
            continue
        scale = side / whole.long_side
        size = whole.scale(scale)
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        view = cv2.resize(rgb, size, interpolation=interpolation)
        across = size.width / whole.width
        down = size.height / whole.height
        to_view = np.array([[across, 0.0, 0.0], [0.0, down, 0.0]])
        for degrees in rotations:
            matrix, canvas = _rotation(size, degrees)
            yield compose(to_view, matrix), cv2.warpAffine(view, matrix, canvas)


def _rotation_matrix(degrees: float, scale: float = 1.0) -> ndarray:
    """Return the 2x2 matrix of a clockwise rotation that also scales."""
    return cv2.getRotationMatrix2D((0, 0), -degrees, scale)[:, :2]


def _rotation(size: Size, degrees: float) -> tuple[ndarray, Size]:
    """Return the matrix that rotates an image of `size`, and the size of the rotated image."""
    rotation = _rotation_matrix(degrees)
    canvas = np.abs(rotation) @ size
    shift = canvas / 2 - rotation @ (np.array(size) / 2)
    return np.column_stack([rotation, shift]), Size(*map(round, canvas))


def _detect(network: cv2.FaceDetectorYN, view: ndarray, matrix: ndarray) -> Iterator[Face]:
    """Yield the faces in a view of the image, in the pixels of the image."""
    network.setInputSize(Size.of_shape(view.shape))
    _, rows = network.detect(cv2.cvtColor(view, cv2.COLOR_RGB2BGR))
    if rows is None:
        return
    back = cv2.invertAffineTransform(matrix)
    scale = float(np.sqrt(abs(np.linalg.det(back[:, :2]))))
    for row in rows.astype(np.float64):
        corner = row[:2]
        size = row[2:4]
        landmarks = row[4:14].reshape(5, 2)
        middle = transform(back, corner + size / 2)
        reach = scale * size / 2
        box = np.stack([middle - reach, middle + reach])
        yield Face(box, transform(back, landmarks), float(row[14]))


def _remove_duplicates(faces: Sequence[Face]) -> list[Face]:
    """Return the detection with the highest score of each face."""
    distinct: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if all(_overlap(face, other) <= _OVERLAP for other in distinct):
            distinct.append(face)
    return distinct


def _overlap(one: Face, other: Face) -> float:
    """Return the common area as a share of the smaller box."""
    common = np.minimum(one.box[1], other.box[1]) - np.maximum(one.box[0], other.box[0])
    areas = np.ptp([one.box, other.box], axis=1).prod(axis=1)
    return common.clip(0).prod() / areas.min()


def _refine(face: Face, rgb: ndarray, network: cv2.FaceDetectorYN) -> Face:
    """Return the face with the mean landmarks of many detections.

    A single detection is off by about 9 px of 512. Rough rounds align the face first, because the
    detector is most accurate for an aligned face.
    """
    landmarks = face.landmarks
    for _ in range(_MOST_ROUNDS):
        before = landmarks
        landmarks = _landmarks(before, rgb, network, _ROUGH_SIDES)
        largest_move = np.linalg.norm(landmarks - before, axis=1).max()
        if scale_of(similarity(before, TEMPLATE)) * largest_move < _SETTLED:
            break
    return replace(face, landmarks=_landmarks(landmarks, rgb, network, _FINE_SIDES))


def _landmarks(
    landmarks: ndarray,
    rgb: ndarray,
    network: cv2.FaceDetectorYN,
    sides: Sequence[int],
) -> ndarray:
    """Return the mean landmarks in several views of a face; unchanged if too few views show it."""
    aligned = similarity(landmarks, TEMPLATE)
    found = np.array([*_landmarks_in_views(rgb, aligned, network, sides)])  # [n, 5, 2]
    if len(found) < 3:
        return landmarks
    deviations = np.linalg.norm(found - np.median(found, axis=0), axis=2).max(axis=1)
    without_outliers = found[deviations <= max(_TOLERANCE, deviations.min())]
    return transform(cv2.invertAffineTransform(aligned), without_outliers.mean(axis=0))


def _landmarks_in_views(
    rgb: ndarray, aligned: ndarray, network: cv2.FaceDetectorYN, sides: Sequence[int]
) -> Iterator[ndarray]:
    """Yield the landmarks of the face in the aligned crop, from each small view of it that shows
    the face.

    A view has one of the `sides`, is rotated and can be mirrored.
    """
    for side, degrees, mirrored in product(sides, _FINE_ROTATIONS, (False, True)):
        room = round(side * (1 + 2 * _FINE_MARGIN))
        rotation = _rotation_matrix(degrees, side / CROP)
        if mirrored:
            rotation = rotation * [-1, 1]
        shift = room / 2 - rotation @ np.full(2, CROP / 2)
        view = np.column_stack([rotation, shift])
        levels = np.rint(sample(rgb, compose(aligned, view), room))
        pixels = np.clip(levels, 0, 255).astype(np.uint8)
        nearest = None
        least = _TOLERANCE
        for face in _detect(network, pixels, view):
            distance = np.linalg.norm((face.landmarks - TEMPLATE).mean(axis=0))
            if distance <= least:
                nearest = face.landmarks
                least = distance
        if nearest is not None and mirrored:
            nearest = nearest[[1, 0, 2, 4, 3]]  # Left and right are swapped.
        if nearest is not None:
            yield nearest


def similarity(points: ndarray, targets: ndarray) -> ndarray:
    """Return the similarity transform, 2x3, from `points` [n, 2] to `targets` by least squares,
    without reflection.

    In the plane, the solution of Umeyama (Least-squares estimation of transformation parameters
    between two point patterns, 1991) is a regression line of complex numbers.
    """
    source = points @ [1, 1j]
    target = targets @ [1, 1j]
    (factor, shift), *_ = np.linalg.lstsq(np.vander(source, 2), target, rcond=None)
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]],
    )


def scale_of(matrix: ndarray) -> float:
    """Return the scale of a similarity transform."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def transform(matrix: ndarray, points: ndarray) -> ndarray:
    """Apply a 2x3 transform to points [n, 2] or [2]."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def compose(first: ndarray, then: ndarray) -> ndarray:
    """Return the 2x3 transform that applies two, one after the other."""
    return then @ np.vstack([first, [0, 0, 1]])


def align(rgb: ndarray, landmarks: ndarray) -> tuple[ndarray, ndarray]:
    """Return an aligned face, float32 [512, 512, 3] in 0..1, and the 2x3 matrix from image to crop.

    `rgb` is uint8 or uint16 [H, W, 3]; `landmarks` [5, 2] are those of `Face`. The image is
    reflected at its border.
    """
    matrix = similarity(np.asarray(landmarks, np.float64), TEMPLATE)
    crop = sample(rgb, matrix, CROP)
    crop /= np.float32(np.iinfo(rgb.dtype).max)
    return np.clip(crop, 0, 1, out=crop), matrix


def sample(pixels: ndarray, matrix: ndarray, side: int) -> ndarray:
    """Return the square of `side` pixels that `matrix` maps the image to, float32 [side, side, C],
    levels unchanged.

    Only the visible part is read, so the image can be of any size.
    """
    scale = scale_of(matrix)
    corners = _corners(matrix, side)
    margin = 4 + 4 / scale
    height, width = pixels.shape[:2]
    last = np.array([width - 1, height - 1])
    # At least one pixel, also of a square outside the image.
    first = (corners.min(axis=0) - margin).clip(0, last)
    end = (corners.max(axis=0) + margin).clip(first + 1, last + 1)
    box = box_around(first, end)
    part = box.cut(pixels)
    size = box.size
    if scale < _SMOOTH_BELOW:
        size = box.size.scale(scale)
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    across = box.width / size.width
    down = box.height / size.height
    # The centre of a pixel has integer coordinates.
    left = box.left + across / 2 - 0.5
    top = box.top + down / 2 - 0.5
    matrix = compose(np.array([[across, 0.0, left], [0.0, down, top]]), matrix)
    return cv2.warpAffine(
        part.astype(np.float32),
        matrix,
        (side, side),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def box_around(first: ndarray, last: ndarray) -> Box:
    """Return the smallest box of whole pixels that contains two points x, y."""
    left, top = np.floor(first).astype(int).tolist()
    right, bottom = np.ceil(last).astype(int).tolist()
    return Box(left, top, right - left, bottom - top)


def _corners(matrix: ndarray, side: int) -> ndarray:
    """Return the corners, in the image, of the square of `side` pixels that `matrix` maps to: x and
    y, [4, 2]."""
    square = np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float64)
    return transform(cv2.invertAffineTransform(matrix), square)
