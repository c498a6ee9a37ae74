# SPDX-License-Identifier: Apache-2.0
"""Frames become undistorted and of working size, with a mask of what may be used."""

import numpy as np
import pytest

from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer, working_size

CAMERA = CameraModel(320, 240, 250.0, 250.0, 159.5, 119.5)
BENT = CameraModel(320, 240, 250, 250, 159.5, 119.5, 'plumb_bob', (-0.4, 0.2, 0.0, 0.0, 0.0))


def frame(camera: CameraModel = CAMERA, mask: np.ndarray | None = None) -> Frame:
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 10, 100, 200
    return Frame(5, image, camera, mask=mask)


@pytest.mark.parametrize(
    ('size', 'limit', 'expected'),
    [
        ((640, 480), 400000, (640, 480)),
        ((1280, 960), 640 * 480, (640, 480)),
        ((7680, 4320), 400000, (843, 474)),
    ],
)
def test_only_large_images_are_reduced(
    size: tuple[int, int], limit: int, expected: tuple[int, int]
) -> None:
    assert working_size(*size, limit) == expected


def test_an_undistorted_image_of_working_size_is_not_copied() -> None:
    shot = frame()
    prepared = FramePreparer(10**6).prepare(shot)
    assert prepared.image is shot.image
    assert prepared.camera == CAMERA
    assert prepared.usable is None
    assert prepared.grey.shape == (240, 320)
    assert prepared.grey[0, 0] == round(0.114 * 10 + 0.587 * 100 + 0.299 * 200)


def test_reduced_frames_carry_reduced_intrinsics() -> None:
    prepared = FramePreparer(160 * 120).prepare(frame())
    assert prepared.grey.shape == (120, 160)
    assert prepared.camera == CAMERA.resized(160, 120)


def test_distorted_frames_lose_their_distortion_and_their_rim() -> None:
    prepared = FramePreparer(10**6).prepare(frame(BENT))
    assert not prepared.camera.is_distorted
    assert prepared.usable is not None
    assert prepared.usable[120, 160]


def test_a_mask_is_followed() -> None:
    mask = np.zeros((240, 320), bool)
    mask[:, :100] = True
    usable = FramePreparer(10**6).prepare(frame(mask=mask)).usable
    assert usable is not None
    np.testing.assert_array_equal(usable, mask)


def test_another_camera_on_the_way_gets_maps_of_its_own() -> None:
    preparer = FramePreparer(10**6)
    assert preparer.prepare(frame()).camera == CAMERA
    other = CameraModel(200, 150, 170.0, 170.0, 100.0, 75.0)
    assert preparer.prepare(frame(other)).camera == other


def test_tiny_images_are_rejected_in_words() -> None:
    with pytest.raises(FrameRejected, match='31x240 pixels is too small') as caught:
        FramePreparer(10**6).prepare(frame(CameraModel(31, 240, 30, 30, 15, 120)))
    assert caught.value.reason == 'size'
