# SPDX-License-Identifier: Apache-2.0
"""What the depth model is fitted to before the optimisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Int64

from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.errors import ConfigError, SequenceError
from flowcam_ros.flowmap.correspondences import Correspondences
from flowcam_ros.flowmap.depth_model import start_network
from flowcam_ros.flowmap.depth_prior import DepthPrior, ShapeTargets
from flowcam_ros.flowmap.depth_targets import Targets, TwoViewTargets
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.online_path import OnlinePath
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.flowmap.two_view import (
    TwoViews,
    reconstruct_between,
    reconstruct_pairs,
    views_of_pairs,
)
from flowcam_ros.geometry import se3

_VIEWS_PER_FRAME = 8
# Below this angle between the rays of a match a motion is a mere turn, radians: noise of the
# matches makes a third of it.
_LEAST_ANGLE = float(np.deg2rad(0.5))


def check_start(config: RefineConfig, path: OnlinePath | None) -> None:
    """See before a recording is read whether it can be started from what is asked for.

    Raises:
        ConfigError: it cannot; says why.
    """
    start = config.model.start
    if path is not None and start in ('two_views', 'flat'):
        raise ConfigError(f'model.start: {start} and a path to start from (--odometry) contradict')
    if start == 'online' and path is None and config.intrinsics.mode == 'unknown':
        raise ConfigError(
            'model.start: online needs a calibration; leave it away, or give one and '
            '--intrinsics refine'
        )
    if config.model.start_weights:
        if config.model.depth != 'network':
            raise ConfigError(
                f'model.start_weights: model.depth={config.model.depth} has no network; leave one '
                'of the two away'
            )
        start_network(config.model)
    if config.model.depth_prior:
        DepthPrior(config.model.depth_prior, torch.device('cpu'))


def depth_targets(
    store: FrameStore,
    found: Correspondences,
    lens: Lens,
    config: RefineConfig,
    path: OnlinePath | None,
    device: torch.device,
    tell: Callable[[str], None],
) -> dict[str, Targets]:
    """Return what is known of depth by the name of its stage, in the order of fitting.

    Nothing but a prior, or nothing at all, means that both sides of a flat start are to be tried.

    Args:
        store: the chosen frames.
        found: what corresponds in them.
        lens: of the tracking pictures.
        config: where depth shall come from at the start.
        path: by the online estimator; None without one.
        device: where the targets shall be.
        tell: told in words what begins.

    Raises:
        ConfigError: a given network cannot be used.
        SequenceError: there is no parallax at all, or the path is of another recording.
    """
    targets: dict[str, Targets] = {}
    if config.model.depth_prior:
        targets['prior'] = shape_targets(store, config.model.depth_prior, device, tell)
    if path is not None:
        tell('depth from the path')
        views = views_along(path, store.stamps_ns, found.pairs, lens, _longer_side(store))
        targets['depth'] = TwoViewTargets(views, device, free_scale=False)
        return targets
    tell('depth from two views')
    views = views_of_matches(found.pairs, lens, _longer_side(store))
    if views and config.model.start != 'flat':
        targets['depth'] = TwoViewTargets(views, device)
    return targets


def views_of_matches(pairs: Sequence[PairMatches], lens: Lens, longer_side: int) -> list[TwoViews]:
    """Return the depth of pairs; none where there is parallax, but too little to tell it.

    Args:
        pairs: verified matches.
        lens: of all pictures.
        longer_side: of the pictures, pixels.

    Raises:
        SequenceError: there is no parallax at all.
    """
    views = reconstruct_pairs(pairs, lens, longer_side, _VIEWS_PER_FRAME)
    if not views and not reconstruct_pairs(pairs, lens, longer_side, 1, _LEAST_ANGLE):
        raise SequenceError(
            'no two frames show enough parallax: the camera only turned, or stood still; depth '
            'and path cannot be told from that. Record while moving sideways'
        )
    return views


def views_along(
    path: OnlinePath,
    stamps_ns: Int64[np.ndarray, ' f'],
    pairs: Sequence[PairMatches],
    lens: Lens,
    longer_side: int,
) -> list[TwoViews]:
    """Return the depth of pairs as a path tells it, in a unit in which its median is 1.

    Args:
        path: of the camera.
        stamps_ns: of the pictures.
        pairs: verified matches.
        lens: of all pictures.
        longer_side: of the pictures, pixels.

    Raises:
        SequenceError: the path does not know these frames, or what corresponds in them does not
            fit it.
    """
    poses, known = path.at(stamps_ns)
    if known.sum() < 2:
        raise SequenceError(
            f'the odometry to start from has poses of {int(known.sum())} of {len(known)} chosen '
            'frames: it lost its way, or was made from another recording. Start from two views: '
            '--set model.start=two_views, without --odometry'
        )

    def between(pair: PairMatches) -> TwoViews | None:
        if not (known[pair.first] and known[pair.second]):
            return None
        motion = se3.inverse(poses[pair.second]) @ poses[pair.first]
        return reconstruct_between(pair, lens, longer_side, motion)

    views = views_of_pairs(pairs, _VIEWS_PER_FRAME, between)
    if not views:
        raise SequenceError(
            'what corresponds in the frames does not fit the odometry to start from. Start from '
            'two views: --set model.start=two_views, without --odometry'
        )
    middle = np.median(np.concatenate([view.log_inverse.ravel() for view in views]))
    return [view.shifted(-float(middle)) for view in views]


def shape_targets(
    store: FrameStore, folder: str, device: torch.device, tell: Callable[[str], None]
) -> ShapeTargets:
    """Return the shape of depth of all frames as a given network sees it.

    Raises:
        ConfigError: it cannot be used.
    """
    prior = DepthPrior(folder, device)
    size = (store.index.network.width, store.index.network.height)
    shape = np.zeros((len(store), size[1], size[0]), np.float16)
    usable = np.ones(shape.shape, bool)
    for frame in range(len(store)):
        tell(f'depth by the given network, frame {frame + 1} of {len(store)}')
        answer = prior.inverse_depth(sharp_color(store, frame))
        seen: np.ndarray = cv2.resize(answer, size, interpolation=cv2.INTER_AREA)
        low, high = np.quantile(seen, (0.01, 0.99))
        # what is far out would rule the mean; halves hold four decimals
        shape[frame] = (seen.clip(low, high) - low) / max(high - low, 1e-9)
        mask = store.usable(frame)
        if mask is not None:
            share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            usable[frame] = share > 0.999
    return ShapeTargets(torch.from_numpy(shape).to(device), torch.from_numpy(usable).to(device))


def sharp_color(store: FrameStore, frame: int) -> np.ndarray:
    """Return the tracking picture in colour, the colours being those of the small picture."""
    grey = store.grey(frame)
    size = (grey.shape[1], grey.shape[0])
    color = cv2.resize(store.color(frame), size, interpolation=cv2.INTER_LINEAR)
    parts = cv2.cvtColor(color, cv2.COLOR_RGB2YCrCb)
    parts[..., 0] = grey
    return cv2.cvtColor(parts, cv2.COLOR_YCrCb2RGB)


def _longer_side(store: FrameStore) -> int:
    return max(store.index.tracking.width, store.index.tracking.height)
