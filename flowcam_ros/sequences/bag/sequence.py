# SPDX-License-Identifier: Apache-2.0
"""A ROS 2 bag as a stream of frames."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

from flowcam_ros.errors import CameraError, FrameRejected
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.bag.ground_truth import read_ground_truth
from flowcam_ros.sequences.bag.messages import deserialize
from flowcam_ros.sequences.bag.odometry import read_odometry
from flowcam_ros.sequences.bag.reading import BagContent, BagReading
from flowcam_ros.sequences.bag.source import open_source
from flowcam_ros.sequences.bag.static_tf import StaticTransforms
from flowcam_ros.sequences.bag.streams import CameraInfoStream
from flowcam_ros.sequences.bag.topics import BagTopics, TopicChooser
from flowcam_ros.sequences.calibration import read_calibration
from flowcam_ros.sequences.camera_messages import baseline_from_info
from flowcam_ros.sequences.losses import LossLog
from flowcam_ros.sequences.mask import Mask
from flowcam_ros.sequences.options import SequenceOptions
from flowcam_ros.sequences.sequence import BodyPath
from flowcam_ros.sequences.topic_names import is_rectified

_LOG = logging.getLogger(__name__)


class BagSequence:
    """The pictures of one topic with what belongs to them; fulfils the Sequence protocol.

    Header stamps are the stamps of the frames. Depth and right picture are those nearest in time.

    Args:
        path: bag folder, or ``.mcap`` or ``.db3`` file.
        options: topics and files the user named.

    Raises:
        UsageError: a topic is missing or ambiguous, or there are no intrinsics
            and none are to be assumed.
        CameraError: the calibration file is wrong.
        SequenceError: nothing of the bag can be read.
    """

    def __init__(self, path: Path, options: SequenceOptions) -> None:
        self.name = path.stem if path.is_file() else path.resolve().name
        log = LossLog()
        self.losses = log.sentences
        source = open_source(path, strict=options.strict, log=log)
        topics = TopicChooser(path, source, options).choose()
        self._content = BagContent(
            path=path,
            source=source,
            topics=topics,
            types={topic.name: topic.type for topic in source.topics()},
            transforms=StaticTransforms(source),
            calibration=read_calibration(options.camera) if options.camera else None,
            mask=Mask(options.mask),
            tolerance_s=options.max_time_difference_s,
            log=log,
        )
        if topics.right is not None and not topics.right_given and not self._is_rectified():
            _LOG.warning(
                '%s is not used: the pair is not rectified; name rectified topics with '
                '--image-topic and --right-topic',
                topics.right.name,
            )
            mono = dataclasses.replace(topics, right=None)
            self._content = dataclasses.replace(self._content, topics=mono)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order of time; what cannot be used is counted in ``losses``.

        Raises:
            CameraError: the intrinsics do not fit the first picture.
            SequenceError: the file is too damaged to go on, or holds no usable picture.
        """
        self._content.log.restart()
        return BagReading(self._content).frames()

    def expected_frames(self) -> int | None:
        """Return the number of pictures recorded."""
        name = self._content.topics.image.name
        return sum(topic.count for topic in self._content.source.topics() if topic.name == name)

    def ground_truth(self) -> Trajectory | None:
        """Return the camera path from ``/ground_truth/odom``; None if it is not in the bag.

        Raises:
            SequenceError: what moves there has no fixed transform to the camera.
        """
        content, frame_id = self._content, self._camera_frame()
        if frame_id is None:
            return None
        return read_ground_truth(content.path, content.source, frame_id, content.transforms)

    def odometry(self) -> BodyPath | None:
        """Return the robot's path from ``/odom``; None if it is not in the bag."""
        content, frame_id = self._content, self._camera_frame()
        if frame_id is None:
            return None
        return read_odometry(content.source, frame_id, content.transforms)

    def _camera_frame(self) -> str | None:
        """Return the frame of the first picture that can be read."""
        for raw in self._content.source.messages({self._content.topics.image.name}, LossLog()):
            try:
                return str(deserialize(raw).header.frame_id)
            except FrameRejected:
                continue
        return None

    def _is_rectified(self) -> bool:
        """Whether the stereo pair is surely rectified and has a baseline."""
        topics: BagTopics = self._content.topics
        for topic in (topics.image, topics.right):
            if topic is None or topic.info is None:
                return False
            stream = CameraInfoStream(topic.info, rectified=True)
            stream.read_first(self._content.path, self._content.source)
            if any(stream.info.d) and not is_rectified(topic.name):
                return False
        try:
            return baseline_from_info(stream.info) > 0
        except CameraError:
            return False
