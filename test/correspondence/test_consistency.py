# SPDX-License-Identifier: Apache-2.0
"""The way there and back is measured to the same bit whenever it is measured."""

from __future__ import annotations

import numpy as np

from flowcam_ros.correspondence.consistency import lengths


def test_lengths_are_the_same_wherever_the_arrays_lie_in_memory() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 120, 160)).astype(np.float32)
    expected = lengths(x, y)
    assert np.allclose(expected, np.hypot(x, y), rtol=1e-6, atol=0)
    for shift in range(1, 16):
        moved = [np.empty(x.size + shift, np.float32)[shift:].reshape(x.shape) for _ in range(2)]
        moved[0][:], moved[1][:] = x, y
        assert np.array_equal(lengths(*moved), expected)
