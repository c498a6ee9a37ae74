# SPDX-License-Identifier: Apache-2.0
"""Options of the odometry node around the estimator; declared without ROS, once for all users."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.errors import ConfigError
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.settings import option


@dataclass(frozen=True)
class FrameOptions:
    """Coordinate frames and what is said about them."""

    base_frame: str = option(
        'base_link',
        'Body frame whose motion is reported, child of odom_frame; its transform to the camera '
        'must be in TF. Empty: the optical frame of the camera itself.',
    )
    odom_frame: str = option('odom', 'World-fixed frame the poses are given in.')
    publish_tf: bool = option(
        True, 'Send TF odom_frame -> base_frame; false where another node owns that edge.'
    )
    invert_odom_tf: bool = option(
        False, 'Send TF base_frame -> odom_frame instead, which makes odom_frame a leaf.'
    )
    tf_is_dynamic: bool = option(
        False, 'Look up the camera in base_frame for each image (a moving head), not once.'
    )
    wait_for_transform: float = option(
        0.2, 'How long one image waits for the transform of its camera.', unit='s', ge=0.0, le=2.0
    )
    publish_null_when_lost: bool = option(
        False,
        'While LOST, still send odom: the predicted pose, zero twist, variances of 9999. TF is '
        'not sent while LOST either way.',
        dynamic=True,
    )


@dataclass(frozen=True)
class InputOptions:
    """What is subscribed, and which images are taken up."""

    image_transport: str = option(
        'raw',
        'Transport of image and right/image; compressed listens to <topic>/compressed.',
        choices=('raw', 'compressed'),
    )
    depth_transport: str = option(
        'raw',
        'Transport of depth/image; compressedDepth listens to <topic>/compressedDepth.',
        choices=('raw', 'compressedDepth'),
    )
    qos_image: str = option(
        'sensor_data',
        'Quality of service asked of image topics; sensor_data (best effort) hears every '
        'publisher, reliable only reliable ones.',
        choices=('sensor_data', 'reliable'),
    )
    qos_camera_info: str = option(
        'sensor_data',
        'The same for camera_info topics; transient_local also hears a latched camera_info that '
        'was sent before.',
        choices=('sensor_data', 'reliable', 'transient_local'),
    )
    topic_queue_size: int = option(
        5,
        'Messages kept per subscription until they are looked at.',
        unit='messages',
        ge=1,
        le=100,
    )
    approx_sync: bool = option(
        True, 'Pair image with depth or right image by nearest stamps; false: equal stamps only.'
    )
    approx_sync_max_interval: float = option(
        0.02, 'Largest difference of the stamps in a pair.', unit='s', ge=0.0, le=1.0
    )
    sync_queue_size: int = option(
        5, 'Unpaired messages kept per topic.', unit='messages', ge=1, le=100
    )
    always_process_most_recent_frame: bool = option(
        True,
        'When images come faster than they are done, take the newest and count the others as '
        'dropped; false: take them in order from a queue of topic_queue_size.',
    )
    max_rate: float = option(
        0.0,
        'Images taken up per second at most, by their stamps; 0: all.',
        unit='Hz',
        ge=0.0,
        le=1000.0,
        dynamic=True,
    )
    expected_rate: float = option(
        0.0,
        'Rate the camera should have; diagnostics warn below 80 % of it. 0: not checked.',
        unit='Hz',
        ge=0.0,
        le=1000.0,
        dynamic=True,
    )
    watchdog_s: float = option(
        5.0,
        'Images come but none is answered for this long: diagnostics say ERROR.',
        unit='s',
        ge=0.5,
        le=600.0,
        dynamic=True,
    )


@dataclass(frozen=True)
class OutputOptions:
    """What is published beside odom and TF, and where files go."""

    cloud_decimation: int = option(
        2,
        'Each n-th row and column of the depth becomes a point of depth/points.',
        unit='pixels',
        ge=1,
        le=32,
        dynamic=True,
    )
    depth_rate: float = option(
        10.0,
        'Depth images and clouds sent per second at most, and only to subscribers; 0: with every '
        'image.',
        unit='Hz',
        ge=0.0,
        le=1000.0,
        dynamic=True,
    )
    path_max_size: int = option(
        1000,
        'Poses in path at most; when it is full, every second one goes and the spacing doubles.',
        unit='poses',
        ge=10,
        le=100000,
    )
    path_rate: float = option(
        1.0, 'How often path is sent, and only to subscribers.', unit='Hz', ge=0.1, le=30.0
    )
    trajectory_max_size: int = option(
        500000,
        'Poses kept for ~/save_trajectory; the oldest go first (500000: 4.6 hours at 30 Hz, '
        '32 MB).',
        unit='poses',
        ge=100,
        le=50000000,
    )
    output_dir: str = option(
        '',
        'Folder of files that ~/save_trajectory names itself; empty: flowcam_ros in $ROS_HOME '
        '(~/.ros).',
    )
    autostart: bool = option(
        True, 'Configure and activate at start; false: leave that to a lifecycle manager.'
    )


@dataclass(frozen=True)
class OdometryNodeConfig(OdometryConfig, OutputOptions, InputOptions, FrameOptions):
    """All parameters of the odometry node: its own and, beside them, the estimator's.

    Raises:
        ConfigError: odom_frame is empty or the same as base_frame.
    """

    def __post_init__(self) -> None:
        if not self.odom_frame:
            raise ConfigError('odom_frame: must not be empty')
        if self.odom_frame == self.base_frame:
            raise ConfigError(
                f'odom_frame: {self.odom_frame!r} is base_frame too; they must differ'
            )
