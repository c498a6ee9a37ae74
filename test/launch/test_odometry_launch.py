# SPDX-License-Identifier: Apache-2.0
"""The launch file starts what its arguments say, and its arguments read as a manual.

Where ROS is installed the real launch is used; elsewhere a few classes that take what the real
ones take, and nothing else.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from launch_files import described, entities, start, values_of

from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.settings import build, describe

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCH_FILE = REPOSITORY / 'launch' / 'odometry.launch.py'


@pytest.fixture
def description(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Return the loaded launch file's generate_launch_description, on recording classes."""
    return described(LAUNCH_FILE, monkeypatch)


def test_arguments_read_as_a_manual(description: Callable[[], Any]) -> None:
    arguments = entities(description, 'DeclareLaunchArgument')
    names = [a['name'] for a in arguments]
    assert len(names) == len(set(names))
    for wanted in (
        'namespace', 'params_file', 'preset', 'image_topic', 'camera_info_topic', 'depth_topic',
        'base_frame', 'odom_frame', 'use_sim_time', 'rviz', 'rviz_config', 'bag', 'rate', 'loop',
        'autostart', 'log_level', 'image_transport', 'respawn',
    ):  # fmt: skip
        assert wanted in names
    for argument in arguments:
        assert argument['description'].endswith('.')
        assert argument['choices'] is None or argument['default_value'] in argument['choices']


def test_by_default_one_node_with_the_defaults(description: Callable[[], Any]) -> None:
    (node,) = start(description)
    assert (node['package'], node['executable'], node['name']) == (
        'flowcam_ros',
        'odometry',
        'odometry',
    )
    assert values_of(node) == {}
    remappings = dict(node['remappings'])
    assert remappings['/tf'] == 'tf' and remappings['/tf_static'] == 'tf_static'
    assert remappings['image'] == 'image'
    assert remappings['camera_info'] == 'camera_info'
    assert remappings['depth/camera_info'] == 'depth/camera_info'


def test_every_input_can_be_remapped_and_camera_info_lies_beside_its_image(
    description: Callable[[], Any],
) -> None:
    (node,) = start(
        description,
        image_topic='/camera/color/image_raw',
        depth_topic='/camera/depth/image',
        depth_camera_info_topic='/elsewhere/info',
        right_topic='/right/image_rect',
        mask_topic='/robot_mask',
    )
    assert dict(node['remappings']) == {
        '/tf': 'tf',
        '/tf_static': 'tf_static',
        'image': '/camera/color/image_raw',
        'camera_info': '/camera/color/camera_info',
        'depth/image': '/camera/depth/image',
        'depth/camera_info': '/elsewhere/info',
        'right/image': '/right/image_rect',
        'right/camera_info': '/right/camera_info',
        'mask': '/robot_mask',
    }


@pytest.mark.parametrize(
    ('preset', 'source'), [('rgbd', 'sensor'), ('stereo', 'stereo'), ('mono', 'none')]
)
def test_presets_then_file_then_arguments(
    description: Callable[[], Any], tmp_path: Path, preset: str, source: str
) -> None:
    params = tmp_path / 'mine.yaml'
    mine = '{odom_frame: vo, base_frame: body, use_sim_time: true, autostart: false}'
    params.write_text(f'/**:\n  ros__parameters: {mine}\n')
    (node,) = start(description, preset=preset, params_file=str(params), base_frame='none')
    values = values_of(node)
    assert values['depth']['source'] == source
    assert (values['odom_frame'], values['base_frame']) == ('vo', '')
    assert values.pop('use_sim_time') is True
    assert values['autostart'] is False
    build(OdometryNodeConfig, values)  # the node accepts all of it
    names = {info.name for info in describe(OdometryNodeConfig)}
    assert {'image_transport', 'depth_transport', 'base_frame', 'odom_frame'} <= names


def test_arguments_override_the_file(description: Callable[[], Any], tmp_path: Path) -> None:
    params = tmp_path / 'mine.yaml'
    params.write_text('/**:\n  ros__parameters: {use_sim_time: true, autostart: false}\n')
    (node,) = start(description, params_file=str(params), use_sim_time='false', autostart='true')
    assert values_of(node) == {'use_sim_time': False, 'autostart': True}


def test_a_bag_is_played_with_its_clock_once_the_node_is_up(
    description: Callable[[], Any],
) -> None:
    node, timer = start(description, bag='/data/my bag', rate='0.5', loop='true', bag_delay='2.5')
    assert values_of(node)['use_sim_time'] is True
    assert timer['period'] == 2.5
    (player,) = timer['actions']
    assert '<exec_depend>rosbag2</exec_depend>' in (REPOSITORY / 'package.xml').read_text()
    assert player['cmd'] == [
        'ros2', 'bag', 'play', '/data/my bag', '--clock', '--rate', '0.5', '--loop',
    ]  # fmt: skip


def test_rviz_shows_topics_the_node_has(description: Callable[[], Any]) -> None:
    node, rviz = start(description, rviz='true', namespace='robot', respawn='true')
    assert node['namespace'] == rviz['namespace'] == 'robot'
    assert node['respawn'] is True
    flag, config = rviz['arguments']
    assert flag == '-d'
    view = yaml.safe_load(Path(config).read_text())['Visualization Manager']
    assert view['Global Options']['Fixed Frame'] == OdometryNodeConfig().odom_frame
    topics = {d['Topic']['Value'] for d in view['Displays'] if 'Topic' in d}
    assert topics == {'odom', 'path', 'image', 'depth/points'}
    kinds = {d['Class'].split('/')[1] for d in view['Displays']}
    assert {'Odometry', 'Path', 'TF', 'Image', 'PointCloud2'} <= kinds


def test_shared_memory_for_images_unless_the_user_chose_a_profile(
    description: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(name, raising=False)
    (variable,) = entities(description, 'SetEnvironmentVariable')
    assert Path(variable['value']).is_file()
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', '/my/own.xml')
    assert entities(description, 'SetEnvironmentVariable') == []


@pytest.mark.skipif(
    importlib.util.find_spec('launch_ros') is None, reason='launch is not installed (no ROS here)'
)
def test_the_real_launch_takes_it() -> None:
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    source = PythonLaunchDescriptionSource(str(LAUNCH_FILE))
    found = source.get_launch_description(LaunchContext()).get_launch_arguments()
    assert {'image_topic', 'base_frame', 'bag'} <= {argument.name for argument in found}
