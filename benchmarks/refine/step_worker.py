# SPDX-License-Identifier: Apache-2.0
"""Measures steps of the optimisation in a process of its own, and prints them as JSON.

``python -m benchmarks.refine.step_worker DEPTH STEPS [KEY=VALUE...]``. Frames of the synthetic
world go the way that ``flowcam refine`` takes up to the optimisation, which then makes some steps.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.process import take_standard_output
from benchmarks.refine.steps import FRAMES, HEIGHT, WARM_UP, WIDTH
from flowcam_ros.errors import FlowcamError
from flowcam_ros.export.json_file import plain
from flowcam_ros.flowmap.correspondences import find_correspondences
from flowcam_ros.flowmap.flow_stage import optimise_flow, start_lens
from flowcam_ros.flowmap.frame_choice import choose_frames
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.frame_writer import FrameWriter
from flowcam_ros.flowmap.preview import Preview
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.flowmap.step_report import StepReport
from flowcam_ros.memory import peak_memory_mb
from flowcam_ros.odometry.device import choose_device, use_threads
from flowcam_ros.sequences.synthetic import parse_synthetic
from flowcam_ros.settings import build, parse_assignments


def main() -> int:
    """Measure; return the exit code."""
    depth, steps, *settings = sys.argv[1:]
    out = take_standard_output()
    use_threads(1)
    try:
        with TemporaryDirectory(prefix='refine_step_') as folder:
            costs = measure(Path(folder), step_config(depth, int(steps), settings))
    except FlowcamError as error:
        print(f'{error}', file=sys.stderr)
        return 1
    with out:
        json.dump(plain({'costs': costs, 'peak_mb': peak_memory_mb()}), out, allow_nan=False)
    return 0


@dataclass(frozen=True)
class StepCost:
    """What a step took.

    Attributes:
        stage: which kind of steps.
        steps: how many were measured.
        cpu_s: median processor time of all threads.
        wall_s: median time.
    """

    stage: str
    steps: int
    cpu_s: float
    wall_s: float


class StepMeter:
    """A listener that notes the times of the steps."""

    def __init__(self) -> None:
        self._at = time.process_time(), time.perf_counter()
        self._took: dict[str, list[tuple[float, float]]] = {}

    def on_stage(self, name: str) -> None:
        """See Listener."""

    def on_note(self, text: str) -> None:
        """See Listener."""

    def on_frame(self, number: int, expected: int | None) -> None:
        """See Listener."""

    def on_step(self, report: StepReport) -> None:
        """See Listener."""
        cpu, wall = time.process_time(), time.perf_counter()
        took = cpu - self._at[0], wall - self._at[1]
        self._took.setdefault(_kind(report), []).append(took)
        self._at = cpu, wall

    def on_polish(self, part: str, step: int, scale: float, focal: float) -> None:
        """See Listener."""

    def on_reconstruction(self, preview: Preview) -> None:
        """See Listener."""

    def costs(self) -> list[StepCost]:
        """Return the medians of each kind of steps, without the first ones."""
        found = []
        for stage, took in self._took.items():
            kept = took[WARM_UP:]
            cpu, wall = (statistics.median(column) for column in zip(*kept, strict=True))
            found.append(StepCost(stage, len(kept), cpu, wall))
        return found


def _kind(report: StepReport) -> str:
    if report.stage == 'depth':
        return 'fit to two views'
    soft = report.step < report.steps // 2
    return 'flow, focal length softly selected' if soft else 'flow, focal length free'


def step_config(depth: str, steps: int, settings: Sequence[str]) -> RefineConfig:
    """Return the options of a run of so many steps of each stage.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    own = {
        'model.depth': depth,
        'intrinsics.mode': 'unknown',
        'frames.step': 0.001,
        'store.pixels': WIDTH * HEIGHT,
        'optimizer.start_steps': steps,
        'optimizer.steps': steps,
        'optimizer.patience': steps,
    }
    return build(RefineConfig, own | parse_assignments(settings))


def measure(folder: Path, config: RefineConfig) -> list[StepCost]:
    """Find what corresponds, optimise, and return what the steps took.

    Raises:
        FlowcamError: not all frames are kept, or not at the size that is asked for.
    """
    torch.manual_seed(config.seed)
    store = prepare(folder, config)
    meter, device = StepMeter(), choose_device(config.device)
    found = find_correspondences(store, config, device, meter.on_note)
    start = start_lens(store.index.tracking, found, config, meter.on_note)
    optimise_flow(start, store, found, config, device, meter)
    return meter.costs()


def prepare(folder: Path, config: RefineConfig) -> FrameStore:
    """Render the frames and keep all of them in a folder; raises as :func:`measure`."""
    frames = parse_synthetic(
        f'synthetic:walk?frames={FRAMES}&fps=6&width={WIDTH}&height={HEIGHT}&depth=false'
    )
    writer = FrameWriter(folder, config.store, config.depth, FRAMES)
    choose_frames(frames, writer, config.frames)
    store = writer.finish()
    network = store.index.network
    if (len(store), network.width, network.height) != (FRAMES, WIDTH, HEIGHT):
        raise FlowcamError(
            f'{len(store)} frames of {network.width}x{network.height} are worked on instead of '
            f'{FRAMES} of {WIDTH}x{HEIGHT}: leave frames.step and store.pixels alone'
        )
    return store


if __name__ == '__main__':
    sys.exit(main())
