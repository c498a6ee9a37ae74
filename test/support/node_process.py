# SPDX-License-Identifier: Apache-2.0
"""A node in a process of its own, and where its camera sits."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.axes import BODY_FROM_OPTICAL

# The camera sits ahead of and above the body, and looks 10 degrees down.
MOUNT = se3.exp(np.array([0.2, 0.05, 0.4, 0.0, 0.1745, 0.0])) @ BODY_FROM_OPTICAL


class NodeProcess:
    """A node as users start it, by the name of its module."""

    def __init__(
        self,
        environment: dict[str, str],
        log: Path,
        *arguments: str,
        module: str = 'odometry_node',
        **parameters: object,
    ) -> None:
        command = [sys.executable, '-m', f'flowcam_ros.ros.{module}', *arguments, '--ros-args']
        for name, value in parameters.items():
            text = f"'{value}'" if isinstance(value, str) else str(value).lower()
            command += ['-p', f'{name.replace("__", ".")}:={text}']
        self._log = log
        with log.open('w') as file:
            self.process = subprocess.Popen(
                command, env=environment, stdout=file, stderr=subprocess.STDOUT
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def interrupt(self, times: int = 1, timeout: float = 20.0) -> tuple[int, float]:
        """Press Ctrl-C; return exit code and the seconds it took."""
        begin = time.monotonic()
        for _ in range(times):
            self.process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        return self.process.wait(timeout), time.monotonic() - begin

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10.0)
