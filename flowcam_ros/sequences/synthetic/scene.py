# SPDX-License-Identifier: Apache-2.0
"""The world as arrays, and how its surfaces look from one place.

On the ray (x, y, 1) of a camera a plane has the inverse depth w, linear in the ray; where it is
hit, the picture's coordinates are u = U / w and v = V / w with U and V linear in the ray too. So
three linear functions say everything about a panel in a view, and u, v in [0, 1] is four more
linear inequalities: no clipping, no projection of corners, any lens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from flowcam_ros.sequences.synthetic.atlas import Atlas, build_atlas
from flowcam_ros.sequences.synthetic.lens import Lens
from flowcam_ros.sequences.synthetic.surfaces import Body

# Panels are taken this share larger, lest rounding opens a slit where two of them meet.
SEAM = 1e-5
# Nearer than this nothing is seen, metres.
_NEAR = 1e-3


@dataclass(frozen=True)
class SurfacesInView:
    """The surfaces that may be seen in one view, and at the end of each array one that is not.

    Attributes:
        surface: (n,) their numbers in the scene.
        tests: (n, 5, 3) linear functions of the ray; all are positive where the surface is hit
            (for a ball: may be hit); the first is its inverse depth (for a ball: at most).
        fields: (n, 3, 3) the linear functions w, U, V of a panel.
        is_panel: (n,) else it is a ball.
        ball_centre: (n, 3) and ball_radius: (n,) of balls, in camera axes.
        ball_from_camera: (n, 3, 3) the axes of a ball's map.
    """

    surface: Int[np.ndarray, ' n']
    tests: Float[np.ndarray, 'n 5 3']
    fields: Float[np.ndarray, 'n 3 3']
    is_panel: Bool[np.ndarray, ' n']
    ball_centre: Float[np.ndarray, 'n 3']
    ball_radius: Float[np.ndarray, ' n']
    ball_from_camera: Float[np.ndarray, 'n 3 3']


class Scene:
    """All surfaces of all bodies; the panels first, then the balls.

    Attributes:
        atlas: their pictures, in the same order.
        body: (n,) the body each belongs to.
    """

    def __init__(self, bodies: list[Body]) -> None:
        panels = [(k, panel) for k, body in enumerate(bodies) for panel in body.panels]
        balls = [(k, ball) for k, body in enumerate(bodies) for ball in body.balls]
        self.atlas: Atlas = build_atlas(
            [panel.picture for _, panel in panels] + [ball.picture for _, ball in balls]
        )
        self.body = np.array([k for k, _ in panels + balls])
        self._panels = len(panels)
        self._corner = np.array([panel.corner for _, panel in panels]).reshape(-1, 3)
        self._across = np.array([panel.across for _, panel in panels]).reshape(-1, 3)
        self._down = np.array([panel.down for _, panel in panels]).reshape(-1, 3)
        self._centre = np.array([ball.centre for _, ball in balls]).reshape(-1, 3)
        self._radius = np.array([ball.radius for _, ball in balls])

    def seen_by(
        self, lens: Lens, camera_from_bodies: Float[np.ndarray, 'bodies 4 4']
    ) -> SurfacesInView:
        """Return the surfaces a camera may see when the bodies are where they are."""
        panel_pose = camera_from_bodies[self.body[: self._panels]]
        corner = _moved(panel_pose, self._corner)
        across = _turned(panel_pose, self._across)
        down = _turned(panel_pose, self._down)
        keep = np.flatnonzero(_faces(corner, across, down) & _in_sight(lens, corner, across, down))
        fields = _panel_fields(corner[keep], across[keep], down[keep])
        ball_pose = camera_from_bodies[self.body[self._panels :]]
        centre = _moved(ball_pose, self._centre)
        ahead = np.flatnonzero(
            (centre[:, 2] > _NEAR) & (np.linalg.norm(centre, axis=1) > self._radius)
        )
        return _joined(
            keep,
            self._panels + ahead,
            fields,
            centre[ahead],
            self._radius[ahead],
            np.swapaxes(ball_pose[ahead, :3, :3], 1, 2),
        )


def _moved(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    return _turned(pose, points) + pose[:, :3, 3]


def _turned(pose: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.einsum('nij,nj->ni', pose[:, :3, :3], vectors)


def _faces(corner: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return whether the camera is in front of each panel, by more than rounding."""
    normal = np.cross(across, down)
    distance = (normal * corner).sum(-1) / np.linalg.norm(normal, axis=-1)
    return distance > _NEAR


def _in_sight(lens: Lens, corner: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return False for panels that lie wholly beyond one side of the view."""
    corners = np.stack([corner, corner + across, corner + down, corner + across + down], 1)
    x, y, z = np.moveaxis(corners, -1, 0)
    beyond = [
        z < _NEAR,
        x < lens.low[0] * z,
        x > lens.high[0] * z,
        y < lens.low[1] * z,
        y > lens.high[1] * z,
    ]
    return ~np.any([side.all(1) for side in beyond], axis=0)


def _panel_fields(
    corner: np.ndarray, across: np.ndarray, down: np.ndarray
) -> Float[np.ndarray, 'n 3 3']:
    normal = np.cross(across, down)
    inverse_depth = normal / (normal * corner).sum(-1, keepdims=True)
    area = (normal * normal).sum(-1, keepdims=True)
    along = np.cross(down, normal) / area
    below = np.cross(normal, across) / area
    u = along - (along * corner).sum(-1, keepdims=True) * inverse_depth
    v = below - (below * corner).sum(-1, keepdims=True) * inverse_depth
    return np.stack([inverse_depth, u, v], axis=1)


def _panel_tests(fields: np.ndarray) -> Float[np.ndarray, 'n 5 3']:
    w, u, v = fields[:, 0], fields[:, 1], fields[:, 2]
    edge = SEAM * w
    return np.stack([w, u + edge, w - u + edge, v + edge, w - v + edge], axis=1)


def _ball_tests(centre: np.ndarray, radius: np.ndarray) -> Float[np.ndarray, 'n 5 3']:
    """Return tests of the upright rectangle, in ideal coordinates, round each ball's outline."""
    tests = np.zeros((len(centre), 5, 3))
    nearest = np.maximum(centre[:, 2] - radius, _NEAR)
    tests[:, 0, 2] = 1.0 / nearest
    for axis in (0, 1):
        distance = np.hypot(centre[:, axis], centre[:, 2])
        middle = np.arctan2(centre[:, axis], centre[:, 2])
        spread = np.arcsin(np.minimum(radius / distance, 1.0))
        limit = 0.499 * np.pi
        tests[:, 1 + 2 * axis, axis] = 1.0
        tests[:, 1 + 2 * axis, 2] = -np.tan(np.maximum(middle - spread, -limit))
        tests[:, 2 + 2 * axis, axis] = -1.0
        tests[:, 2 + 2 * axis, 2] = np.tan(np.minimum(middle + spread, limit))
    return tests


def _joined(
    panels: np.ndarray,
    balls: np.ndarray,
    fields: np.ndarray,
    centre: np.ndarray,
    radius: np.ndarray,
    ball_from_camera: np.ndarray,
) -> SurfacesInView:
    """Put panels, balls, and the surface that is never seen, into common arrays."""
    n, m = len(panels), len(balls)
    tests = np.full((n + m + 1, 5, 3), 0.0, np.float32)
    tests[:n] = _panel_tests(fields)
    tests[n : n + m] = _ball_tests(centre, radius)
    tests[-1, :, 2] = -1.0
    all_fields = np.zeros((n + m + 1, 3, 3), np.float32)
    all_fields[:n] = fields
    all_fields[n:, 0, 2] = 1.0
    all_centres = np.zeros((n + m + 1, 3), np.float32)
    all_centres[n : n + m] = centre
    all_radii = np.ones(n + m + 1, np.float32)
    all_radii[n : n + m] = radius
    axes = np.tile(np.eye(3, dtype=np.float32), (n + m + 1, 1, 1))
    axes[n : n + m] = ball_from_camera
    return SurfacesInView(
        np.concatenate([panels, balls, [0]]).astype(np.intp),
        tests,
        all_fields,
        np.arange(n + m + 1) < n,
        all_centres,
        all_radii,
        axes,
    )
