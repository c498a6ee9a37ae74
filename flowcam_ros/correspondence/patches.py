# SPDX-License-Identifier: Apache-2.0
"""Patches of earlier pictures found again in later ones: position, shape and light.

Inverse compositional Lucas-Kanade (Baker and Matthews 2004) of an affine warp, as Shi and Tomasi
(1994) hold the features of late pictures against those of the first. Brightness and contrast are
projected out. All patches are registered together.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

_RADIUS = 7
_SIDE = 2 * _RADIUS + 1
# Gaussian weights fall to a third at the rim.
_WEIGHT_SIGMA = 5.0
# Interpolation between pixels needs pictures without the sharpest detail.
_BLUR_SIGMA = 0.8
_ITERATIONS = 8
_CONVERGED_PX = 0.01
# The shape is held against its last value with this standard deviation of its numbers.
_SHAPE_SIGMA = 0.1
# Noise of the grey values of a blurred picture, at least: rounding, interpolation.
_GREY_NOISE = 1.0
_CONTRAST_RANGE = (0.3, 3.0)

_offset = np.arange(-_RADIUS, _RADIUS + 1, dtype=np.float32)
_X, _Y = (g.ravel() for g in np.meshgrid(_offset, _offset))
_WEIGHT = np.exp(-(_X**2 + _Y**2) / np.float32(2 * _WEIGHT_SIGMA**2)).astype(np.float32)


@dataclass(frozen=True)
class Patches:
    """What is remembered of n points: the picture around each when it was last taken as reference.

    Attributes:
        template: (n, side * side) grey values without their mean, times the root of the weight.
        slope: (n, side * side, 6) how they change with position and shape; light projected out.
    """

    template: Float32[np.ndarray, 'n pixels']
    slope: Float32[np.ndarray, 'n pixels 6']

    def taken(self, kept: np.ndarray) -> Patches:
        """Return some of them, by index or mask."""
        return Patches(self.template[kept], self.slope[kept])

    def joined(self, other: Patches) -> Patches:
        """Return these and others."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Patches(*(np.concatenate(p) for p in pairs))


@dataclass(frozen=True)
class Registered:
    """Where n patches were found.

    Attributes:
        pixel: (n, 2) position of their centres.
        shape: (n, 2, 2) from offsets in the reference to offsets here.
        variance: (n,) of a coordinate, pixels^2, from how well grey values agree.
        likeness: (n,) weighted correlation of the grey values, -1 to 1; -1 where it failed.
    """

    pixel: Float32[np.ndarray, 'n 2']
    shape: Float32[np.ndarray, 'n 2 2']
    variance: Float32[np.ndarray, ' n']
    likeness: Float32[np.ndarray, ' n']


def smoothed(grey: np.ndarray) -> Float32[np.ndarray, 'height width']:
    """Return a grey picture as patches are taken from it and registered in it."""
    result: np.ndarray = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _BLUR_SIGMA)
    return result


def upright(count: int) -> Float32[np.ndarray, 'n 2 2']:
    """Return the shape of patches in their own reference."""
    return np.tile(np.eye(2, dtype=np.float32), (count, 1, 1))


def cut_patches(
    picture: Float32[np.ndarray, 'height width'], pixel: Float32[np.ndarray, 'n 2']
) -> Patches:
    """Return the patches around pixel positions of a smoothed picture."""
    step = np.float32(0.5)
    grey = _sampled(picture, pixel, upright(len(pixel)))
    slope_x, slope_y = (
        _sampled(picture, pixel + d * step, upright(len(pixel)))
        - _sampled(picture, pixel - d * step, upright(len(pixel)))
        for d in np.eye(2, dtype=np.float32)
    )
    root = np.sqrt(_WEIGHT)
    template = (grey - _mean(grey)) * root
    slope = np.stack(
        [slope_x, slope_y, slope_x * _X, slope_x * _Y, slope_y * _X, slope_y * _Y], -1
    )
    slope *= root[:, None]
    light = np.stack([np.broadcast_to(root, template.shape), template], -1)
    length = np.maximum(np.linalg.norm(light, axis=1, keepdims=True), np.float32(1e-6))
    light /= length  # root and template are at right angles, as the mean is weighted
    slope -= light @ (light.transpose(0, 2, 1) @ slope)
    return Patches(template, np.ascontiguousarray(slope))


def register(
    patches: Patches,
    picture: Float32[np.ndarray, 'height width'],
    pixel: Float32[np.ndarray, 'n 2'],
    shape: Float32[np.ndarray, 'n 2 2'],
) -> Registered:
    """Find patches in a smoothed picture.

    Args:
        patches: from :func:`cut_patches`.
        picture: from :func:`smoothed`.
        pixel: guess of their positions, right to a few pixels.
        shape: guess of their shapes.
    """
    pixel, shape = pixel.copy(), shape.copy()
    normal = patches.slope.transpose(0, 2, 1) @ patches.slope
    held = normal + _shape_prior()
    moving = np.arange(len(pixel))
    for _ in range(_ITERATIONS):
        step = _step(patches.taken(moving), held[moving], picture, pixel[moving], shape[moving])
        shape[moving], pixel[moving] = _composed(shape[moving], pixel[moving], step)
        moving = moving[np.abs(step[:, :2]).max(1, initial=0.0) > _CONVERGED_PX]
        if len(moving) == 0:
            break
    return _judged(patches, held, picture, pixel, shape)


def _shape_prior() -> Float32[np.ndarray, '6 6']:
    strength = (_GREY_NOISE / _SHAPE_SIGMA) ** 2
    return np.diag(np.array([0, 0, *(strength,) * 4], np.float32)) + np.eye(6, dtype=np.float32)


def _step(
    patches: Patches,
    normal: Float32[np.ndarray, 'n 6 6'],
    picture: Float32[np.ndarray, 'height width'],
    pixel: Float32[np.ndarray, 'n 2'],
    shape: Float32[np.ndarray, 'n 2 2'],
) -> Float32[np.ndarray, 'n 6']:
    """Return how position and shape of the template differ from what is seen."""
    seen, contrast, _ = _compared(patches, picture, pixel, shape)
    right = (seen[:, None] @ patches.slope)[:, 0] / contrast[:, None]
    step = np.linalg.solve(normal, right[..., None])[..., 0]
    limit = np.array([2.0, 2.0, 0.2, 0.2, 0.2, 0.2], np.float32)
    return np.clip(step, -limit, limit).astype(np.float32)


def _composed(
    shape: Float32[np.ndarray, 'n 2 2'],
    pixel: Float32[np.ndarray, 'n 2'],
    step: Float32[np.ndarray, 'n 6'],
) -> tuple[Float32[np.ndarray, 'n 2 2'], Float32[np.ndarray, 'n 2']]:
    """Return the warp after the inverse of the step."""
    change = upright(len(step)) + step[:, 2:].reshape(-1, 2, 2)
    shape = shape @ np.linalg.inv(change)
    return shape, pixel - (shape @ step[:, :2, None])[..., 0]


def _compared(
    patches: Patches,
    picture: Float32[np.ndarray, 'height width'],
    pixel: Float32[np.ndarray, 'n 2'],
    shape: Float32[np.ndarray, 'n 2 2'],
) -> tuple[Float32[np.ndarray, 'n pixels'], Float32[np.ndarray, ' n'], Float32[np.ndarray, ' n']]:
    """Return the weighted grey values seen, their contrast to the template's, and likeness."""
    grey = _sampled(picture, pixel, shape)
    seen = (grey - _mean(grey)) * np.sqrt(_WEIGHT)
    product = (seen * patches.template).sum(1)
    own = np.maximum((patches.template**2).sum(1), np.float32(1e-6))
    others = np.maximum((seen**2).sum(1), np.float32(1e-6))
    contrast = np.clip(product / own, *_CONTRAST_RANGE).astype(np.float32)
    return seen, contrast, product / np.sqrt(own * others)


def _judged(
    patches: Patches,
    normal: Float32[np.ndarray, 'n 6 6'],
    picture: Float32[np.ndarray, 'height width'],
    pixel: Float32[np.ndarray, 'n 2'],
    shape: Float32[np.ndarray, 'n 2 2'],
) -> Registered:
    seen, contrast, likeness = _compared(patches, picture, pixel, shape)
    rest = seen / contrast[:, None] - patches.template
    noise = (rest**2).sum(1) / _WEIGHT.sum()
    place = np.linalg.inv(normal)[:, :2, :2]
    spread = shape @ place @ shape.transpose(0, 2, 1)
    variance = np.maximum(noise, _GREY_NOISE**2) * 0.5 * (spread[:, 0, 0] + spread[:, 1, 1])
    good = np.isfinite(pixel).all(1) & np.isfinite(variance) & (np.linalg.det(shape) > 0.05)
    return Registered(
        np.where(good[:, None], pixel, -1.0).astype(np.float32),
        shape,
        np.where(good, variance, np.inf).astype(np.float32),
        np.where(good, likeness, -1.0).astype(np.float32),
    )


def _sampled(
    picture: Float32[np.ndarray, 'height width'],
    pixel: Float32[np.ndarray, 'n 2'],
    shape: Float32[np.ndarray, 'n 2 2'],
) -> Float32[np.ndarray, 'n pixels']:
    """Return the picture around each position; the picture's rim goes on outside."""
    if len(pixel) == 0:
        return np.zeros((0, len(_X)), np.float32)
    x = pixel[:, :1] + shape[:, 0, :1] * _X + shape[:, 0, 1:] * _Y
    y = pixel[:, 1:] + shape[:, 1, :1] * _X + shape[:, 1, 1:] * _Y
    result: np.ndarray = cv2.remap(
        picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return result


def _mean(grey: Float32[np.ndarray, 'n pixels']) -> Float32[np.ndarray, 'n 1']:
    return (grey @ _WEIGHT / _WEIGHT.sum())[:, None]


def whole(
    shape: Float32[np.ndarray, 'n 2 2'], least: float, most: float
) -> Bool[np.ndarray, ' n']:
    """Return which shapes neither shrink nor stretch a patch beyond limits."""
    sizes: Float[np.ndarray, 'n 2'] = np.linalg.svd(shape, compute_uv=False)
    result: np.ndarray = (sizes[:, 1] > least) & (sizes[:, 0] < most)
    return result
