# SPDX-License-Identifier: Apache-2.0
"""The one change of axes: the core's optical ones to the body axes of REP-103."""

from __future__ import annotations

import numpy as np

from flowcam_ros.geometry.se3 import Matrix4

# Rotates optical axes (x right, y down, z forward) into body axes (x forward, y left, z up).
BODY_FROM_OPTICAL: Matrix4 = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
