# SPDX-License-Identifier: Apache-2.0
"""From the messages of one instant to the Frame the estimator takes; every claim is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from cv_bridge import CvBridge, CvBridgeError
from jaxtyping import Bool, UInt8
from sensor_msgs.msg import CameraInfo

from flowcam_ros.errors import CameraError, FrameRejected
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame, StereoImage
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.ros.conversions import stamp_ns
from flowcam_ros.ros.inputs import CAMERA_INFO, DEPTH_INFO, IMAGE, MASK, RIGHT_INFO, Packet
from flowcam_ros.ros.partner import DEPTH, RIGHT
from flowcam_ros.sequences.camera_messages import (
    baseline_from_info,
    camera_from_info,
    fit_camera,
)
from flowcam_ros.sequences.image_messages import (
    check_image,
    decode_compressed,
    decode_compressed_depth,
    decode_depth,
)
from flowcam_ros.sequences.pixels import to_grey_or_bgr
from flowcam_ros.sequences.topic_names import is_rectified

# Pictures that may be rectified, by the role of their camera_info.
_PICTURE_OF = {CAMERA_INFO: IMAGE, RIGHT_INFO: RIGHT}

# Finds color_from_depth: (colour frame, depth frame, stamp) -> 4x4.
Lookup = Callable[[str, str, int], Matrix4]


class FrameBuilder:
    """Decodes and checks the messages of one packet.

    Args:
        config: the transports.
        topics: full topic of each role, for messages to the user.
        latest: the newest camera_info messages and mask by role.
        lookup: finds the transform between two sensors.
    """

    def __init__(
        self,
        config: OdometryNodeConfig,
        topics: Mapping[str, str],
        latest: Mapping[str, Any],
        lookup: Lookup,
    ) -> None:
        self._config, self._topics, self._latest, self._lookup = config, topics, latest, lookup
        self._bridge = CvBridge()
        self._cameras: dict[str, tuple[object, CameraModel]] = {}
        self._mask: tuple[Any, Bool[np.ndarray, 'height width']] | None = None

    def frame_id(self, packet: Packet) -> str:
        """Return the name of the camera's optical frame.

        Raises:
            FrameRejected: neither the image nor its camera_info names one.
        """
        info = self._latest.get(CAMERA_INFO)
        name = packet.image.header.frame_id or (info.header.frame_id if info else '')
        if not name:
            raise FrameRejected(
                'frame_id',
                'header.frame_id of image and camera_info is empty; set it in the driver',
            )
        return str(name)

    def build(self, packet: Packet) -> Frame:
        """Return the frame.

        Raises:
            FrameRejected: an image or a camera_info is unusable; the message says which and why.
            TransformMissing: the depth camera's place beside the colour camera is not known.
        """
        stamp = stamp_ns(packet.image.header.stamp)
        if stamp <= 0:
            raise FrameRejected('stamp', 'header.stamp of the image is zero; set it in the driver')
        name = self.frame_id(packet)
        image = self._picture(packet.image)
        height, width = image.shape[:2]
        camera = self._camera(CAMERA_INFO, width, height)
        return Frame(
            stamp_ns=stamp,
            image=image,
            camera=camera,
            depth=self._depth(packet.depth, camera, name, stamp) if packet.depth else None,
            right=self._right(packet.right) if packet.right else None,
            mask=self._usable(width, height),
            frame_id=name,
        )

    def _picture(self, message: Any) -> UInt8[np.ndarray, 'height width *channels']:
        """Return the picture of an image message as grey or BGR."""
        if self._config.image_transport == 'compressed':
            return decode_compressed(message)
        return self._raw_picture(message)

    def _raw_picture(self, message: Any) -> UInt8[np.ndarray, 'height width *channels']:
        encoding = check_image(message)
        try:
            image = self._bridge.imgmsg_to_cv2(
                message, 'passthrough' if encoding.conversion is None else 'bgr8'
            )
        except CvBridgeError as error:
            raise FrameRejected('encoding', ' '.join(str(error).split())) from error
        return to_grey_or_bgr(np.asarray(image))

    def _camera(self, role: str, width: int, height: int) -> CameraModel:
        """Return the intrinsics of an image of this size; the last ones are kept.

        image_proc sends rectified pictures beside the camera_info of the raw ones: a topic named
        ``image_rect`` goes with P instead of K and D.
        """
        info = self._latest.get(role)
        topic = self._topics[role]
        if info is None:
            raise FrameRejected(role, f'no camera_info on {topic} yet; start it, or remap {role}')
        key = (width, height, _content(info))
        known = self._cameras.get(role)
        if known is not None and known[0] == key:
            return known[1]
        picture = _PICTURE_OF.get(role)
        rectified = picture is not None and is_rectified(self._topics[picture])
        try:
            camera = camera_from_info(info, width, height, rectified=rectified)
        except CameraError as error:
            raise FrameRejected('camera_info', f'{topic}: {error}') from error
        self._cameras[role] = (key, camera)
        return camera

    def _depth(self, message: Any, camera: CameraModel, name: str, stamp: int) -> DepthImage:
        if self._config.depth_transport == 'compressedDepth':
            depth = decode_compressed_depth(message)
        else:
            depth = decode_depth(message)
        height, width = depth.shape
        depth_frame = message.header.frame_id or name
        if DEPTH_INFO in self._latest:
            depth_camera = self._camera(DEPTH_INFO, width, height)
        elif depth_frame == name:
            depth_camera = self._registered(camera, width, height)
        else:
            raise FrameRejected(
                DEPTH_INFO,
                f'{self._topics[DEPTH]} is in frame {depth_frame!r}, the image in {name!r}, and '
                f'no camera_info comes on {self._topics[DEPTH_INFO]}; remap {DEPTH_INFO}',
            )
        if depth_frame == name:
            return DepthImage(depth, depth_camera)
        return DepthImage(depth, depth_camera, self._lookup(name, depth_frame, stamp))

    def _registered(self, camera: CameraModel, width: int, height: int) -> CameraModel:
        """Return the colour camera for depth that lies on its pixels, or on a multiple of them."""
        try:
            return fit_camera(camera, width, height)
        except CameraError as error:
            raise FrameRejected('depth_size', f'{self._topics[DEPTH]}: {error}') from error

    def _right(self, message: Any) -> StereoImage:
        image = self._picture(message)
        height, width = image.shape[:2]
        camera = self._camera(RIGHT_INFO, width, height)
        topic = self._topics[RIGHT_INFO]
        try:
            return StereoImage(image, camera, baseline_from_info(self._latest[RIGHT_INFO]))
        except CameraError as error:
            raise FrameRejected(RIGHT, f'{topic}: {error}') from error

    def _usable(self, width: int, height: int) -> Bool[np.ndarray, 'height width'] | None:
        """Return the newest mask: True where it is not zero; None if there is none."""
        message = self._latest.get(MASK)
        if message is None:
            return None
        if self._mask is None or self._mask[0] is not message:
            picture = self._raw_picture(message)
            self._mask = (message, _nonzero(picture))
        mask = self._mask[1]
        if mask.shape != (height, width):
            raise FrameRejected(
                'mask_size',
                f'{self._topics[MASK]} has {mask.shape[1]}x{mask.shape[0]} pixels, the image '
                f'{width}x{height}; send a mask of the same size',
            )
        return mask


def _content(info: CameraInfo) -> tuple[object, ...]:
    """Return what a camera model depends on, fast to compare."""
    roi = info.roi
    return (
        info.width,
        info.height,
        info.distortion_model,
        bytes(info.d),
        info.k.tobytes(),
        info.p.tobytes(),
        (info.binning_x, info.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
    )


def _nonzero(
    picture: UInt8[np.ndarray, 'height width *channels'],
) -> Bool[np.ndarray, 'height width']:
    return np.asarray(picture if picture.ndim == 2 else picture.max(axis=2)) > 0
