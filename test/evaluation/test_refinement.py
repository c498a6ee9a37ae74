# SPDX-License-Identifier: Apache-2.0
"""Camera and depth of a result folder, held against recordings whose truth is known."""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from refined import wall

from flowcam_ros.errors import EvaluationError, FlowcamError
from flowcam_ros.evaluation.refined_folder import (
    RefinedFolder,
    read_refined_folder,
    read_stored_depth,
)
from flowcam_ros.evaluation.refinement import evaluate_depth, evaluate_focal
from flowcam_ros.export.colmap import write_colmap
from flowcam_ros.export.depth_maps import write_depth_maps
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import distort
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.colmap_model import read_images, read_points
from flowcam_ros.sequences.synthetic import SyntheticSequence, parse_synthetic

PLAIN = 'synthetic:orbit?frames=4&width=160&height=120'
BENT = PLAIN + '&distortion_model=plumb_bob'
MEASURED = BENT + '&depth=true&depth_noise=0&depth_holes=0'


def write_depth(
    folder: Path,
    sequence: SyntheticSequence,
    believed: CameraModel,
    factor: float = 1.0,
    size: tuple[int, int] = (80, 60),
) -> None:
    """Store exact depth as a refinement would that believes in a camera, times a factor."""
    (folder / 'depth').mkdir(parents=True)
    camera = believed.without_distortion().resized(*size)
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    points = distort(believed, np.stack(np.meshgrid(x, y), -1))
    pixels = points * (believed.fx, believed.fy) + (believed.cx, believed.cy)
    column, row = np.moveaxis(np.round(pixels).astype(int), -1, 0)
    inside = (column >= 0) & (row >= 0) & (column < believed.width) & (row < believed.height)
    for position in range(sequence.expected_frames()):
        view = sequence.view(position)
        z = view.depth[np.where(inside, row, 0), np.where(inside, column, 0)] * factor
        inverse = np.where(inside, 1.0 / z, 0.0).astype(np.float32)
        np.savez_compressed(
            folder / 'depth' / f'{position:04d}.npz',
            inverse_depth=inverse,
            variance=np.where(inside, 1e-6, np.inf).astype(np.float32),
            K=camera.matrix,
            stamp_ns=np.int64(view.stamp_ns),
        )


class Recorded:
    """A synthetic recording as a file would give it: pictures and measured depth, no exact one."""

    def __init__(self, sequence: SyntheticSequence) -> None:
        self.name, self.losses = sequence.name, sequence.losses
        self._sequence = sequence

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._sequence)

    def expected_frames(self) -> int | None:
        return self._sequence.expected_frames()

    def ground_truth(self) -> Trajectory | None:
        return self._sequence.ground_truth()


def write_run(folder: Path, camera: CameraModel | None, scale_source: str = 'depth') -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {'scale_source': scale_source}
    if camera is not None:
        content['camera'] = asdict(camera)
    (folder / 'run.json').write_text(json.dumps(content))


@functools.lru_cache
def synthetic(text: str) -> SyntheticSequence:
    sequence = parse_synthetic(text)
    assert isinstance(sequence, SyntheticSequence)
    return sequence


@pytest.mark.parametrize('text', [PLAIN, BENT, MEASURED])
def test_exact_depth_has_no_error(tmp_path: Path, text: str) -> None:
    sequence = synthetic(text)
    write_run(tmp_path, sequence.camera)
    write_depth(tmp_path, sequence, sequence.camera)
    result = evaluate_depth(read_refined_folder(tmp_path), sequence, fit_scale=False)
    assert result is not None
    assert result.frames == 4 and result.scale == 1.0
    assert result.abs_rel < 0.005
    assert result.delta_1_25 > 0.995
    assert result.coverage > 0.95


def test_measured_depth_is_brought_into_the_picture(tmp_path: Path) -> None:
    sequence = synthetic(MEASURED)
    write_run(tmp_path, sequence.camera)
    write_depth(tmp_path, sequence, sequence.camera)
    result = evaluate_depth(read_refined_folder(tmp_path), Recorded(sequence), fit_scale=False)
    assert result is not None
    assert result.frames == 4
    assert result.abs_rel < 0.01
    assert result.delta_1_25 > 0.98


@pytest.mark.parametrize('text', [PLAIN, BENT])
def test_a_wrong_focal_length_does_not_move_the_pixels(tmp_path: Path, text: str) -> None:
    sequence = synthetic(text)
    wrong = replace(sequence.camera, fx=sequence.camera.fx * 1.2, fy=sequence.camera.fy * 1.2)
    write_run(tmp_path, wrong)
    write_depth(tmp_path, sequence, wrong)
    result = evaluate_depth(read_refined_folder(tmp_path), sequence, fit_scale=False)
    assert result is not None and result.abs_rel < 0.005


@pytest.mark.parametrize(
    ('source', 'fit', 'scale'), [('none', False, 0.5), ('depth', True, 0.5), ('depth', False, 1.0)]
)
def test_an_arbitrary_scale_is_fitted(
    tmp_path: Path, source: str, fit: bool, scale: float
) -> None:
    sequence = synthetic(PLAIN)
    write_run(tmp_path, sequence.camera, source)
    write_depth(tmp_path, sequence, sequence.camera, factor=2.0)
    result = evaluate_depth(read_refined_folder(tmp_path), sequence, fit_scale=fit)
    assert result is not None
    assert result.scale == pytest.approx(scale, rel=1e-3)
    assert result.abs_rel == pytest.approx(0.0 if scale == 0.5 else 1.0, abs=0.01)


def test_a_recording_without_depth_has_no_depth_error(tmp_path: Path) -> None:
    sequence = synthetic(PLAIN)
    write_run(tmp_path, sequence.camera)
    write_depth(tmp_path, sequence, sequence.camera)
    refined = read_refined_folder(tmp_path)
    other = synthetic(PLAIN.replace('frames=4', 'frames=1'))
    found = evaluate_depth(refined, other, fit_scale=True)
    assert found is not None and found.frames == 1
    blind = Recorded(synthetic(PLAIN + '&depth=false'))
    assert evaluate_depth(refined, blind, fit_scale=True) is None
    nothing = RefinedFolder(sequence.camera, 'none', ())
    assert evaluate_depth(nothing, sequence, fit_scale=True) is None


def test_depth_maps_need_their_camera(tmp_path: Path) -> None:
    sequence = synthetic(PLAIN)
    write_depth(tmp_path, sequence, sequence.camera)
    with pytest.raises(EvaluationError, match=r'run\.json with camera'):
        evaluate_depth(read_refined_folder(tmp_path), sequence, fit_scale=True)


def test_the_focal_error_is_that_of_the_recording(tmp_path: Path) -> None:
    sequence = synthetic(BENT)
    found = replace(sequence.camera, fx=sequence.camera.fx * 1.02, fy=sequence.camera.fy * 1.02)
    write_run(tmp_path, found)
    error = evaluate_focal(read_refined_folder(tmp_path), sequence)
    assert error is not None and error.error_percent == pytest.approx(2.0)
    assert evaluate_focal(RefinedFolder(None, None, ()), sequence) is None


def test_a_camera_of_colmap_will_do(tmp_path: Path) -> None:
    model = tmp_path / 'sparse' / '0'
    model.mkdir(parents=True)
    camera = struct.pack('<QIiQQ4d', 1, 1, 1, 640, 480, 500.0, 510.0, 320.0, 240.0)
    (model / 'cameras.bin').write_bytes(camera)
    found = read_refined_folder(tmp_path).camera
    assert found == CameraModel(640, 480, 500.0, 510.0, 319.5, 239.5)


def test_an_odometry_result_has_neither(tmp_path: Path) -> None:
    write_run(tmp_path, None, 'stereo')
    assert read_refined_folder(tmp_path) == RefinedFolder(None, 'stereo', ())
    assert read_refined_folder(tmp_path / 'nothing') == RefinedFolder(None, None, ())


@pytest.mark.parametrize(
    'content', ['{', '[]', '{"camera": {"width": 3}}', '{"camera": {"width": "a", "height": 1}}']
)
def test_a_damaged_report_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / 'run.json').write_text(content)
    with pytest.raises(FlowcamError, match=r'run\.json'):
        read_refined_folder(tmp_path)


def test_damaged_depth_is_named(tmp_path: Path) -> None:
    sequence = synthetic(PLAIN)
    write_run(tmp_path, sequence.camera)
    write_depth(tmp_path, sequence, sequence.camera)
    path = tmp_path / 'depth' / '0002.npz'
    whole = path.read_bytes()
    refined = read_refined_folder(tmp_path)
    for damaged in (b'', b'rubbish', whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(EvaluationError, match=r'0002\.npz: not a depth map'):
            evaluate_depth(refined, sequence, fit_scale=True)
    np.savez(path, stamp_ns=np.int64(5))
    assert evaluate_depth(refined, sequence, fit_scale=True) is not None  # of no frame
    np.savez(path, inverse_depth=np.zeros((2, 2)))
    with pytest.raises(EvaluationError, match='no stamp_ns'):
        evaluate_depth(refined, sequence, fit_scale=True)


def test_what_the_exporters_write_is_read_back(tmp_path: Path) -> None:
    world = wall(frames=5, points=20)
    write_colmap(tmp_path, world)
    write_depth_maps(tmp_path, world)
    refined = read_refined_folder(tmp_path)
    assert refined.camera == world.camera
    assert len(refined.depth) == 5
    stored = read_stored_depth(refined.depth[2])
    written = world.depth[2]
    assert stored.stamp_ns == world.trajectory.stamps_ns[2]
    assert stored.camera == written.camera
    assert (stored.inverse_depth == written.inverse_depth).all()
    assert (stored.variance == written.variance).all()
    images = read_images(tmp_path / 'sparse' / '0' / 'images.bin')
    assert tuple(image.name for image in images) == world.names
    for image, pose in zip(images, world.trajectory.world_from_camera, strict=True):
        assert image.camera_from_world @ pose == pytest.approx(np.eye(4), abs=1e-12)
    points = read_points(tmp_path / 'sparse' / '0' / 'points3D.bin')
    assert (points.positions == world.points.positions).all()
    assert (points.colors == world.points.colors).all()
