# SPDX-License-Identifier: Apache-2.0
"""A whole sequence through the estimator, and the record of how it went."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.odometry.estimate import PoseEstimate
from flowcam_ros.odometry.pipeline import VisualOdometry

# Is told of each frame and what the estimator answered.
OnFrame = Callable[[Frame, PoseEstimate | FrameRejected], None]


@dataclass
class TrackingRecord:
    """What a run leaves: a pose for every frame, and counts.

    Attributes:
        stamps_ns: stamp of each frame.
        poses: (4, 4) camera-to-world of each frame; a rejected frame repeats the last pose.
        tracked: number of frames whose pose is believed.
        states: number of frames in each tracking state, and of rejected ones.
        reasons: number of frames for each cause of not being in TRACKING.
        rejected: number of frames the estimator refused, by cause.
        examples: the first message of each cause of rejection.
        scale_sources: number of frames for each source of the scale.
        epochs: number of times the path began at an origin.
        frame_ms: time the estimator took for each frame, milliseconds.
        step_ms: the same for each of its steps.
        wall_seconds: time from the first request for a frame to the last pose.
    """

    stamps_ns: list[int] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)
    tracked: int = 0
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    scale_sources: Counter[str] = field(default_factory=Counter)
    epochs: int = 0
    frame_ms: list[float] = field(default_factory=list)
    step_ms: dict[str, list[float]] = field(default_factory=dict)
    wall_seconds: float = 0.0

    def trajectory(self) -> Trajectory:
        """Return the path of the camera, one pose for each frame."""
        poses = np.stack(self.poses) if self.poses else np.empty((0, 4, 4))
        return Trajectory(np.array(self.stamps_ns, np.int64), poses)

    @property
    def scale_source(self) -> str:
        """Where the scale of most frames comes from; 'none' without any."""
        common = self.scale_sources.most_common(1)
        return common[0][0] if common else 'none'

    def add(self, estimate: PoseEstimate, milliseconds: float) -> None:
        """Take note of an answered frame."""
        self.stamps_ns.append(estimate.stamp_ns)
        self.poses.append(estimate.world_from_camera)
        self.tracked += estimate.believed
        self.states[estimate.state.name.lower()] += 1
        if estimate.reason:
            self.reasons[estimate.reason] += 1
        self.scale_sources[estimate.scale_source] += 1
        self.epochs = estimate.epoch + 1
        self.frame_ms.append(milliseconds)
        for step, duration in estimate.timings_ms.items():
            self.step_ms.setdefault(step, []).append(duration)

    def reject(self, frame: Frame, error: FrameRejected) -> None:
        """Take note of a refused frame; the camera is taken to have stayed where it was."""
        self.rejected[error.reason] += 1
        self.examples.setdefault(error.reason, str(error))
        self.states['rejected'] += 1
        if not self.stamps_ns or frame.stamp_ns > self.stamps_ns[-1]:
            self.stamps_ns.append(frame.stamp_ns)
            self.poses.append(self.poses[-1] if self.poses else np.eye(4))


def track(
    frames: Iterable[Frame],
    odometry: VisualOdometry,
    on_frame: OnFrame = lambda _frame, _outcome: None,
) -> TrackingRecord:
    """Run the estimator over all frames; ``on_frame`` is called after each.

    A frame whose stamp does not increase is rejected, so that the path stays a function of time.
    """
    record = TrackingRecord()
    begin = time.perf_counter()
    for frame in frames:
        outcome: PoseEstimate | FrameRejected
        try:
            if record.stamps_ns and frame.stamp_ns <= record.stamps_ns[-1]:
                raise FrameRejected('stamp', f'stamp {frame.stamp_ns} ns does not increase')
            start = time.perf_counter()
            outcome = odometry.process(frame)
            record.add(outcome, (time.perf_counter() - start) * 1e3)
        except FrameRejected as error:
            outcome = error
            record.reject(frame, error)
        on_frame(frame, outcome)
    record.wall_seconds = time.perf_counter() - begin
    return record
