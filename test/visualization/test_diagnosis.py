# SPDX-License-Identifier: Apache-2.0
"""The diagnostic picture can be drawn for any frame, and its panels and numbers are true."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from flowcam_ros.correspondence.flow import DenseFlow
from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.diagnosis import Diagnosis
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.odometry.scene_flow import Correspondences
from flowcam_ros.sequences.synthetic import SyntheticOptions, SyntheticSequence
from flowcam_ros.visualization.dense_panels import unexplained_flow
from flowcam_ros.visualization.diagnosis import Labels, diagnosis_picture
from flowcam_ros.visualization.diagnosis_numbers import COLUMNS, numbers, sharpness
from flowcam_ros.visualization.fitted_points import FittedPoints, fitted_points

CAMERA = CameraModel(320, 240, 300.0, 310.0, 160.0, 120.0)


@pytest.fixture(scope='module')
def frames() -> list[Frame]:
    return list(SyntheticSequence(SyntheticOptions(width=320, height=240, frames=6)))


def run(frames: list[Frame], source: str = 'auto') -> list[Diagnosis]:
    """Track the frames and return what was seen in each."""
    config = dataclasses.replace(OdometryConfig(), depth=DepthConfig(source=source))
    odometry = VisualOdometry(config)
    seen = []
    for frame in frames:
        odometry.process(frame)
        diagnosis = odometry.diagnosis()
        assert diagnosis is not None
        seen.append(diagnosis)
    return seen


def draw(diagnosis: Diagnosis) -> np.ndarray:
    flow = make_flow(OdometryConfig().flow)
    return diagnosis_picture(diagnosis, numbers(diagnosis), Labels('frame 3', '0'), flow)


def blank(frame: Frame) -> Frame:
    """Return a frame that shows nothing, and of whose depth only a corner is known."""
    assert frame.depth is not None
    corner = np.zeros_like(frame.depth.depth)
    corner[:40, :40] = frame.depth.depth[:40, :40]
    depth = dataclasses.replace(frame.depth, depth=corner)
    return dataclasses.replace(frame, image=np.full_like(frame.image, 90), depth=depth)


@pytest.mark.parametrize('source', ['sensor', 'none'])
def test_every_frame_can_be_drawn_also_the_first_and_a_lost_one(
    frames: list[Frame], source: str
) -> None:
    seen = run([*frames[:4], blank(frames[4])], source)
    assert seen[0].keyframe is None and not seen[-1].estimate.believed
    pictures = [draw(diagnosis) for diagnosis in seen]
    assert len({picture.shape for picture in pictures}) == 1
    for picture in pictures:
        assert picture.dtype == np.uint8 and picture.std() > 20
    assert (pictures[2] != pictures[3]).mean() > 0.05


def test_grey_and_masked_frames_can_be_drawn(frames: list[Frame]) -> None:
    mask = np.ones((240, 320), bool)
    mask[:, :100] = False
    masked = [
        dataclasses.replace(f, image=np.ascontiguousarray(f.image[..., 1]), mask=mask)
        for f in frames[:2]
    ]
    seen = run(masked)
    points = fitted_points(seen[1].alignment, seen[1].frame.camera)
    assert points is not None and points.source[:, 0].min() >= 99.0
    assert draw(seen[1]).std() > 20


def test_a_picture_takes_less_than_half_a_second_of_work(frames: list[Frame]) -> None:
    diagnosis = run(frames[:2])[1]
    draw(diagnosis)
    begin = time.process_time()
    draw(diagnosis)
    assert time.process_time() - begin < 0.5


@pytest.mark.parametrize('source', ['sensor', 'none'])
def test_numbers_are_complete_and_finite(frames: list[Frame], source: str) -> None:
    rows = [numbers(d) for d in run([*frames[:3], blank(frames[3])], source)]
    for row in rows:
        assert set(row) == set(COLUMNS)
        assert all(math.isfinite(v) for v in row.values() if isinstance(v, float))
    first, second, _, last = rows
    assert first['inlier_ratio'] is None and first['key_points'] is None
    assert second['fitted_to_stamp_ns'] == frames[0].stamp_ns
    assert second['matched'] >= second['inliers'] > 100
    assert 0.5 < second['sharpness'] < 2.0
    assert (last['state'], last['sharpness'] < 0.01) == ('lost', True)


def test_sharpness_falls_with_blur_and_not_with_contrast(frames: list[Frame]) -> None:
    import cv2

    grey = cv2.cvtColor(frames[0].image, cv2.COLOR_BGR2GRAY)
    assert sharpness(cv2.GaussianBlur(grey, (0, 0), 2.0)) < 0.75 * sharpness(grey)
    assert sharpness(cv2.convertScaleAbs(grey, alpha=0.5)) == pytest.approx(
        sharpness(grey), rel=0.1
    )


def exact_alignment(shift: Callable[[np.ndarray], np.ndarray], variance: float) -> Alignment:
    """Return a fit with the true pose; targets are moved, depths are 20 % wrong."""
    rng = np.random.default_rng(1)
    source = rng.uniform(20, 200, (400, 2))
    depth = rng.uniform(2.0, 4.0, 400)
    pose = se3.exp(np.array([0.1, 0.02, 0.03, 0.01, -0.02, 0.03]))
    focal, centre = np.array([CAMERA.fx, CAMERA.fy]), np.array([CAMERA.cx, CAMERA.cy])
    points = np.column_stack([(source - centre) / focal, np.ones(400)]) * depth[:, None]
    moved = points @ pose[:3, :3].T + pose[:3, 3]
    target = moved[:, :2] / moved[:, 2:] * focal + centre
    wrong = 1.2 if variance > 0 else 1.0
    arrays = (
        source,
        target + shift(target),
        np.full(400, 0.01),
        wrong / depth,
        np.full(400, max(variance, 1e-12)),
        np.zeros(400),
        np.ones(400),
    )
    return Alignment(
        flow=DenseFlow(lambda: np.zeros((240, 320, 2), np.float32)),
        points=Correspondences(*(torch.from_numpy(a) for a in arrays)),
        kept=np.ones(400, bool),
        followed=400,
        matched=400,
        inliers=400,
        target_from_source=pose,
        covariance=np.eye(6),
        explained=np.ones(400, bool),
    )


def test_residuals_are_what_pose_and_depth_leave() -> None:
    """Truth leaves nothing; what is added to the matches comes back with the other sign."""
    none = fitted_points(exact_alignment(np.zeros_like, 0.0), CAMERA)
    assert none is not None and none.residual_px.max() < 1e-6
    added = fitted_points(exact_alignment(lambda t: np.full_like(t, 0.5), 0.0), CAMERA)
    assert added is not None
    assert added.residual == pytest.approx(np.full((400, 2), -0.5), abs=1e-6)


def test_a_depth_that_is_hardly_known_follows_the_match() -> None:
    free = fitted_points(exact_alignment(np.zeros_like, 1.0), CAMERA)
    assert free is not None and free.residual_px.max() < 0.01


def test_weights_are_small_where_residuals_are_large() -> None:
    def wild(target: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(2).normal(0.0, 0.1, target.shape)
        noise[:40] += 8.0
        return noise

    points = fitted_points(exact_alignment(wild, 0.0), CAMERA)
    assert points is not None
    assert points.weight[:40].max() < 0.01 < 0.5 < np.median(points.weight[40:])
    assert (points.weight >= 0).all() and (points.weight <= 1).all()


def test_a_smooth_field_of_residuals_is_told_from_noise() -> None:
    rng = np.random.default_rng(3)
    target = rng.uniform(0, 300, (500, 2))
    centred = (target - 150.0) / 150.0
    smooth = np.column_stack([centred[:, 0] ** 2, centred[:, 0] * centred[:, 1]])

    def trend(residual: np.ndarray) -> float | None:
        return FittedPoints(target, target, residual, np.ones(500), np.ones(500, bool)).trend()

    assert trend(smooth) == pytest.approx(1.0)
    noise = trend(rng.normal(size=(500, 2)))
    assert noise is not None and noise < 0.05
    few = FittedPoints(target, target, smooth, np.ones(500), np.arange(500) < 20)
    assert few.trend() is None


def test_a_moving_thing_stands_out_from_pose_and_depth(frames: list[Frame]) -> None:
    """The flow of a still scene is explained; that of a patch that moved on its own is not."""
    diagnosis = run(frames[:2], 'sensor')[1]
    key, fit = diagnosis.keyframe, diagnosis.alignment
    assert key is not None and fit is not None
    moving = fit.displacement.copy()
    moving[80:160, 100:220] += 6.0
    still = unexplained_flow(key, fit, (160, 120))
    moved = unexplained_flow(
        key, dataclasses.replace(fit, flow=DenseFlow(lambda: moving)), (160, 120)
    )
    inside = (slice(42, 78), slice(52, 108))
    assert np.nanmedian(still[inside]) < 1.0
    assert np.nanmedian(moved[inside]) > 6.0
    assert moved[:38, :48] == pytest.approx(still[:38, :48], nan_ok=True)
    known = key.depth.inverse_depth > 0
    assert np.isnan(moved).mean() == pytest.approx(1.0 - known.mean(), abs=0.02)
