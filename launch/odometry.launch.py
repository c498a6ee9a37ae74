# SPDX-License-Identifier: Apache-2.0
"""Visual odometry on a camera's topics, or on a recorded bag, with RViz if wanted."""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    SetEnvironmentVariable,
    TimerAction,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(__file__).parent.parent

# The default of arguments that otherwise would override params_file.
UNCHANGED = 'as_in_params_file'

# name, default, description, choices
ARGUMENTS: list[tuple[str, str, str, list[str] | None]] = [
    (
        'preset',
        'auto',
        'Camera: rgbd (image and depth), stereo (rectified pair), mono (poses up to scale), or '
        'auto, which takes what is published.',
        ['auto', 'rgbd', 'stereo', 'mono'],
    ),
    (
        'params_file',
        '',
        'Parameter file, applied over the defaults and the preset; config/odometry.yaml lists '
        'every parameter.',
        None,
    ),
    ('image_topic', 'image', 'Images of the (left) camera.', None),
    ('camera_info_topic', '', 'Its calibration; empty: camera_info beside image_topic.', None),
    ('depth_topic', 'depth/image', 'Depth images, for rgbd.', None),
    ('depth_camera_info_topic', '', 'Empty: camera_info beside depth_topic.', None),
    ('right_topic', 'right/image', 'Rectified images of the right camera, for stereo.', None),
    ('right_camera_info_topic', '', 'Empty: camera_info beside right_topic.', None),
    ('mask_topic', 'mask', 'Images that are zero where pixels must not be used; optional.', None),
    (
        'image_transport',
        UNCHANGED,
        'Transport of image and right image.',
        [UNCHANGED, 'raw', 'compressed'],
    ),
    (
        'depth_transport',
        UNCHANGED,
        'Transport of depth.',
        [UNCHANGED, 'raw', 'compressedDepth'],
    ),
    (
        'base_frame',
        UNCHANGED,
        'Body frame whose motion is reported; TF must hold the camera in it. "none" reports the '
        "camera's optical frame itself.",
        None,
    ),
    ('odom_frame', UNCHANGED, 'World-fixed frame the poses are given in.', None),
    (
        'namespace',
        '',
        'Namespace of the node and of all relative topics; tf and tf_static go into it too.',
        None,
    ),
    (
        'use_sim_time',
        UNCHANGED,
        'Take the time from /clock; always so with bag.',
        [UNCHANGED, 'true', 'false'],
    ),
    (
        'autostart',
        UNCHANGED,
        'The node configures and activates itself (the default); false: a lifecycle manager does.',
        [UNCHANGED, 'true', 'false'],
    ),
    ('log_level', 'info', 'Severity from which the node logs: debug, info, warn, error.', None),
    ('respawn', 'false', 'Start the node again two seconds after it died.', ['true', 'false']),
    (
        'rviz',
        'false',
        'Show odometry, path, TF, image and depth cloud in RViz.',
        ['true', 'false'],
    ),
    (
        'rviz_config',
        str(SHARE / 'rviz' / 'odometry.rviz'),
        'Configuration of RViz.',
        None,
    ),
    ('bag', '', 'Recorded bag to play into the node, with /clock.', None),
    ('rate', '1.0', 'Speed at which the bag is played.', None),
    ('loop', 'false', 'Play the bag again and again.', ['true', 'false']),
    (
        'bag_delay',
        '4.0',
        'Seconds until the bag begins, so that the node is up and misses no image.',
        None,
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Return the node, and RViz and the bag player if asked for."""
    arguments = [
        DeclareLaunchArgument(
            name,
            default_value=default,
            description=description,
            choices=choices,
        )
        for name, default, description, choices in ARGUMENTS
    ]
    return LaunchDescription(
        [*arguments, *image_transport_profile(), OpaqueFunction(function=setup)]
    )


def image_transport_profile() -> list[Action]:
    """Give every process here shared memory that holds an image, unless the user chose one.

    With Fast DDS's default segment most images of a bag player are lost.
    """
    variables = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    if any(os.environ.get(variable) for variable in variables):
        return []
    profile = SHARE / 'config' / 'fastdds_images.xml'
    return [SetEnvironmentVariable(variables[0], str(profile))]


def setup(context: LaunchContext) -> list[Action]:
    """Return the actions for the arguments as they were given."""
    given = {name: LaunchConfiguration(name).perform(context).strip() for name, *_ in ARGUMENTS}
    actions: list[Action] = [odometry(given)]
    if given['rviz'] == 'true':
        actions.append(rviz(given))
    if given['bag']:
        actions.append(player(given))
    return actions


def odometry(given: dict[str, str]) -> Node:
    """Return the odometry node."""
    return Node(
        package='flowcam_ros',
        executable='odometry',
        name='odometry',
        namespace=given['namespace'],
        parameters=parameters(given),
        remappings=remappings(given),
        arguments=['--ros-args', '--log-level', given['log_level']],
        output='screen',
        respawn=given['respawn'] == 'true',
        respawn_delay=2.0,
    )


def parameters(given: dict[str, str]) -> list[str | dict[str, object]]:
    """Return parameter files and values; later ones hold."""
    sources: list[str | dict[str, object]] = []
    if given['preset'] != 'auto':
        sources.append(str(SHARE / 'config' / f'{given["preset"]}.yaml'))
    if given['params_file']:
        sources.append(given['params_file'])
    values: dict[str, object] = sim_time(given)
    if given['autostart'] != UNCHANGED:
        values['autostart'] = given['autostart'] == 'true'
    for name in ('image_transport', 'depth_transport', 'base_frame', 'odom_frame'):
        if given[name] != UNCHANGED:
            value = '' if (name, given[name]) == ('base_frame', 'none') else given[name]
            # Without a type launch reads strings as YAML, which would make numbers of some.
            values[name] = ParameterValue(value, value_type=str)
    return [*sources, values] if values else sources


def remappings(given: dict[str, str]) -> list[tuple[str, str]]:
    """Return the node's inputs under the names they have on this robot."""
    pairs = [('/tf', 'tf'), ('/tf_static', 'tf_static'), ('mask', given['mask_topic'])]
    for image, argument in (
        ('image', 'image'),
        ('depth/image', 'depth'),
        ('right/image', 'right'),
    ):
        topic = given[f'{argument}_topic']
        info_argument = (
            'camera_info_topic' if argument == 'image' else f'{argument}_camera_info_topic'
        )
        info = image.replace('image', 'camera_info')
        pairs += [(image, topic), (info, given[info_argument] or beside(topic))]
    return pairs


def beside(image_topic: str) -> str:
    """Return the camera_info topic that belongs to an image topic."""
    parent, _, _ = image_topic.rpartition('/')
    return f'{parent}/camera_info' if parent or image_topic.startswith('/') else 'camera_info'


def sim_time(given: dict[str, str]) -> dict[str, object]:
    """Return whether time comes from /clock, if the arguments say so."""
    if given['bag']:
        return {'use_sim_time': True}
    if given['use_sim_time'] == UNCHANGED:
        return {}
    return {'use_sim_time': given['use_sim_time'] == 'true'}


def rviz(given: dict[str, str]) -> Node:
    """Return RViz."""
    values = sim_time(given)
    return Node(
        package='rviz2',
        executable='rviz2',
        name='rviz',
        namespace=given['namespace'],
        arguments=['-d', given['rviz_config']],
        parameters=[values] if values else [],
        remappings=[
            ('/tf', 'tf'),
            ('/tf_static', 'tf_static'),
            ('image', given['image_topic']),
        ],
        output='screen',
    )


def player(given: dict[str, str]) -> TimerAction:
    """Return the bag player, which begins after bag_delay."""
    command = ['ros2', 'bag', 'play', given['bag'], '--clock', '--rate', given['rate']]
    if given['loop'] == 'true':
        command.append('--loop')
    return TimerAction(
        period=float(given['bag_delay']),
        actions=[ExecuteProcess(cmd=command, output='screen')],
    )
