# SPDX-License-Identifier: Apache-2.0
"""``flowcam odometry --debug``: a row for every frame, a picture for those chosen."""

from __future__ import annotations

import csv
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.cli.frame_choice import parse_frames
from flowcam_ros.errors import UsageError

Run = Callable[..., subprocess.CompletedProcess[str]]
Line = Callable[[subprocess.CompletedProcess[str]], str]

FRAMES = 6


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / 'debug.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def test_every_frame_has_a_row_and_each_chosen_one_a_picture(
    flowcam: Run, recording: Path, tmp_path: Path
) -> None:
    plain, seen, debug = (tmp_path / name for name in ('plain', 'seen', 'debug'))
    assert flowcam('odometry', recording, '--output', plain).returncode == 0
    result = flowcam(
        *('odometry', recording, '--output', seen),
        *('--debug', debug, '--debug-frames', '1,4-9'),
    )
    assert result.returncode == 0, result.stderr
    assert (seen / 'trajectory.tum').read_bytes() == (plain / 'trajectory.tum').read_bytes()
    table = rows(debug)
    assert [row['frame'] for row in table] == [str(n) for n in range(FRAMES)]
    drawn = {row['picture'] for row in table if row['picture']}
    assert drawn == {f'frame_{n:06d}.png' for n in (1, 4, 5)}
    assert {path.name for path in debug.iterdir()} == {*drawn, 'debug.csv'}
    picture = cv2.imread(str(debug / 'frame_000001.png'))
    assert picture.shape[1] > 1000 and picture.std() > 20
    assert table[1]['state'] == 'tracking' and float(table[1]['inlier_ratio']) > 0.9
    assert int(table[1]['fitted_to_stamp_ns']) == int(table[0]['stamp_ns'])
    assert not any('nan' in value or 'inf' in value for row in table for value in row.values())


def test_bad_frames_are_found_by_themselves(
    flowcam: Run, make_recording: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_recording(tmp_path / 'wall')
    path = str(folder / 'rgb/0004.png')
    cv2.imwrite(path, cv2.imread(path) * 0 + 80)
    result = flowcam(
        *('odometry', folder, '--output', tmp_path / 'out'),
        *('--debug', tmp_path / 'debug', '--debug-frames', 'bad'),
    )
    assert result.returncode == 0, result.stderr
    table = rows(tmp_path / 'debug')
    assert [row['frame'] for row in table if row['picture']] == ['4']
    assert table[4]['state'] == 'lost' and table[4]['reason']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--debug', 'out/debug'], 'name two folders side by side'),
        (['--debug', '.'], 'name two folders side by side'),
        (['--debug', 'taken'], 'not overwritten'),
        (['--debug', 'debug', '--debug-frames', '9-4'], "'9-4' is no choice of frames"),
        (['--debug', 'debug', '--debug-frames', 'worst'], 'every=5'),
        (['--debug-frames', '3'], '--debug'),
    ],
)
def test_wrong_requests_are_usage_errors(
    flowcam: Run,
    recording: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    error_line: Line,
) -> None:
    (tmp_path / 'taken').mkdir()
    (tmp_path / 'taken' / 'mine.txt').write_text('x')
    result = flowcam('odometry', recording, '--output', 'out', *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in error_line(result)
    assert [p.name for p in tmp_path.iterdir()] == ['taken']
    assert [p.name for p in (tmp_path / 'taken').iterdir()] == ['mine.txt']


def test_a_full_disk_leaves_nothing(
    flowcam: Run, recording: Path, tmp_path: Path, error_line: Line
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    result = flowcam(
        *('odometry', recording, '--output', tmp_path / 'out', '--debug', tmp_path / 'debug'),
        preexec_fn=limit,
    )
    assert result.returncode == 1
    assert 'File too large' in error_line(result)
    assert list(tmp_path.iterdir()) == []


@given(st.sets(st.integers(0, 50), min_size=1))
def test_numbers_and_ranges_choose_exactly_themselves(wanted: set[int]) -> None:
    choice = parse_frames(', '.join(str(n) for n in wanted))
    assert {n for n in range(60) if choice.takes(n, tracked=True)} == wanted
    low, high = min(wanted), max(wanted)
    choice = parse_frames(f'{low}-{high}')
    assert [n for n in range(60) if choice.takes(n, tracked=False)] == [*range(low, high + 1)]


def test_steps_and_bad_frames_add_up() -> None:
    choice = parse_frames('every=20,bad')
    assert [n for n in range(45) if choice.takes(n, tracked=n != 7)] == [0, 7, 20, 40]
    assert parse_frames('all').takes(123, tracked=True)


@pytest.mark.parametrize('text', ['', 'every=0', 'every=', '-3', '3-', '5-4', '1;2', 'some'])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match='is no choice of frames'):
        parse_frames(text)
