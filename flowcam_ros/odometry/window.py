# SPDX-License-Identifier: Apache-2.0
"""The last few key frames, optimised together, so that scale and pose drift less."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcam_ros.correspondence.points import refine_points
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.covariance import Matrix6, rotated
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.projection import rays
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.config import WindowConfig
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths, look_up
from flowcam_ros.odometry.reprojection import reproject
from flowcam_ros.odometry.window_prior import WindowPrior, prior_of_one, with_known_length, without_first
from flowcam_ros.odometry.window_problem import (
    Sightings,
    WindowPoints,
    WindowProblem,
    WindowState,
    clamped_depth,
)

# Depth known to this share of itself tells where to look for a point.
_KNOWN_DEPTH = 0.2
# Where depth is not measured, it is known to this share of itself: it holds the scale, no more.
_LOOSE_DEPTH = 10.0
# How well the first distance is known that defines the unit without measured depth.
_SCALE_SIGMA = 1e-3
_MIN_SEEN = 20
_DAMPING = 1e-6
_INLIER_CHI2 = 16.0


@dataclass(frozen=True)
class _Host:
    """One key frame of the window with the n points that stand for it."""

    keyframe: Keyframe
    chosen: Int[np.ndarray, ' n']
    depth: Float[np.ndarray, ' n']
    prior: Float[np.ndarray, ' n']
    information: Float[np.ndarray, ' n']

    @property
    def pixels(self) -> Float[np.ndarray, 'n 2']:
        return self.keyframe.points.pixels[self.chosen]


@dataclass(frozen=True)
class _Sighting:
    """The points of one host in one later key frame; information 0 where not seen."""

    host: int
    target: int
    pixel: Float[np.ndarray, 'n 2']
    information: Float[np.ndarray, ' n']
    inverse_depth: Float[np.ndarray, ' n']
    depth_information: Float[np.ndarray, ' n']


@dataclass(frozen=True)
class Joined:
    """What the window says of a frame that joins it.

    Attributes:
        world_from_camera: its pose.
        covariance: (6, 6) of the pose.
        points: points of earlier key frames as the frame sees them, with their depth.
    """

    world_from_camera: Matrix4
    covariance: Matrix6
    points: PointDepths
    ratio: float
    target_from_last: Matrix4


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
        self._hosts: list[_Host] = []
        self._sightings: list[_Sighting] = []
        self._joining: list[_Sighting] = []
        self._prior: WindowPrior | None = None
        self._scale = 1.0

    def __len__(self) -> int:
        return len(self._hosts)

    def begin(self, keyframe: Keyframe, measured: DepthEstimate | None) -> None:
        """Start anew with one key frame whose pose is known as well as it says."""
        self.clear()
        pose = torch.from_numpy(keyframe.world_from_camera)
        in_camera = rotated(keyframe.covariance, keyframe.world_from_camera[:3, :3].T)
        information = torch.from_numpy(np.linalg.inv(in_camera))
        self._prior = prior_of_one(pose.to(self._device), information.to(self._device))
        self.append(keyframe, measured)

    def append(self, keyframe: Keyframe, measured: DepthEstimate | None) -> None:
        """Take the key frame made of the frame that joined last."""
        self._sightings += self._joining
        self._joining = []
        points = keyframe.points
        chosen = _choose(keyframe, self._config.points)
        depth = np.maximum(points.inverse_depth[chosen], 1e-4)
        if measured is None:
            prior, variance = depth, (_LOOSE_DEPTH * depth) ** 2
        else:
            prior, variance = look_up(measured, points.pixels[chosen], keyframe.frame.camera)
        known = (prior > 0) & np.isfinite(variance)
        information = np.where(known, 1.0 / np.where(known, variance, 1.0), 0.0)
        self._hosts.append(_Host(keyframe, chosen, depth, prior, information))
        if len(self._hosts) > self._config.keyframes:
            self._drop_first(self._scale)

    def join(
        self,
        keyframe: Keyframe,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        alignment: Alignment,
        world_from_camera: Matrix4,
    ) -> Joined:
        """Optimise the window together with a frame that was fitted to its newest key frame."""
        assert self._prior is not None  # begin() comes first
        last = self._hosts[-1]
        if measured is None:
            depth = keyframe.points.inverse_depth[last.chosen]
            last = dataclasses.replace(last, depth=np.maximum(depth, 1e-4), prior=depth)
        self._hosts[-1] = dataclasses.replace(last, keyframe=keyframe)
        if measured is None and len(self._hosts) == 1:
            pose = torch.from_numpy(world_from_camera).to(self._device)
            self._prior = with_known_length(self._prior, pose, _SCALE_SIGMA)
        self._look_for(frame, measured, alignment, world_from_camera)
        none = np.zeros(0, np.float32)
        blank = dataclasses.replace(last, chosen=np.zeros(0, np.intp), depth=none, prior=none, information=none)
        problem = self._problem(frame.camera, [*self._hosts, blank], self._sightings + self._joining)
        poses = [host.keyframe.world_from_camera for host in self._hosts] + [world_from_camera]
        start = WindowState(self._tensor(np.stack(poses)), self._rows([*(h.depth for h in self._hosts), none], pad=1.0))
        state, scale = self._optimised(problem, start)
        before = self._hosts[-1].depth
        self._keep(state)
        now = self._hosts[-1].depth
        used = self._joining[-1].information > 0
        ratio = float(np.median(now[used] / before[used])) if measured is None else 1.0
        at = problem.residuals(state)
        system = problem.system(at, scale)
        hessian, gradient = system.reduced()
        covariance = torch.linalg.inv(hessian)[-6:, -6:].cpu().numpy()
        pose = se3.orthonormalized(state.poses[-1].cpu().numpy())
        joined = Joined(
            pose, rotated(covariance, pose[:3, :3]), self._seen_points(at, system, scale), ratio, se3.inverse(pose) @ self._hosts[-1].keyframe.world_from_camera
        )
        self._scale = scale
        return joined

    def _look_for(
        self,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        alignment: Alignment,
        world_from_camera: Matrix4,
    ) -> None:
        """Find the points of all key frames in a new frame."""
        target = len(self._hosts)
        self._joining = []
        for number, host in enumerate(self._hosts):
            if number == target - 1:
                found = _from_alignment(host, alignment)
            else:
                found = self._searched(host, frame, world_from_camera)
            if found is None:
                continue
            pixel, information = found
            seen = information > 0
            inverse, depth_information = np.zeros_like(information), np.zeros_like(information)
            if measured is not None:
                at = np.clip(pixel, 0, (frame.camera.width - 1, frame.camera.height - 1))
                value, variance = look_up(measured, at, frame.camera)
                known = seen & (value > 0) & np.isfinite(variance)
                inverse = np.where(known, value, 0.0)
                depth_information = np.where(known, 1.0 / np.where(known, variance, 1.0), 0.0)
            self._joining.append(
                _Sighting(number, target, pixel, information, inverse, depth_information)
            )

    def _searched(
        self, host: _Host, frame: PreparedFrame, world_from_camera: Matrix4
    ) -> tuple[np.ndarray, np.ndarray] | None:
        pose = se3.inverse(world_from_camera) @ host.keyframe.world_from_camera
        ray = rays(frame.camera, torch.from_numpy(host.pixels).double())
        depth = torch.from_numpy(host.depth).double()
        there = reproject(frame.camera, ray, depth, torch.from_numpy(pose))
        guess = there.predicted[:, :2].numpy().astype(np.float32)
        size = (frame.camera.width - 1, frame.camera.height - 1)
        variance = host.keyframe.points.variance[host.chosen]
        wanted = (guess > 0).all(1) & (guess < size).all(1) & there.ahead.numpy()
        wanted &= variance < (_KNOWN_DEPTH * host.depth) ** 2
        if np.count_nonzero(wanted) < _MIN_SEEN:
            return None
        source = host.keyframe
        matches = refine_points(
            source.frame.grey,
            frame.grey,
            host.pixels[wanted],
            source.texture[host.chosen][wanted],
            guess[wanted],
            self._max_inconsistency,
        )
        pixel, information = np.zeros_like(guess), np.zeros(len(guess))
        pixel[wanted] = np.where(matches.valid[:, None], matches.target, 0.0)
        information[wanted] = np.where(matches.valid & (np.linalg.norm(matches.target-guess[wanted],axis=1)<3.0), 1.0 / matches.sigma**2, 0.0)
        return pixel, information

    def _problem(self, camera: CameraModel, hosts, sightings) -> WindowProblem:
        assert self._prior is not None
        points = WindowPoints(
            rays(camera, self._rows([h.pixels for h in hosts])),
            self._rows([h.prior for h in hosts], pad=1.0),
            self._rows([h.information for h in hosts]),
        )
        return WindowProblem(
            camera,
            points,
            Sightings(
                torch.tensor([s.host for s in sightings], device=self._device),
                torch.tensor([s.target for s in sightings], device=self._device),
                self._rows([s.pixel for s in sightings]),
                self._rows([s.information for s in sightings]),
                self._rows([s.inverse_depth for s in sightings]),
                self._rows([s.depth_information for s in sightings]),
            ),
            self._prior,
        )

    def _optimised(self, problem: WindowProblem, state: WindowState) -> tuple[WindowState, float]:
        at = problem.residuals(state)
        damping = _DAMPING
        scale = problem.scale(at)
        for _ in range(self._config.iterations):
            scale = problem.scale(at)
            system = problem.system(at, scale)
            hessian, gradient = system.reduced()
            diagonal = hessian.diagonal()
            damped = hessian + torch.diag(diagonal * damping + 1e-12 * diagonal.max())
            step = torch.linalg.solve(damped, -gradient)
            depth = clamped_depth(state.depth + system.depth_step(step))
            candidate = problem.residuals(WindowState(_retract(state.poses, step), depth))
            before, after = problem.cost(at, scale), problem.cost(candidate, scale)
            if after < before:
                state, at = candidate.state, candidate
                damping = max(0.1 * damping, _DAMPING)
                if before - after < 1e-5 * abs(before):
                    break
            else:
                damping = max(damping, 1e-5) * 100.0
        return state, scale

    def _keep(self, state: WindowState) -> None:
        """Take over optimised poses and depths."""
        poses, depth = state.poses.cpu().numpy(), state.depth.cpu().numpy()
        for number, host in enumerate(self._hosts):
            keyframe = dataclasses.replace(
                host.keyframe, world_from_camera=se3.orthonormalized(poses[number])
            )
            self._hosts[number] = dataclasses.replace(
                host, keyframe=keyframe, depth=depth[number, : len(host.depth)].astype(np.float32)
            )

    def _seen_points(self, at, system, scale) -> PointDepths:
        pixels, inverse, variance = [], [], []
        for number, sighting in enumerate(self._joining, len(self._sightings)):
            count = len(sighting.information)
            good = torch.from_numpy(sighting.information > 0)
            good &= (at.chi2_pixel[number, :count] < _INLIER_CHI2 * scale**2).cpu()
            z = at.seen.moved[number, :count, 2].cpu()
            rho = at.seen.depth[number, :count].cpu()
            spread = 1.0 / system.curvature[sighting.host, :count].cpu()
            good &= z > 0.05
            pixels.append(sighting.pixel[good.numpy()])
            inverse.append((rho / z)[good].float().numpy())
            variance.append((spread / z**4)[good].float().numpy())
        if not pixels:
            none = np.zeros(0, np.float32)
            return PointDepths(np.zeros((0, 2), np.float32), none, none)
        return PointDepths(
            np.concatenate(pixels), np.concatenate(inverse), np.concatenate(variance)
        )

    def _drop_first(self, scale: float) -> None:
        """Let the oldest key frame go; what it says of the others stays as a prior."""
        mine = [s for s in self._sightings if s.host == 0]
        poses = self._tensor(np.stack([h.keyframe.world_from_camera for h in self._hosts]))
        depth = self._rows([h.depth for h in self._hosts], pad=1.0)
        if mine:
            only = self._problem(self._hosts[0].keyframe.frame.camera, self._hosts, mine)
            system = only.system(only.residuals(WindowState(poses, depth)), scale)
            hessian, gradient = system.reduced()
            self._prior = without_first(hessian, gradient, poses)
        else:
            raise AssertionError('oldest key frame is seen by none')
        self._hosts = self._hosts[1:]
        self._sightings = [
            dataclasses.replace(s, host=s.host - 1, target=s.target - 1)
            for s in self._sightings
            if s.host > 0
        ]

    def _rows(self, rows: list[np.ndarray], pad: float = 0.0) -> Tensor:
        n = self._config.points
        result = np.full((len(rows), n, *rows[0].shape[1:]), pad)
        for row, values in zip(result, rows, strict=True):
            row[: len(values)] = values
        return self._tensor(result)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self._device, torch.float64)


def _from_alignment(host: _Host, alignment: Alignment) -> tuple[np.ndarray, np.ndarray]:
    """Return where the newest key frame's points were found when the frame was fitted to it."""
    count = len(alignment.kept)
    pixel, information = np.zeros((count, 2), np.float32), np.zeros(count)
    pixel[alignment.kept] = alignment.points.target.cpu().numpy()
    information[alignment.kept] = alignment.explained / alignment.points.pixel_variance.cpu().numpy()
    return pixel[host.chosen], information[host.chosen]


def _choose(keyframe: Keyframe, count: int) -> Int[np.ndarray, ' n']:
    """Return at most ``count`` points, spread over the picture, the best textured of each part."""
    points = keyframe.points
    usable = np.flatnonzero((points.inverse_depth > 0) & np.isfinite(points.variance))
    if len(usable) <= count:
        return usable
    camera = keyframe.frame.camera
    cell = np.sqrt(camera.width * camera.height / count)
    at = (points.pixels[usable] // cell).astype(np.intp)
    where = at[:, 1] * 100000 + at[:, 0]
    order = np.lexsort([-keyframe.texture[usable], where])
    first = np.unique(where[order], return_index=True)[1]
    return np.sort(usable[order[first]])[:count]


def _retract(poses: Float[Tensor, 'k 4 4'], step: Float[Tensor, ' m']) -> Float[Tensor, 'k 4 4']:
    """Move each camera by a small motion (translation, rotation vector) in its own axes."""
    steps = step.view(-1, 6)
    x, y, z = steps[:, 3:].unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)
    result = poses.clone()
    result[:, :3, :3] = poses[:, :3, :3] @ torch.linalg.matrix_exp(skew)
    result[:, :3, 3] += (poses[:, :3, :3] @ steps[:, :3].unsqueeze(-1)).squeeze(-1)
    return result
