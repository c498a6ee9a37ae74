# SPDX-License-Identifier: Apache-2.0
"""Dense flow as the loss takes it: FlowMap's main loss (section 4.1).

Matches and tracks lie where there is texture. Flow lies everywhere, so it tells the depth of what
is between them. Only a sample of each pair's positions is kept, so that memory does not grow with
the pictures, nor beyond a bound with the recording.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from flowcam_ros.correspondence.dense_pairs import DensePair, dense_pairs
from flowcam_ros.correspondence.flow import FlowEstimator
from flowcam_ros.correspondence.pictures import Pictures
from flowcam_ros.flowmap.links import PairLinks

# Each picture is compared with those so many after it: the neighbour, and a wider one for depth.
_STEPS = (1, 3)
# Positions kept of a pair, and of all pairs together (20 bytes each).
_PER_PAIR = 2048
_ALL = 1 << 20
# Flow that is less sure says nothing, and where hardly any of a pair's is sure, what is left is
# chance.
_MIN_CONFIDENCE = 0.2
_MIN_SHARE = 0.25


def flow_pairs(frames: int) -> list[tuple[int, int]]:
    """Return the pairs of pictures whose flow is taken."""
    return [(k, k + step) for k in range(frames) for step in _STEPS if k + step < frames]


def flow_links(
    estimator: FlowEstimator,
    pictures: Pictures,
    pixels: int,
    max_inconsistency: float,
    device: torch.device,
    seed: int,
    tell: Callable[[str], None],
) -> PairLinks:
    """Return links drawn from the flow between neighbours and some wider pairs.

    Args:
        estimator: which flow.
        pictures: of the chosen frames.
        pixels: the flow is computed on pictures of about so many.
        max_inconsistency: distance from the start after the way there and back, in pixels of
            those pictures, at which a position has no confidence.
        device: where the links shall be.
        seed: of the choice of positions.
        tell: told each pair as it begins.
    """
    pairs = flow_pairs(len(pictures))
    height, width = pictures.grey(0).shape
    most = min(_PER_PAIR, _ALL // max(1, len(pairs)))
    random = np.random.default_rng(seed)
    samples, used = [], []
    found = dense_pairs(estimator, pictures, pairs, pixels, max_inconsistency)
    for number, pair in enumerate(found, 1):
        tell(f'flow of pair {number} of {len(pairs)}')
        sample = _sample(pair, (width, height), most, random)
        if sample is not None:
            samples.append(sample)
            used.append((pair.first, pair.second))
    return _links(used, samples, device)


def _links(
    pairs: Sequence[tuple[int, int]], samples: Sequence[np.ndarray], device: torch.device
) -> PairLinks:
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    rows = np.concatenate([np.zeros((0, 5), np.float32), *samples])
    count = np.array([len(sample) for sample in samples], np.int64)
    return PairLinks(ends[:, 0], ends[:, 1], rows[:, :2], rows[:, 2:4], count, device, rows[:, 4])


def _sample(
    pair: DensePair, size: tuple[int, int], most: int, random: np.random.Generator
) -> np.ndarray | None:
    """Return (n, 5) source and target in pixels of pictures of ``size``, and confidence.

    The pixels are all alike likely. There and back agree where there is confidence, so that the
    way back would add nothing. None where the flow has failed.
    """
    confidence = pair.forward.confidence
    sure = np.flatnonzero(confidence > _MIN_CONFIDENCE)
    if len(sure) < _MIN_SHARE * confidence.size:
        return None
    kept = np.sort(random.choice(sure, min(most, len(sure)), replace=False))
    height, width = confidence.shape
    rows, columns = np.divmod(kept, width)
    source = np.stack([columns, rows], -1).astype(np.float32)
    target = source + pair.forward.displacement.reshape(-1, 2)[kept]
    scale = np.array([size[0] / width, size[1] / height], np.float32)
    return np.concatenate(
        [
            (source + 0.5) * scale - 0.5,
            (target + 0.5) * scale - 0.5,
            confidence.reshape(-1, 1)[kept],
        ],
        -1,
    )
