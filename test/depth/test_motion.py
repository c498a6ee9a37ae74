# SPDX-License-Identifier: Apache-2.0
"""Depth from motion: learns from true flow, stays finite on wild flow, survives the carrying."""

import numpy as np
import pytest

from flowcam_ros.correspondence.flow import Flow
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.depth.motion import MotionDepth
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer, PreparedFrame

CAMERA = CameraModel(160, 120, 150.0, 150.0, 79.5, 59.5)


def frame(stamp: int = 0) -> PreparedFrame:
    return FramePreparer(10**6).prepare(Frame(stamp, np.zeros((120, 160), np.uint8), CAMERA))


def slanted_inverse_depth(camera: CameraModel) -> np.ndarray:
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    scale = camera.width / CAMERA.width
    return 0.4 + 0.004 * (x + 0.5) / scale + 0.002 * (y + 0.5) / scale


def flow_of(inverse: np.ndarray, pose: np.ndarray) -> Flow:
    x, y = np.meshgrid(np.arange(160.0), np.arange(120.0))
    rays = np.stack([(x - CAMERA.cx) / 150.0, (y - CAMERA.cy) / 150.0, np.ones(x.shape)], -1)
    moved = rays @ pose[:3, :3].T + inverse[..., None] * pose[:3, 3]
    u = 150.0 * moved[..., 0] / moved[..., 2] + CAMERA.cx
    v = 150.0 * moved[..., 1] / moved[..., 2] + CAMERA.cy
    displacement = np.stack([u - x, v - y], -1).astype(np.float32)
    return Flow(displacement, np.ones((120, 160), np.float32))


def learnt(poses: list[np.ndarray]) -> tuple[MotionDepth, DepthEstimate]:
    depth = MotionDepth()
    estimate = depth.start(frame())
    for pose in poses:
        flow = flow_of(slanted_inverse_depth(CAMERA), pose)
        estimate = depth.update(estimate, flow, pose, 0.0)
    return depth, estimate


POSES = [se3.exp(np.array([0.04 * k, 0.01 * k, 0.02 * k, 0, 0.01 * k, 0])) for k in range(1, 9)]


def test_true_flow_teaches_true_depth() -> None:
    _, estimate = learnt(POSES)
    truth = slanted_inverse_depth(estimate.camera)
    relative = np.abs(estimate.inverse_depth / truth - 1)[5:-5, 5:-5]
    assert np.median(relative) < 0.02
    assert np.percentile(relative, 95) < 0.1


def test_more_frames_teach_more() -> None:
    _, few = learnt(POSES[:1])
    _, many = learnt(POSES)
    assert np.median(many.variance) < 0.5 * np.median(few.variance)


def test_the_error_is_within_what_the_variance_says() -> None:
    _, estimate = learnt(POSES)
    truth = slanted_inverse_depth(estimate.camera)
    normalized = (estimate.inverse_depth - truth) ** 2 / estimate.variance
    assert np.mean(normalized[5:-5, 5:-5] < 9.0) > 0.97


def test_rotation_teaches_nothing() -> None:
    depth = MotionDepth()
    start = depth.start(frame())
    turn = se3.exp(np.array([0, 0, 0, 0, 0.05, 0.0]))
    estimate = depth.update(start, flow_of(slanted_inverse_depth(CAMERA), turn), turn, 0.01)
    np.testing.assert_allclose(estimate.inverse_depth, start.inverse_depth, atol=0.05)
    assert np.median(estimate.variance) > 0.8 * np.median(start.variance)


def test_carried_depth_is_that_of_the_new_camera() -> None:
    depth, estimate = learnt(POSES)
    new_from_old = POSES[-1]
    forward = flow_of(slanted_inverse_depth(CAMERA), new_from_old)
    # the new camera's own depth and its flow back, by search along the exact forward flow
    back = np.zeros((120, 160, 2), np.float32)
    new_inverse = np.zeros((120, 160))
    x, y = np.meshgrid(np.arange(160.0), np.arange(120.0))
    guess = np.stack([x, y], -1)
    for _ in range(20):
        at = np.clip(np.rint(guess).astype(int), 0, [159, 119])
        guess = np.stack([x, y], -1) - forward.displacement[at[..., 1], at[..., 0]]
    back[:] = guess - np.stack([x, y], -1)
    at = np.clip(np.rint(guess).astype(int), 0, [159, 119])
    old = slanted_inverse_depth(CAMERA)[at[..., 1], at[..., 0]]
    rays = np.stack([(at[..., 0] - 79.5) / 150, (at[..., 1] - 59.5) / 150, np.ones(x.shape)], -1)
    z = (rays @ new_from_old[:3, :3].T + old[..., None] * new_from_old[:3, 3])[..., 2]
    new_inverse = old / z
    inside = ((guess >= 0) & (guess <= [159, 119])).all(-1)
    flow = Flow(back, inside.astype(np.float32))
    carried = depth.carry(estimate, frame(1), flow, new_from_old)
    expected = new_inverse[::2, ::2]
    good = inside[::2, ::2]
    relative = np.abs(carried.inverse_depth / expected - 1)[good]
    assert np.median(relative) < 0.03


@pytest.mark.parametrize('seed', range(5))
def test_wild_flow_never_makes_wild_depth(seed: int) -> None:
    """One frame of wild values ended in NaN ten frames later, before values were bounded."""
    rng = np.random.default_rng(seed)
    depth = MotionDepth()
    estimate = depth.start(frame())
    for k in range(12):
        displacement = rng.normal(scale=10.0 ** (k % 5), size=(120, 160, 2)).astype(np.float32)
        flow = Flow(displacement, rng.uniform(size=(120, 160)).astype(np.float32))
        pose = se3.exp(rng.normal(scale=[2, 2, 2, 1, 1, 1]))
        estimate = depth.update(estimate, flow, pose, float(rng.uniform(0, 1)))
        estimate = depth.carry(estimate, frame(k + 1), flow, pose)
        assert np.isfinite(estimate.inverse_depth).all()
        assert np.isfinite(estimate.variance).all()
        assert (estimate.inverse_depth > 0).all()
        assert (estimate.variance > 0).all()
