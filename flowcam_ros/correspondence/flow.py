# SPDX-License-Identifier: Apache-2.0
"""The one protocol behind which every optical flow lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8


@dataclass(frozen=True)
class Flow:
    """Dense displacement of each source pixel into the target image.

    Attributes:
        displacement: (height, width, 2) float32, pixels, x then y.
        confidence: (height, width) float32 in [0, 1]; 0 where there is no correspondence.
    """

    displacement: Float[np.ndarray, 'height width 2']
    confidence: Float[np.ndarray, 'height width']


@runtime_checkable
class FlowEstimator(Protocol):
    """Dense optical flow between two grey images of one size.

    How far to trust it is asked for separately: it costs time, and who only starts from the flow
    does not need it.
    """

    def displacement(
        self,
        source: UInt8[np.ndarray, 'height width'],
        target: UInt8[np.ndarray, 'height width'],
        start: Float[np.ndarray, 'height width 2'] | None = None,
    ) -> Float[np.ndarray, 'height width 2']:
        """Return where each source pixel goes; ``start`` is a first guess, left unchanged."""
        ...

    def confidence(
        self,
        source: UInt8[np.ndarray, 'height width'],
        target: UInt8[np.ndarray, 'height width'],
        displacement: Float[np.ndarray, 'height width 2'],
    ) -> Float[np.ndarray, 'height width']:
        """Return how far to trust a displacement, 0 to 1; 0 where nothing corresponds."""
        ...


def estimate_flow(
    estimator: FlowEstimator,
    source: UInt8[np.ndarray, 'height width'],
    target: UInt8[np.ndarray, 'height width'],
) -> Flow:
    """Return displacement and confidence together."""
    displacement = estimator.displacement(source, target)
    return Flow(displacement, estimator.confidence(source, target, displacement))


class DenseFlow:
    """A displacement that is estimated when it is first asked for, as many frames need none.

    Args:
        estimate: returns the (height, width, 2) displacement, pixels.
    """

    def __init__(self, estimate: Callable[[], Float[np.ndarray, 'height width 2']]) -> None:
        self._estimate = estimate

    @cached_property
    def displacement(self) -> Float[np.ndarray, 'height width 2']:
        """Where each source pixel goes, relative to where it was, pixels."""
        return self._estimate()
