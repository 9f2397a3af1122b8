"""Face restoration: faces are found once, restored together, and blended into the upscaled image
row by row.

They are restored from the input, so the face network can leave the memory before the image is
upscaled. A patch has the network's output, at its size or smaller, and is transformed only for the
requested rows.

The face network is GFPGAN v1.4 (Wang and others: Towards real-world blind face restoration with
generative facial prior, 2021), in spandrel's implementation. It adds random noise. The noise of the
weight file is used, so that results are reproducible.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy import ndarray

from ..analysis.face_detection import (
    CROP,
    Face,
    align,
    box_around,
    find_faces,
    scale_of,
    transform,
)
from ..errors import check_stop, optional_packages
from ..images import Box, SourceImage
from ..settings import PRESETS
from .resample import rounded

if TYPE_CHECKING:  # only the face network needs it
    import torch

RESTORER = "gfpgan-v1.4"
"""The name of the model in the manifest."""

Restore = Callable[[Sequence[ndarray], Any], Sequence[ndarray]]
"""Restores aligned faces, float32 [512, 512, 3] RGB in 0..1; the second parameter is the job for
the device."""

# The mask in the aligned crop: 1 inside the inner ellipse, 0 outside the outer one, which touches
# no side of the crop.
_CENTRE = (256.0, 285.0)
_INNER = (125.0, 165.0)
_OUTER = (205.0, 222.0)
# Pixels of the crop; coarser differences of colour and light are taken from the image.
_LIGHT_SIGMA = 32.0
_CACHED_IMAGES = 4
_SCALE = PRESETS["face"].scale


@dataclass(frozen=True, eq=False)
class FacePatch:
    """A restored face for an image that is upscaled 4x.

    `pixels` [n, n, 3] is the restored crop in the type of the image. `to_crop` is the 2x3 matrix
    from the upscaled image to the 512 px crop.
    """

    pixels: ndarray
    to_crop: ndarray

    @cached_property
    def box(self) -> Box:
        """The box around the mask in the upscaled image, outside which no pixel changes."""
        back = cv2.invertAffineTransform(self.to_crop)
        (centre,) = transform(back, np.array([_CENTRE]))
        # Half the size of the bounding box of the rotated ellipse.
        reach = np.sqrt(((back[:, :2] * _OUTER) ** 2).sum(axis=1))
        return box_around(centre - reach, centre + reach + 1)


@dataclass(frozen=True)
class Faces:
    """The number of faces that were found, and the patches of those that were restored."""

    found: int
    patches: tuple[FacePatch, ...]

    def describe(self) -> dict[str, int]:
        """Return the value of `faces` in `info`."""
        return {"found": self.found, "treated": len(self.patches)}


@dataclass
class _CachedImage:
    """The faces of an image.

    Each image has its own lock, so that images do not wait for each other.
    """

    faces: tuple[Face, ...] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    patches: dict[Face, FacePatch] = field(default_factory=dict)


class FaceRestorer:
    """GFPGAN on one device.

    `state` contains the official tensors by name, about 350 MB in float32.
    """

    name = RESTORER

    def __init__(self, state: Mapping[str, torch.Tensor], device: torch.device):
        import torch

        with optional_packages("models"):
            from spandrel.architectures.GFPGAN import GFPGAN

        self.device = device
        with torch.device("meta"):  # no time and memory for values that the weights replace
            network = GFPGAN()
        weights = {name: tensor.float() for name, tensor in state.items()}
        network.load_state_dict(weights, assign=True)
        self._network = network.eval().requires_grad_(False).to(self.device)

    def restore(
        self,
        crops: Sequence[ndarray],
        stop: threading.Event | None = None,
    ) -> list[ndarray]:
        """Restore all faces. Raises Cancelled if `stop` is set before the last one."""
        restored = []
        for crop in crops:
            check_stop(stop)
            restored.append(self(crop))
        return restored

    def __call__(self, face: ndarray) -> ndarray:
        """Restore an aligned face, float32 [512, 512, 3] RGB in 0..1."""
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(face).to(self.device)
            planes = pixels.permute(2, 0, 1).unsqueeze(0) * 2 - 1
            restored, _ = self._network(planes, return_rgb=False, randomize_noise=False)
            pixels = restored[0].permute(1, 2, 0).add(1).div(2)
            return pixels.clamp(0, 1).cpu().numpy()

    @property
    def bytes(self) -> int:
        """The memory of the network."""
        return sum(tensor.nbytes for tensor in self._network.state_dict().values())


class FaceCache:
    """The faces of the last images; safe to call from several threads.

    `detector` returns the file of the detector, `restore` restores all faces of an image in one
    call.
    """

    def __init__(self, detector: Callable[[], Path], restore: Restore):
        self._detector = detector
        self._restore = restore
        # Returns the same object for the same image, until it is used least recently.
        self._image = lru_cache(_CACHED_IMAGES)(lambda sha256, size: _CachedImage())

    def faces(self, image: SourceImage, box: Box, job: Any = None) -> Faces:
        """Return the faces of an image, those that are visible in `box` restored.

        Raises Cancelled, and WeightsError if the detector or the face network is not installed.
        """
        cached = self._image(image.sha256, image.size)
        with cached.lock:
            if cached.faces is None:
                cached.faces = find_faces(image.rgb, self._detector())
            faces = [face for face in cached.faces if face.is_restorable and face.is_visible(box)]
            missing = [face for face in faces if face not in cached.patches]
            patches = restore_faces(image.rgb, missing, self._restore, job)
            cached.patches.update(zip(missing, patches, strict=True))
            return Faces(len(cached.faces), tuple(cached.patches[face] for face in faces))


def restore_faces(
    rgb: ndarray,
    faces: Sequence[Face],
    restore: Restore,
    job: Any = None,
) -> tuple[FacePatch, ...]:
    """Return a patch for each of these faces of an image, uint8 or uint16 [H, W, 3] RGB.

    `restore` is called once with all faces, or not at all if there are none. Patches keep the
    colour and light of the image, and a grey face stays grey. Raises what `restore` raises.
    """
    aligned = [align(rgb, face.landmarks) for face in faces]
    if not aligned:
        return ()
    crops, matrices = zip(*aligned, strict=True)
    return tuple(map(partial(_patch, rgb), crops, matrices, restore(crops, job)))


def blend_faces(
    rows: ndarray,
    first: int,
    patches: Sequence[FacePatch],
    strength: float = 1.0,
    *,
    left: int = 0,
) -> ndarray:
    """Blend restored faces into rows of the upscaled image, float32 [n, w, 3].

    `first` is the number of the first row and `left` that of the first column. `strength` is 0 to
    1. Each pixel depends on its position only.
    """
    if not patches:
        return rows
    height, width, _ = rows.shape
    region = Box(left, first, width, height)
    mixed = np.zeros_like(rows)
    total = np.zeros((height, width, 1), np.float32)
    share = np.zeros_like(total)
    for patch in patches:
        area = patch.box.intersection(region)
        if area is None:
            continue
        restored, mask = _warp(patch, area)
        inside = np.s_[area.top - first : area.bottom - first, area.left - left : area.right - left]
        # Squared weights make the transition between overlapping faces smooth.
        mixed[inside] += mask * mask * restored
        total[inside] += mask * mask
        share[inside] = np.maximum(share[inside], mask)
    faces = mixed / np.maximum(total, 1e-12)
    return rows + strength * share * (faces - rows)


def _patch(rgb: ndarray, crop: ndarray, matrix: ndarray, output: ndarray) -> FacePatch:
    """Return the patch of a face for the network's output.

    `matrix` transforms from image to crop.
    """
    restored = _with_light_of(crop, output)
    smaller = min(1.0, _SCALE / scale_of(matrix))
    if smaller < 1:  # The face is smaller in the result, and `_warp` would alias.
        side = max(1, round(CROP * smaller))
        restored = cv2.resize(restored, (side, side), interpolation=cv2.INTER_AREA)
    levels = np.iinfo(rgb.dtype).max
    pixels = rounded(restored * levels, levels)
    # The centre of pixel X of the upscaled image is at (X + 0.5) / 4 - 0.5 in the input.
    shift = np.full(2, 0.5 / _SCALE - 0.5)
    linear = matrix[:, :2]
    to_crop = np.column_stack([linear / _SCALE, linear @ shift + matrix[:, 2]])
    return FacePatch(pixels, to_crop)


def _with_light_of(crop: ndarray, restored: ndarray) -> ndarray:
    """Combine the detail of the restored face with the colour and light of the crop."""
    if np.array_equal(crop, crop[..., [1, 2, 0]]):  # The face is grey.
        restored = np.repeat(restored.mean(axis=2, keepdims=True), 3, axis=2)
    difference = crop - restored
    light = cv2.GaussianBlur(difference, (0, 0), _LIGHT_SIGMA, borderType=cv2.BORDER_REFLECT_101)
    return restored + light


def _warp(patch: FacePatch, area: Box) -> tuple[ndarray, ndarray]:
    """Return a patch and its mask for an area of the upscaled image.

    The patch is [n, w, 3] in levels, the mask [n, w, 1] in 0..1.
    """
    x = np.arange(area.left, area.right, dtype=np.float64)
    y = np.arange(area.top, area.bottom, dtype=np.float64)[:, None]
    (a, b, c), (d, e, f) = patch.to_crop
    across = a * x + b * y + c
    down = d * x + e * y + f
    size = len(patch.pixels) / CROP
    x = (across + 0.5) * size - 0.5
    y = (down + 0.5) * size - 0.5
    restored = cv2.remap(
        patch.pixels.astype(np.float32),
        x.astype(np.float32),
        y.astype(np.float32),
        interpolation=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return restored, _mask(across, down)[..., None]


def _mask(across: ndarray, down: ndarray) -> ndarray:
    """Return 1 in the inner ellipse, 0 beyond the outer one, and a smooth step between, by
    positions in the crop."""
    x = across - _CENTRE[0]
    y = down - _CENTRE[1]
    inner = np.hypot(x / _INNER[0], y / _INNER[1])
    outer = np.hypot(x / _OUTER[0], y / _OUTER[1])
    # Along the ray from the centre: 0 on the inner ellipse, 1 on the outer one.
    distance = np.clip((inner - 1) / np.maximum(inner - outer, 1e-9), 0, 1)
    return (1 - distance * distance * (3 - 2 * distance)).astype(np.float32)
