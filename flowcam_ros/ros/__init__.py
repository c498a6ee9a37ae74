# SPDX-License-Identifier: Apache-2.0
"""Nodes, and everything that touches rclpy or a message."""
