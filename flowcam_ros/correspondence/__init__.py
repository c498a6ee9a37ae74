# SPDX-License-Identifier: Apache-2.0
"""Optical flow between frames, and how far to trust it."""
