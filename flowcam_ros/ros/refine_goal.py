# SPDX-License-Identifier: Apache-2.0
"""From a goal of the action to what is to be done, and from how that ended to its result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from flowcam_ros.action import RefineBag
from flowcam_ros.errors import UsageError
from flowcam_ros.ros.services import default_output_dir
from flowcam_ros.runs.refine import summary
from flowcam_ros.runs.refine_job import RefineEnd, RefineRequest
from flowcam_ros.runs.refine_node_config import RefineGoalConfig, RefineNodeConfig
from flowcam_ros.settings import build, describe, flatten, parse_assignments


def request_of(config: RefineNodeConfig, bag: str, output: str) -> RefineRequest:
    """Return what the node's parameters say is to be done with a recording.

    Args:
        config: the parameters.
        bag: what ``open_sequence`` takes.
        output: a new folder; '' for a new one in ``output_dir``.
    """
    return _request(config, config, bag, output)


def request_of_goal(config: RefineNodeConfig, goal: RefineBag.Goal) -> RefineRequest:
    """Return what a goal asks for; the parameters of the node say what it leaves open.

    Raises:
        UsageError: it names no recording, or contradicts itself.
        ConfigError: an option is unknown, of the wrong type or out of range.
    """
    if not goal.bag:
        raise UsageError('the goal names no bag')
    assigned = parse_assignments(goal.options, 'options:')
    other = assigned.get('intrinsics.mode', goal.intrinsics)
    if goal.intrinsics:
        if other != goal.intrinsics:
            raise UsageError(
                f'intrinsics {goal.intrinsics!r} and the option intrinsics.mode={other} contradict'
            )
        assigned['intrinsics.mode'] = goal.intrinsics
    names = {info.name for info in describe(RefineGoalConfig)}
    values: dict[str, object] = {k: v for k, v in flatten(config).items() if k in names}
    own = build(RefineGoalConfig, {**values, **assigned})
    return _request(config, own, goal.bag, goal.output)


def message_of(end: RefineEnd) -> str:
    """Return in a line how a job ended."""
    if end.outcome is not None:
        return summary(end.request.output, end.outcome)
    if end.error is not None:
        return str(end.error)
    return f'cancelled; nothing was written to {end.request.output}'


def result_of(end: RefineEnd) -> RefineBag.Result:
    """Return the result message of a job."""
    result = RefineBag.Result(message=message_of(end), scale_source='none')
    if end.outcome is not None:
        reconstruction = end.outcome.refinement.reconstruction
        result.success = True
        result.output = str(end.request.output)
        result.frames = len(reconstruction.trajectory)
        result.focal_px = float(reconstruction.camera.fx)
        result.scale_source = reconstruction.scale_source
        result.verdict = end.outcome.verdict.level.value
    return result


def _request(
    node: RefineNodeConfig, config: RefineGoalConfig, bag: str, output: str
) -> RefineRequest:
    folder = Path(output).expanduser() if output else _new_folder(node.output_dir)
    return RefineRequest(bag, folder, config.sequence_options(), config)


def _new_folder(output_dir: str) -> Path:
    """Return a folder that does not exist, named by the time of day (UTC)."""
    parent = Path(output_dir).expanduser() if output_dir else default_output_dir()
    stem = datetime.now(timezone.utc).strftime('refined_%Y%m%dT%H%M%SZ')
    return next(parent / name for name in _numbered(stem) if not os.path.lexists(parent / name))


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    for number in range(2, 1000):
        yield f'{stem}_{number}'
