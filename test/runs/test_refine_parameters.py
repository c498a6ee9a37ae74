# SPDX-License-Identifier: Apache-2.0
"""The parameter file of `refine` and the documented table say what the declarations say."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowcam_ros.cli.refine_settings import resolve_refine_config
from flowcam_ros.errors import ConfigError
from flowcam_ros.runs.refine_config import RefineRunConfig
from flowcam_ros.runs.refine_node_config import RefineNodeConfig
from flowcam_ros.runs.refine_parameter_file import refine_parameter_file, refine_parameter_table
from flowcam_ros.settings import build, describe, flatten, read_yaml

ROOT = Path(__file__).resolve().parents[2]


def test_shipped_file_is_the_generated_one() -> None:
    shipped = (ROOT / 'config' / 'refine.yaml').read_text(encoding='utf-8')
    assert shipped == refine_parameter_file(), (
        'run: python -m flowcam_ros.runs.refine_parameter_file > config/refine.yaml'
    )


def test_shipped_file_holds_every_option_with_its_default_and_type() -> None:
    values = read_yaml(ROOT / 'config' / 'refine.yaml')
    assert values == flatten(RefineNodeConfig())
    assert {name: type(value) for name, value in values.items()} == {
        info.name: info.kind for info in describe(RefineNodeConfig)
    }


def test_documentation_holds_the_generated_table() -> None:
    text = (ROOT / 'docs' / 'interface.md').read_text(encoding='utf-8')
    _, _, rest = text.partition('refine_parameter_file --table -->\n')
    table, _, _ = rest.partition('<!-- end of parameters -->')
    assert table == refine_parameter_table(), (
        'put what python -m flowcam_ros.runs.refine_parameter_file --table prints there'
    )


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({'map_frame': ''}, 'map_frame: must not be empty'),
        ({'odom_frame': ''}, 'odom_frame: must not be empty'),
        ({'map_frame': 'odom'}, "map_frame: 'odom' is odom_frame too"),
    ],
)
def test_frames_that_cannot_be_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(RefineNodeConfig, values)


def test_empty_names_are_left_to_be_found() -> None:
    options = build(RefineNodeConfig, {'camera': '~/lens.yaml'}).sequence_options()
    assert options.image_topic is None and options.mask is None
    assert options.camera == Path.home() / 'lens.yaml'


def test_the_command_line_takes_the_node_s_file_too(tmp_path: Path) -> None:
    shipped = resolve_refine_config(
        ROOT / 'config' / 'refine.yaml', ['seed=3'], {'--intrinsics': 'known'}
    )
    assert flatten(shipped) == {
        **flatten(RefineRunConfig()),
        'seed': 3,
        'intrinsics.mode': 'known',
    }
    file = tmp_path / 'robot.yaml'
    file.write_text(
        '/odometry:\n  ros__parameters:\n    threads: 7\n'
        '/refine:\n  ros__parameters:\n    threads: 5\n    bag: mine\n'
    )
    assert resolve_refine_config(file, [], {}).threads == 5
