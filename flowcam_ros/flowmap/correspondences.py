# SPDX-License-Identifier: Apache-2.0
"""Everything that corresponds in the chosen frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from flowcam_ros.correspondence.cache import (
    Arrays,
    Cache,
    cache_key,
    digest_of_file,
    digest_of_pictures,
)
from flowcam_ros.correspondence.features import Features, detect
from flowcam_ros.correspondence.packing import (
    pack_features,
    pack_pairs,
    pack_tracks,
    unpack_features,
    unpack_pairs,
    unpack_tracks,
)
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
    cache: Cache | None = None,
) -> Correspondences:
    """Match and follow points.

    Args:
        pictures: of the chosen frames.
        config: backends and bounds.
        device: for backends that use torch.
        tell: told each step as it begins, in words; may raise to cancel.
        cache: holds what was found before in the same pictures with the same options; None to
            find everything anew.
    """
    if cache is None:
        features = _features(pictures, config, tell)
        pairs, matched = _matches(pictures, features, config, tell)
        return Correspondences(pairs, matched, _followed(pictures, config, device, tell))
    tell('looking for earlier correspondences')
    digest = digest_of_pictures(pictures)

    def features_kept() -> list[Features]:
        key = cache_key('features', digest, {'features': config.pairs.features})
        return unpack_features(
            cache.result(key, lambda: pack_features(_features(pictures, config, tell)))
        )

    arrays = cache.result(
        cache_key('pairs', digest, asdict(config.pairs)),
        lambda: _pack_matches(*_matches(pictures, features_kept(), config, tell)),
    )
    pairs, matched = unpack_pairs(arrays), unpack_tracks(arrays)
    if config.tracks.backend == 'none':
        return Correspondences(pairs, matched, no_tracks())
    followed = cache.result(
        cache_key('tracks', digest, _track_options(config, device)),
        lambda: pack_tracks(_followed(pictures, config, device, tell)),
    )
    return Correspondences(pairs, matched, unpack_tracks(followed))


def _features(
    pictures: Pictures, config: RefineConfig, tell: Callable[[str], None]
) -> list[Features]:
    features: list[Features] = []
    for index in range(len(pictures)):
        tell(f'features of frame {index + 1} of {len(pictures)}')
        features.append(
            detect(pictures.grey(index), pictures.usable(index), config.pairs.features)
        )
    return features


def _matches(
    pictures: Pictures,
    features: list[Features],
    config: RefineConfig,
    tell: Callable[[str], None],
) -> tuple[list[PairMatches], Tracks]:
    tell('pairs of frames')
    height, width = pictures.grey(0).shape
    pairs = find_pairs(
        features, (height, width), config.pairs, lambda n: tell(f'pair {n} of frames')
    )
    return pairs, tracks_of_matches(features, pairs)


def _followed(
    pictures: Pictures, config: RefineConfig, device: torch.device, tell: Callable[[str], None]
) -> Tracks:
    tell('points through the frames')
    tracker = make_tracks(config.tracks, make_flow(config.flow, device), device)
    return no_tracks() if tracker is None else tracker.track(_Told(pictures, tell))


def _pack_matches(pairs: list[PairMatches], matched: Tracks) -> Arrays:
    return {**pack_pairs(pairs), **pack_tracks(matched)}


def _track_options(config: RefineConfig, device: torch.device) -> dict[str, object]:
    """Return what tracks depend on beside the pictures; of a network, what its weights are."""
    weights = {
        name: digest_of_file(path)
        for name, path in (('flow', config.flow.weights), ('tracks', config.tracks.weights))
        if path
    }
    networks = {'torch': torch.__version__, 'device': device.type} if weights else {}
    options = {'flow': asdict(config.flow), 'tracks': asdict(config.tracks)}
    return {**options, **networks, 'digests': weights}


class _Told:
    """Pictures that tell which of them is read."""

    def __init__(self, pictures: Pictures, tell: Callable[[str], None]) -> None:
        self._pictures = pictures
        self._tell = tell

    def __len__(self) -> int:
        return len(self._pictures)

    def grey(self, index: int) -> UInt8[np.ndarray, 'height width']:
        self._tell(f'points through frame {index + 1} of {len(self)}')
        return self._pictures.grey(index)

    def usable(self, index: int) -> Bool[np.ndarray, 'height width'] | None:
        return self._pictures.usable(index)
