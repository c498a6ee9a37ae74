# SPDX-License-Identifier: Apache-2.0
"""What flowcam_ros uses of cv_bridge, with the names and behaviour of the real one."""

from cv_bridge.core import CvBridge
from cv_bridge.encodings import CvBridgeError

__all__ = ['CvBridge', 'CvBridgeError']
