# SPDX-License-Identifier: Apache-2.0
"""Messages of small bags."""

from __future__ import annotations

import numpy as np

MS = 1_000_000
T0 = 1_700_000_000 * 10**9
MILLIMETRES = np.full((48, 64), 1500, np.uint16)


def pictures(ros, topic='/camera/image', count=5, step=33 * MS, shift=0, **options):
    """Return items for a topic of pictures."""
    stamps = [T0 + i * step + shift for i in range(count)]
    return [(topic, ros.image(t, **options), t) for t in stamps]


def infos(ros, topic='/camera/camera_info', count=5, step=33 * MS, **options):
    stamps = [T0 + i * step for i in range(count)]
    return [(topic, ros.info(t, **options), t) for t in stamps]


def by_time(*lists):
    return sorted((item for items in lists for item in items), key=lambda item: item[2])
