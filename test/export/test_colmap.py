# SPDX-License-Identifier: Apache-2.0
"""COLMAP's own reader finds in the model what the reconstruction holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reconstructions import CAMERAS, make_reconstruction

from flowcam_ros.errors import CameraError, OutputError
from flowcam_ros.export.colmap import colmap_camera, write_colmap
from flowcam_ros.flowmap.reconstruction import PointTracks, Reconstruction
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import project
from flowcam_ros.geometry.se3 import exp, inverse
from flowcam_ros.geometry.trajectory import Trajectory

pycolmap = pytest.importorskip('pycolmap', reason='no pycolmap for this machine')

MODELS = {
    'none': 'PINHOLE',
    'plumb_bob': 'OPENCV',
    'plumb_bob with k3': 'FULL_OPENCV',
    'rational_polynomial': 'FULL_OPENCV',
    'equidistant': 'OPENCV_FISHEYE',
}


def read(folder: Path, reconstruction: Reconstruction) -> pycolmap.Reconstruction:
    write_colmap(folder, reconstruction)
    return pycolmap.Reconstruction(folder / 'sparse/0')


@pytest.mark.parametrize('lens', CAMERAS)
def test_pycolmap_projects_the_points_where_they_were_observed(lens: str, tmp_path: Path) -> None:
    ours = make_reconstruction(lens)
    model = read(tmp_path, ours)
    assert model.is_valid()
    assert [c.model_name for c in model.cameras.values()] == [MODELS[lens]]
    assert model.num_reg_images() == 6 and model.num_points3D() == 40
    assert model.compute_num_observations() == len(ours.points.point)
    for number, image in model.images.items():
        camera_from_world = inverse(ours.trajectory.world_from_camera[number - 1])
        assert image.name == ours.names[number - 1]
        assert np.allclose(image.cam_from_world().matrix(), camera_from_world[:3], atol=1e-12)
        for observed in image.points2D:
            point = model.points3D[observed.point3D_id].xyz
            local = point @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
            # The top-left pixel's centre is at (0, 0) here and at (0.5, 0.5) there.
            there = project(ours.camera, local) + 0.5
            assert np.allclose(image.project_point(point), there, atol=1e-9)
            assert np.allclose(observed.xy, there, atol=1e-9)


def test_points_keep_position_colour_error_and_track(tmp_path: Path) -> None:
    ours = make_reconstruction()
    errors = np.linspace(0.1, 2.0, 40)
    points = dataclasses.replace(ours.points, error_px=errors)
    model = read(tmp_path, dataclasses.replace(ours, points=points))
    assert sorted(model.points3D) == list(range(1, 41))
    for number, point in model.points3D.items():
        k = number - 1
        assert np.array_equal(point.xyz, points.positions[k])
        assert np.array_equal(point.color, points.colors[k])
        assert point.error == errors[k]
        seen = {e.image_id - 1 for e in point.track.elements}
        assert seen == set(points.frame[points.point == k])
        for element in point.track.elements:
            image = model.images[element.image_id]
            assert image.points2D[element.point2D_idx].point3D_id == number


def test_the_unseen_has_an_empty_track_and_a_frame_may_see_nothing(tmp_path: Path) -> None:
    ours = make_reconstruction()
    points = ours.points
    kept = (points.frame != 5) & (points.point != 39)
    points = dataclasses.replace(
        points, point=points.point[kept], frame=points.frame[kept], pixels=points.pixels[kept]
    )
    model = read(tmp_path, dataclasses.replace(ours, points=points))
    assert model.num_reg_images() == 6 and model.images[6].num_points2D() == 0
    assert model.points3D[40].track.length() == 0


def test_without_points_the_cameras_are_still_written(tmp_path: Path) -> None:
    nothing = np.zeros(0, np.int64)
    points = PointTracks(
        np.zeros((0, 3)),
        np.zeros((0, 3), np.uint8),
        np.zeros(0),
        nothing,
        nothing,
        np.zeros((0, 2)),
    )
    model = read(tmp_path, dataclasses.replace(make_reconstruction(), points=points))
    assert model.num_reg_images() == 6 and model.num_points3D() == 0


def test_a_lens_that_colmap_does_not_know_is_refused(tmp_path: Path) -> None:
    lens = (0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0)
    camera = CameraModel(96, 64, 80.0, 80.0, 48.0, 32.0, 'rational_polynomial', lens)
    ours = dataclasses.replace(make_reconstruction(), camera=camera)
    with pytest.raises(CameraError, match='COLMAP has no lens of 12 coefficients'):
        write_colmap(tmp_path, ours)
    assert not list(tmp_path.iterdir())


def test_coefficients_that_are_zero_do_not_count() -> None:
    lens = (0.1, 0.02, 0.003, 0.004, *(0.0,) * 10)
    camera = CameraModel(96, 64, 80.0, 80.0, 48.0, 32.0, 'rational_polynomial', lens)
    assert colmap_camera(camera) == ('OPENCV', (80, 80, 48.5, 32.5, *lens[:4]))


def test_what_is_not_finite_is_not_written(tmp_path: Path) -> None:
    ours = make_reconstruction()
    ours.points.positions[3] = np.nan
    with pytest.raises(ValueError, match='NaN'):
        write_colmap(tmp_path, ours)
    assert not list(tmp_path.iterdir())


def test_an_observation_of_nothing_is_refused(tmp_path: Path) -> None:
    ours = make_reconstruction()
    ours.points.frame[3] = 6
    with pytest.raises(ValueError, match='not there'):
        write_colmap(tmp_path, ours)


twists = st.lists(st.floats(-4.0, 4.0), min_size=6, max_size=6).map(np.array)
letters = st.text(st.characters(exclude_categories=('Cc', 'Cs'), exclude_characters='/\\.'))
names = st.lists(letters.filter(bool).map(lambda text: text + '.jpg'), min_size=1, unique=True)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_pose_and_name_survives(tmp_path_factory: pytest.TempPathFactory, data) -> None:  # type: ignore[no-untyped-def]
    pictures = data.draw(names)
    poses = np.stack([exp(data.draw(twists)) for _ in pictures])
    ours = dataclasses.replace(
        make_reconstruction(frames=1),
        trajectory=Trajectory(np.arange(len(poses)), poses),
        names=tuple(pictures),
    )
    model = read(tmp_path_factory.mktemp('model'), ours)
    for k, pose in enumerate(poses):
        image = model.images[k + 1]
        assert image.name == pictures[k]
        assert image.cam_from_world().rotation.quat[3] >= 0
        assert np.allclose(image.cam_from_world().matrix(), inverse(pose)[:3], atol=1e-9)


@pytest.mark.parametrize(
    'name', ['', '/a.jpg', '../a.jpg', 'a/../../b.jpg', 'a\0.jpg', 'a\n.jpg', 'a\\b.jpg', 'b/',
             'a\udcff.jpg', 'frame_000001.png', './frame_000001.png']
)  # fmt: skip
def test_a_name_that_is_no_file_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    ours = make_reconstruction()
    with pytest.raises(OutputError, match='name'):
        write_colmap(tmp_path, dataclasses.replace(ours, names=(name, *ours.names[1:])))
    assert not list(tmp_path.iterdir())
