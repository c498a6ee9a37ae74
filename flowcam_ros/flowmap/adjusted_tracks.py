# SPDX-License-Identifier: Apache-2.0
"""Which points take part in the bundle adjustment."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64

from flowcam_ros.correspondence.tracks import Tracks, joined
from flowcam_ros.flowmap.correspondences import Correspondences
from flowcam_ros.flowmap.windows import tracks_of

# A frame with so many matched observations stands firm without points that are followed.
_ENOUGH = 200


def tracks_to_adjust(
    found: Correspondences, reached: Bool[np.ndarray, ' f']
) -> tuple[Tracks, Int64[np.ndarray, ' p']]:
    """Return all matched points, and followed ones through frames where few are matched.

    A followed point is seen from a few neighbouring frames only, and its sights err together, as
    they are registered to the same patch: weighted as what they are not, independent, such points
    pull the adjustment towards small errors between neighbours that add up along the way. Matched
    points reach across. Where there are enough of them the adjustment is better, and twice as
    fast, without the others (measured with a drone, a car, a phone, and by hand); where the
    texture is too weak to match, followed points are all there is.

    Args:
        found: what corresponds.
        reached: frames that have a pose to begin with; what others see is left out.

    Returns:
        The tracks, and the number of each of their points among all that are followed, then all
        that are matched.
    """
    followed, matched = found.followed, found.matched
    poor = np.bincount(matched.frame, minlength=len(reached)) < _ENOUGH
    use = np.ones(followed.points + matched.points, bool)
    use[: followed.points] = False
    use[followed.point[poor[followed.frame]]] = True
    tracks = joined(followed, matched)
    return tracks_of(tracks, use[tracks.point] & reached[tracks.frame])
