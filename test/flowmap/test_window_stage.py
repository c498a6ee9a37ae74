# SPDX-License-Identifier: Apache-2.0
"""A rendered orbit in windows: joined, closed by its loop, and the same on a cluster."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from flowcam_ros.cli.refine_progress import StageLines
from flowcam_ros.errors import DivergenceError, FlowcamError, SequenceError, UnavailableError
from flowcam_ros.evaluation.metrics import trace_normalised_error
from flowcam_ros.flowmap import window_engine
from flowcam_ros.flowmap.adjusted_tracks import tracks_to_adjust
from flowcam_ros.flowmap.checkpoint import Checkpoints
from flowcam_ros.flowmap.correspondences import Correspondences, find_correspondences
from flowcam_ros.flowmap.flow_stage import FlowStage, optimise_flow, start_lens
from flowcam_ros.flowmap.frame_choice import choose_frames
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.frame_writer import FrameWriter
from flowcam_ros.flowmap.polish_stage import polish_flow, prior_of
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.flowmap.window_engine import LocalEngine, WindowEngine
from flowcam_ros.flowmap.window_stage import optimise_windows, relations
from flowcam_ros.flowmap.window_work import WindowJob, WindowResult, work_on
from flowcam_ros.flowmap.windows import correspondences_in, windows_of
from flowcam_ros.odometry.device import use_threads
from flowcam_ros.sequences import open_sequence
from flowcam_ros.settings import build

CPU = torch.device('cpu')
FRAMES, WINDOW = 30, 12
OPTIONS = {
    'intrinsics.mode': 'known',
    'frames.step': 0.001,
    'store.pixels': 6144,
    'tracks.points': 400,
    'pairs.features': 1000,
    'optimizer.start_steps': 15,
    'optimizer.steps': 10,
    'windows.frames': WINDOW,
    'windows.overlap': 0.3,
    'threads': 1,
    'device': 'cpu',
}
CONFIG = build(RefineConfig, OPTIONS)


class Notes(StageLines):
    """Remembers what is noted, and the steps."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.losses: list[float] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)

    def on_step(self, report: object) -> None:
        self.losses.append(report.loss)


@dataclass(frozen=True)
class Orbit:
    """The frames, what corresponds in them, and where the camera was."""

    store: FrameStore
    found: Correspondences
    truth: np.ndarray

    def windowed(self, config: RefineConfig) -> tuple[FlowStage, Notes]:
        notes = Notes()
        return optimise_windows(self.store, self.found, config, CPU, notes), notes

    def adjusted(self, flow: FlowStage) -> float:
        """Return the normalised error of the path after the last adjustment."""
        tracks, _ = tracks_to_adjust(self.found, flow.reached)
        polished = polish_flow(
            tracks,
            flow,
            prior_of(flow.lens, self.store.index.tracking, CONFIG),
            CONFIG.polish,
            Notes().on_polish,
        )
        assert polished.held.all()
        return trace_normalised_error(polished.poses.numpy()[:, :3, 3], self.truth)


@pytest.fixture(scope='module')
def orbit(tmp_path_factory: pytest.TempPathFactory) -> Orbit:
    """Return once round the table and a little further."""
    use_threads(1)
    world = open_sequence(
        f'synthetic:orbit?frames={FRAMES}&fps=1.7&width=240&height=180&depth=false'
    )
    folder = tmp_path_factory.mktemp('orbit')
    writer = FrameWriter(folder, CONFIG.store, CONFIG.depth, FRAMES)
    choose_frames(world, writer, CONFIG.frames)
    store, truth = writer.finish(), world.ground_truth()
    assert len(store) == FRAMES and truth is not None
    found = find_correspondences(store, CONFIG, CPU, lambda _: None)
    return Orbit(store, found, truth.positions)


@pytest.fixture(scope='module')
def jobs(orbit: Orbit) -> list[WindowJob]:
    start = start_lens(orbit.store.index.tracking, orbit.found, CONFIG, lambda _: None)
    return [
        WindowJob(frames, orbit.store.part(frames), *correspondences_in(orbit.found, frames),
                  start, CONFIG)
        for frames in windows_of(FRAMES, WINDOW, CONFIG.windows.overlap)
    ]  # fmt: skip


@pytest.fixture(scope='module')
def results(jobs: list[WindowJob]) -> list[WindowResult]:
    return [work_on(job, Notes()) for job in jobs]


@pytest.mark.slow
def test_joined_windows_are_about_as_good_as_one(orbit: Orbit) -> None:
    flow, notes = orbit.windowed(CONFIG)
    assert [n for n in notes.notes if n.startswith('window ')] == [
        f'window {k} of 4' for k in (1, 2, 3, 4)
    ]
    assert flow.reached.all()
    # before the last adjustment, as well
    assert trace_normalised_error(flow.poses.numpy()[:, :3, 3], orbit.truth) < 0.01
    whole = dataclasses.replace(CONFIG, windows=dataclasses.replace(CONFIG.windows, frames=FRAMES))
    alone = orbit.adjusted(orbit.windowed(whole)[0])
    assert orbit.adjusted(flow) < max(1.5 * alone, 0.001)


@pytest.mark.slow
def test_a_loop_relates_the_last_window_to_the_first(results: list[WindowResult]) -> None:
    ends = {(r.first, r.second) for r in relations(results)}
    assert ends >= {(0, 1), (1, 2), (2, 3), (0, 3)}
    frames = [r.frames for r in results]
    assert not set(frames[0]) & set(frames[3])


def test_a_recording_that_fits_is_worked_on_as_a_whole(orbit: Orbit) -> None:
    optimizer = dataclasses.replace(CONFIG.optimizer, start_steps=2, steps=2)
    windows = dataclasses.replace(CONFIG.windows, frames=FRAMES)
    config = dataclasses.replace(CONFIG, optimizer=optimizer, windows=windows)
    torch.manual_seed(3)
    found, _ = orbit.windowed(config)
    torch.manual_seed(3)
    start = start_lens(orbit.store.index.tracking, orbit.found, config, lambda _: None)
    direct = optimise_flow(start, orbit.store, orbit.found, config, CPU, Notes())
    assert torch.equal(found.poses, direct.poses)
    assert torch.equal(found.maps.log_inverse, direct.maps.log_inverse)


@pytest.mark.slow
def test_windows_that_are_interrupted_go_on_to_the_same(
    jobs: list[WindowJob], results: list[WindowResult], tmp_path: Path
) -> None:
    class Interrupted(Exception):
        pass

    class Stopped(Notes):
        def on_step(self, report: object) -> None:
            super().on_step(report)
            if len(self.losses) == 43:  # in the second window
                raise Interrupted

    kept = [
        dataclasses.replace(job, checkpoints=Checkpoints(tmp_path, 10).child(f'window_{k}'))
        for k, job in enumerate(jobs[:2])
    ]
    with pytest.raises(Interrupted):
        LocalEngine().run(kept, 2, Stopped())
    resumed = Notes()
    again = LocalEngine().run(kept, 2, resumed)
    assert len(resumed.losses) == 50, 'all steps are told'
    for one, other in zip(results[:2], again, strict=True):
        assert isinstance(other, WindowResult)
        assert np.array_equal(one.log_inverse, other.log_inverse)
        assert np.array_equal(one.poses, other.poses)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ray_gives_what_this_process_gives(
    jobs: list[WindowJob], results: list[WindowResult]
) -> None:
    pytest.importorskip('ray', reason="needs the extra 'ray'")
    from flowcam_ros.flowmap.ray_engine import RayEngine

    engine, notes = RayEngine(500_000_000), Notes()
    assert isinstance(engine, WindowEngine)
    outcomes = engine.run(jobs, len(jobs), notes)
    for one, other in zip(outcomes, results, strict=True):
        assert isinstance(one, WindowResult)
        assert one.frames == other.frames
        assert np.array_equal(one.log_inverse, other.log_inverse)
        assert np.array_equal(one.poses, other.poses)
        assert np.array_equal(one.found.points, other.found.points)
        assert np.array_equal(one.found.number, other.found.number)
    # the steps of all windows, in their order
    local = Notes()
    work_on(jobs[0], local)
    assert notes.losses[: len(local.losses)] == local.losses
    assert len(notes.losses) == len(jobs) * len(local.losses)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_window_that_fails_on_ray_says_why(jobs: list[WindowJob]) -> None:
    pytest.importorskip('ray', reason="needs the extra 'ray'")
    from flowcam_ros.flowmap.ray_engine import RayEngine

    nothing = dataclasses.replace(jobs[0].found, pairs=[])
    blind = dataclasses.replace(jobs[0], found=nothing)
    outcome = RayEngine(500_000_000).run([blind], 1, Notes())[0]
    assert isinstance(outcome, SequenceError)
    assert 'parallax' in str(outcome)


def test_without_ray_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__('sys').modules, 'ray', None)
    with pytest.raises(UnavailableError, match=r'windows\.engine.*pip install'):
        window_engine.ENGINES['ray'](1e9)


def test_a_window_that_fails_does_not_stop_the_others(
    jobs: list[WindowJob], results: list[WindowResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(job: WindowJob, listener: object) -> WindowResult:
        number = [j.frames for j in jobs].index(job.frames)
        if number == 1:
            raise SequenceError('it only turned')
        return results[number]

    monkeypatch.setattr(window_engine, 'work_on', work)
    engine = LocalEngine()
    assert isinstance(engine, WindowEngine)
    one, two, *others = engine.run(jobs, len(jobs), Notes())
    assert one is results[0]
    assert others == results[2:]
    assert isinstance(two, SequenceError)


def test_where_all_windows_fail_the_first_reason_is_told(
    orbit: Orbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(job: WindowJob, listener: object) -> WindowResult:
        raise SequenceError(f'nothing in {job.frames.start}')

    monkeypatch.setattr(window_engine, 'work_on', work)
    with pytest.raises(SequenceError, match='nothing in 0'):
        orbit.windowed(CONFIG)


@pytest.mark.parametrize('reason', [SequenceError('it only turned'), DivergenceError('no end')])
def test_what_a_failed_window_leaves_out_is_told(
    orbit: Orbit,
    results: list[WindowResult],
    monkeypatch: pytest.MonkeyPatch,
    reason: FlowcamError,
) -> None:
    done = iter([*results[:3], reason])

    def work(job: WindowJob, listener: object) -> WindowResult:
        outcome = next(done)
        if isinstance(outcome, FlowcamError):
            raise outcome
        return outcome

    monkeypatch.setattr(window_engine, 'work_on', work)
    flow, _ = orbit.windowed(CONFIG)
    last = results[2].frames.stop
    assert flow.reached[:last].all() and not flow.reached[last:].any()
    assert len(flow.left_out) == 1
    assert flow.left_out[0].endswith(f' to {FRAMES} are left out: {reason}')


def test_the_work_folder_is_read_by_parts(orbit: Orbit, tmp_path: Path) -> None:
    part = orbit.store.part(range(4, 9))
    assert len(part) == 5
    assert (part.stamps_ns == orbit.store.stamps_ns[4:9]).all()
    assert (part.grey(0) == orbit.store.grey(4)).all()
    assert (part.color(4) == orbit.store.color(8)).all()
    assert len(orbit.store) == FRAMES
