# SPDX-License-Identifier: Apache-2.0
"""Previews of a reconstruction, from what each stage of a refinement leaves."""

from __future__ import annotations

import numpy as np
import torch

from flowcam_ros.flowmap.flow_stage import FlowStage
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.polish import Polished
from flowcam_ros.flowmap.preview import Preview
from flowcam_ros.flowmap.reconstruction import Reconstruction
from flowcam_ros.flowmap.result import network_pixels, point_colors
from flowcam_ros.geometry.trajectory import Trajectory

# Points shown of each frame whose depth is only known by the model.
_COLUMNS, _ROWS = 40, 30


def preview_of_flow(store: FrameStore, flow: FlowStage) -> Preview:
    """Return the chosen frames after the optimisation, with points of the model's depth."""
    frames = np.flatnonzero(flow.reached)
    width, height = store.index.tracking.width, store.index.tracking.height
    x = (np.arange(_COLUMNS) + 0.5) * width / _COLUMNS - 0.5
    y = (np.arange(_ROWS) + 0.5) * height / _ROWS - 0.5
    pixels = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    at = network_pixels(store, pixels)
    rays = flow.lens.rays(torch.from_numpy(pixels)).numpy()
    positions, colors = [], []
    for frame in frames.tolist():
        where = torch.from_numpy(pixels).float()
        index = torch.full((len(pixels),), frame)
        depth = 1.0 / flow.maps.inverse_depth(index, where).double().numpy()
        pose = flow.poses[frame].numpy()
        positions.append((rays * depth[:, None]) @ pose[:3, :3].T + pose[:3, 3])
        colors.append(store.color(frame)[at[:, 1], at[:, 0]])
    return Preview(
        Trajectory(store.stamps_ns[frames], flow.poses.numpy()[frames]),
        np.concatenate(positions),
        np.concatenate(colors),
    )


def preview_of_polished(store: FrameStore, polished: Polished) -> Preview:
    """Return the chosen frames and the points of the bundle adjustment."""
    return Preview(
        Trajectory(store.stamps_ns[polished.held], polished.poses.numpy()[polished.held]),
        polished.points,
        point_colors(store, polished),
    )


def preview_of_result(reconstruction: Reconstruction) -> Preview:
    """Return all frames and the points."""
    points = reconstruction.points
    return Preview(reconstruction.trajectory, points.positions, points.colors)
