# SPDX-License-Identifier: Apache-2.0
"""A refinement in a thread tells how far it is, shows what it knows, and can be cancelled."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest
from small_refinements import FRAMES, OPTIONS, write_small_bag

from flowcam_ros.flowmap.preview import Preview
from flowcam_ros.flowmap.progress import Listener
from flowcam_ros.runs.refine_config import RefineRunConfig
from flowcam_ros.runs.refine_job import RefineEnd, RefineJob, RefineRequest
from flowcam_ros.sequences.options import SequenceOptions
from flowcam_ros.settings import build

STAGES = ['reading', 'matching', 'optimising', 'adjusting', 'depth', 'placing', 'writing']


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('recorded') / 'bag'
    write_small_bag(folder)
    return folder


class Watched(RefineJob):
    """A job that notes its stages, and cancels itself when one of them begins."""

    def __init__(self, source: Path, output: Path, cancel_at: str = '') -> None:
        config = build(RefineRunConfig, OPTIONS)
        request = RefineRequest(str(source), output, SequenceOptions(), config)
        self.previews: list[Preview] = []
        self.ends: queue.Queue[RefineEnd] = queue.Queue()
        self.stages: list[str] = []
        self._cancel_at = cancel_at
        super().__init__(request, self.previews.append, self.ends.put)

    def on_stage(self, name: str) -> None:
        self.stages.append(name)
        super().on_stage(name)
        if name == self._cancel_at:
            self.cancel()

    def run(self) -> RefineEnd:
        self.start()
        return self.ends.get(timeout=60.0)


def test_it_shows_more_and_more_and_ends_with_an_outcome(bag: Path, tmp_path: Path) -> None:
    job = Watched(bag, tmp_path / 'out')
    assert isinstance(job, Listener)
    end = job.run()
    assert end.error is None and end.outcome is not None
    assert job.stages == STAGES
    chosen = int(end.outcome.refinement.reconstruction.chosen.sum())
    assert [len(p.trajectory) for p in job.previews] == [chosen, chosen, FRAMES]
    for preview in job.previews:
        assert len(preview.positions) == len(preview.colors) > 100
        assert preview.colors.std() > 5
    progress = job.progress()
    assert progress.stage == 'writing' and progress.elapsed_s > 0
    assert progress.loss > 0 and progress.focal_px > 50
    assert (tmp_path / 'out' / 'trajectory.tum').is_file()


@pytest.mark.parametrize('stage', STAGES)
def test_cancelled_at_any_stage_it_leaves_nothing_behind(
    bag: Path, tmp_path: Path, stage: str
) -> None:
    job = Watched(bag, tmp_path / 'out', stage)
    end = job.run()
    assert end.outcome is None and end.error is None
    assert job.stages[-1] == stage
    assert list(tmp_path.iterdir()) == []
    assert job.join(5.0)


def test_what_cannot_be_read_ends_with_one_line(tmp_path: Path) -> None:
    end = Watched(tmp_path / 'none', tmp_path / 'out').run()
    assert str(end.error) == f'{tmp_path / "none"} does not exist'
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_program_is_told_too(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError('two\nlines')

    monkeypatch.setattr('flowcam_ros.runs.refine_job.refine_recording', broken)
    end = Watched(bag, tmp_path / 'out').run()
    assert str(end.error) == 'ValueError: two lines'
