# SPDX-License-Identifier: Apache-2.0
"""``flowcam refine``: what a user gets, and every way it can be refused."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from flowcam_ros.cli.main import main
from flowcam_ros.cli.refine_settings import resolve_refine_config
from flowcam_ros.errors import UsageError
from flowcam_ros.sequences import open_sequence
from flowcam_ros.sequences.record import record_bag
from flowcam_ros.sequences.tum_file import read_trajectory

Run = Callable[..., subprocess.CompletedProcess[str]]
Refuse = Callable[..., str]

FRAMES = 8
SHORT = [
    f'--set={option}'
    for option in (
        'store.pixels=5000',
        'optimizer.start_steps=5',
        'optimizer.steps=5',
        'dense.pixels=2000',
        'threads=1',
    )
]


@pytest.fixture(scope='module')
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of rendered pictures, and nothing that says by what camera."""
    folder = tmp_path_factory.mktemp('pictures') / 'table'
    (folder / 'rgb').mkdir(parents=True)
    world = open_sequence(f'synthetic:orbit?frames={FRAMES}&fps=4&width=200&height=150')
    for k, frame in enumerate(world):
        cv2.imwrite(str(folder / f'rgb/{k}.png'), frame.image)
    write_times(folder, FRAMES)
    return folder


def write_times(folder: Path, frames: int) -> None:
    lines = [f'{k * 0.25:.6f} rgb/{k}.png' for k in range(frames)]
    (folder / 'times.txt').write_text('\n'.join(lines) + '\n')


@pytest.fixture
def refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Refuse:
    """Return a function that refines in vain and gives the one line that says why."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr('signal.signal', lambda *_: None)

    def run(source: object, *arguments: str, code: int = 1) -> str:
        output = tmp_path / 'result'
        before = sorted(tmp_path.iterdir())
        words = ['refine', str(source), '--output', str(output), *SHORT, *arguments]
        assert main(words) == code
        told = capsys.readouterr()
        assert told.out == ''
        lines = [x for x in told.err.splitlines() if x.startswith('flowcam: error: ')]
        assert len(lines) == 1, told.err
        stages = {f'flowcam: {s}' for s in ('reading', 'matching', 'optimising', 'adjusting')}
        rest = {x for x in told.err.splitlines() if 'GB of memory' not in x}
        assert rest - {lines[0]} <= stages
        assert str(tmp_path / '.result') not in lines[0], 'a folder that is gone is named'
        assert sorted(tmp_path.iterdir()) == before, 'something half-written stays'
        return lines[0]

    yield run
    assert {n: signal.getsignal(n) for n in handlers} == handlers


def test_pictures_without_any_calibration_are_refined(
    flowcam: Run, pictures: Path, tmp_path: Path
) -> None:
    output = tmp_path / 'deep' / 'result'
    result = flowcam('refine', pictures, '--output', output, '--intrinsics', 'unknown', *SHORT)
    assert result.returncode in (0, 4), result.stderr
    assert 'Traceback' not in result.stderr
    for stage in ('reading', 'matching', 'optimising', 'adjusting', 'depth', 'placing', 'writing'):
        assert f'flowcam: {stage}\n' in result.stderr
    assert f'{FRAMES} frames' in result.stdout and 'report.html' in result.stdout
    assert len(read_trajectory(output / 'trajectory.tum')) == FRAMES
    report = json.loads((output / 'run.json').read_text())
    assert report['options']['intrinsics.mode'] == 'unknown'
    true = 100 / np.tan(np.radians(33))
    assert report['camera']['fx'] == pytest.approx(true, rel=0.02)
    assert [p.name for p in output.parent.iterdir()] == ['result']


def test_without_calibration_the_camera_must_be_said_to_be_unknown(
    refused: Refuse, pictures: Path
) -> None:
    line = refused(pictures, code=2)
    assert 'no calibration.yaml' in line and '--intrinsics unknown' in line


def test_a_missing_input_is_named(refused: Refuse) -> None:
    assert '/no/such/place does not exist' in refused('/no/such/place', code=2)


def test_an_earlier_result_is_never_overwritten(
    refused: Refuse, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / 'result').mkdir()
    (tmp_path / 'result/precious').write_text('x')
    assert 'is not overwritten' in refused(pictures, '--intrinsics=unknown', code=2)
    assert (tmp_path / 'result/precious').read_text() == 'x'


def test_one_frame_is_too_few(refused: Refuse) -> None:
    line = refused('synthetic:orbit?frames=1&width=160&height=120')
    assert '1 of 1 frames can be used' in line and 'at least 2' in line


def test_a_budget_of_memory_that_nothing_fits_is_refused(refused: Refuse, pictures: Path) -> None:
    line = refused(pictures, '--intrinsics=unknown', '--memory-gb=0.1', code=2)
    assert f'memory_gb: {FRAMES} frames take at least about 0.' in line and 'allow more' in line


def test_a_camera_that_stood_still_is_told_so(refused: Refuse) -> None:
    line = refused('synthetic:standstill?frames=10&width=160&height=120&noise=2')
    assert 'stood still' in line


def test_a_camera_that_only_turned_is_told_so(refused: Refuse) -> None:
    line = refused('synthetic:rotation?frames=24&width=200&height=150')
    assert 'parallax' in line and 'moving sideways' in line


@pytest.mark.parametrize('level', [0, 128, 255])
def test_blank_pictures_are_told_so(refused: Refuse, tmp_path: Path, level: int) -> None:
    folder = tmp_path / 'blank'
    (folder / 'rgb').mkdir(parents=True)
    for k in range(4):
        cv2.imwrite(str(folder / f'rgb/{k}.png'), np.full((120, 160, 3), level, np.uint8))
    write_times(folder, 4)
    line = refused(folder, '--intrinsics=unknown')
    assert 'of 4 frames can be used' in line


def test_pictures_that_have_nothing_in_common_are_told_so(refused: Refuse, tmp_path: Path) -> None:
    folder = tmp_path / 'mixed'
    (folder / 'rgb').mkdir(parents=True)
    random = np.random.default_rng(0)
    for k in range(4):
        coarse = random.integers(0, 256, (40, 50, 3), np.uint8)
        cv2.imwrite(str(folder / f'rgb/{k}.png'), cv2.resize(coarse, (200, 160)))
    write_times(folder, 4)
    line = refused(folder, '--intrinsics=unknown')
    assert 'no two chosen frames show the same place' in line


def test_frames_that_fit_no_rigid_scene_are_told_so(
    refused: Refuse, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('flowcam_ros.flowmap.polish._MIN_OBSERVATIONS', 1_000_000)
    line = refused(pictures, '--intrinsics=unknown')
    assert f'holds 0 of {FRAMES} frames' in line and 'rigid' in line


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bag of a rendered recording without depth."""
    world = open_sequence('synthetic:orbit?frames=12&fps=4&width=200&height=150&depth=false')
    folder = tmp_path_factory.mktemp('bag') / 'bag'
    return record_bag(world, folder, 'mcap', False).path


def shortened(bag: Path, share: float, folder: Path) -> Path:
    whole = next(bag.glob('*.mcap')).read_bytes()
    cut = folder / 'cut.mcap'
    cut.write_bytes(whole[: int(len(whole) * share)])
    return cut


def without_info(bag: Path, folder: Path) -> Path:
    """Write the bag again without its CameraInfo."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    plugin = StoragePlugin.MCAP
    with Reader(bag) as old, Writer(folder, version=9, storage_plugin=plugin) as new:
        kept = [c for c in old.connections if not c.topic.endswith('camera_info')]
        copies = {c.id: new.add_connection(c.topic, c.msgtype, typestore=store) for c in kept}
        for connection, stamp, data in old.messages(connections=kept):
            new.write(copies[connection.id], stamp, data)
    return folder


def test_a_wrong_topic_lists_the_right_ones(refused: Refuse, bag: Path) -> None:
    line = refused(bag, '--image-topic=/wrong', code=2)
    assert '/wrong is not in the bag; candidates' in line and '/camera/image' in line


def test_a_bag_without_camera_info_says_what_may_be_done(
    refused: Refuse, bag: Path, tmp_path: Path
) -> None:
    line = refused(without_info(bag, tmp_path / 'bare'), code=2)
    assert 'no camera_info for /camera/image' in line and '--camera FILE' in line


def test_what_is_left_of_a_bag_may_be_too_little(
    refused: Refuse, bag: Path, tmp_path: Path
) -> None:
    assert 'no image topic' in refused(shortened(bag, 0.01, tmp_path), code=2)


@pytest.mark.parametrize('damage', ['truncated', 'no camera_info'])
def test_a_damaged_bag_is_salvaged(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bag: Path,
    damage: str,
) -> None:
    monkeypatch.setattr('signal.signal', lambda *_: None)
    cut = damage == 'truncated'
    source = shortened(bag, 0.8, tmp_path) if cut else without_info(bag, tmp_path / 'bare')
    words = ['refine', str(source), '--output', str(tmp_path / 'result'), '--intrinsics=unknown']
    assert main([*words, *SHORT]) in ((3, 4) if cut else (0, 4))
    told = capsys.readouterr()
    report = json.loads((tmp_path / 'result/run.json').read_text())
    assert 4 < report['frames'] <= 12
    assert ('truncated' in told.err) == cut
    assert any('truncated' in loss for loss in report['losses']) == cut


def test_a_wrong_option_is_a_usage_error(refused: Refuse, pictures: Path) -> None:
    assert 'optimizer.stepz' in refused(pictures, '--set=optimizer.stepz=3', code=2)
    assert 'contradict' in refused(
        pictures, '--intrinsics=known', '--set=intrinsics.mode=unknown', code=2
    )


def test_options_come_from_a_file_then_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / 'options.yaml'
    file.write_text('optimizer: {steps: 7, samples: 100}\nintrinsics: {mode: known}\n')
    config = resolve_refine_config(file, ['optimizer.steps=9'], {'--intrinsics': 'unknown'})
    assert config.optimizer.steps == 9
    assert config.optimizer.samples == 100
    assert config.intrinsics.mode == 'unknown'
    assert resolve_refine_config(file, [], {}).intrinsics.mode == 'known'
    assert resolve_refine_config(None, [], {}).intrinsics.mode == 'refine'
    with pytest.raises(UsageError, match='contradict'):
        resolve_refine_config(file, ['intrinsics.mode=known'], {'--intrinsics': 'refine'})


@pytest.mark.parametrize('flag', ['--odometry=nowhere', '--memory-gb=0.1'])
def test_flags_that_cannot_be_followed_end_in_a_line(refused: Refuse, flag: str) -> None:
    line = refused('synthetic:orbit?frames=4&width=160&height=120', flag, code=2)
    assert ('trajectory.tum' in line) == ('odometry' in flag)


def test_the_cache_has_flags_of_its_own() -> None:
    assert resolve_refine_config(None, [], {}).cache.folder == 'auto'
    assert resolve_refine_config(None, [], {'--cache': ''}).cache.folder == ''
    assert resolve_refine_config(None, ['cache.folder=/a'], {}).cache.folder == '/a'
    with pytest.raises(UsageError, match=r'--no-cache and --set cache.folder=/a contradict'):
        resolve_refine_config(None, ['cache.folder=/a'], {'--no-cache': ''})
    with pytest.raises(UsageError, match=r'--cache /b and .*=/a contradict'):
        resolve_refine_config(None, ['cache.folder=/a'], {'--cache': '/b'})


def test_flags_of_the_cache_that_contradict_are_refused(refused: Refuse, pictures: Path) -> None:
    assert '--no-cache and --cache' in refused(pictures, '--no-cache', '--cache=/x', code=2)


def test_a_cache_that_is_a_file_is_refused(refused: Refuse, tmp_path: Path) -> None:
    file = tmp_path / 'file'
    file.write_text('mine')
    line = refused('synthetic:orbit?frames=4&width=160&height=120', f'--cache={file}')
    assert f'{file}: the cache needs a folder' in line and file.read_text() == 'mine'
