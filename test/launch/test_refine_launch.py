# SPDX-License-Identifier: Apache-2.0
"""The launch file of the node `refine` starts what its arguments say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from launch_files import described, entities, start, values_of

from flowcam_ros.runs.refine_node_config import RefineNodeConfig
from flowcam_ros.settings import build

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCH_FILE = REPOSITORY / 'launch' / 'refine.launch.py'


@pytest.fixture
def description(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    return described(LAUNCH_FILE, monkeypatch)


def test_arguments_read_as_a_manual(description: Callable[[], Any]) -> None:
    arguments = entities(description, 'DeclareLaunchArgument')
    names = [a['name'] for a in arguments]
    assert len(names) == len(set(names))
    assert {'bag', 'output', 'intrinsics', 'params_file', 'rviz', 'namespace'} <= set(names)
    for argument in arguments:
        assert argument['description'].endswith('.')
        assert argument['choices'] is None or argument['default_value'] in argument['choices']


def test_by_default_one_node_that_waits(description: Callable[[], Any]) -> None:
    (node,) = start(description)
    assert (node['package'], node['executable'], node['name']) == ('flowcam_ros',) + (
        'refine',
    ) * 2
    assert values_of(node) == {}
    assert dict(node['remappings']) == {'/tf': 'tf', '/tf_static': 'tf_static'}


def test_a_bag_is_refined_with_what_the_arguments_say(
    description: Callable[[], Any], tmp_path: Path
) -> None:
    file = tmp_path / 'mine.yaml'
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': {'output': 'a', 'seed': 3}}}))
    (node,) = start(
        description,
        params_file=str(file),
        bag='2024',
        output='b',
        intrinsics='unknown',
        depth_topic='none',
        publish_tf='false',
    )
    values = values_of(node)
    assert values == {
        'bag': '2024',
        'output': 'b',
        'seed': 3,
        'intrinsics.mode': 'unknown',
        'depth_topic': 'none',
        'publish_tf': False,
    }
    config = build(RefineNodeConfig, values)
    assert config.intrinsics.mode == 'unknown' and config.sequence_options().depth_topic == 'none'


def test_rviz_shows_what_the_node_latches(description: Callable[[], Any]) -> None:
    _, rviz = start(description, rviz='true')
    flag, file = rviz['arguments']
    assert (rviz['package'], flag) == ('rviz2', '-d')
    displays = yaml.safe_load(Path(file).read_text())['Visualization Manager']['Displays']
    topics = {d['Topic']['Value']: d['Topic'] for d in displays if 'Topic' in d}
    assert set(topics) == {'refined/path', 'refined/points'}
    assert {t['Durability Policy'] for t in topics.values()} == {'Transient Local'}
