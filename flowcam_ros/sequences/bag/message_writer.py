# SPDX-License-Identifier: Apache-2.0
"""Write ROS messages to an open bag, without ROS."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from jaxtyping import Float
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
from flowcam_ros.sequences.bag.messages import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    ODOMETRY,
    TF,
    typestore,
)
from flowcam_ros.sequences.stamps import NANOSECONDS, seconds_text

# Variance of what is not known, by custom of ROS odometry.
_UNKNOWN = 9999.0
# builtin_interfaces/Time counts seconds in 32 bits with a sign.
_LAST_SECOND = 2**31 - 1


class MessageWriter:
    """Makes messages and writes each at its own stamp.

    Args:
        writer: an open bag.
        latched: topics whose last message also reaches those who come late.

    Attributes:
        counts: number of messages written, by topic.
    """

    def __init__(self, writer: Writer, latched: Collection[str] = ('/tf_static',)) -> None:
        self.counts: dict[str, int] = {}
        self.types = typestore().types
        self._writer = writer
        self._latched = latched
        self._connections: dict[str, Connection] = {}

    def write_image(
        self, topic: str, stamp: int, frame_id: str, encoding: str, image: np.ndarray
    ) -> None:
        """Write an array of pixels as sensor_msgs/Image."""
        image = np.ascontiguousarray(image)
        message = self.types[IMAGE](
            header=self.header(stamp, frame_id),
            height=image.shape[0],
            width=image.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=image.strides[0],
            data=image.reshape(-1).view(np.uint8),
        )
        self.write(topic, IMAGE, stamp, message)

    def write_compressed(
        self, topic: str, stamp: int, frame_id: str, form: str, data: bytes
    ) -> None:
        """Write an encoded picture as sensor_msgs/CompressedImage."""
        message = self.types[COMPRESSED_IMAGE](
            header=self.header(stamp, frame_id), format=form, data=np.frombuffer(data, np.uint8)
        )
        self.write(topic, COMPRESSED_IMAGE, stamp, message)

    def write_info(
        self, topic: str, stamp: int, frame_id: str, camera: CameraModel, baseline: float = 0.0
    ) -> None:
        """Write intrinsics; ``baseline`` is that of the right camera of a pair, metres."""
        projection = np.hstack([camera.matrix, np.zeros((3, 1))])
        projection[0, 3] = -camera.fx * baseline
        model = camera.distortion_model if camera.is_distorted else 'plumb_bob'
        message = self.types[CAMERA_INFO](
            header=self.header(stamp, frame_id),
            height=camera.height,
            width=camera.width,
            distortion_model=model,
            d=np.array(camera.distortion or (0.0,) * 5, np.float64),
            k=camera.matrix.ravel(),
            r=np.eye(3).ravel(),
            p=projection.ravel(),
            binning_x=0,
            binning_y=0,
            roi=self.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
        )
        self.write(topic, CAMERA_INFO, stamp, message)

    def write_pose(
        self,
        topic: str,
        stamp: int,
        parent: str,
        child: str,
        parent_from_child: Float[np.ndarray, '4 4'],
    ) -> None:
        """Write a pose as nav_msgs/Odometry; its velocity is not known."""
        zero = self.types['geometry_msgs/msg/Vector3'](0.0, 0.0, 0.0)
        message = self.types[ODOMETRY](
            header=self.header(stamp, parent),
            child_frame_id=child,
            pose=self.types['geometry_msgs/msg/PoseWithCovariance'](
                pose=self.pose(parent_from_child), covariance=np.zeros(36)
            ),
            twist=self.types['geometry_msgs/msg/TwistWithCovariance'](
                twist=self.types['geometry_msgs/msg/Twist'](linear=zero, angular=zero),
                covariance=np.diag(np.full(6, _UNKNOWN)).ravel(),
            ),
        )
        self.write(topic, ODOMETRY, stamp, message)

    def write_transforms(
        self,
        topic: str,
        stamp: int,
        edges: Iterable[tuple[str, str, Float[np.ndarray, '4 4']]],
    ) -> None:
        """Write edges of the TF tree: parent, child, ``parent_from_child``."""
        transforms = []
        for parent, child, parent_from_child in edges:
            x, y, z = (float(v) for v in parent_from_child[:3, 3])
            transform = self.types['geometry_msgs/msg/Transform'](
                translation=self.types['geometry_msgs/msg/Vector3'](x, y, z),
                rotation=self._quaternion(parent_from_child),
            )
            stamped = self.types['geometry_msgs/msg/TransformStamped'](
                header=self.header(stamp, parent), child_frame_id=child, transform=transform
            )
            transforms.append(stamped)
        self.write(topic, TF, stamp, self.types[TF](transforms=transforms))

    def pose(self, transform: Float[np.ndarray, '4 4']) -> Any:
        """Return a geometry_msgs/Pose."""
        x, y, z = (float(v) for v in transform[:3, 3])
        return self.types['geometry_msgs/msg/Pose'](
            position=self.types['geometry_msgs/msg/Point'](x, y, z),
            orientation=self._quaternion(transform),
        )

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """Return a std_msgs/Header.

        Raises:
            SequenceError: the stamp is outside what a message can hold.
        """
        seconds, nanoseconds = divmod(int(stamp_ns), NANOSECONDS)
        if not 0 <= seconds <= _LAST_SECOND:
            raise SequenceError(
                f'stamp {seconds_text(stamp_ns)} s: a ROS message holds 0 to {_LAST_SECOND} s'
            )
        stamp = self.types['builtin_interfaces/msg/Time'](seconds, nanoseconds)
        return self.types['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)

    def write(self, topic: str, kind: str, stamp: int, message: Any) -> None:
        """Write any message, recorded at ``stamp`` (integer nanoseconds)."""
        if topic not in self._connections:
            qos = _qos(latched=topic in self._latched)
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=typestore(), offered_qos_profiles=[qos]
            )
            self.counts[topic] = 0
        data = typestore().serialize_cdr(message, kind)
        self._writer.write(self._connections[topic], stamp, data)
        self.counts[topic] += 1

    def _quaternion(self, transform: Float[np.ndarray, '4 4']) -> Any:
        x, y, z, w = (float(v) for v in se3.quaternion(transform))
        return self.types['geometry_msgs/msg/Quaternion'](x, y, z, w)


def _qos(*, latched: bool) -> Qos:
    """Return reliable QoS; what is latched must also reach those who come late."""
    forever = QosTime(9223372036, 854775807)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=forever,
        lifespan=forever,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )
