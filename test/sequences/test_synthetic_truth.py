# SPDX-License-Identifier: Apache-2.0
"""Depth, poses, flow and pictures of the synthetic world agree with one another."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from flowcam_ros.geometry import se3
from flowcam_ros.sequences.synthetic import View, flow_between, parse_synthetic
from flowcam_ros.sequences.synthetic import sequence as module
from flowcam_ros.sequences.synthetic.room import World

SIZE = 'width=320&height=240'


@pytest.fixture(autouse=True, scope='module')
def shared_worlds() -> Iterator[None]:
    """Furnish each room once for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, 'World', functools.lru_cache(World))
        yield


def sampled(image: np.ndarray, displacement: np.ndarray, method: int) -> np.ndarray:
    """Return ``image`` where each pixel moves to."""
    rows, columns = np.indices(displacement.shape[:2], dtype=np.float32)
    return cv2.remap(image, columns + displacement[..., 0], rows + displacement[..., 1], method)


def photometric_errors(source: View, target: View, among: np.ndarray | None = None) -> np.ndarray:
    flow = flow_between(source, target)
    there = sampled(target.image, flow.displacement, cv2.INTER_CUBIC)
    error = np.abs(there.astype(float) - source.image).mean(-1)
    seen = flow.confidence > 0
    return error[seen if among is None else seen & among]


PAIRS = {
    'walk': ('synthetic:walk?', 10, 11),
    'far apart': ('synthetic:walk?', 10, 30),
    'backwards': ('synthetic:walk?seed=4', 30, 26),
    'plumb_bob': ('synthetic:orbit?distortion_model=plumb_bob', 5, 8),
    'rational_polynomial': ('synthetic:walk?distortion_model=rational_polynomial', 40, 42),
    'equidistant': ('synthetic:walk?distortion_model=equidistant&field_of_view=80', 40, 42),
    'moving object': ('synthetic:walk?moving_objects=2', 40, 42),
}


@pytest.mark.parametrize('pair', PAIRS)
def test_the_exact_flow_carries_one_picture_into_the_other(pair: str) -> None:
    spec, first, second = PAIRS[pair]
    sequence = parse_synthetic(f'{spec}&{SIZE}'.replace('?&', '?'))
    source, target = sequence.view(first), sequence.view(second)
    error = photometric_errors(source, target)
    assert error.size > 0.6 * source.depth.size
    assert np.median(error) < 2.5
    assert np.percentile(error, 95) < 16.0
    apart = np.abs(source.image.astype(float) - target.image).mean(-1)
    assert np.median(error) < 0.5 * np.median(apart)


def between_pixels(values: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Return ``values`` where each pixel moves to, interpolated in double precision."""
    rows, columns = np.indices(values.shape)
    x, y = columns + displacement[..., 0], rows + displacement[..., 1]
    left = np.clip(np.floor(x), 0, values.shape[1] - 2).astype(int)
    top = np.clip(np.floor(y), 0, values.shape[0] - 2).astype(int)
    right, down = x - left, y - top
    upper = (1 - right) * values[top, left] + right * values[top, left + 1]
    lower = (1 - right) * values[top + 1, left] + right * values[top + 1, left + 1]
    return (1 - down) * upper + down * lower


@pytest.mark.parametrize('pair', PAIRS)
def test_depth_moved_by_the_pose_is_the_other_depth(pair: str) -> None:
    spec, first, second = PAIRS[pair]
    sequence = parse_synthetic(f'{spec}&{SIZE}'.replace('?&', '?'))
    source, target = sequence.view(first), sequence.view(second)
    flow = flow_between(source, target)
    camera_from_camera = se3.inverse(target.world_from_camera) @ source.world_from_camera
    moved = source.points() @ camera_from_camera[:3, :3].T + camera_from_camera[:3, 3]
    # Inverse depth is linear on a plane, so interpolating it is exact away from edges.
    inverse = 1.0 / target.depth.astype(np.float64)
    bend = np.abs(cv2.Laplacian(inverse, cv2.CV_64F, ksize=1))
    smooth = cv2.dilate(bend, np.ones((5, 5))) < 2e-5
    on_plane = sampled(smooth.astype(np.uint8), flow.displacement, cv2.INTER_NEAREST) > 0
    expected = 1.0 / between_pixels(inverse, flow.displacement)
    use = (flow.confidence > 0) & (source.body == 0) & on_plane
    assert use.mean() > 0.2
    assert np.abs(moved[..., 2] - expected)[use].max() < 1e-3


def test_flow_there_and_back_returns() -> None:
    sequence = parse_synthetic(f'synthetic:walk?{SIZE}')
    source, target = sequence.view(20), sequence.view(23)
    there, back = flow_between(source, target), flow_between(target, source)
    returned = there.displacement + sampled(
        back.displacement, there.displacement, cv2.INTER_LINEAR
    )
    seen = there.confidence > 0
    assert np.median(np.linalg.norm(returned[seen], axis=-1)) < 2e-3


def test_hidden_places_have_no_confidence() -> None:
    sequence = parse_synthetic(f'synthetic:walk?{SIZE}')
    source, target = sequence.view(0), sequence.view(25)
    flow = flow_between(source, target)
    hidden = flow.confidence == 0
    rows, columns = np.indices(hidden.shape)
    x, y = columns + flow.displacement[..., 0], rows + flow.displacement[..., 1]
    inside = (x >= 0) & (x <= 319) & (y >= 0) & (y <= 239)
    assert hidden[~inside].all()
    assert 0.003 < (hidden & inside).mean() < 0.2


def test_the_moving_object_is_followed_and_the_room_stands_still() -> None:
    sequence = parse_synthetic(f'synthetic:moving_object?{SIZE}')
    source, target = sequence.view(45), sequence.view(48)
    flow = flow_between(source, target)
    thing = source.body == 1
    assert 0.01 < thing.mean() < 0.6
    speed = np.linalg.norm(flow.displacement, axis=-1)
    assert np.median(speed[thing]) > 5.0
    assert speed[~thing].max() < 1e-3
    assert np.median(photometric_errors(source, target, thing)) < 5.0


def test_points_lie_in_the_room_and_on_its_floor() -> None:
    view = parse_synthetic(f'synthetic:walk?{SIZE}').view(0)
    pose = view.world_from_camera
    points = view.points() @ pose[:3, :3].T + pose[:3, 3]
    assert (np.abs(points) < (4.5 + 1e-4, 3.5 + 1e-4, 2.9 + 1e-4)).all()
    assert points[..., 2].min() > -1e-4
    assert (np.abs(points[..., 2]) < 1e-4).mean() > 0.1


def test_the_right_picture_is_shifted_by_the_disparity() -> None:
    sequence = parse_synthetic(f'synthetic:walk?{SIZE}&stereo=true&baseline=0.1&frames=1')
    frame = next(iter(sequence))
    assert frame.right is not None and frame.depth is not None
    assert frame.right.baseline == 0.1
    assert frame.right.camera == frame.camera
    shift = np.zeros((240, 320, 2), np.float32)
    shift[..., 0] = -frame.camera.fx * 0.1 / frame.depth.depth
    error = np.abs(sampled(frame.right.image, shift, cv2.INTER_CUBIC).astype(float) - frame.image)
    unshifted = np.abs(frame.right.image.astype(float) - frame.image)
    assert np.median(error[:, 40:]) < 2.5
    assert np.median(error[:, 40:]) < 0.4 * np.median(unshifted[:, 40:])


def test_dis_flow_finds_the_exact_flow_of_the_walk() -> None:
    sequence = parse_synthetic('synthetic:walk')
    source, target = sequence.view(30), sequence.view(31)
    grey = [cv2.cvtColor(view.image, cv2.COLOR_BGR2GRAY) for view in (source, target)]
    found = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    exact = flow_between(source, target)
    error = np.linalg.norm(found - exact.displacement, axis=-1)[exact.confidence > 0]
    assert np.median(error) < 0.15
