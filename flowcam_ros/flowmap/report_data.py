# SPDX-License-Identifier: Apache-2.0
"""What the report page of a refinement shows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int64

from flowcam_ros.flowmap.evidence import Verdict
from flowcam_ros.flowmap.reconstruction import DepthMap, Reconstruction
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.trajectory import Trajectory


@dataclass(frozen=True)
class LossCurve:
    """Losses over the steps of one stage; NaN where a loss took no part.

    Attributes:
        stage: name, such as ``fit to odometry`` or ``optimise``.
        step: (n,) increasing, counted over all stages.
        flow: (n,) flow loss, weighted as in the total.
        track: (n,) track loss, likewise.
        total: (n,) what was minimised.
    """

    stage: str
    step: Int64[np.ndarray, ' n']
    flow: Float[np.ndarray, ' n']
    track: Float[np.ndarray, ' n']
    total: Float[np.ndarray, ' n']


@dataclass(frozen=True)
class FocalCurve:
    """Focal length over the steps.

    Attributes:
        step: (n,) increasing, the same count as :class:`LossCurve`.
        pixels: (n,) focal length, pixels of the recording's own pictures.
    """

    step: Int64[np.ndarray, ' n']
    pixels: Float[np.ndarray, ' n']


@dataclass(frozen=True)
class Histogram:
    """Counts between edges.

    Attributes:
        edges: (k + 1,) increasing.
        counts: (k,) how many values lie from each edge up to the next.
        beyond: how many lie above the last edge.
    """

    edges: Float[np.ndarray, ' edges']
    counts: Int64[np.ndarray, ' bins']
    beyond: int = 0


@dataclass(frozen=True)
class Residuals:
    """Distances between seen and projected points, pixels of the recording's own pictures.

    Attributes:
        histogram: of all observations.
        median: of all observations; NaN without any.
        p90: the distance that nine of ten stay below; NaN without any.
        frame_median: (N,) of each frame of the result; NaN where no point was seen.
    """

    histogram: Histogram
    median: float
    p90: float
    frame_median: Float[np.ndarray, ' frames']


@dataclass(frozen=True)
class StageCost:
    """Time and memory of one stage.

    Attributes:
        name: such as ``read and choose``, ``flow and tracks``, ``optimise``, ``export``.
        seconds: wall-clock time.
        peak_mb: largest resident memory up to its end, 10^6 bytes; None if not measured.
    """

    name: str
    seconds: float
    peak_mb: float | None = None


@dataclass(frozen=True)
class FrameCounts:
    """What became of the frames; the first is the sum of the four that follow.

    Attributes:
        read: pictures that could be read.
        chosen: took part in the optimisation.
        blurred: left out as blurred.
        duplicate: left out because nothing had changed.
        between: left out because the chosen neighbours see the same.
        tracked: of those not optimised, the ones whose pose is that of the online path.
        unplaced: of those, the ones that got no pose afterwards.
    """

    read: int
    chosen: int
    blurred: int = 0
    duplicate: int = 0
    between: int = 0
    tracked: int = 0
    unplaced: int = 0


@dataclass(frozen=True)
class LoopPair:
    """Two frames far apart in time that see the same place.

    Attributes:
        first: number of the earlier frame in the result.
        second: number of the later frame.
        matches: points on which geometry agrees.
    """

    first: int
    second: int
    matches: int


@dataclass(frozen=True)
class DepthStrip:
    """Dense depth of one frame, shown as picture, depth and uncertainty side by side."""

    name: str
    depth: DepthMap


def depth_strips(reconstruction: Reconstruction, count: int = 4) -> tuple[DepthStrip, ...]:
    """Return the depth maps of a few frames, evenly spread over the recording."""
    frames = reconstruction.depth.frames()
    if not frames or count < 1:
        return ()
    places = np.unique(np.linspace(0, len(frames) - 1, count + 2).round().astype(int)[1:-1])
    chosen = [frames[place] for place in places]
    return tuple(DepthStrip(reconstruction.names[k], reconstruction.depth[k]) for k in chosen)


@dataclass(frozen=True)
class RefineReport:
    """Everything on the report page; what is None or empty is left out of it.

    Attributes:
        title: heading, such as the name of the recording.
        source: what was refined, as the user named it.
        verdict: what to think of the result.
        refined: the path found, all frames.
        scale_source: 'depth', 'stereo', 'odometry' (metres), or 'none'.
        frames: what became of the frames.
        camera: intrinsics and distortion as found.
        focal_known: whether the intrinsics were given and kept.
        focal_sigma_px: standard deviation of the focal length, pixels.
        online: the path the refinement started from.
        truth: the true path.
        losses: one curve a stage.
        focal: focal length over the steps.
        depth: a few frames.
        residuals: reprojection residuals.
        track_lengths: of how many frames see a point.
        loops: pairs that close a loop.
        stages: time and memory.
        memory_budget_mb: what the user allowed, 10^6 bytes.
        facts: further lines of name and value for the end of the page: versions, options.
    """

    title: str
    source: str
    verdict: Verdict
    refined: Trajectory
    scale_source: str
    frames: FrameCounts
    camera: CameraModel | None = None
    focal_known: bool = False
    focal_sigma_px: float | None = None
    online: Trajectory | None = None
    truth: Trajectory | None = None
    losses: tuple[LossCurve, ...] = ()
    focal: FocalCurve | None = None
    depth: tuple[DepthStrip, ...] = ()
    residuals: Residuals | None = None
    track_lengths: Histogram | None = None
    loops: tuple[LoopPair, ...] = ()
    stages: tuple[StageCost, ...] = ()
    memory_budget_mb: float | None = None
    facts: tuple[tuple[str, str], ...] = field(default_factory=tuple)
