# SPDX-License-Identifier: Apache-2.0
"""How much memory a refinement takes, from the size of what it works on.

Fitted to measurements (``python -m benchmarks.refine_growth``); recordings differ in how much
corresponds in them and in how much of the world they see, so the estimate is for rich ones.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from flowcam_ros.flowmap.refine_config import RefineConfig

# Interpreter and libraries, bytes.
_BASE = 480e6
# A feature with its descriptor, and its place in the union of matches (one bit a frame besides).
_FEATURE = 210.0
# Share of the features that match in a pair of pictures, and bytes of a match.
_MATCHED, _MATCH = 0.3, 24.0
# Verified pairs of each frame, as a share of those that are tried.
_VERIFIED = 0.85
# Observations of a frame: of points that are followed, and of features; bytes in all its copies.
_FOLLOWED, _SEEN, _OBSERVATION = 1.0, 0.7, 120.0
# A pixel of the network's picture: activations, and maps with their gradients.
_ACTIVATION, _MAP = 700.0, 40.0
# A step of the optimisation, and a pair of pictures in its losses.
_STEP, _PAIR = 120e6, 100e3
# An observation in the adjustment.
_ADJUSTED = 570.0
# Share of the pixels of depth maps that become points of the cloud, as frames see much of the same
# (0.22 of 50 frames, 0.08 of 400), and bytes of one.
_FUSED, _POINT = 0.15, 150.0


@dataclass(frozen=True)
class Recording:
    """What a refinement works on.

    Attributes:
        frames: chosen ones.
        pixels: of a frame, as the network sees it.
    """

    frames: int
    pixels: int


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory of this process at most, bytes, in each stage."""

    matching: float
    optimising: float
    adjusting: float
    fusing: float

    @property
    def peak(self) -> float:
        """Of the stage that takes most."""
        return max(dataclasses.astuple(self))


def estimate(recording: Recording, config: RefineConfig, thinned: int = 1) -> MemoryEstimate:
    """Return how much memory a refinement takes on the CPU.

    Args:
        recording: what is refined.
        config: all options.
        thinned: one of so many points takes part in the last adjustment.
    """
    frames, pixels = recording.frames, recording.pixels
    window = min(config.windows.frames, frames)
    features = config.pairs.features
    pairs = _VERIFIED * (
        config.pairs.neighbours + config.pairs.wider_steps + 0.5 * config.pairs.loop_candidates
    )
    followed = 0.0 if config.tracks.backend == 'none' else _FOLLOWED * config.tracks.points
    seen = followed + _SEEN * features
    found = pairs * _MATCHED * features * _MATCH + seen * _OBSERVATION
    kept = _BASE + frames * found
    # depth of the windows that are done, and what belongs to the one at work
    apart = 0.0 if window >= frames else frames * pixels * 4.0 + window * found
    step = active_frames(window, config) * pixels * _ACTIVATION + _STEP
    step += window * (pixels * _MAP + pairs * _PAIR)
    adjusted = min(frames * seen / thinned, config.polish.observations)
    return MemoryEstimate(
        kept + frames * features * (_FEATURE + frames / 8.0),
        kept + apart + max(step, window * seen * _ADJUSTED),
        kept + frames * pixels * 4.0 + adjusted * _ADJUSTED,
        kept + frames * config.dense.pixels * _FUSED * _POINT,
    )


def active_frames(window: int, config: RefineConfig) -> int:
    """Return of how many frames the network's activations are held at a time."""
    held, threads = config.optimizer.held, config.threads
    if window <= held:
        return window
    chunk = max(1, min(config.optimizer.chunk, -(-window // threads), held // threads))
    return chunk * threads
