# SPDX-License-Identifier: Apache-2.0
"""The program around its commands: help, exit codes, and what a user is told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
import yaml
from view_scenes import write_scene

from flowcam_ros import __version__
from flowcam_ros.cli.guard import run_app, separate_ros_arguments
from flowcam_ros.errors import OutputError
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.settings import build, describe, flatten

Run = Callable[..., subprocess.CompletedProcess[str]]
Line = Callable[[subprocess.CompletedProcess[str]], str]
Words = Callable[..., list[str]]

COMMANDS = (
    'odometry', 'evaluate', 'evaluate-views', 'record', 'demo', 'node', 'play', 'config', 'version'
)  # fmt: skip


@pytest.mark.parametrize('name', COMMANDS)
def test_help_of_every_command(name: str, command: Words) -> None:
    result = subprocess.run(
        [*command(name), '--help'], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0
    assert f'flowcam {name}' in result.stdout
    assert result.stderr == ''


@pytest.mark.parametrize('name', COMMANDS)
def test_help_shows_whole_names_in_80_columns(name: str, command: Words) -> None:
    environment = {**os.environ, 'COLUMNS': '80', 'TERMINAL_WIDTH': '80'}
    text = subprocess.run(
        [*command(name), '--help'], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert '…' not in text
    if name in ('odometry', 'record'):
        assert '--depth-camera-info-topic ' in text and '--right-camera-info-topic ' in text
    if name == 'odometry':
        assert 'Example: flowcam odometry ' in text


@pytest.mark.parametrize('seconds', ['-0.1', 'nan', 'soon'])
def test_a_time_difference_that_is_none_is_refused(
    seconds: str, flowcam: Run, error_line: Line, tmp_path: Path
) -> None:
    result = flowcam(
        *('odometry', 'input', '--output', tmp_path / 'out', '--max-time-difference', seconds)
    )
    assert result.returncode == 2
    assert '--max-time-difference' in error_line(result)


def test_help_imports_nothing_heavy() -> None:
    code = (
        'import sys, flowcam_ros.cli.main; '
        "heavy = {'numpy', 'torch', 'cv2', 'scipy', 'matplotlib', 'rclpy', 'rosbags', 'rich'}; "
        'print(heavy & set(sys.modules))'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert result.stdout == 'set()\n'


def test_no_command_shows_the_help(flowcam: Run) -> None:
    result = flowcam()
    assert result.returncode == 2
    assert 'odometry' in result.stdout
    assert result.stderr == ''


def test_unknown_command_is_a_usage_error(flowcam: Run, error_line: Line) -> None:
    result = flowcam('odomtry')
    assert result.returncode == 2
    assert 'odomtry' in error_line(result)


def test_a_missing_argument_names_where_to_look(flowcam: Run, error_line: Line) -> None:
    result = flowcam('odometry')
    assert result.returncode == 2
    assert 'flowcam odometry --help' in error_line(result)


def test_version(flowcam: Run) -> None:
    assert flowcam('version').stdout == f'flowcam_ros {__version__}\n'


def test_config_prints_every_option_and_can_be_read_back(flowcam: Run, tmp_path: Path) -> None:
    printed = flowcam('config', '--set', 'pose.points=999').stdout
    for info in describe(OdometryConfig):
        assert info.help.split()[0] in printed
    config = build(OdometryConfig, yaml.safe_load(printed))
    assert config.pose.points == 999
    assert flatten(config).keys() == flatten(OdometryConfig()).keys()
    (tmp_path / 'a.yaml').write_text(printed)
    again = flowcam('config', '--config', tmp_path / 'a.yaml')
    assert again.stdout == printed


def test_a_reader_that_leaves_is_no_traceback(command: Words) -> None:
    process = subprocess.Popen(
        command('config'), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 1
    assert errors == ''


@pytest.mark.parametrize('words', [('--help',), ('config',)])
def test_output_that_cannot_be_written_is_one_line(
    words: tuple[str, ...], command: Words, error_line: Line
) -> None:
    with open('/dev/full', 'w') as full:
        result = subprocess.run(
            command(*words), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 1
    assert 'standard output cannot be written (No space left on device)' in error_line(result)


@pytest.mark.parametrize('words', ['odometry /none --output x', 'evaluate /none /none'])
def test_closed_streams_change_nothing(words: str, command: Words) -> None:
    line = ' '.join(command(*words.split()))
    for closed in ('<&- >&-', '<&- >&- 2>&-'):
        result = subprocess.run(['sh', '-c', f'{line} {closed}'], capture_output=True, check=False)
        assert result.returncode == 2


@pytest.mark.parametrize(
    'words',
    [
        ('play', 'bag', '--rate'),
        ('play', 'bag', '--start'),
        ('evaluate', 'a', 'b', '--max-difference'),
    ],
)
@pytest.mark.parametrize('number', ['nan', 'inf', '1e300'])
def test_no_number_is_a_usage_error(
    words: tuple[str, ...], number: str, flowcam: Run, error_line: Line
) -> None:
    result = flowcam(*words, number)
    assert result.returncode == 2
    assert words[-1] in error_line(result)


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Give pytest its signal handlers back after a program ran in its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def program(error: BaseException) -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    return app


@pytest.mark.usefixtures('own_signals')
def test_an_unexpected_error_is_one_line_and_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(program(ZeroDivisionError('by\nzero')), [], 'flowcam') == 1
    message = capsys.readouterr().err
    match = re.fullmatch(
        r'flowcam: error: unexpected ZeroDivisionError: by zero '
        r'\(details in (.*\.log); please report it\)\n',
        message,
    )
    assert match is not None, message
    log = Path(match[1])
    assert 'Traceback' in log.read_text()
    log.unlink()


@pytest.mark.usefixtures('own_signals')
def test_expected_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(program(OutputError('a\nb')), [], 'flowcam') == 1
    assert capsys.readouterr().err == 'flowcam: error: a b\n'


@pytest.mark.usefixtures('own_signals')
@pytest.mark.parametrize(
    ('error', 'code', 'message'),
    [
        (KeyboardInterrupt(), 130, 'flowcam: interrupted\n'),
        (MemoryError(), 1, 'flowcam: error: out of memory; use smaller images\n'),
        (SystemExit(7), 7, ''),
    ],
)
def test_other_ends(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, message: str
) -> None:
    assert run_app(program(error), [], 'flowcam') == code
    assert capsys.readouterr().err == message


def test_ros_arguments_are_left_alone() -> None:
    words = ['node', 'odometry', '--ros-args', '-r', 'a:=b']
    assert separate_ros_arguments(words) == [*words[:2], '--', *words[2:]]
    assert separate_ros_arguments(['x', '--', '--ros-args']) == ['x', '--', '--ros-args']
    assert separate_ros_arguments(['x']) == ['x']


def test_an_unknown_node_lists_the_known(flowcam: Run, error_line: Line) -> None:
    result = flowcam('node', 'camera')
    assert result.returncode == 2
    assert 'known: odometry' in error_line(result)


@pytest.mark.parametrize('words', [('node', 'odometry'), ('play', 'bag'), ('demo',)])
def test_without_ros_one_line_says_what_to_do(
    words: tuple[str, ...], tmp_path: Path, error_line: Line
) -> None:
    code = (
        'import sys; '
        "sys.modules['rclpy'] = None; "
        'from flowcam_ros.cli.main import main; '
        'sys.exit(main(sys.argv[1:]))'
    )
    result = subprocess.run(
        [sys.executable, '-c', code, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert result.returncode == 1
    assert 'has no rclpy: source a ROS 2 installation' in error_line(result)
    assert list(tmp_path.iterdir()) == []


def test_evaluate_prints_json(
    flowcam: Run, recording: Path, tmp_path: Path, error_line: Line
) -> None:
    truth = recording / 'groundtruth.tum'
    plot = tmp_path / 'plot.png'
    result = flowcam('evaluate', truth, recording, '--align', 'sim3', '--plot', plot)
    assert result.returncode == 0, result.stderr
    values = json.loads(result.stdout)
    assert values['ate_rmse'] < 1e-9
    assert values['scale'] == pytest.approx(1.0)
    assert values['matched'] == values['poses'] == 6
    assert values['coverage'] == 1.0
    assert values['rpe']['translation']['rmse'] < 1e-9
    assert values['ate_trace_normalised'] < 1e-9
    assert values['focal'] is None and values['depth'] is None
    assert plot.read_bytes().startswith(b'\x89PNG')
    again = flowcam('evaluate', truth, truth, '--plot', plot)
    assert again.returncode == 2
    assert 'not overwritten' in error_line(again)


def test_evaluate_looks_at_camera_and_depth_of_a_refined_folder(
    flowcam: Run, recording: Path, tmp_path: Path, error_line: Line
) -> None:
    (tmp_path / 'depth').mkdir()
    (tmp_path / 'trajectory.tum').write_bytes((recording / 'groundtruth.tum').read_bytes())
    camera = {'width': 160, 'height': 120, 'fx': 153.0, 'fy': 153.0, 'cx': 80.0, 'cy': 60.0}
    (tmp_path / 'run.json').write_text(json.dumps({'scale_source': 'none', 'camera': camera}))
    matrix = np.array([[76.5, 0, 39.75], [0, 76.5, 29.75], [0, 0, 1]])
    values = {
        'inverse_depth': np.full((60, 80), 1 / 3.0, np.float32),  # the wall is at 2 m
        'variance': np.full((60, 80), 1e-4, np.float32),
        'K': matrix,
        'stamp_ns': np.int64(100_000_000_000),
    }
    np.savez(tmp_path / 'depth' / '0000.npz', **values)
    result = flowcam('evaluate', tmp_path, recording)
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed['focal']['error_percent'] == pytest.approx(2.0)
    assert printed['depth']['scale'] == pytest.approx(2 / 3)
    assert printed['depth']['abs_rel'] == pytest.approx(0.0, abs=1e-6)
    assert printed['depth']['coverage'] == 1.0
    (tmp_path / 'depth' / '0000.npz').write_bytes(b'')
    broken = flowcam('evaluate', tmp_path, recording)
    assert broken.returncode == 1
    assert '0000.npz: not a depth map' in error_line(broken)


@pytest.mark.parametrize(
    ('content', 'code', 'message'),
    [
        ('1 2 3', 1, 'line 1: 3 columns'),
        ('', 1, 'no pose'),
        ('5 0 0 0 0 0 0 1\n', 1, 'no stamps match within 0.02 s'),
        ('100 0 0 0 0 0 0 1\n', 1, 'at least 3'),
    ],
)
def test_trajectories_that_cannot_be_compared(
    flowcam: Run,
    recording: Path,
    tmp_path: Path,
    content: str,
    code: int,
    message: str,
    error_line: Line,
) -> None:
    path = tmp_path / 'a.tum'
    path.write_text(content)
    result = flowcam('evaluate', path, recording / 'groundtruth.tum')
    assert result.returncode == code
    assert message in error_line(result)


def test_evaluate_wants_a_known_truth(
    flowcam: Run, recording: Path, tmp_path: Path, error_line: Line
) -> None:
    missing = flowcam('evaluate', tmp_path / 'no.tum', recording / 'groundtruth.tum')
    assert missing.returncode == 2
    assert 'no.tum does not exist' in error_line(missing)
    wrong = flowcam('evaluate', recording / 'groundtruth.tum', tmp_path / 'nothing')
    assert wrong.returncode == 2


def test_evaluate_views_says_what_it_needs(flowcam: Run, tmp_path: Path, error_line: Line) -> None:
    wrong = flowcam('evaluate-views', tmp_path)
    assert wrong.returncode == 2
    assert 'no sparse/0 in it' in error_line(wrong)
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    blind = flowcam('evaluate-views', write_scene(tmp_path / 'scene'))
    assert blind.returncode == 1
    assert 'needs an NVIDIA GPU with CUDA' in error_line(blind)
    assert "pip install 'flowcam_ros[views]'" in error_line(blind)
