# SPDX-License-Identifier: Apache-2.0
"""Poses, depth and lens of all windows as if they had been optimised together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from flowcam_ros.flowmap.flow_stage import FlowStage, LensStart
from flowcam_ros.flowmap.lens import FOCAL, Lens
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.window_work import WindowResult
from flowcam_ros.geometry.se3 import Matrix4, exp, inverse, log
from flowcam_ros.geometry.similarity import moved_poses, scale_of

# Frames that too few points hold count so much less than those that enough do.
_UNHELD = 1e-3
# A focal length is never surer than this share of it.
_LEAST_SIGMA = 1e-4


def joined_flow(
    windows: Sequence[tuple[WindowResult, Matrix4]], frames: int, start: LensStart
) -> FlowStage:
    """Return all windows in one world.

    Where windows overlap, poses go over from one to the next; depth is that of the window in
    whose middle the frame is.

    Args:
        windows: with world_from_window, at least one.
        frames: of the recording's chosen frames.
        start: how the search for the lens began.
    """
    size = windows[0][0].log_inverse.shape[1:]
    depth = np.zeros((frames, *size), np.float32)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    total, most = np.zeros(frames), np.zeros(frames)
    for window, world in windows:
        weights = _weights(window)
        moved = moved_poses(world, window.poses)
        shift = np.float32(np.log(scale_of(world)))
        for local in np.flatnonzero(window.placed).tolist():
            frame, weight = window.frames[local], weights[local]
            total[frame] += weight
            poses[frame] = _between(poses[frame], moved[local], weight / total[frame])
            if weight > most[frame]:
                most[frame] = weight
                depth[frame] = window.log_inverse[local] - shift
    features = torch.zeros(frames, 1, 1, 0)
    lens = common_lens([window for window, _ in windows])
    maps = Maps(torch.from_numpy(depth), features, *windows[0][0].size)
    return FlowStage(maps, lens, torch.from_numpy(poses), total > 0, start.search)


def common_lens(windows: Sequence[WindowResult]) -> Lens:
    """Return the mean of the lenses, each weighted by how sure its focal length is."""
    lenses = [window.found.lens for window in windows]
    sigma = np.array([window.focal_log_sigma for window in windows])
    if not sigma.any():
        return lenses[0]
    weight = 1.0 / np.maximum(sigma, _LEAST_SIGMA) ** 2
    numbers = np.stack([lens.numbers.numpy() for lens in lenses])
    numbers[:, FOCAL] = np.log(numbers[:, FOCAL])
    mean = (weight[:, None] * numbers).sum(0) / weight.sum()
    mean[FOCAL] = np.exp(mean[FOCAL])
    return Lens(torch.from_numpy(mean), lenses[0].aspect)


def _weights(window: WindowResult) -> np.ndarray:
    """Return how much each frame's pose counts: more, the further from the window's ends."""
    count = len(window.frames)
    place = np.arange(count)
    inside = np.minimum(place + 1, count - place) / count
    return np.where(window.held, inside, _UNHELD * inside)


def _between(one: Matrix4, other: Matrix4, share: float) -> Matrix4:
    """Return the pose at a share of the way from one to the other; exact at both ends."""
    if share >= 1.0:
        return other
    return one @ exp(share * log(inverse(one) @ other))
