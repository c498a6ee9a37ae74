# SPDX-License-Identifier: Apache-2.0
"""Recordings in memory, real and rendered, as the search for correspondences reads them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.prepare import FramePreparer
from flowcam_ros.sequences import open_sequence
from flowcam_ros.sequences.synthetic import SyntheticSequence, View, flow_between, parse_synthetic


@dataclass(frozen=True)
class HeldPictures:
    """Pictures that are held in memory; one mask for all, or one each."""

    greys: Sequence[np.ndarray]
    masks: Sequence[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.greys)

    def grey(self, index: int) -> np.ndarray:
        return self.greys[index]

    def usable(self, index: int) -> np.ndarray | None:
        return None if self.masks is None else self.masks[index]


@dataclass(frozen=True)
class Rendered:
    """A part of the synthetic world: pictures as a camera takes them, and the truth."""

    pictures: HeldPictures
    views: list[View]
    camera: CameraModel

    def error(self, first: int, second: int, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return how far each target is from where its source truly went; inf where hidden."""
        flow = flow_between(self.views[first], self.views[second])
        x, y = source.astype(np.float32).T
        there = cv2.remap(flow.displacement, x, y, cv2.INTER_LINEAR)[:, 0]
        shown = cv2.remap(flow.confidence, x, y, cv2.INTER_LINEAR)[:, 0] > 0.99
        return np.where(shown, np.linalg.norm(source + there - target, axis=1), np.inf)


@functools.lru_cache(maxsize=8)
def rendered(text: str, step: int = 1) -> Rendered:
    """Return every ``step``-th picture of a synthetic sequence, such as 'orbit?frames=60'."""
    sequence = parse_synthetic(f'synthetic:{text}')
    assert isinstance(sequence, SyntheticSequence)
    frames = [f for i, f in enumerate(sequence) if i % step == 0]
    views = [sequence.view(i * step) for i in range(len(frames))]
    greys = [cv2.cvtColor(f.image, cv2.COLOR_BGR2GRAY) for f in frames]
    return Rendered(HeldPictures(greys), views, sequence.camera)


def recorded(
    folder: object, max_pixels: int = 1_000_000
) -> tuple[HeldPictures, CameraModel, list[np.ndarray | None]]:
    """Return undistorted pictures of a real sequence, their camera, world_from_camera of each."""
    sequence = open_sequence(str(folder))
    prepare = FramePreparer(max_pixels).prepare
    frames = [prepare(frame) for frame in sequence]
    truth = sequence.ground_truth()
    assert truth is not None
    pose = dict(zip(truth.stamps_ns.tolist(), truth.world_from_camera, strict=True))
    masks = [np.ones(f.grey.shape, bool) if f.usable is None else f.usable for f in frames]
    poses = [pose.get(f.stamp_ns) for f in frames]
    return HeldPictures([f.grey for f in frames], masks), frames[0].camera, poses


def textured(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    """Return a picture with texture of several sizes everywhere."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    blurred = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 4.0, 12.0))
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def moved(picture: np.ndarray, matrix: object) -> np.ndarray:
    """Return a picture after an affine motion (2, 3) of its pixels, its rim mirrored outside."""
    height, width = picture.shape
    return cv2.warpAffine(
        picture,
        np.asarray(matrix, np.float32),
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT,
    )
