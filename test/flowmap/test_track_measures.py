# SPDX-License-Identifier: Apache-2.0
"""The measures of points, held against a reconstruction whose every number is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from refined import CAMERA, STEP_M, wall

from flowcam_ros.flowmap.reconstruction import PointTracks, Reconstruction
from flowcam_ros.flowmap.report_data import depth_strips
from flowcam_ros.flowmap.track_measures import measure_tracks


def only(reconstruction: Reconstruction, keep: np.ndarray) -> Reconstruction:
    """Return the reconstruction with some of its observations."""
    points = reconstruction.points
    kept = replace(
        points, point=points.point[keep], frame=points.frame[keep], pixels=points.pixels[keep]
    )
    return replace(reconstruction, points=kept)


def test_residuals_are_the_distances_in_pixels() -> None:
    measures = measure_tracks(wall(noise_px=1.5))
    residuals = measures.residuals
    assert residuals.median == pytest.approx(1.5)
    assert residuals.p90 == pytest.approx(1.5)
    assert residuals.frame_median == pytest.approx(np.full(6, 1.5))
    assert residuals.histogram.counts.sum() + residuals.histogram.beyond == 300
    assert measures.weak_frames_share == 0.0
    assert measures.behind_share == 0.0
    assert measures.pieces == 1


def test_an_exact_reconstruction_has_no_residual() -> None:
    assert measure_tracks(wall()).residuals.median == pytest.approx(0.0, abs=1e-9)


def test_parallax_is_the_angle_between_the_rays() -> None:
    one = wall(frames=2, points=1)
    x, y, z = one.points.positions[0]
    first, second = np.array([x, y, z]), np.array([x - STEP_M, y, z])
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert measure_tracks(one).parallax_deg == pytest.approx(math.degrees(math.acos(cosine)))


def test_lengths_count_the_frames_that_see_a_point() -> None:
    world = wall(frames=6, points=4)
    keep = (world.points.point > 0) | (world.points.frame < 2)
    lengths = measure_tracks(only(world, keep)).lengths
    assert lengths.edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert lengths.counts.tolist() == [0, 1, 0, 0, 0, 3]
    assert lengths.beyond == 0


def test_very_long_tracks_are_counted_together() -> None:
    lengths = measure_tracks(wall(frames=70, points=3)).lengths
    assert lengths.counts.sum() == 0 and lengths.beyond == 3


def test_points_behind_the_camera_are_counted_and_have_no_residual() -> None:
    world = wall(points=10)
    positions = world.points.positions.copy()
    positions[:2, 2] = -4.0
    world = replace(world, points=replace(world.points, positions=positions))
    measures = measure_tracks(world)
    assert measures.behind_share == pytest.approx(0.2)
    assert measures.residuals.histogram.counts.sum() + measures.residuals.histogram.beyond == 48


def test_frames_with_few_fitting_points_are_weak() -> None:
    world = wall(frames=4, points=30)
    pixels = world.points.pixels.copy()
    pixels[(world.points.frame == 2) & (world.points.point >= 15)] += 0.1 * CAMERA.width
    world = replace(world, points=replace(world.points, pixels=pixels))
    assert measure_tracks(world).weak_frames_share == pytest.approx(0.25)
    others = replace(world, chosen=np.array([True, True, False, True]))
    assert measure_tracks(others).weak_frames_share == 0.0


def test_frames_that_share_no_points_are_pieces() -> None:
    world = wall(frames=6, points=20)
    first = (world.points.frame < 3) & (world.points.point < 10)
    second = (world.points.frame >= 3) & (world.points.point >= 10)
    assert measure_tracks(only(world, first | second)).pieces == 2
    joined = first | second | ((world.points.frame == 3) & (world.points.point == 0))
    assert measure_tracks(only(world, joined)).pieces == 1


def test_a_reconstruction_without_points_has_nothing_to_tell() -> None:
    world = wall(frames=3)
    none = PointTracks(
        np.empty((0, 3)),
        np.empty((0, 3), np.uint8),
        np.empty(0),
        np.empty(0, np.int64),
        np.empty(0, np.int64),
        np.empty((0, 2)),
    )
    measures = measure_tracks(replace(world, points=none))
    assert measures.parallax_deg is None and measures.behind_share is None
    assert measures.pieces is None
    assert math.isnan(measures.residuals.median)
    assert measures.weak_frames_share == 1.0
    assert measures.lengths.counts.sum() == 0


@pytest.mark.parametrize(('frames', 'names'), [(1, ['000000']), (2, ['000000', '000001'])])
def test_few_frames_are_all_shown(frames: int, names: list[str]) -> None:
    strips = depth_strips(wall(frames=frames, points=2))
    assert [strip.name for strip in strips] == [f'{name}.png' for name in names]


def test_the_frames_shown_are_spread_over_the_recording() -> None:
    strips = depth_strips(wall(frames=51, points=2), 4)
    assert [strip.name for strip in strips] == [f'0000{k}.png' for k in (10, 20, 30, 40)]
    assert depth_strips(wall(frames=3, points=2), 0) == ()
