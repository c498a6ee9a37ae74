# SPDX-License-Identifier: Apache-2.0
"""Video files, read by OpenCV in a single pass."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from flowcam_ros.errors import CameraError, SequenceError, UsageError
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.geometry.usual_camera import usual_camera
from flowcam_ros.sequences.calibration import read_calibration
from flowcam_ros.sequences.camera_messages import fit_camera
from flowcam_ros.sequences.losses import LossLog
from flowcam_ros.sequences.mask import Mask
from flowcam_ros.sequences.options import SequenceOptions
from flowcam_ros.sequences.pixels import to_grey_or_bgr
from flowcam_ros.sequences.stamps import NANOSECONDS

# AV_LOG_QUIET of FFmpeg; the variable is OpenCV's.
_QUIET = '-8'


class VideoSequence:
    """The frames of a video with intrinsics from a file; fulfils the Sequence protocol.

    Stamps are the container's presentation times, integer nanoseconds from its start; where the
    container gives none that increase, one frame period after the frame before.

    Raises:
        UsageError: no calibration is given, and none is to be assumed.
        SequenceError: OpenCV cannot read the file as a video.
        CameraError: the calibration is wrong or does not fit the pictures.
    """

    def __init__(self, path: Path, options: SequenceOptions) -> None:
        if options.camera is None and not options.assume_camera:
            raise UsageError(
                f'{path}: a video has no intrinsics; give them with --camera FILE '
                '(a calibration.yaml with fx, fy, cx, cy, width, height); flowcam refine does '
                'without: --intrinsics unknown'
            )
        self.name = path.stem
        self._path = path
        self._log = LossLog()
        self.losses = self._log.sentences
        self._mask = Mask(options.mask)
        calibration = read_calibration(options.camera) if options.camera else None
        with self._capture() as capture:
            self._frames = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
            self._period_ns = self._frame_period(capture, calibration.fps if calibration else None)
            width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
            height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if calibration is None:
            self._camera = usual_camera(width, height)
            return
        try:
            self._camera = fit_camera(calibration.camera, width, height)
        except CameraError as error:
            raise CameraError(f'{path} with {options.camera}: {error}') from error

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order of time.

        Raises:
            SequenceError: not a single frame can be decoded.
        """
        self._log.restart()
        mask = self._mask.for_size(self._camera.width, self._camera.height)
        count, stamp = 0, -1
        with self._capture() as capture:
            while True:
                read, image = capture.read()
                if not read:
                    break
                stamp = self._stamp(capture, stamp)
                count += 1
                yield Frame(stamp, to_grey_or_bgr(image), self._camera, mask=mask)
        if not count:
            raise SequenceError(f'{self._path}: no frame can be decoded; is the codec supported?')
        # The container's count is an estimate; a few frames more or less mean nothing.
        if count < 0.98 * self._frames - 2:
            self._log.say(f'{count} of ~{self._frames} frames of the video could be decoded')

    def expected_frames(self) -> int | None:
        """Return the container's count of frames; None if it has none."""
        return self._frames or None

    def ground_truth(self) -> Trajectory | None:
        """Return None: a video does not know the camera's path."""
        return None

    @contextmanager
    def _capture(self) -> Iterator[cv2.VideoCapture]:
        # The decoder would print each damaged block; the losses are counted here.
        os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', _QUIET)
        capture = cv2.VideoCapture(str(self._path))
        try:
            if not capture.isOpened():
                raise SequenceError(
                    f'{self._path}: cannot be opened as a video (damaged, or a codec that OpenCV '
                    'does not have); re-encode it, e.g. to H.264 in MP4'
                )
            yield capture
        finally:
            capture.release()

    def _frame_period(self, capture: cv2.VideoCapture, calibrated_fps: float | None) -> int:
        fps = capture.get(cv2.CAP_PROP_FPS)
        if not (math.isfinite(fps) and 0 < fps <= 1e5):
            fps = calibrated_fps or 0.0
        if not fps:
            raise SequenceError(
                f'{self._path}: the video does not say its frame rate; put fps into the '
                'calibration file'
            )
        return max(1, round(NANOSECONDS / fps))

    def _stamp(self, capture: cv2.VideoCapture, previous: int) -> int:
        milliseconds = capture.get(cv2.CAP_PROP_POS_MSEC)
        stamp = round(milliseconds * 1e6) if math.isfinite(milliseconds) else -1
        if stamp > previous:
            return stamp
        return previous + self._period_ns if previous >= 0 else 0
