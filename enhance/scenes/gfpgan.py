"""The face network: GFPGAN v1.4 (Wang and others: Towards real-world blind face restoration with generative facial
prior, 2021), in spandrel's implementation of its architecture; and the upright square that it was trained on, to which
a face is brought whatever its size and tilt.

The network adds noise inside. At run time it would be random, and one picture would never come out the same twice;
the weight file holds the noise it was trained with, and that is taken here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..errors import Cancelled, WeightsError

if TYPE_CHECKING:  # faces are found, aligned and put back without it
    import torch

_log = logging.getLogger(__name__)

NAME = "gfpgan-v1.4"
"""The weights' name in the manifest."""

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

# The official options of the "clean" network of 512 px: twice the channels from 64 px on, a style for every layer, and
# half of the features steered by the picture.
_OPTIONS = {
    "out_size": 512,
    "num_style_feat": 512,
    "channel_multiplier": 2,
    "num_mlp": 8,
    "input_is_latent": True,
    "different_w": True,
    "narrow": 1,
    "sft_half": True,
}


class FaceRestorer:
    """GFPGAN on one device.

    `state` are the official tensors by name, about 350 MB in float32, and are used as they are. Everything runs in
    float32. Raises WeightsError for the tensors of another network.
    """

    precisions = ("fp32",)

    def __init__(self, state: Mapping[str, torch.Tensor], device: torch.device | str = "cpu"):
        import torch

        started = time.perf_counter()
        self.device = torch.device(device)
        self._network = _build(state).to(self.device)
        _log.info("Loaded %s in %.1f s", NAME, time.perf_counter() - started)

    @property
    def name(self) -> str:
        return NAME

    def restore(self, crops: Sequence[np.ndarray], stop: threading.Event | None = None) -> list[np.ndarray]:
        """All the faces restored. Raises Cancelled when `stop` is set before the last one."""
        restored = []
        for crop in crops:
            if stop is not None and stop.is_set():
                raise Cancelled("stopped")
            restored.append(self(crop))
        return restored

    def __call__(self, face: np.ndarray) -> np.ndarray:
        """The restored face: float32 [512, 512, 3] RGB in 0..1, aligned, to the same."""
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(face, np.float32)).to(self.device)
            planes = pixels.permute(2, 0, 1)[None] * 2 - 1
            restored, _ = self._network(planes, return_rgb=False, randomize_noise=False)
            return restored[0].permute(1, 2, 0).add(1).div(2).clamp(0, 1).cpu().numpy()

    @property
    def bytes(self) -> int:
        """What the network takes in memory."""
        tensors = [*self._network.parameters(), *self._network.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _build(state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    import torch

    try:
        from spandrel.architectures.GFPGAN import GFPGAN
    except ImportError as error:
        raise WeightsError("faces_not_installed") from error

    with torch.device("meta"):  # neither time nor memory for values that the weights replace
        network = GFPGAN(**_OPTIONS)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=True, assign=True)
    except RuntimeError as error:
        raise WeightsError("faces_other_weights", model=NAME) from error
    return network.eval().requires_grad_(False)


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
