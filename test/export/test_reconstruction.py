# SPDX-License-Identifier: Apache-2.0
"""One folder with everything, whole or not at all."""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import reconstructions
from reconstructions import make_frames, make_reconstruction

from flowcam_ros.errors import OutputError
from flowcam_ros.export.atomic import new_folder
from flowcam_ros.export.config import ExportConfig
from flowcam_ros.export.reconstruction import WrittenFiles, write_reconstruction
from flowcam_ros.flowmap.reconstruction import DepthMap, Reconstruction
from flowcam_ros.sequences.tum_file import read_trajectory
from flowcam_ros.settings import describe

ALL = ExportConfig(kitti=True)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


def write(target: Path, ours: Reconstruction, config: ExportConfig | None = None) -> WrittenFiles:
    with new_folder(target) as folder:
        return write_reconstruction(folder, ours, make_frames(ours), config)


def test_every_format_is_written(tmp_path: Path) -> None:
    ours = make_reconstruction('plumb_bob')
    steps: list[str] = []
    with new_folder(tmp_path / 'result') as folder:
        done = write_reconstruction(
            folder, ours, iter(make_frames(ours)), ALL, progress=steps.append
        )
    names = [name.removesuffix('.png') for name in ours.names]
    deep = [names[k] for k in (0, 2, 4)]
    assert files_below(tmp_path / 'result') == sorted(
        ['trajectory.tum', 'kitti/poses.txt', 'kitti/times.txt', 'cloud.ply', 'depth/depth.json']
        + ['transforms.json', 'transforms_depth.json', 'sparse_points.ply']
        + [f'sparse/0/{name}.bin' for name in ('cameras', 'images', 'points3D')]
        + ['refined_bag/metadata.yaml', 'refined_bag/refined_bag.mcap']
        + [f'images/{name}.png' for name in names]
        + [f'depth/{name}{suffix}' for name in deep for suffix in ('.npz', '.png')]
        + [f'depth_of_pictures/{name}.png' for name in deep]
    )
    assert not done.left_out and done.cloud is not None and len(done.cloud) > 500
    assert all((tmp_path / 'result' / path).exists() for path in done.files.values())
    assert steps == [
        'poses',
        'pictures',
        'COLMAP model',
        'depth maps',
        'nerfstudio',
        'cloud',
        'bag',
    ]
    read = read_trajectory(tmp_path / 'result/trajectory.tum')
    assert np.array_equal(read.stamps_ns, ours.trajectory.stamps_ns)
    assert np.allclose(read.world_from_camera, ours.trajectory.world_from_camera, atol=1e-8)


def test_no_file_or_folder_stays_unfinished_or_hidden(tmp_path: Path) -> None:
    write(tmp_path / 'result', make_reconstruction(), ALL)
    assert not list((tmp_path / 'result').rglob('.*'))
    assert [p.name for p in tmp_path.iterdir()] == ['result']


def test_only_the_trajectory_if_nothing_else_is_wanted(tmp_path: Path) -> None:
    switches = [info.name for info in describe(ExportConfig) if info.kind is bool]
    nothing = dataclasses.replace(ExportConfig(), **dict.fromkeys(switches, False))
    done = write(tmp_path / 'result', make_reconstruction(), nothing)
    assert files_below(tmp_path / 'result') == ['trajectory.tum']
    assert done.files == {'trajectory': 'trajectory.tum'}


def test_an_unknown_scale_is_not_called_metres(tmp_path: Path) -> None:
    write(tmp_path / 'result', make_reconstruction(scale_source='none'))
    header = (tmp_path / 'result/trajectory.tum').read_text().splitlines()[0]
    assert 'arbitrary unit' in header and ' m;' not in header
    assert b'arbitrary unit' in (tmp_path / 'result/cloud.ply').read_bytes()[:300]
    assert '"arbitrary"' in (tmp_path / 'result/depth/depth.json').read_text()


def test_a_lens_that_one_format_lacks_costs_only_that_format(tmp_path: Path) -> None:
    done = write(tmp_path / 'result', make_reconstruction('rational_polynomial'))
    assert 'nerfstudio' not in done.files and 'colmap' in done.files and 'bag' in done.files
    (sentence,) = done.left_out
    assert sentence.startswith('transforms.json is not written: nerfstudio has no rational lens')
    assert not (tmp_path / 'result/transforms.json').exists()


def test_stamps_that_ros_lacks_cost_only_the_bag(tmp_path: Path) -> None:
    ours = make_reconstruction()
    late = dataclasses.replace(
        ours.trajectory, stamps_ns=ours.trajectory.stamps_ns * np.arange(1, 7)
    )
    done = write(tmp_path / 'result', dataclasses.replace(ours, trajectory=late))
    assert 'bag' not in done.files and len(done.left_out) == 1
    assert not (tmp_path / 'result/refined_bag').exists()


@pytest.mark.parametrize('size', [0, 200, 3_000, 8_000, 15_000, 40_000])
def test_a_full_disk_leaves_nothing(size: int, tmp_path: Path) -> None:
    ours = make_reconstruction()
    with pytest.raises(OutputError, match='cannot be written') as caught, files_of_at_most(size):
        write(tmp_path / 'result', ours, ALL)
    assert '\n' not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('failure', [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize('after', [0, 3, 5, 8])
def test_an_interrupt_leaves_nothing(
    failure: type[BaseException], after: int, tmp_path: Path
) -> None:
    ours = make_reconstruction()

    class Failing:
        """Depth maps that end in the middle of the work."""

        asked = 0

        def frames(self) -> list[int]:
            return ours.depth.frames()

        def __getitem__(self, frame: int) -> DepthMap:
            self.asked += 1
            if self.asked > after:
                raise failure
            return ours.depth[frame]

    depth = Failing()
    with pytest.raises(failure):
        write(tmp_path / 'result', dataclasses.replace(ours, depth=depth))
        pytest.fail(f'only {depth.asked} maps were asked for')
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from reconstructions import make_frames, make_reconstruction
        from flowcam_ros.export.atomic import new_folder
        from flowcam_ros.export.reconstruction import write_reconstruction

        def slow(step):
            print(step, flush=True)
            if step == 'bag':
                time.sleep(20)

        ours = make_reconstruction()
        with new_folder(Path({str(tmp_path / 'result')!r})) as folder:
            write_reconstruction(folder, ours, make_frames(ours), progress=slow)
    """)
    support = Path(reconstructions.__file__).parent
    environment = {**os.environ, 'PYTHONPATH': f'{support}:{support.parents[1]}'}
    with subprocess.Popen(
        [sys.executable, '-c', program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != b'bag':
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) != 0
    assert not list(tmp_path.iterdir())


def test_an_earlier_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / 'cloud.ply').write_text('mine')
    with pytest.raises(OutputError, match='not overwritten'):
        write_reconstruction(tmp_path, make_reconstruction())
    assert (tmp_path / 'cloud.ply').read_text() == 'mine'
