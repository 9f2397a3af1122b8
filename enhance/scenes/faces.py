"""The face scene of one picture: faces are found once, restored all in one go, and put back softly, row by row.

They are restored from the input alone, so the face network may be done, and gone from memory, before the picture is
enlarged. A patch stays as small as the network made it and is brought to its place only for the rows at hand.

The face network is GFPGAN v1.4 (Wang and others: Towards real-world blind face restoration with generative facial
prior, 2021), in spandrel's implementation. It adds noise inside. At run time that would be random, and one picture
would never come out the same twice; the weight file holds the noise it was trained with, and that is taken here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..errors import Cancelled, EnhanceError, WeightsError
from ..images import Box, Picture
from ..settings import PRESETS
from .face_detection import CROP, Face, align, find_faces, inverse, moved, scale_of

if TYPE_CHECKING:  # faces are found, aligned and put back without it
    import torch

_log = logging.getLogger(__name__)

RESTORER = "gfpgan-v1.4"
"""The weights' name in the manifest."""

Restore = Callable[[Sequence[np.ndarray], Any], Sequence[np.ndarray]]
"""Makes better faces of aligned ones, float32 [512, 512, 3] RGB in 0..1, both. What comes second says how it takes its
turns on the device, and is handed on as it is given; it may raise Cancelled.
"""

# The mask in the aligned crop: all of the face inside the inner ellipse, nothing outside the outer one, which touches
# no side of the crop.
_MIDDLE = (256.0, 285.0)
_INNER = (125.0, 165.0)
_OUTER = (205.0, 222.0)
_LIGHT_SIGMA = 32.0  # colour and light coarser than this, in pixels of the crop, are the picture's own
_REMEMBERED = 4
_SCALE = PRESETS["face"].scale


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


@dataclass(frozen=True, eq=False)
class FacePatch:
    """A restored face on its way into the picture enlarged four times.

    `pixels` [n, n, 3] is the restored crop in the picture's type; `to_crop` the 2x3 matrix from the enlarged picture's
    pixels to those of the full 512 px crop; rows [top, bottom) and columns [left, right) of the enlarged picture are
    all that the patch may change.
    """

    pixels: np.ndarray
    to_crop: np.ndarray
    top: int
    bottom: int
    left: int
    right: int


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
        _log.info("Loaded %s in %.1f s", RESTORER, time.perf_counter() - started)

    @property
    def name(self) -> str:
        return RESTORER

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
    from spandrel.architectures.GFPGAN import GFPGAN

    with torch.device("meta"):  # neither time nor memory for values that the weights replace
        network = GFPGAN(**_OPTIONS)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=True, assign=True)
    except RuntimeError as error:
        raise WeightsError("faces_other_weights", model=RESTORER) from error
    return network.eval().requires_grad_(False)


class FaceCache:
    """Faces of the last few pictures; safe to call from several threads.

    `detector` gives the detector's file, `restore` makes better faces of aligned ones, all of a picture in one call.
    """

    def __init__(self, detector: Callable[[], Path], restore: Restore):
        self._detector, self._restore = detector, restore
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()

    def faces(self, picture: Picture, box: Box | None = None, turn: Any = None) -> Faces:
        """The faces of the whole picture, or those that show inside `box`, restored all in one go.

        Raises WeightsError when the detector, or with a face to restore the face network, cannot be had; Cancelled.
        """
        known = self._remembered((picture.sha256, picture.width, picture.height))
        with known.lock:
            if known.faces is None:
                known.faces = find_faces(picture.rgb, self._detector())
            wanted = [
                place
                for place, face in enumerate(known.faces)
                if face.restorable and (box is None or _shows(face, box))
            ]
            missing = [place for place in wanted if place not in known.patches]
            patches = restore_faces(picture.rgb, [known.faces[place] for place in missing], self._restore, turn)
            known.patches.update(zip(missing, patches, strict=True))
            return Faces(len(known.faces), tuple(known.patches[place] for place in wanted))

    def _remembered(self, picture: Hashable) -> _Known:
        """What is known of a picture; each has a lock of its own, so that one does not wait for another's faces."""
        with self._lock:
            known = self._known.pop(picture, None) or _Known()
            self._known[picture] = known
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return known


def restore_faces(rgb: np.ndarray, faces: Sequence[Face], restore: Restore, turn: Any = None) -> tuple[FacePatch, ...]:
    """A patch for each face of the picture, uint8 or uint16 [H, W, 3] RGB, that is worth restoring.

    `restore` is called once with all of them, or not at all when there is none. Colour and light are taken from the
    picture, and a grey face stays grey. Raises what `restore` raises, and EnhanceError when it gives no pictures.
    """
    aligned = [align(rgb, face.landmarks) for face in faces if face.restorable]
    if not aligned:
        return ()
    restored = restore([crop for crop, _ in aligned], turn)
    return tuple(_patch(rgb, crop, matrix, face) for (crop, matrix), face in zip(aligned, restored, strict=True))


def apply(
    rows: np.ndarray, first: int, patches: Sequence[FacePatch], strength: float = 1.0, *, left: int = 0
) -> np.ndarray:
    """Rows of the enlarged picture, uint8, uint16 or float32 [n, w, 3], with the restored faces in them.

    `first` is the number of the first row and `left` that of the first column. `strength` 0..1 blends the faces in; at
    0, and where no face is, the rows are given back as they are. Each pixel depends on its place alone.
    """
    bottom, right = first + rows.shape[0], left + rows.shape[1]
    touching = [p for p in patches if p.top < bottom and p.bottom > first and p.left < right and p.right > left]
    if strength == 0 or not touching:
        return rows
    start = max(left, min(patch.left for patch in touching))
    end = min(right, max(patch.right for patch in touching))
    part = rows[:, start - left : end - left]
    mixed = np.zeros(part.shape, np.float32)
    total = np.zeros((*part.shape[:2], 1), np.float32)
    share = np.zeros_like(total)
    for patch in touching:
        area = _window(patch, first, bottom, start, end)
        restored, mask = _placed(patch, *area)
        inside = slice(area[0] - first, area[1] - first), slice(area[2] - start, area[3] - start)
        # where two faces overlap, the nearer one weighs more: squares make the change from one to the other smooth
        mixed[inside] += mask * mask * restored
        total[inside] += mask * mask
        share[inside] = np.maximum(share[inside], mask)
    blended = part + strength * share * (mixed / np.maximum(total, 1e-12) - part)
    result = rows.copy()
    if rows.dtype != np.float32:
        blended = np.rint(np.clip(blended, 0, np.iinfo(rows.dtype).max))
    result[:, start - left : end - left] = blended
    return result


def _patch(rgb: np.ndarray, crop: np.ndarray, matrix: np.ndarray, face: np.ndarray) -> FacePatch:
    """The patch of one face, restored, on its way back by the matrix from picture to crop."""
    restored = np.asarray(face, np.float32)
    if restored.shape != crop.shape or not np.isfinite(restored).all():
        raise EnhanceError("faces_no_picture")
    restored = _in_the_light_of(crop, restored)
    smaller = min(1.0, _SCALE / scale_of(matrix))
    if smaller < 1:
        side = max(1, round(CROP * smaller))
        restored = cv2.resize(restored, (side, side), interpolation=cv2.INTER_AREA)
    levels = np.iinfo(rgb.dtype).max
    pixels = np.rint(np.clip(restored, 0, 1) * levels).astype(rgb.dtype)
    to_crop = _from_enlarged(matrix)
    return FacePatch(pixels, to_crop, *_extent(to_crop, _SCALE * rgb.shape[0], _SCALE * rgb.shape[1]))


def _in_the_light_of(crop: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """The restored face's detail on the crop's own colour and light."""
    if np.array_equal(crop[..., 0], crop[..., 1]) and np.array_equal(crop[..., 0], crop[..., 2]):
        restored = np.repeat(restored.mean(axis=2, keepdims=True), 3, axis=2)
    difference = crop - restored
    return restored + cv2.GaussianBlur(difference, (0, 0), _LIGHT_SIGMA, borderType=cv2.BORDER_REFLECT_101)


def _from_enlarged(matrix: np.ndarray) -> np.ndarray:
    """The matrix for the enlarged picture's pixels: their centres lie at (X + 0.5) / 4 - 0.5 in the input."""
    shift = 0.5 / _SCALE - 0.5
    return np.column_stack([matrix[:, :2] / _SCALE, matrix[:, :2] @ np.full(2, shift) + matrix[:, 2]])


def _extent(to_crop: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the mask in the enlarged picture of `height` x `width`."""
    back = inverse(to_crop)
    middle = moved(back, np.array([_MIDDLE]))[0]
    # half the size of the box around the turned ellipse
    reach = np.sqrt(((back[:, :2] * _OUTER) ** 2).sum(axis=1))
    left, top = np.floor(middle - reach).astype(int)
    right, bottom = (np.ceil(middle + reach) + 1).astype(int)
    return max(int(top), 0), min(int(bottom), height), max(int(left), 0), min(int(right), width)


def _window(patch: FacePatch, first: int, bottom: int, start: int, end: int) -> tuple[int, int, int, int]:
    """The rows and columns in which the patch and the given ones meet."""
    return max(first, patch.top), min(bottom, patch.bottom), max(start, patch.left), min(end, patch.right)


def _placed(patch: FacePatch, top: int, bottom: int, left: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """The patch and its mask for some rows and columns of the enlarged picture: [n, w, 3] levels, [n, w, 1] 0..1."""
    x, y = np.arange(left, right, dtype=np.float64), np.arange(top, bottom, dtype=np.float64)[:, None]
    (a, b, c), (d, e, f) = patch.to_crop
    across, down = a * x + b * y + c, d * x + e * y + f
    size = patch.pixels.shape[0] / CROP
    restored = cv2.remap(
        patch.pixels.astype(np.float32),
        ((across + 0.5) * size - 0.5).astype(np.float32),
        ((down + 0.5) * size - 0.5).astype(np.float32),
        interpolation=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return restored, _mask(across, down)[..., None]


def _mask(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """1 in the inner ellipse, 0 beyond the outer one, smooth between them; places in the 512 px crop."""
    x, y = across - _MIDDLE[0], down - _MIDDLE[1]
    inner, outer = np.hypot(x / _INNER[0], y / _INNER[1]), np.hypot(x / _OUTER[0], y / _OUTER[1])
    # how far along the way from the inner ellipse (0) to the outer one (1) the place is
    way = np.clip((inner - 1) / np.maximum(inner - outer, 1e-9), 0, 1)
    return (1 - way * way * (3 - 2 * way)).astype(np.float32)


def _shows(face: Face, box: Box) -> bool:
    left, top, right, bottom = face.reach
    return left < box.left + box.width and right > box.left and top < box.top + box.height and bottom > box.top
