# SPDX-License-Identifier: Apache-2.0
"""Turn frames into the messages of a bag."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Writer

from flowcam_ros.errors import SequenceError
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame
from flowcam_ros.sequences.bag.ground_truth import GROUND_TRUTH_TOPIC
from flowcam_ros.sequences.bag.messages import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    ODOMETRY,
    TF,
    typestore,
)
from flowcam_ros.sequences.stamps import NANOSECONDS, seconds_text

_WORLD_FRAME = 'world'
# Depth that has a pose of its own needs a frame of its own.
_DEPTH_FRAME = 'camera_depth_optical_frame'
# Variance of what is not known, by custom of ROS odometry.
_UNKNOWN = 9999.0
_MILLIMETRES = 1000.0
# builtin_interfaces/Time counts seconds in 32 bits with a sign.
_LAST_SECOND = 2**31 - 1


class TopicWriter:
    """Writes frames and true poses to an open bag.

    Attributes:
        counts: number of messages written, by topic.
    """

    def __init__(self, writer: Writer, compressed: bool) -> None:
        self.counts: dict[str, int] = {}
        self._writer = writer
        self._compressed = compressed
        self._connections: dict[str, Connection] = {}
        self._types = typestore().types

    def write_frame(self, frame: Frame) -> None:
        """Write the picture with all that comes with it."""
        stamp, frame_id, baseline = frame.stamp_ns, frame.frame_id, 0.0
        self._write_picture('/camera/image', stamp, frame_id, frame.image)
        self._write_info('/camera/camera_info', stamp, frame_id, frame.camera)
        if frame.depth is not None:
            self._write_depth(stamp, frame_id, frame.depth)
        if frame.right is not None:
            right, baseline = frame.right, frame.right.baseline
            self._write_picture('/camera/right/image', stamp, frame_id, right.image)
            info = '/camera/right/camera_info'
            self._write_info(info, stamp, frame_id, right.camera, baseline)

    def write_true_pose(self, stamp_ns: int, world_from_camera: np.ndarray, frame_id: str) -> None:
        """Write a true pose of the camera; its velocity is not known."""
        types = self._types
        x, y, z = (float(v) for v in world_from_camera[:3, 3])
        unknown = np.diag(np.full(6, _UNKNOWN)).ravel()
        zero = types['geometry_msgs/msg/Vector3'](0.0, 0.0, 0.0)
        message = types[ODOMETRY](
            header=self._header(stamp_ns, _WORLD_FRAME),
            child_frame_id=frame_id,
            pose=types['geometry_msgs/msg/PoseWithCovariance'](
                pose=types['geometry_msgs/msg/Pose'](
                    position=types['geometry_msgs/msg/Point'](x, y, z),
                    orientation=self._quaternion(world_from_camera),
                ),
                covariance=np.zeros(36),
            ),
            twist=types['geometry_msgs/msg/TwistWithCovariance'](
                twist=types['geometry_msgs/msg/Twist'](linear=zero, angular=zero),
                covariance=unknown,
            ),
        )
        self._write(GROUND_TRUTH_TOPIC, ODOMETRY, stamp_ns, message)

    def _write_picture(self, topic: str, stamp: int, frame_id: str, image: np.ndarray) -> None:
        encoding = 'mono8' if image.ndim == 2 else 'bgr8'
        if self._compressed:
            data, form = _png(image), f'{encoding}; png compressed {encoding}'
            self._write_compressed(f'{topic}/compressed', stamp, frame_id, form, data)
        else:
            self._write_image(topic, stamp, frame_id, encoding, image)

    def _write_depth(self, stamp: int, color_frame: str, depth: DepthImage) -> None:
        frame_id = color_frame
        if not np.array_equal(depth.color_from_depth, np.eye(4)):
            frame_id = _DEPTH_FRAME
            self._write_transform_once(stamp, color_frame, frame_id, depth.color_from_depth)
        topic = '/camera/depth/image'
        known = np.where((depth.depth > 0) & np.isfinite(depth.depth), depth.depth, 0.0)
        known = known.astype(np.float32)
        millimetres = _as_millimetres(known)
        if self._compressed:
            header = struct.pack('<iff', 0, 0.0, 0.0)
            form, data = '16UC1; compressedDepth png', header + _png(millimetres)
            self._write_compressed(f'{topic}/compressedDepth', stamp, frame_id, form, data)
        elif np.array_equal(millimetres / np.float32(_MILLIMETRES), known):
            self._write_image(topic, stamp, frame_id, '16UC1', millimetres)
        else:
            self._write_image(topic, stamp, frame_id, '32FC1', known)
        self._write_info('/camera/depth/camera_info', stamp, frame_id, depth.camera)

    def _write_image(
        self, topic: str, stamp: int, frame_id: str, encoding: str, image: np.ndarray
    ) -> None:
        image = np.ascontiguousarray(image)
        message = self._types[IMAGE](
            header=self._header(stamp, frame_id),
            height=image.shape[0],
            width=image.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=image.strides[0],
            data=image.reshape(-1).view(np.uint8),
        )
        self._write(topic, IMAGE, stamp, message)

    def _write_compressed(
        self, topic: str, stamp: int, frame_id: str, form: str, data: bytes
    ) -> None:
        message = self._types[COMPRESSED_IMAGE](
            header=self._header(stamp, frame_id), format=form, data=np.frombuffer(data, np.uint8)
        )
        self._write(topic, COMPRESSED_IMAGE, stamp, message)

    def _write_info(
        self, topic: str, stamp: int, frame_id: str, camera: CameraModel, baseline: float = 0.0
    ) -> None:
        projection = np.hstack([camera.matrix, np.zeros((3, 1))])
        projection[0, 3] = -camera.fx * baseline
        model = camera.distortion_model if camera.is_distorted else 'plumb_bob'
        message = self._types[CAMERA_INFO](
            header=self._header(stamp, frame_id),
            height=camera.height,
            width=camera.width,
            distortion_model=model,
            d=np.array(camera.distortion or (0.0,) * 5, np.float64),
            k=camera.matrix.ravel(),
            r=np.eye(3).ravel(),
            p=projection.ravel(),
            binning_x=0,
            binning_y=0,
            roi=self._types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
        )
        self._write(topic, CAMERA_INFO, stamp, message)

    def _write_transform_once(
        self, stamp: int, parent: str, child: str, parent_from_child: np.ndarray
    ) -> None:
        if '/tf_static' in self._connections:
            return
        types = self._types
        x, y, z = (float(v) for v in parent_from_child[:3, 3])
        transform = types['geometry_msgs/msg/Transform'](
            translation=types['geometry_msgs/msg/Vector3'](x, y, z),
            rotation=self._quaternion(parent_from_child),
        )
        stamped = types['geometry_msgs/msg/TransformStamped'](
            header=self._header(stamp, parent), child_frame_id=child, transform=transform
        )
        self._write('/tf_static', TF, stamp, types[TF](transforms=[stamped]))

    def _quaternion(self, transform: np.ndarray) -> Any:
        x, y, z, w = (float(v) for v in se3.quaternion(transform))
        return self._types['geometry_msgs/msg/Quaternion'](x, y, z, w)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        seconds, nanoseconds = divmod(int(stamp_ns), NANOSECONDS)
        if not 0 <= seconds <= _LAST_SECOND:
            raise SequenceError(
                f'stamp {seconds_text(stamp_ns)} s: a ROS message holds 0 to {_LAST_SECOND} s'
            )
        stamp = self._types['builtin_interfaces/msg/Time'](seconds, nanoseconds)
        return self._types['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)

    def _write(self, topic: str, kind: str, stamp: int, message: Any) -> None:
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=typestore(), offered_qos_profiles=[_qos(topic)]
            )
            self.counts[topic] = 0
        data = typestore().serialize_cdr(message, kind)
        self._writer.write(self._connections[topic], stamp, data)
        self.counts[topic] += 1


def _as_millimetres(depth: np.ndarray) -> np.ndarray:
    millimetres = np.rint(depth * np.float32(_MILLIMETRES))
    return np.where(millimetres < 65536, millimetres, 0).astype(np.uint16)


def _png(image: np.ndarray) -> bytes:
    encoded, data = cv2.imencode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not encoded:
        raise ValueError(f'OpenCV cannot encode an image of shape {image.shape} as PNG')
    return data.tobytes()


def _qos(topic: str) -> Qos:
    """Return reliable QoS; static transforms must also reach those who come late."""
    late = topic == '/tf_static'
    forever = QosTime(9223372036, 854775807)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if late else QosDurability.VOLATILE,
        deadline=forever,
        lifespan=forever,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )
