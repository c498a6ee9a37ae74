# SPDX-License-Identifier: Apache-2.0
"""What goes into the estimator and comes out of it, apart from how well it tracks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from synthetic_runs import WALK, Tracked, rendered, track, tracked

from flowcam_ros.errors import ConfigError, FrameRejected
from flowcam_ros.evaluation.consistency import velocities
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import TrackingState
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.sequences.synthetic import parse_synthetic
from flowcam_ros.settings import build


def frames(count: int) -> tuple[Frame, ...]:
    return rendered(WALK)[0][:count]


def run_walk(
    count: int,
    source: str = 'auto',
    change: Callable[[int, Frame], Frame] = lambda _, frame: frame,
) -> Tracked:
    shots, truth = rendered(WALK)
    return track(shots[:count], truth[:count], source, change)


def test_the_first_pose_is_the_origin() -> None:
    np.testing.assert_array_equal(tracked(WALK).estimates[0].world_from_camera, np.eye(4))


def test_twist_is_the_true_velocity() -> None:
    run = tracked(WALK).run
    true = velocities(run.truth, run.stamps_ns)
    linear = np.abs(run.twists[5:, :3] - true[4:, :3])
    assert np.percentile(linear, 95) < 0.06
    assert linear.max() < 0.2  # 7 mm from one frame to the next, in pictures of 320x240
    np.testing.assert_allclose(run.twists[5:, 3:], true[4:, 3:], atol=0.04)


def test_stereo_gives_metric_motion() -> None:
    result = tracked('walk?frames=60&depth=false&stereo=true', 'stereo')
    assert {e.scale_source for e in result.estimates} == {'stereo'}
    assert result.errors().max() < 0.02 * result.run.path


def test_a_stream_without_any_depth_at_first_waits_and_says_so() -> None:
    def late_depth(i: int, frame: Frame) -> Frame:
        assert frame.depth is not None
        if i >= 5:
            return frame
        nothing = DepthImage(np.zeros_like(frame.depth.depth), frame.depth.camera)
        return dataclasses.replace(frame, depth=nothing)

    result = run_walk(10, change=late_depth)
    assert {(e.state, e.reason) for e in result.estimates[:5]} == {
        (TrackingState.INITIALISING, 'depth_invalid')
    }
    assert all(e.state is TrackingState.TRACKING for e in result.estimates[5:])


def test_depth_that_comes_after_the_first_pictures_is_used() -> None:
    """Recordings often begin with a picture whose depth was missed; the scale must not be lost."""

    def late_depth(i: int, frame: Frame) -> Frame:
        return frame if i >= 3 else dataclasses.replace(frame, depth=None)

    result = run_walk(20, change=late_depth)
    assert [e.scale_source for e in result.estimates] == ['none'] * 3 + ['depth'] * 17
    assert [e.epoch for e in result.estimates] == [0] * 3 + [1] * 17
    np.testing.assert_array_equal(result.estimates[3].world_from_camera, np.eye(4))
    assert {e.state for e in result.estimates[3:]} == {TrackingState.TRACKING}
    monocular = run_walk(6, 'none', change=late_depth)
    assert {e.scale_source for e in monocular.estimates} == {'none'}


def test_doubled_and_late_frames_change_nothing() -> None:
    odometry = VisualOdometry()
    shots = frames(8)
    poses = [odometry.process(shot).world_from_camera for shot in shots[:6]]
    for shot, reason in ((shots[5], 'duplicate'), (shots[4], 'out_of_order')):
        with pytest.raises(FrameRejected) as caught:
            odometry.process(shot)
        assert caught.value.reason == reason
    estimate = odometry.process(shots[6])
    assert estimate.state is TrackingState.TRACKING
    assert np.linalg.norm(estimate.world_from_camera[:3, 3] - poses[-1][:3, 3]) < 0.1


@pytest.mark.parametrize('policy', ['new_epoch', 'continue'])
def test_time_that_goes_back(policy: str) -> None:
    odometry = VisualOdometry(build(OdometryConfig, {'tracking.on_time_jump': policy}))
    shots = frames(20)
    last = [odometry.process(shot) for shot in shots][-1]
    again = odometry.process(shots[0])
    assert again.state is TrackingState.TRACKING
    if policy == 'new_epoch':
        assert again.epoch == last.epoch + 1
        np.testing.assert_allclose(again.world_from_camera, np.eye(4))
    else:
        assert again.epoch == last.epoch
        np.testing.assert_allclose(again.world_from_camera, last.world_from_camera, atol=1e-9)
    assert odometry.process(shots[1]).state is TrackingState.TRACKING


def test_without_depth_a_map_after_a_jump_has_a_scale_of_its_own() -> None:
    options = {'tracking.on_time_jump': 'continue', 'depth.source': 'none'}
    odometry = VisualOdometry(build(OdometryConfig, options))
    shots = frames(40)
    assert [odometry.process(shot) for shot in shots][-1].state is TrackingState.TRACKING
    again = [odometry.process(shot) for shot in shots]
    assert again[0].state is TrackingState.INITIALISING
    assert again[-1].state is TrackingState.TRACKING
    way = np.linalg.norm(again[-1].world_from_camera[:3, 3] - again[0].world_from_camera[:3, 3])
    assert np.sqrt(np.trace(again[-1].covariance[:3, :3])) > 0.3 * way


def test_changed_options_forget_nothing() -> None:
    odometry = VisualOdometry()
    shots = frames(12)
    for shot in shots[:8]:
        odometry.process(shot)
    odometry.reconfigure(build(OdometryConfig, {'pose.inlier_threshold': 1.0}))
    untouched = VisualOdometry()
    for shot in shots[:8]:
        untouched.process(shot)
    strict, usual = odometry.process(shots[8]), untouched.process(shots[8])
    np.testing.assert_allclose(strict.world_from_camera, usual.world_from_camera, atol=2e-3)
    assert strict.inlier_ratio < usual.inlier_ratio


def test_reset_begins_a_new_epoch_at_the_origin() -> None:
    odometry = VisualOdometry()
    shots = frames(12)
    before = [odometry.process(shot) for shot in shots[:8]][-1]
    odometry.reset()
    after = odometry.process(shots[8])
    assert after.epoch == before.epoch + 1
    np.testing.assert_array_equal(after.world_from_camera, np.eye(4))


def test_images_too_small_for_flow_are_rejected_and_forgotten() -> None:
    odometry = VisualOdometry()
    tiny = CameraModel(20, 15, 20, 20, 10, 7)
    with pytest.raises(FrameRejected, match='20x15'):
        odometry.process(Frame(10**9, np.zeros((15, 20), np.uint8), tiny))
    shots = frames(2)
    assert odometry.process(shots[0]).state is TrackingState.TRACKING


def test_a_source_that_the_frames_lack_is_refused() -> None:
    odometry = VisualOdometry(build(OdometryConfig, {'depth.source': 'stereo'}))
    with pytest.raises(FrameRejected, match='right image'):
        odometry.process(frames(1)[0])


def test_another_image_size_on_the_way_goes_on_from_the_same_pose() -> None:
    odometry = VisualOdometry()
    shots = frames(10)
    large = list(parse_synthetic('synthetic:walk?frames=14&width=400&height=300'))
    last = [odometry.process(shot) for shot in shots][-1]
    first = odometry.process(large[10])
    assert first.state is TrackingState.TRACKING
    assert first.epoch == last.epoch
    assert np.linalg.norm(first.world_from_camera[:3, 3] - last.world_from_camera[:3, 3]) < 0.1


def test_a_mask_keeps_pixels_out() -> None:
    def half(_: int, frame: Frame) -> Frame:
        mask = np.ones(frame.image.shape[:2], bool)
        mask[:, 160:] = False
        spoiled = frame.image.copy()
        spoiled[:, 160:] = np.random.default_rng(0).integers(0, 255, spoiled[:, 160:].shape)
        return dataclasses.replace(frame, image=spoiled, mask=mask)

    result = run_walk(40, change=half)
    assert result.states == {TrackingState.TRACKING: 40}
    assert result.errors().max() < 0.01 * result.run.path + 0.005


@pytest.mark.parametrize('source', ['sensor', 'none'])
def test_no_point_is_taken_from_what_the_mask_hides(source: str) -> None:
    odometry = VisualOdometry(build(OdometryConfig, {'depth.source': source}))
    mask = np.ones((240, 320), bool)
    mask[80:160, 100:220] = False
    for shot in frames(40):
        odometry.process(dataclasses.replace(shot, mask=mask))
        diagnosis = odometry.diagnosis()
        assert diagnosis is not None
        fit, key = diagnosis.alignment, diagnosis.keyframe
        if fit is None or key is None:
            continue
        for x, y in (*key.points.pixels, *fit.points.target.numpy()):
            assert mask[round(float(y)), round(float(x))]


def test_distorted_images_are_undistorted() -> None:
    result = tracked('walk?frames=40&distortion_model=plumb_bob')
    assert result.errors().max() < 0.01 * result.run.path + 0.005


def test_same_input_same_output() -> None:
    first, second = (run_walk(20) for _ in range(2))
    for a, b in zip(first.estimates, second.estimates, strict=True):
        np.testing.assert_array_equal(a.world_from_camera, b.world_from_camera)


def test_cuda_must_be_there_when_it_is_asked_for() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip('this machine has CUDA')
    with pytest.raises(ConfigError, match='no CUDA device'):
        VisualOdometry(build(OdometryConfig, {'device': 'cuda'}))


def test_latest_depth_is_metric_and_knows_what_it_does_not_know() -> None:
    odometry = VisualOdometry()
    assert odometry.latest_depth() is None
    shot = rendered('walk?frames=1&depth_holes=0.2')[0][0]
    odometry.process(shot)
    depth = odometry.latest_depth()
    assert depth is not None
    assert shot.depth is not None
    known = shot.depth.depth > 0
    np.testing.assert_allclose(depth.depth()[known], shot.depth.depth[known], rtol=1e-5)
    # but for the speckles at the rims of the holes, what was not measured stays unknown
    assert np.isnan(depth.depth()[~known]).mean() > 0.75
