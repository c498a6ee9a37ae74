# SPDX-License-Identifier: Apache-2.0
"""ROS 2 bags (mcap and sqlite3), also damaged ones, read without ROS."""
