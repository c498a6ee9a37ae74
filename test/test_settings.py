# SPDX-License-Identifier: Apache-2.0
"""Options: declared once, read strictly, explained in words."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.errors import ConfigError
from flowcam_ros.settings import (
    build,
    describe,
    flatten,
    group,
    load_yaml,
    option,
    parse_assignments,
    read_yaml,
)


@dataclass(frozen=True)
class Inner:
    preset: str = option('fast', 'Effort.', choices=('fast', 'slow'))
    sigma: float = option(0.5, 'Noise.', unit='pixels', ge=0.0, le=2.0)


@dataclass(frozen=True)
class Outer:
    count: int = option(10, 'Points.', ge=1)
    quiet: bool = option(False, 'Say little.')
    flow: Inner = group(Inner)


def test_defaults_and_nested_names() -> None:
    assert flatten(build(Outer, {})) == {
        'count': 10,
        'quiet': False,
        'flow.preset': 'fast',
        'flow.sigma': 0.5,
    }


def test_numbers_with_an_exponent_are_numbers() -> None:
    assert build(Outer, parse_assignments(['flow.sigma=1e0'])).flow.sigma == 1.0


def test_a_parameter_file_of_several_nodes_gives_what_is_said_to_odometry(tmp_path: Path) -> None:
    path = tmp_path / 'robot.yaml'
    path.write_text(
        'ekf:\n  ros__parameters:\n    frequency: 30.0\n'
        '/**:\n  ros__parameters:\n    quiet: true\n    count: 3\n'
        '/odometry:\n  ros__parameters:\n    count: 4\n'
    )
    assert read_yaml(path) == {'quiet': True, 'count': 4}


def test_dotted_and_nested_values_are_the_same() -> None:
    assert build(Outer, {'flow.sigma': 1.0}) == build(Outer, {'flow': {'sigma': 1.0}})


def test_whole_numbers_are_numbers() -> None:
    assert build(Outer, {'flow.sigma': 1}).flow.sigma == 1.0


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({'flow.presett': 'fast'}, 'did you mean flow.preset'),
        ({'count': 0}, r'count: 0 is outside \[1, inf\]'),
        ({'count': 1.5}, 'count: expected int, got float'),
        ({'count': True}, 'count: expected int, got bool'),
        ({'quiet': 'yes'}, 'quiet: expected bool'),
        ({'flow.preset': 'warp'}, "'warp' is not one of 'fast', 'slow'"),
        ({'flow.sigma': float('nan')}, 'not a finite number'),
        ({'count': None}, 'count: expected int'),
    ],
)
def test_wrong_values_are_refused_in_words(values: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(Outer, values)


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Outer, {'count': -1, 'flow.sigma': 9.0, 'nonsense': 1})
    message = str(caught.value)
    assert 'count' in message
    assert 'flow.sigma' in message
    assert 'nonsense' in message
    assert '\n' not in message


@given(
    st.dictionaries(
        st.text(max_size=8), st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=4))
    )
)
def test_nothing_but_config_errors_escapes(values: dict) -> None:
    try:
        build(Outer, values)
    except ConfigError as error:
        assert str(error)


def test_help_sentence_holds_unit_range_and_choices() -> None:
    sentences = {info.name: info.sentence() for info in describe(Outer)}
    assert sentences['flow.sigma'] == 'Noise. (pixels; range [0, 2])'
    assert sentences['flow.preset'] == 'Effort. (one of fast, slow)'


def test_assignments_are_read_like_yaml() -> None:
    assert parse_assignments(['count=3', 'quiet=true', 'flow.preset=slow', 'flow.sigma=0.1']) == {
        'count': 3,
        'quiet': True,
        'flow.preset': 'slow',
        'flow.sigma': 0.1,
    }


def test_an_assignment_needs_an_equals_sign() -> None:
    with pytest.raises(ConfigError, match='expected key=value'):
        parse_assignments(['count'])


def test_plain_and_ros_parameter_files_are_read(tmp_path: Path) -> None:
    plain, ros = tmp_path / 'plain.yaml', tmp_path / 'ros.yaml'
    plain.write_text('count: 3\nflow:\n  sigma: 1.0\n')
    ros.write_text('/**:\n  ros__parameters:\n    count: 3\n    flow:\n      sigma: 1.0\n')
    assert read_yaml(plain) == read_yaml(ros) == {'count': 3, 'flow.sigma': 1.0}


@pytest.mark.parametrize('text', ['- a\n- b\n', 'a: [', '!!python/object:os.system {}', '\x00'])
def test_files_that_are_no_mapping_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / 'bad.yaml'
    path.write_text(text)
    with pytest.raises(ConfigError, match=r'bad\.yaml'):
        read_yaml(path)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / 'empty.yaml'
    path.write_text('')
    assert read_yaml(path) == {}


@pytest.mark.parametrize('text', ['2020-13-45', '[' * 5000, '{{', '!!python/object:os.x {}'])
def test_what_is_no_yaml_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError, match='not valid YAML'):
        load_yaml(text)


def test_a_value_that_is_no_yaml_or_not_one_value_is_refused() -> None:
    for text in ('count=2020-13-45', 'count=' + '[' * 5000, 'flow={sigma: 1}', 'count=[1]'):
        with pytest.raises(ConfigError, match=r'--set .*(scalar|one value)'):
            parse_assignments([text])


def test_an_alias_that_contains_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'options.yaml'
    path.write_text('flow: &a\n  flow: *a\n')
    with pytest.raises(ConfigError, match=r'options\.yaml: an alias in it contains itself'):
        read_yaml(path)
