# SPDX-License-Identifier: Apache-2.0
"""The last few key frames, optimised together, so that scale and pose drift less."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.covariance import Matrix6, of_product, rotated
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.projection import rays
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.config import WindowConfig
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths
from flowcam_ros.odometry.map_scale import MEASURED, MapScale
from flowcam_ros.odometry.pair_prior import stacked
from flowcam_ros.odometry.window_matches import (
    Host,
    Sighting,
    make_host,
    make_sighting,
    matched_before,
    sought,
)
from flowcam_ros.odometry.window_points import seen_points
from flowcam_ros.odometry.window_prior import (
    WindowPrior,
    prior_of_one,
    with_known_length,
    without_first,
)
from flowcam_ros.odometry.window_problem import (
    Sightings,
    WindowPoints,
    WindowProblem,
    WindowState,
)
from flowcam_ros.odometry.window_solver import WindowFit, fit_window

# The window is held where it begins, or it drifts as a whole: (10 um)^2, (10 urad)^2. How well
# that place is known is added to its results.
_HELD = 1e-10
# Even a unit that is known is held no firmer than this share of it.
_LEAST_UNIT_SIGMA = 1e-4


@dataclass(frozen=True)
class Joined:
    """What the window says of a frame that joins it.

    Attributes:
        world_from_camera: its pose.
        covariance: (6, 6) of the pose.
        points: points of earlier key frames as the frame sees them, with their depth.
        new_from_old: pose of the key frame before, in the frame's camera.
        depth_ratio: inverse depths of the key frame before, now over what they were.
        scale: how well that of the points is known.
    """

    world_from_camera: Matrix4
    covariance: Matrix6
    points: PointDepths
    new_from_old: Matrix4
    depth_ratio: float
    scale: MapScale


class SlidingWindow:
    """Key frames of one camera in order of time, the newest last."""

    def __init__(
        self, config: WindowConfig, max_inconsistency: float, device: torch.device
    ) -> None:
        self._config = config
        self._max_inconsistency = max_inconsistency
        self._device = device
        self.clear()

    def clear(self) -> None:
        """Forget all key frames."""
        self._hosts: list[Host] = []
        self._sightings: list[Sighting] = []
        self._joining: list[Sighting] = []
        self._prior: WindowPrior | None = None
        self._origin: Keyframe | None = None
        self._scale, self._likeness = 1.0, 1.0

    def __len__(self) -> int:
        return len(self._hosts)

    def begin(self, keyframe: Keyframe, measured: DepthEstimate | None) -> None:
        """Start anew with one key frame whose pose is known as well as it says.

        Without measured depth the way to the next key frame, as long as the map of this one makes
        it, defines the unit.
        """
        self.clear()
        pose = keyframe.world_from_camera
        self._origin = keyframe
        information = np.eye(6) / _HELD
        self._prior = prior_of_one(self._tensor(pose), self._tensor(information))
        self._hosts.append(make_host(keyframe, measured, self._config.points))

    def join(
        self,
        keyframe: Keyframe,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        alignment: Alignment,
        world_from_camera: Matrix4,
    ) -> Joined:
        """Optimise the window together with a frame that was fitted to its newest key frame.

        The frame stays only if :meth:`append` follows.

        Args:
            keyframe: the newest key frame, with what it has learnt since.
            frame: the frame that joins.
            measured: its depth, if depth is measured.
            alignment: its fit to ``keyframe``.
            world_from_camera: its pose according to that.
        """
        last = dataclasses.replace(self._hosts[-1], keyframe=keyframe)
        if measured is None:
            last = make_host(keyframe, None, self._config.points)
            self._define_unit(world_from_camera, alignment)
        self._hosts[-1] = last
        # its points are too far apart for their windows to overlap
        self._likeness = alignment.likeness
        self._joining = self._seen_in(frame, measured, alignment, world_from_camera)
        poses = [host.keyframe.world_from_camera for host in self._hosts]
        state = WindowState(
            self._tensor(np.stack([*poses, world_from_camera])),
            self._rows([*(h.inverse_depth for h in self._hosts), np.zeros(0)], fill=1.0),
        )
        sightings = self._sightings + self._joining
        fit = fit_window(self._problem(sightings), state, self._config.iterations)
        self._take_over(fit)
        ratio = 1.0 if measured is not None else self._ratio(last.inverse_depth)
        pose = se3.orthonormalized(fit.state.poses[-1].cpu().numpy())
        return Joined(
            pose,
            self._covariance(pose, fit.covariances[-6:, -6:].cpu().numpy()),
            seen_points(fit, self._joining, len(self._sightings), alignment.translation_sigma),
            se3.inverse(pose) @ self._hosts[-1].keyframe.world_from_camera,
            ratio,
            self._map_scale(fit, pose) if measured is None else MEASURED,
        )

    def append(self, keyframe: Keyframe, measured: DepthEstimate | None) -> None:
        """Take the key frame made of the frame that joined; too many, and the oldest leaves."""
        self._sightings += self._joining
        self._joining = []
        self._hosts.append(make_host(keyframe, measured, self._config.points))
        if len(self._hosts) > self._config.keyframes:
            self._drop_first()

    def _covariance(self, pose: Matrix4, within: Matrix6) -> Matrix6:
        """Return the covariance of a pose from what the window leaves unsure, in its own axes."""
        assert self._origin is not None  # begin() comes first
        origin = self._origin.world_from_camera
        step = se3.inverse(origin) @ pose
        return of_product(origin, self._origin.covariance, step, rotated(within, step[:3, :3]))

    @staticmethod
    def _map_scale(fit: WindowFit, pose: Matrix4) -> MapScale:
        """Return how well the scale of the newest key frame's points is known.

        It is the mean error of the logarithm of their depths.
        """
        variance, with_pose = fit.system.scale_of_depths(-2, fit.state.depth, fit.covariances)
        turn = pose[:3, :3]
        cross = with_pose.cpu().numpy()
        return MapScale(variance, np.concatenate([turn @ cross[:3], turn @ cross[3:]]))

    def _define_unit(self, second: Matrix4, alignment: Alignment) -> None:
        """Without measured depth, hold the distance of the first two key frames."""
        assert self._prior is not None  # begin() comes first
        if len(self._hosts) == 1:
            only = prior_of_one(self._prior.poses[0], self._prior.hessian[:6, :6])
            assert self._origin is not None
            unit = np.hypot(self._origin.scale.variance**0.5, alignment.length_sigma)
            self._prior = with_known_length(
                only, self._tensor(second), max(float(unit), _LEAST_UNIT_SIGMA)
            )

    def _seen_in(
        self,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        alignment: Alignment,
        world_from_camera: Matrix4,
    ) -> list[Sighting]:
        """Find the points of all key frames in a new frame."""
        new, newest = len(self._hosts), len(self._hosts) - 1
        sightings = []
        for number, host in enumerate(self._hosts):
            if number == newest:
                found = matched_before(host, alignment)
            else:
                again = sought(host, frame, world_from_camera, self._max_inconsistency)
                if again is None:
                    continue
                found = again
            pair = alignment.surface if number == newest else None
            sightings.append(make_sighting((number, new), *found, measured, frame, pair))
        return sightings

    def _take_over(self, fit: WindowFit) -> None:
        """Keep the optimised poses and depths."""
        poses, depth = fit.state.poses.cpu().numpy(), fit.state.depth.cpu().numpy()
        curvature = fit.system.curvature.cpu().numpy()
        self._scale = fit.scale
        for number, host in enumerate(self._hosts):
            pose, count = se3.orthonormalized(poses[number]), len(host.chosen)
            self._hosts[number] = dataclasses.replace(
                host,
                keyframe=dataclasses.replace(host.keyframe, world_from_camera=pose),
                inverse_depth=depth[number, :count].astype(np.float32),
                variance=(1.0 / curvature[number, :count]).astype(np.float32),
            )

    def _ratio(self, before: np.ndarray) -> float:
        """Return by how much the newest key frame's inverse depths have changed."""
        seen = self._joining[-1].information > 0
        change = self._hosts[-1].inverse_depth[seen] / before[seen]
        return float(np.median(change)) if len(change) else 1.0

    def _drop_first(self) -> None:
        """Let the oldest key frame go; what it says of the others stays as a prior."""
        poses = self._tensor(np.stack([h.keyframe.world_from_camera for h in self._hosts]))
        depth = self._rows([h.inverse_depth for h in self._hosts], fill=1.0)
        problem = self._problem([s for s in self._sightings if s.host == 0])
        system = problem.system(problem.residuals(WindowState(poses, depth)), self._scale)
        self._prior = without_first(*system.reduced(), poses)
        self._hosts = self._hosts[1:]
        self._sightings = [
            dataclasses.replace(s, host=s.host - 1, target=s.target - 1)
            for s in self._sightings
            if s.host > 0
        ]

    def _problem(self, sightings: list[Sighting]) -> WindowProblem:
        """Return the problem of some sightings; a joining frame has no points of its own yet."""
        assert self._prior is not None  # begin() comes first
        hosts = self._hosts
        camera = hosts[0].keyframe.frame.camera
        none = [np.zeros(0)] if self._joining else []
        points = WindowPoints(
            rays(camera, self._rows([h.pixels for h in hosts] + [np.zeros((0, 2))] * len(none))),
            self._rows([*(h.measured for h in hosts), *none], fill=1.0),
            self._rows([*(h.information for h in hosts), *none]),
        )
        batch = Sightings(
            torch.tensor([s.host for s in sightings], device=self._device),
            torch.tensor([s.target for s in sightings], device=self._device),
            self._rows([s.pixel for s in sightings]),
            self._rows([s.information for s in sightings]),
            self._rows([s.inverse_depth for s in sightings]),
            self._rows([s.depth_information for s in sightings]),
            stacked([s.pair for s in sightings], self._device),
        )
        return WindowProblem(camera, points, batch, self._prior, self._likeness)

    def _rows(self, rows: list[np.ndarray], fill: float = 0.0) -> Tensor:
        """Return rows of any length as one tensor, filled up to the same length."""
        result = np.full((len(rows), self._config.points, *rows[0].shape[1:]), fill)
        for row, values in zip(result, rows, strict=True):
            row[: len(values)] = values
        return self._tensor(result)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self._device, torch.float64)
