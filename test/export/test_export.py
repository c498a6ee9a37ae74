# SPDX-License-Identifier: Apache-2.0
"""Output files appear whole or not at all, and never replace an earlier result."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.errors import OutputError, UsageError
from flowcam_ros.export.atomic import new_folder, write_bytes, write_text
from flowcam_ros.export.json_file import dumps, write_json
from flowcam_ros.export.tum import format_stamp, format_trajectory, write_trajectory
from flowcam_ros.geometry.se3 import exp
from flowcam_ros.geometry.trajectory import Trajectory


@contextmanager
def small_files_only() -> Iterator[None]:
    """Let no file grow beyond 1000 bytes, as on a full disk.

    Ends before the test does: pytest's own report may go to a larger file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    message = r'big.bin: cannot be written \(File too large\)'
    with pytest.raises(OutputError, match=message), small_files_only():
        write_bytes(tmp_path / 'big.bin', bytes(5000))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_folder(tmp_path: Path) -> None:
    target = tmp_path / 'result'
    with pytest.raises(OutputError), small_files_only(), new_folder(target) as folder:
        write_text(folder / 'small', 'x')
        write_bytes(folder / 'big.bin', bytes(5000))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('first')
    with pytest.raises(OutputError, match='not overwritten') as caught:
        write_text(path, 'second')
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, UsageError)
    assert path.read_text() == 'first'
    assert [p.name for p in tmp_path.iterdir()] == ['a.txt']


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match='No such file or directory'):
        write_text(tmp_path / 'none' / 'a.txt', 'x')


def test_a_written_file_has_ordinary_permissions(tmp_path: Path) -> None:
    plain, written = tmp_path / 'plain', tmp_path / 'written'
    plain.write_text('x')
    write_text(written, 'x')
    assert written.stat().st_mode == plain.stat().st_mode


def test_a_folder_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / 'deep' / 'result'
    with new_folder(target) as folder:
        write_text(folder / 'a', 'x')
        assert not target.exists()
        assert folder.parent == target.parent
    assert [p.name for p in target.iterdir()] == ['a']
    assert [p.name for p in target.parent.iterdir()] == ['result']


def test_a_link_to_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    with new_folder(tmp_path / 'link') as folder:
        write_text(folder / 'a', 'x')
    assert (tmp_path / 'link').is_symlink()
    assert [p.name for p in (tmp_path / 'real').iterdir()] == ['a']


def test_the_name_of_a_file_need_not_be_text() -> None:
    assert json.loads(dumps({'path': 'a\udcff'})) == {'path': 'a\\udcff'}


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    target = tmp_path / 'result'
    target.mkdir()
    with new_folder(target) as folder:
        write_text(folder / 'a', 'x')
    assert [p.name for p in target.iterdir()] == ['a']


@pytest.mark.parametrize('kind', ['file', 'folder'])
def test_an_earlier_result_is_kept(tmp_path: Path, kind: str) -> None:
    target = tmp_path / 'result'
    if kind == 'file':
        target.write_text('x')
    else:
        target.mkdir()
        (target / 'old').write_text('x')
    with pytest.raises(OutputError, match='not overwritten'), new_folder(target):
        pytest.fail('the block must not run')
    assert target.is_file() or (target / 'old').read_text() == 'x'


def test_an_interrupt_removes_the_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / 'result') as folder:
        write_text(folder / 'a', 'x')
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('x')
    target = tmp_path / 'file' / 'result'
    with pytest.raises(OutputError, match='result: cannot be made'), new_folder(target):
        pytest.fail('the block must not run')


@given(st.integers(-(10**19), 10**19))
def test_stamps_survive_exactly(stamp: int) -> None:
    text = format_stamp(stamp)
    whole, fraction = text.split('.')
    assert len(fraction) == 9
    sign = -1 if whole.startswith('-') else 1
    assert sign * (abs(int(whole)) * 10**9 + int(fraction)) == stamp


def test_trajectory_lines_can_be_read_back(tmp_path: Path) -> None:
    poses = np.stack([np.eye(4), exp(np.array([0.1, -0.2, 0.3, 0.4, -0.5, 0.6]))])
    stamps = np.array([1_638_543_077_829_376_001, 1_638_543_077_829_376_002])
    path = tmp_path / 'trajectory.tum'
    write_trajectory(path, Trajectory(stamps, poses))
    header, first, second = path.read_text().splitlines()
    assert header.startswith('#')
    assert first == (
        '1638543077.829376001 0.000000000 0.000000000 0.000000000 '
        '0.000000000 0.000000000 0.000000000 1.000000000'
    )
    assert second.split()[0] == '1638543077.829376002'
    assert np.allclose(np.array(second.split()[1:4], float), poses[1, :3, 3], atol=1e-9)


def test_an_empty_trajectory_has_only_the_header() -> None:
    empty = Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
    assert format_trajectory(empty).count('\n') == 1


def test_nan_is_not_written(tmp_path: Path) -> None:
    poses = np.full((1, 4, 4), np.nan)
    with pytest.raises(ValueError, match='NaN'):
        write_trajectory(tmp_path / 'a', Trajectory(np.array([1]), poses))
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Example:
    """Something a run writes."""

    ratio: float
    values: tuple[float, ...]


def test_json_has_no_nan_and_no_numpy(tmp_path: Path) -> None:
    value = {
        'a': Example(float('inf'), (1.0, float('nan'))),
        'b': np.float32(0.5),
        'c': np.arange(3),
        'd': Path('x/y'),
        'e': np.bool_(True),
        7: None,
    }
    write_json(tmp_path / 'a.json', value)
    assert json.loads((tmp_path / 'a.json').read_text()) == {
        'a': {'ratio': None, 'values': [1.0, None]},
        'b': 0.5,
        'c': [0, 1, 2],
        'd': 'x/y',
        'e': True,
        '7': None,
    }


def test_json_refuses_what_it_does_not_know() -> None:
    with pytest.raises(TypeError):
        dumps(object())
