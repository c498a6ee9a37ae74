# SPDX-License-Identifier: Apache-2.0
"""The fused cloud lies on what was seen, and what one depth map alone claims is not in it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reconstructions import BOX, box_colors, make_reconstruction, with_depth

from flowcam_ros.flowmap.fuse import FuseConfig, fuse
from flowcam_ros.flowmap.voxels import VoxelGrid


def off_the_box(positions: np.ndarray) -> np.ndarray:
    """Return how far points are from the nearest face of the box, from within or without."""
    return np.abs(np.abs(positions) - BOX).min(1)


def test_the_cloud_lies_on_the_walls_with_their_colours() -> None:
    cloud = fuse(make_reconstruction())
    assert len(cloud) > 1000
    assert off_the_box(cloud.positions).max() < 0.03
    difference = box_colors(cloud.positions.astype(float)).astype(int) - cloud.colors
    assert np.percentile(np.abs(difference), 99) <= 8
    # One thousandth in 1/z at the square of the depth.
    assert np.median(np.sqrt(cloud.variance)) == pytest.approx(1e-3 * 3.0**2, rel=0.7)


def test_what_only_one_map_claims_is_left_out() -> None:
    exact = make_reconstruction()
    maps = dict(exact.depth.maps)
    wrong = maps[2].inverse_depth.copy()
    wrong[8:24, 12:36] *= 2.0
    maps[2] = dataclasses.replace(maps[2], inverse_depth=wrong)
    tampered = with_depth(exact, maps)
    believing = fuse(tampered, FuseConfig(min_agreeing=0))
    assert (off_the_box(believing.positions) > 0.3).sum() > 100
    assert off_the_box(fuse(tampered).positions).max() < 0.03


def test_unsure_depth_is_left_out() -> None:
    exact = make_reconstruction()
    unsure = {
        k: dataclasses.replace(m, variance=np.full_like(m.variance, 0.1))
        for k, m in exact.depth.maps.items()
    }
    assert len(fuse(with_depth(exact, unsure))) == 0


def test_a_single_depth_map_is_believed() -> None:
    exact = make_reconstruction()
    cloud = fuse(with_depth(exact, {2: exact.depth.maps[2]}))
    assert len(cloud) > 500 and off_the_box(cloud.positions).max() < 0.02


def test_without_depth_there_is_no_cloud() -> None:
    exact = make_reconstruction()
    assert len(fuse(with_depth(exact, {}))) == 0
    unknown = {
        k: dataclasses.replace(m, inverse_depth=np.zeros_like(m.inverse_depth))
        for k, m in exact.depth.maps.items()
    }
    assert len(fuse(with_depth(exact, unknown))) == 0


def test_frames_that_look_elsewhere_are_not_asked() -> None:
    exact = make_reconstruction(frames=4)
    poses = exact.trajectory.world_from_camera.copy()
    turned = np.diag([-1.0, 1.0, -1.0, 1.0])
    poses[2] = poses[0] @ turned
    trajectory = dataclasses.replace(exact.trajectory, world_from_camera=poses)
    assert len(fuse(dataclasses.replace(exact, trajectory=trajectory))) == 0


def test_each_map_is_read_about_once() -> None:
    exact = make_reconstruction(frames=40)
    fuse(exact, FuseConfig(neighbours=2))
    # Twenty maps, and a few looked at before for the typical depth.
    assert len(exact.depth.asked) <= 20 + 8 + 2


points = st.lists(
    st.tuples(*[st.floats(-50.0, 50.0)] * 3, st.floats(1e-6, 10.0)), min_size=1, max_size=60
)


@settings(deadline=None)
@given(points, st.integers(1, 5))
def test_voxels_hold_the_weighted_mean(rows: list[tuple[float, ...]], parts: int) -> None:
    table = np.array(rows)
    positions, variance = table[:, :3], table[:, 3]
    colors = (np.abs(positions) * 5).astype(np.uint8)
    grid = VoxelGrid(2.5)
    for part in np.array_split(np.arange(len(table)), parts):
        grid.add(positions[part], colors[part], variance[part])
    cloud = grid.cloud()
    cells = np.floor(positions / 2.5)
    expected = {}
    for cell in np.unique(cells, axis=0):
        inside = (cells == cell).all(1)
        weight = 1 / variance[inside]
        expected[tuple(cell)] = (positions[inside] * weight[:, None]).sum(0) / weight.sum()
    assert len(cloud) == len(expected)
    for mean in expected.values():
        assert np.abs(cloud.positions - mean).max(1).min() < 1e-4


def test_many_parts_are_settled_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('flowcam_ros.flowmap.voxels._ASIDE', 50)
    rng = np.random.default_rng(0)
    positions = rng.uniform(-1, 1, (2000, 3))
    grey = np.full((2000, 3), 99, np.uint8)
    whole, pieces = VoxelGrid(0.2), VoxelGrid(0.2)
    whole.add(positions, grey, np.ones(2000))
    for part in np.array_split(positions, 100):
        pieces.add(part, grey[: len(part)], np.ones(len(part)))
    assert np.allclose(whole.cloud().positions, pieces.cloud().positions, atol=1e-6)
    assert (pieces.cloud().variance == 1).all()
