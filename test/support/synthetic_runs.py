# SPDX-License-Identifier: Apache-2.0
"""The estimator on the synthetic world, each sequence rendered and tracked once for all tests."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from flowcam_ros.evaluation.tracking import Run
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.sequences.synthetic import parse_synthetic
from flowcam_ros.settings import build

# What each picture has unless the test says otherwise.
SENSOR = {'width': '320', 'height': '240', 'noise': '2', 'depth_noise': '0.003'}
# What most tests walk along, or begin with.
WALK = 'walk?frames=72'


@dataclass(frozen=True)
class Tracked:
    """What the estimator said of a sequence, beside the truth.

    Attributes:
        estimates: one a frame.
        run: the same in numbers; without depth scaled to metres.
    """

    estimates: list[PoseEstimate]
    run: Run

    @property
    def states(self) -> Counter[TrackingState]:
        """How often each state was said."""
        return Counter(e.state for e in self.estimates)

    @property
    def reasons(self) -> set[str]:
        """All reasons that were given."""
        return {e.reason for e in self.estimates} - {''}

    def errors(self) -> np.ndarray:
        """Return the distance of each position to the truth, metres."""
        return np.linalg.norm(self.run.found[:, :3, 3] - self.run.truth[:, :3, 3], axis=1)

    def turn_errors(self) -> np.ndarray:
        """Return the angle between each orientation and the truth, degrees."""
        turns = self.run.found[:, :3, :3] @ np.swapaxes(self.run.truth[:, :3, :3], 1, 2)
        return np.degrees(np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1)))


def rendered(spec: str) -> tuple[tuple[Frame, ...], np.ndarray]:
    """Return the frames of ``TRAJECTORY?OPTION=VALUE&...`` and their true poses."""
    return _walk() if spec == WALK else _rendered(spec)


@functools.cache
def _walk() -> tuple[tuple[Frame, ...], np.ndarray]:
    return _render(WALK)


@functools.lru_cache(maxsize=2)
def _rendered(spec: str) -> tuple[tuple[Frame, ...], np.ndarray]:
    return _render(spec)


def _render(spec: str) -> tuple[tuple[Frame, ...], np.ndarray]:
    own = {part.partition('=')[0] for part in spec.partition('?')[2].split('&')}
    rest = '&'.join(f'{name}={value}' for name, value in SENSOR.items() if name not in own)
    sequence = parse_synthetic(f'synthetic:{spec}&{rest}')
    return tuple(sequence), sequence.ground_truth().world_from_camera


@functools.cache
def tracked(spec: str, source: str = 'sensor') -> Tracked:
    """Track a sequence with the default options; ``source`` is ``depth.source``."""
    return track(*rendered(spec), source)


def track(
    frames: tuple[Frame, ...],
    truth: np.ndarray,
    source: str = 'sensor',
    change: Callable[[int, Frame], Frame] = lambda _, frame: frame,
) -> Tracked:
    """Track frames that ``change`` may alter."""
    odometry = VisualOdometry(build(OdometryConfig, {'depth.source': source}))
    estimates = [odometry.process(change(i, frame)) for i, frame in enumerate(frames)]
    run = Run.of(estimates, truth)
    if source == 'none':
        run = run.scaled(run.best_scale(first_map_scale(frames[0])))
    return Tracked(estimates, run)


def first_map_scale(frame: Frame) -> float:
    """Return the metres of a unit in which the mean inverse depth is 1."""
    assert frame.depth is not None
    known = frame.depth.depth[frame.depth.depth > 0]
    return float(1.0 / np.mean(1.0 / known))


def darkened(frames: tuple[Frame, ...], numbers: Iterable[int]) -> tuple[Frame, ...]:
    """Return the frames with the light off in some: nothing but noise, and the depth as it was."""
    rng, result = np.random.default_rng(0), list(frames)
    for k in numbers:
        noise = rng.normal(0.0, 2.0, frames[k].image.shape).clip(0.0).astype(np.uint8)
        result[k] = dataclasses.replace(frames[k], image=noise)
    return tuple(result)
