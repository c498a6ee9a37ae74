# SPDX-License-Identifier: Apache-2.0
"""What the optimisation tells of each of its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StepReport:
    """One step of the optimisation.

    Attributes:
        stage: 'prior' and 'depth' (fit to what is known), 'one side' and 'the other side' (of a
            flat start), or 'flow'.
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
