# SPDX-License-Identifier: Apache-2.0
"""Correspondences as plain arrays by name, as the cache keeps them, and back again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowcam_ros.correspondence.cache import Arrays
from flowcam_ros.correspondence.dense_pairs import DensePair
from flowcam_ros.correspondence.features import DESCRIPTOR, Features
from flowcam_ros.correspondence.flow import Flow
from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.correspondence.tracks import Tracks


def pack_features(features: Sequence[Features]) -> Arrays:
    """Return the features of all pictures."""
    return {
        'count': np.array([len(f) for f in features], np.int64),
        'pixels': _rows([f.pixels for f in features], (2,), np.float32),
        'descriptors': _rows([f.descriptors for f in features], (DESCRIPTOR,), np.uint8),
    }


def unpack_features(arrays: Arrays) -> list[Features]:
    """Return what :func:`pack_features` was given."""
    parts = (_split(arrays[name], arrays['count']) for name in ('pixels', 'descriptors'))
    return [Features(*part) for part in zip(*parts, strict=True)]


def pack_pairs(pairs: Sequence[PairMatches]) -> Arrays:
    """Return the matches of all pairs."""
    return {
        'count': np.array([len(p.index) for p in pairs], np.int64),
        'ends': _rows([np.array([[p.first, p.second]]) for p in pairs], (2,), np.int64),
        'planar': np.array([p.planar for p in pairs], np.float64),
        'index': _rows([p.index for p in pairs], (2,), np.int32),
        'source': _rows([p.source for p in pairs], (2,), np.float32),
        'target': _rows([p.target for p in pairs], (2,), np.float32),
    }


def unpack_pairs(arrays: Arrays) -> list[PairMatches]:
    """Return what :func:`pack_pairs` was given."""
    index, source, target = (
        _split(arrays[name], arrays['count']) for name in ('index', 'source', 'target')
    )
    return [
        PairMatches(int(first), int(second), index[k], source[k], target[k], float(planar))
        for k, ((first, second), planar) in enumerate(
            zip(arrays['ends'], arrays['planar'], strict=True)
        )
    ]


def pack_tracks(tracks: Tracks) -> Arrays:
    """Return the observations."""
    return {
        'point': tracks.point,
        'frame': tracks.frame,
        'pixel': tracks.pixel,
        'sigma': tracks.sigma,
    }


def unpack_tracks(arrays: Arrays) -> Tracks:
    """Return what :func:`pack_tracks` was given."""
    return Tracks(arrays['point'], arrays['frame'], arrays['pixel'], arrays['sigma'])


def pack_dense_pair(pair: DensePair) -> Arrays:
    """Return the flow of one pair."""
    return {
        'ends': np.array([pair.first, pair.second], np.int64),
        'forward': pair.forward.displacement,
        'forward_confidence': pair.forward.confidence,
        'backward': pair.backward.displacement,
        'backward_confidence': pair.backward.confidence,
    }


def unpack_dense_pair(arrays: Arrays) -> DensePair:
    """Return what :func:`pack_dense_pair` was given."""
    first, second = arrays['ends'].tolist()
    forward = Flow(arrays['forward'], arrays['forward_confidence'])
    return DensePair(
        first, second, forward, Flow(arrays['backward'], arrays['backward_confidence'])
    )


def _rows(parts: Sequence[np.ndarray], shape: tuple[int, ...], kind: type) -> np.ndarray:
    """Return the rows of all parts, one part after the other."""
    return np.concatenate([np.zeros((0, *shape), kind), *parts]).astype(kind)


def _split(rows: np.ndarray, count: np.ndarray) -> list[np.ndarray]:
    return np.split(rows, np.cumsum(count)[:-1]) if len(count) else []
