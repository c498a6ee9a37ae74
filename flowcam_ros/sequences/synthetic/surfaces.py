# SPDX-License-Identifier: Apache-2.0
"""What the synthetic world is made of: flat panels and balls that carry pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.sequences.synthetic.paths import Path

Vector = Float[np.ndarray, '3']


@dataclass(frozen=True)
class Panel:
    """A rectangle with a picture on its front.

    Attributes:
        corner: (3,) where the picture's top-left corner is, metres, in the frame of its body.
        across: (3,) from there to the top-right corner.
        down: (3,) from there to the bottom-left corner.
        picture: (h, w, 3) BGR of the material, before light.
        glow: light that it gives off by itself, 0 for none.
    """

    corner: Vector
    across: Vector
    down: Vector
    picture: UInt8[np.ndarray, 'h w 3']
    glow: float = 0.0

    @property
    def normal(self) -> Vector:
        """Unit vector towards whoever sees the front."""
        normal = np.cross(self.down, self.across)
        return normal / np.linalg.norm(normal)


@dataclass(frozen=True)
class Ball:
    """A sphere; its picture is a map of it, longitude across and latitude down.

    Attributes:
        centre: (3,) metres, in the frame of its body.
        radius: metres.
        picture: (h, w, 3) BGR of the material, before light.
        glow: light that it gives off by itself, 0 for none.
    """

    centre: Vector
    radius: float
    picture: UInt8[np.ndarray, 'h w 3']
    glow: float = 0.0


@dataclass(frozen=True)
class Block:
    """A box that casts shadow: rows of ``axes`` are its unit axes, ``half`` its half sizes."""

    centre: Vector
    half: Vector
    axes: Float[np.ndarray, '3 3']


@dataclass
class Body:
    """Things that move together; the body without a path is the room itself."""

    path: Path | None = None
    panels: list[Panel] = field(default_factory=list)
    balls: list[Ball] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def add(self, other: Body) -> None:
        """Take over what ``other`` is made of."""
        self.panels += other.panels
        self.balls += other.balls
        self.blocks += other.blocks
