# SPDX-License-Identifier: Apache-2.0
"""A checkpoint comes back as it was, whole or not at all, and damage is told in a line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from flowcam_ros.errors import OutputError
from flowcam_ros.flowmap.checkpoint import Checkpoints

TENSORS = {
    'single': torch.tensor(3.5),
    'none': torch.zeros(0),
    'bools': torch.tensor([True, False]),
    'whole': torch.tensor([2**60, -1]),
    'last': torch.arange(48.0).reshape(1, 3, 4, 4).to(memory_format=torch.channels_last),
}
FACTS = {'step': 3, 'large': 2**120, 'loss': 0.1, 'nothing': float('inf'), 'name': 'ä'}


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    Checkpoints(tmp_path / 'new', 5).save('a', TENSORS, FACTS)
    found = Checkpoints(tmp_path / 'new', 5).load('a')
    assert found is not None and found.facts == FACTS
    assert found.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    assert Checkpoints(tmp_path / 'new', 5).load('b') is None


def test_the_last_one_counts_and_parts_have_their_own(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 5)
    for step in (1, 2):
        checkpoints.save('a', {}, {'step': step})
    checkpoints.child('window_1').save('a', {}, {'step': 9})
    assert checkpoints.child('x').every == 5
    for where, step in ((checkpoints, 2), (checkpoints.child('window_1'), 9)):
        found = where.load('a')
        assert found is not None and found.facts == {'step': step}
    assert sorted(p.name for p in tmp_path.rglob('*')) == [
        'a.safetensors',
        'a.safetensors',
        'window_1',
    ]


@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EIO])
def test_a_full_disk_is_one_line_and_the_last_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    checkpoints = Checkpoints(tmp_path, 5)
    checkpoints.save('a', TENSORS, {'step': 1})

    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OutputError) as caught:
        checkpoints.save('a', TENSORS, {'step': 2})
    assert 'a.safetensors: the checkpoint cannot be written' in str(caught.value)
    assert os.strerror(code) in str(caught.value) and '\n' not in str(caught.value)
    found = checkpoints.load('a')
    assert found is not None and found.facts == {'step': 1}
    assert [p.name for p in tmp_path.iterdir()] == ['a.safetensors']


def test_any_damage_is_one_line(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 5)
    checkpoints.save('a', TENSORS, FACTS)
    file = checkpoints.file('a')
    whole = file.read_bytes()
    flipped = [bytearray(whole) for _ in range(0, len(whole), 17)]
    for number, damaged in enumerate(flipped):
        damaged[number * 17] ^= 0x15
    unharmed = 0
    for content in (b'', whole[:50], whole[:-1], b'x' * 500, *map(bytes, flipped)):
        file.write_bytes(content)
        try:
            found = checkpoints.load('a')
        except OutputError as error:
            assert str(file) in str(error) and 'delete it' in str(error)
            assert '\n' not in str(error)
        else:  # a byte that only pads
            unharmed += 1
            assert found is not None and found.facts == FACTS
            assert all(torch.equal(found.tensors[k], t) for k, t in TENSORS.items())
    assert unharmed < 3
