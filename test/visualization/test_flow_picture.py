# SPDX-License-Identifier: Apache-2.0
"""Flow colours: white stands still, the hue is the direction."""

from __future__ import annotations

import numpy as np
import pytest

from flowcam_ros.visualization.flow import draw_wheel, flow_limit, flow_picture


def uniform(x: float, y: float) -> np.ndarray:
    return np.full((40, 60, 2), (x, y), np.float32)


def test_still_is_white_and_length_gives_the_colour() -> None:
    assert (flow_picture(uniform(0, 0), 5.0) == 255).all()
    weak, strong = (flow_picture(uniform(length, 0), 10.0)[0, 0].astype(int) for length in (2, 9))
    assert np.ptp(weak) < np.ptp(strong)


def test_right_is_red_and_left_its_opposite() -> None:
    right = flow_picture(uniform(5, 0), 5.0)[0, 0]
    left = flow_picture(uniform(-5, 0), 5.0)[0, 0]
    assert right.tolist() == [0, 0, 255]
    assert left.tolist() == [255, 255, 0]


def test_the_limit_is_the_longest_but_for_a_few() -> None:
    flow = uniform(3, 4)
    flow[0, :3] = 900.0
    assert flow_limit(flow) == pytest.approx(5.0)
    assert flow_limit(uniform(0, 0)) > 0


def test_the_wheel_has_the_colours_of_the_flow() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    draw_wheel(picture, 20)
    centre = 100 - 3 - 20 - 1
    assert (picture[centre, centre] > 235).all()
    assert picture[centre, centre + 17].tolist() == pytest.approx([0, 0, 255], abs=45)
    tiny = np.zeros((20, 20, 3), np.uint8)
    draw_wheel(tiny, 20)
    assert (tiny == 0).all()
