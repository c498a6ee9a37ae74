# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are the picture, its depth and its right picture: found or asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flowcam_ros.errors import FrameRejected, UsageError
from flowcam_ros.sequences.bag.messages import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    deserialize,
)
from flowcam_ros.sequences.bag.raw import MessageSource, Topic
from flowcam_ros.sequences.losses import LossLog
from flowcam_ros.sequences.options import SequenceOptions
from flowcam_ros.sequences.topic_names import base_name

NO_TOPIC = 'none'
# What sets the two topics of a stereo pair apart.
_SIDES = (('left', 'right'), ('infra1', 'infra2'), ('cam0', 'cam1'))


@dataclass(frozen=True)
class ImageTopic:
    """A topic of pictures and the topic of its CameraInfo; None if there is none."""

    name: str
    info: str | None


@dataclass(frozen=True)
class BagTopics:
    """The topics to read. ``right_given``: the user named the right picture."""

    image: ImageTopic
    depth: ImageTopic | None
    right: ImageTopic | None
    right_given: bool


class TopicChooser:
    """Finds topics by type, content and name where only one will do, else says which there are.

    Args:
        path: the bag, for messages.
        source: the bag.
        options: what the user asked for.
    """

    def __init__(self, path: Path, source: MessageSource, options: SequenceOptions) -> None:
        self._path = path
        self._source = source
        self._options = options
        self._topics = {topic.name: topic for topic in source.topics()}
        self._infos = {n: t for n, t in self._topics.items() if t.type == CAMERA_INFO and t.count}

    def choose(self) -> BagTopics:
        """Return the topics to read.

        Raises:
            UsageError: a named topic is not there, or several could be meant; the message lists
                candidates with their types and counts.
        """
        pictures = self._without_transports(
            t for t in self._topics.values() if t.type in (IMAGE, COMPRESSED_IMAGE) and t.count
        )
        depths = [t for t in pictures if self._is_depth(t)]
        colors = [t for t in pictures if t not in depths]
        options = self._options
        image = self._choose_image(colors, depths)
        if options.assume_camera:
            return BagTopics(ImageTopic(image, None), None, None, right_given=False)
        depth = self._choose_depth(depths)
        right = self._choose_right(image)
        info = self._info(
            image, options.camera_info_topic, '--camera-info-topic'
        ) or self._only_info(image)
        return BagTopics(
            ImageTopic(image, info),
            self._with_info(depth, options.depth_camera_info_topic, '--depth-camera-info-topic'),
            self._with_info(right, options.right_camera_info_topic, '--right-camera-info-topic'),
            right_given=right is not None and options.right_topic is not None,
        )

    def _without_transports(self, topics: Iterable[Topic]) -> list[Topic]:
        """Keep one of an image's transports, the raw one where it was recorded."""
        kept: dict[str, Topic] = {}
        for topic in topics:
            base = base_name(topic.name)
            if base not in kept or topic.type == IMAGE:
                kept[base] = topic
        return list(kept.values())

    def _is_depth(self, topic: Topic) -> bool:
        named = 'depth' in topic.name.lower()
        for raw in self._source.messages({topic.name}, LossLog()):
            try:
                message = deserialize(raw)
            except FrameRejected:
                return named
            kind = message.encoding if topic.type == IMAGE else message.format
            if kind.startswith(('16UC1', '32FC1')) or 'compressedDepth' in kind:
                return True
            return named and kind.startswith('mono16')
        return named

    def _choose_image(self, colors: list[Topic], depths: list[Topic]) -> str:
        asked = self._options.image_topic
        if asked is not None:
            return self._named(asked, '--image-topic', (IMAGE, COMPRESSED_IMAGE), colors)
        names = {t.name for t in colors}
        rights = {partner for t in colors for partner in _right_names(t.name)}
        candidates = [t for t in colors if t.name not in rights & names]
        if not candidates:
            known = depths or list(self._topics.values())
            raise UsageError(f'{self._path}: no image topic in the bag; there is {_list(known)}')
        if len(candidates) > 1:
            raise UsageError(
                f'{self._path}: several image topics: {_list(colors)}; '
                'choose one with --image-topic'
            )
        return candidates[0].name

    def _choose_depth(self, depths: list[Topic]) -> str | None:
        asked = self._options.depth_topic
        if asked == NO_TOPIC:
            return None
        if asked is not None:
            return self._named(asked, '--depth-topic', (IMAGE, COMPRESSED_IMAGE), depths)
        candidates = [t for t in depths if 'depth' in t.name.lower()] or depths
        if len(candidates) > 1:
            raise UsageError(
                f'{self._path}: several depth topics: {_list(candidates)}; choose one with '
                f'--depth-topic, or --depth-topic {NO_TOPIC}'
            )
        return candidates[0].name if candidates else None

    def _choose_right(self, image: str) -> str | None:
        asked = self._options.right_topic
        if asked == NO_TOPIC:
            return None
        if asked is not None:
            pictures = [t for t in self._topics.values() if t.type in (IMAGE, COMPRESSED_IMAGE)]
            return self._named(asked, '--right-topic', (IMAGE, COMPRESSED_IMAGE), pictures)
        found = [n for n in _right_names(image) if n in self._topics and self._topics[n].count]
        return found[0] if len(found) == 1 else None

    def _with_info(self, image: str | None, asked: str | None, option: str) -> ImageTopic | None:
        return None if image is None else ImageTopic(image, self._info(image, asked, option))

    def _info(self, image: str, asked: str | None, option: str) -> str | None:
        """Return the CameraInfo topic that was asked for, or lies beside the image topic."""
        if asked is not None:
            return self._named(asked, option, (CAMERA_INFO,), self._infos.values())
        base = base_name(image)
        for name in (f'{base.rpartition("/")[0]}/camera_info', f'{base}/camera_info'):
            if name in self._infos:
                return name
        return None

    def _only_info(self, image: str) -> str | None:
        """Return the only CameraInfo of the bag; None if a calibration file replaces it."""
        if self._options.camera is not None:
            return None
        if len(self._infos) == 1:
            return next(iter(self._infos))
        beside = f'{base_name(image).rpartition("/")[0]}/camera_info'
        raise UsageError(
            f'{self._path}: no camera_info for {image} (looked for {beside}; there is '
            f'{_list(self._infos.values())}): name it with --camera-info-topic, or give the '
            'intrinsics with --camera FILE; flowcam refine does without: --intrinsics unknown'
        )

    def _named(
        self, name: str, option: str, types: tuple[str, ...], candidates: Iterable[Topic]
    ) -> str:
        topic = self._topics.get(name)
        if topic is None or topic.type not in types or not topic.count:
            problem = (
                'is not in the bag'
                if topic is None
                else f'has no messages of {" or ".join(types)}'
            )
            raise UsageError(
                f'{self._path}: topic {name} {problem}; candidates for {option}: '
                f'{_list(candidates)}'
            )
        return name


def _right_names(topic: str) -> list[str]:
    """Return how the right picture may be called: .../left/... or one level below ``right``."""
    base = base_name(topic)
    parent, _, leaf = base.rpartition('/')
    below = f'{parent}/right/{leaf}{topic[len(base) :]}'
    return [below, *(topic.replace(left, right) for left, right in _SIDES if left in topic)]


def _list(topics: Iterable[Topic]) -> str:
    return ', '.join(f'{t.name} ({t.type}, {t.count} messages)' for t in topics) or 'none'
