# SPDX-License-Identifier: Apache-2.0
"""Options declared once, as fields of plain dataclasses.

A field made by :func:`option` carries its sentence of help, unit, range and choices; a field made
by :func:`group` nests another such class. YAML files, ``--set key=value`` and ROS parameters all
read and write the same dotted names (``flow.preset``).
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from flowcam_ros.errors import ConfigError

T = TypeVar('T')
_EXPONENT = re.compile(r'[-+]?\d+[eE][-+]?\d+')
Value = bool | int | float | str


@dataclass(frozen=True)
class OptionInfo:
    """One option as users see it: dotted name, type, default, help, unit, range and choices."""

    name: str
    kind: type
    default: Value
    help: str
    unit: str = ''
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    dynamic: bool = False

    def check(self, value: object) -> Value:
        """Return ``value`` as this option's type; raise ConfigError if it does not fit."""
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if self.kind is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
            value = float(value)  # YAML 1.1 takes 1e9, without a point, for a text
        if type(value) is not self.kind:
            raise ConfigError(
                f'{self.name}: expected {self.kind.__name__}, got {type(value).__name__} {value!r}'
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f'{self.name}: {value} is not a finite number')
        if self.choices and value not in self.choices:
            raise ConfigError(
                f'{self.name}: {value!r} is not one of {", ".join(map(repr, self.choices))}'
            )
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            low, high = self.minimum, self.maximum
            if (low is not None and value < low) or (high is not None and value > high):
                raise ConfigError(f'{self.name}: {value} is outside {self.range_text()}')
        return value  # type: ignore[return-value]

    def range_text(self) -> str:
        """Return the allowed range in words, empty if unbounded."""
        if self.minimum is None and self.maximum is None:
            return ''
        low = '-inf' if self.minimum is None else f'{self.minimum:g}'
        high = 'inf' if self.maximum is None else f'{self.maximum:g}'
        return f'[{low}, {high}]'

    def sentence(self) -> str:
        """Return the help with unit, range and choices, as ``--help`` and ROS show it."""
        notes = [
            self.unit,
            f'range {self.range_text()}' if self.range_text() else '',
            'one of ' + ', '.join(self.choices) if self.choices else '',
        ]
        tail = '; '.join(n for n in notes if n)
        return f'{self.help} ({tail})' if tail else self.help


def option(
    default: Value,
    help: str,
    *,
    unit: str = '',
    ge: float | None = None,
    le: float | None = None,
    choices: Iterable[str] = (),
    dynamic: bool = False,
) -> Any:
    """Declare an option; ``dynamic`` ones may be changed while a node runs."""
    info = {
        'help': help,
        'unit': unit,
        'minimum': ge,
        'maximum': le,
        'choices': tuple(choices),
        'dynamic': dynamic,
    }
    return dataclasses.field(default=default, metadata={'option': info})


def group(cls: type) -> Any:
    """Declare a nested class of options."""
    return dataclasses.field(default_factory=cls, metadata={'group': cls})


def describe(cls: type, prefix: str = '') -> Iterator[OptionInfo]:
    """Yield every option of a config class, nested ones with dotted names, in declared order."""
    for field in dataclasses.fields(cls):
        name = prefix + field.name
        if 'group' in field.metadata:
            yield from describe(field.metadata['group'], name + '.')
        else:
            kind = type(field.default)
            yield OptionInfo(name, kind, field.default, **field.metadata['option'])  # type: ignore[arg-type]


def flatten(config: object, prefix: str = '') -> dict[str, Value]:
    """Return the values of a config object by dotted name."""
    values: dict[str, Value] = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if 'group' in field.metadata:
            values.update(flatten(value, prefix + field.name + '.'))
        else:
            values[prefix + field.name] = value
    return values


def build(cls: type[T], values: Mapping[str, object]) -> T:
    """Make a config object from nested or dotted values; the rest keep their defaults.

    Raises:
        ConfigError: names every unknown key (with the nearest known one), wrong type and value
            out of range, all in one message.
    """
    known = {info.name: info for info in describe(cls)}
    problems: list[str] = []
    checked: dict[str, Value] = {}
    for name, value in _dotted(values):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f'; did you mean {near[0]}?' if near else ''
            problems.append(f'unknown option {name}{hint}')
            continue
        try:
            checked[name] = known[name].check(value)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError('; '.join(problems))
    return _construct(cls, checked, '')


def _construct(cls: type[T], values: Mapping[str, Value], prefix: str) -> T:
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = prefix + field.name
        if 'group' in field.metadata:
            arguments[field.name] = _construct(field.metadata['group'], values, name + '.')
        elif name in values:
            arguments[field.name] = values[name]
    return cls(**arguments)


def _dotted(values: Mapping[str, object], prefix: str = '') -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def read_yaml(path: Path, node: str = 'odometry') -> dict[str, object]:
    """Read options from a YAML file: plain, or a ROS parameter file (``/**: ros__parameters:``).

    Args:
        path: the file.
        node: whose parameters count where a ROS parameter file has those of several.

    Raises:
        ConfigError: the file cannot be read or is not a mapping.
    """
    try:
        content = load_yaml(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise ConfigError(f'{path}: cannot be read ({error.strerror})') from error
    except UnicodeDecodeError as error:
        raise ConfigError(f'{path}: not a text file') from error
    except ConfigError as error:
        raise ConfigError(f'{path}: {error}') from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f'{path}: expected a mapping of option names to values')
    try:
        return dict(_dotted(_ros_parameters(content, node)))
    except RecursionError as error:
        raise ConfigError(f'{path}: an alias in it contains itself') from error


def _ros_parameters(content: dict[str, object], node: str) -> Mapping[str, object]:
    """Return what a ROS parameter file says to a node; other nodes' parameters are theirs."""
    nodes = {
        name.strip('/'): inner['ros__parameters']
        for name, inner in content.items()
        if isinstance(name, str)
        and isinstance(inner, dict)
        and isinstance(inner.get('ros__parameters'), dict)
    }
    if not nodes or len(nodes) < len(content):
        return content
    if len(nodes) == 1:
        return next(iter(nodes.values()))
    return {**nodes.get('**', {}), **nodes.get(node, {})}


def load_yaml(text: str) -> Any:
    """Return the content of a YAML text.

    Raises:
        ConfigError: it is not valid YAML; says where.
    """
    try:
        return yaml.safe_load(text)
    except RecursionError as error:
        raise ConfigError('not valid YAML (nested too deep)') from error
    # A ValueError is a date that does not exist, such as 2020-13-45.
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f'not valid YAML ({" ".join(str(error).split())})') from error


def parse_assignments(assignments: Iterable[str], what: str = '--set') -> dict[str, object]:
    """Parse ``key=value`` strings; the value is read like a YAML scalar.

    Args:
        assignments: the strings.
        what: where they come from, for messages.

    Raises:
        ConfigError: a string has no ``=`` or its value is not a scalar.
    """
    values: dict[str, object] = {}
    for text in assignments:
        key, equals, value = text.partition('=')
        if not equals or not key.strip():
            raise ConfigError(f'{what} {text!r}: expected key=value')
        try:
            parsed = load_yaml(value) if value else ''
        except ConfigError as error:
            raise ConfigError(f'{what} {text!r}: the value is not a YAML scalar') from error
        if isinstance(parsed, (dict, list)):
            raise ConfigError(f'{what} {text!r}: expected one value; set options one by one')
        values[key.strip()] = parsed
    return values
