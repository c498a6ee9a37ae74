# SPDX-License-Identifier: Apache-2.0
"""``flowcam odometry``: results, losses and every way it can be refused."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowcam_ros.sequences.tum_file import read_trajectory

Run = Callable[..., subprocess.CompletedProcess[str]]
Line = Callable[[subprocess.CompletedProcess[str]], str]
Make = Callable[..., Path]
Words = Callable[..., list[str]]

# What the recording of conftest.py holds.
FRAMES = 6
LAST_X = (FRAMES - 1) * 3 * 2.0 / 150.0


def test_every_frame_gets_a_pose_and_the_report_is_complete(
    flowcam: Run, recording: Path, tmp_path: Path
) -> None:
    output = tmp_path / 'deep' / 'result'
    result = flowcam('odometry', recording, '--output', output)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ''
    assert sorted(p.name for p in output.iterdir()) == ['run.json', 'trajectory.tum']
    trajectory = read_trajectory(output / 'trajectory.tum')
    truth = read_trajectory(recording / 'groundtruth.tum')
    assert trajectory.stamps_ns.tolist() == truth.stamps_ns.tolist()
    assert np.abs(trajectory.positions - truth.positions).max() < 0.005

    report = json.loads((output / 'run.json').read_text())
    assert report['frames'] == FRAMES
    assert report['tracked'] >= FRAMES - 1
    assert sum(report['states'].values()) == FRAMES
    assert report['scale_source'] == 'depth'
    assert report['fps'] >= report['wall_fps'] > 0
    assert 0 < report['frame_ms']['p50'] <= report['frame_ms']['p95'] <= report['frame_ms']['max']
    assert 10 < report['peak_rss_mb'] < 5000
    assert report['losses'] == [] and report['rejected'] == {}
    assert report['config']['depth.source'] == 'auto'
    assert report['input']['path'] == str(recording)
    assert {'flowcam_ros', 'python', 'numpy', 'opencv', 'torch'} <= set(report['versions'])
    assert f'{FRAMES} frames' in result.stdout


def test_two_runs_are_the_same_byte_for_byte(
    flowcam: Run, recording: Path, tmp_path: Path
) -> None:
    for name in ('a', 'b'):
        assert flowcam('odometry', recording, '--output', tmp_path / name).returncode == 0
    first, second = ((tmp_path / name / 'trajectory.tum').read_bytes() for name in ('a', 'b'))
    assert first == second


def test_options_come_from_file_and_command_line(
    flowcam: Run, recording: Path, tmp_path: Path
) -> None:
    parameters = tmp_path / 'parameters.yaml'
    parameters.write_text(
        '/**:\n  ros__parameters:\n    use_sim_time: true\n    base_frame: base_link\n'
        '    flow:\n      preset: ultrafast\n    pose:\n      points: 700\n'
    )
    result = flowcam(
        *('odometry', recording, '--output', tmp_path / 'result'),
        *('--config', parameters, '--set', 'pose.points=600', '--depth', 'sensor'),
    )
    assert result.returncode == 0, result.stderr
    config = json.loads((tmp_path / 'result/run.json').read_text())['config']
    assert config['flow.preset'] == 'ultrafast'
    assert config['pose.points'] == 600
    assert config['depth.source'] == 'sensor'
    assert 'base_frame' not in config


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--set', 'flow.prest=fast'], 'unknown option flow.prest; did you mean flow.preset?'),
        (['--set', 'pose.points=3'], 'pose.points: 3 is outside [50, 20000]'),
        (['--set', 'nonsense'], 'expected key=value'),
        (['--config', '/nowhere/x.yaml'], '/nowhere/x.yaml: cannot be read'),
        (['--depth', 'lidar'], "'--depth'"),
        (['--depth', 'none', '--set', 'depth.source=sensor'], 'contradict'),
        (['--unknown'], '--unknown'),
    ],
)
def test_wrong_options_are_usage_errors(
    flowcam: Run,
    recording: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    error_line: Line,
) -> None:
    result = flowcam('odometry', recording, '--output', tmp_path / 'result', *arguments)
    assert result.returncode == 2
    assert message in error_line(result)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_input_is_named(flowcam: Run, tmp_path: Path, error_line: Line) -> None:
    result = flowcam('odometry', tmp_path / 'nothing', '--output', tmp_path / 'result')
    assert result.returncode == 2
    assert str(tmp_path / 'nothing') in error_line(result)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_result_is_never_overwritten(
    flowcam: Run, recording: Path, tmp_path: Path, error_line: Line
) -> None:
    (tmp_path / 'result').mkdir()
    (tmp_path / 'result' / 'mine.txt').write_text('x')
    result = flowcam('odometry', recording, '--output', tmp_path / 'result')
    assert result.returncode == 2
    assert 'not overwritten' in error_line(result)
    assert [p.name for p in (tmp_path / 'result').iterdir()] == ['mine.txt']


def test_an_unwritable_place_is_a_failure(
    flowcam: Run, recording: Path, tmp_path: Path, error_line: Line
) -> None:
    (tmp_path / 'file').write_text('x')
    result = flowcam('odometry', recording, '--output', tmp_path / 'file' / 'result')
    assert result.returncode == 1
    assert 'cannot be made' in error_line(result)


def test_a_full_disk_leaves_nothing(
    flowcam: Run, recording: Path, tmp_path: Path, error_line: Line
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    result = flowcam('odometry', recording, '--output', tmp_path / 'result', preexec_fn=limit)
    assert result.returncode == 1
    assert 'File too large' in error_line(result)
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_picture_is_a_loss(
    flowcam: Run, tmp_path: Path, make_recording: Make
) -> None:
    folder = make_recording(tmp_path / 'wall')
    (folder / 'rgb/0003.png').write_bytes(b'not a picture')
    result = flowcam('odometry', folder, '--output', tmp_path / 'result')
    assert result.returncode == 3
    assert 'flowcam: warning: ' in result.stderr and 'Traceback' not in result.stderr
    report = json.loads((tmp_path / 'result/run.json').read_text())
    assert report['frames'] == FRAMES - 1
    assert any('0003.png' in loss for loss in report['losses'])


def test_no_depth_at_all_is_told_once(
    flowcam: Run, tmp_path: Path, error_line: Line, make_recording: Make
) -> None:
    folder = make_recording(tmp_path / 'wall')
    lines = (folder / 'times.txt').read_text().splitlines()
    (folder / 'times.txt').write_text('\n'.join(' '.join(x.split()[:2]) for x in lines))
    result = flowcam('odometry', folder, '--output', tmp_path / 'result', '--depth', 'sensor')
    assert result.returncode == 1
    assert 'every frame was rejected' in error_line(result)
    assert not (tmp_path / 'result').exists()


def test_a_truncated_bag_is_salvaged(flowcam: Run, tmp_path: Path, make_recording: Make) -> None:
    bag = tmp_path / 'bag'
    recording = make_recording(tmp_path / 'wall', frames=40)
    assert flowcam('record', recording, '--output', bag).returncode == 0
    whole = next(bag.glob('*.mcap'))
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
    result = flowcam('odometry', cut, '--output', tmp_path / 'result')
    assert result.returncode == 3, result.stderr
    assert 'truncated' in result.stderr and 'Traceback' not in result.stderr
    report = json.loads((tmp_path / 'result/run.json').read_text())
    assert 0 < report['frames'] < 40


@pytest.mark.parametrize('times', [1, 5])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(
    tmp_path: Path, number: int, times: int, make_recording: Make, command: Words
) -> None:
    folder = make_recording(tmp_path / 'wall', frames=100)
    process = subprocess.Popen(
        command('odometry', folder, '--output', tmp_path / 'result'),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # The folder that is being filled shows that the work has begun.
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob('.result.*')) and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.01)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == 'flowcam: interrupted\n'
    assert output == ''
    assert [p.name for p in tmp_path.iterdir()] == ['wall']


def test_progress_is_shown_only_to_people(recording: Path, tmp_path: Path, command: Words) -> None:
    main, terminal = os.openpty()
    with subprocess.Popen(
        command('odometry', recording, '--output', tmp_path / 'result'),
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, 'TERM': 'xterm', 'COLUMNS': '100'},
    ) as process:
        os.close(terminal)
        shown = b''
        while True:
            try:
                piece = os.read(main, 4096)
            except OSError:  # the terminal has no writer left
                break
            if not piece:
                break
            shown += piece
        output = process.stdout.read() if process.stdout else b''
    os.close(main)
    assert process.returncode == 0
    assert b'odometry' in shown
    assert b'\x1b' not in output


def test_a_mask_hides_what_moves(flowcam: Run, recording: Path, tmp_path: Path) -> None:
    mask = np.full((120, 160), 255, np.uint8)
    mask[:, :40] = 0
    cv2.imwrite(str(tmp_path / 'mask.png'), mask)
    result = flowcam(
        *('odometry', recording, '--output', tmp_path / 'result', '--mask', tmp_path / 'mask.png')
    )
    assert result.returncode == 0, result.stderr
    end = read_trajectory(tmp_path / 'result/trajectory.tum').positions[-1]
    assert end[0] == pytest.approx(LAST_X, abs=0.005)


def test_the_video_decoder_keeps_its_own_words(
    flowcam: Run, recording: Path, tmp_path: Path, error_line: Line
) -> None:
    path = tmp_path / 'broken.mp4'
    path.write_bytes(b'\x00\x00\x00\x20ftypisom' + bytes(1000))
    camera = ('--camera', recording / 'calibration.yaml')
    result = flowcam('odometry', path, '--output', tmp_path / 'result', *camera)
    assert result.returncode == 1
    assert 'cannot be opened as a video' in error_line(result)
