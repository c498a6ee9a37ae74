# SPDX-License-Identifier: Apache-2.0
"""Visual odometry and reconstruction from optical flow, for ROS 2 and without it."""

from pkgutil import extend_path

# The generated message bindings (flowcam_ros.action, .msg, .srv) may be installed in another
# directory than an editable checkout of this package; both belong to one package.
__path__ = extend_path(__path__, __name__)

__version__ = '0.1.0'
