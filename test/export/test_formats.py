# SPDX-License-Identifier: Apache-2.0
"""Each file says what the reconstruction says, in the conventions of the tool that reads it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from evo.tools import file_interface
from hypothesis import given, settings
from hypothesis import strategies as st
from reconstructions import PERIOD_NS, START_NS, make_frames, make_reconstruction

from flowcam_ros.errors import CameraError, OutputError
from flowcam_ros.export.depth_maps import write_depth_maps
from flowcam_ros.export.kitti import write_kitti
from flowcam_ros.export.names import check_names, stems
from flowcam_ros.export.nerfstudio import write_nerfstudio
from flowcam_ros.export.pictures import write_pictures
from flowcam_ros.export.ply import write_ply
from flowcam_ros.flowmap.reconstruction import Reconstruction
from flowcam_ros.geometry.se3 import exp
from flowcam_ros.geometry.trajectory import Trajectory


def read_ply(path: Path) -> np.ndarray:
    """Read as the format says, knowing nothing of the writer."""
    content = path.read_bytes()
    header, _, body = content.partition(b'end_header\n')
    lines = header.decode('ascii').splitlines()
    assert lines[:2] == ['ply', 'format binary_little_endian 1.0']
    kinds = {'float': '<f4', 'uchar': 'u1'}
    fields = [line.split()[1:] for line in lines if line.startswith('property')]
    count = next(int(line.split()[2]) for line in lines if line.startswith('element vertex'))
    table = np.frombuffer(body, np.dtype([(name, kinds[kind]) for kind, name in fields]))
    assert len(table) == count
    return table


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.floats(-4, 4), min_size=6, max_size=6).map(np.array), min_size=1))
def test_evo_reads_the_kitti_poses(tmp_path_factory: pytest.TempPathFactory, twists) -> None:  # type: ignore[no-untyped-def]
    poses = np.stack([exp(twist) for twist in twists])
    folder = tmp_path_factory.mktemp('kitti')
    write_kitti(folder, Trajectory(START_NS + PERIOD_NS * np.arange(len(poses)), poses))
    read = file_interface.read_kitti_poses_file(folder / 'poses.txt')
    assert np.allclose(np.stack(read.poses_se3), poses, atol=1e-8)
    times = (folder / 'times.txt').read_text().split()
    assert times[0] == '1700000000.123456789' and len(times) == len(poses)


def test_kitti_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='NaN'):
        write_kitti(tmp_path / 'kitti', Trajectory(np.array([1]), np.full((1, 4, 4), np.nan)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('variance', [False, True])
def test_a_ply_holds_every_point(
    variance: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('flowcam_ros.export.ply._BLOCK', 7)
    rng = np.random.default_rng(0)
    positions, colors = rng.normal(size=(50, 3)), rng.integers(0, 256, (50, 3), np.uint8)
    sigma = rng.random(50)
    write_ply(tmp_path / 'a.ply', positions, colors, sigma if variance else None, 'unit: metre')
    table = read_ply(tmp_path / 'a.ply')
    assert np.allclose(np.column_stack([table[n] for n in 'xyz']), positions, atol=1e-6)
    assert np.array_equal(np.column_stack([table[n] for n in ('red', 'green', 'blue')]), colors)
    assert ('variance' in table.dtype.names) == variance
    if variance:
        assert np.allclose(table['variance'], sigma)
    assert b'comment unit: metre\n' in (tmp_path / 'a.ply').read_bytes()


def test_colmap_reads_a_ply(tmp_path: Path) -> None:
    pycolmap = pytest.importorskip('pycolmap', reason='no pycolmap for this machine')
    positions = np.random.default_rng(0).normal(size=(20, 3))
    colors = np.arange(60, dtype=np.uint8).reshape(20, 3)
    write_ply(tmp_path / 'a.ply', positions, colors, np.ones(20))
    model = pycolmap.Reconstruction()
    model.import_PLY(tmp_path / 'a.ply')
    read = [model.points3D[k] for k in sorted(model.points3D)]
    assert np.allclose([point.xyz for point in read], positions, atol=1e-6)
    assert np.array_equal([point.color for point in read], colors)


def test_an_empty_ply_is_one(tmp_path: Path) -> None:
    write_ply(tmp_path / 'a.ply', np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    assert len(read_ply(tmp_path / 'a.ply')) == 0


def test_a_ply_refuses_what_does_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='colour'):
        write_ply(tmp_path / 'a.ply', np.zeros((2, 3)), np.zeros((3, 3), np.uint8))
    with pytest.raises(ValueError, match='plain line'):
        write_ply(tmp_path / 'a.ply', np.zeros((1, 3)), np.zeros((1, 3), np.uint8), comment='a\nb')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('suffix', 'largest'), [('.png', 0), ('.jpg', 60)])
def test_pictures_are_written_as_they_came(suffix: str, largest: int, tmp_path: Path) -> None:
    ours = make_reconstruction('plumb_bob')
    ours = dataclasses.replace(ours, names=tuple(f'left/{k}{suffix}' for k in range(6)))
    frames = make_frames(ours)
    write_pictures(tmp_path, iter(frames), ours)
    for frame, name in zip(frames, ours.names, strict=True):
        read = cv2.imread(str(tmp_path / 'images' / name), cv2.IMREAD_UNCHANGED)
        assert read.shape == frame.image.shape
        # Noise is the worst case for JPEG.
        assert np.abs(read.astype(int) - frame.image).mean() <= largest


def test_grey_pictures_stay_grey(tmp_path: Path) -> None:
    ours = make_reconstruction(frames=1)
    frame = make_frames(ours)[0]
    write_pictures(tmp_path, [dataclasses.replace(frame, image=frame.image[..., 0].copy())], ours)
    read = cv2.imread(str(tmp_path / 'images' / ours.names[0]), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(read, frame.image[..., 0])


def test_frames_that_the_reconstruction_has_not_are_passed_over(tmp_path: Path) -> None:
    ours = make_reconstruction()
    frames = make_frames(ours)
    extra = dataclasses.replace(frames[0], stamp_ns=1)
    write_pictures(tmp_path, [extra, *frames[::-1]], ours)
    assert sorted(p.name for p in (tmp_path / 'images').iterdir()) == sorted(ours.names)


def test_a_missing_picture_is_told(tmp_path: Path) -> None:
    ours = make_reconstruction()
    with pytest.raises(OutputError, match=r'1 of 6 pictures cannot be read again.*000005'):
        write_pictures(tmp_path, make_frames(ours)[:-1], ours)


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    ours = make_reconstruction()
    frames = make_frames(make_reconstruction())
    small = dataclasses.replace(frames[0], image=frames[0].image[:10].copy())
    with pytest.raises(OutputError, match='96x10 pixels, the camera 96x64'):
        write_pictures(tmp_path, [small], ours)


def test_a_picture_of_unknown_kind_is_refused(tmp_path: Path) -> None:
    ours = dataclasses.replace(make_reconstruction(frames=1), names=('a.tiff',))
    with pytest.raises(OutputError, match=r'written as \.jpg'):
        write_pictures(tmp_path, make_frames(ours), ours)


def test_depth_maps_are_millimetres_and_exact_beside(tmp_path: Path) -> None:
    ours = make_reconstruction()
    files = write_depth_maps(tmp_path, ours)
    assert files.per_unit == 1000 and files.too_far == 0
    listed = json.loads((tmp_path / 'depth/depth.json').read_text())
    assert listed['values_per_unit'] == 1000 and listed['unit'] == 'metre'
    assert [f['picture'] for f in listed['frames']] == [ours.names[k] for k in (0, 2, 4)]
    for k, entry in zip((0, 2, 4), listed['frames'], strict=True):
        expected = ours.depth[k]
        values = cv2.imread(str(tmp_path / files.png[k]), cv2.IMREAD_UNCHANGED)
        assert values.dtype == np.uint16 and not values[0, :3].any()
        known = expected.inverse_depth > 0
        depth = 1000 / expected.inverse_depth[known]
        assert np.abs(values[known] - depth).max() <= 0.501
        with np.load(tmp_path / 'depth' / entry['npz'], allow_pickle=False) as stored:
            assert np.array_equal(stored['inverse_depth'], expected.inverse_depth)
            assert np.array_equal(stored['variance'], expected.variance)
            assert np.array_equal(stored['K'], expected.camera.matrix)
            assert stored['stamp_ns'] == entry['stamp_ns'] == START_NS + k * PERIOD_NS


@settings(deadline=None, max_examples=30)
@given(
    st.floats(1e-4, 1e6),
    st.floats(1.0, 1e5),
    st.sampled_from(['none', 'depth']),
)
def test_depth_never_saturates(
    tmp_path_factory: pytest.TempPathFactory, unit: float, outlier: float, scale_source: str
) -> None:
    ours = make_reconstruction(scale_source=scale_source)
    for depth_map in ours.depth.maps.values():
        depth_map.inverse_depth[:] /= np.float32(unit)
    maps = ours.depth.maps
    maps[2].inverse_depth[5, 5] /= np.float32(outlier)
    folder = tmp_path_factory.mktemp('depth')
    files = write_depth_maps(folder, ours)
    for k, png in files.png.items():
        values = cv2.imread(str(folder / png), cv2.IMREAD_UNCHANGED)
        known = maps[k].inverse_depth > 0
        known[5, 5] &= k != 2
        assert (values[~known][:3] == 0).all() and values[known].all()
        depth = files.per_unit / maps[k].inverse_depth[known].astype(float)
        assert np.abs(values[known] - np.maximum(depth, 1)).max() < 0.6
        # One wild pixel does not take the steps from the others.
        assert np.median(values[known]) >= 1000 or files.per_unit == 1000
    wild = files.per_unit / float(maps[2].inverse_depth[5, 5])
    assert files.too_far == (wild > 65535.5)


def test_names_without_suffix_stay_apart() -> None:
    assert stems(('a/1.jpg', 'b/1.jpg')) == ('a/1', 'b/1')
    assert stems(('1.jpg', '1.png')) == ('1.jpg', '1.png')
    check_names(('photo 1 \u202fpm.jpg', 'Grüße.png'))


def read_transforms(folder: Path, name: str = 'transforms.json') -> dict:
    return json.loads((folder / name).read_text())


def project_as_nerfstudio(meta: dict, frame: dict, point: np.ndarray) -> np.ndarray:
    """Return the pixel of a point, counted from the corner, by the documented conventions."""
    local = np.linalg.inv(np.array(frame['transform_matrix'])) @ np.append(point, 1.0)
    x, y = local[0] / -local[2], -local[1] / -local[2]
    r = x * x + y * y
    if meta['camera_model'] == 'OPENCV_FISHEYE':
        angle = np.arctan(np.sqrt(r))
        bent = angle * (
            1 + sum(meta[f'k{i}'] * angle ** (2 * i) for i in range(1, 5))
        )  # fmt: skip
        u, v = x * bent / np.sqrt(r), y * bent / np.sqrt(r)
    else:
        radial = 1 + r * (meta['k1'] + r * (meta['k2'] + r * meta['k3']))
        u = x * radial + 2 * meta['p1'] * x * y + meta['p2'] * (r + 2 * x * x)
        v = y * radial + 2 * meta['p2'] * x * y + meta['p1'] * (r + 2 * y * y)
    return np.array([meta['fl_x'] * u + meta['cx'], meta['fl_y'] * v + meta['cy']])


@pytest.mark.parametrize('lens', ['none', 'plumb_bob', 'plumb_bob with k3', 'equidistant'])
def test_nerfstudio_sees_the_points_where_they_were_observed(lens: str, tmp_path: Path) -> None:
    ours = make_reconstruction(lens)
    write_nerfstudio(tmp_path, ours)
    meta = read_transforms(tmp_path)
    assert (meta['w'], meta['h']) == (96, 64)
    assert np.array_equal(meta['applied_transform'], np.eye(4)[:3])
    table = read_ply(tmp_path / meta['ply_file_path'])
    points = np.column_stack([table[n] for n in 'xyz']).astype(float)
    assert [f['file_path'] for f in meta['frames']] == [f'images/{n}' for n in ours.names]
    tracks = ours.points
    for p, k, pixel in zip(tracks.point, tracks.frame, tracks.pixels, strict=True):
        seen = project_as_nerfstudio(meta, meta['frames'][k], points[p])
        assert np.allclose(seen, pixel + 0.5, atol=1e-4)


def with_all_depth(ours: Reconstruction) -> Reconstruction:
    for k in range(len(ours.names)):
        ours.depth.maps.setdefault(k, ours.depth.maps[0])
    return ours


def test_depth_of_some_frames_stands_in_a_file_of_its_own(tmp_path: Path) -> None:
    ours = make_reconstruction()
    write_nerfstudio(tmp_path, ours, write_depth_maps(tmp_path, ours))
    assert not any('depth_file_path' in f for f in read_transforms(tmp_path)['frames'])
    meta = read_transforms(tmp_path, 'transforms_depth.json')
    assert [f['file_path'] for f in meta['frames']] == [
        f'images/{ours.names[k]}' for k in (0, 2, 4)
    ]
    assert all((tmp_path / f['depth_file_path']).is_file() for f in meta['frames'])
    assert meta['depth_unit_scale_factor'] == 0.001


def test_depth_of_all_frames_stands_in_the_main_file(tmp_path: Path) -> None:
    ours = with_all_depth(make_reconstruction())
    write_nerfstudio(tmp_path, ours, write_depth_maps(tmp_path, ours))
    assert all('depth_file_path' in f for f in read_transforms(tmp_path)['frames'])
    assert not (tmp_path / 'transforms_depth.json').exists()


@pytest.mark.parametrize('lens', ['none', 'plumb_bob', 'equidistant'])
def test_depth_for_nerfstudio_lies_on_the_picture(lens: str, tmp_path: Path) -> None:
    ours = make_reconstruction(lens, points=200)
    write_nerfstudio(tmp_path, ours, write_depth_maps(tmp_path, ours))
    meta = read_transforms(tmp_path, 'transforms_depth.json')
    assert (tmp_path / 'depth_of_pictures').exists() == (lens != 'none')
    tracks = ours.points
    for k, frame in zip((0, 2, 4), meta['frames'], strict=True):
        values = cv2.imread(str(tmp_path / frame['depth_file_path']), cv2.IMREAD_UNCHANGED)
        # As nerfstudio does it.
        depth = cv2.resize(values / 1000, (96, 64), interpolation=cv2.INTER_NEAREST)
        seen = tracks.frame == k
        camera_from_world = np.linalg.inv(ours.trajectory.world_from_camera[k])
        positions = tracks.positions[tracks.point[seen]]
        z = positions @ camera_from_world[2, :3] + camera_from_world[2, 3]
        x, y = np.rint(tracks.pixels[seen]).astype(int).T
        there = depth[y, x]
        # Nearly all: a lens shows more than the undistorted map holds, and edges are steep.
        assert (there > 0).mean() > 0.9
        assert np.percentile(np.abs(there - z)[there > 0], 90) < 0.1


def test_a_lens_that_nerfstudio_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match='no rational lens of 8 coefficients'):
        write_nerfstudio(tmp_path, make_reconstruction('rational_polynomial'))
    assert not list(tmp_path.iterdir())
