# SPDX-License-Identifier: Apache-2.0
"""Estimates become one as sure as they are together, and no surer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.flowmap.dense_fusion import with_flows, with_measurement

WEAK = torch.full((1,), 1e-6)
ONE = torch.ones(1)


def flows(*values: float, certainty: float = 100.0) -> tuple[torch.Tensor, torch.Tensor]:
    told = torch.tensor(values).unsqueeze(-1)
    return told, torch.full_like(told, certainty)


def test_flows_from_one_picture_err_alike() -> None:
    _, alone = with_flows(ONE, WEAK, *flows(0.5))
    _, four = with_flows(ONE, WEAK, *flows(0.5, 0.5, 0.5, 0.5))
    assert float(alone) == pytest.approx(0.01, rel=1e-3)
    # 0.7 of the variance is common, the rest is averaged
    assert float(four) == pytest.approx(0.01 * (0.7 + 0.3 / 4), rel=1e-3)


def test_scatter_makes_unsure() -> None:
    calm = with_flows(ONE, WEAK, *flows(0.5, 0.5, 0.5))[1]
    wild = with_flows(ONE, WEAK, *flows(0.35, 0.5, 0.65))[1]
    assert float(wild) > 1.5 * float(calm)


def test_a_gap_to_the_network_makes_unsure() -> None:
    near = with_flows(ONE, 400 * ONE, *flows(1.0))[1]
    far = with_flows(ONE, 400 * ONE, *flows(0.7))[1]
    assert float(far) > 1.3 * float(near)


def test_one_that_contradicts_the_others_is_not_believed() -> None:
    mean, _ = with_flows(ONE, WEAK, *flows(0.5, 0.5, 0.5, 5.0))
    assert float(mean) == pytest.approx(0.5, abs=0.02)


def test_nothing_told_leaves_the_prior() -> None:
    mean, variance = with_flows(ONE, 4 * ONE, torch.zeros(0, 1), torch.zeros(0, 1))
    assert (float(mean), float(variance)) == (1.0, 0.25)
    mean, variance = with_flows(ONE, 4 * ONE, *flows(7.0, 9.0, certainty=0.0))
    assert float(mean) == pytest.approx(1.0) and float(variance) == pytest.approx(0.25)


def test_a_measurement_is_believed_where_it_contradicts() -> None:
    mean, variance = with_measurement(ONE, 1e-4 * ONE, 0.5 * ONE, 1e4 * ONE)
    assert float(mean) == pytest.approx(0.5, abs=0.01)
    assert float(variance) > 1e-4
    mean, variance = with_measurement(ONE, 1e-4 * ONE, ONE, 1e4 * ONE)
    assert float(mean) == 1.0 and float(variance) == pytest.approx(0.5e-4)


def test_without_a_measurement_nothing_changes() -> None:
    mean, variance = with_measurement(ONE, 0.3 * ONE, 0 * ONE, 0 * ONE)
    assert float(mean) == 1.0 and float(variance) == pytest.approx(0.3)


@given(
    st.lists(st.floats(0.01, 10.0), min_size=1, max_size=5),
    st.floats(1e-6, 1e6),
    st.floats(0.0, 1e6),
)
def test_the_mean_lies_between_and_the_variance_is_finite(
    told: list[float], information: float, certainty: float
) -> None:
    mean, variance = with_flows(ONE, information * ONE, *flows(*told, certainty=certainty))
    assert min(1.0, *told) * 0.999 <= float(mean) <= max(1.0, *told) * 1.001
    assert 0.0 < float(variance) < float('inf')
    assert float(variance) >= 0.999 / (information + certainty * len(told))
