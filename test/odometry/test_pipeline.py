# SPDX-License-Identifier: Apache-2.0
"""The whole estimator on the synthetic world, whose truth is exact."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from flowcam_ros.errors import ConfigError, FrameRejected
from flowcam_ros.evaluation.evaluate import evaluate
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.sequences.synthetic import parse_synthetic
from flowcam_ros.settings import build

SMALL = 'width=320&height=240&noise=2&depth_noise=0.003'
MONOCULAR = build(OdometryConfig, {'depth.source': 'none'})


@dataclasses.dataclass
class Run:
    """What the estimator said of a sequence, beside the truth."""

    estimates: list[PoseEstimate]
    truth: list[np.ndarray]

    @property
    def states(self) -> Counter[TrackingState]:
        return Counter(e.state for e in self.estimates)

    def errors(self) -> np.ndarray:
        """Return distances to the true positions, both from the first camera, metres."""
        first = se3.inverse(self.truth[0])
        true = np.array([(first @ t)[:3, 3] for t in self.truth])
        return np.linalg.norm(self.positions() - true, axis=1)

    def positions(self) -> np.ndarray:
        return np.array([e.world_from_camera[:3, 3] for e in self.estimates])

    def path(self) -> float:
        return float(sum(np.linalg.norm(b[:3, 3] - a[:3, 3]) for a, b in pairwise(self.truth)))

    def scaled_error(self) -> float:
        """Return the RMSE after the best similarity, metres."""
        stamps = np.array([e.stamp_ns for e in self.estimates])
        found = Trajectory(stamps, np.array([e.world_from_camera for e in self.estimates]))
        return evaluate(found, Trajectory(stamps, np.array(self.truth)), 'sim3').ate.rmse


@lru_cache(maxsize=4)
def rendered(spec: str) -> tuple[list[Frame], list[np.ndarray]]:
    """Return the frames of a synthetic sequence and their true poses."""
    sequence = parse_synthetic(f'synthetic:{spec}&{SMALL}')
    truth = sequence.ground_truth()
    poses = dict(zip(truth.stamps_ns.tolist(), truth.world_from_camera, strict=True))
    shots = list(sequence)
    return shots, [poses[shot.stamp_ns] for shot in shots]


def frames(count: int) -> list[Frame]:
    """Return the first frames of the walk that most tests share."""
    return rendered('walk?frames=110')[0][:count]


def run(
    spec: str,
    count: int,
    config: OdometryConfig | None = None,
    change: Callable[[int, Frame], Frame | None] = lambda _, frame: frame,
) -> Run:
    """Process a synthetic sequence; ``change`` may alter frames or drop them (None)."""
    odometry = VisualOdometry(config)
    result = Run([], [])
    for i, (frame, pose) in enumerate(zip(*rendered(spec), strict=True)):
        changed = change(i, frame) if i < count else None
        if changed is not None:
            result.estimates.append(odometry.process(changed))
            result.truth.append(pose)
    return result


def run_walk(count: int, *args: Any, **kwargs: Any) -> Run:
    return run('walk?frames=110', count, *args, **kwargs)


@pytest.fixture(scope='module')
def walk() -> Run:
    return run_walk(90)


def test_depth_gives_the_path_within_half_a_percent(walk: Run) -> None:
    assert walk.states == {TrackingState.TRACKING: 90}
    assert walk.errors().max() < 0.005 * walk.path()
    assert {e.scale_source for e in walk.estimates} == {'depth'}


def test_the_first_pose_is_the_origin(walk: Run) -> None:
    np.testing.assert_array_equal(walk.estimates[0].world_from_camera, np.eye(4))


def test_rotations_are_exact_to_a_tenth_of_a_degree(walk: Run) -> None:
    first = se3.inverse(walk.truth[0])
    for estimate, true in zip(walk.estimates, walk.truth, strict=True):
        turn = se3.inverse(first @ true) @ estimate.world_from_camera
        assert np.degrees(se3.rotation_angle(turn)) < 0.1


def test_covariance_is_proper_and_grows(walk: Run) -> None:
    for estimate in walk.estimates:
        for covariance in (estimate.covariance, estimate.twist_covariance):
            np.testing.assert_allclose(covariance, covariance.T)
            assert np.linalg.eigvalsh(covariance)[0] > 0
    traces = [np.trace(e.covariance) for e in walk.estimates if e.is_keyframe]
    assert len(traces) > 2
    assert all(b > a for a, b in pairwise(traces))


def test_covariance_is_about_as_large_as_the_error(walk: Run) -> None:
    """Mean of the normalised squared error over the run, between overtrust and shyness."""
    first = se3.inverse(walk.truth[0])
    values = []
    for estimate, true in list(zip(walk.estimates, walk.truth, strict=True))[1:]:
        error = (first @ true)[:3, 3] - estimate.world_from_camera[:3, 3]
        values.append(error @ np.linalg.solve(estimate.covariance[:3, :3], error) / 3.0)
    assert 0.1 < np.mean(values) < 10.0


def test_twist_is_the_true_velocity(walk: Run) -> None:
    for i in range(5, 90, 7):
        step = se3.inverse(walk.truth[i - 1]) @ walk.truth[i]
        stamps = [walk.estimates[k].stamp_ns for k in (i - 1, i)]
        true = step[:3, :3].T @ step[:3, 3] / ((stamps[1] - stamps[0]) * 1e-9)
        np.testing.assert_allclose(walk.estimates[i].twist[:3], true, atol=0.08)


@pytest.mark.parametrize('trajectory', ['rotation', 'fast_turn', 'orbit', 'translation'])
def test_every_kind_of_motion_with_depth(trajectory: str) -> None:
    result = run(f'{trajectory}?frames=60', 60)
    assert result.states == {TrackingState.TRACKING: 60}
    assert result.errors().max() < 0.01 * result.path() + 0.006


def test_standing_still_stays_at_the_origin() -> None:
    result = run('standstill?frames=40', 40)
    assert np.linalg.norm(result.positions(), axis=1).max() < 0.001
    assert np.linalg.norm(result.estimates[-1].twist[:3]) < 0.05


def test_a_thing_that_crosses_the_picture_does_not_move_the_camera() -> None:
    result = run('moving_object?frames=60', 60)
    assert result.errors().max() < 0.005


def test_stereo_gives_metric_motion() -> None:
    config = build(OdometryConfig, {'depth.source': 'stereo'})
    result = run('walk?frames=60&depth=false&stereo=true', 60, config)
    assert {e.scale_source for e in result.estimates} == {'stereo'}
    assert result.errors().max() < 0.02 * result.path()


@pytest.mark.parametrize('trajectory', ['walk', 'translation', 'orbit'])
def test_motion_alone_gives_the_path_up_to_scale(trajectory: str) -> None:
    result = run(f'{trajectory}?frames=90', 90, MONOCULAR)
    assert {e.scale_source for e in result.estimates} == {'none'}
    assert result.states[TrackingState.TRACKING] > 80
    assert result.scaled_error() < 0.02 * result.path()


@pytest.mark.parametrize('trajectory', ['rotation', 'standstill', 'moving_object'])
def test_without_parallax_motion_alone_reports_no_translation(trajectory: str) -> None:
    result = run(f'{trajectory}?frames=45', 45, MONOCULAR)
    assert np.linalg.norm(result.positions(), axis=1).max() < 0.02
    assert {e.reason for e in result.estimates} == {'parallax'}


def test_a_blank_wall_is_lost_and_recovered_without_a_jump() -> None:
    result = run('textureless?frames=150', 150)
    states = [e.state for e in result.estimates]
    lost = [i for i, s in enumerate(states) if s is TrackingState.LOST]
    assert lost
    assert {result.estimates[i].reason for i in lost} <= {'texture', 'overlap', 'flow', 'outliers'}
    assert states[-1] is TrackingState.TRACKING
    steps = np.linalg.norm(np.diff(result.positions(), axis=0), axis=1)
    true_steps = np.linalg.norm(np.diff(np.array(result.truth)[:, :3, 3], axis=0), axis=1)
    assert steps.max() < 3.0 * true_steps.max()
    before, during = result.estimates[lost[0] - 1], result.estimates[lost[-1]]
    assert np.trace(during.covariance) > 10.0 * np.trace(before.covariance)


@pytest.mark.parametrize('seconds', [0.1, 0.4, 2.0])
def test_pauses_are_survived(seconds: float) -> None:
    missing = range(30, 30 + round(seconds * 30))
    result = run_walk(110, change=lambda i, f: None if i in missing else f)
    after = result.estimates[30:]
    recovered = next(i for i, e in enumerate(after) if e.state is TrackingState.TRACKING)
    assert recovered <= 5
    error = result.errors()[30 + recovered]
    sigma = np.sqrt(np.trace(after[recovered].covariance[:3, :3]))
    assert error < max(3.0 * sigma, 0.02 * result.path())


def test_an_exposure_jump_does_not_lose_the_camera() -> None:
    result = run('walk?frames=60&exposure_jump=1.6&exposure_jump_frame=30', 60)
    assert result.states[TrackingState.LOST] <= 1
    assert result.errors().max() < 0.02 * result.path()


@pytest.mark.parametrize('share', [0.05, 0.5, 0.95])
def test_invalid_depth_never_makes_nan(share: float) -> None:
    rng = np.random.default_rng(0)
    wild = np.array([np.nan, np.inf, -1.0, 0.0, 1e9], np.float32)

    def spoil(_: int, frame: Frame) -> Frame:
        assert frame.depth is not None
        depth = frame.depth.depth.copy()
        bad = rng.uniform(size=depth.shape) < share
        depth[bad] = rng.choice(wild, bad.sum())
        return dataclasses.replace(frame, depth=DepthImage(depth, frame.depth.camera))

    result = run_walk(25, change=spoil)
    for estimate in result.estimates:
        assert np.isfinite(estimate.world_from_camera).all()
        assert np.isfinite(estimate.covariance).all()
        assert np.isfinite(estimate.twist).all()
    assert result.errors().max() < 0.02


def test_depth_that_fails_on_the_way_degrades_for_that_reason() -> None:
    def blind(i: int, frame: Frame) -> Frame:
        assert frame.depth is not None
        if i < 15:
            return frame
        nothing = DepthImage(np.zeros_like(frame.depth.depth), frame.depth.camera)
        return dataclasses.replace(frame, depth=nothing)

    result = run_walk(25, change=blind)
    late = result.estimates[16:]
    assert {e.reason for e in late} <= {'depth_invalid', 'depth_missing', 'overlap', 'flow'}
    assert any(e.reason == 'depth_invalid' for e in late)
    assert all(e.state in (TrackingState.DEGRADED, TrackingState.LOST) for e in late)


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
    monocular = run_walk(6, MONOCULAR, change=late_depth)
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
    assert result.errors().max() < 0.01 * result.path() + 0.005


def test_distorted_images_are_undistorted() -> None:
    result = run('walk?frames=40&distortion_model=plumb_bob', 40)
    assert result.errors().max() < 0.01 * result.path() + 0.005


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
    assert np.isnan(depth.depth()[~known]).all()
