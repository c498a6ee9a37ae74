# SPDX-License-Identifier: Apache-2.0
"""What the ROS-free layers log goes where the node logs."""

from __future__ import annotations

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger


class RosLogHandler(logging.Handler):
    """Hands Python's log records to a ROS logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; rclpy ties a severity to the line that logs, hence one line for each."""
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)


def bridge_logs(logger: RcutilsLogger) -> RosLogHandler:
    """Send what the package logs from INFO on to a ROS logger; return the handler."""
    handler = RosLogHandler(logger)
    package = logging.getLogger('flowcam_ros')
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    return handler
