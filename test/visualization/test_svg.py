# SPDX-License-Identifier: Apache-2.0
"""Charts put values where their axes say."""

from __future__ import annotations

import re

import numpy as np
import pytest

from flowcam_ros.visualization.svg import Chart, Scale, element, limits


def test_a_scale_maps_its_ends_and_middle() -> None:
    scale = Scale(-1.0, 3.0, 100.0, 200.0)
    assert scale(np.array([-1.0, 1.0, 3.0])) == pytest.approx([100.0, 150.0, 200.0])


def test_a_logarithmic_scale_maps_decades_evenly() -> None:
    scale = Scale(0.01, 100.0, 0.0, 4.0, True)
    assert scale(np.array([0.01, 0.1, 1.0, 100.0])) == pytest.approx([0.0, 1.0, 2.0, 4.0])
    assert np.isnan(scale(np.array([0.0, -1.0]))).all()


def test_ticks_are_round_and_inside() -> None:
    assert Scale(0.0, 1.0, 0, 1).ticks(5) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert Scale(0.05, 3.0, 0, 1, True).ticks(5) == pytest.approx([0.05, 0.1, 0.2, 0.5, 1, 2])
    assert len(Scale(1e-9, 1e9, 0, 1, True).ticks(5)) <= 7


@pytest.mark.parametrize('bounds', [(0.0, 0.0), (5.0, 5.0), (-1e9, -1e9)])
def test_a_range_of_one_value_still_has_a_scale(bounds: tuple[float, float]) -> None:
    chart = Chart(bounds, bounds)
    assert chart.x.low < bounds[0] < chart.x.high
    chart.axes('x', 'y')


def test_equal_axes_have_one_unit() -> None:
    chart = Chart((0.0, 10.0), (0.0, 1.0), equal=True)
    across = (chart.x.end - chart.x.start) / (chart.x.high - chart.x.low)
    up = (chart.y.start - chart.y.end) / (chart.y.high - chart.y.low)
    assert across == pytest.approx(up)
    assert chart.x.low <= 0.0 and chart.x.high >= 10.0
    assert chart.y.low <= 0.0 and chart.y.high >= 1.0


def test_a_line_breaks_where_there_is_no_value() -> None:
    chart = Chart((0.0, 4.0), (0.0, 1.0))
    chart.line(np.arange(5.0), np.array([0.0, 1.0, np.nan, 1.0, 0.0]), 'estimate')
    path = re.search(r'd="([^"]+)"', chart.svg('x'))
    assert path is not None and path.group(1).count('M') == 2


def test_a_long_line_is_thinned_but_keeps_its_ends() -> None:
    chart = Chart((0.0, 1e5), (0.0, 1.0))
    chart.line(np.arange(100_000.0), np.zeros(100_000), 'estimate')
    path = re.search(r'd="M([^"]+)"', chart.svg('x'))
    assert path is not None
    points = path.group(1).split('L')
    assert len(points) <= 1500
    assert points[0].startswith(f'{chart.x.start:.1f} ')


def test_bars_stand_on_the_bottom_with_their_height() -> None:
    chart = Chart((0.0, 2.0), (0.0, 10.0))
    chart.bars(np.array([0.0, 1.0, 2.0]), np.array([5.0, 0.0]), 'fill-estimate')
    heights = re.findall(r'<rect[^>]* height="([\d.]+)"', chart.svg('x'))
    assert len(heights) == 1
    assert float(heights[0]) == pytest.approx((chart.y.start - chart.y.end) / 2, abs=0.01)


def test_limits_ignore_what_is_no_number() -> None:
    assert limits(np.array([np.nan, 1.0, np.inf, 3.0]), None, margin=0.0) == (1.0, 3.0)
    assert limits(np.array([np.nan])) == (0.0, 1.0)
    assert limits() == (0.0, 1.0)


def test_attributes_are_escaped() -> None:
    made = element('a', class_='x"<', stroke_width=1.5)
    assert made == '<a class="x&quot;&lt;" stroke-width="1.5"/>'
