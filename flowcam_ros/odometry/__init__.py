# SPDX-License-Identifier: Apache-2.0
"""FlowCam online: flow lifted to scene flow, the pose as a robust weighted fit."""
