# SPDX-License-Identifier: Apache-2.0
"""Features of a picture that are found again from far away: SIFT (Lowe 2004), well spread."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from flowcam_ros.correspondence.pictures import inside_mask
from flowcam_ros.geometry.photometry import even_out

# A tenth of OpenCV's own: plain rooms have few features else, and the weakest go when there are
# too many. With light evened out this gives a plain cabinet, seen from all sides, 1190 features a
# picture in place of 260, and twice the pairs, as true as before.
_CONTRAST = 0.004
_OCTAVE_LAYERS = 3
_EDGE = 10.0
_SIGMA = 1.6
# Roots of descriptors have length 1; this brings their largest numbers near 255.
_SCALE = 512.0
# Cells over which features are spread, one for about as many features.
_PER_CELL = 12
DESCRIPTOR = 128


@dataclass(frozen=True)
class Features:
    """Features of one picture; N of them, no two at one place.

    Attributes:
        pixels: (N, 2) positions (x, y).
        descriptors: (N, 128) square roots of normalised SIFT descriptors (Arandjelovic and
            Zisserman 2012) times 512.
    """

    pixels: Float32[np.ndarray, 'n 2']
    descriptors: UInt8[np.ndarray, 'n 128']

    def __len__(self) -> int:
        """Return how many features there are."""
        return len(self.pixels)


def detect(
    grey: UInt8[np.ndarray, 'height width'],
    usable: Bool[np.ndarray, 'height width'] | None,
    count: int,
) -> Features:
    """Return at most ``count`` features, the strongest of every part of the picture.

    The light is evened out first, so that shadows and exposure do not decide.

    Args:
        grey: picture.
        usable: where features may lie; None means everywhere.
        count: most features.
    """
    # The precise upscaling puts positions right; without it they are off by a quarter pixel.
    sift = cv2.SIFT.create(0, _OCTAVE_LAYERS, _CONTRAST, _EDGE, _SIGMA, True)
    # The mask is applied to positions afterwards, as OpenCV truncates them first.
    even = even_out(grey).fine
    found = sift.detect(even, None)
    pixels = np.array([f.pt for f in found], np.float32).reshape(-1, 2)
    strength = np.array([f.response for f in found], np.float32)
    kept = np.arange(len(pixels))
    if usable is not None:
        kept = kept[inside_mask(usable, pixels)]
    kept = kept[_strongest(pixels[kept], strength[kept], grey.shape, count)]
    if len(kept) == 0:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, DESCRIPTOR), np.uint8))
    chosen, raw = sift.compute(even, [found[i] for i in kept])
    return Features(np.array([f.pt for f in chosen], np.float32), _roots(raw))


def _strongest(
    pixels: Float32[np.ndarray, 'n 2'],
    strength: Float32[np.ndarray, ' n'],
    shape: tuple[int, ...],
    count: int,
) -> np.ndarray:
    """Return indices of the best of each cell, then the second best of each, and so on.

    A feature with several orientations is taken with the first alone: it is one point.
    """
    order = np.argsort(-strength, kind='stable')
    _, first = np.unique(pixels[order], axis=0, return_index=True)
    order = order[np.sort(first)]
    side = max(8.0, np.sqrt(shape[0] * shape[1] * _PER_CELL / count))
    columns = int(shape[1] // side) + 1
    at = (pixels[order] // side).astype(np.int64)
    rank = _rank_in_group(at[:, 1] * columns + at[:, 0])
    best = order[np.argsort(rank, kind='stable')[:count]]
    return np.sort(best)


def _rank_in_group(group: np.ndarray) -> np.ndarray:
    """Return for each element how many before it are of its group."""
    order = np.argsort(group, kind='stable')
    ordered = group[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    length = np.diff(np.r_[starts, len(group)])
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, length)
    return rank


def _roots(raw: Float32[np.ndarray, 'n 128']) -> UInt8[np.ndarray, 'n 128']:
    total = np.maximum(raw.sum(1, keepdims=True), np.float32(1e-9))
    return np.clip(np.rint(_SCALE * np.sqrt(raw / total)), 0, 255).astype(np.uint8)
