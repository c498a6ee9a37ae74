# SPDX-License-Identifier: Apache-2.0
"""The launch file starts what its arguments say, and its arguments read as a manual.

Where ROS is installed the real launch is used; elsewhere a few classes that take what the real
ones take, and nothing else.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.settings import build, describe

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCH_FILE = REPOSITORY / 'launch' / 'odometry.launch.py'


class Recorded:
    """Keeps what it was made with; refuses keywords the real class does not know."""

    positional: tuple[str, ...] = ()
    keywords: frozenset[str] = frozenset()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        unknown = set(kwargs) - self.keywords - set(self.positional)
        assert not unknown, f'{type(self).__name__} knows no {unknown}'
        self.given = {**dict(zip(self.positional, args, strict=False)), **kwargs}

    def __getitem__(self, name: str) -> Any:
        return self.given[name]


def recorded(name: str, positional: str = '', keywords: str = '') -> type[Recorded]:
    fields = {
        'positional': tuple(positional.split()),
        'keywords': frozenset(keywords.split()) | {'condition'},
    }
    return type(name, (Recorded,), fields)


PROCESS = 'cmd output respawn respawn_delay emulate_tty additional_env name shell prefix'
STAND_INS: dict[str, dict[str, Any]] = {
    'launch': {
        'LaunchContext': recorded('LaunchContext'),
        'LaunchDescription': recorded('LaunchDescription', 'entities'),
    },
    'launch.action': {'Action': recorded('Action')},
    'launch.actions': {
        'DeclareLaunchArgument': recorded(
            'DeclareLaunchArgument', 'name', 'default_value description choices'
        ),
        'ExecuteProcess': recorded('ExecuteProcess', '', PROCESS),
        'OpaqueFunction': recorded('OpaqueFunction', '', 'function args kwargs'),
        'SetEnvironmentVariable': recorded('SetEnvironmentVariable', 'name value'),
        'TimerAction': recorded('TimerAction', '', 'period actions cancel_on_shutdown'),
    },
    'launch.substitutions': {},
    'launch_ros': {},
    'launch_ros.actions': {
        'Node': recorded(
            'Node',
            '',
            'package executable name namespace parameters remappings arguments ros_arguments '
            + PROCESS,
        )
    },
    'launch_ros.parameter_descriptions': {
        'ParameterValue': recorded('ParameterValue', 'value', 'value_type')
    },
}


class LaunchConfiguration:
    """Looks an argument up, as the real one does."""

    def __init__(self, variable_name: str) -> None:
        self._name = variable_name

    def perform(self, context: dict[str, str]) -> str:
        return context[self._name]


@pytest.fixture
def description(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Return the loaded launch file's generate_launch_description, on recording classes."""
    STAND_INS['launch.substitutions']['LaunchConfiguration'] = LaunchConfiguration
    for name, members in STAND_INS.items():
        module = ModuleType(name)
        for member, value in members.items():
            setattr(module, member, value)
        monkeypatch.setitem(sys.modules, name, module)
    return load().generate_launch_description  # type: ignore[no-any-return]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location('odometry_launch', LAUNCH_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entities(description: Callable[[], Any], kind: str) -> list[Any]:
    return [e for e in description()['entities'] if type(e).__name__ == kind]


def start(description: Callable[[], Any], **given: str) -> list[Any]:
    """Return the actions for these arguments."""
    values = {
        a['name']: a['default_value'] for a in entities(description, 'DeclareLaunchArgument')
    }
    assert set(given) <= set(values)
    (function,) = entities(description, 'OpaqueFunction')
    return function['function']({**values, **given})  # type: ignore[no-any-return]


def values_of(node: Any) -> dict[str, Any]:
    """Return the parameters a node gets, files read, later ones holding."""
    result: dict[str, Any] = {}
    for source in node['parameters']:
        if isinstance(source, str):
            content = yaml.safe_load(Path(source).read_text())
            result.update(content['/**']['ros__parameters'])
        else:
            plain = {k: getattr(v, 'given', {'value': v})['value'] for k, v in source.items()}
            result.update(plain)
    return result


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
