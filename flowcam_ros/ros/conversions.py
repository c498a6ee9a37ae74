# SPDX-License-Identifier: Apache-2.0
"""Where core conventions become those of live ROS: REP-103 axes, REP-105 frames, messages.

The core gives poses of the optical camera frame (x right, y down, z forward) in the world of the
epoch's first camera. ROS wants the body frame (x forward, y left, z up) in an odometry frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from builtin_interfaces.msg import Time as TimeMsg
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, TransformStamped, Vector3
from jaxtyping import Float
from nav_msgs.msg import Odometry
from std_msgs.msg import Header

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.axes import BODY_FROM_OPTICAL
from flowcam_ros.geometry.covariance import Matrix6, rotated, symmetric
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.estimate import PoseEstimate

# Variance that says "unknown", as rtabmap and robot_localization users know it.
UNKNOWN_VARIANCE = 9999.0
# robot_localization takes a variance of zero for a mistake; no estimate is that sure.
MIN_VARIANCE = 1e-9


@dataclass(frozen=True)
class BodyMotion:
    """Where the body is, and how it moves.

    Attributes:
        stamp_ns: stamp of the image.
        odom_from_base: (4, 4) pose of the base frame.
        covariance: (6, 6) x, y, z, rotation about the fixed x, y, z axes of the odometry frame.
        twist: (6,) velocity of the base frame in its own axes, linear then angular.
        twist_covariance: (6, 6) in the same axes.
    """

    stamp_ns: int
    odom_from_base: Matrix4
    covariance: Matrix6
    twist: Float[np.ndarray, '6']
    twist_covariance: Matrix6

    @cached_property
    def quaternion(self) -> Float[np.ndarray, '4']:
        """The rotation of ``odom_from_base`` as x, y, z, w; unit length, w >= 0."""
        return se3.quaternion(self.odom_from_base)


def odom_from_world(base_from_camera: Matrix4 | None, world_from_camera: Matrix4) -> Matrix4:
    """Return the change of the world for an epoch that begins at ``world_from_camera``.

    Args:
        base_from_camera: of the first frame; None when the reported frame is the camera itself.
        world_from_camera: pose of the first frame, the identity in a fresh epoch.

    Returns:
        The odometry frame lies where the base frame is at that moment; with no base frame it lies
        in the camera, with body axes.
    """
    start = BODY_FROM_OPTICAL if base_from_camera is None else base_from_camera
    return start @ se3.inverse(world_from_camera)


def body_motion(
    estimate: PoseEstimate,
    odom_from_world: Matrix4,
    base_from_camera: Matrix4 | None,
    camera_in_base_twist: Float[np.ndarray, '6'] | None = None,
) -> BodyMotion:
    """Carry an estimate of the camera over to the base frame.

    The lever arm between the two couples rotation errors into the position and the turn rate into
    the velocity, as the adjoint of the transform says.

    Args:
        estimate: of the camera, in the world.
        odom_from_world: as :func:`odom_from_world` gives it.
        base_from_camera: None when the reported frame is the camera itself.
        camera_in_base_twist: (6,) own motion of the camera within the base (a moving head), in
            camera axes; it is no motion of the body.
    """
    camera_from_base = np.eye(4) if base_from_camera is None else se3.inverse(base_from_camera)
    pose = estimate.world_from_camera
    lever = np.eye(6)
    lever[:3, 3:] = -se3.skew(pose[:3, :3] @ camera_from_base[:3, 3])
    covariance = rotated(lever @ estimate.covariance @ lever.T, odom_from_world[:3, :3])
    twist = estimate.twist
    if camera_in_base_twist is not None:
        twist = twist - camera_in_base_twist
    adjoint = np.zeros((6, 6))
    adjoint[:3, :3] = adjoint[3:, 3:] = camera_from_base[:3, :3].T
    adjoint[:3, 3:] = -adjoint[:3, :3] @ se3.skew(camera_from_base[:3, 3])
    return BodyMotion(
        estimate.stamp_ns,
        odom_from_world @ pose @ camera_from_base,
        trustworthy(covariance),
        adjoint @ twist,
        trustworthy(adjoint @ estimate.twist_covariance @ adjoint.T),
    )


def trustworthy(covariance: Matrix6) -> Matrix6:
    """Return a covariance a filter can use: finite, symmetric, positive definite.

    Variances are kept between MIN_VARIANCE and UNKNOWN_VARIANCE in every direction.
    """
    if not np.isfinite(covariance).all():
        return np.eye(6) * UNKNOWN_VARIANCE
    # Beyond this a number is a fault, and would hide the small ones.
    covariance = symmetric(np.clip(covariance, -1e9, 1e9))
    values, vectors = np.linalg.eigh(covariance)
    if values[0] >= MIN_VARIANCE and values[-1] <= UNKNOWN_VARIANCE:
        return covariance
    values = np.clip(values, MIN_VARIANCE, UNKNOWN_VARIANCE)
    return symmetric((vectors * values) @ vectors.T)


def unbelieved(motion: BodyMotion) -> BodyMotion:
    """Return the predicted pose marked as unknown: zero twist, variances of 9999."""
    unknown = np.eye(6) * UNKNOWN_VARIANCE
    return BodyMotion(motion.stamp_ns, motion.odom_from_base, unknown, np.zeros(6), unknown)


def stamp_ns(stamp: TimeMsg) -> int:
    """Return a message's stamp as integer nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def stamp_msg(nanoseconds: int) -> TimeMsg:
    """Return integer nanoseconds as a stamp."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return TimeMsg(sec=seconds, nanosec=rest)


def header(nanoseconds: int, frame_id: str) -> Header:
    """Return a header."""
    return Header(stamp=stamp_msg(nanoseconds), frame_id=frame_id)


def pose_msg(motion: BodyMotion) -> Pose:
    """Return the pose of the body."""
    x, y, z = motion.odom_from_base[:3, 3].tolist()
    return Pose(position=Point(x=x, y=y, z=z), orientation=quaternion_msg(motion.quaternion))


def quaternion_msg(quaternion_xyzw: Float[np.ndarray, '4']) -> Quaternion:
    """Return a quaternion message."""
    x, y, z, w = quaternion_xyzw.tolist()
    return Quaternion(x=x, y=y, z=z, w=w)


def vector_msg(vector: Float[np.ndarray, '3']) -> Vector3:
    """Return a vector message."""
    x, y, z = vector.tolist()
    return Vector3(x=x, y=y, z=z)


def odometry_msg(motion: BodyMotion, odom_frame: str, base_frame: str) -> Odometry:
    """Return the Odometry message of a motion."""
    msg = Odometry(header=header(motion.stamp_ns, odom_frame), child_frame_id=base_frame)
    msg.pose.pose = pose_msg(motion)
    msg.pose.covariance = motion.covariance.ravel()
    msg.twist.twist.linear = vector_msg(motion.twist[:3])
    msg.twist.twist.angular = vector_msg(motion.twist[3:])
    msg.twist.covariance = motion.twist_covariance.ravel()
    return msg


def transform_msg(
    motion: BodyMotion, odom_frame: str, base_frame: str, *, inverted: bool = False
) -> TransformStamped:
    """Return the TF edge odometry frame -> base frame, or the other way round."""
    if inverted:
        base_from_odom = se3.inverse(motion.odom_from_base)
        translation, quaternion = base_from_odom[:3, 3], se3.quaternion(base_from_odom)
        odom_frame, base_frame = base_frame, odom_frame
    else:
        translation, quaternion = motion.odom_from_base[:3, 3], motion.quaternion
    msg = TransformStamped(header=header(motion.stamp_ns, odom_frame), child_frame_id=base_frame)
    msg.transform.translation = vector_msg(translation)
    msg.transform.rotation = quaternion_msg(quaternion)
    return msg


def transform_from_msg(msg: TransformStamped) -> Matrix4:
    """Return ``parent_from_child`` of a TF edge.

    Raises:
        ValueError: the transform holds NaN or a quaternion of no length.
    """
    t, q = msg.transform.translation, msg.transform.rotation
    values = np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])
    if not np.isfinite(values).all() or not np.linalg.norm(values[3:]) > 1e-6:
        raise ValueError('not a transform: NaN or a quaternion of no length')
    return se3.from_quaternion(values[:3], values[3:])


def pose_stamped_msg(motion: BodyMotion, odom_frame: str) -> PoseStamped:
    """Return the pose of the body as one point of a path."""
    return PoseStamped(header=header(motion.stamp_ns, odom_frame), pose=pose_msg(motion))
