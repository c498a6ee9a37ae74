# SPDX-License-Identifier: Apache-2.0
"""A GPU gives the same path as the processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from synthetic_runs import WALK, rendered

from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import PoseEstimate
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.settings import build


def estimates(device: str, source: str) -> list[PoseEstimate]:
    config = build(OdometryConfig, {'device': device, 'depth.source': source})
    odometry = VisualOdometry(config)
    return [odometry.process(frame) for frame in rendered(WALK)[0][:30]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason='this machine has no CUDA device')
@pytest.mark.parametrize('source', ['sensor', 'none'])
def test_cuda_and_cpu_agree(source: str) -> None:
    for here, there in zip(estimates('cpu', source), estimates('cuda', source), strict=True):
        assert here.state is there.state
        np.testing.assert_allclose(there.world_from_camera, here.world_from_camera, atol=1e-5)
        np.testing.assert_allclose(there.covariance, here.covariance, rtol=1e-2, atol=1e-12)
