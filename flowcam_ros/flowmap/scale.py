# SPDX-License-Identifier: Apache-2.0
"""How many metres the unit of a reconstruction is, and what measured depth says of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcam_ros.flowmap.frame_store import FrameStore, sampled

_PATH = 'odometry'
# A scale less sure than this is none.
_MAX_SIGMA = 0.2
# Measured depth must be this sure to be compared, as a share of itself.
SURE_DEPTH = 0.1
_MIN_DEPTHS = 50
_SIGMA_OF_MAD = 1.4826
# No depth camera's unit and no baseline is known better, as a share of it.
_CALIBRATION = 0.01


@dataclass(frozen=True)
class MetricScale:
    """A factor to metres, or why there is none.

    Attributes:
        source: 'odometry', 'depth' or 'stereo'.
        factor: metres in one unit of the reconstruction; None where it cannot be told.
        sigma: standard deviation of its logarithm, which is that of the factor as a share of it.
        reason: why there is no factor; '' if there is one.
    """

    source: str
    factor: float | None
    sigma: float = float('inf')
    reason: str = ''

    @property
    def holds_depth(self) -> bool:
        """Whether measured depth gave the factor."""
        return self.factor is not None and self.source != _PATH


@dataclass(frozen=True)
class DepthSamples:
    """Depths of one frame, measured and reconstructed at the same pixels.

    Attributes:
        reconstructed: (n,) z in units of the reconstruction.
        inverse_depth: (n,) measured 1/z, 1/m; 0 where unknown.
        variance: (n,) of it.
    """

    reconstructed: Float[np.ndarray, ' n']
    inverse_depth: Float[np.ndarray, ' n']
    variance: Float[np.ndarray, ' n']


def depth_samples(
    store: FrameStore,
    index: int,
    pixels: Float[np.ndarray, 'n 2'],
    reconstructed: Float[np.ndarray, ' n'],
) -> DepthSamples | None:
    """Return the measured depth of a frame at points of it; None if it has none.

    Args:
        store: the frames.
        index: of the frame in the store.
        pixels: (n, 2) where the points lie in the tracking picture.
        reconstructed: (n,) their z in the frame's camera, units of the reconstruction.
    """
    measured = store.measured_depth(index)
    if measured is None:
        return None
    inverse, variance = (
        sampled(map_, measured.camera, pixels, store.index.tracking)
        for map_ in (measured.inverse_depth, measured.variance)
    )
    return DepthSamples(reconstructed, inverse, variance)


def scale_from_depth(samples: Iterable[DepthSamples], source: str) -> MetricScale:
    """Return the scale that brings reconstructed depths to measured ones.

    The median over the frames of the median ratio in each frame.

    Args:
        samples: of each frame; read one at a time.
        source: 'depth' or 'stereo'.
    """
    medians, count = [], 0
    for frame in samples:
        ratios = _log_ratios(frame)
        count += len(ratios)
        if len(ratios) >= _MIN_DEPTHS // 5:
            medians.append(float(np.median(ratios)))
    if count < _MIN_DEPTHS or not medians:
        return MetricScale(
            source, None, reason=f'only {count} points have measured depth; it takes {_MIN_DEPTHS}'
        )
    logs = np.array(medians)
    middle = float(np.median(logs))
    spread = _SIGMA_OF_MAD * float(np.median(np.abs(logs - middle)))
    # errors of one sensor and one scene go with all frames: more of them make it no surer
    return told_scale(source, middle, math.hypot(spread, _CALIBRATION))


def _log_ratios(samples: DepthSamples) -> Float[np.ndarray, ' k']:
    inverse = samples.inverse_depth.astype(np.float64)
    with np.errstate(divide='ignore', invalid='ignore'):
        sure = (inverse > 0) & (samples.variance < np.square(SURE_DEPTH * inverse))
    sure &= (samples.reconstructed > 0) & np.isfinite(samples.reconstructed)
    return -np.log(inverse[sure] * samples.reconstructed[sure])


def told_scale(source: str, log: float, sigma: float) -> MetricScale:
    """Return the scale of a logarithm and its standard deviation, unless that is too large."""
    if not math.isfinite(log) or sigma > _MAX_SIGMA:
        return MetricScale(
            source, None, sigma, f'the scale it tells is unsure by {100 * sigma:.0f} %'
        )
    return MetricScale(source, math.exp(log), sigma)
