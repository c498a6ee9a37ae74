# SPDX-License-Identifier: Apache-2.0
"""What a folder with a result says beyond its trajectory: camera, scale and depth maps."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from flowcam_ros.errors import EvaluationError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.sequences.colmap_model import read_cameras

_KEYS = ('inverse_depth', 'variance', 'K', 'stamp_ns')


@dataclass(frozen=True)
class StoredDepth:
    """One depth map as a refinement stores it.

    Attributes:
        stamp_ns: stamp of its frame.
        camera: undistorted, of the size of the map.
        inverse_depth: (height, width) of z, 1 / unit; 0 where unknown.
        variance: (height, width) of the inverse depth; infinite where unknown.
    """

    stamp_ns: int
    camera: CameraModel
    inverse_depth: Float[np.ndarray, 'height width']
    variance: Float[np.ndarray, 'height width']


@dataclass(frozen=True)
class RefinedFolder:
    """What was found beside the trajectory.

    Attributes:
        camera: intrinsics and distortion as found, from ``run.json`` or from the COLMAP model
            ``sparse/0``; None if there is neither.
        scale_source: as in ``run.json``; None if it does not say.
        depth: files of ``depth/``, in order of their names.
    """

    camera: CameraModel | None
    scale_source: str | None
    depth: tuple[Path, ...]


def read_refined_folder(folder: Path) -> RefinedFolder:
    """Look into a folder; one that holds a trajectory only has none of it.

    Raises:
        EvaluationError: ``run.json`` is not what a run writes.
        FlowcamError: the COLMAP model cannot be read.
    """
    run = _read_run(folder / 'run.json')
    source = run.get('scale_source')
    return RefinedFolder(
        _camera(folder, run),
        source if isinstance(source, str) else None,
        tuple(sorted((folder / 'depth').rglob('*.npz'))),
    )


def read_stamp(path: Path) -> int:
    """Read the stamp of a depth map, nanoseconds; raises as :func:`read_stored_depth`."""
    (stamp,) = _read_arrays(path, ('stamp_ns',))
    return _stamp(path, stamp)


def read_stored_depth(path: Path) -> StoredDepth:
    """Read one depth map.

    Raises:
        EvaluationError: it cannot be read, or is not what a refinement writes.
    """
    inverse, variance, matrix, stamp = _read_arrays(path, _KEYS)
    if inverse.ndim != 2 or inverse.shape != variance.shape or matrix.shape != (3, 3):
        raise EvaluationError(
            f'{path}: inverse depth {inverse.shape}, variance {variance.shape} and K '
            f'{matrix.shape} do not go together'
        )
    height, width = inverse.shape
    fx, fy, cx, cy = (float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    camera = CameraModel(width, height, fx, fy, cx, cy)
    return StoredDepth(_stamp(path, stamp), camera, inverse, variance)


def _read_arrays(path: Path, keys: tuple[str, ...]) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = [key for key in keys if key not in stored]
            if missing:
                raise EvaluationError(f'{path}: no {", ".join(missing)} in it')
            return [stored[key] for key in keys]
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise EvaluationError(f'{path}: not a depth map ({error})') from error


def _stamp(path: Path, stamp: np.ndarray) -> int:
    if stamp.shape != () or not np.issubdtype(stamp.dtype, np.integer):
        raise EvaluationError(f'{path}: stamp_ns is not one whole number')
    return int(stamp)


def _read_run(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise EvaluationError(f'{path}: cannot be read ({error})') from error
    if not isinstance(content, dict):
        raise EvaluationError(f'{path}: not the report of a run')
    return content


def _camera(folder: Path, run: dict[str, Any]) -> CameraModel | None:
    stored = run.get('camera')
    if isinstance(stored, dict):
        names = [field.name for field in dataclasses.fields(CameraModel)]
        values = {name: stored[name] for name in names if name in stored}
        try:
            return CameraModel(**{**values, 'distortion': tuple(values.get('distortion', ()))})
        except TypeError as error:
            raise EvaluationError(f'{folder / "run.json"}: no camera ({error})') from error
    model = folder / 'sparse' / '0' / 'cameras.bin'
    if not model.is_file():
        return None
    cameras = read_cameras(model)
    if len(cameras) != 1:
        raise EvaluationError(
            f'{model}: {len(cameras)} cameras; the focal length of one is wanted (COLMAP: '
            'single_camera)'
        )
    return next(iter(cameras.values()))
