# SPDX-License-Identifier: Apache-2.0
"""Turn frames into the messages of a bag."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from rosbags.rosbag2 import Writer

from flowcam_ros.geometry.frame import DepthImage, Frame
from flowcam_ros.sequences.bag.ground_truth import GROUND_TRUTH_TOPIC
from flowcam_ros.sequences.bag.message_writer import MessageWriter

_WORLD_FRAME = 'world'
# Depth that has a pose of its own needs a frame of its own.
_DEPTH_FRAME = 'camera_depth_optical_frame'
_MILLIMETRES = 1000.0


class TopicWriter:
    """Writes frames and true poses to an open bag.

    Attributes:
        counts: number of messages written, by topic.
    """

    def __init__(self, writer: Writer, compressed: bool) -> None:
        self._messages = MessageWriter(writer)
        self.counts = self._messages.counts
        self._compressed = compressed

    def write_frame(self, frame: Frame) -> None:
        """Write the picture with all that comes with it."""
        stamp, frame_id, baseline = frame.stamp_ns, frame.frame_id, 0.0
        messages = self._messages
        self._write_picture('/camera/image', stamp, frame_id, frame.image)
        messages.write_info('/camera/camera_info', stamp, frame_id, frame.camera)
        if frame.depth is not None:
            self._write_depth(stamp, frame_id, frame.depth)
        if frame.right is not None:
            right, baseline = frame.right, frame.right.baseline
            self._write_picture('/camera/right/image', stamp, frame_id, right.image)
            info = '/camera/right/camera_info'
            messages.write_info(info, stamp, frame_id, right.camera, baseline)

    def write_true_pose(self, stamp_ns: int, world_from_camera: np.ndarray, frame_id: str) -> None:
        """Write a true pose of the camera; its velocity is not known."""
        self._messages.write_pose(
            GROUND_TRUTH_TOPIC, stamp_ns, _WORLD_FRAME, frame_id, world_from_camera
        )

    def _write_picture(self, topic: str, stamp: int, frame_id: str, image: np.ndarray) -> None:
        encoding = 'mono8' if image.ndim == 2 else 'bgr8'
        if self._compressed:
            data, form = _png(image), f'{encoding}; png compressed {encoding}'
            self._messages.write_compressed(f'{topic}/compressed', stamp, frame_id, form, data)
        else:
            self._messages.write_image(topic, stamp, frame_id, encoding, image)

    def _write_depth(self, stamp: int, color_frame: str, depth: DepthImage) -> None:
        messages, frame_id = self._messages, color_frame
        if not np.array_equal(depth.color_from_depth, np.eye(4)):
            frame_id = _DEPTH_FRAME
            if '/tf_static' not in self.counts:
                edge = (color_frame, frame_id, depth.color_from_depth)
                messages.write_transforms('/tf_static', stamp, [edge])
        topic = '/camera/depth/image'
        known = np.where((depth.depth > 0) & np.isfinite(depth.depth), depth.depth, 0.0)
        known = known.astype(np.float32)
        millimetres = _as_millimetres(known)
        if self._compressed:
            header = struct.pack('<iff', 0, 0.0, 0.0)
            form, data = '16UC1; compressedDepth png', header + _png(millimetres)
            messages.write_compressed(f'{topic}/compressedDepth', stamp, frame_id, form, data)
        elif np.array_equal(millimetres / np.float32(_MILLIMETRES), known):
            messages.write_image(topic, stamp, frame_id, '16UC1', millimetres)
        else:
            messages.write_image(topic, stamp, frame_id, '32FC1', known)
        messages.write_info('/camera/depth/camera_info', stamp, frame_id, depth.camera)


def _as_millimetres(depth: np.ndarray) -> np.ndarray:
    millimetres = np.rint(depth * np.float32(_MILLIMETRES))
    return np.where(millimetres < 65536, millimetres, 0).astype(np.uint16)


def _png(image: np.ndarray) -> bytes:
    encoded, data = cv2.imencode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not encoded:
        raise ValueError(f'OpenCV cannot encode an image of shape {image.shape} as PNG')
    return data.tobytes()
