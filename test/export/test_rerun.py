# SPDX-License-Identifier: Apache-2.0
"""The recording for the rerun viewer holds path, cameras, pictures, depth and points."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from reconstructions import make_reconstruction

from flowcam_ros.errors import OutputError
from flowcam_ros.export.config import ExportConfig
from flowcam_ros.export.reconstruction import write_reconstruction
from flowcam_ros.export.rerun_recording import write_rerun


def rows(path: Path) -> Counter[str]:
    """Return how many rows rerun's own reader finds below each entity."""
    reader = pytest.importorskip('rerun.chunk', reason='this rerun-sdk cannot read recordings')
    found: Counter[str] = Counter()
    for chunk in reader.RrdReader(path).stream():
        found[chunk.entity_path] += chunk.num_rows
    return found


def test_all_is_there_and_can_be_read_back(tmp_path: Path) -> None:
    pytest.importorskip('rerun', reason='rerun-sdk is not installed')
    reconstruction = make_reconstruction()
    path = tmp_path / 'recording.rrd'
    write_rerun(path, reconstruction, None)
    assert [p.name for p in tmp_path.iterdir()] == ['recording.rrd']
    found = rows(path)
    maps = len(reconstruction.depth.frames())
    assert found['/world/camera'] == len(reconstruction.trajectory)
    assert found['/world/camera/picture/color'] == maps == found['/world/camera/picture/depth']
    assert found['/world/path'] == found['/world/points'] == found['/world/camera/picture'] == 1


def test_it_is_one_of_the_files_where_it_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip('rerun', reason='rerun-sdk is not installed')
    config = ExportConfig(
        colmap=False, nerfstudio=False, depth=False, bag=False, rerun=True, pictures=False
    )
    written = write_reconstruction(tmp_path, make_reconstruction(), config=config)
    assert written.files['rerun'] == 'recording.rrd'
    assert (tmp_path / 'recording.rrd').stat().st_size > 10_000


def test_a_folder_that_cannot_be_written_is_told_in_a_line(tmp_path: Path) -> None:
    pytest.importorskip('rerun', reason='rerun-sdk is not installed')
    with pytest.raises(OutputError, match=r'recording\.rrd: cannot be written'):
        write_rerun(tmp_path / 'nowhere' / 'recording.rrd', make_reconstruction(), None)


def test_without_rerun_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'rerun', None)  # as Python sees what is not installed
    with pytest.raises(OutputError, match=r'flowcam_ros\[rerun\]'):
        write_rerun(tmp_path / 'recording.rrd', make_reconstruction(), None)
    assert list(tmp_path.iterdir()) == []
