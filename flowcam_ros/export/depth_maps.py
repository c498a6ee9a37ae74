# SPDX-License-Identifier: Apache-2.0
"""Depth maps as 16-bit PNG for viewers and as npz with variance for programs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt16

from flowcam_ros.export.atomic import make_folder, write_bytes
from flowcam_ros.export.json_file import write_json
from flowcam_ros.export.names import check_names, stems
from flowcam_ros.flowmap.reconstruction import DepthMap, Reconstruction
from flowcam_ros.geometry.camera import CameraModel

DEPTH = 'depth'
_LARGEST = 2**16 - 1
_MILLIMETRES = 1000.0
# Depth beyond so many times the median is left to the npz, as a few wild pixels would otherwise
# coarsen all others.
_FAR = 50.0


@dataclass(frozen=True)
class DepthFiles:
    """What was written.

    Attributes:
        png: path of the PNG of each frame that has one, below the folder of the result.
        cameras: of the maps, by frame.
        per_unit: value of a pixel of depth 1.
        too_far: pixels whose depth is more than the PNG hold; they are 0 there.
    """

    png: dict[int, str]
    cameras: dict[int, CameraModel]
    per_unit: float
    too_far: int


def write_depth_maps(folder: Path, reconstruction: Reconstruction) -> DepthFiles:
    """Write ``depth/NAME.png``, ``depth/NAME.npz`` and ``depth/depth.json``.

    PNG: uint16, z times ``values_per_unit`` (in depth.json), 0 where unknown; 1000 per metre if
    the scale is metric and that holds every depth. npz: ``inverse_depth`` and ``variance`` as in
    DepthMap, ``K`` (3, 3), ``stamp_ns``. Both are undistorted; one map is in memory at a time.

    Raises:
        OutputError: a name is no name of a file, or a file exists or cannot be written.
    """
    check_names(reconstruction.names)
    names = stems(reconstruction.names)
    target = folder / DEPTH
    make_folder(target)
    largest = medians = 0.0
    frames, cameras = [], {}
    for k in reconstruction.depth.frames():
        depth_map = reconstruction.depth[k]
        stamp = int(reconstruction.trajectory.stamps_ns[k])
        make_folder((target / names[k]).parent)
        write_bytes(_beside(target, names[k], '.npz'), _npz(depth_map, stamp))
        known = depth_map.inverse_depth[depth_map.inverse_depth > 0]
        if known.size:
            largest = max(largest, 1 / float(known.min()))
            medians = max(medians, 1 / float(np.median(known)))
        frames.append((k, names[k], stamp))
        cameras[k] = depth_map.camera
    metric = reconstruction.scale_source != 'none'
    per_unit = _values_per_unit(largest, medians, metric)
    too_far = sum(_write_png(target, name, per_unit) for _, name, _ in frames)
    write_json(
        target / 'depth.json',
        {
            'values_per_unit': per_unit,
            'unit': 'metre' if metric else 'arbitrary',
            'unknown': 0,
            'pixels_too_far_for_png': too_far,
            'frames': [
                {
                    'picture': reconstruction.names[k],
                    'png': f'{name}.png',
                    'npz': f'{name}.npz',
                    'stamp_ns': stamp,
                }
                for k, name, stamp in frames
            ],
        },
    )
    png = {k: f'{DEPTH}/{name}.png' for k, name, _ in frames}
    return DepthFiles(png, cameras, per_unit, too_far)


def _values_per_unit(largest: float, median: float, metric: bool) -> float:
    """Return what depth is multiplied by, alike for all maps of a recording."""
    far = min(largest, _FAR * median)
    if far <= 0 or (metric and far * _MILLIMETRES <= _LARGEST):
        return _MILLIMETRES
    # Few digits: the number is read by people, and typed into other programs.
    return float(f'{0.99 * _LARGEST / far:.3g}')


def _npz(depth_map: DepthMap, stamp_ns: int) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        inverse_depth=depth_map.inverse_depth,
        variance=depth_map.variance,
        K=depth_map.camera.matrix,
        stamp_ns=np.int64(stamp_ns),
    )
    return buffer.getvalue()


def _write_png(target: Path, name: str, per_unit: float) -> int:
    """Write the PNG of a map from its npz; return how many pixels are too far for it."""
    with np.load(_beside(target, name, '.npz'), allow_pickle=False) as stored:
        values, too_far = _scaled(stored['inverse_depth'], per_unit)
    done, data = cv2.imencode('.png', values)
    if not done:
        raise ValueError(f'OpenCV cannot encode depth of shape {values.shape}')
    write_bytes(_beside(target, name, '.png'), data.tobytes())
    return too_far


def _scaled(
    inverse_depth: Float32[np.ndarray, 'height width'], per_unit: float
) -> tuple[UInt16[np.ndarray, 'height width'], int]:
    known = inverse_depth > 0
    with np.errstate(over='ignore'):
        values = np.divide(per_unit, inverse_depth, out=np.zeros_like(inverse_depth), where=known)
    values = np.rint(values)
    too_far = values > _LARGEST
    # What is nearer than half a step is still known.
    values[known & (values < 1)] = 1
    values[too_far] = 0
    return values.astype(np.uint16), int(too_far.sum())


def _beside(target: Path, name: str, suffix: str) -> Path:
    return target / f'{name}{suffix}'
