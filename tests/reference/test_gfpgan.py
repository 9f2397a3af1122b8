"""The face network gives the same result as spandrel's model with random weights."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from skimage import data

from enhance.errors import WeightsError
from enhance.scenes.face_detection import Face
from enhance.scenes.faces import FaceRestorer, blend_faces, restore_faces
from tests.conftest import psnr
from tests.unit.test_face_restoration import ASTRONAUT, bicubic


@pytest.fixture(scope="module")
def official():
    """spandrel's GFPGAN with seeded random weights, whose output is neither flat nor fully clipped."""
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
    yield network
    del network
    gc.collect()


@pytest.fixture(scope="module")
def restorer(official) -> FaceRestorer:
    return FaceRestorer(official.state_dict())


@pytest.fixture(scope="module")
def restored(restorer):
    """A crop and its restored version."""
    crop = np.ascontiguousarray(data.astronaut()).astype(np.float32) / 255
    return crop, restorer(crop)


def test_a_restored_face_matches_spandrel(official, restored):
    """The noise is that of the weights and does not depend on the state of torch's random numbers."""
    crop, ours = restored
    torch.manual_seed(1)
    batch = (torch.from_numpy(crop).permute(2, 0, 1)[None] - 0.5) / 0.5

    with torch.inference_mode():
        theirs = official(batch, randomize_noise=False)[0][0].clamp(-1, 1).add(1).div(2).permute(1, 2, 0).numpy()

    assert ours.std() > 0.05
    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.long
def test_an_image_is_restored_and_blended(restorer):
    portrait = np.ascontiguousarray(data.astronaut()[:256, 80:368])
    face = Face((99, 63, 91, 112), ASTRONAUT - [80, 0], 0.9)
    image = bicubic(portrait)
    patches = restore_faces(portrait, [face], lambda crops, stop: [restorer(crop) for crop in crops])

    result = blend_faces(image, 0, patches)

    assert result.shape == image.shape
    assert 10 < psnr(result, image) < 40


def test_the_memory_of_the_network_is_reported(restorer):
    assert 300e6 < restorer.bytes < 400e6


@pytest.mark.parametrize(
    "state",
    [{}, {"conv_first.weight": torch.zeros(64, 3, 3, 3)}, {"toRGB.0.weight": torch.zeros(3, 9, 1, 1)}],
    ids=["empty", "an enlarging network", "a smaller one"],
)
def test_the_weights_of_another_network_are_rejected(state):
    with pytest.raises(WeightsError, match=r"different network.*`enhance weights fetch gfpgan-v1.4`"):
        FaceRestorer(state)
