# SPDX-License-Identifier: Apache-2.0
"""COLMAP by pycolmap: SIFT on the CPU, then incremental or global mapping, with its defaults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap

from benchmarks.refine.pictures import StoredPictures, read_stored
from benchmarks.refine.system import Answer, Job
from flowcam_ros.export.colmap import CORNER, colmap_camera
from flowcam_ros.geometry.camera import CameraModel

# Up to so many pictures are all held against each other, in more of them each against the next.
_EXHAUSTIVE = 30
_OVERLAP = 10


def run(name: str, job: Job) -> Answer:
    """Reconstruct with ``incremental`` or ``global`` mapping; of several models take the largest.

    Raises:
        ImportError: this pycolmap has no global mapping.
        CameraError: COLMAP has no model for the lens, which is not to be unknown.
    """
    if name == 'global' and not hasattr(pycolmap, 'global_mapping'):
        raise ImportError(f'pycolmap {pycolmap.__version__} has no global mapping')
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.ERROR)
    pictures = read_stored(job.pictures)
    job.output.mkdir(parents=True)
    database = job.output / 'database.db'
    _find_features(database, pictures, job.intrinsics)
    mapping = {'incremental': _incremental, 'global': _global}[name]
    models = mapping(database, pictures.images, job)
    return _answer(models, pictures)


def _find_features(database: Path, pictures: StoredPictures, intrinsics: str) -> None:
    reader = pycolmap.ImageReaderOptions()
    if intrinsics != 'unknown':
        reader.camera_model, parameters = colmap_camera(pictures.camera)
        reader.camera_params = ','.join(repr(float(value)) for value in parameters)
    pycolmap.extract_features(
        database,
        pictures.images,
        camera_mode=pycolmap.CameraMode.SINGLE,
        reader_options=reader,
    )
    if len(pictures.stamps_ns) <= _EXHAUSTIVE:
        pycolmap.match_exhaustive(database)
        return
    pairing = pycolmap.SequentialPairingOptions()
    pairing.overlap = _OVERLAP
    pycolmap.match_sequential(database, pairing_options=pairing)


def _incremental(database: Path, images: Path, job: Job) -> dict[int, pycolmap.Reconstruction]:
    options = pycolmap.IncrementalPipelineOptions()
    if job.intrinsics == 'known':
        options.ba_refine_focal_length = False
        options.ba_refine_extra_params = False
        options.mapper.abs_pose_refine_focal_length = False
        options.mapper.abs_pose_refine_extra_params = False
    return pycolmap.incremental_mapping(database, images, job.output, options)


def _global(database: Path, images: Path, job: Job) -> dict[int, pycolmap.Reconstruction]:
    options = pycolmap.GlobalPipelineOptions()
    if job.intrinsics == 'unknown':
        # Global mapping does not look for focal lengths itself.
        pycolmap.calibrate_view_graph(database)
    if job.intrinsics == 'known':
        options.mapper.bundle_adjustment.refine_focal_length = False
        options.mapper.bundle_adjustment.refine_extra_params = False
    return pycolmap.global_mapping(database, images, job.output, options)


def _answer(models: dict[int, pycolmap.Reconstruction], pictures: StoredPictures) -> Answer:
    versions = {'pycolmap': pycolmap.__version__}
    if not models:
        return Answer([], [], 0, 0, None, versions)
    model = max(models.values(), key=lambda one: one.num_reg_images())
    poses: dict[int, np.ndarray] = {}
    for number in model.reg_image_ids():
        image = model.image(number)
        world_from_camera = np.eye(4)
        world_from_camera[:3] = image.cam_from_world().inverse().matrix()
        poses[pictures.stamp_ns(image.name)] = world_from_camera
    stamps = sorted(poses)
    camera = _without_lens(next(iter(model.cameras.values())))
    count = len(stamps)
    return Answer(stamps, [poses[stamp] for stamp in stamps], count, count, camera, versions)


def _without_lens(camera: pycolmap.Camera) -> CameraModel:
    return CameraModel(
        camera.width,
        camera.height,
        camera.focal_length_x,
        camera.focal_length_y,
        camera.principal_point_x - CORNER,
        camera.principal_point_y - CORNER,
    )
