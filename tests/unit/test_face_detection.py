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
    distances = np.linalg.norm(transform(matrix, face.landmarks) - TEMPLATE, axis=1)

    assert face.is_restorable
    assert distances.mean() < 3  # pixels of 512


@pytest.mark.parametrize("degrees", [-50, 180])
def test_a_rotated_face_is_found_and_aligned(detector_file, woman, degrees):
    rotated = rotate(woman, degrees)

    (face,) = find_faces(rotated, detector_file)

    upright, _ = align(rotated, face.landmarks)
    straight, _ = align(woman, find_faces(woman, detector_file)[0].landmarks)
    middle = np.s_[180:400, 150:360]
    assert np.corrcoef(upright[middle].ravel(), straight[middle].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("enlarged", [0.2, 2.5])
def test_small_and_large_faces_are_found(detector_file, woman, enlarged):
    image = cv2.resize(woman, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_AREA)

    (face,) = find_faces(image, detector_file)

    assert face.size == pytest.approx(110 * enlarged, rel=0.2)


def test_50_faces_of_a_crowd_are_found_once_each(detector_file, woman):
    head = cv2.resize(woman, (110, 100), interpolation=cv2.INTER_AREA)

    faces = find_faces(np.tile(head, (6, 9, 1)), detector_file, precise=False)

    noses = np.stack([face.landmarks[2] for face in faces]) // (110, 100)
    assert len(np.unique(noses, axis=0)) == len(faces) == MOST_FACES


@pytest.mark.parametrize("photo", [data.coffee, data.chelsea])
def test_objects_and_cats_are_not_faces(detector_file, photo):
    assert find_faces(photo(), detector_file, precise=False) == ()
