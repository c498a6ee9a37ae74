# SPDX-License-Identifier: Apache-2.0
"""The numbers a verdict rests on, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(str, Enum):
    """How much a finding matters; the worst one is the level of the whole result.

    ``NOTE`` says something a user must know but that is no fault, such as an unknown scale; like
    ``GOOD`` it does not lower the level.
    """

    GOOD = 'good'
    NOTE = 'note'
    WARNING = 'warning'
    BAD = 'bad'


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: how much it matters.
        what: what was found, a sentence.
        remedy: what to do about it, a sentence; empty if there is nothing to do.
    """

    level: Level
    what: str
    remedy: str = ''


@dataclass(frozen=True)
class Verdict:
    """The findings, the worst first, and the level of the whole: GOOD, WARNING or BAD."""

    level: Level
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Evidence:
    """The numbers a verdict rests on; None for what is not known, which is then not judged.

    Attributes:
        frames_read: pictures that could be read.
        frames_chosen: those that took part in the optimisation.
        frames_blurred: those left out for blur.
        frames_duplicate: those left out because nothing had changed.
        frames_tracked: those whose pose is that of the online path.
        frames_without_pose: those without a pose in the result.
        picture_width: of the pictures in which residuals are measured, pixels.
        residual_median_px: median distance between seen and projected points, pixels; NaN if no
            point was seen.
        residual_p90_px: the distance that nine of ten stay below, pixels.
        weak_frames_share: frames in which few points fit, of the chosen ones.
        parallax_deg: angle between the first ray to a point and the one farthest from it; median
            of the points.
        focal_known: whether the intrinsics were given and kept.
        focal_sigma_share: standard deviation of the focal length, of its value.
        behind_share: observed points that lie behind the camera that saw them.
        inverted_loss_ratio: final loss of the start with depths turned inside out, over that of
            the start that was kept; near 1 when both explain the recording equally well.
        masked_share: pixels that were masked out.
        pieces: parts of the recording that no points connect; 1 if all hangs together.
        late_gain: share of its loss that the last tenth of the steps still took away.
        scale_source: 'depth', 'stereo', 'odometry', or 'none'.
        scale_sigma: standard deviation of the scale, as a share of it.
        scale_problem: why what could have told the scale does not; '' if nothing could.
        windows_left_out: parts of a long recording that are not in the result, and why, as
            sentences.
        memory_limited: whether the memory budget made the work smaller than asked for.
    """

    frames_read: int
    frames_chosen: int
    frames_blurred: int = 0
    frames_duplicate: int = 0
    frames_tracked: int = 0
    frames_without_pose: int = 0
    picture_width: int | None = None
    residual_median_px: float | None = None
    residual_p90_px: float | None = None
    weak_frames_share: float | None = None
    parallax_deg: float | None = None
    focal_known: bool = False
    focal_sigma_share: float | None = None
    behind_share: float | None = None
    inverted_loss_ratio: float | None = None
    masked_share: float | None = None
    pieces: int | None = None
    late_gain: float | None = None
    scale_source: str | None = None
    scale_sigma: float | None = None
    scale_problem: str = ''
    windows_left_out: tuple[str, ...] = ()
    memory_limited: bool = False
