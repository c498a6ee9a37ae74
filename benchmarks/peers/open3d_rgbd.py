# SPDX-License-Identifier: Apache-2.0
"""Open3D's RGB-D odometry with its default settings, frame to frame."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from typing import Any

import cv2
import libusb_package
import numpy as np

from benchmarks.peers.pictures import Picture, PictureMaker
from benchmarks.peers.system import Answer, Chain, Matrix4
from flowcam_ros.geometry.frame import Frame

# Open3D's library names libusb, which is often not installed; once loaded it is found.
ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)

import open3d  # noqa: E402
from open3d import core  # noqa: E402


def _colour(picture: Picture) -> np.ndarray:
    code = cv2.COLOR_GRAY2RGB if picture.image.ndim == 2 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(picture.image, code)


class _FrameToFrame(ABC):
    """What the two have in common."""

    def __init__(self, mode: str, settings: list[str]) -> None:
        self._pictures = PictureMaker()
        self._chain = Chain()
        self._previous: Any = None

    def process(self, frame: Frame) -> Answer:
        """Return the pose of the next frame."""
        picture = self._pictures.make_rgbd(frame)
        current = self._image(picture)
        previous, self._previous = self._previous, current
        if previous is None:
            return self._chain.first()
        return self._chain.advance(self._motion(previous, current, picture))

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that do the work."""
        return {'open3d': open3d.__version__}

    @abstractmethod
    def _image(self, picture: Picture) -> Any:
        """Return a picture as the library takes it."""

    @abstractmethod
    def _motion(self, previous: Any, current: Any, picture: Picture) -> Matrix4 | None:
        """Return previous_from_current; None where it cannot be told."""


class TensorHybrid(_FrameToFrame):
    """The tensor pipeline: point to plane and brightness together, three scales."""

    def _image(self, picture: Picture) -> Any:
        image = open3d.t.geometry.Image
        return open3d.t.geometry.RGBDImage(
            image(core.Tensor(_colour(picture))), image(core.Tensor(picture.depth))
        )

    def _motion(self, previous: Any, current: Any, picture: Picture) -> Matrix4 | None:
        odometry = open3d.t.pipelines.odometry
        try:
            result = odometry.rgbd_odometry_multi_scale(
                current,
                previous,
                core.Tensor(picture.matrix),
                depth_scale=1.0,
                method=odometry.Method.Hybrid,
            )
        except RuntimeError:  # singular: too little to hold on to
            return None
        motion = result.transformation.numpy()
        return motion if np.isfinite(motion).all() else None


class LegacyColour(_FrameToFrame):
    """The older pipeline with the brightness term alone."""

    def _image(self, picture: Picture) -> Any:
        return open3d.geometry.RGBDImage.create_from_color_and_depth(
            open3d.geometry.Image(_colour(picture)),
            open3d.geometry.Image(picture.depth),
            depth_scale=1.0,
        )

    def _motion(self, previous: Any, current: Any, picture: Picture) -> Matrix4 | None:
        height, width = picture.grey.shape
        odometry = open3d.pipelines.odometry
        found, motion, _ = odometry.compute_rgbd_odometry(
            current,
            previous,
            open3d.camera.PinholeCameraIntrinsic(width, height, picture.matrix),
            jacobian=odometry.RGBDOdometryJacobianFromColorTerm(),
        )
        return motion if found and np.isfinite(motion).all() else None
