# SPDX-License-Identifier: Apache-2.0
"""What a bag's streams carry along: plausible stamps, and the newest CameraInfo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowcam_ros.errors import FrameRejected, SequenceError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.sequences.bag.messages import deserialize, stamp_of
from flowcam_ros.sequences.bag.raw import MessageSource, RawMessage
from flowcam_ros.sequences.camera_messages import camera_from_info
from flowcam_ros.sequences.losses import LossLog
from flowcam_ros.sequences.stamps import NANOSECONDS, seconds_text

# Farther than this from the recorder's clock than its neighbours, a single stamp is damaged.
_JUMP_NS = 60 * NANOSECONDS
# CDR: encapsulation (4 bytes), then header.stamp (8 bytes); behind them lies the calibration.
_STAMP_END = 12


class StampCheck:
    """Lets the stamps of one stream pass only if they increase and are believable.

    A single stamp far off (a flipped bit) is refused, as it would make every later one look old;
    when two in a row agree, the clock was set, and they are believed.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._offset: int | None = None
        self._suspect: int | None = None

    def check(self, header: Any, log_ns: int) -> int:
        """Return the stamp in nanoseconds.

        Raises:
            FrameRejected: with reason 'stamp'.
        """
        stamp = stamp_of(header)
        if stamp == 0 and log_ns != 0:
            raise FrameRejected('stamp', 'the stamp is zero: the driver did not set it')
        offset = stamp - log_ns
        if _far(offset, self._offset) and (self._suspect is None or _far(offset, self._suspect)):
            self._suspect = offset
            raise FrameRejected('stamp', f'the stamp jumps to {seconds_text(stamp)} s')
        self._suspect, self._offset = None, offset
        if self._last is not None and stamp <= self._last:
            raise FrameRejected(
                'stamp',
                f'stamp {seconds_text(stamp)} s is not later than the one before, '
                f'{seconds_text(self._last)} s',
            )
        self._last = stamp
        return stamp


def _far(offset: int, other: int | None) -> bool:
    return other is not None and abs(offset - other) > _JUMP_NS


class CameraInfoStream:
    """The newest CameraInfo of a topic, as intrinsics for the pictures that come with it.

    Args:
        topic: for messages.
        rectified: the pictures are rectified, so that P holds.
    """

    def __init__(self, topic: str, rectified: bool) -> None:
        self.topic = topic
        self.rectified = rectified
        self.info: Any = None
        self._body = b''
        self._cameras: dict[tuple[int, int], CameraModel] = {}

    def read_first(self, path: Path, source: MessageSource) -> None:
        """Take the first readable message of the topic, which may lie behind the first picture.

        Raises:
            SequenceError: there is none.
        """
        for raw in source.messages({self.topic}, LossLog()):
            try:
                return self.update(raw)
            except FrameRejected:
                continue
        raise SequenceError(f'{path}: no message on {self.topic} can be read')

    def update(self, raw: RawMessage) -> None:
        """Take a new message; nothing happens if only its stamp differs.

        Raises:
            FrameRejected: the message is damaged; the one before stays.
        """
        body = bytes(raw.data[_STAMP_END:])
        if not body:
            raise FrameRejected('message', f'{raw.topic}: an empty message')
        if body != self._body:
            self.info = deserialize(raw)
            self._body = body
            self._cameras.clear()

    def camera(self, width: int, height: int) -> CameraModel:
        """Return the intrinsics of a picture of this size.

        Raises:
            CameraError: they do not fit it or are unusable.
        """
        if (width, height) not in self._cameras:
            self._cameras[width, height] = camera_from_info(
                self.info, width, height, rectified=self.rectified
            )
        return self._cameras[width, height]
