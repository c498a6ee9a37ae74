# SPDX-License-Identifier: Apache-2.0
"""The folder of ``flowcam odometry --debug``: a row for every frame, pictures of the chosen."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import cv2

from flowcam_ros.cli.frame_choice import FrameChoice
from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.errors import FrameRejected, OutputError
from flowcam_ros.export.atomic import write_bytes
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.diagnosis import Diagnosis
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.visualization.diagnosis import Labels, diagnosis_picture
from flowcam_ros.visualization.diagnosis_numbers import COLUMNS, Number, numbers

TABLE = 'debug.csv'


class DebugOutput:
    """Writes what the estimator saw, frame by frame.

    Args:
        folder: an empty folder.
        choice: the frames to draw.
        odometry: the estimator to ask.
        config: its options.
        table: the file of the table, open for writing.
    """

    def __init__(
        self,
        folder: Path,
        choice: FrameChoice,
        odometry: VisualOdometry,
        config: OdometryConfig,
        table: TextIO,
    ) -> None:
        self._folder, self._choice, self._odometry = folder, choice, odometry
        self._flow = make_flow(config.flow)
        self._numbers: dict[int, int] = {}  # of the frames, by stamp
        self._count = 0
        self._rows = csv.DictWriter(table, COLUMNS)
        with _explained(folder / TABLE):
            self._rows.writeheader()

    def add(self, frame: Frame, outcome: PoseEstimate | FrameRejected) -> None:
        """Take note of the frame just worked on.

        Raises:
            OutputError: a file cannot be written.
        """
        number, self._count = self._count, self._count + 1
        row: dict[str, Number]
        diagnosis = self._odometry.diagnosis()
        if isinstance(outcome, FrameRejected) or diagnosis is None:
            reason = outcome.reason if isinstance(outcome, FrameRejected) else ''
            row = {'stamp_ns': frame.stamp_ns, 'state': 'rejected', 'reason': reason}
        else:
            self._numbers[outcome.stamp_ns] = number
            row = numbers(diagnosis)
            tracked = outcome.state is TrackingState.TRACKING
            if self._choice.takes(number, tracked=tracked):
                row['picture'] = self._draw(number, diagnosis, row)
        row['frame'] = number
        with _explained(self._folder / TABLE):
            self._rows.writerow(row)

    def _draw(self, number: int, diagnosis: Diagnosis, row: dict[str, Number]) -> str:
        name = f'frame_{number:06d}.png'
        key = diagnosis.keyframe
        fitted_to = '' if key is None else str(self._numbers.get(key.frame.stamp_ns, ''))
        labels = Labels(f'frame {number}', fitted_to)
        picture = diagnosis_picture(diagnosis, row, labels, self._flow)
        write_bytes(self._folder / name, cv2.imencode('.png', picture)[1].tobytes())
        return name


@contextlib.contextmanager
def debug_output(
    folder: Path, choice: FrameChoice, odometry: VisualOdometry, config: OdometryConfig
) -> Iterator[DebugOutput]:
    """Give a writer into an empty folder; the table is closed when the block ends.

    Raises:
        OutputError: the table cannot be written.
    """
    path = folder / TABLE
    # line by line, so that a full disk is told by the row that meets it
    with _explained(path):
        table = path.open('x', buffering=1, encoding='utf-8', newline='')
    with table:
        yield DebugOutput(folder, choice, odometry, config, table)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f'{path}: cannot be written ({error.strerror})') from error
