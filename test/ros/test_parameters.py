# SPDX-License-Identifier: Apache-2.0
"""ROS parameters say, check and change exactly what the options' declarations do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from flowcam_ros.errors import ConfigError
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.ros.arguments import check_parameter_files
from flowcam_ros.ros.parameters import NodeParameters
from flowcam_ros.settings import describe, flatten


@pytest.fixture(scope='module')
def context() -> Iterator[Context]:
    context = Context()
    context.init(domain_id=98)
    yield context
    context.try_shutdown()


def make(context: Context, **overrides: object) -> tuple[Node, NodeParameters[OdometryNodeConfig]]:
    given = [Parameter(name.replace('__', '.'), value=value) for name, value in overrides.items()]
    node = Node('probe', context=context, parameter_overrides=given)
    try:
        return node, NodeParameters(node, OdometryNodeConfig)
    except ConfigError:
        node.destroy_node()
        raise


def test_every_option_is_a_described_parameter(context: Context) -> None:
    node, parameters = make(context)
    for info in describe(OdometryNodeConfig):
        described = node.describe_parameter(info.name)
        assert described.description == info.sentence()
        assert described.read_only is (not info.dynamic)
        assert node.get_parameter(info.name).value == info.default
        ranges = [*described.integer_range, *described.floating_point_range]
        assert bool(ranges) == (info.minimum is not None or info.maximum is not None)
        if ranges and info.minimum is not None:
            assert ranges[0].from_value == info.minimum
        if info.choices:
            assert described.additional_constraints == 'one of ' + ', '.join(info.choices)
    assert parameters.config == OdometryNodeConfig()
    node.destroy_node()


def test_overrides_hold_and_whole_numbers_pass_for_floats(context: Context) -> None:
    node, parameters = make(context, base_frame='', max_rate=15, flow__preset='medium')
    assert parameters.config.base_frame == ''
    assert parameters.config.max_rate == 15.0
    assert parameters.config.flow.preset == 'medium'
    assert node.get_parameter('max_rate').value == 15.0
    node.destroy_node()


def test_all_bad_overrides_are_named_at_once(context: Context) -> None:
    with pytest.raises(ConfigError) as refused:
        make(context, bse_frame='x', max_rate=-1.0, flow__preset='quick', publish_tf='yes')
    message = str(refused.value)
    assert 'unknown option bse_frame; did you mean base_frame?' in message
    assert 'max_rate: -1.0 is outside [0, 1000]' in message
    assert "flow.preset: 'quick' is not one of" in message
    assert 'publish_tf: expected bool, got str' in message


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('base_frame', 'x', 'read-only'),
        ('max_rate', -1.0, 'out of range|outside'),
        ('max_rate', float('nan'), 'finite|range'),
        ('max_rate', 'fast', 'Wrong parameter type|expected'),
        ('no_such', 1, 'not declared|undeclared|declared before'),
    ],
)
def test_setting_is_rejected_with_a_reason(
    context: Context, name: str, value: object, reason: str
) -> None:
    import re

    from rclpy.exceptions import ParameterNotDeclaredException

    node, parameters = make(context)
    before = flatten(parameters.config)
    try:
        (result,) = node.set_parameters([Parameter(name, value=value)])
        successful, text = result.successful, result.reason
    except ParameterNotDeclaredException:
        successful, text = False, 'not declared'
    assert not successful
    assert re.search(reason, text), text
    assert flatten(parameters.config) == before
    node.destroy_node()


def test_dynamic_parameters_change_the_config_and_tell(context: Context) -> None:
    node, parameters = make(context)
    heard: list[OdometryNodeConfig] = []
    parameters.on_change(heard.append)
    (result,) = node.set_parameters([Parameter('keyframe.max_flow', value=0.1)])
    assert result.successful
    assert parameters.config.keyframe.max_flow == 0.1
    assert heard == [parameters.config]
    node.destroy_node()


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (None, 'cannot be read'),
        ('/**: [', 'not valid YAML'),
        ('/**: 2020-13-45', 'not valid YAML'),
        ('/**: &a\n  b: *a\n', 'contains itself'),
        ('base_frame: x', 'not a ROS parameter file'),
        ('', 'not a ROS parameter file'),
        ('!!python/object/apply:os.system ["true"]', 'not valid YAML'),
    ],
)
def test_bad_parameter_files_are_named(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / 'params.yaml'
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=words) as refused:
        check_parameter_files(['node', '--ros-args', '--params-file', str(path)])
    assert str(path) in str(refused.value)
    assert '\n' not in str(refused.value)


def test_good_parameter_files_pass(tmp_path: Path) -> None:
    path = tmp_path / 'params.yaml'
    path.write_text('/robot:\n  odometry:\n    ros__parameters: {base_frame: base}\n')
    check_parameter_files(['node', '--ros-args', '--params-file', str(path)])
    check_parameter_files(['node'])
