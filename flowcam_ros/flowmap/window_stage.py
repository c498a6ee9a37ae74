# SPDX-License-Identifier: Apache-2.0
"""The optimisation of a recording of any length: as a whole, or in windows that are joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import combinations

import torch

from flowcam_ros.errors import FlowcamError
from flowcam_ros.flowmap.checkpoint import Checkpoints
from flowcam_ros.flowmap.correspondences import Correspondences
from flowcam_ros.flowmap.flow_stage import FlowStage, LensStart, optimise_flow, start_lens
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.joined_windows import joined_flow
from flowcam_ros.flowmap.memory_model import Recording, estimate
from flowcam_ros.flowmap.online_path import OnlinePath
from flowcam_ros.flowmap.progress import Listener
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.flowmap.window_engine import ENGINES
from flowcam_ros.flowmap.window_graph import join
from flowcam_ros.flowmap.window_relation import Relation, relate
from flowcam_ros.flowmap.window_work import WindowJob, WindowResult
from flowcam_ros.flowmap.windows import correspondences_in, windows_of


def optimise_windows(
    store: FrameStore,
    found: Correspondences,
    config: RefineConfig,
    device: torch.device,
    listener: Listener,
    checkpoints: Checkpoints | None = None,
    path: OnlinePath | None = None,
) -> FlowStage:
    """Optimise all frames together if they are few enough, else window by window.

    Args:
        store: the chosen frames.
        found: what corresponds in them.
        config: all options.
        device: where to compute.
        listener: told what goes on; may raise to cancel.
        checkpoints: where the work is saved as it goes, and goes on from.
        path: by the online estimator, to start from; None starts from two views.

    Raises:
        SequenceError: no pair has parallax, so there is no depth to find, or no two windows have
            anything in common.
    """
    start = start_lens(store.index.tracking, found, config, listener.on_note)
    windows = windows_of(len(store), config.windows.frames, config.windows.overlap)
    if len(windows) == 1:
        return optimise_flow(start, store, found, config, device, listener, checkpoints, path)
    jobs = _jobs(windows, store, found, start, config, checkpoints, path)
    network = store.index.network
    longest = Recording(len(windows[0]), network.width * network.height)
    engine = ENGINES[config.windows.engine](estimate(longest, config).optimising)
    outcomes = engine.run(jobs, len(windows), listener)
    good, left_out = [], []
    for frames, outcome in zip(windows, outcomes, strict=True):
        if isinstance(outcome, WindowResult):
            good.append(outcome)
        else:
            left_out.append(f'{_words(frames)} are left out: {outcome}')
    if not good:
        raise next(o for o in outcomes if isinstance(o, FlowcamError))
    listener.on_note('joining windows')
    flow = join_windows(good, len(store), start)
    return dataclasses.replace(flow, left_out=(*left_out, *flow.left_out))


def join_windows(
    windows: Sequence[WindowResult],
    frames: int,
    start: LensStart,
) -> FlowStage:
    """Return what windows came to in one world, with one lens.

    Args:
        windows: at least one.
        frames: of the recording's chosen frames.
        start: how the search for the lens began.
    """
    held = [int(w.held.sum()) for w in windows]
    worlds = join([w.frames for w in windows], held, relations(windows))
    placed = [(w, s) for w, s in zip(windows, worlds, strict=True) if s is not None]
    apart = tuple(
        f'{_words(window.frames)} are left out: they share nothing with the others'
        for window, world in zip(windows, worlds, strict=True)
        if world is None
    )
    return dataclasses.replace(joined_flow(placed, frames, start), left_out=apart)


def relations(windows: Sequence[WindowResult]) -> list[Relation]:
    """Return how windows lie to each other, those that follow each other and those of loops."""
    points = [w.found for w in windows]
    pairs = combinations(range(len(windows)), 2)
    return [r for a, b in pairs if (r := relate(a, b, points)) is not None]


def _jobs(
    windows: Sequence[range],
    store: FrameStore,
    found: Correspondences,
    start: LensStart,
    config: RefineConfig,
    checkpoints: Checkpoints | None,
    path: OnlinePath | None,
) -> Iterator[WindowJob]:
    for place, frames in enumerate(windows):
        part, number = correspondences_in(found, frames)
        kept = None if checkpoints is None else checkpoints.child(f'window_{place}')
        yield WindowJob(frames, store.part(frames), part, number, start, config, kept, path)


def _words(frames: range) -> str:
    return f'chosen frames {frames.start + 1} to {frames.stop}'
