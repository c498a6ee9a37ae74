# SPDX-License-Identifier: Apache-2.0
"""Refines a recorded bag offline, with RViz if wanted."""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(__file__).parent.parent

# The default of arguments that otherwise would override params_file.
UNCHANGED = 'as_in_params_file'

# name, default, description, choices; those of PARAMETERS are parameters of the node.
ARGUMENTS: list[tuple[str, str, str, list[str] | None]] = [
    (
        'params_file',
        '',
        'Parameter file, applied over the defaults; config/refine.yaml lists every parameter.',
        None,
    ),
    (
        'bag',
        UNCHANGED,
        'Bag, folder or video to refine at once; empty: wait for goals of the action '
        'refine/refine_bag.',
        None,
    ),
    ('output', UNCHANGED, 'New folder for the result; empty: a new one in output_dir.', None),
    (
        'intrinsics',
        UNCHANGED,
        'Keep the calibration, refine it, or find it from the pictures.',
        [UNCHANGED, 'known', 'refine', 'unknown'],
    ),
    ('camera', UNCHANGED, "Calibration file in place of the recording's own.", None),
    ('mask', UNCHANGED, 'PNG whose zero pixels are never used.', None),
    ('image_topic', UNCHANGED, 'Topic of the picture in the bag; empty: found.', None),
    ('camera_info_topic', UNCHANGED, 'Topic of its calibration; empty: beside it.', None),
    ('depth_topic', UNCHANGED, 'Topic of measured depth; "none" for no depth.', None),
    ('right_topic', UNCHANGED, 'Topic of the right picture; "none" for no stereo.', None),
    ('map_frame', UNCHANGED, 'World-fixed frame of the refined path and cloud.', None),
    (
        'odom_frame',
        UNCHANGED,
        'World-fixed frame of the odometry; a recording with odometry names it itself.',
        None,
    ),
    (
        'publish_tf',
        UNCHANGED,
        'Send TF map_frame to odom_frame.',
        [UNCHANGED, 'true', 'false'],
    ),
    (
        'exit_when_done',
        UNCHANGED,
        'End the node when the bag is done, in place of going on to show the result.',
        [UNCHANGED, 'true', 'false'],
    ),
    (
        'namespace',
        '',
        'Namespace of the node and of all relative topics; tf and tf_static go into it too.',
        None,
    ),
    ('log_level', 'info', 'Severity from which the node logs: debug, info, warn, error.', None),
    ('rviz', 'false', 'Show path, cloud and TF in RViz while they grow.', ['true', 'false']),
    ('rviz_config', str(SHARE / 'rviz' / 'refine.rviz'), 'Configuration of RViz.', None),
]

# argument: parameter of the node
PARAMETERS = {
    'bag': 'bag',
    'output': 'output',
    'intrinsics': 'intrinsics.mode',
    'camera': 'camera',
    'mask': 'mask',
    'image_topic': 'image_topic',
    'camera_info_topic': 'camera_info_topic',
    'depth_topic': 'depth_topic',
    'right_topic': 'right_topic',
    'map_frame': 'map_frame',
    'odom_frame': 'odom_frame',
    'publish_tf': 'publish_tf',
    'exit_when_done': 'exit_when_done',
}
SWITCHES = ('publish_tf', 'exit_when_done')
TF = [('/tf', 'tf'), ('/tf_static', 'tf_static')]


def generate_launch_description() -> LaunchDescription:
    """Return the node, and RViz if asked for."""
    arguments = [
        DeclareLaunchArgument(
            name, default_value=default, description=description, choices=choices
        )
        for name, default, description, choices in ARGUMENTS
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=setup)])


def setup(context: LaunchContext) -> list[Action]:
    """Return the actions for the arguments as they were given."""
    given = {name: LaunchConfiguration(name).perform(context).strip() for name, *_ in ARGUMENTS}
    actions: list[Action] = [refine(given)]
    if given['rviz'] == 'true':
        actions.append(rviz(given))
    return actions


def refine(given: dict[str, str]) -> Node:
    """Return the node `refine`."""
    return Node(
        package='flowcam_ros',
        executable='refine',
        name='refine',
        namespace=given['namespace'],
        parameters=parameters(given),
        remappings=TF,
        arguments=['--ros-args', '--log-level', given['log_level']],
        output='screen',
    )


def parameters(given: dict[str, str]) -> list[str | dict[str, object]]:
    """Return the parameter file and values; later ones hold."""
    sources: list[str | dict[str, object]] = []
    if given['params_file']:
        sources.append(given['params_file'])
    values: dict[str, object] = {}
    for argument, parameter in PARAMETERS.items():
        value = given[argument]
        if value == UNCHANGED:
            continue
        # Without a type launch reads strings as YAML, which would make numbers of some.
        values[parameter] = (
            value == 'true' if argument in SWITCHES else ParameterValue(value, value_type=str)
        )
    return [*sources, values] if values else sources


def rviz(given: dict[str, str]) -> Node:
    """Return RViz."""
    return Node(
        package='rviz2',
        executable='rviz2',
        name='rviz',
        namespace=given['namespace'],
        arguments=['-d', given['rviz_config']],
        remappings=TF,
        output='screen',
    )
