"""The face network: GFPGAN v1.4 (Wang and others: Towards real-world blind face restoration with generative facial
prior, 2021), in spandrel's implementation of its architecture.

The network adds noise inside. At run time it would be random, and one picture would never come out the same twice;
the weight file holds the noise it was trained with, and that is taken here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..errors import Cancelled, WeightsError

_log = logging.getLogger(__name__)

NAME = "gfpgan-v1.4"
"""The weights' name in the manifest."""

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
    from spandrel.architectures.GFPGAN import GFPGAN

    with torch.device("meta"):  # neither time nor memory for values that the weights replace
        network = GFPGAN(**_OPTIONS)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=True, assign=True)
    except RuntimeError as error:
        raise WeightsError("faces_other_weights", model=NAME) from error
    return network.eval().requires_grad_(False)
