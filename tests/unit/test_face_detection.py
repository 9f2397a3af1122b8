"""Face detection at any size and rotation. The tests need the file of the detector."""

import cv2
import numpy as np
import pytest
from skimage import data

from enhance.analysis.face_detection import (
    MOST_FACES,
    TEMPLATE,
    align,
    find_faces,
    scale_of,
    similarity,
    transform,
)


@pytest.fixture(scope="module")
def woman():
    """The astronaut's head: uint8 [200, 220, 3]."""
    return np.ascontiguousarray(data.astronaut()[:200, 110:330])


def rotate(rgb, degrees):
    height, width = rgb.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(rgb, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)


def test_the_landmarks_of_a_face_fit_the_template(detector_file):
    (face,) = find_faces(data.astronaut(), detector_file)
    matrix = similarity(face.landmarks, TEMPLATE)
    distances = np.linalg.norm(
        transform(matrix, face.landmarks) - TEMPLATE, axis=1
    )  # in pixels of 512

    assert face.is_restorable
    assert distances.mean() < 3
    assert distances.max() / scale_of(matrix) < 1.5  # in pixels of the image


@pytest.mark.parametrize("degrees", [-50, 180])
def test_a_rotated_face_is_found_and_aligned(detector_file, woman, degrees):
    faces = find_faces(rotate(woman, degrees), detector_file)

    assert len(faces) == 1
    upright, _ = align(rotate(woman, degrees), faces[0].landmarks)
    straight, _ = align(woman, find_faces(woman, detector_file)[0].landmarks)
    middle = np.s_[180:400, 150:360]
    assert np.corrcoef(upright[middle].ravel(), straight[middle].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("enlarged", [0.2, 2.5])
def test_small_and_large_faces_are_found(detector_file, woman, enlarged):
    interpolation = cv2.INTER_AREA if enlarged < 1 else cv2.INTER_CUBIC
    image = cv2.resize(woman, None, fx=enlarged, fy=enlarged, interpolation=interpolation)

    faces = find_faces(image, detector_file)

    assert len(faces) == 1
    assert faces[0].size == pytest.approx(110 * enlarged, rel=0.2)


def test_50_faces_of_a_crowd_are_found_once_each(detector_file, woman):
    head = cv2.resize(woman, (110, 100), interpolation=cv2.INTER_AREA)
    crowd = np.tile(head, (6, 9, 1))

    faces = find_faces(crowd, detector_file, precise=False)

    assert len(faces) == MOST_FACES
    cells = {(int(face.landmarks[2, 0] // 110), int(face.landmarks[2, 1] // 100)) for face in faces}
    assert len(cells) == MOST_FACES


@pytest.mark.parametrize("photo", [data.coffee, data.chelsea])
def test_objects_and_cats_are_not_faces(detector_file, photo):
    assert find_faces(photo(), detector_file, precise=False) == ()
