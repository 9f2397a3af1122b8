"""A face is brought into the upright square that face networks are trained on, whatever its size and tilt."""

from __future__ import annotations

import cv2
import numpy as np

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

_SMOOTH_BELOW = 0.7  # a reduction stronger than this is averaged first, so that nothing flickers


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
