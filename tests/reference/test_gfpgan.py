"""The face network gives the same result as spandrel's model with random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from enhance.restore.faces import FaceRestorer
from tests.conftest import apart


@pytest.fixture
def official():
    """spandrel's GFPGAN with seeded random weights, whose output is neither flat nor fully
    clipped."""
    network_class = pytest.importorskip("spandrel.architectures.GFPGAN").GFPGAN
    torch.manual_seed(20)
    network = network_class(
        out_size=512, channel_multiplier=2, input_is_latent=True, different_w=True, sft_half=True
    ).eval()
    for name, tensor in network.state_dict().items():
        if tensor.shape == (1,):
            tensor.fill_(0.1)  # The strength of the random noise is 0 in a new network.
        if "to_rgb" in name and name.endswith("modulated_conv.weight"):
            tensor.mul_(0.25)
    return network


def test_a_restored_face_matches_spandrel(official):
    """The noise is that of the weights and does not depend on the state of torch's random
    numbers."""
    crop = data.astronaut().astype(np.float32) / 255
    restorer = FaceRestorer(official.state_dict(), torch.device("cpu"))
    ours = restorer(crop)
    torch.manual_seed(1)
    batch = (torch.from_numpy(crop).permute(2, 0, 1)[None] - 0.5) / 0.5

    with torch.inference_mode():
        output = official(batch, randomize_noise=False)[0][0]
    theirs = (output.clamp(-1, 1) / 2 + 0.5).permute(1, 2, 0).numpy()

    assert ours.std() > 0.05
    assert apart(ours, theirs) < 1e-5
    assert 300e6 < restorer.bytes < 400e6
