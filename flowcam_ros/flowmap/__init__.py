# SPDX-License-Identifier: Apache-2.0
"""FlowMap: poses, intrinsics and dense depth of a recorded video by gradient descent."""
