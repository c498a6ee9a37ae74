# SPDX-License-Identifier: Apache-2.0
"""Whether a refined recording can be relied on, in words, and what to do where it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from flowcam_ros.flowmap.evidence import Evidence, Finding, Level, Verdict
from flowcam_ros.flowmap.verdict_words import count, percent, pixels, several

Rule = Callable[[Evidence], Iterator[Finding]]
_ORDER = (Level.BAD, Level.WARNING, Level.NOTE, Level.GOOD)

# Residuals beyond these shares of the picture's width: 1 and 2.6, 3.8 and 9.6 pixels of 640.
_MEDIAN_LIMITS = (0.0015, 0.004)
_P90_LIMITS = (0.006, 0.015)
_WEAK_LIMITS = (0.05, 0.25)
_POSELESS_BAD = 0.1
_TRACKED_BAD = 0.5
# Below the first angle depth is guesswork, below the second it is shaky (COLMAP filters at 1.5).
_PARALLAX_LIMITS_DEG = (0.5, 1.5)
_FOCAL_LIMITS = (0.05, 0.2)
_BEHIND_LIMITS = (0.01, 0.05)
_INVERTED_RATIO = 1.1
_FEW_FRAMES = (5, 15)
_BLURRED_LIMITS = (0.2, 0.5)
_MASKED_LIMITS = (0.5, 0.85)
_LATE_GAIN = 0.02


def judge(evidence: Evidence) -> Verdict:
    """Return what is wrong, what to do about it, and how bad it is altogether."""
    findings = sorted(
        (finding for rule in _RULES for finding in rule(evidence)),
        key=lambda finding: _ORDER.index(finding.level),
    )
    worst = findings[0].level if findings else Level.GOOD
    level = worst if worst in (Level.BAD, Level.WARNING) else Level.GOOD
    return Verdict(level, tuple(findings))


def _grade(value: float, limits: tuple[float, float]) -> Level:
    """Return the level of a number of which less is better."""
    warning, bad = limits
    return Level.BAD if value > bad else Level.WARNING if value > warning else Level.GOOD


def _poses(e: Evidence) -> Iterator[Finding]:
    lost = e.frames_without_pose
    if lost == 0:
        if e.frames_tracked == 0:
            yield Finding(Level.GOOD, f'All {count(e.frames_read, "frame")} have a pose.')
        return
    yield Finding(
        Level.BAD if lost > _POSELESS_BAD * e.frames_read else Level.WARNING,
        f'{count(lost, "frame")} of {e.frames_read} {several(lost, "has", "have")} no pose.',
        'Look at the pictures there: cut away what is dark, blurred or covered, or record that '
        'part again, more slowly.',
    )


def _tracked(e: Evidence) -> Iterator[Finding]:
    if e.frames_tracked:
        yield Finding(
            Level.BAD if e.frames_tracked > _TRACKED_BAD * e.frames_read else Level.WARNING,
            f'{count(e.frames_tracked, "frame")} of {e.frames_read} '
            f'{several(e.frames_tracked, "has", "have")} a pose by the online path alone, as too '
            'little in them corresponds to others.',
            'Their poses drift, and they have no depth; record that part again with more texture '
            'in view and more overlap, if it matters.',
        )


def _few_frames(e: Evidence) -> Iterator[Finding]:
    bad, warning = _FEW_FRAMES
    if e.frames_chosen >= warning:
        return
    yield Finding(
        Level.BAD if e.frames_chosen < bad else Level.WARNING,
        f'Only {count(e.frames_chosen, "frame")} took part; with so few, depth and focal length '
        'are weakly tied down.',
        'Record a longer clip with sideways motion, or let more frames be chosen (a smaller flow '
        'between frames).',
    )


def _blur(e: Evidence) -> Iterator[Finding]:
    share = e.frames_blurred / max(e.frames_read, 1)
    level = _grade(share, _BLURRED_LIMITS)
    if level is not Level.GOOD:
        yield Finding(
            level,
            f'{count(e.frames_blurred, "frame")} of {e.frames_read} were left out as blurred.',
            'Move more slowly, add light, or set a shorter exposure.',
        )


def _residuals(e: Evidence) -> Iterator[Finding]:
    if e.residual_median_px is None or e.picture_width is None:
        return
    if math.isnan(e.residual_median_px):
        yield Finding(
            Level.BAD,
            'No point is seen by any frame, so nothing tells whether the poses are right.',
            'Record with more texture and light in view, or check the mask.',
        )
        return
    levels = [_grade(e.residual_median_px / e.picture_width, _MEDIAN_LIMITS)]
    what = f'The median reprojection residual is {pixels(e.residual_median_px)}'
    if e.residual_p90_px is not None:
        levels.append(_grade(e.residual_p90_px / e.picture_width, _P90_LIMITS))
        what += f', nine of ten stay below {pixels(e.residual_p90_px)}'
    level = min(levels, key=_ORDER.index)
    remedy = (
        'Mask moving things (--mask), check the lens distortion, and for a rolling shutter '
        'record more slowly; where the residual is large in some frames only, cut them away.'
    )
    yield Finding(
        level,
        f'{what} ({e.picture_width} pixels of width).',
        '' if level is Level.GOOD else remedy,
    )


def _weak_frames(e: Evidence) -> Iterator[Finding]:
    level = _grade(e.weak_frames_share or 0.0, _WEAK_LIMITS)
    if level is not Level.GOOD:
        yield Finding(
            level,
            f'In {percent(e.weak_frames_share or 0.0)} of the chosen frames few points fit, so '
            'their poses are weak.',
            'Record those places again with more texture in view and more overlap between '
            'pictures, or mask what moves.',
        )


def _parallax(e: Evidence) -> Iterator[Finding]:
    if e.parallax_deg is None:
        return
    bad, warning = _PARALLAX_LIMITS_DEG
    if e.parallax_deg >= warning:
        yield Finding(
            Level.GOOD, f'Points are seen from directions {e.parallax_deg:.1f}° apart (median).'
        )
        return
    unknown = (
        'translation and depth are' if e.focal_known else 'translation, depth and focal length are'
    )
    pure = e.parallax_deg < bad
    yield Finding(
        Level.BAD if pure else Level.WARNING,
        f'The camera hardly moved sideways: points are seen from directions '
        f'{e.parallax_deg:.2f}° apart (median), so {unknown} '
        f'{"unknown" if pure else "uncertain"}.',
        'Move the camera sideways, not only turn it; rotations are usable as they are.',
    )


def _focal(e: Evidence) -> Iterator[Finding]:
    if e.focal_known or e.focal_sigma_share is None:
        return
    level = _grade(e.focal_sigma_share, _FOCAL_LIMITS)
    sure = f'The focal length is known to {percent(e.focal_sigma_share, digits=1)} (one sigma)'
    remedy = (
        'Calibrate the camera and use --intrinsics known, or record with more sideways motion '
        'and turns.'
    )
    yield Finding(level, f'{sure}.', '' if level is Level.GOOD else remedy)


def _depth_sign(e: Evidence) -> Iterator[Finding]:
    level = _grade(e.behind_share or 0.0, _BEHIND_LIMITS)
    if level is not Level.GOOD:
        yield Finding(
            level,
            f'{percent(e.behind_share or 0.0, digits=1)} of the observed points lie behind the '
            'camera that saw them: depth may be inside out.',
            'Start from an odometry result (--odometry DIR), or give measured depth.',
        )
    if e.inverted_loss_ratio is not None and e.inverted_loss_ratio < _INVERTED_RATIO:
        yield Finding(
            Level.WARNING,
            'Depth turned inside out explains the recording almost as well (hollow-face '
            'illusion): near and far may be swapped.',
            'Look at the depth pictures below; with more perspective (closer, wider, more '
            'sideways motion) the two can be told apart.',
        )


def _masked(e: Evidence) -> Iterator[Finding]:
    level = _grade(e.masked_share or 0.0, _MASKED_LIMITS)
    if level is not Level.GOOD:
        yield Finding(
            level,
            f'{percent(e.masked_share or 0.0)} of the pixels are masked out.',
            'Check the mask: white is used, black is not.',
        )


def _pieces(e: Evidence) -> Iterator[Finding]:
    if e.pieces is not None and e.pieces > 1:
        yield Finding(
            Level.BAD,
            f'The recording falls into {e.pieces} pieces that no points connect; their place '
            'relative to each other is a guess.',
            'Refine the pieces one by one, or record again without gaps and with more overlap.',
        )


def _convergence(e: Evidence) -> Iterator[Finding]:
    if e.late_gain is not None and e.late_gain > _LATE_GAIN:
        yield Finding(
            Level.WARNING,
            f'The loss still fell by {percent(e.late_gain, digits=1)} in the last tenth of the '
            'steps: the optimisation was not finished.',
            'Refine again with more steps (optimizer.steps).',
        )


def _scale(e: Evidence) -> Iterator[Finding]:
    if e.scale_source == 'none':
        yield Finding(
            Level.NOTE,
            'The result is up to scale: lengths are in units of the reconstruction, not metres'
            + (f' ({e.scale_problem}).' if e.scale_problem else '.'),
            'Give depth, a stereo pair or a path with known scale where metres are needed.',
        )
    elif e.scale_source is not None:
        sure = '' if e.scale_sigma is None else f' and is sure to {100 * e.scale_sigma:.1f} %'
        yield Finding(
            Level.GOOD, f'Lengths are metres; the scale comes from {e.scale_source}{sure}.'
        )


def _left_out(e: Evidence) -> Iterator[Finding]:
    for window in e.windows_left_out:
        yield Finding(
            Level.WARNING,
            f'{window[0].upper()}{window[1:].rstrip(".")}.',
            'Their poses come from their neighbours or the online path; look at them there.',
        )


def _memory(e: Evidence) -> Iterator[Finding]:
    if e.memory_limited:
        yield Finding(
            Level.WARNING,
            'The memory budget was reached, so the work was made smaller than asked for.',
            'Allow more with --memory-gb, or choose smaller pictures.',
        )


_RULES: tuple[Rule, ...] = (
    _poses,
    _tracked,
    _left_out,
    _few_frames,
    _pieces,
    _parallax,
    _residuals,
    _weak_frames,
    _focal,
    _depth_sign,
    _convergence,
    _blur,
    _masked,
    _memory,
    _scale,
)
