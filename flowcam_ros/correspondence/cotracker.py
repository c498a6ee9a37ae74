# SPDX-License-Identifier: Apache-2.0
"""CoTracker3 offline (Karaev et al. 2024) from its authors' package, with the user's weights.

Neither the package nor the weights come with this one: both are for non-commercial use
(docs/backends.md). It follows points through windows of pictures, through occlusion too, where it
does not report them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from flowcam_ros.correspondence.config import TrackConfig
from flowcam_ros.correspondence.pictures import Pictures, inside_mask
from flowcam_ros.correspondence.points import select_points, texture_map
from flowcam_ros.correspondence.tracks import Tracks, joined, no_tracks, sorted_tracks
from flowcam_ros.correspondence.weights import check_fit, read_weights
from flowcam_ros.errors import ConfigError, FlowcamError

# The settings of the published weights, and the size of pictures they were trained on.
_MODEL = {'stride': 4, 'corr_radius': 3, 'window_len': 60}
_HEIGHT, _WIDTH = 384, 512
_UPDATES = 6
# Pictures that are looked at together, and how many the next ones have in common with them.
_WINDOW = 48
_OVERLAP = 16
# Points are chosen in so many pictures of a window, and followed so many at a time.
_SEEDED = 3
_TOGETHER = 512
# A point counts as seen where visibility times confidence is above this.
_SEEN = 0.6
# Standard deviation of a coordinate, pixels of the model's size: where points were chosen, and
# where they were followed to.
_CHOSEN_SIGMA = 0.1
_FOLLOWED_SIGMA = 0.75
_ADVICE = 'docs/backends.md says how to make such a file from the published weights'


class CoTrackerTracks:
    """The model ``CoTrackerThreeOffline`` behind the TrackEstimator protocol.

    Memory grows with a window, not with the recording.

    Raises:
        ConfigError: the package is missing or another, there are no weights, or their tensors do
            not fit.
    """

    def __init__(self, config: TrackConfig, device: torch.device) -> None:
        model = _model_class()
        weights = read_weights(config.weights, 'tracks.weights', 'cotracker', _ADVICE)
        network = model(**_MODEL)
        complaint = f'tracks.weights: {config.weights} is not of CoTracker3 offline'
        check_fit(network.state_dict(), weights, complaint)
        network.load_state_dict(weights)
        self._network: Any = network.to(device).eval()
        self._device = device
        self._points = config.points

    def track(self, pictures: Pictures) -> Tracks:
        """See TrackEstimator.

        Raises:
            FlowcamError: the GPU has not enough memory.
        """
        try:
            with torch.inference_mode():
                windows = _windows(len(pictures))
                return joined(*(self._window(pictures, *w) for w in windows))
        except torch.cuda.OutOfMemoryError as error:
            raise FlowcamError(
                'CoTracker: the GPU has not enough memory; choose another track backend'
            ) from error

    def _window(self, pictures: Pictures, first: int, last: int) -> Tracks:
        """Return the points followed through the pictures first to last - 1."""
        greys = [pictures.grey(i) for i in range(first, last)]
        usable = [pictures.usable(i) for i in range(first, last)]
        height, width = greys[0].shape
        video = torch.stack([self._input(g) for g in greys])[None]
        scale = np.array([(_WIDTH - 1) / (width - 1), (_HEIGHT - 1) / (height - 1)], np.float32)
        found = [no_tracks()]
        for at in _seeded(len(greys)):
            seeds = select_points(texture_map(greys[at]), usable[at], self._points // _SEEDED)
            for some in _batches(seeds, _TOGETHER):
                pixel, seen = self._followed(video, at, some * scale)
                pixel /= scale
                pixel[at], seen[at] = some, True
                for index, mask in enumerate(usable):
                    seen[index] &= _inside(pixel[index], height, width, mask)
                found.append(_collected(pixel, seen, at, first, float(1.0 / scale.min())))
        return joined(*found)

    def _followed(
        self, video: Tensor, at: int, seeds: Float32[np.ndarray, 'n 2']
    ) -> tuple[Float32[np.ndarray, 'frames n 2'], Bool[np.ndarray, 'frames n']]:
        """Return where points of one picture are in all, in pixels of the model's size."""
        place = torch.from_numpy(seeds.astype(np.float32)).to(self._device)
        queries = functional.pad(place, (1, 0), value=float(at))[None]
        pixel, visible, sure, *_ = self._network(video, queries, iters=_UPDATES)
        return pixel[0].cpu().numpy().copy(), (visible * sure > _SEEN)[0].cpu().numpy().copy()

    def _input(self, grey: np.ndarray) -> Float32[Tensor, '3 height width']:
        """Return a picture as the model was trained on: three channels from 0 to 255."""
        values = torch.from_numpy(grey).to(self._device, torch.float32)[None, None]
        size = (_HEIGHT, _WIDTH)
        values = functional.interpolate(values, size, mode='bilinear', align_corners=True)
        return values[0].expand(3, -1, -1)


def _windows(count: int) -> Iterator[tuple[int, int]]:
    """Yield first and behind the last of overlapping windows, none without a pair."""
    for first in range(0, max(1, count - _OVERLAP), _WINDOW - _OVERLAP):
        if count - first > 1:
            yield first, min(count, first + _WINDOW)


def _seeded(count: int) -> list[int]:
    return sorted({round((k + 0.5) * count / _SEEDED - 0.5) for k in range(_SEEDED)})


def _batches(seeds: Float32[np.ndarray, 'n 2'], size: int) -> Iterator[Float32[np.ndarray, 'k 2']]:
    """Yield parts of the points, each spread over the whole picture."""
    parts = -(-len(seeds) // size)
    for part in range(parts):
        yield seeds[part::parts]


def _inside(
    pixel: Float32[np.ndarray, 'n 2'],
    height: int,
    width: int,
    mask: Bool[np.ndarray, 'height width'] | None,
) -> Bool[np.ndarray, ' n']:
    if mask is None:
        mask = np.ones((height, width), bool)
    return inside_mask(mask, pixel)


def _collected(
    pixel: Float32[np.ndarray, 'frames n 2'],
    seen: Bool[np.ndarray, 'frames n'],
    at: int,
    first: int,
    size: float,
) -> Tracks:
    """Return the sights as tracks; ``size`` is that of a pixel of the model, in pixels."""
    frame: Int64[np.ndarray, ' m']
    frame, point = np.nonzero(seen)
    sigma = np.where(frame == at, _CHOSEN_SIGMA, _FOLLOWED_SIGMA * size).astype(np.float32)
    return sorted_tracks(point, frame + first, pixel[frame, point], sigma)


def _model_class() -> Any:
    try:
        from cotracker.models.core.cotracker.cotracker3_offline import CoTrackerThreeOffline
    except ImportError as error:
        raise ConfigError(
            f"tracks.backend: 'cotracker' needs the package of its authors ({error}); "
            'docs/backends.md says how to install it'
        ) from error
    return CoTrackerThreeOffline
