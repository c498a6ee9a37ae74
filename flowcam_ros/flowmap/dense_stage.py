# SPDX-License-Identifier: Apache-2.0
"""Depth maps of all chosen frames, one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from flowcam_ros.correspondence.dense_pairs import DensePair, dense_pairs
from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.flowmap.dense import DenseView, dense_depth
from flowcam_ros.flowmap.dense_flows import flows_by_frame
from flowcam_ros.flowmap.depth_store import DepthStore
from flowcam_ros.flowmap.flow_stage import FlowStage
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.kept_frames import emptied
from flowcam_ros.flowmap.lens import CENTRE_X, CENTRE_Y, Lens
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.measured import measured_depths
from flowcam_ros.flowmap.polish import Polished
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.flowmap.scale import MetricScale
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.prepare import working_size
from flowcam_ros.odometry.device import choose_device

_FLOW_PIXELS = 307_200
_SIGMA_OF_MAD = 1.4826
_MIN_POINTS = 8


def dense_maps(
    store: FrameStore,
    flow: FlowStage,
    polished: Polished,
    scale: MetricScale | None,
    config: RefineConfig,
    folder: Path,
    tell: Callable[[str], None],
) -> DepthStore:
    """Make the depth maps of the frames that the adjustment holds; keyed by chosen frame.

    Measured depth takes part if ``scale`` comes from it.
    """
    emptied(folder)
    pinhole = pinhole_camera(store.index.tracking, polished.lens, config.dense.pixels)
    maps, sigma = aligned(flow.maps, polished)
    depths = DepthStore(folder, pinhole)
    takes_part = scale is not None and scale.holds_depth
    excess = measured_depths(store, polished).excess if takes_part else None
    estimator = make_flow(config.flow, choose_device(config.device))
    good = np.flatnonzero(polished.held)
    wanted = {
        int(frame): _neighbours(good, place, config.dense.neighbours)
        for place, frame in enumerate(good)
    }

    def compute(pairs: Iterable[tuple[int, int]]) -> Iterator[DensePair]:
        return dense_pairs(estimator, store, pairs, _FLOW_PIXELS, config.flow.max_inconsistency)

    for number, (frame, flows) in enumerate(flows_by_frame(wanted, compute), 1):
        tell(f'depth of frame {number} of {len(good)}')
        poses = [polished.poses[other] for other in wanted[frame]]
        view = _view(store, polished, pinhole, frame, excess)
        depths.add(frame, dense_depth(view, maps, list(zip(flows, poses, strict=True)), sigma))
    return depths


def _view(
    store: FrameStore, polished: Polished, pinhole: CameraModel, frame: int, excess: float | None
) -> DenseView:
    measured = None if excess is None else store.measured_depth(frame)
    if measured is not None and excess is not None:
        measured = dataclasses.replace(measured, variance=measured.variance * np.float32(excess))
    return DenseView(
        frame,
        pinhole,
        polished.lens,
        polished.poses[frame],
        store.color(frame),
        polished.tracks.pixel[polished.tracks.frame == frame],
        store.usable(frame),
        measured,
    )


def pinhole_camera(tracking: CameraModel, lens: Lens, pixels: int) -> CameraModel:
    """Return the undistorted camera of depth maps."""
    refined = dataclasses.replace(
        tracking,
        fx=lens.focal,
        fy=lens.focal * lens.aspect,
        cx=float(lens.numbers[CENTRE_X]),
        cy=float(lens.numbers[CENTRE_Y]),
    )
    return refined.resized(*working_size(tracking.width, tracking.height, pixels))


def aligned(maps: Maps, polished: Polished) -> tuple[Maps, float]:
    """Return the maps brought to the scale of the points, frame by frame, and their error.

    The error is the relative standard deviation of the inverse depth at the points.
    """
    tracks = polished.tracks
    poses = polished.poses.numpy()[tracks.frame]
    away = polished.points[tracks.point] - poses[:, :3, 3]
    z = (away * poses[:, :3, 2]).sum(-1)
    told = maps.inverse_depth(torch.from_numpy(tracks.frame), torch.from_numpy(tracks.pixel))
    gap = np.where(z > 0, -np.log(np.maximum(z, 1e-12)), np.nan) - told.log().numpy()
    shift = np.zeros(len(maps.log_inverse), np.float32)
    overall = float(np.nanmedian(gap)) if len(gap) else 0.0
    rest = []
    for frame in range(len(shift)):
        own = gap[(tracks.frame == frame) & np.isfinite(gap)]
        shift[frame] = np.median(own) if len(own) >= _MIN_POINTS else overall
        rest.append(own - shift[frame])
    left = np.concatenate(rest)
    sigma = _SIGMA_OF_MAD * float(np.median(np.abs(left))) if len(left) else 1.0
    moved = maps.log_inverse + torch.from_numpy(shift)[:, None, None]
    return dataclasses.replace(maps, log_inverse=moved), sigma


def _neighbours(frames: np.ndarray, place: int, count: int) -> list[int]:
    """Return the frames at growing distance on both sides: 1, 2, 4 ... of them."""
    chosen: list[int] = []
    step = 1
    while len(chosen) < count and step < len(frames):
        for side in (place + step, place - step):
            if 0 <= side < len(frames) and len(chosen) < count:
                chosen.append(int(frames[side]))
        step *= 2
    return chosen
