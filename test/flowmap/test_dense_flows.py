# SPDX-License-Identifier: Apache-2.0
"""Each pair of frames has its flow computed once, and few flows are held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from flowcam_ros.correspondence.dense_pairs import DensePair
from flowcam_ros.correspondence.flow import Flow
from flowcam_ros.flowmap import dense_flows
from flowcam_ros.flowmap.dense_flows import flows_by_frame, plan
from flowcam_ros.flowmap.dense_stage import _neighbours


def neighbours(frames: list[int], count: int) -> dict[int, list[int]]:
    return {f: _neighbours(np.array(frames), k, count) for k, f in enumerate(frames)}


def flow(first: int, second: int) -> Flow:
    """Return a flow that tells which one it is."""
    return Flow(np.full((1, 1, 2), (first, second), np.float32), np.ones((1, 1), np.float32))


class Computer:
    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __call__(self, pairs: Iterable[tuple[int, int]]) -> Iterator[DensePair]:
        for first, second in pairs:
            self.asked.append((first, second))
            yield DensePair(first, second, flow(first, second), flow(second, first))


@pytest.mark.parametrize('count', [1, 4, 7])
def test_each_frame_gets_its_own_flows_and_no_pair_is_computed_twice(count: int) -> None:
    wanted = neighbours([0, 2, 3, 5, 7, 8, 9, 14, 15, 20, 21], count)
    computer = Computer()
    found = dict(flows_by_frame(wanted, computer))
    assert list(found) == list(wanted)
    for frame, flows in found.items():
        ends = [tuple(f.displacement[0, 0].astype(int)) for f in flows]
        assert ends == [(frame, other) for other in wanted[frame]]
    unordered = [frozenset(pair) for pair in computer.asked]
    assert len(unordered) == len(set(unordered))


def test_few_flows_are_kept_however_many_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_flows, '_KEPT', 3)
    wanted = neighbours(list(range(40)), 12)
    held = most = 0
    for _, pairs, keep in plan(wanted):
        held += len(keep) - pairs.count(None)
        most = max(most, held)
    assert held == 0 and most <= 4
    computer = Computer()
    found = dict(flows_by_frame(wanted, computer))
    assert [len(f) for f in found.values()] == [len(w) for w in wanted.values()]
    assert len(computer.asked) > len({frozenset(p) for p in computer.asked})


def test_nothing_wanted_computes_nothing() -> None:
    assert list(flows_by_frame({4: []}, Computer())) == [(4, [])]
    assert list(flows_by_frame({}, Computer())) == []
