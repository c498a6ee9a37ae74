# SPDX-License-Identifier: Apache-2.0
"""The optimisation: gradient descent on the flow that depth and camera motion induce (FlowMap).

Depth comes from a network, poses from depth in closed form, the focal length from a soft selection
and then as a free number. All frames take part in every step; correspondences are sampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.flowmap.checkpoint import Checkpoints
from flowcam_ros.flowmap.chunks import ChunkRunner
from flowcam_ros.flowmap.depth_model import SceneDepth
from flowcam_ros.flowmap.depth_targets import Targets
from flowcam_ros.flowmap.descent import Descent, Stateful
from flowcam_ros.flowmap.descent_parts import AdamMoments, BestState, RandomState, Trained
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
from flowcam_ros.flowmap.step_report import OnStep, StepReport

_WARM_UP = 10
_LAST_RATE = 0.05
_TARGETS_PER_GROUP = 128
_FOCAL_PAIRS = 8


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

    model: SceneDepth
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
        checkpoints: where it is saved as it goes, and goes on from; None saves nothing.
    """

    def __init__(
        self,
        scene: FlowMapScene,
        config: OptimizerConfig,
        on_step: OnStep,
        workers: int = 1,
        seed: int = 0,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._scene = scene
        self._config = config
        self._descent = Descent(checkpoints, on_step)
        self._random = np.random.default_rng(seed)
        self._runner = ChunkRunner(scene.model, config.chunk, config.held, workers, scene.size)
        self._delta = config.robust_share * math.sqrt(scene.size[0] * scene.size[1])

    def fit_depth(self, targets: Targets, name: str = 'depth') -> None:
        """Fit the depth model to depth that is known.

        Args:
            targets: what is known.
            name: of this stage; each has another.
        """
        steps = self._config.start_steps
        parameters = self._scene.model.parameters()
        adam = torch.optim.Adam(parameters, lr=self._config.start_rate)
        stage = self._descent.stage(name, self._parts(adam))
        for step in stage.left(steps):
            _set_rate(adam, step, steps)
            adam.zero_grad(set_to_none=True)
            chunked = self._runner.run()
            drawn = targets.draw(_TARGETS_PER_GROUP, self._random)
            loss = drawn.loss(chunked.maps) + 1e-3 * chunked.maps.log_inverse.mean() ** 2
            loss.backward()
            chunked.backward()
            adam.step()
            stage.tell(_report(name, step, steps, {'depth': loss}, None))

    def fit_flow(self) -> None:
        """Minimise the loss of flow, tracks and matches; the best state is kept."""
        scene, config = self._scene, self._config
        adam = torch.optim.Adam(self._parameter_groups())
        best = BestState()
        parts = {**self._parts(adam), 'focal': scene.focal, 'best': best, 'poses': scene.poses}
        stage = self._descent.stage('flow', parts)
        if not stage.begun:
            self._plan(self._runner.frozen())
        focal_pairs = self._focal_pairs()
        for step in stage.left(config.steps):
            if best.steps_since(step - 1) > config.patience:
                break
            if step == config.steps // 2:
                scene.focal.regress(config.steps // 10)
                self._plan(self._runner.frozen())
            _set_rate(adam, step, config.steps)
            adam.zero_grad(set_to_none=True)
            chunked = self._runner.run()
            lens = scene.focal.lens(chunked.maps, focal_pairs, scene.trust)
            poses = scene.poses.poses(chunked.maps, lens, scene.trust)
            losses = self._losses(chunked.maps, lens, poses)
            loss = torch.stack(list(losses.values())).sum()
            loss.backward()
            best.offer(self._state, float(loss.detach()), step)
            chunked.backward()
            adam.step()
            stage.tell(_report('flow', step, config.steps, losses, lens))
        if not stage.skipped:
            best.copy_to(self._state)
            scene.focal.regress(1)
            stage.close()

    @torch.no_grad()
    def result(self) -> tuple[Maps, Lens, PoseTree, Float[Tensor, 'f 4 4']]:
        """Return depth, lens, tree and poses as they are now."""
        maps = self._runner.frozen()
        tree = self._plan(maps)
        trust = self._scene.trust
        lens = self._scene.focal.lens(maps, self._focal_pairs(), trust)
        return maps, lens, tree, self._scene.poses.poses(maps, lens, trust)

    def _losses(self, maps: Maps, lens: Lens, poses: Float[Tensor, 'f 4 4']) -> dict[str, Tensor]:
        parts = {}
        for name, (source, weight) in self._scene.sources.items():
            links = source.draw(self._config.samples, self._random).both_ways()
            parts[name] = weight * link_loss(links, maps, lens, poses, self._delta)
        return parts

    @torch.no_grad()
    def _plan(self, maps: Maps) -> PoseTree:
        scene = self._scene
        lens = scene.focal.lens(maps, self._focal_pairs(), scene.trust)
        return scene.poses.plan(maps, lens, scene.trust)

    def _focal_pairs(self) -> Links:
        """Return the links of the pairs that tell the focal length."""
        edges = self._scene.edges
        return edges.subset(np.arange(min(_FOCAL_PAIRS, len(edges.first))))

    def _parts(self, adam: torch.optim.Adam) -> dict[str, Stateful]:
        return {
            'trained': Trained(self._state),
            'adam': AdamMoments(adam),
            'random': RandomState(self._random),
        }

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


def _report(
    stage: str, step: int, steps: int, parts: dict[str, Tensor], lens: Lens | None
) -> StepReport:
    numbers = {name: float(part.detach()) for name, part in parts.items()}
    focal = float('nan') if lens is None else float(lens.numbers[0].detach())
    return StepReport(stage, step, steps, sum(numbers.values()), numbers, focal)


def _set_rate(adam: torch.optim.Adam, step: int, steps: int) -> None:
    """Warm up, then fall along a cosine."""
    fall = _LAST_RATE + (1.0 - _LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * step / steps))
    for group in adam.param_groups:
        group.setdefault('first_lr', group['lr'])
        group['lr'] = group['first_lr'] * fall * min(1.0, step / _WARM_UP)
