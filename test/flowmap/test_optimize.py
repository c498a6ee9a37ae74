# SPDX-License-Identifier: Apache-2.0
"""The optimisation lowers its loss, keeps its best state, stops, repeats itself, and goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exact_views import HEIGHT, WIDTH, ExactViews, aligned, lens, pose_errors, walk

from flowcam_ros.errors import FlowcamError, OutputError
from flowcam_ros.flowmap.checkpoint import Checkpoints
from flowcam_ros.flowmap.depth_model import DEPTH_MODELS
from flowcam_ros.flowmap.depth_targets import TwoViewTargets
from flowcam_ros.flowmap.descent_parts import BestState
from flowcam_ros.flowmap.divergence import divergence_told
from flowcam_ros.flowmap.edges import EdgeLinks
from flowcam_ros.flowmap.focal_model import FocalModel
from flowcam_ros.flowmap.lens_search import telling_pairs
from flowcam_ros.flowmap.links import MatchLinks, TrackLinks
from flowcam_ros.flowmap.network import MatchWeights
from flowcam_ros.flowmap.optimize import FlowMapScene, Optimizer
from flowcam_ros.flowmap.optimizer_config import OptimizerConfig
from flowcam_ros.flowmap.pose_models import POSE_MODELS
from flowcam_ros.flowmap.refine_config import ModelConfig
from flowcam_ros.flowmap.step_report import StepReport
from flowcam_ros.flowmap.two_view import reconstruct_pairs

CPU = torch.device('cpu')
SHORT = OptimizerConfig(start_steps=40, steps=25, samples=512, start_rate=0.05, rate=0.01)


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(5), lens(300.0))


def scene_of(
    views: ExactViews,
    depth: str = 'explicit',
    focal: float = 300.0,
    log_sigma: float = 0.0,
    poses: str = 'procrustes',
) -> FlowMapScene:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    colors = torch.from_numpy(random.integers(0, 256, (len(views.poses), 32, 64, 3), np.uint8))
    pairs = views.pairs(3)
    edges = EdgeLinks(telling_pairs(pairs), 128, CPU)
    return FlowMapScene(
        DEPTH_MODELS[depth](ModelConfig(), colors, CPU),
        MatchWeights() if depth == 'network' else None,
        FocalModel(views.lens.with_focal(focal), log_sigma, CPU),
        edges,
        POSE_MODELS[poses](edges, len(colors), CPU),
        {
            'match': (MatchLinks(pairs, CPU), 1.0),
            'track': (TrackLinks(views.tracks(views.points(200)), CPU), 0.5),
        },
        (WIDTH, HEIGHT),
    )


def targets_of(views: ExactViews) -> TwoViewTargets:
    return TwoViewTargets(reconstruct_pairs(views.pairs(3), views.lens, WIDTH, 3), CPU)


@pytest.mark.parametrize('how', ['procrustes', 'regressed'])
def test_depth_and_poses_are_found_from_exact_matches(views: ExactViews, how: str) -> None:
    scene, told = scene_of(views, poses=how), list[StepReport]()
    optimizer = Optimizer(scene, SHORT, told.append)
    optimizer.fit_depth(targets_of(views))
    optimizer.fit_flow()
    maps, found, tree, poses = optimizer.result()
    assert sorted(tree.order) == [0, 1, 2, 3, 4] and found.focal == 300.0
    path, factor = aligned(poses.double().numpy(), views.poses)
    away, angle = pose_errors(path, views.poses)
    assert away < 0.05 and angle < 1.0
    pixels = np.random.default_rng(1).uniform((20, 20), (WIDTH - 21, HEIGHT - 21), (200, 2))
    for k in range(5):
        inverse = maps.inverse_depth(torch.full((200,), k), torch.from_numpy(pixels).float())
        ratio = factor / inverse.numpy() / views.depth(k, pixels)
        # free poses converge more slowly (the paper finds the same)
        assert np.median(np.abs(ratio - 1)) < (0.05 if how == 'procrustes' else 0.1)
    stages = [(r.stage, r.step, r.steps) for r in told]
    assert stages[: SHORT.start_steps] == [('depth', k + 1, 40) for k in range(40)]
    assert {s for s, _, _ in stages[SHORT.start_steps :]} == {'flow'}
    flow = [r for r in told if r.stage == 'flow']
    assert set(flow[0].parts) == {'match', 'track'}
    assert flow[0].loss == pytest.approx(sum(flow[0].parts.values()))
    assert flow[-1].loss < flow[0].loss
    assert all(r.focal == 300.0 for r in flow)


def test_a_focal_length_that_is_off_is_drawn_to_the_truth(views: ExactViews) -> None:
    scene = scene_of(views, focal=330.0, log_sigma=0.1)
    optimizer = Optimizer(scene, SHORT, lambda _report: None)
    optimizer.fit_depth(targets_of(views))
    optimizer.fit_flow()
    assert optimizer.result()[1].focal == pytest.approx(300.0, rel=0.05)


def numbers(views: ExactViews, seed: int, workers: int, held: int) -> np.ndarray:
    config = dataclasses.replace(SHORT, start_steps=4, steps=6, chunk=2, held=held)
    scene = scene_of(views, 'network', 320.0, 0.1)
    optimizer = Optimizer(scene, config, lambda _report: None, workers, seed)
    optimizer.fit_depth(targets_of(views))
    optimizer.fit_flow()
    return np.concatenate([p.detach().numpy().ravel() for p in scene.model.parameters()])


def test_the_same_seed_gives_the_same_result(views: ExactViews) -> None:
    one, other = (numbers(views, seed=3, workers=2, held=64) for _ in range(2))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, numbers(views, seed=4, workers=2, held=64))


def test_what_is_held_in_memory_hardly_changes_the_result(views: ExactViews) -> None:
    one, other = (numbers(views, 3, 1, held) for held in (64, 2))
    assert np.abs(one - other).max() < 2e-3


def test_it_ends_early_when_nothing_gets_better(views: ExactViews) -> None:
    config = dataclasses.replace(SHORT, start_steps=60, steps=400, patience=5, rate=1e-6)
    told = list[StepReport]()
    optimizer = Optimizer(scene_of(views), config, told.append)
    optimizer.fit_depth(targets_of(views))
    optimizer.fit_flow()
    assert sum(r.stage == 'flow' for r in told) < 100


def test_the_best_state_is_kept(views: ExactViews, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate that blows everything up after some steps leaves what was reached before."""
    scene = scene_of(views)
    config = dataclasses.replace(SHORT, steps=40, patience=40)
    optimizer = Optimizer(scene, config, lambda _report: None)
    optimizer.fit_depth(targets_of(views))
    path, _ = aligned(optimizer.result()[3].double().numpy(), views.poses)
    before = pose_errors(path, views.poses)[0]

    def rate(adam: torch.optim.Adam, step: int, steps: int) -> None:
        for group in adam.param_groups:
            group['lr'] = 0.01 if step < 20 else 0.5

    monkeypatch.setattr('flowcam_ros.flowmap.optimize._set_rate', rate)
    optimizer.fit_flow()
    path, _ = aligned(optimizer.result()[3].double().numpy(), views.poses)
    assert pose_errors(path, views.poses)[0] < max(before, 0.1)
    assert float(scene.model.parameters()[0].detach().abs().max()) < 5.0


def test_a_listener_may_cancel(views: ExactViews) -> None:
    class Cancelled(Exception):
        pass

    def cancel(report: StepReport) -> None:
        if report.step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        Optimizer(scene_of(views), SHORT, cancel).fit_depth(targets_of(views))


def test_no_steps_at_all_are_allowed(views: ExactViews) -> None:
    config = dataclasses.replace(SHORT, start_steps=0, steps=0)
    optimizer = Optimizer(scene_of(views, focal=310.0, log_sigma=0.1), config, lambda _r: None)
    optimizer.fit_depth(targets_of(views))
    optimizer.fit_flow()
    assert optimizer.result()[3].shape == (5, 4, 4)


class Interrupted(Exception):
    pass


def run_of(
    views: ExactViews, depth: str, folder: Path | None = None, stop: tuple[str, int] | None = None
) -> tuple[list[np.ndarray], list[StepReport]]:
    """Return all numbers of a descent and its reports, in which a stop may come after a step."""
    config = dataclasses.replace(SHORT, start_steps=5, steps=20, chunk=2)
    told: list[StepReport] = []

    def tell(report: StepReport) -> None:
        told.append(report)
        if (report.stage, report.step) == stop:
            raise Interrupted

    checkpoints = None if folder is None else Checkpoints(folder, 3)
    optimizer = Optimizer(scene_of(views, depth, 320.0, 0.1), config, tell, 2, 1, checkpoints)
    optimizer.fit_depth(targets_of(views))
    optimizer.fit_flow()
    maps, found, _, poses = optimizer.result()
    numbers = (maps.log_inverse, maps.features, found.numbers, poses)
    return [n.detach().numpy() for n in numbers], told


# within the first stage and at its end; soft focal length; the step before it is regressed, and
# after; the last step
STOPS = [('depth', 2), ('depth', 5), ('flow', 1), ('flow', 9), ('flow', 12), ('flow', 20)]


@pytest.mark.parametrize('depth', ['network', 'explicit'])
def test_a_descent_that_is_interrupted_again_and_again_comes_to_the_same(
    views: ExactViews, depth: str, tmp_path: Path
) -> None:
    whole, course = run_of(views, depth)
    for stop in STOPS:
        with pytest.raises(Interrupted):
            run_of(views, depth, tmp_path, stop)
    parts, told = run_of(views, depth, tmp_path)
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(one, other)
    assert [repr(r) for r in told] == [repr(r) for r in course], 'who listens hears all of it'
    torch.manual_seed(7)  # once done nothing is drawn any more
    assert all(map(np.array_equal, run_of(views, depth, tmp_path)[0], whole))


def test_a_descent_that_was_killed_goes_on_from_its_last_checkpoint(
    views: ExactViews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = run_of(views, 'network')
    calls, offer = iter(range(100)), BestState.offer

    def break_in(*arguments: Any) -> None:
        if next(calls) == 7:
            raise KeyboardInterrupt  # amid a step, which must not be saved
        offer(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(BestState, 'offer', break_in)
        run_of(views, 'network', tmp_path)
    found = Checkpoints(tmp_path, 3).load('descent')
    assert found is not None and (found.facts['stage'], found.facts['step']) == ('flow', 6)
    assert all(map(np.array_equal, run_of(views, 'network', tmp_path)[0], whole))


def test_a_checkpoint_of_something_else_is_refused(views: ExactViews, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run_of(views, 'explicit', tmp_path, ('flow', 4))
    with pytest.raises(OutputError, match=r'descent\.safetensors: does not fit .* delete it'):
        run_of(views, 'network', tmp_path)


def test_running_away_ends_in_one_clear_line(views: ExactViews) -> None:
    wild = dataclasses.replace(SHORT, start_rate=100.0, rate=100.0)
    optimizer = Optimizer(scene_of(views), wild, lambda _report: None)
    with (
        pytest.raises(FlowcamError, match=r'diverged.*optimizer\.rate') as caught,
        divergence_told(),
    ):
        optimizer.fit_depth(targets_of(views))
        optimizer.fit_flow()
    assert '\n' not in str(caught.value)
