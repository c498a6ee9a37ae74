# SPDX-License-Identifier: Apache-2.0
"""The cache: found again by content, whole or not at all, bounded in size."""

import logging
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from recordings import HeldPictures, textured

from flowcam_ros.correspondence import cache
from flowcam_ros.correspondence.cache import (
    CacheChain,
    ResultCache,
    cache_key,
    digest_of_file,
    digest_of_pictures,
)
from flowcam_ros.errors import OutputError

LARGE = 10**9


class Work:
    """Something to compute, that counts how often it was done."""

    def __init__(self, value: float = 1.0, size: int = 10) -> None:
        self.done = 0
        self._result = {'a': np.full(size, value), 'b': np.arange(3, dtype=np.int32)}

    def __call__(self) -> dict[str, np.ndarray]:
        self.done += 1
        return self._result


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob('*.npz'))


def test_a_result_is_computed_once(tmp_path: Path) -> None:
    work = Work()
    for _ in range(3):
        found = ResultCache(tmp_path / 'new', LARGE).result('k', work)
        np.testing.assert_array_equal(found['a'], np.ones(10))
        assert found['b'].dtype == np.int32
    assert work.done == 1


def test_empty_results_are_kept_too(tmp_path: Path) -> None:
    results = ResultCache(tmp_path, LARGE)
    assert results.result('k', lambda: {'none': np.zeros((0, 2), np.float32)})['none'].size == 0
    assert results.result('k', Work())['none'].shape == (0, 2)


@pytest.mark.parametrize(
    'damage',
    [
        lambda data: b'',
        lambda data: data[: len(data) // 2],
        lambda data: b'no archive at all',
        lambda data: data[:60] + bytes(40) + data[100:],
        lambda data: data[:-30] + bytes(30),
        lambda data: data.replace(b"'<f8'", b"'|O8'"),
    ],
    ids=['empty', 'cut', 'other', 'header', 'directory', 'pickle'],
)
def test_a_damaged_file_is_told_and_computed_anew(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    results, work = ResultCache(tmp_path, LARGE), Work()
    results.result('k', work)
    assert not caplog.text, 'a result that was never kept is no damage'
    (file,) = kept(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    found = results.result('k', work)
    (warning,) = caplog.records
    assert warning.getMessage().startswith(f'{file} is damaged')
    np.testing.assert_array_equal(found['a'], np.ones(10))
    assert work.done == 2
    results.result('k', work)
    assert work.done == 2


@pytest.mark.parametrize('position', range(30, 420, 13))
def test_no_wrong_byte_goes_through(tmp_path: Path, position: int) -> None:
    results, work = ResultCache(tmp_path, LARGE), Work()
    results.result('k', work)
    (file,) = kept(tmp_path)
    data = bytearray(file.read_bytes())
    data[position] ^= 0x55
    file.write_bytes(data)
    found = results.result('k', work)
    assert set(found) >= {'a', 'b'} or work.done == 2
    np.testing.assert_array_equal(found['a'], np.ones(10))


def test_objects_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='Object arrays'):
        ResultCache(tmp_path, LARGE).result('k', lambda: {'a': np.array([{}], object)})
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_used_go_first_when_the_folder_is_full(tmp_path: Path) -> None:
    results = ResultCache(tmp_path, 30_000)
    for k, key in enumerate('abc'):
        results.result(key, Work(k, 1000))
        os.utime(tmp_path / f'{key}.npz', (k, k))
    results.result('a', Work(0, 1000))  # used just now
    results.result('d', Work(3, 1000))
    assert [f.stem for f in kept(tmp_path)] == ['a', 'c', 'd']


def test_a_result_larger_than_the_bound_is_returned_all_the_same(tmp_path: Path) -> None:
    assert len(ResultCache(tmp_path, 100).result('k', Work(1, 1000))['a']) == 1000


def test_what_dead_processes_left_goes_after_a_day(tmp_path: Path) -> None:
    old, new, other = (tmp_path / n for n in ('.a.npz.0f', '.b.npz.1f', 'precious.txt'))
    for file in (old, new, other):
        file.write_bytes(b'x')
    for file in (old, other):
        os.utime(file, (1, 1))
    ResultCache(tmp_path, 1).result('k', Work())
    assert not old.exists() and new.exists() and other.exists()


def test_many_processes_may_use_it_at_a_time(tmp_path: Path) -> None:
    """Each writes, reads and removes what the others do, with room for about two results."""
    code = (
        'import sys, pathlib, numpy as np\n'
        'from flowcam_ros.correspondence.cache import ResultCache\n'
        'results = ResultCache(pathlib.Path(sys.argv[1]), 20_000)\n'
        'for k in range(150):\n'
        '    found = results.result(f"k{k % 5}", lambda: {"a": np.full(1000, k % 5)})\n'
        '    assert (found["a"] == k % 5).all() and len(found["a"]) == 1000\n'
    )
    words = [sys.executable, '-c', code, str(tmp_path)]
    running = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    told = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], told
    assert told == ['', '', '']
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= 30_000


def test_a_chain_keeps_what_it_finds_in_each_cache(tmp_path: Path) -> None:
    near, far = (ResultCache(tmp_path / name, LARGE) for name in ('near', 'far'))
    work = Work()
    far.result('k', work)
    for _ in range(2):
        np.testing.assert_array_equal(CacheChain(near, far).result('k', work)['a'], np.ones(10))
    assert work.done == 1 and len(kept(tmp_path / 'near')) == 1
    CacheChain(near, far).result('other', work)
    assert work.done == 2 and len(kept(tmp_path / 'far')) == 2
    CacheChain().result('k', work)
    assert work.done == 3


def test_files_are_told_apart_by_content(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in 'abc')
    for file, content in ((one, b'x'), (same, b'x'), (other, b'y')):
        file.write_bytes(content)
    assert digest_of_file(one) == digest_of_file(str(same)) != digest_of_file(other)
    assert digest_of_file(tmp_path / 'none') == ''


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> dict[str, np.ndarray]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ResultCache(tmp_path, LARGE).result('k', fail)

    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(cache, '_write', full)
    assert ResultCache(tmp_path, LARGE).result('k', Work())['a'].sum() == 10
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(cache, '_write', full)
    with caplog.at_level(logging.WARNING):
        ResultCache(tmp_path, LARGE).result('k', Work())
    assert 'No space left on device' in caplog.text


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / 'file'
    file.write_text('mine')
    with pytest.raises(OutputError, match='needs a folder'):
        ResultCache(file, LARGE)
    assert file.read_text() == 'mine'


def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match='no place for a cache'):
        ResultCache(tmp_path / ('x' * 300), LARGE)


def test_the_key_follows_pictures_masks_and_settings() -> None:
    picture = textured(0, 40, 60)
    other = picture.copy()
    other[3, 4] ^= 1
    mask = np.ones(picture.shape, bool)
    hole = mask.copy()
    hole[0, 0] = False
    variants = [
        HeldPictures([picture]),
        HeldPictures([other]),
        HeldPictures([picture.T.copy()]),
        HeldPictures([picture, picture]),
        HeldPictures([picture], [mask]),
        HeldPictures([picture], [hole]),
        HeldPictures([]),
    ]
    digests = [digest_of_pictures(v) for v in variants]
    assert len(set(digests)) == len(variants)
    assert digests[0] == digest_of_pictures(HeldPictures([picture.copy()]))
    keys = [
        cache_key('pairs', digests[0], {'a': 1}),
        cache_key('pairs', digests[0], {'a': 2}),
        cache_key('tracks', digests[0], {'a': 1}),
        cache_key('pairs', digests[1], {'a': 1}),
    ]
    assert len(set(keys)) == 4
    assert cache_key('pairs', digests[0], {'a': 1}) == keys[0]


def test_files_are_plain_npz(tmp_path: Path) -> None:
    ResultCache(tmp_path, LARGE).result('k', Work())
    (file,) = kept(tmp_path)
    assert zipfile.ZipFile(file).testzip() is None
    with np.load(file, allow_pickle=False) as content:
        assert sorted(content.files) == ['a', 'b']
