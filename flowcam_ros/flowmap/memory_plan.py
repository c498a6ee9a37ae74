# SPDX-License-Identifier: Apache-2.0
"""A refinement made to fit a budget of memory."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from flowcam_ros.errors import ConfigError
from flowcam_ros.flowmap.memory_model import MemoryEstimate, Recording, estimate
from flowcam_ros.flowmap.refine_config import RefineConfig

_GB = 1e9
# Smaller windows are too many to be joined well.
_LEAST_WINDOW = 24
_SHORTER = 0.75
# Points are left out of the last adjustment down to one of so many.
_MOST_THINNED = 8


@dataclass(frozen=True)
class MemoryPlan:
    """How a recording is worked on.

    Attributes:
        config: with windows and chunks as they fit.
        thinned: one of so many points takes part in the last adjustment.
        estimate: what it will take.
        changed: whether the options are other than those asked for.
    """

    config: RefineConfig
    thinned: int
    estimate: MemoryEstimate
    changed: bool = False

    @property
    def limited(self) -> bool:
        """Whether a budget made the work smaller than it was asked for."""
        return self.changed or self.thinned > 1

    def words(self, frames: int) -> str:
        """Return in a line what is expected.

        Args:
            frames: chosen ones.
        """
        config = self.config
        gb = self.estimate.peak / _GB
        text = f'about {gb:.1f} GB of memory for {frames} frames'
        if config.memory_gb:
            text += f' (budget {config.memory_gb:g} GB)'
        if frames > config.windows.frames:
            text += f', in windows of at most {config.windows.frames}'
        if self.thinned > 1:
            text += f'; one of {self.thinned} points in the last adjustment'
        return text


def plan_memory(recording: Recording, config: RefineConfig) -> MemoryPlan:
    """Return the first plan that fits ``memory_gb``; without a budget, the options as they are.

    What costs least is given up first: activations are computed twice, then windows become
    smaller, and fewer points take part in the last adjustment.

    Raises:
        ConfigError: nothing fits.
    """
    plan = _planned(recording, config, 1)
    budget = config.memory_gb * _GB
    while config.memory_gb and plan.estimate.peak > budget:
        smaller = _smaller(recording, plan, budget)
        if smaller is None:
            raise ConfigError(
                f'memory_gb: {recording.frames} frames take at least about '
                f'{plan.estimate.peak / _GB:.2f} GB, and {config.memory_gb:g} are allowed; allow '
                'more, or choose fewer frames (frames.max_frames), features (pairs.features) or '
                'smaller depth maps (dense.pixels)'
            )
        plan = dataclasses.replace(smaller, changed=smaller.config != config)
    return plan


def _smaller(recording: Recording, plan: MemoryPlan, budget: float) -> MemoryPlan | None:
    """Return a plan that takes less where too much is taken; None if there is none."""
    config, thinned = plan.config, plan.thinned
    if plan.estimate.optimising > budget:
        if config.optimizer.held > config.threads:
            return _planned(recording, _fewer_held(config), thinned)
        window = min(config.windows.frames, recording.frames)
        if window > _LEAST_WINDOW:
            return _planned(recording, _shorter_windows(config, window), thinned)
    elif plan.estimate.adjusting > budget and thinned < _MOST_THINNED:
        return _planned(recording, config, thinned + 1)
    return None


def _fewer_held(config: RefineConfig) -> RefineConfig:
    held = max(config.threads, config.optimizer.held // 2)
    chunk = max(1, min(config.optimizer.chunk, held // config.threads))
    return dataclasses.replace(
        config, optimizer=dataclasses.replace(config.optimizer, held=held, chunk=chunk)
    )


def _shorter_windows(config: RefineConfig, window: int) -> RefineConfig:
    frames = max(_LEAST_WINDOW, round(_SHORTER * window))
    return dataclasses.replace(config, windows=dataclasses.replace(config.windows, frames=frames))


def _planned(recording: Recording, config: RefineConfig, thinned: int) -> MemoryPlan:
    return MemoryPlan(config, thinned, estimate(recording, config, thinned))
