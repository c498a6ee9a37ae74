# SPDX-License-Identifier: Apache-2.0
"""One pass through a bag: messages in, frames out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from flowcam_ros.errors import CameraError, FrameRejected, SequenceError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame, StereoImage
from flowcam_ros.geometry.usual_camera import usual_camera
from flowcam_ros.sequences.bag.messages import IMAGE, deserialize
from flowcam_ros.sequences.bag.raw import MessageSource, RawMessage
from flowcam_ros.sequences.bag.static_tf import StaticTransforms
from flowcam_ros.sequences.bag.streams import CameraInfoStream, StampCheck
from flowcam_ros.sequences.bag.topics import BagTopics, ImageTopic
from flowcam_ros.sequences.calibration import Calibration
from flowcam_ros.sequences.camera_messages import baseline_from_info, fit_camera
from flowcam_ros.sequences.image_messages import (
    decode_compressed,
    decode_compressed_depth,
    decode_depth,
    decode_image,
)
from flowcam_ros.sequences.losses import LossLog
from flowcam_ros.sequences.mask import Mask
from flowcam_ros.sequences.pairing import NearestPairing, Pair, Stamped, unpaired_sentence
from flowcam_ros.sequences.stamps import NANOSECONDS
from flowcam_ros.sequences.topic_names import is_rectified

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class BagContent:
    """An opened bag: which topics to read, and what holds for all of their messages.

    Attributes:
        path: the bag, for messages.
        source: its messages.
        topics: the topics to read.
        types: message type of every topic.
        transforms: the fixed transforms.
        calibration: the file that replaces the pictures' CameraInfo, if the user gave one;
            without either the usual camera is assumed.
        mask: pixels never to use.
        tolerance_s: farthest apart that a picture and its depth or right picture may be.
        log: takes the losses.
    """

    path: Path
    source: MessageSource
    topics: BagTopics
    types: dict[str, str]
    transforms: StaticTransforms
    calibration: Calibration | None
    mask: Mask
    tolerance_s: float
    log: LossLog


class BagReading:
    """One pass through a bag."""

    def __init__(self, content: BagContent) -> None:
        self._content = content
        self._log = content.log
        topics = content.topics
        self._image, self._depth, self._right = topics.image, topics.depth, topics.right
        partners = {'depth': topics.depth, 'right': topics.right}
        self._partners = {topic.name: key for key, topic in partners.items() if topic}
        self._infos = self._info_streams()
        self._stamps = {name: StampCheck() for name in (self._image.name, *self._partners)}
        self._pairing = NearestPairing(
            tuple(self._partners.values()), round(content.tolerance_s * NANOSECONDS)
        )
        self._extrinsics: dict[tuple[str, str], np.ndarray] = {}
        self._yielded = 0
        self._unpaired = dict.fromkeys(self._partners.values(), 0)

    def _info_streams(self) -> dict[str, CameraInfoStream]:
        """Return the CameraInfo streams that are needed, each with its first message."""
        rectified = self._right is not None or is_rectified(self._image.name)
        streams = {}
        for key, topic in (('image', self._image), ('depth', self._depth), ('right', self._right)):
            if key == 'right' and topic is not None and topic.info is None:
                raise CameraError(
                    f'{topic.name} has no camera_info, so the baseline is unknown; name it with '
                    '--right-camera-info-topic'
                )
            if topic is None or topic.info is None:
                continue
            if key == 'image' and self._content.calibration is not None:
                continue
            streams[key] = CameraInfoStream(topic.info, rectified and key != 'depth')
            streams[key].read_first(self._content.path, self._content.source)
        return streams

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the bag."""
        for pair in self._pairs():
            frame = self._frame(pair)
            if frame is not None:
                self._yielded += 1
                yield frame
        if not self._yielded:
            losses = '; '.join(self._log.sentences) or 'no message'
            raise SequenceError(
                f'{self._content.path}: no usable picture on {self._image.name}: {losses}'
            )
        for stream, unpaired in self._unpaired.items():
            sentence = unpaired_sentence(
                stream, unpaired, self._yielded, self._content.tolerance_s
            )
            if sentence:
                self._log.say(sentence)

    def _pairs(self) -> Iterator[Pair]:
        """Yield pictures with their partners, still as messages."""
        infos: dict[str, list[CameraInfoStream]] = {}
        for stream in self._infos.values():
            infos.setdefault(stream.topic, []).append(stream)
        topics = {self._image.name, *self._partners, *infos}
        for raw in self._content.source.messages(topics, self._log):
            try:
                if raw.topic in infos:
                    for stream in infos[raw.topic]:
                        stream.update(raw)
                    continue
                message = deserialize(raw)
                stamp = self._stamps[raw.topic].check(message.header, raw.log_ns)
            except FrameRejected as error:
                self._reject(raw, error)
                continue
            item = Stamped(stamp, message, len(raw.data))
            if raw.topic == self._image.name:
                yield from self._pairing.add_picture(item)
            else:
                yield from self._pairing.add_partner(self._partners[raw.topic], item)
        yield from self._pairing.flush()

    def _reject(self, raw: RawMessage, error: FrameRejected) -> None:
        what = 'have no usable stamp' if error.reason == 'stamp' else 'are damaged'
        self._log.count(f'messages on {raw.topic} {what}', str(error))

    def _frame(self, pair: Pair) -> Frame | None:
        message = pair.picture.content
        try:
            image = self._decode(self._image, message)
            height, width = image.shape[:2]
            camera = self._camera(width, height)
        except FrameRejected as error:
            self._log.count(f'pictures on {self._image.name} could not be decoded', str(error))
            return None
        except CameraError as error:
            if not self._yielded:
                raise
            self._log.count(f'pictures on {self._image.name} do not fit the camera', str(error))
            return None
        for stream, partner in pair.partners.items():
            self._unpaired[stream] += partner is None
        return Frame(
            pair.picture.stamp_ns,
            image,
            camera,
            depth=self._depth_image(pair.partners.get('depth'), message, camera),
            right=self._right_image(pair.partners.get('right')),
            mask=self._content.mask.for_size(width, height),
            frame_id=message.header.frame_id or Frame.frame_id,
        )

    def _decode(self, topic: ImageTopic, message: Any) -> np.ndarray:
        raw = self._content.types[topic.name] == IMAGE
        return decode_image(message) if raw else decode_compressed(message)

    def _camera(self, width: int, height: int) -> CameraModel:
        calibration = self._content.calibration
        try:
            if calibration is not None:
                return fit_camera(calibration.camera, width, height)
            if 'image' not in self._infos:
                return usual_camera(width, height)
            return self._infos['image'].camera(width, height)
        except CameraError as error:
            where = '--camera' if calibration is not None else self._image.info
            raise CameraError(f'{where}: {error}') from error

    def _depth_image(
        self, partner: Stamped | None, picture: Any, camera: CameraModel
    ) -> DepthImage | None:
        if partner is None or self._depth is None:
            return None
        message = partner.content
        raw = self._content.types[self._depth.name] == IMAGE
        try:
            depth = decode_depth(message) if raw else decode_compressed_depth(message)
            height, width = depth.shape
            if 'depth' in self._infos:
                own = self._infos['depth'].camera(width, height)
            else:
                own = self._undeclared_depth_camera(camera, width, height)
        except FrameRejected as error:
            self._log.count(f'depth images on {self._depth.name} are damaged', str(error))
            return None
        except CameraError as error:
            if not self._yielded:
                raise CameraError(f'{self._depth.info or self._depth.name}: {error}') from error
            self._log.count(f'depth images on {self._depth.name} do not fit', str(error))
            return None
        color_from_depth = self._color_from_depth(picture.header.frame_id, message.header.frame_id)
        return DepthImage(depth, own, color_from_depth)

    def _undeclared_depth_camera(
        self, camera: CameraModel, width: int, height: int
    ) -> CameraModel:
        """Return the intrinsics of depth without CameraInfo: a file's, or the picture's own."""
        calibration = self._content.calibration
        own = calibration.depth_camera if calibration is not None else None
        return fit_camera(own or camera, width, height)

    def _color_from_depth(self, color: str, depth: str) -> Float[np.ndarray, '4 4']:
        if (color, depth) not in self._extrinsics:
            found = self._content.transforms.lookup(color, depth)
            if found is None:
                _LOG.warning(
                    'no transform from %s to %s in /tf_static; they are taken as one', depth, color
                )
                found = np.eye(4)
            self._extrinsics[color, depth] = found
        return self._extrinsics[color, depth]

    def _right_image(self, partner: Stamped | None) -> StereoImage | None:
        if partner is None or self._right is None:
            return None
        stream = self._infos['right']
        try:
            image = self._decode(self._right, partner.content)
            camera = stream.camera(image.shape[1], image.shape[0])
            return StereoImage(image, camera, baseline_from_info(stream.info))
        except FrameRejected as error:
            self._log.count(f'pictures on {self._right.name} could not be decoded', str(error))
        except CameraError as error:
            if not self._yielded:
                raise CameraError(f'{stream.topic}: {error}') from error
            self._log.count(f'pictures on {self._right.name} do not fit', str(error))
        return None
