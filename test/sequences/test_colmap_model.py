# SPDX-License-Identifier: Apache-2.0
"""COLMAP's files as COLMAP writes them, and damaged ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from flowcam_ros.errors import CameraError, SequenceError, UsageError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import project
from flowcam_ros.sequences.colmap_model import read_cameras, read_images, read_points

PARAMETERS = {
    'SIMPLE_PINHOLE': [500.0, 321.0, 242.0],
    'PINHOLE': [500.0, 510.0, 321.0, 242.0],
    'SIMPLE_RADIAL': [500.0, 321.0, 242.0, -0.1],
    'RADIAL': [500.0, 321.0, 242.0, -0.1, 0.02],
    'OPENCV': [500.0, 510.0, 321.0, 242.0, -0.1, 0.02, 0.001, -0.002],
    'OPENCV_FISHEYE': [500.0, 510.0, 321.0, 242.0, 0.02, -0.01, 0.001, 0.0005],
    'FULL_OPENCV': [500.0, 510.0, 321.0, 242.0, -0.1, 0.02, 0.001, -0.002, 0.003, 0.01, 0.02, 0.0],
}


@pytest.mark.parametrize('model', PARAMETERS)
def test_lenses_project_as_those_of_colmap(tmp_path: Path, model: str) -> None:
    pycolmap = pytest.importorskip('pycolmap', reason='pycolmap is not installed (a test extra)')
    reconstruction = pycolmap.Reconstruction()
    theirs = pycolmap.Camera(
        model=model, width=640, height=480, params=PARAMETERS[model], camera_id=7
    )
    reconstruction.add_camera(theirs)
    reconstruction.write_binary(str(tmp_path))
    ours = read_cameras(tmp_path / 'cameras.bin')[7]
    assert (ours.width, ours.height) == (640, 480)
    points = np.random.default_rng(0).uniform([-0.5, -0.4, 1.0], [0.5, 0.4, 1.5], (20, 3))
    expected = np.array([theirs.img_from_cam(point) for point in points]).reshape(-1, 2)
    assert project(ours, points) + 0.5 == pytest.approx(expected, abs=1e-6)


def write_model(folder: Path) -> None:
    """Write two pictures and one point by hand, after COLMAP's description of its format."""
    camera = struct.pack('<QIiQQ4d', 1, 3, 1, 64, 48, 50.0, 51.0, 32.0, 24.0)
    (folder / 'cameras.bin').write_bytes(camera)
    x, y, z, w = Rotation.from_euler('z', 90, degrees=True).as_quat()
    images = struct.pack('<Q', 2)
    for number, name in ((1, b'b.png'), (2, b'a/\xc3\xa9.png')):
        images += struct.pack('<I7dI', number, w, x, y, z, 1.0, 2.0, 3.0, 3) + name + b'\0'
        images += struct.pack('<Q2dq', 1, 5.0, 6.0, -1)
    (folder / 'images.bin').write_bytes(images)
    points = struct.pack('<QQ3d3Bd', 1, 9, 1.5, 2.5, 3.5, 10, 20, 30, 0.7)
    points += struct.pack('<Q4I', 2, 1, 0, 2, 0)
    (folder / 'points3D.bin').write_bytes(points)


def test_pictures_and_points(tmp_path: Path) -> None:
    write_model(tmp_path)
    assert read_cameras(tmp_path / 'cameras.bin') == {
        3: CameraModel(64, 48, 50.0, 51.0, 31.5, 23.5)
    }
    first, second = read_images(tmp_path / 'images.bin')
    assert (first.name, second.name, first.camera) == ('a/é.png', 'b.png', 3)
    assert first.camera_from_world == pytest.approx(
        np.array([[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]), abs=1e-12
    )
    points = read_points(tmp_path / 'points3D.bin')
    assert points.positions.tolist() == [[1.5, 2.5, 3.5]]
    assert points.colors.tolist() == [[10, 20, 30]]


READERS = {'cameras.bin': read_cameras, 'images.bin': read_images, 'points3D.bin': read_points}


@pytest.mark.parametrize('name', READERS)
def test_a_cut_file_is_one_line(tmp_path: Path, name: str) -> None:
    write_model(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(SequenceError, match='not a whole COLMAP file'):
            READERS[name](path)


def test_a_count_without_end_takes_no_memory(tmp_path: Path) -> None:
    for name, read in READERS.items():
        (tmp_path / name).write_bytes(b'\xff' * 200)
        with pytest.raises((SequenceError, CameraError)):
            read(tmp_path / name)


def test_an_unknown_lens_is_named(tmp_path: Path) -> None:
    content = struct.pack('<QIiQQ4d', 1, 3, 10, 64, 48, 50.0, 51.0, 32.0, 24.0)
    (tmp_path / 'cameras.bin').write_bytes(content)
    with pytest.raises(CameraError, match='number 10; known: SIMPLE_PINHOLE'):
        read_cameras(tmp_path / 'cameras.bin')


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'cameras\.bin: cannot be read'):
        read_cameras(tmp_path / 'cameras.bin')
