# SPDX-License-Identifier: Apache-2.0
"""One window of a recording, optimised and adjusted by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64

from flowcam_ros.flowmap.adjusted_tracks import tracks_to_adjust
from flowcam_ros.flowmap.checkpoint import Checkpoints
from flowcam_ros.flowmap.correspondences import Correspondences
from flowcam_ros.flowmap.dense_stage import aligned
from flowcam_ros.flowmap.flow_stage import LensStart, optimise_flow
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.free_memory import give_memory_back
from flowcam_ros.flowmap.online_path import OnlinePath
from flowcam_ros.flowmap.polish_stage import polish_flow, prior_of
from flowcam_ros.flowmap.progress import Listener
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.flowmap.window_relation import WindowPoints
from flowcam_ros.odometry.device import choose_device


@dataclass(frozen=True)
class WindowJob:
    """Everything that the work on a window needs; travels to other processes.

    Attributes:
        frames: of the recording's chosen frames.
        store: of these frames alone.
        found: what corresponds in them, counted from 0.
        number: of each point of ``found.followed``, then of ``found.matched``, among all of the
            recording.
        start: lens to begin with.
        config: all options.
        checkpoints: where the optimisation is saved as it goes, and goes on from.
        path: by the online estimator, to start from; None starts from two views.
    """

    frames: range
    store: FrameStore
    found: Correspondences
    number: Int64[np.ndarray, ' p']
    start: LensStart
    config: RefineConfig
    checkpoints: Checkpoints | None = None
    path: OnlinePath | None = None


@dataclass(frozen=True)
class WindowResult:
    """What a window came to, in a world of its own.

    Attributes:
        frames: of the recording's chosen frames.
        log_inverse: (f, h, w) logarithm of the inverse depth, in the unit of the poses.
        size: width and height of the tracking pictures.
        placed: (f,) where the frames have a pose.
        held: (f,) where enough points hold it.
        found: poses, points and lens.
        focal_log_sigma: of the lens; 0 if it is known.
    """

    frames: range
    log_inverse: Float32[np.ndarray, 'f h w']
    size: tuple[int, int]
    placed: Bool[np.ndarray, ' f']
    held: Bool[np.ndarray, ' f']
    found: WindowPoints
    focal_log_sigma: float

    @property
    def poses(self) -> Float[np.ndarray, 'f 4 4']:
        """Poses world_from_camera of the frames."""
        return self.found.poses


def work_on(job: WindowJob, listener: Listener) -> WindowResult:
    """Optimise and adjust a window; the same wherever and whenever it is done.

    Raises:
        SequenceError: it shows no parallax, or no rigid scene.
    """
    config, store = job.config, job.store
    torch.manual_seed(config.seed)
    device = choose_device(config.device)
    flow = optimise_flow(
        job.start, store, job.found, config, device, listener, job.checkpoints, job.path
    )
    give_memory_back()
    tracks, kept = tracks_to_adjust(job.found, flow.reached)
    prior = prior_of(flow.lens, store.index.tracking, config)
    polished = polish_flow(tracks, flow, prior, config.polish, listener.on_polish)
    maps, _ = aligned(flow.maps, polished)
    return WindowResult(
        job.frames,
        maps.log_inverse.numpy(),
        (maps.width, maps.height),
        flow.reached,
        polished.held & flow.reached,
        WindowPoints(
            job.number[kept[polished.number]],
            polished.points,
            polished.tracks,
            polished.poses.numpy(),
            polished.lens,
        ),
        polished.focal_log_sigma,
    )
