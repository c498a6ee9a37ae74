# SPDX-License-Identifier: Apache-2.0
"""Bundle adjustment of what the optimisation of a recording, or of a window of it, left."""

from __future__ import annotations

from flowcam_ros.correspondence.tracks import Tracks
from flowcam_ros.errors import SequenceError
from flowcam_ros.flowmap.bundle_problem import LensPrior
from flowcam_ros.flowmap.flow_stage import FlowStage
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.polish import (
    OnPolish,
    Polished,
    from_first_camera,
    lens_prior,
    polish,
)
from flowcam_ros.flowmap.polish_config import PolishConfig
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.geometry.camera import CameraModel

_MIN_FRAMES = 2


def prior_of(lens: Lens, camera: CameraModel, config: RefineConfig) -> LensPrior:
    """Return what is known of a lens before it is adjusted.

    Args:
        lens: as the optimisation found it.
        camera: of the tracking pictures.
        config: says what of it is free.
    """
    mode = config.intrinsics.mode
    return lens_prior(
        lens,
        mode == 'known',
        config.intrinsics.centre and mode == 'unknown',
        (camera.width, camera.height),
        config.polish,
    )


def polish_flow(
    tracks: Tracks, flow: FlowStage, prior: LensPrior, config: PolishConfig, on_step: OnPolish
) -> Polished:
    """Adjust all tracks, the first camera that is held being the world.

    Args:
        tracks: of frames that the optimisation reached.
        flow: what to begin with.
        prior: what of the lens is free, and what is known of it.
        config: number of steps.
        on_step: see :func:`polish`.

    Raises:
        SequenceError: no rigid scene explains the tracks.
    """
    polished = polish(tracks, flow.maps, flow.lens, flow.poses, prior, config, on_step)
    held = int(polished.held.sum())
    if held < _MIN_FRAMES:
        raise SequenceError(
            f'the adjustment holds {held} of {len(polished.held)} frames: what corresponds in '
            'them does not fit one rigid scene. Mask what moves, record more slowly and with more '
            'overlap, or give the optimiser more steps'
        )
    return from_first_camera(polished)
