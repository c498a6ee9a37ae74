# SPDX-License-Identifier: Apache-2.0
"""Everything that corresponds in the chosen frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from flowcam_ros.correspondence.features import Features, detect
from flowcam_ros.correspondence.pairs import PairMatches, find_pairs
from flowcam_ros.correspondence.pictures import Pictures
from flowcam_ros.correspondence.registry import make_flow, make_tracks
from flowcam_ros.correspondence.tracks import Tracks, no_tracks, tracks_of_matches
from flowcam_ros.flowmap.refine_config import RefineConfig


@dataclass(frozen=True)
class Correspondences:
    """What corresponds in a recording, in pixels of its tracking pictures.

    Attributes:
        pairs: verified matches of two pictures each, loops among them.
        matched: the points these matches add up to.
        followed: points followed from picture to picture.
    """

    pairs: list[PairMatches]
    matched: Tracks
    followed: Tracks


def find_correspondences(
    pictures: Pictures,
    config: RefineConfig,
    device: torch.device,
    tell: Callable[[str], None],
) -> Correspondences:
    """Match and follow points.

    Args:
        pictures: of the chosen frames.
        config: backends and bounds.
        device: for backends that use torch.
        tell: told each step as it begins, in words; may raise to cancel.
    """
    features: list[Features] = []
    for index in range(len(pictures)):
        tell(f'features of frame {index + 1} of {len(pictures)}')
        features.append(
            detect(pictures.grey(index), pictures.usable(index), config.pairs.features)
        )
    tell('pairs of frames')
    height, width = pictures.grey(0).shape
    pairs = find_pairs(features, (height, width), config.pairs)
    tell('points through the frames')
    tracker = make_tracks(config.tracks, make_flow(config.flow, device), device)
    followed = no_tracks() if tracker is None else tracker.track(pictures)
    return Correspondences(pairs, tracks_of_matches(features, pairs), followed)
