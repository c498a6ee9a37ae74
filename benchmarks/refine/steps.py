# SPDX-License-Identifier: Apache-2.0
"""What is measured of a step, and how few steps are too few."""

from __future__ import annotations

FRAMES, WIDTH, HEIGHT = 20, 224, 160
# The first steps of a stage, and of a kind of focal length, set themselves up.
WARM_UP = 3
LEAST_STEPS = 2 * WARM_UP + 4
