# SPDX-License-Identifier: Apache-2.0
"""``flowcam record``: any input becomes a bag that gives the same result."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flowcam_ros.sequences import open_sequence

Run = Callable[..., subprocess.CompletedProcess[str]]
Line = Callable[[subprocess.CompletedProcess[str]], str]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('compressed', [[], ['--compressed']])
def test_a_bag_holds_the_frames_of_the_folder(
    flowcam: Run, recording: Path, tmp_path: Path, storage: str, compressed: list[str]
) -> None:
    bag = tmp_path / 'bag'
    result = flowcam('record', recording, '--output', bag, '--storage', storage, *compressed)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ''
    assert result.stdout.startswith(f'{bag}: 6 frames, 0.17 s: /')
    assert '/camera/camera_info (6)' in result.stdout
    for written, original in zip(open_sequence(bag), open_sequence(recording), strict=True):
        assert written.stamp_ns == original.stamp_ns
        assert np.array_equal(written.image, original.image)
        assert written.depth is not None and original.depth is not None
        assert np.allclose(written.depth.depth, original.depth.depth, atol=1e-3)


def test_a_rendered_sequence_can_be_recorded(flowcam: Run, tmp_path: Path) -> None:
    source = 'synthetic:walk?frames=3&width=64&height=48'
    result = flowcam('record', source, '--output', tmp_path / 'bag')
    assert result.returncode == 0, result.stderr
    assert len(list(open_sequence(tmp_path / 'bag'))) == 3


def test_an_existing_bag_is_kept(
    flowcam: Run, recording: Path, tmp_path: Path, error_line: Line
) -> None:
    (tmp_path / 'bag').write_text('mine')
    result = flowcam('record', recording, '--output', tmp_path / 'bag')
    assert result.returncode == 2
    assert 'not overwritten' in error_line(result)
    assert (tmp_path / 'bag').read_text() == 'mine'


def test_an_unknown_sequence_is_named(flowcam: Run, tmp_path: Path, error_line: Line) -> None:
    result = flowcam('record', 'synthetic:wlk', '--output', tmp_path / 'bag')
    assert result.returncode == 2
    assert 'wlk' in error_line(result)
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_picture_is_a_loss(
    flowcam: Run, tmp_path: Path, make_recording: Callable[..., Path]
) -> None:
    folder = make_recording(tmp_path / 'wall')
    (folder / 'rgb/0002.png').unlink()
    result = flowcam('record', folder, '--output', tmp_path / 'bag')
    assert result.returncode == 3
    assert '0002.png' in result.stderr and 'Traceback' not in result.stderr
    assert len(list(open_sequence(tmp_path / 'bag'))) == 5


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('stamp', ['-1.5', '2147483648'])
def test_a_stamp_that_no_message_can_hold_is_named(
    flowcam: Run,
    tmp_path: Path,
    make_recording: Callable[..., Path],
    storage: str,
    stamp: str,
    error_line: Line,
) -> None:
    folder = make_recording(tmp_path / 'wall', frames=1)
    (folder / 'times.txt').write_text(f'{stamp} rgb/0000.png\n')
    (folder / 'groundtruth.tum').unlink()
    result = flowcam('record', folder, '--output', tmp_path / 'bag', '--storage', storage)
    assert result.returncode == 1
    assert f'stamp {stamp} s: a ROS message holds' in error_line(result)
    assert [p.name for p in tmp_path.iterdir()] == ['wall']


def test_an_existing_empty_folder_and_a_wrong_topic_are_usage_errors(
    flowcam: Run, recording: Path, tmp_path: Path, error_line: Line
) -> None:
    (tmp_path / 'empty').mkdir()
    result = flowcam('record', recording, '--output', tmp_path / 'empty')
    assert result.returncode == 2
    assert 'not overwritten' in error_line(result)
    assert flowcam('record', recording, '--output', tmp_path / 'bag').returncode == 0
    option = '--depth-camera-info-topic'
    result = flowcam('record', tmp_path / 'bag', '--output', tmp_path / 'other', option, '/no')
    assert result.returncode == 2
    assert f'candidates for {option}: ' in error_line(result)
