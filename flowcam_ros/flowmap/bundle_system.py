# SPDX-License-Identifier: Apache-2.0
"""The normal equations of a bundle adjustment, and their solution by the Schur complement.

Points are eliminated first (Triggs et al. 2000, section 6). They are taken a group at a time:
neighbours are seen by the same few frames, so each group is a small dense product, and memory
does not grow with the number of points times frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_GROUP = 1024  # observations of a group of points
_SPECK = 1e-12


@dataclass(frozen=True)
class BundleBlock:
    """Residuals of some observations that follow each other, and their derivatives; k of them.

    Attributes:
        where: the observations.
        weight: (k, 3) of each residual.
        residual: (k, 3).
        by_pose: (k, 3, 6) derivative of the residuals.
        by_lens: (k, 3, l) the same by the free numbers of the lens.
        by_point: (k, 3, 3) the same by the points.
    """

    where: slice
    weight: Float[Tensor, 'k 3']
    residual: Float[Tensor, 'k 3']
    by_pose: Float[Tensor, 'k 3 6']
    by_lens: Float[Tensor, 'k 3 l']
    by_point: Float[Tensor, 'k 3 3']


class BundleSystem:
    """Hessian and gradient in block form at one state; n observations, f frames, p points.

    Args:
        blocks: all observations; only one block is held at a time, as the derivatives take more
            memory than all else.
        point: (n,) increasing.
        frame: (n,).
        lens_information: (l,) what is known of the free numbers of the lens besides, inverse
            variances.
        lens_slope: (l,) gradient of that.
        size: number of frames and of points.
    """

    def __init__(
        self,
        blocks: Iterable[BundleBlock],
        point: Int64[Tensor, ' n'],
        frame: Int64[Tensor, ' n'],
        lens_information: Float[Tensor, ' l'],
        lens_slope: Float[Tensor, ' l'],
        size: tuple[int, int],
    ) -> None:
        (frames, points), lens = size, len(lens_slope)
        self._point, self._frame = point, frame
        new = lens_slope.new_zeros
        self._pose, self._pose_slope = new(frames, 6, 6), new(frames, 6)
        self._pose_lens = new(frames, 6, lens)
        self._pose_point = new(len(point), 6, 3)
        self._lens, self._lens_slope = lens_information.diag(), lens_slope.clone()
        self._lens_point = new(points, lens, 3)
        self._points, self._point_slope = new(points, 3, 3), new(points, 3)
        for block in blocks:
            self._add(block)

    def _add(self, block: BundleBlock) -> None:
        point, frame = self._point[block.where], self._frame[block.where]
        weight = block.weight.unsqueeze(-1)
        weighted = weight * block.residual.unsqueeze(-1)
        scaled = (weight * block.by_pose).mT
        self._pose.index_add_(0, frame, scaled @ block.by_pose)
        self._pose_slope.index_add_(0, frame, (block.by_pose.mT @ weighted)[..., 0])
        self._pose_lens.index_add_(0, frame, scaled @ block.by_lens)
        self._pose_point[block.where] = scaled @ block.by_point
        scaled = (weight * block.by_lens).mT
        self._lens += (scaled @ block.by_lens).sum(0)
        self._lens_slope += (block.by_lens.mT @ weighted)[..., 0].sum(0)
        self._lens_point.index_add_(0, point, scaled @ block.by_point)
        scaled = (weight * block.by_point).mT
        self._points.index_add_(0, point, scaled @ block.by_point)
        self._point_slope.index_add_(0, point, (block.by_point.mT @ weighted)[..., 0])

    def step(
        self, damping: float
    ) -> tuple[Float[Tensor, 'f 6'], Float[Tensor, ' l'], Float[Tensor, 'p 3']]:
        """Return the damped Gauss-Newton step of poses, lens and points.

        Raises:
            torch.linalg.LinAlgError: the damped system is not positive definite.
        """
        root = self._point_root(damping)
        hessian, slope = self._reduced(root)
        hessian.diagonal().add_((damping + _SPECK) * self._diagonal())
        step = torch.cholesky_solve(-slope.unsqueeze(-1), torch.linalg.cholesky(hessian)).squeeze(
            -1
        )
        poses = step[: self._pose_slope.numel()].view(-1, 6)
        lens = step[self._pose_slope.numel() :]
        pull = self._point_slope + self._pull(poses, lens)
        return poses, lens, -(root.mT @ (root @ pull.unsqueeze(-1))).squeeze(-1)

    def followed(
        self, poses: Float[Tensor, 'f 6'], lens: Float[Tensor, ' l']
    ) -> Float[Tensor, 'p 3']:
        """Return how the points move when poses and lens do, to stay where they are seen."""
        root, pull = self._point_root(_SPECK), self._pull(poses, lens)
        return -(root.mT @ (root @ pull.unsqueeze(-1))).squeeze(-1)

    def covariance(self, fixed: int) -> Float[Tensor, 'm m']:
        """Return the covariance of all poses, then the lens, the pose of frame ``fixed`` held.

        Scale is held, too, by the speck that keeps the system regular, where nothing fixes it:
        its own variance is then huge and has no meaning.
        """
        hessian, _ = self._reduced(self._point_root(_SPECK))
        index = torch.arange(6 * fixed, 6 * fixed + 6, device=hessian.device)
        hessian[index, index] += 1e6 * hessian.diagonal().max()
        hessian.diagonal().add_(_SPECK * self._diagonal())
        return torch.cholesky_inverse(torch.linalg.cholesky(hessian))

    def _pull(
        self, poses: Float[Tensor, 'f 6'], lens: Float[Tensor, ' l']
    ) -> Float[Tensor, 'p 3']:
        """Return the slope at the points that a step of poses and lens makes."""
        pull = (self._lens_point.mT @ lens.unsqueeze(-1)).squeeze(-1)
        for _, seen in self._groups():
            moved = self._pose_point[seen].mT @ poses[self._frame[seen]].unsqueeze(-1)
            pull.index_add_(0, self._point[seen], moved.squeeze(-1))
        return pull

    def _diagonal(self) -> Float[Tensor, ' m']:
        poses = self._pose.diagonal(dim1=-2, dim2=-1).reshape(-1)
        return torch.cat([poses, self._lens.diagonal()])

    def _point_root(self, damping: float) -> Float[Tensor, 'p 3 3']:
        """Return W with W^T W the inverse of each point's damped curvature."""
        diagonal = self._points.diagonal(dim1=-2, dim2=-1)
        speck = _SPECK * diagonal.sum(-1, keepdim=True) + 1e-30
        curvature = self._points + torch.diag_embed(damping * diagonal + speck)
        eye = torch.eye(3, dtype=curvature.dtype, device=curvature.device)
        factor, failed = torch.linalg.cholesky_ex(curvature)
        root = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
        return root.masked_fill((failed > 0)[:, None, None], 0.0)

    def _reduced(
        self, root: Float[Tensor, 'p 3 3']
    ) -> tuple[Float[Tensor, 'm m'], Float[Tensor, ' m']]:
        """Return hessian and gradient of poses and lens, the points eliminated."""
        frames, lens = len(self._pose), len(self._lens_slope)
        size = 6 * frames + lens
        hessian = root.new_zeros(size, size)
        blocks = hessian[: 6 * frames, : 6 * frames].view(frames, 6, frames, 6)
        index = torch.arange(frames, device=root.device)
        # frames that see nothing stay where they are
        blind = self._pose.diagonal(dim1=-2, dim2=-1).sum(-1) == 0
        eye = torch.eye(6, dtype=root.dtype, device=root.device)
        blocks[index, :, index] = self._pose + blind[:, None, None] * eye
        hessian[: 6 * frames, 6 * frames :] = self._pose_lens.reshape(6 * frames, lens)
        hessian[6 * frames :, : 6 * frames] = self._pose_lens.reshape(6 * frames, lens).T
        hessian[6 * frames :, 6 * frames :] = self._lens
        slope = torch.cat([self._pose_slope.reshape(-1), self._lens_slope])
        pull = (root @ self._point_slope.unsqueeze(-1)).squeeze(-1)
        for points, seen in self._groups():
            self._eliminate(hessian, slope, root, pull, points, seen)
        return hessian, slope

    def _eliminate(
        self,
        hessian: Float[Tensor, 'm m'],
        slope: Float[Tensor, ' m'],
        root: Float[Tensor, 'p 3 3'],
        pull: Float[Tensor, 'p 3'],
        points: slice,
        seen: slice,
    ) -> None:
        frames, lens = len(self._pose), len(self._lens_slope)
        active, local = torch.unique(self._frame[seen], return_inverse=True)
        count = points.stop - points.start
        dense = root.new_zeros(count, 3, 6 * len(active) + lens)
        part = dense[..., : 6 * len(active)].unflatten(-1, (len(active), 6))
        point = self._point[seen]
        part[point - points.start, :, local] = root[point] @ self._pose_point[seen].mT
        dense[..., 6 * len(active) :] = root[points] @ self._lens_point[points].mT
        flat = dense.flatten(0, 1)
        columns = (6 * active.unsqueeze(-1) + torch.arange(6, device=active.device)).flatten()
        tail = torch.arange(6 * frames, 6 * frames + lens, device=active.device)
        columns = torch.cat([columns, tail])
        hessian[columns.unsqueeze(-1), columns] -= flat.T @ flat
        slope[columns] -= flat.T @ pull[points].reshape(-1)

    def _groups(self) -> Iterator[tuple[slice, slice]]:
        """Yield neighbouring points and their observations, about ``_GROUP`` of them a time."""
        total, points = len(self._point), len(self._points)
        begin = first = 0
        while first < points:
            last = points
            if begin + _GROUP < total:
                last = max(int(self._point[begin + _GROUP]), first + 1)
            end = int(torch.searchsorted(self._point, last))
            yield slice(first, last), slice(begin, end)
            first, begin = last, end
