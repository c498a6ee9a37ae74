# SPDX-License-Identifier: Apache-2.0
"""What tells metres makes a result metric: measured depth first, then a known path."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exact_views import HEIGHT, WIDTH, ExactViews, lens, pose_errors, walk

from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.flowmap.frame_config import FrameStoreConfig
from flowcam_ros.flowmap.frame_record import Fate, FrameRecord
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.frame_writer import FrameWriter
from flowcam_ros.flowmap.measured import MeasuredDepths, measured_depths
from flowcam_ros.flowmap.metric import scaled
from flowcam_ros.flowmap.metric_polish import in_metres, polish_metric
from flowcam_ros.flowmap.path_scale import KnownPath
from flowcam_ros.flowmap.polish import Polished
from flowcam_ros.flowmap.polish_config import PolishConfig
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame
from flowcam_ros.geometry.trajectory import Trajectory

FRAMES, STEP_NS, UNIT = 6, 200_000_000, 3.0
CAMERA = CameraModel(WIDTH, HEIGHT, 300.0, 300.0, 0.5 * (WIDTH - 1), 0.5 * (HEIGHT - 1))
CONFIG = PolishConfig()


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(FRAMES), lens(300.0))


def stored(
    folder: Path, views: ExactViews, depth: bool, wrong: float = 0.0, waves: float = 0.0
) -> FrameStore:
    """Return the views as stored frames.

    So much of the depth is that of something else, and all of it is off by waves over the picture,
    so high as a share of it.
    """
    random = np.random.default_rng(3)
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    at = np.stack([x, y], -1).reshape(-1, 2).astype(float)
    writer = FrameWriter(folder, FrameStoreConfig(), DepthConfig())
    for k in range(FRAMES):
        image = random.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
        measured = None
        if depth:
            z = views.depth(k, at).reshape(HEIGHT, WIDTH)
            z = 1.0 / (1.0 / z + random.normal(0.0, 0.0025, z.shape))
            z *= 1.0 + waves * np.sin(x / 10.0) * np.sin(y / 10.0)
            z[random.random(z.shape) < wrong] *= 1.5
            measured = DepthImage(z.astype(np.float32), CAMERA)
        frame = Frame(k * STEP_NS, image, CAMERA, measured)
        writer.keep(FrameRecord(k, frame.stamp_ns, f'{k}.png', Fate.CHOSEN, 0.0, 1.0), frame)
    return writer.finish()


@pytest.fixture(scope='module')
def store(tmp_path_factory: pytest.TempPathFactory, views: ExactViews) -> FrameStore:
    return stored(tmp_path_factory.mktemp('depth'), views, depth=True)


@pytest.fixture(scope='module')
def result(views: ExactViews) -> Polished:
    """Return an adjusted result in its own unit, bent a little as drift bends it."""
    points = views.points(400)
    tracks = views.tracks(points, noise_px=0.2)
    shown = np.stack([views.seen(k, points)[1] for k in range(FRAMES)], -1).sum(-1) >= 2
    poses = views.poses.copy()
    poses[:, :3, 3] *= np.linspace(1.0, 1.06, FRAMES)[:, None]
    bent = Polished(
        torch.from_numpy(poses), views.lens, 0.0, points[shown],
        np.flatnonzero(shown), tracks, np.zeros(len(tracks)), 1.0, 0.0, np.ones(FRAMES, bool),
    )  # fmt: skip
    return scaled(bent, 1.0 / UNIT)


def wheels(views: ExactViews) -> KnownPath:
    """Return the path of a body that carries the camera, metres."""
    mount = se3.exp(np.array([0.2, 0.0, 0.3, 0.0, 0.4, 0.0]))
    stamps = STEP_NS * np.arange(FRAMES, dtype=np.int64)
    return KnownPath(Trajectory(stamps, views.poses @ mount))


def metric(store: FrameStore, result: Polished, known: KnownPath | None, told: list | None = None):
    note = (told if told is not None else []).append
    return in_metres(store, result, known, CONFIG, lambda part, *_: note(part))


def length_ratio(result: Polished, views: ExactViews) -> float:
    found, true = (
        np.linalg.norm(np.diff(p[:, :3, 3], axis=0), axis=1).sum()
        for p in (result.poses.numpy(), views.poses)
    )
    return float(found / true)


def test_measured_depth_makes_metres_and_takes_part_in_the_adjustment(
    store: FrameStore, result: Polished, views: ExactViews
) -> None:
    told: list[str] = []
    found, scale = metric(store, result, None, told)
    assert set(told) == {'metres'}
    assert scale is not None and scale.source == 'depth'
    assert length_ratio(found, views) == pytest.approx(1.0, abs=0.005)
    first = views.poses[0] @ found.poses[0].numpy()
    away, angle = pose_errors(first @ found.poses.numpy(), views.poses)
    assert away < 0.01 and angle < 0.3


def test_a_known_lens_and_all_tracks_stay(store: FrameStore, result: Polished) -> None:
    found, _ = metric(store, result, None)
    assert torch.equal(found.lens.numbers, result.lens.numbers)
    assert found.tracks is result.tracks and len(found.points) == len(result.points)


def test_depth_holds_the_scale_where_it_was_a_little_off(
    store: FrameStore, result: Polished, views: ExactViews
) -> None:
    off = scaled(result, UNIT * 1.04)
    found = polish_metric(off, measured_depths(store, off), CONFIG, lambda *_: None)
    assert length_ratio(found, views) == pytest.approx(1.0, abs=0.005)


def test_depth_of_something_else_is_left_out(
    tmp_path: Path, result: Polished, views: ExactViews
) -> None:
    spoilt = stored(tmp_path, views, depth=True, wrong=0.15)
    found, scale = metric(spoilt, result, None)
    assert scale is not None and scale.factor is not None
    assert length_ratio(found, views) == pytest.approx(1.0, abs=0.01)


def test_depth_is_not_blamed_for_a_scene_that_was_bent(
    store: FrameStore, result: Polished, views: ExactViews
) -> None:
    waves = 1.0 + 0.06 * np.sin(4.0 * UNIT * result.points[:, :1])
    bent = dataclasses.replace(result, points=result.points * waves)
    before = measured_depths(store, scaled(bent, UNIT))
    found, _ = metric(store, bent, None)
    after = measured_depths(store, found)
    assert before.excess > 3.0
    assert after.excess < 1.2
    assert (after.information > 0).mean() > 0.8
    assert (after.inverse_depth[after.information == 0] == 0).all()
    assert np.allclose(before.as_promised().information, before.information * before.excess)
    assert length_ratio(found, views) == pytest.approx(1.0, abs=0.005)


def test_depth_is_believed_first_and_then_as_far_as_it_fits(
    tmp_path: Path, result: Polished, views: ExactViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[MeasuredDepths] = []

    def seen(polished: Polished, depths: MeasuredDepths, *rest: Any) -> Polished:
        given.append(depths)
        return polish_metric(polished, depths, *rest)

    monkeypatch.setattr('flowcam_ros.flowmap.metric_polish.polish_metric', seen)
    metric(stored(tmp_path, views, depth=True, waves=0.05), result, None)
    first, second = given
    assert first.excess == 1.0 and second.excess > 2.0
    both = (first.information > 0) & (second.information > 0)
    assert np.allclose(first.information[both], second.information[both] * second.excess)


def test_depth_counts_more_than_pixels_whose_errors_go_together(
    store: FrameStore, result: Polished, views: ExactViews
) -> None:
    centre = 0.5 * np.array([WIDTH - 1, HEIGHT - 1])
    away = (result.tracks.pixel - centre) / WIDTH
    bulged = centre + WIDTH * away * (1.0 + 0.2 * np.square(away).sum(-1))[:, None]
    tracks = dataclasses.replace(result.tracks, pixel=bulged.astype(np.float32))
    found, _ = metric(store, dataclasses.replace(result, tracks=tracks), None)
    first = views.poses[0] @ found.poses[0].numpy()
    # with the promised variances of both it is 0.0326
    assert pose_errors(first @ found.poses.numpy(), views.poses)[0] < 0.030


def test_a_sensor_that_sees_waves_is_found_out(
    tmp_path: Path, result: Polished, views: ExactViews
) -> None:
    wavy = stored(tmp_path, views, depth=True, waves=0.05)
    found, _ = metric(wavy, result, None)
    assert measured_depths(wavy, found).excess > 2.0
    assert length_ratio(found, views) == pytest.approx(1.0, abs=0.02)


def test_without_depth_the_known_path_tells_the_scale(
    tmp_path: Path, result: Polished, views: ExactViews
) -> None:
    straight = dataclasses.replace(
        result, poses=scaled_poses(views, 1.0 / UNIT), points=result.points
    )
    bare = stored(tmp_path, views, depth=False)
    told: list[str] = []
    found, scale = metric(bare, straight, wheels(views), told)
    assert told == [] and scale is not None and scale.source == 'odometry'
    assert scale.factor == pytest.approx(UNIT, rel=0.02) and 0.01 < scale.sigma < 0.1
    assert length_ratio(found, views) == pytest.approx(1.0, rel=0.02)


def scaled_poses(views: ExactViews, factor: float) -> torch.Tensor:
    poses = torch.from_numpy(views.poses.copy())
    poses[:, :3, 3] *= factor
    return poses


def test_depth_is_believed_before_a_path(
    store: FrameStore, result: Polished, views: ExactViews
) -> None:
    liar = wheels(views)
    liar.path.world_from_camera[:, :3, 3] *= 2.0
    found, scale = metric(store, result, liar)
    assert scale is not None and scale.source == 'depth'
    assert length_ratio(found, views) == pytest.approx(1.0, abs=0.01)


def test_with_neither_the_unit_stays(tmp_path: Path, result: Polished, views: ExactViews) -> None:
    found, scale = metric(stored(tmp_path, views, depth=False), result, None)
    assert scale is None and found is result


def test_a_path_that_tells_nothing_says_why(
    tmp_path: Path, result: Polished, views: ExactViews
) -> None:
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    still = KnownPath(Trajectory(wheels(views).path.stamps_ns, poses))
    found, scale = metric(stored(tmp_path, views, depth=False), result, still)
    assert found is result and scale is not None and scale.factor is None
    assert 'stays within' in scale.reason
