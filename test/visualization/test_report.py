# SPDX-License-Identifier: Apache-2.0
"""The report page: well-formed, complete in itself, and true to its numbers."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from refined import CAMERA, FlatDepth, walk, wall

from flowcam_ros.errors import OutputError
from flowcam_ros.evaluation.alignment import Similarity
from flowcam_ros.flowmap.evidence import Evidence, Level, Verdict
from flowcam_ros.flowmap.report_data import (
    DepthStrip,
    FocalCurve,
    FrameCounts,
    LoopPair,
    LossCurve,
    RefineReport,
    StageCost,
)
from flowcam_ros.flowmap.track_measures import measure_tracks
from flowcam_ros.flowmap.verdict import judge
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.visualization.report import report_page, write_report

_VOID = {'meta', 'img'}
_FETCHING = re.compile(r'(src|href|srcset|action|data)\s*=\s*["\'](?!data:)', re.IGNORECASE)


class Page(HTMLParser):
    """Reads a page, and objects to elements that are not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ''
        self.attributes: list[dict[str, str | None]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ['style']:
            self.text += data


def full_report() -> RefineReport:
    measures = measure_tracks(wall(frames=12, noise_px=0.7))
    steps = np.arange(0, 100, 10)
    falling = np.exp(-steps / 50.0)
    nothing = np.full(10, np.nan)
    evidence = Evidence(frames_read=14, frames_chosen=12, late_gain=0.1, scale_source='none')
    path = walk(12)
    return RefineReport(
        title='a walk',
        source='walk.mcap',
        verdict=judge(evidence),
        refined=path,
        scale_source='none',
        frames=FrameCounts(read=14, chosen=12, blurred=1, duplicate=1, unplaced=2),
        camera=CAMERA,
        focal_sigma_px=4.0,
        online=Similarity(np.eye(3), np.ones(3), 3.0).apply(path),
        truth=Similarity(np.eye(3), np.ones(3), 0.5).apply(bent(path)),
        losses=(
            LossCurve('fit to odometry', steps, nothing, nothing, falling),
            LossCurve('optimise', steps + 100, falling, nothing, falling),
        ),
        focal=FocalCurve(steps, 500.0 + 20.0 * falling),
        depth=(DepthStrip('000003.png', FlatDepth(12)[3]),),
        residuals=measures.residuals,
        track_lengths=measures.lengths,
        loops=(LoopPair(0, 11, 55),),
        stages=(StageCost('read', 2.5, 200.0), StageCost('optimise', 130.0, 1500.0)),
        memory_budget_mb=4000.0,
        facts=(('torch', '2.13'),),
    )


def bent(path: Trajectory) -> Trajectory:
    poses = path.world_from_camera.copy()
    poses[:, 2, 3] += 0.2 * np.sin(np.arange(len(path)))
    return Trajectory(path.stamps_ns, poses)


def bare(frames: int) -> RefineReport:
    verdict = judge(Evidence(frames_read=frames, frames_chosen=frames))
    counts = FrameCounts(read=frames, chosen=frames)
    return RefineReport('bare', 'x', verdict, walk(frames), 'none', counts)


def test_a_full_page_shows_every_part() -> None:
    page = Page(report_page(full_report()))
    for words in (
        'Usable with care', 'The loss still fell by 10.0 %', 'Refine again with more steps',
        '12 of 14', '0.70 px', '500.0 px', '± 4.0 px', '2 min 12 s', 'peak 1.50 GB',
        'from above', 'from the side', 'refined', 'before refinement', 'truth', 'loop found',
        '000003.png', 'fit to odometry: 1 to 0.165', 'Reprojection residuals', 'Track lengths',
        '1 loop pair found; the surest joins frames 0 and 11 by 55 points',
        'left out as blurred', 'The budget was 4.00 GB', 'plumb_bob', '0.05, -0.02', 'torch',
    ):  # fmt: skip
        assert words in page.text, words
    # two views, losses, focal, residuals twice, track lengths
    assert page.tags.count('svg') == 7


def test_nothing_is_fetched_and_nothing_runs() -> None:
    html = report_page(full_report())
    page = Page(html)
    assert not {'script', 'link', 'iframe', 'object', 'embed', 'base'} & set(page.tags)
    assert not _FETCHING.search(html)
    assert 'http' not in html and '@import' not in html and 'url(' not in html
    assert not any(name.startswith('on') for a in page.attributes for name in a)


def test_words_of_others_are_escaped() -> None:
    evil = '<script>alert("x")</script> & \udcff'
    report = replace(
        full_report(),
        title=evil,
        source=evil,
        facts=((evil, evil),),
        stages=(StageCost(evil, 1.0, 1.0),),
        losses=(replace(full_report().losses[0], stage=evil),),
        depth=(DepthStrip(evil, FlatDepth(1)[0]),),
    )
    html = report_page(report)
    assert '<script' not in html
    page = Page(html)
    assert page.text.count('<script>alert("x")</script> & ') >= 5
    html.encode()  # a name that is no text does not keep the page from being written


@pytest.mark.parametrize('frames', [0, 1, 2])
def test_missing_parts_are_left_out(frames: int) -> None:
    html = report_page(bare(frames))
    page = Page(html)
    assert f'{frames} of {frames}' in page.text
    assert page.tags.count('svg') == (2 if frames else 0)
    for words in ('Loss', 'Depth', 'Focal', 'truth', 'before refinement', 'nan', 'Camera'):
        assert words not in page.text.replace('Path of the camera', '')


def test_parts_that_hold_nothing_are_left_out() -> None:
    none = np.empty(0)
    report = replace(
        bare(3),
        losses=(LossCurve('optimise', none.astype(int), none, none, none),),
        focal=FocalCurve(none.astype(int), none),
    )
    page = Page(report_page(report))
    assert 'Loss' not in page.text and 'Focal' not in page.text


def test_depth_that_is_all_unknown_is_said_to_be() -> None:
    depth = FlatDepth(1)[0]
    zeros = np.zeros_like(depth.inverse_depth)
    unknown = replace(depth, inverse_depth=zeros, variance=np.full_like(zeros, np.inf))
    page = Page(report_page(replace(bare(3), depth=(DepthStrip('dark', unknown),))))
    assert page.text.count('unknown') >= 2


def test_a_path_that_cannot_be_laid_over_the_truth_is_said_to_be() -> None:
    report = replace(bare(2), truth=walk(2), online=walk(2))
    text = Page(report_page(report)).text
    assert 'cannot be laid over the true path' in text
    assert 'start cannot be laid over' in text


def test_the_error_to_the_truth_is_what_was_put_in() -> None:
    path = walk(40)
    poses = path.world_from_camera.copy()
    poses[:, 1, 3] += np.where(np.arange(40) % 2, 0.03, -0.03)
    report = replace(
        bare(40), refined=Trajectory(path.stamps_ns, poses), truth=path, scale_source='depth'
    )
    assert 'Distance to the truth 30.0 mm RMSE' in Page(report_page(report)).text


def test_pictures_are_what_they_were() -> None:
    html = report_page(replace(bare(3), depth=(DepthStrip('wall', FlatDepth(3)[1]),)))
    found = re.findall(r'data:image/(\w+);base64,([\w+/=]+)', html)
    assert [kind for kind, _ in found] == ['jpeg', 'png', 'png', 'png', 'png']
    buffer = np.frombuffer(base64.b64decode(found[0][1]), np.uint8)
    picture = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    assert picture.shape == (60, 80, 3)
    assert np.abs(picture.astype(int) - (10, 40, 200)).max() <= 4
    # sigma of a depth of 4 m with variance 1e-4 of 1/z = 0.25: 0.01 / 0.25
    assert '4 %' in html


@pytest.mark.parametrize('level', [Level.GOOD, Level.WARNING, Level.BAD])
def test_the_verdict_is_seen_at_once(level: Level) -> None:
    html = report_page(replace(bare(3), verdict=Verdict(level, ())))
    assert f'class="verdict {level.value}"' in html


def test_the_page_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / 'report.html'
    write_report(path, full_report())
    assert path.read_text(encoding='utf-8').startswith('<!DOCTYPE html>')
    with pytest.raises(OutputError, match='not overwritten'):
        write_report(path, full_report())
