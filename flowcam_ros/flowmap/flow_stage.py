# SPDX-License-Identifier: Apache-2.0
"""FlowMap on the chosen frames: from correspondences to depth, lens and poses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.flowmap.checkpoint import Checkpoints
from flowcam_ros.flowmap.correspondences import Correspondences
from flowcam_ros.flowmap.depth_model import DEPTH_MODELS
from flowcam_ros.flowmap.depth_start import depth_targets
from flowcam_ros.flowmap.divergence import divergence_told
from flowcam_ros.flowmap.edges import EdgeLinks
from flowcam_ros.flowmap.flow_links import flow_links
from flowcam_ros.flowmap.focal_model import FocalModel
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.lens import RADIAL_1, RADIAL_2, Lens
from flowcam_ros.flowmap.lens_search import LensSearch, radial_terms, search_lens, telling_pairs
from flowcam_ros.flowmap.links import LinkSource, MatchLinks, TrackLinks
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.network import MatchWeights
from flowcam_ros.flowmap.online_path import OnlinePath
from flowcam_ros.flowmap.optimize import FlowMapScene, Optimizer
from flowcam_ros.flowmap.pose_models import POSE_MODELS
from flowcam_ros.flowmap.progress import Listener
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.flowmap.two_starts import take_better_side
from flowcam_ros.geometry.camera import CameraModel

_LINKS_PER_EDGE = 256
# Dense flow is computed at four times the sides that the network sees: at twice them its errors
# were measured to be half as large again.
_FLOW_PER_NETWORK_PIXEL = 16
# A calibration is believed to this share while the focal length is softly selected.
_CALIBRATION_SIGMA = 0.03


@dataclass(frozen=True)
class FlowStage:
    """Result of the optimisation.

    Attributes:
        maps: depth of the chosen frames by the model.
        lens: of the tracking pictures.
        poses: (f, 4, 4) world_from_camera, float64.
        reached: (f,) False for frames that correspond to none of the others.
        lens_search: how the lens was found; None if it was given.
        network: weights of the depth network, by name; None without one.
        inverted_loss_ratio: loss of the start turned inside out over that of the one that was
            kept; None where depth was known.
        left_out: windows that are not in it, and why, as sentences.
    """

    maps: Maps
    lens: Lens
    poses: Float[Tensor, 'f 4 4']
    reached: np.ndarray
    lens_search: LensSearch | None
    network: Mapping[str, Tensor] | None = None
    inverted_loss_ratio: float | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class LensStart:
    """What is known of the lens before the optimisation.

    Attributes:
        lens: of the tracking pictures.
        log_sigma: of the logarithm of its focal length; 0 if it is known.
        search: how it was found; None if it was given.
    """

    lens: Lens
    log_sigma: float
    search: LensSearch | None


def start_lens(
    camera: CameraModel,
    found: Correspondences,
    config: RefineConfig,
    tell: Callable[[str], None],
) -> LensStart:
    """Return the calibration as far as it is believed, or what the pictures say.

    Args:
        camera: of the tracking pictures.
        found: what corresponds in them.
        config: says what of the calibration is believed.
        tell: told in words what begins.
    """
    lens = Lens.of_camera(camera)
    if config.intrinsics.mode == 'unknown':
        tell('lens')
        search = search_lens(found.pairs, camera.height, camera.width, config.seed)
        return LensStart(_found_lens(lens, search, camera), search.log_sigma, search)
    log_sigma = _CALIBRATION_SIGMA if config.intrinsics.mode == 'refine' else 0.0
    return LensStart(lens, log_sigma, None)


def optimise_flow(
    start: LensStart,
    store: FrameStore,
    found: Correspondences,
    config: RefineConfig,
    device: torch.device,
    listener: Listener,
    checkpoints: Checkpoints | None = None,
    path: OnlinePath | None = None,
) -> FlowStage:
    """Fit the depth model to what is known of depth, then to all flow.

    Args:
        start: of the lens.
        store: the chosen frames.
        found: what corresponds in them.
        config: all options.
        device: where to compute.
        listener: told what goes on; may raise to cancel.
        checkpoints: where the optimisation is saved as it goes, and goes on from.
        path: by the online estimator, to start from; None starts from two views.

    Raises:
        OutputError: a checkpoint cannot be written, or is damaged.
        ConfigError: a given network cannot be used.
        SequenceError: no pair has parallax, so there is no depth to find; or the path does not
            fit.
        DivergenceError: the optimisation diverged.
    """
    targets = depth_targets(store, found, start.lens, config, path, device, listener.on_note)
    sources = _sources(store, found, config, device, listener)

    def scene_of() -> FlowMapScene:
        return _scene(store, found, config, start, sources, device)

    scene = scene_of()
    workers = config.threads if device.type == 'cpu' else 1
    optimizer = Optimizer(
        scene, config.optimizer, listener.on_step, workers, config.seed, checkpoints
    )
    ratio = None
    with divergence_told():
        for name, known in targets.items():
            optimizer.fit_depth(known, name)
        if 'depth' not in targets:
            ratio = take_better_side(
                scene, scene_of, config.optimizer, listener.on_step, workers, config.seed
            )
        optimizer.fit_flow()
        maps, lens, tree, poses = optimizer.result()
    reached = np.zeros(len(store), bool)
    reached[tree.order] = True
    return FlowStage(
        Maps(maps.log_inverse.cpu(), maps.features.cpu(), maps.width, maps.height),
        Lens(lens.numbers.detach().double().cpu(), lens.aspect),
        poses.double().cpu(),
        reached,
        start.search,
        scene.model.weights(),
        ratio,
    )


def _found_lens(lens: Lens, search: LensSearch, camera: CameraModel) -> Lens:
    reach = 0.5 * float(np.hypot(camera.width, camera.height))
    numbers = lens.with_focal(search.focal).numbers
    numbers[[RADIAL_1, RADIAL_2]] = torch.tensor(
        radial_terms(search.bend, reach, search.focal), dtype=numbers.dtype
    )
    return Lens(numbers, lens.aspect)


def _sources(
    store: FrameStore,
    found: Correspondences,
    config: RefineConfig,
    device: torch.device,
    listener: Listener,
) -> dict[str, tuple[LinkSource, float]]:
    """Return what the losses draw from, with their weights."""
    weights = config.optimizer
    sources: dict[str, tuple[LinkSource, float]] = {
        'match': (MatchLinks(found.pairs, device), weights.match_weight)
    }
    if len(found.followed):
        sources['track'] = (TrackLinks(found.followed, device), weights.track_weight)
    if weights.flow_weight > 0:
        network = store.index.network
        flow = flow_links(
            make_flow(config.flow, device),
            store,
            _FLOW_PER_NETWORK_PIXEL * network.width * network.height,
            config.flow.max_inconsistency,
            device,
            config.seed,
            listener.on_note,
        )
        if len(flow):
            sources['flow'] = (flow, weights.flow_weight)
    return sources


def _scene(
    store: FrameStore,
    found: Correspondences,
    config: RefineConfig,
    start: LensStart,
    sources: dict[str, tuple[LinkSource, float]],
    device: torch.device,
) -> FlowMapScene:
    pictures = torch.from_numpy(np.stack([store.color(k) for k in range(len(store))]))
    edges = EdgeLinks(_by_parallax(found), _LINKS_PER_EDGE, device, config.seed)
    return FlowMapScene(
        DEPTH_MODELS[config.model.depth](config.model, pictures, device),
        MatchWeights().to(device) if _learns_trust(config) else None,
        FocalModel(start.lens, start.log_sigma, device),
        edges,
        POSE_MODELS[config.model.poses](edges, len(store), device),
        sources,
        (store.index.tracking.width, store.index.tracking.height),
    )


def _learns_trust(config: RefineConfig) -> bool:
    # free depth has no features that trust could be taken from
    return config.model.weights and config.model.depth == 'network'


def _by_parallax(found: Correspondences) -> list[PairMatches]:
    telling = telling_pairs(found.pairs)
    ids = {id(p) for p in telling}
    return [*telling, *(p for p in found.pairs if id(p) not in ids)]
