# SPDX-License-Identifier: Apache-2.0
"""What the name of an image topic says."""

from __future__ import annotations

_TRANSPORTS = ('/compressedDepth', '/compressed')


def base_name(topic: str) -> str:
    """Return the name of an image topic without the suffix of its transport."""
    for suffix in _TRANSPORTS:
        if topic.endswith(suffix):
            return topic[: -len(suffix)]
    return topic


def is_rectified(topic: str) -> bool:
    """Whether the name says that the pictures are rectified, as image_proc names them."""
    words = base_name(topic).rpartition('/')[2].split('_')
    return any(word in ('rect', 'rectified') for word in words)
