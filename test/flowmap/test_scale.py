# SPDX-License-Identifier: Apache-2.0
"""The metric scale is found with an honest uncertainty, or refused with a reason."""

from pathlib import Path

import numpy as np
import pytest

from flowcam_ros.flowmap.path_scale import KnownPath, scale_from_path
from flowcam_ros.flowmap.scale import DepthSamples, MetricScale, scale_from_depth
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.open import open_sequence

FACTOR = 3.7
# Where the camera sits on the body and where it looks.
MOUNT = se3.exp(np.array([0.3, -0.1, 0.5, 0.4, -1.0, 0.7]))


def body_path(count: int = 80, turn: float = 1.0, length: float = 3.0) -> Trajectory:
    """Return a winding path of a robot, metres, 10 Hz."""
    t = np.linspace(0.0, 1.0, count)
    poses = [
        se3.exp(np.array([0.0, 0.0, 0.0, 0.0, 0.0, turn * np.sin(5 * s)]))
        @ se3.exp(np.array([0.0, 0.0, 0.0, 0.1 * turn * np.sin(9 * s), 0.1 * turn * s, 0.0]))
        for s in t
    ]
    for pose, s in zip(poses, t, strict=True):
        pose[:3, 3] = length * np.array([s, 0.3 * np.sin(4 * s), 0.02 * s])
    return Trajectory(1_700_000_000_000_000_000 + 100_000_000 * np.arange(count), np.array(poses))


def camera_path(body: Trajectory, mount: np.ndarray = MOUNT, factor: float = FACTOR) -> Trajectory:
    """Return the camera's path in its own world and unit."""
    elsewhere = se3.exp(np.array([5.0, 1.0, -2.0, 0.3, 0.2, -0.9]))
    poses = elsewhere @ body.world_from_camera @ mount
    poses[:, :3, 3] /= factor
    return Trajectory(body.stamps_ns, poses)


def with_drift(path: Trajectory, seed: int, sigma: float) -> Trajectory:
    """Return the path with errors of its steps that add up."""
    poses = path.world_from_camera.copy()
    steps = np.random.default_rng(seed).normal(0.0, sigma, (len(poses), 3))
    poses[:, :3, 3] += np.cumsum(steps, axis=0)
    return Trajectory(path.stamps_ns, poses)


def off(scale: MetricScale, factor: float = FACTOR) -> float:
    assert scale.factor is not None, scale.reason
    return float(np.log(scale.factor / factor))


@pytest.mark.parametrize('mount', [np.eye(4), MOUNT])
def test_a_known_path_gives_the_scale_wherever_the_camera_sits(mount: np.ndarray) -> None:
    body = body_path()
    scale = scale_from_path(camera_path(body, mount), KnownPath(body))
    assert scale.source == 'odometry'
    assert off(scale) == pytest.approx(0.0, abs=1e-3)
    assert 0.01 < scale.sigma < 0.05


def test_a_straight_path_gives_it_too() -> None:
    body = body_path(turn=0.0)
    assert off(scale_from_path(camera_path(body), KnownPath(body))) == pytest.approx(0.0, abs=1e-3)


def test_stamps_need_not_be_the_same() -> None:
    body = body_path(300)
    camera = camera_path(body)
    shown = Trajectory(camera.stamps_ns[5:200:7], camera.world_from_camera[5:200:7])
    between = Trajectory(body.stamps_ns[::3], body.world_from_camera[::3])
    scale = scale_from_path(shown, KnownPath(between))
    assert off(scale) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize('count', [20, 80])
@pytest.mark.parametrize('length', [0.3, 1.0])
def test_drift_is_told_by_the_sigma(length: float, count: int) -> None:
    body = body_path(count, length=length)
    camera = camera_path(body)
    scales = [
        scale_from_path(camera, KnownPath(with_drift(body, seed, 0.003))) for seed in range(12)
    ]
    ratios = np.array([off(scale) / scale.sigma for scale in scales])
    assert 0.2 < np.sqrt(np.mean(ratios**2)) < 1.5


@pytest.mark.parametrize('share', [-0.03, 0.01])
def test_wheels_of_another_size_than_believed_are_allowed_for(share: float) -> None:
    body = body_path(length=0.5)
    poses = body.world_from_camera.copy()
    poses[:, :3, 3] *= 1.0 + share
    scale = scale_from_path(camera_path(body), KnownPath(Trajectory(body.stamps_ns, poses)))
    assert off(scale) == pytest.approx(np.log1p(share), abs=1e-3)
    assert 0.01 < scale.sigma < 0.05


def test_a_circle_tells_the_scale_where_the_camera_s_place_is_known() -> None:
    """A heading that drifts there looks like another radius, which looks like another scale."""
    t = np.linspace(0.0, 1.0, 60)
    around = [se3.exp(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 2.0 * s])) for s in t]
    poses = np.array([turn @ se3.exp(np.array([1.2, 0.0, 0.0, 0.0, 0.0, 0.0])) for turn in around])
    body = Trajectory(100_000_000 * np.arange(60), poses)
    camera = camera_path(body)
    heading = np.cumsum(np.full(60, 0.02 * body.path_length / 60))
    steps = np.diff(poses[:, :3, 3], axis=0, prepend=poses[:1, :3, 3])
    drifted = np.array([se3.exp(np.array([0.0, 0.0, 0.0, 0.0, 0.0, h])) for h in heading])
    moved = drifted @ poses
    moved[:, :3, 3] = np.cumsum((drifted[:, :3, :3] @ steps[..., None])[..., 0], axis=0)
    wheels = Trajectory(body.stamps_ns, moved)
    anywhere = scale_from_path(camera, KnownPath(wheels))
    assert anywhere.factor is None and 'unsure' in anywhere.reason
    mounted = scale_from_path(camera, KnownPath(Trajectory(wheels.stamps_ns, moved @ MOUNT), 0.02))
    assert abs(off(mounted)) < 0.03 and mounted.sigma < 0.05


def test_jumps_of_the_known_path_hardly_matter() -> None:
    body = body_path()
    poses = body.world_from_camera.copy()
    poses[30:, :3, 3] += (0.0, 2.0, 0.0)
    poses[50, :3, 3] += (4.0, 0.0, 0.0)
    scale = scale_from_path(camera_path(body), KnownPath(Trajectory(body.stamps_ns, poses)))
    assert off(scale) == pytest.approx(0.0, abs=0.03)


def test_too_little_motion_is_refused_with_its_reason() -> None:
    body = body_path(length=0.02)
    scale = scale_from_path(camera_path(body), KnownPath(body))
    assert scale.factor is None
    assert 'stays within' in scale.reason


def test_turning_on_the_spot_is_refused() -> None:
    body = body_path(length=0.11)
    drifting = with_drift(body, 0, 0.02)
    scale = scale_from_path(camera_path(body), KnownPath(drifting))
    assert scale.factor is None
    assert 'unsure' in scale.reason


def test_other_times_are_refused() -> None:
    body = body_path()
    later = Trajectory(body.stamps_ns + 10**12, body.world_from_camera)
    scale = scale_from_path(camera_path(body), KnownPath(later))
    assert scale.factor is None
    assert 'only 0 frames' in scale.reason


def test_a_camera_that_stands_is_refused() -> None:
    body = body_path()
    still = Trajectory(body.stamps_ns, np.tile(np.eye(4), (len(body), 1, 1)))
    scale = scale_from_path(still, KnownPath(body))
    assert scale.factor is None
    assert 'does not move' in scale.reason


def samples(seed: int, noise: float = 0.02, count: int = 200) -> DepthSamples:
    rng = np.random.default_rng(seed)
    metres = rng.uniform(0.5, 5.0, count)
    inverse = np.exp(rng.normal(0.0, noise, count)) / metres
    inverse[:20] = 0.0  # unknown
    inverse[20:50] *= rng.uniform(0.2, 3.0, 30)  # wrong
    return DepthSamples(metres / FACTOR, inverse, np.square(noise * inverse))


def test_measured_depth_gives_the_scale() -> None:
    scale = scale_from_depth((samples(seed) for seed in range(10)), 'stereo')
    assert scale.source == 'stereo'
    assert off(scale) == pytest.approx(0.0, abs=0.01)
    assert scale.sigma < 0.02


def test_unsure_depths_do_not_count() -> None:
    scale = scale_from_depth((samples(seed, noise=0.5) for seed in range(10)), 'depth')
    assert scale.factor is None
    assert 'only 0 points' in scale.reason


def test_frames_that_contradict_each_other_give_no_scale() -> None:
    def contradicting() -> list[DepthSamples]:
        return [
            DepthSamples(s.reconstructed * 2.0**k, s.inverse_depth, s.variance)
            for k, s in enumerate(map(samples, range(6)))
        ]

    scale = scale_from_depth(contradicting(), 'depth')
    assert scale.factor is None
    assert 'unsure' in scale.reason


def test_no_depth_gives_no_scale() -> None:
    assert scale_from_depth([], 'depth').factor is None


@pytest.mark.parametrize(
    'name', ['euroc_mh05_a', 'kitti01_ramp', 'hololens_rot', 'fox', 'tum_fr3_cabinet']
)
def test_real_paths_give_the_scale_in_spite_of_drift(shared_data: Path, name: str) -> None:
    truth = open_sequence(shared_data / name).ground_truth()
    assert truth is not None
    known = with_drift(
        Trajectory(truth.stamps_ns, truth.world_from_camera @ se3.inverse(MOUNT)), 0, 0.002
    )
    scale = scale_from_path(camera_path(truth, np.eye(4)), KnownPath(known))
    assert abs(off(scale)) < 0.03
