# SPDX-License-Identifier: Apache-2.0
"""Options of the node `refine` around the refinement; declared without ROS, once for all users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flowcam_ros.errors import ConfigError
from flowcam_ros.runs.refine_config import RefineRunConfig
from flowcam_ros.sequences.options import SequenceOptions
from flowcam_ros.settings import option


@dataclass(frozen=True)
class RefineNodeOptions:
    """What the node does by itself, and what it publishes."""

    bag: str = option(
        '',
        'Bag, folder or video to refine at once; empty: wait for a goal of the action '
        '~/refine_bag.',
    )
    output: str = option('', 'New folder for its result; empty: a new one in output_dir.')
    output_dir: str = option(
        '',
        'Folder of results that are not named; empty: flowcam_ros in $ROS_HOME (~/.ros).',
    )
    exit_when_done: bool = option(
        False, 'End the process when the bag is done; false: go on to show its result.'
    )
    map_frame: str = option('map', 'World-fixed frame of the refined path and cloud.')
    odom_frame: str = option(
        'odom',
        "The odometry's world-fixed frame; a recording that holds odometry names it itself.",
    )
    publish_tf: bool = option(
        True, 'Send TF map_frame -> odom_frame; false where another node owns that edge.'
    )
    max_cloud_points: int = option(
        2_000_000,
        'Points in the published cloud at most; cloud.ply holds all.',
        unit='points',
        ge=1000,
        le=100_000_000,
    )
    feedback_rate: float = option(
        2.0, 'How often progress is told to who sent the goal.', unit='Hz', ge=0.1, le=30.0
    )


@dataclass(frozen=True)
class RefineInputOptions:
    """How to read the recording; empty names are found where that is unambiguous."""

    camera: str = option(
        '', "Calibration file that replaces the recording's own; a video needs one."
    )
    mask: str = option('', 'PNG whose zero pixels are never used.')
    image_topic: str = option('', 'Bag topic of the picture.')
    camera_info_topic: str = option('', 'Its CameraInfo; empty: beside the picture.')
    depth_topic: str = option('', "Measured depth; 'none' for no depth.")
    depth_camera_info_topic: str = option('', 'Its CameraInfo; empty: beside the depth.')
    right_topic: str = option(
        '', "Right picture of a rectified stereo pair; 'none' for no stereo."
    )
    right_camera_info_topic: str = option('', 'Its CameraInfo, which holds the baseline.')
    max_time_difference: float = option(
        0.02,
        'Farthest apart in time that a picture and its depth or right picture may be.',
        unit='s',
        ge=0.0,
        le=1.0,
    )
    strict: bool = option(False, 'Check every checksum of the recording before reading it.')

    def sequence_options(self) -> SequenceOptions:
        """Return these as ``open_sequence`` takes them."""
        return SequenceOptions(
            image_topic=self.image_topic or None,
            camera_info_topic=self.camera_info_topic or None,
            depth_topic=self.depth_topic or None,
            depth_camera_info_topic=self.depth_camera_info_topic or None,
            right_topic=self.right_topic or None,
            right_camera_info_topic=self.right_camera_info_topic or None,
            camera=Path(self.camera).expanduser() if self.camera else None,
            mask=Path(self.mask).expanduser() if self.mask else None,
            max_time_difference_s=self.max_time_difference,
            strict=self.strict,
        )


@dataclass(frozen=True)
class RefineGoalConfig(RefineRunConfig, RefineInputOptions):
    """The options that a goal of the action may change for itself."""


@dataclass(frozen=True)
class RefineNodeConfig(RefineGoalConfig, RefineNodeOptions):
    """All parameters of the node: its own and, beside them, those of the refinement.

    Raises:
        ConfigError: a frame has no name, or both the same.
    """

    def __post_init__(self) -> None:
        for name in ('map_frame', 'odom_frame'):
            if not getattr(self, name):
                raise ConfigError(f'{name}: must not be empty')
        if self.map_frame == self.odom_frame:
            raise ConfigError(f'map_frame: {self.map_frame!r} is odom_frame too; they must differ')
