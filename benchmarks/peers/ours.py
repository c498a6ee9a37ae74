# SPDX-License-Identifier: Apache-2.0
"""This project's estimator with its default options."""

from __future__ import annotations

import cv2
import torch

from benchmarks.peers.registry import DEPTH_SOURCES
from benchmarks.peers.system import Answer
from flowcam_ros import __version__
from flowcam_ros.cli.settings import resolve_config
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.odometry.pipeline import VisualOdometry


class Flowcam:
    """FlowCam online, as ``flowcam odometry`` runs it."""

    def __init__(self, mode: str, settings: list[str]) -> None:
        self._odometry = VisualOdometry(resolve_config(None, settings, DEPTH_SOURCES[mode]))

    def process(self, frame: Frame) -> Answer:
        """Return the pose of the next frame."""
        estimate = self._odometry.process(frame)
        return Answer(
            estimate.world_from_camera,
            estimate.believed,
            estimate.state.name.lower(),
            estimate.covariance,
            estimate.twist,
            estimate.twist_covariance,
            estimate.epoch,
        )

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that do the work."""
        return {
            'flowcam_ros': __version__,
            'opencv': cv2.__version__,
            'torch': str(torch.__version__),
        }
