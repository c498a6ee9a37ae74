# SPDX-License-Identifier: Apache-2.0
"""A recording for the rerun viewer: path, cameras with pictures and depth, and the cloud."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from flowcam_ros.errors import OutputError
from flowcam_ros.flowmap.reconstruction import DepthMap, Reconstruction
from flowcam_ros.flowmap.voxels import Cloud

_APPLICATION = 'flowcam_ros'
_TIMELINE = 'time'
_WORLD, _CAMERA, _PICTURE = 'world', 'world/camera', 'world/camera/picture'
_JPEG_QUALITY = 90


def find_rerun() -> ModuleType:
    """Return the rerun package.

    Raises:
        OutputError: it is not installed.
    """
    try:
        import rerun
    except ImportError as error:
        raise OutputError(
            'a rerun recording needs the package rerun-sdk, which is not installed; install '
            'flowcam_ros[rerun], or leave out --rerun (export.rerun)'
        ) from error
    return rerun


def write_rerun(path: Path, reconstruction: Reconstruction, cloud: Cloud | None) -> None:
    """Write a new ``.rrd`` file, which appears when all of it is written.

    Pictures and depth are the undistorted ones of the depth maps; frames without depth have their
    pose alone. Time is that of the stamps.

    Args:
        path: of the file.
        reconstruction: what to show.
        cloud: fused points; None for those of the tracks.

    Raises:
        OutputError: rerun is not installed, or the file cannot be written.
    """
    rerun = find_rerun()
    temporary = path.with_name(f'.{path.name}.part')
    try:
        temporary.touch()  # rerun writes in a thread of its own, which cannot say what is wrong
        stream = rerun.RecordingStream(_APPLICATION)
        stream.save(temporary)
        _log_world(rerun, stream, reconstruction, cloud)
        _log_frames(rerun, stream, reconstruction)
        stream.flush()
        stream.disconnect()
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f'{path}: cannot be written ({error.strerror})') from error
    finally:
        temporary.unlink(missing_ok=True)


def _log_world(
    rerun: ModuleType, stream: Any, reconstruction: Reconstruction, cloud: Cloud | None
) -> None:
    shown = reconstruction.points if cloud is None else cloud
    stream.log(_WORLD, rerun.ViewCoordinates.RIGHT_HAND_Y_DOWN, static=True)
    path = reconstruction.trajectory.positions.astype(np.float32)
    stream.log(f'{_WORLD}/path', rerun.LineStrips3D([path]), static=True)
    points = rerun.Points3D(shown.positions.astype(np.float32), colors=shown.colors)
    stream.log(f'{_WORLD}/points', points, static=True)


def _log_frames(rerun: ModuleType, stream: Any, reconstruction: Reconstruction) -> None:
    depth = reconstruction.depth
    known = set(depth.frames())
    trajectory = reconstruction.trajectory
    posed = False
    for frame, (stamp, pose) in enumerate(
        zip(trajectory.stamps_ns, trajectory.world_from_camera, strict=True)
    ):
        stream.set_time(_TIMELINE, timestamp=np.datetime64(int(stamp), 'ns'))
        stream.log(_CAMERA, rerun.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
        if frame not in known:
            continue
        map_ = depth[frame]
        if not posed:
            stream.log(_PICTURE, _pinhole(rerun, map_), static=True)
            posed = True
        stream.log(f'{_PICTURE}/color', _picture(rerun, map_))
        with np.errstate(divide='ignore'):
            z = np.where(map_.inverse_depth > 0, 1.0 / map_.inverse_depth, 0.0)
        stream.log(f'{_PICTURE}/depth', rerun.DepthImage(z.astype(np.float32), meter=1.0))


def _pinhole(rerun: ModuleType, map_: DepthMap) -> Any:
    camera = map_.camera
    # rerun counts pixels from the corner of the picture
    cx, cy = camera.cx + 0.5, camera.cy + 0.5
    return rerun.Pinhole(
        image_from_camera=[[camera.fx, 0.0, cx], [0.0, camera.fy, cy], [0.0, 0.0, 1.0]],
        width=camera.width,
        height=camera.height,
        camera_xyz=rerun.ViewCoordinates.RDF,
    )


def _picture(rerun: ModuleType, map_: DepthMap) -> Any:
    bgr = cv2.cvtColor(map_.colors, cv2.COLOR_RGB2BGR)
    data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return rerun.EncodedImage(contents=data.tobytes(), media_type='image/jpeg')
