# SPDX-License-Identifier: Apache-2.0
"""Where the cache of correspondences is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flowcam_ros.errors import ConfigError, OutputError
from flowcam_ros.runs.refine_config import CacheConfig
from flowcam_ros.runs.user_cache import open_cache


def place_of(config: CacheConfig, within: Path) -> list[str]:
    """Return where a result is kept, of what lies in a folder."""
    cache = open_cache(config)
    assert cache is not None
    cache.result('k', lambda: {'a': np.zeros(3)})
    return [str(p.relative_to(within)) for p in within.rglob('*.npz')]


def test_it_is_where_the_xdg_specification_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert place_of(CacheConfig(), tmp_path) == ['flowcam_ros/k.npz']


@pytest.mark.parametrize('base', [None, '', 'not/absolute'])
def test_without_a_folder_of_the_specification_it_is_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str | None
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    if base is None:
        monkeypatch.delenv('XDG_CACHE_HOME')
    else:
        monkeypatch.setenv('XDG_CACHE_HOME', base)
    assert place_of(CacheConfig(), tmp_path) == ['.cache/flowcam_ros/k.npz']


def test_it_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    assert place_of(CacheConfig('~/mine'), tmp_path) == ['mine/k.npz']


def test_an_empty_name_is_no_cache() -> None:
    assert open_cache(CacheConfig('')) is None


def test_what_cannot_be_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('x')
    with pytest.raises(OutputError, match='needs a folder'):
        open_cache(CacheConfig(str(tmp_path / 'file')))
    with pytest.raises(ConfigError, match=r"cache\.folder: '~nobody-of-this-name/x'"):
        open_cache(CacheConfig('~nobody-of-this-name/x'))
