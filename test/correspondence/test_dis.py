# SPDX-License-Identifier: Apache-2.0
"""Dense flow: accurate on known shifts, honest where there is no correspondence."""

import cv2
import numpy as np
import pytest

from flowcam_ros.correspondence.config import FlowConfig
from flowcam_ros.correspondence.flow import estimate_flow
from flowcam_ros.correspondence.registry import FLOW_BACKENDS, make_flow


def texture(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    blurred = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 4.0, 12.0))
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def shifted(image: np.ndarray, x: float, y: float) -> np.ndarray:
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    size = image.shape[::-1]
    return cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize('shift', [(0.0, 0.0), (3.3, -1.7), (14.0, 6.0), (-25.0, 0.0)])
def test_flow_of_a_shift(shift: tuple[float, float]) -> None:
    image = texture(0)
    flow = estimate_flow(make_flow(FlowConfig()), image, shifted(image, *shift))
    inner = flow.displacement[40:-40, 60:-60]
    error = np.linalg.norm(inner - np.array(shift, np.float32), axis=-1)
    assert np.median(error) < 0.15
    assert np.median(flow.confidence[40:-40, 60:-60]) > 0.7


def test_unrelated_images_are_not_trusted() -> None:
    flow = estimate_flow(make_flow(FlowConfig()), texture(1), texture(2))
    assert np.mean(flow.confidence > 0) < 0.25


def test_pixels_that_leave_the_picture_are_not_trusted() -> None:
    image = texture(3)
    target = cv2.warpAffine(image, np.array([[1, 0, 30], [0, 1, 0]], np.float32), (320, 240))
    flow = estimate_flow(make_flow(FlowConfig()), image, target)
    assert np.mean(flow.confidence[:, -20:]) < 0.1


def test_a_start_helps_where_motion_is_large() -> None:
    image = texture(4)
    target = shifted(image, 90.0, 0.0)
    start = np.zeros((240, 320, 2), np.float32)
    start[..., 0] = 88.0
    before = start.copy()
    flow = make_flow(FlowConfig()).displacement(image, target, start)
    inner = flow[40:-40, 40:180]
    assert np.median(np.abs(inner - np.array([90.0, 0.0]))) < 0.3
    np.testing.assert_array_equal(start, before)


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (241, 319)])
def test_any_size_that_frames_may_have(size: tuple[int, int]) -> None:
    image = texture(5, *size)
    flow = estimate_flow(make_flow(FlowConfig()), image, image)
    assert flow.displacement.shape == (*size, 2)
    assert flow.confidence.shape == size
    assert np.isfinite(flow.displacement).all()
    assert flow.confidence.min() >= 0
    assert flow.confidence.max() <= 1


def test_every_backend_that_can_be_configured_exists() -> None:
    from flowcam_ros.settings import describe

    choices = next(i.choices for i in describe(FlowConfig) if i.name == 'backend')
    assert set(choices) == set(FLOW_BACKENDS)
