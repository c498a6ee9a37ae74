# SPDX-License-Identifier: Apache-2.0
"""The optimisation: gradient descent on the flow that depth and camera motion induce (FlowMap).

Depth comes from a network, poses from depth in closed form, the focal length from a soft selection
and then as a free number. All frames take part in every step; correspondences are sampled.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.flowmap.chunks import ChunkRunner
from flowcam_ros.flowmap.depth_model import DepthModel
from flowcam_ros.flowmap.depth_targets import TwoViewTargets
from flowcam_ros.flowmap.edges import EdgeLinks
from flowcam_ros.flowmap.focal_model import FocalModel
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.links import Links, LinkSource
from flowcam_ros.flowmap.losses import link_loss
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.network import MatchWeights
from flowcam_ros.flowmap.optimizer_config import OptimizerConfig
from flowcam_ros.flowmap.pose_models import PoseModel
from flowcam_ros.flowmap.pose_tree import PoseTree

_WARM_UP = 10
_LAST_RATE = 0.05
_TARGETS_PER_GROUP = 128
_FOCAL_PAIRS = 8


@dataclass(frozen=True)
class StepReport:
    """One step of the optimisation.

    Attributes:
        stage: 'depth' (fit to what is known) or 'flow'.
        step: counts from 1 in its stage.
        steps: of this stage.
        loss: all of it.
        parts: by name.
        focal: pixels of the tracking pictures.
    """

    stage: str
    step: int
    steps: int
    loss: float
    parts: dict[str, float]
    focal: float


OnStep = Callable[[StepReport], None]


@dataclass
class FlowMapScene:
    """What is optimised and what it is held against.

    Attributes:
        model: depth of the frames.
        trust: in correspondences; None trusts all alike.
        focal: the focal length.
        edges: candidate pairs for poses and the focal length.
        poses: of the frames.
        sources: what links are drawn from, by name, with the weight of their loss.
        size: width and height of the tracking pictures.
    """

    model: DepthModel
    trust: MatchWeights | None
    focal: FocalModel
    edges: EdgeLinks
    poses: PoseModel
    sources: dict[str, tuple[LinkSource, float]]
    size: tuple[int, int]


class Optimizer:
    """Runs the stages on one scene.

    Args:
        scene: changed in place.
        config: steps, rates, samples.
        on_step: told each step; may raise to cancel.
        workers: chunks of frames that are worked on side by side.
        seed: of everything that is drawn.
    """

    def __init__(
        self,
        scene: FlowMapScene,
        config: OptimizerConfig,
        on_step: OnStep,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        self._scene = scene
        self._config = config
        self._on_step = on_step
        self._random = np.random.default_rng(seed)
        self._runner = ChunkRunner(scene.model, config.chunk, config.held, workers, scene.size)
        self._delta = config.robust_share * math.sqrt(scene.size[0] * scene.size[1])

    def fit_depth(self, targets: TwoViewTargets) -> None:
        """Fit the depth model to depth that is known."""
        steps = self._config.start_steps
        parameters = self._scene.model.parameters()
        adam = torch.optim.Adam(parameters, lr=self._config.start_rate)
        for step in range(1, steps + 1):
            _set_rate(adam, step, steps)
            adam.zero_grad(set_to_none=True)
            chunked = self._runner.run()
            drawn = targets.draw(_TARGETS_PER_GROUP, self._random)
            loss = drawn.loss(chunked.maps) + 1e-3 * chunked.maps.log_inverse.mean() ** 2
            loss.backward()
            chunked.backward()
            adam.step()
            self._tell('depth', step, steps, {'depth': loss}, None)

    def fit_flow(self) -> None:
        """Minimise the loss of flow, tracks and matches; the best state is kept."""
        scene, config = self._scene, self._config
        focal_pairs = self._plan()[1]
        adam = torch.optim.Adam(self._parameter_groups())
        best = _Best()
        for step in range(1, config.steps + 1):
            if step == config.steps // 2:
                scene.focal.regress(config.steps // 10)
                focal_pairs = self._plan()[1]
            _set_rate(adam, step, config.steps)
            adam.zero_grad(set_to_none=True)
            chunked = self._runner.run()
            lens = scene.focal.lens(chunked.maps, focal_pairs, scene.trust)
            poses = scene.poses.poses(chunked.maps, lens, scene.trust)
            parts = self._losses(chunked.maps, lens, poses)
            loss = torch.stack(list(parts.values())).sum()
            loss.backward()
            best.offer(self._state, float(loss.detach()), step)
            chunked.backward()
            adam.step()
            self._tell('flow', step, config.steps, parts, lens)
            if best.steps_since(step) > config.patience:
                break
        best.restore(self._state)
        scene.focal.regress(1)

    @torch.no_grad()
    def result(self) -> tuple[Maps, Lens, PoseTree, Float[Tensor, 'f 4 4']]:
        """Return depth, lens, tree and poses as they are now."""
        maps = self._runner.frozen()
        tree, focal_pairs = self._plan(maps)
        trust = self._scene.trust
        lens = self._scene.focal.lens(maps, focal_pairs, trust)
        return maps, lens, tree, self._scene.poses.poses(maps, lens, trust)

    def _losses(self, maps: Maps, lens: Lens, poses: Float[Tensor, 'f 4 4']) -> dict[str, Tensor]:
        parts = {}
        for name, (source, weight) in self._scene.sources.items():
            links = source.draw(self._config.samples, self._random).both_ways()
            parts[name] = weight * link_loss(links, maps, lens, poses, self._delta)
        return parts

    @torch.no_grad()
    def _plan(self, maps: Maps | None = None) -> tuple[PoseTree, Links]:
        """Return the tree of poses, and the links of the pairs that tell the focal length."""
        scene = self._scene
        maps = maps or self._runner.frozen()
        pairs = scene.edges.subset(np.arange(min(_FOCAL_PAIRS, len(scene.edges.first))))
        lens = scene.focal.lens(maps, pairs, scene.trust)
        return scene.poses.plan(maps, lens, scene.trust), pairs

    def _parameter_groups(self) -> list[dict[str, object]]:
        scene, config = self._scene, self._config
        groups: list[dict[str, object]] = [{'params': scene.model.parameters(), 'lr': config.rate}]
        if scene.trust is not None:
            groups.append({'params': list(scene.trust.parameters()), 'lr': config.rate})
        for parameters in (scene.focal.parameters(), scene.poses.parameters()):
            if parameters:
                groups.append({'params': parameters, 'lr': config.rate})
        return groups

    @property
    def _state(self) -> list[Tensor]:
        scene = self._scene
        trust = list(scene.trust.parameters()) if scene.trust is not None else []
        own = [*scene.focal.parameters(), *scene.poses.parameters()]
        return [*scene.model.parameters(), *trust, *own]

    def _tell(
        self, stage: str, step: int, steps: int, parts: dict[str, Tensor], lens: Lens | None
    ) -> None:
        numbers = {name: float(part.detach()) for name, part in parts.items()}
        focal = float('nan') if lens is None else float(lens.numbers[0].detach())
        self._on_step(StepReport(stage, step, steps, sum(numbers.values()), numbers, focal))


class _Best:
    """The state of least loss, the loss being smoothed as it is taken from samples."""

    _SMOOTHING = 0.9
    _GAIN = 0.995  # what counts as better

    def __init__(self) -> None:
        self._smooth: float | None = None
        self._least = float('inf')
        self._at = 0
        self._kept: list[Tensor] | None = None

    def offer(self, state: list[Tensor], loss: float, step: int) -> None:
        before = loss if self._smooth is None else self._smooth
        self._smooth = self._SMOOTHING * before + (1.0 - self._SMOOTHING) * loss
        if self._smooth < self._GAIN * self._least:
            self._least, self._at = self._smooth, step
            self._kept = [copy.deepcopy(part.detach()) for part in state]

    def steps_since(self, step: int) -> int:
        return step - self._at

    @torch.no_grad()
    def restore(self, state: list[Tensor]) -> None:
        for part, kept in zip(state, self._kept or state, strict=True):
            part.copy_(kept)


def _set_rate(adam: torch.optim.Adam, step: int, steps: int) -> None:
    """Warm up, then fall along a cosine."""
    fall = _LAST_RATE + (1.0 - _LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * step / steps))
    for group in adam.param_groups:
        group.setdefault('first_lr', group['lr'])
        group['lr'] = group['first_lr'] * fall * min(1.0, step / _WARM_UP)
