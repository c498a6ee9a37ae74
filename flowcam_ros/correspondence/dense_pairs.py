# SPDX-License-Identifier: Apache-2.0
"""Dense flow between pairs of pictures, both ways, and how far each pixel closes the circle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from flowcam_ros.correspondence.consistency import followed, lengths
from flowcam_ros.correspondence.flow import Flow, FlowEstimator
from flowcam_ros.correspondence.pictures import Pictures
from flowcam_ros.geometry.photometry import even_out
from flowcam_ros.geometry.prepare import working_size

# Small pictures that are kept, as neighbours have pictures in common.
_HELD = 8


@dataclass(frozen=True)
class DensePair:
    """Flow between two pictures, in pixels of the size it was computed at.

    Attributes:
        first: number of one picture.
        second: number of the other.
        forward: from the first to the second.
        backward: from the second to the first.
    """

    first: int
    second: int
    forward: Flow
    backward: Flow


@dataclass(frozen=True)
class _Small:
    grey: UInt8[np.ndarray, 'height width']
    usable: Bool[np.ndarray, 'height width'] | None


def dense_pairs(
    estimator: FlowEstimator,
    pictures: Pictures,
    pairs: Iterable[tuple[int, int]],
    max_pixels: int,
    max_inconsistency: float,
) -> Iterator[DensePair]:
    """Yield the flow of pairs of pictures, one after the other.

    Confidence falls from 1 to 0 as the way there and back fails to close; it is 0 where either end
    is not usable.

    Args:
        estimator: which flow.
        pictures: the recording.
        pairs: numbers of pictures.
        max_pixels: pictures with more pixels are reduced to so many.
        max_inconsistency: distance from the start, in pixels of the reduced pictures, at which
            confidence is 0.
    """

    @lru_cache(maxsize=_HELD)
    def small(index: int) -> _Small:
        return _reduced(pictures, index, max_pixels)

    for first, second in pairs:
        one, other = small(first), small(second)
        there = estimator.displacement(one.grey, other.grey)
        back = estimator.displacement(other.grey, one.grey)
        forward = _trust(there, back, one, other, max_inconsistency)
        backward = _trust(back, there, other, one, max_inconsistency)
        yield DensePair(first, second, Flow(there, forward), Flow(back, backward))


def _reduced(pictures: Pictures, index: int, max_pixels: int) -> _Small:
    grey, usable = pictures.grey(index), pictures.usable(index)
    size = working_size(grey.shape[1], grey.shape[0], max_pixels)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    if usable is not None:
        share = cv2.resize(usable.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        usable = share > 0.999
    return _Small(even_out(small).broad, usable)


def _trust(
    there: Float[np.ndarray, 'height width 2'],
    back: Float[np.ndarray, 'height width 2'],
    source: _Small,
    target: _Small,
    max_inconsistency: float,
) -> Float32[np.ndarray, 'height width']:
    gap = there + followed(back, there)
    error = lengths(gap[..., 0], gap[..., 1])
    confidence = np.maximum(1.0 - error / np.float32(max_inconsistency), np.float32(0.0))
    if source.usable is not None:
        confidence[~source.usable] = 0.0
    if target.usable is not None:
        shown = target.usable.astype(np.float32)
        confidence[followed(shown, there, outside=0.0) < 0.999] = 0.0
    return confidence
