# SPDX-License-Identifier: Apache-2.0
"""``flowcam config``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from flowcam_ros.cli.inputs import ConfigOption, SetOption


def config(file: ConfigOption = None, assign: SetOption = None) -> None:
    """Print every option of the estimator as YAML, with help; made to be edited and used again."""
    from flowcam_ros.cli.settings import resolve_config

    print('\n'.join(yaml_lines(resolve_config(file, assign or ()))))


def yaml_lines(settings: object) -> Iterator[str]:
    """Yield YAML of a config object; each option is preceded by its help as a comment."""
    import yaml

    from flowcam_ros.settings import describe, flatten

    values = flatten(settings)
    section: tuple[str, ...] = ()
    for info in describe(type(settings)):
        *groups, name = info.name.split('.')
        if tuple(groups) != section:
            yield ''
            for depth, part in enumerate(groups):
                if section[: depth + 1] != tuple(groups[: depth + 1]):
                    yield f'{"  " * depth}{part}:'
            section = tuple(groups)
        indent = '  ' * len(groups)
        for line in textwrap.wrap(info.sentence(), 94 - len(indent)):
            yield f'{indent}# {line}'
        text = yaml.safe_dump({name: values[info.name]}, default_flow_style=False)
        yield indent + text.strip()
