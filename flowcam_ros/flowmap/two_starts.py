# SPDX-License-Identifier: Apache-2.0
"""The start without known depth: both sides of the hollow-face minimum, the better one kept.

From flat depth the descent may turn a scene inside out: near for far, with motion the other way
round. A weak perspective hardly tells the two apart, and there is no way from one to the other
that only goes down. So what was found is turned inside out, descended from again, and compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from flowcam_ros.flowmap.optimize import FlowMapScene, Optimizer
from flowcam_ros.flowmap.optimizer_config import OptimizerConfig
from flowcam_ros.flowmap.step_report import OnStep, StepReport

# Share of the steps at the end over which the loss is averaged.
_LAST = 0.2


def take_better_side(
    scene: FlowMapScene,
    make_scene: Callable[[], FlowMapScene],
    config: OptimizerConfig,
    on_step: OnStep,
    workers: int,
    seed: int,
) -> float | None:
    """Bring a scene's depth to the better of two short descents.

    Args:
        scene: its depth model is changed; it may be fitted to something already.
        make_scene: makes another scene of the same recording.
        config: each descent takes ``start_steps``.
        on_step: told each step; may raise to cancel.
        workers: see Optimizer.
        seed: see Optimizer.

    Returns:
        The loss of the worse over that of the better; None without a step.
    """
    state = [part.detach().clone() for part in scene.model.parameters()]
    found: list[tuple[float, list[Tensor]]] = []
    for side in ('one side', 'the other side'):
        trial = make_scene()
        _assign(trial.model.parameters(), state)
        if found:
            trial.model.invert()
        losses: list[float] = []

        def told(report: StepReport, name: str = side, losses: list[float] = losses) -> None:
            losses.append(report.loss)
            on_step(dataclasses.replace(report, stage=name))

        short = dataclasses.replace(config, steps=config.start_steps)
        Optimizer(trial, short, told, workers, seed).fit_flow()
        state = [part.detach().clone() for part in trial.model.parameters()]
        last = losses[-max(1, round(_LAST * len(losses))) :]
        found.append((float(np.mean(last)) if last else 0.0, state))
    better, worse = sorted(found, key=lambda side: side[0])
    _assign(scene.model.parameters(), better[1])
    return worse[0] / better[0] if better[0] > 0 else None


@torch.no_grad()
def _assign(parameters: list[torch.nn.Parameter], values: list[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
