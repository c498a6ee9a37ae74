# SPDX-License-Identifier: Apache-2.0
"""The synthetic world by a short text, as in ``synthetic:walk?frames=90&seed=3``."""

from __future__ import annotations

from flowcam_ros.errors import ConfigError, UsageError
from flowcam_ros.sequences.synthetic.options import SyntheticOptions
from flowcam_ros.sequences.synthetic.sequence import SyntheticSequence
from flowcam_ros.settings import build, describe, load_yaml

PREFIX = 'synthetic:'


def parse_synthetic(text: str) -> SyntheticSequence:
    """Return the sequence that ``synthetic:TRAJECTORY?OPTION=VALUE&OPTION=VALUE`` names.

    Trajectory and options may be left out.

    Raises:
        UsageError: an option is unknown (the nearest known one is named), or its value is of the
            wrong type or out of range.
    """
    if not text.startswith(PREFIX):
        raise UsageError(f'{text!r} does not begin with {PREFIX}')
    trajectory, _, query = text[len(PREFIX) :].partition('?')
    values: dict[str, object] = {'trajectory': trajectory} if trajectory else {}
    texts = {info.name for info in describe(SyntheticOptions) if info.kind is str}
    for part in filter(None, query.split('&')):
        name, equals, value = part.partition('=')
        if not equals:
            raise UsageError(f'{text}: {part!r} is not of the form option=value')
        if name in values:
            raise UsageError(f'{text}: {name} is given twice')
        values[name] = value if name in texts else _scalar(text, value)
    return SyntheticSequence(build(SyntheticOptions, values))


def _scalar(text: str, value: str) -> object:
    try:
        return load_yaml(value)
    except ConfigError as error:
        raise UsageError(f'{text}: {value!r} is neither a number nor true or false') from error
