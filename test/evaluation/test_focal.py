# SPDX-License-Identifier: Apache-2.0
"""The error of a focal length, at one size of the picture."""

from __future__ import annotations

import pytest

from flowcam_ros.errors import EvaluationError
from flowcam_ros.evaluation.focal import focal_error
from flowcam_ros.geometry.camera import CameraModel

TRUTH = CameraModel(640, 480, 500.0, 520.0, 319.5, 239.5)


def test_the_error_is_in_percent_of_the_mean_of_both() -> None:
    found = CameraModel(640, 480, 530.0, 530.0, 300.0, 200.0)
    error = focal_error(found, TRUTH)
    assert (error.estimate_px, error.truth_px) == (530.0, 510.0)
    assert error.error_percent == pytest.approx(100 * 20 / 510)


def test_sizes_are_made_alike() -> None:
    small = TRUTH.resized(320, 240)
    assert focal_error(small, TRUTH).error_percent == pytest.approx(0.0)
    assert focal_error(small, TRUTH).truth_px == pytest.approx(255.0)
    assert abs(focal_error(TRUTH.resized(213, 160), TRUTH).error_percent) < 1e-9


def test_a_cut_picture_cannot_be_compared() -> None:
    with pytest.raises(EvaluationError, match=r'640x360.*640x480'):
        focal_error(CameraModel(640, 360, 500.0, 500.0, 319.5, 179.5), TRUTH)
