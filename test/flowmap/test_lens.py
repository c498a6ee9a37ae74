# SPDX-License-Identifier: Apache-2.0
"""The lens projects and back, and knows its derivatives."""

import numpy as np
import pytest
import torch
from exact_views import HEIGHT, WIDTH, lens
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcam_ros.flowmap.lens import LENS_NUMBERS, Lens, project_with_derivatives
from flowcam_ros.geometry import distortion
from flowcam_ros.geometry.camera import CameraModel


def some_points(count: int = 40, seed: int = 0) -> torch.Tensor:
    random = np.random.default_rng(seed)
    z = random.uniform(0.5, 5.0, (count, 1))
    return torch.from_numpy(np.hstack([random.uniform(-0.5, 0.5, (count, 2)) * z, z]))


@settings(max_examples=30, deadline=None)
@given(
    focal=st.floats(150.0, 900.0),
    k1=st.floats(-0.15, 0.3),
    k2=st.floats(-0.05, 0.1),
    aspect=st.floats(0.8, 1.25),
)
def test_the_ray_of_a_pixel_is_projected_onto_it(
    focal: float, k1: float, k2: float, aspect: float
) -> None:
    random = np.random.default_rng(1)
    # within the picture, and within what every lens of this kind still bends outwards
    own = lens(focal, k1, k2, aspect)
    flat = torch.from_numpy(random.uniform(-0.4, 0.4, (30, 2)))
    rays = torch.cat([flat, torch.ones(30, 1)], -1).double()
    assert torch.allclose(own.rays(own.project(3.0 * rays)), rays, atol=1e-4)


def test_the_lens_is_opencvs() -> None:
    own = lens(300.0, -0.12, 0.04, 1.1)
    camera = CameraModel(
        *(WIDTH, HEIGHT, 300.0, 330.0, 0.5 * (WIDTH - 1), 0.5 * (HEIGHT - 1), 'plumb_bob'),
        (-0.12, 0.04, 0.0, 0.0),
    )
    points = some_points()
    assert np.allclose(own.project(points).numpy(), distortion.project(camera, points.numpy()))


def test_a_lens_is_made_of_a_camera_and_given_another_focal_length() -> None:
    own = Lens.of_camera(CameraModel(WIDTH, HEIGHT, 300.0, 330.0, 150.0, 110.0))
    assert own.numbers.tolist() == [300.0, 150.0, 110.0, 0.0, 0.0]
    other = own.with_focal(200.0)
    assert other.focals().tolist() == pytest.approx([200.0, 220.0])
    assert own.focal == 300.0
    middle = torch.tensor([[150.0, 110.0]])
    assert own.rays(middle).tolist() == [[0.0, 0.0, 1.0]]


def test_derivatives_are_those_of_autograd() -> None:
    points = some_points()
    own = lens(280.0, -0.1, 0.05, 1.2)
    found = project_with_derivatives(own, points)
    assert torch.allclose(found.pixel, own.project(points))

    def pixel(points: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        return Lens(numbers, own.aspect).project(points)

    by_point, by_lens = torch.autograd.functional.jacobian(pixel, (points, own.numbers))
    index = torch.arange(len(points))
    assert torch.allclose(found.by_point, by_point[index, :, index], atol=1e-9)
    assert found.by_lens.shape == (len(points), 2, LENS_NUMBERS)
    assert torch.allclose(found.by_lens, by_lens, atol=1e-9)
