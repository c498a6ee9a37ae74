# SPDX-License-Identifier: Apache-2.0
"""These tests hold for the stand-ins and for the real packages alike."""

from __future__ import annotations

import importlib.util

collect_ignore_glob: list[str] = []
if importlib.util.find_spec('rclpy') is None:
    collect_ignore_glob.append('test_[cmt]*.py')
