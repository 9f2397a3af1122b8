"""Face restoration: faces are blended into the image without visible edges."""

import threading

import cv2
import numpy as np
import pytest
from skimage import data

from enhance.analysis.face_detection import TEMPLATE, Face
from enhance.errors import Cancelled
from enhance.images import Box
from enhance.restore.faces import FaceRestorer, blend_faces, restore_faces
from enhance.size import Size
from tests.conftest import apart, psnr

from .test_fidelity import upscaled

ASTRONAUT = np.array(
    [[203.2, 104.3], [245.6, 103.4], [222.5, 127.4], [204.0, 146.3], [240.5, 145.6]]
)
"""Eyes, nose and corners of the mouth in skimage's photo."""


def face_at(landmarks, size=110):
    middle = landmarks.mean(axis=0)
    return Face(np.stack([middle - size / 2, middle + size / 2]), landmarks, 0.9)


def rotated_face(degrees, scale, middle):
    """Return a rotated face of `scale` times the size of the template."""
    centred = TEMPLATE - TEMPLATE.mean(axis=0)
    rotation = cv2.getRotationMatrix2D((0, 0), -degrees, scale)[:, :2]
    return face_at(centred @ rotation.T + middle, 400 * scale)


def unchanged(crops, _):
    return crops


def striped(crops, _):
    """Draw strong, fine stripes, which show where the face is blended, and change colour and
    brightness."""
    stripes = 0.3 * (np.arange(512) // 4 % 2 - 0.5)[:, None, None]
    changed = np.stack(crops) * [0.7, 0.9, 1] + 0.06 + stripes
    return [*np.clip(changed, 0, 1).astype(np.float32)]


PORTRAIT = np.ascontiguousarray(data.astronaut()[:256, 80:368])
FACE = face_at(ASTRONAUT - [80, 0])


@pytest.fixture(scope="module")
def image():
    """The portrait, upscaled."""
    return upscaled(PORTRAIT).astype(np.float32)


@pytest.fixture(scope="module")
def patches():
    return restore_faces(PORTRAIT, [FACE], striped)


def inside(patches):
    (patch,) = patches
    box = patch.box.inside(Size.of_shape(PORTRAIT.shape).scale(4))
    return np.s_[box.top : box.bottom, box.left : box.right]


@pytest.mark.parametrize(
    "face",
    [rotated_face(-75, 0.15, (155, 85)), rotated_face(0, 0.3, (8, 40))],
    ids=["small and rotated", "partly outside the image"],
)
def test_blending_an_unchanged_face_changes_nothing(face, image):
    patches = restore_faces(PORTRAIT, [face], unchanged)

    assert psnr(blend_faces(image, 0, patches)[inside(patches)], image[inside(patches)]) > 40


def test_strips_of_any_height_are_bit_identical(image, patches):
    whole = blend_faces(image, 0, patches, 0.8)
    starts = range(0, len(image), 37)

    strips = [blend_faces(image[first : first + 37], first, patches, 0.8) for first in starts]
    corner = blend_faces(image[300:700, 200:900], 300, patches, 0.8, left=200)

    assert np.array_equal(np.concatenate(strips), whole)
    assert np.array_equal(corner, whole[300:700, 200:900])
    assert not np.array_equal(whole, image)


def test_the_face_fades_out_without_an_edge_and_keeps_its_light(image, patches):
    difference = blend_faces(image, 0, patches) - image
    rows, columns = inside(patches)

    assert np.abs(difference).max() > 25
    assert np.abs(cv2.GaussianBlur(difference, (0, 0), 40)).max() < 12
    difference[rows.start + 1 : rows.stop - 1, columns.start + 1 : columns.stop - 1] = 0
    assert np.abs(difference).max() <= 1


def test_16_bits_match_8_bits(image, patches):
    deep = PORTRAIT.astype(np.uint16) * 257

    patches_of_deep = restore_faces(deep, [FACE], striped)
    sixteen = blend_faces(upscaled(deep).astype(np.float32), 0, patches_of_deep)

    assert patches_of_deep[0].pixels.dtype == np.uint16
    assert apart(sixteen / 257, blend_faces(image, 0, patches)) < 2


def test_overlapping_faces_blend_in_any_order(image):
    two = [face_at(ASTRONAUT - [110, 0]), face_at(ASTRONAUT - [60, 5])]
    patches = restore_faces(PORTRAIT, two, striped)

    assert np.array_equal(blend_faces(image, 0, patches), blend_faces(image, 0, patches[::-1]))


def test_tiny_and_very_large_faces_are_not_restored():
    faces = [rotated_face(0, size, (140, 130)) for size in (0.03, 0.3, 2.5)]

    assert [face.is_restorable for face in faces] == [False, True, False]


def test_a_face_is_visible_wherever_it_changes_pixels(patches):
    (patch,) = patches
    for left in (patch.box.left // 4, patch.box.right // 4 - 1):
        for top in (patch.box.top // 4, patch.box.bottom // 4 - 1):
            assert FACE.is_visible(Box(left, top, 1, 1))
    assert not FACE.is_visible(Box(0, 0, 8, 8))


def test_cancelling_works_between_faces():
    stop = threading.Event()
    restored = []

    class Restorer(FaceRestorer):
        def __init__(self):
            """Load no network."""

        def __call__(self, face):
            restored.append(face)
            stop.set()
            return face

    with pytest.raises(Cancelled):
        Restorer().restore([PORTRAIT, PORTRAIT], stop)
    assert len(restored) == 1
