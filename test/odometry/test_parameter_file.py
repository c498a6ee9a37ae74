# SPDX-License-Identifier: Apache-2.0
"""The shipped parameter files say what the declarations say."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowcam_ros.errors import ConfigError
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.odometry.parameter_file import parameter_file, parameter_table
from flowcam_ros.settings import build, describe, flatten, read_yaml

CONFIG = Path(__file__).resolve().parents[2] / 'config'


def test_shipped_file_is_the_generated_one() -> None:
    shipped = (CONFIG / 'odometry.yaml').read_text(encoding='utf-8')
    assert shipped == parameter_file(), (
        'run: python -m flowcam_ros.odometry.parameter_file > config/odometry.yaml'
    )


def test_shipped_file_holds_every_option_with_its_default_and_type() -> None:
    values = read_yaml(CONFIG / 'odometry.yaml')
    assert values == flatten(OdometryNodeConfig())
    assert {name: type(value) for name, value in values.items()} == {
        info.name: info.kind for info in describe(OdometryNodeConfig)
    }


def test_documentation_holds_the_generated_table() -> None:
    text = (CONFIG.parent / 'docs' / 'interface.md').read_text(encoding='utf-8')
    _, _, rest = text.partition('parameter_file --table -->\n')
    table, _, _ = rest.partition('<!-- end of parameters -->')
    assert table == parameter_table(), (
        'put what python -m flowcam_ros.odometry.parameter_file --table prints there'
    )


@pytest.mark.parametrize(
    ('preset', 'source'), [('rgbd', 'sensor'), ('stereo', 'stereo'), ('mono', 'none')]
)
def test_presets_hold_only_what_differs(preset: str, source: str) -> None:
    values = read_yaml(CONFIG / f'{preset}.yaml')
    config = build(OdometryNodeConfig, values)
    assert config.depth.source == source
    defaults = flatten(OdometryNodeConfig())
    assert all(value != defaults[name] for name, value in values.items())


@pytest.mark.parametrize(
    'values', [{'odom_frame': ''}, {'odom_frame': 'base_link'}, {'base_frame': 'odom'}]
)
def test_frames_that_cannot_be_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match='odom_frame'):
        build(OdometryNodeConfig, values)
