# SPDX-License-Identifier: Apache-2.0
"""ROS parameters made from the one declaration of the options: type, range, sentence, ..."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from flowcam_ros.errors import ConfigError
from flowcam_ros.settings import OptionInfo, build, describe, flatten

C = TypeVar('C')

_INT64 = 2**63 - 1


class NodeParameters(Generic[C]):
    """The options of a config class as parameters of a node.

    Overrides come from the command line and parameter files. An unknown one is an error, because
    a misspelt parameter that is silently ignored looks like one that has no effect.

    Attributes:
        config: the current values; replaced as a whole when a dynamic parameter is set.

    Raises:
        ConfigError: overrides are unknown, of the wrong type or out of range; names them all.
    """

    def __init__(self, node: Node, cls: type[C]) -> None:
        self._node = node
        self._cls = cls
        self._listeners: list[Callable[[C], None]] = []
        self._known = {info.name: info for info in describe(cls)}
        self.config: C = build(cls, self._overrides())
        values = flatten(self.config)
        for info in self._known.values():
            node.declare_parameter(
                info.name, values[info.name], descriptor(info), ignore_override=True
            )
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def on_change(self, listener: Callable[[C], None]) -> None:
        """Call ``listener`` with the new config whenever a parameter was set."""
        self._listeners.append(listener)

    def _overrides(self) -> dict[str, object]:
        """Return the overrides meant for this class; rclpy's own parameters are not."""
        return {
            name: parameter.value
            for name, parameter in self._node._parameter_overrides.items()
            if not self._node.has_parameter(name)
            and not name.startswith('qos_overrides.')
            and parameter.type_ is not Parameter.Type.NOT_SET
        }

    def _check(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        try:
            self._changed(parameters)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, parameters: Sequence[Parameter]) -> None:
        changed = self._changed(parameters)
        if changed == self.config:
            return
        self.config = changed
        for listener in self._listeners:
            listener(changed)

    def _changed(self, parameters: Sequence[Parameter]) -> C:
        values: dict[str, object] = dict(flatten(self.config))
        values.update({p.name: p.value for p in parameters if p.name in self._known})
        return build(self._cls, values)


def descriptor(info: OptionInfo) -> ParameterDescriptor:
    """Return what ``ros2 param describe`` shows of an option."""
    result = ParameterDescriptor(
        description=info.sentence(),
        read_only=not info.dynamic,
        additional_constraints='one of ' + ', '.join(info.choices) if info.choices else '',
    )
    if info.minimum is None and info.maximum is None:
        return result
    if info.kind is int:
        low = -_INT64 if info.minimum is None else int(info.minimum)
        high = _INT64 if info.maximum is None else int(info.maximum)
        result.integer_range = [IntegerRange(from_value=low, to_value=high, step=0)]
    else:
        smallest, largest = -sys.float_info.max, sys.float_info.max
        result.floating_point_range = [
            FloatingPointRange(
                from_value=smallest if info.minimum is None else float(info.minimum),
                to_value=largest if info.maximum is None else float(info.maximum),
                step=0.0,
            )
        ]
    return result
