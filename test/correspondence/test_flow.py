# SPDX-License-Identifier: Apache-2.0
"""Dense flow: estimated when it is asked for, and trusted as the estimator says."""

import numpy as np

from flowcam_ros.correspondence.flow import DenseFlow, FlowEstimator, estimate_flow

GREY = np.zeros((4, 6), np.uint8)


class Counting:
    """A flow that says how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def displacement(
        self, source: np.ndarray, target: np.ndarray, start: np.ndarray | None = None
    ) -> np.ndarray:
        self.asked += 1
        return np.full((*source.shape, 2), self.asked, np.float32)

    def confidence(
        self, source: np.ndarray, target: np.ndarray, displacement: np.ndarray
    ) -> np.ndarray:
        return 0.5 * displacement[..., 0]


def test_dense_flow_is_estimated_once_and_only_when_asked_for() -> None:
    estimator = Counting()
    flow = DenseFlow(lambda: estimator.displacement(GREY, GREY))
    assert estimator.asked == 0
    first = flow.displacement
    np.testing.assert_array_equal(first, np.ones((4, 6, 2)))
    assert flow.displacement is first
    assert estimator.asked == 1


def test_the_confidence_is_that_of_the_displacement_it_comes_with() -> None:
    estimator = Counting()
    assert isinstance(estimator, FlowEstimator)
    flow = estimate_flow(estimator, GREY, GREY)
    np.testing.assert_array_equal(flow.displacement, np.ones((4, 6, 2)))
    np.testing.assert_array_equal(flow.confidence, np.full((4, 6), 0.5))
    assert estimator.asked == 1
