# SPDX-License-Identifier: Apache-2.0
"""What a refinement says about itself: the verdict, the report page and ``run.json``."""

from __future__ import annotations

import dataclasses
from collections import Counter

from flowcam_ros.flowmap.evidence import Evidence, Verdict
from flowcam_ros.flowmap.frame_record import Fate
from flowcam_ros.flowmap.placing import Placement
from flowcam_ros.flowmap.refine import Refinement
from flowcam_ros.flowmap.report_data import (
    FrameCounts,
    LoopPair,
    RefineReport,
    depth_strips,
)
from flowcam_ros.flowmap.track_measures import TrackMeasures, measure_tracks
from flowcam_ros.flowmap.verdict import judge
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.runs.refine_log import RefineLog

# Frames this far apart in the order of the chosen ones close a loop.
_LOOP = 20


def refine_report(
    refinement: Refinement,
    log: RefineLog,
    title: str,
    source: str,
    known: bool,
    truth: Trajectory | None,
    facts: tuple[tuple[str, str], ...],
) -> RefineReport:
    """Return what the report page shows.

    Args:
        refinement: the result.
        log: what was noted on the way.
        title: name of the recording.
        source: what was refined, as the user named it.
        known: whether the intrinsics were given and kept.
        truth: the true path if the recording has it.
        facts: further lines of name and value.
    """
    reconstruction = refinement.reconstruction
    measures = measure_tracks(reconstruction)
    camera = reconstruction.camera
    sigma = refinement.polished.focal_log_sigma
    return RefineReport(
        title=title,
        source=source,
        verdict=_verdict(refinement, log, measures, known),
        refined=reconstruction.trajectory,
        scale_source=reconstruction.scale_source,
        frames=_counts(refinement),
        camera=camera,
        focal_known=known,
        focal_sigma_px=None if known else sigma * camera.fx,
        truth=truth,
        losses=log.loss_curves(),
        focal=None if known else log.focal_curve(_to_original(refinement)),
        depth=depth_strips(reconstruction),
        residuals=measures.residuals,
        track_lengths=measures.lengths,
        loops=_loops(refinement),
        stages=tuple(log.stages),
        facts=facts,
    )


def as_json(refinement: Refinement, report: RefineReport) -> dict[str, object]:
    """Return the part of ``run.json`` that tells the result."""
    reconstruction, polished = refinement.reconstruction, refinement.polished
    verdict = report.verdict
    residuals = report.residuals
    return {
        'frames': len(reconstruction.trajectory),
        'chosen': int(reconstruction.chosen.sum()),
        'placed': Counter(p.placement.value for p in refinement.placed),
        'fates': Counter(record.fate.value for record in refinement.records),
        'camera': dataclasses.asdict(reconstruction.camera),
        'focal_sigma': polished.focal_log_sigma,
        'scale_source': reconstruction.scale_source,
        'scale': refinement.scale,
        'points': len(reconstruction.points.positions),
        'observations': len(reconstruction.points.point),
        'rejected_share': polished.rejected_share,
        'residual_median_px': None if residuals is None else residuals.median,
        'residual_p90_px': None if residuals is None else residuals.p90,
        'pairs': len(refinement.correspondences.pairs),
        'loops': len(report.loops),
        'verdict': verdict.level.value,
        'findings': [
            {'level': f.level.value, 'what': f.what, 'remedy': f.remedy} for f in verdict.findings
        ],
        'stages': report.stages,
    }


def _verdict(
    refinement: Refinement, log: RefineLog, measures: TrackMeasures, known: bool
) -> Verdict:
    counts, scale = _counts(refinement), refinement.scale
    reconstruction = refinement.reconstruction
    return judge(
        Evidence(
            frames_read=counts.read,
            frames_chosen=counts.chosen,
            frames_blurred=counts.blurred,
            frames_duplicate=counts.duplicate,
            frames_tracked=counts.tracked,
            frames_without_pose=counts.unplaced,
            picture_width=reconstruction.camera.width,
            residual_median_px=measures.residuals.median,
            residual_p90_px=measures.residuals.p90,
            weak_frames_share=measures.weak_frames_share,
            parallax_deg=measures.parallax_deg,
            focal_known=known,
            focal_sigma_share=refinement.polished.focal_log_sigma,
            behind_share=measures.behind_share,
            pieces=measures.pieces,
            inverted_loss_ratio=refinement.flow.inverted_loss_ratio,
            masked_share=refinement.masked_share,
            windows_left_out=refinement.flow.left_out,
            memory_limited=refinement.plan.limited,
            late_gain=log.late_gain(),
            scale_source=reconstruction.scale_source,
            scale_sigma=None if scale is None or scale.factor is None else scale.sigma,
            scale_problem='' if scale is None else scale.reason,
        )
    )


def _counts(refinement: Refinement) -> FrameCounts:
    fates = Counter(record.fate for record in refinement.records)
    placements = Counter(p.placement for p in refinement.placed)
    chosen = int(refinement.reconstruction.chosen.sum())
    named = fates[Fate.BLURRED] + fates[Fate.DUPLICATE]
    return FrameCounts(
        read=len(refinement.records),
        chosen=chosen,
        blurred=fates[Fate.BLURRED],
        duplicate=fates[Fate.DUPLICATE],
        between=len(refinement.records) - chosen - named,
        tracked=placements[Placement.TRACKED],
        unplaced=placements[Placement.INTERPOLATED],
    )


def _loops(refinement: Refinement) -> tuple[LoopPair, ...]:
    # matches count the chosen frames, of which the result leaves out those that nothing holds
    frames = [n for n, record in enumerate(refinement.records) if record.fate is Fate.CHOSEN]
    held = refinement.polished.held
    return tuple(
        LoopPair(frames[p.first], frames[p.second], len(p.source))
        for p in refinement.correspondences.pairs
        if p.second - p.first >= _LOOP and held[p.first] and held[p.second]
    )


def _to_original(refinement: Refinement) -> float:
    """Return pixels of the recording's own pictures in one pixel of the tracking pictures."""
    return refinement.reconstruction.camera.fx / refinement.polished.lens.focal
