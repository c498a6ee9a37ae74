# SPDX-License-Identifier: Apache-2.0
"""Each thing that can be wrong with a result is told, with what to do about it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from flowcam_ros.flowmap.evidence import Evidence, Level
from flowcam_ros.flowmap.verdict import judge
from flowcam_ros.flowmap.verdict_words import count, percent, pixels

FINE = Evidence(
    frames_read=100,
    frames_chosen=50,
    picture_width=640,
    residual_median_px=0.5,
    residual_p90_px=1.5,
    weak_frames_share=0.0,
    parallax_deg=5.0,
    focal_sigma_share=0.01,
    behind_share=0.0,
    inverted_loss_ratio=3.0,
    masked_share=0.1,
    pieces=1,
    late_gain=0.001,
    scale_source='depth',
)


def test_a_good_result_is_called_good() -> None:
    verdict = judge(FINE)
    assert verdict.level is Level.GOOD
    assert {finding.level for finding in verdict.findings} == {Level.GOOD}
    assert not any(finding.remedy for finding in verdict.findings)


def test_all_have_a_pose_only_where_it_is_more_than_tracked() -> None:
    told = 'All 100 frames have a pose.'
    assert told in {finding.what for finding in judge(FINE).findings}
    tracked = judge(replace(FINE, frames_tracked=1))
    assert told not in {finding.what for finding in tracked.findings}


@pytest.mark.parametrize(
    ('change', 'level', 'words'),
    [
        ({'frames_without_pose': 3}, Level.WARNING, '3 frames of 100 have no pose'),
        ({'frames_without_pose': 1}, Level.WARNING, '1 frame of 100 has no pose'),
        ({'frames_without_pose': 30}, Level.BAD, '30 frames of 100 have no pose'),
        ({'frames_tracked': 1}, Level.WARNING, '1 frame of 100 has a pose by the online path'),
        ({'frames_tracked': 60}, Level.BAD, '60 frames of 100 have a pose by the online path'),
        ({'frames_chosen': 10}, Level.WARNING, 'Only 10 frames'),
        ({'frames_chosen': 1}, Level.BAD, 'Only 1 frame '),
        ({'frames_blurred': 30}, Level.WARNING, 'blurred'),
        ({'frames_blurred': 70}, Level.BAD, 'blurred'),
        ({'residual_median_px': 1.5}, Level.WARNING, 'residual is 1.50 pixels'),
        ({'residual_median_px': 4.0}, Level.BAD, 'residual is 4.00 pixels'),
        ({'residual_p90_px': 5.0}, Level.WARNING, 'below 5.00 pixels'),
        ({'residual_p90_px': 25.0}, Level.BAD, 'below 25 pixels'),
        ({'residual_median_px': math.nan}, Level.BAD, 'No point is seen'),
        ({'weak_frames_share': 0.1}, Level.WARNING, 'In 10 % of the chosen frames'),
        ({'weak_frames_share': 0.5}, Level.BAD, 'In 50 % of the chosen frames'),
        (
            {'parallax_deg': 1.0},
            Level.WARNING,
            'translation, depth and focal length are uncertain',
        ),
        ({'parallax_deg': 0.1}, Level.BAD, 'translation, depth and focal length are unknown'),
        (
            {'parallax_deg': 0.1, 'focal_known': True},
            Level.BAD,
            'translation and depth are unknown',
        ),
        ({'focal_sigma_share': 0.08}, Level.WARNING, 'known to 8.0 %'),
        ({'focal_sigma_share': 0.5}, Level.BAD, 'known to 50.0 %'),
        ({'behind_share': 0.02}, Level.WARNING, 'behind the camera'),
        ({'behind_share': 0.5}, Level.BAD, 'inside out'),
        ({'inverted_loss_ratio': 1.02}, Level.WARNING, 'hollow-face'),
        ({'masked_share': 0.6}, Level.WARNING, '60 % of the pixels are masked'),
        ({'masked_share': 0.95}, Level.BAD, '95 % of the pixels are masked'),
        ({'pieces': 3}, Level.BAD, '3 pieces'),
        ({'late_gain': 0.04}, Level.WARNING, 'not finished'),
        ({'memory_limited': True}, Level.WARNING, 'memory budget'),
        ({'windows_left_out': ('frames 2 to 9 are left out',)}, Level.WARNING, 'Frames 2 to 9'),
    ],
)
def test_each_fault_is_told(change: dict[str, float], level: Level, words: str) -> None:
    verdict = judge(replace(FINE, **change))
    faults = [f for f in verdict.findings if f.level is not Level.GOOD]
    assert [f.level for f in faults] == [level]
    assert verdict.level is level
    assert words in faults[0].what
    assert faults[0].remedy.endswith('.')


def test_the_worst_comes_first_and_decides() -> None:
    verdict = judge(replace(FINE, late_gain=0.5, pieces=2, scale_source='none'))
    levels = [finding.level for finding in verdict.findings]
    assert levels[:3] == [Level.BAD, Level.WARNING, Level.NOTE]
    assert verdict.level is Level.BAD


def test_an_unknown_scale_is_told_but_no_fault() -> None:
    verdict = judge(replace(FINE, scale_source='none'))
    assert verdict.level is Level.GOOD
    assert verdict.findings[0].level is Level.NOTE
    assert 'up to scale' in verdict.findings[0].what and 'not metres' in verdict.findings[0].what


def test_a_scale_that_could_not_be_told_has_its_reason() -> None:
    problem = 'the known path stays within 0.020 m'
    verdict = judge(replace(FINE, scale_source='none', scale_problem=problem))
    assert problem in verdict.findings[0].what


def test_a_known_scale_is_told_with_its_certainty() -> None:
    verdict = judge(replace(FINE, scale_source='odometry', scale_sigma=0.021))
    told = [finding.what for finding in verdict.findings if 'odometry' in finding.what]
    assert len(told) == 1 and 'metres' in told[0] and '2.1 %' in told[0]


def test_given_intrinsics_are_not_doubted() -> None:
    assert judge(replace(FINE, focal_known=True, focal_sigma_share=0.5)).level is Level.GOOD


def test_what_is_not_known_is_not_judged() -> None:
    verdict = judge(Evidence(frames_read=40, frames_chosen=20))
    assert verdict.level is Level.GOOD
    assert [finding.what for finding in verdict.findings] == ['All 40 frames have a pose.']


def test_residuals_are_judged_against_the_size_of_the_picture() -> None:
    small = replace(FINE, residual_median_px=1.5)
    assert judge(small).level is Level.WARNING
    assert judge(replace(small, picture_width=1920)).level is Level.GOOD


def test_numbers_in_words() -> None:
    assert (count(1, 'frame'), count(0, 'frame')) == ('1 frame', '0 frames')
    assert (percent(0.0), percent(0.001), percent(0.25)) == ('0 %', 'less than 1 %', '25 %')
    assert (percent(0.9999), percent(1.0)) == ('more than 99 %', '100 %')
    assert (percent(0.0123, 1), percent(0.0001, 1)) == ('1.2 %', 'less than 0.1 %')
    assert (pixels(0.456), pixels(45.6)) == ('0.46 pixels', '46 pixels')
