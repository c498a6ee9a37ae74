# SPDX-License-Identifier: Apache-2.0
"""Bundle adjustment of what the optimisation of a recording, or of a window of it, left."""

from __future__ import annotations

from flowcam_ros.correspondence.tracks import Tracks
from flowcam_ros.errors import SequenceError
from flowcam_ros.flowmap.flow_stage import FlowStage
from flowcam_ros.flowmap.polish import (
    OnPolish,
    Polished,
    from_first_camera,
    lens_prior,
    polish,
)
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.geometry.camera import CameraModel

_MIN_FRAMES = 2


def polish_flow(
    camera: CameraModel,
    tracks: Tracks,
    flow: FlowStage,
    config: RefineConfig,
    on_step: OnPolish,
) -> Polished:
    """Adjust all tracks, the first camera that is held being the world.

    Args:
        camera: of the tracking pictures.
        tracks: of frames that the optimisation reached.
        flow: what to begin with.
        config: what of the lens is free, number of steps.
        on_step: see :func:`polish`.

    Raises:
        SequenceError: no rigid scene explains the tracks.
    """
    mode = config.intrinsics.mode
    prior = lens_prior(
        flow.lens,
        mode == 'known',
        config.intrinsics.centre and mode == 'unknown',
        (camera.width, camera.height),
        config.polish,
    )
    polished = polish(tracks, flow.maps, flow.lens, flow.poses, prior, config.polish, on_step)
    held = int(polished.held.sum())
    if held < _MIN_FRAMES:
        raise SequenceError(
            f'the adjustment holds {held} of {len(polished.held)} frames: what corresponds in '
            'them does not fit one rigid scene. Mask what moves, record more slowly and with more '
            'overlap, or give the optimiser more steps'
        )
    return from_first_camera(polished)
