# SPDX-License-Identifier: Apache-2.0
"""Launch files where ROS is not installed: a few classes that take what launch's own take."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml


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


def described(launch_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Return a launch file's generate_launch_description, on recording classes."""
    STAND_INS['launch.substitutions']['LaunchConfiguration'] = LaunchConfiguration
    for name, members in STAND_INS.items():
        module = ModuleType(name)
        for member, value in members.items():
            setattr(module, member, value)
        monkeypatch.setitem(sys.modules, name, module)
    return load(launch_file).generate_launch_description  # type: ignore[no-any-return]


def load(launch_file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(launch_file.name.partition('.')[0], launch_file)
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
