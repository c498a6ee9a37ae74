# SPDX-License-Identifier: Apache-2.0
"""A recording in, a reconstruction out: the way of a bag, offline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from flowcam_ros.correspondence.cache import Cache
from flowcam_ros.errors import SequenceError
from flowcam_ros.flowmap.adjusted_tracks import tracks_to_adjust
from flowcam_ros.flowmap.checkpoint import Checkpoints
from flowcam_ros.flowmap.correspondences import Correspondences, find_correspondences
from flowcam_ros.flowmap.dense_stage import dense_maps
from flowcam_ros.flowmap.depth_start import check_start
from flowcam_ros.flowmap.flow_stage import FlowStage
from flowcam_ros.flowmap.frame_choice import choose_frames
from flowcam_ros.flowmap.frame_record import Fate, FrameRecord
from flowcam_ros.flowmap.frame_store import FrameStore, masked_share
from flowcam_ros.flowmap.frame_writer import FrameWriter
from flowcam_ros.flowmap.free_memory import give_memory_back, share_one_heap
from flowcam_ros.flowmap.kept_frames import (
    FRAMES,
    emptied,
    has_all_frames,
    keep_records,
    kept_frames,
)
from flowcam_ros.flowmap.memory_model import Recording
from flowcam_ros.flowmap.memory_plan import MemoryPlan, plan_memory
from flowcam_ros.flowmap.metric_polish import in_metres
from flowcam_ros.flowmap.online_path import OnlinePath, TrackedFrames
from flowcam_ros.flowmap.path_scale import KnownPath
from flowcam_ros.flowmap.placing import PlacedFrame
from flowcam_ros.flowmap.polish import Polished
from flowcam_ros.flowmap.polish_stage import polish_flow, prior_of
from flowcam_ros.flowmap.previews import (
    preview_of_flow,
    preview_of_polished,
    preview_of_result,
)
from flowcam_ros.flowmap.progress import Listener, ToldFrames
from flowcam_ros.flowmap.reconstruction import Reconstruction
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.flowmap.result import assemble, camera_of, placed
from flowcam_ros.flowmap.scale import MetricScale
from flowcam_ros.flowmap.tied_path import placed_by_online_path
from flowcam_ros.flowmap.window_stage import optimise_windows
from flowcam_ros.flowmap.windows import one_of, thinned
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.odometry.device import choose_device, use_threads

_MIN_FRAMES = 2
_USELESS = {
    Fate.DUPLICATE: 'as the one before, for the camera stood still',
    Fate.BETWEEN: 'hardly other than their neighbours',
    Fate.BLURRED: 'blurred',
    Fate.FEATURELESS: 'without anything to follow (dark, blank or covered)',
    Fate.REJECTED: 'not usable',
    Fate.UNORDERED: 'out of order in time',
}


@dataclass(frozen=True)
class Refinement:
    """A reconstruction and how it came about.

    Attributes:
        reconstruction: what is exported.
        records: what became of every frame of the recording.
        placed: how each frame got its pose.
        correspondences: what it rests on.
        flow: result of the optimisation.
        polished: result of the bundle adjustment.
        scale: of the unit, and where it comes from.
        plan: of the memory it was to take.
        masked_share: of the pixels of the chosen frames.
    """

    reconstruction: Reconstruction
    records: list[FrameRecord]
    placed: list[PlacedFrame]
    correspondences: Correspondences
    flow: FlowStage
    polished: Polished
    scale: MetricScale | None
    plan: MemoryPlan
    masked_share: float


class Refiner:
    """Refines recordings with one configuration; knows nothing of ROS or of output files.

    Making one sets torch's own thread count of the process to one, and lets threads share a heap.

    Args:
        config: all options.
        listener: told what goes on; may raise to cancel.
        cache: of correspondences; None finds them anew.
    """

    def __init__(
        self, config: RefineConfig, listener: Listener, cache: Cache | None = None
    ) -> None:
        self._config = config
        self._listener = listener
        self._cache = cache
        self._device = choose_device(config.device)
        use_threads(1)  # frames are worked on side by side instead
        share_one_heap()

    def refine(
        self,
        frames: Iterable[Frame],
        work: Path,
        expected: int | None,
        checkpoints: Checkpoints | None = None,
        known_path: KnownPath | None = None,
        online: OnlinePath | None = None,
    ) -> Refinement:
        """Return the reconstruction of a recording.

        Args:
            frames: can be iterated again: frames left out are placed in a second pass, and some
                may take a third. Their camera is where the search begins if the intrinsics are
                unknown; see ``SequenceOptions.assume_camera``.
            work: a folder for what does not fit in memory; needed as long as the result. What an
                interrupted refinement of the same frames with the same options left in it is used.
            expected: number of frames, if known.
            checkpoints: where the optimisation is saved as it goes, and goes on from.
            known_path: tells the scale where no measured depth does.
            online: path by the online estimator, to start from.

        Raises:
            ConfigError: a network or a start that was asked for cannot be had.
            SequenceError: too few frames can be used, nothing corresponds in them, or no rigid
                scene explains them.
            OutputError: the disk is full.
        """
        config, tell = self._config, self._listener.on_stage
        show = self._listener.on_reconstruction
        torch.manual_seed(config.seed)
        check_start(config, online)
        frames = ToldFrames(frames, self._listener, expected)
        tell('reading')
        seeks = config.model.start == 'online' and online is None
        tracked = TrackedFrames(frames, config) if seeks else None
        store, records = self._choose(tracked or frames, work, expected)
        online = online if tracked is None else tracked.path()
        network = store.index.network
        plan = plan_memory(Recording(len(store), network.width * network.height), config)
        self._listener.on_note(plan.words(len(store)))
        config = plan.config
        tell('matching')
        found = find_correspondences(
            store, config, self._device, self._listener.on_note, self._cache
        )
        give_memory_back()
        if not found.pairs:
            raise SequenceError(
                'no two chosen frames show the same place: nothing to reconstruct; '
                'record with more overlap, or look at the pictures'
            )
        tell('optimising')
        flow = optimise_windows(
            store, found, config, self._device, self._listener, checkpoints, online
        )
        give_memory_back()
        show(preview_of_flow(store, flow))
        tell('adjusting')
        polished, scale = self._adjusted(store, found, flow, plan, known_path)
        show(preview_of_polished(store, polished))
        tell('depth')
        note = self._listener.on_note
        depth = dense_maps(store, flow, polished, scale, config, work / 'depth', note)
        tell('placing')
        poses = placed(frames, store, polished, config.store.max_pixels)
        camera = camera_of(store, polished)
        # only of poses found here it is known which are believed
        path = None if tracked is None else online
        poses = placed_by_online_path(poses, frames, camera, config, path, note)
        source = scale.source if scale is not None and scale.factor is not None else 'none'
        result = assemble(poses, records, store, polished, camera, depth, source)
        show(preview_of_result(result))
        masked = masked_share(store)
        return Refinement(result, records, poses, found, flow, polished, scale, plan, masked)

    def _adjusted(
        self,
        store: FrameStore,
        found: Correspondences,
        flow: FlowStage,
        plan: MemoryPlan,
        known_path: KnownPath | None,
    ) -> tuple[Polished, MetricScale | None]:
        """Adjust poses, lens and points, and bring them to metres where anything tells those."""
        config, on_step = plan.config, self._listener.on_polish
        tracks = thinned(tracks_to_adjust(found, flow.reached)[0], plan.thinned)
        tracks = thinned(tracks, one_of(len(tracks), config.polish.observations))
        prior = prior_of(flow.lens, store.index.tracking, config)
        polished = polish_flow(tracks, flow, prior, config.polish, on_step)
        del tracks
        give_memory_back()
        known_path = known_path if config.scale.odometry else None
        return in_metres(store, polished, known_path, config.polish, on_step)

    def _choose(
        self, frames: Iterable[Frame], work: Path, expected: int | None
    ) -> tuple[FrameStore, list[FrameRecord]]:
        folder = work / FRAMES
        if has_all_frames(work):
            return kept_frames(folder)
        emptied(folder)
        writer = FrameWriter(folder, self._config.store, self._config.depth, expected)
        records = choose_frames(frames, writer, self._config.frames)
        if sum(record.fate is Fate.CHOSEN for record in records) < _MIN_FRAMES:
            raise SequenceError(_too_few(records))
        store = writer.finish()
        keep_records(folder, records)
        return store, records


def _too_few(records: list[FrameRecord]) -> str:
    """Return why there are not enough frames, as a sentence."""
    counts = Counter(record.fate for record in records)
    reasons = [f'{counts[fate]} {why}' for fate, why in _USELESS.items() if counts[fate]]
    problem = next((f' ({r.problem})' for r in records if r.problem), '')
    return (
        f'{counts[Fate.CHOSEN]} of {len(records)} frames can be used, and refining takes at least '
        f'{_MIN_FRAMES} that differ' + (f': {", ".join(reasons)}{problem}' if reasons else '')
    )
