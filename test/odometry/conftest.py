# SPDX-License-Identifier: Apache-2.0
"""The estimator runs as its entry points run it."""

import pytest

from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.device import use_threads


@pytest.fixture(scope='session', autouse=True)
def _threads() -> None:
    use_threads(OdometryConfig().threads)
