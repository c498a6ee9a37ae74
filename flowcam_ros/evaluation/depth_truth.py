# SPDX-License-Identifier: Apache-2.0
"""True depth of the frames of a sequence: measured, or exact in the synthetic world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.depth.sensor import SensorDepth
from flowcam_ros.errors import FrameRejected
from flowcam_ros.evaluation.association import associate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import distort, undistort
from flowcam_ros.geometry.prepare import FramePreparer
from flowcam_ros.sequences.sequence import Sequence
from flowcam_ros.sequences.synthetic import SyntheticSequence

# Two stamps nearer than this are of one frame, which a file may have rounded.
_SAME_FRAME_NS = 1_000_000
Map = Float[np.ndarray, 'height width']


@dataclass(frozen=True)
class TrueDepth:
    """True depth of one frame.

    Attributes:
        stamp_ns: stamp of the frame.
        lens: the camera of the recorded picture, with its distortion.
        camera: the camera of ``depth``: ``lens`` itself, or ``lens`` without distortion.
        depth: (height, width) z in metres; 0 where unknown.
    """

    stamp_ns: int
    lens: CameraModel
    camera: CameraModel
    depth: Map

    def seen_by(self, camera: CameraModel, lens: CameraModel) -> Map:
        """Return the true z that each pixel of another map sees, by the nearest pixel; else 0.

        Args:
            camera: of the map, undistorted, as a refinement believes it to be.
            lens: camera of the recorded picture as the refinement believes it to be. Where a
                pixel lies in the recorded picture follows from both beliefs, so that a wrong
                focal length does not move it.
        """
        x = (np.arange(camera.width) - camera.cx) / camera.fx
        y = (np.arange(camera.height) - camera.cy) / camera.fy
        recorded = _pixels(lens, distort(lens, np.stack(np.meshgrid(x, y), axis=-1)))
        recorded = _resized(recorded, lens, self.lens)
        pixels = recorded
        if self.camera != self.lens:
            bent = (recorded - (self.lens.cx, self.lens.cy)) / (self.lens.fx, self.lens.fy)
            pixels = _pixels(self.camera, undistort(self.lens, bent))
        return _nearest(self.depth, pixels)


def true_depths(
    sequence: Sequence, stamps_ns: Int64[np.ndarray, ' n']
) -> Iterator[tuple[int, TrueDepth]]:
    """Yield, for those of the wanted stamps that have it, their index and the true depth.

    The synthetic world tells its exact depth. Measured depth is brought into the picture as the
    odometry's depth source does it (options ``depth.min_range``, ``depth.max_range`` at their
    defaults).
    """
    if isinstance(sequence, SyntheticSequence):
        truth = sequence.ground_truth().stamps_ns
        for index, position in zip(*associate(stamps_ns, truth, _SAME_FRAME_NS), strict=True):
            view = sequence.view(int(position))
            yield int(index), TrueDepth(view.stamp_ns, view.camera, view.camera, view.depth)
        return
    sensor = SensorDepth(DepthConfig())
    preparer: FramePreparer | None = None
    for frame in sequence:
        wanted, _ = associate(stamps_ns, np.array([frame.stamp_ns]), _SAME_FRAME_NS)
        if frame.depth is None or len(wanted) == 0:
            continue
        lens = frame.camera
        preparer = preparer or FramePreparer(lens.width * lens.height)
        try:
            measured = sensor.measure(preparer.prepare(frame))
        except FrameRejected:
            continue  # the sequence counts what cannot be used among its losses
        if measured is not None:
            depth = np.nan_to_num(measured.depth())
            yield int(wanted[0]), TrueDepth(frame.stamp_ns, lens, measured.camera, depth)


def _pixels(camera: CameraModel, points: Float[np.ndarray, 'h w 2']) -> Float[np.ndarray, 'h w 2']:
    return points * (camera.fx, camera.fy) + (camera.cx, camera.cy)


def _resized(
    pixels: Float[np.ndarray, 'h w 2'], source: CameraModel, target: CameraModel
) -> Float[np.ndarray, 'h w 2']:
    """Return where pixels lie in the same picture at another size."""
    scale = np.array([target.width / source.width, target.height / source.height])
    return (pixels + 0.5) * scale - 0.5


def _nearest(depth: Map, pixels: Float[np.ndarray, 'h w 2']) -> Float[np.ndarray, 'h w']:
    height, width = depth.shape
    inside = (
        (pixels > -0.5).all(-1) & (pixels[..., 0] < width - 0.5) & (pixels[..., 1] < height - 0.5)
    )
    column, row = np.moveaxis(
        np.round(np.where(inside[..., None], pixels, 0.0)).astype(int), -1, 0
    )
    return np.where(inside, depth[row, column], np.float32(0.0))
