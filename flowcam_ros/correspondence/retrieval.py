# SPDX-License-Identifier: Apache-2.0
"""Which pictures look like the same place: VLAD (Jegou et al. 2010) of a recording's features.

The vocabulary is learnt from the recording itself, so nothing has to be shipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int64

from flowcam_ros.correspondence.features import DESCRIPTOR, Features
from flowcam_ros.correspondence.matching import unit_vectors

_WORDS = 64
_SAMPLE = 20_000
_ROUNDS = 12


def picture_descriptors(features: Sequence[Features]) -> Float32[np.ndarray, 'pictures d']:
    """Return a unit vector for each picture; the more alike, the larger the product of two.

    A picture without features has zeros.
    """
    words = _vocabulary(_sample(features))
    if not features:
        return np.zeros((0, words.size), np.float32)
    return np.stack([_vlad(unit_vectors(f.descriptors), words) for f in features])


def likeness(
    descriptors: Float32[np.ndarray, 'pictures d'], apart: int
) -> Float32[np.ndarray, 'pictures pictures']:
    """Return how alike pictures look; minus infinity for those closer than ``apart`` in order."""
    alike = descriptors @ descriptors.T
    index = np.arange(len(alike))
    alike[np.abs(index[:, None] - index) < apart] = -np.inf
    return alike


def most_alike(
    alike: Float32[np.ndarray, 'pictures pictures'], count: int
) -> list[tuple[int, int]]:
    """Return pairs (first < second) of pictures that look alike, in their order.

    Args:
        alike: how much; minus infinity where a pair is out of the question.
        count: how many partners each picture asks for.
    """
    partners = np.argsort(-alike, axis=1, kind='stable')[:, :count]
    asked = np.stack([np.repeat(np.arange(len(alike)), partners.shape[1]), partners.ravel()], 1)
    asked = asked[np.isfinite(alike[asked[:, 0], asked[:, 1]])]
    return [(int(a), int(b)) for a, b in np.unique(np.sort(asked, axis=1), axis=0)]


def _sample(features: Sequence[Features]) -> Float32[np.ndarray, 'n d']:
    """Return descriptors from all pictures, evenly."""
    total = sum(len(f) for f in features)
    step = max(1, -(-total // _SAMPLE))
    none = np.zeros((0, DESCRIPTOR), np.uint8)
    return unit_vectors(np.concatenate([none, *(f.descriptors for f in features)])[::step])


def _vocabulary(sample: Float32[np.ndarray, 'n d']) -> Float32[np.ndarray, 'words d']:
    """Return the centres of k-means; fewer if there are few features."""
    count = min(_WORDS, len(sample))
    if count == 0:
        return np.zeros((1, DESCRIPTOR), np.float32)
    start = np.random.default_rng(0).choice(len(sample), count, replace=False)
    words = sample[np.sort(start)]
    for _ in range(_ROUNDS):
        nearest = _nearest(sample, words)
        size = np.bincount(nearest, minlength=count)
        total = np.zeros_like(words)
        np.add.at(total, nearest, sample)
        words = np.where(size[:, None] > 0, total / np.maximum(size, 1)[:, None], words)
        words = words.astype(np.float32)
    return words


def _nearest(
    vectors: Float32[np.ndarray, 'n d'], words: Float32[np.ndarray, 'words d']
) -> Int64[np.ndarray, ' n']:
    return (vectors @ words.T - 0.5 * (words * words).sum(1)).argmax(1)


def _vlad(
    vectors: Float32[np.ndarray, 'n d'], words: Float32[np.ndarray, 'words d']
) -> Float32[np.ndarray, ' wide']:
    """Return the sums of differences to the nearest words, each word's normalised."""
    sums = np.zeros_like(words)
    if len(vectors):
        nearest = _nearest(vectors, words)
        np.add.at(sums, nearest, vectors - words[nearest])
    return _normalised(_normalised(sums).ravel()[None])[0]


def _normalised(vectors: Float32[np.ndarray, 'n d']) -> Float32[np.ndarray, 'n d']:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(length, 1e-9)).astype(np.float32)
