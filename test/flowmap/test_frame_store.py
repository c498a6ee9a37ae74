# SPDX-License-Identifier: Apache-2.0
"""What is kept of a frame comes back as it was; whatever fails ends in one clear line."""

import dataclasses
import errno
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.correspondence.pictures import Pictures
from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.errors import OutputError
from flowcam_ros.flowmap.frame_choice import FrameKeeper, choose_frames
from flowcam_ros.flowmap.frame_config import FrameChoiceConfig, FrameStoreConfig
from flowcam_ros.flowmap.frame_record import Fate, FrameRecord
from flowcam_ros.flowmap.frame_store import FrameStore, network_size, sampled
from flowcam_ros.flowmap.frame_writer import FrameWriter
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer
from flowcam_ros.sequences.synthetic import parse_synthetic

SMALL = 'synthetic:walk?frames=3&width=200&height=150'
CONFIG = FrameStoreConfig(max_pixels=20_000, pixels=4_096)


def record(number: int, frame: Frame) -> FrameRecord:
    return FrameRecord(number, frame.stamp_ns, f'{number}.png', Fate.CHOSEN, 0.0, 1.0)


def write(
    folder: Path, frames: list[Frame], depth: DepthConfig | None = None, numbers: tuple = ()
) -> FrameWriter:
    writer = FrameWriter(folder, CONFIG, depth or DepthConfig(), len(frames))
    for number, frame in zip(numbers or range(len(frames)), frames, strict=True):
        writer.keep(record(number, frame), frame)
    return writer


def test_pictures_come_back_as_they_were_prepared(tmp_path: Path) -> None:
    lens = '&distortion_model=plumb_bob&distortion_coefficients=0.15,0,0,0,0'
    frames = list(parse_synthetic(SMALL + lens))
    store = write(tmp_path, frames, numbers=(2, 5, 11)).finish()
    prepared = [FramePreparer(CONFIG.max_pixels).prepare(frame) for frame in frames]
    assert isinstance(store, Pictures)
    assert len(store) == 3
    assert store.index.numbers == (2, 5, 11)
    assert store.index.names == ('2.png', '5.png', '11.png')
    assert store.stamps_ns.tolist() == [frame.stamp_ns for frame in frames]
    assert store.index.original == frames[0].camera
    assert store.index.tracking == prepared[0].camera
    for index, one in enumerate(prepared):
        np.testing.assert_array_equal(store.grey(index), one.grey)
        usable = store.usable(index)
        assert usable is not None and one.usable is not None
        assert not np.any(usable & ~one.usable)
        assert 0 < np.count_nonzero(one.usable & ~usable) < 0.2 * usable.size
    assert len(list(tmp_path.glob('mask_*'))) == 1


def test_color_is_red_green_blue_at_network_size(tmp_path: Path) -> None:
    frame = next(iter(parse_synthetic(SMALL)))
    frame.image[..., 0], frame.image[..., 1], frame.image[..., 2] = 10, 20, 30
    store = write(tmp_path, [frame]).finish()
    network = store.index.network
    assert store.color(0).shape == (network.height, network.width, 3)
    assert (network.width % 32, network.height % 32) == (0, 0)
    assert (store.color(0) == (30, 20, 10)).all()
    assert store.usable(0) is None
    # the same ray in both sizes
    tracking = store.index.tracking
    ray = np.array([(0.25 * tracking.width - 0.5 - tracking.cx) / tracking.fx])
    np.testing.assert_allclose(ray * network.fx + network.cx, 0.25 * network.width - 0.5)


def test_measured_depth_is_that_of_the_sensor(tmp_path: Path) -> None:
    sequence = parse_synthetic(SMALL)
    frames = list(sequence)
    frames[0] = dataclasses.replace(frames[0], depth=None)
    writer = write(tmp_path, frames)
    store = writer.finish()
    assert writer.problems == {}
    assert store.index.depth_source == 'depth'
    assert store.index.measured == (False, True, True)
    assert store.measured_depth(0) is None
    measured = store.measured_depth(1)
    assert measured is not None
    assert measured.inverse_depth.shape == (measured.camera.height, measured.camera.width)
    truth = sequence.view(1)
    y, x = np.mgrid[10:140:10, 10:190:10].reshape(2, -1).astype(float)
    inverse = sampled(measured.inverse_depth, measured.camera, np.stack([x, y], -1), truth.camera)
    variance = sampled(measured.variance, measured.camera, np.stack([x, y], -1), truth.camera)
    off = np.abs(inverse - 1.0 / truth.depth[y.astype(int), x.astype(int)])
    assert np.median(off / inverse) < 0.005
    assert np.mean(off < 3.0 * np.sqrt(variance)) > 0.95
    assert np.isinf(measured.variance[measured.inverse_depth == 0]).all()


def test_stereo_is_measured(tmp_path: Path) -> None:
    frames = list(parse_synthetic(SMALL + '&stereo=true&depth=false'))[:1]
    store = write(tmp_path, frames).finish()
    assert store.index.depth_source == 'stereo'
    measured = store.measured_depth(0)
    assert measured is not None and (measured.inverse_depth > 0).mean() > 0.3


def test_depth_can_be_left_aside(tmp_path: Path) -> None:
    store = write(tmp_path, list(parse_synthetic(SMALL)), DepthConfig(source='none')).finish()
    assert store.index.depth_source == ''
    assert not any(store.index.measured)


def test_depth_that_is_asked_for_and_missing_is_told(tmp_path: Path) -> None:
    frames = list(parse_synthetic(SMALL + '&depth=false'))
    writer = write(tmp_path, frames, DepthConfig(source='sensor'))
    assert not any(writer.finish().index.measured)
    assert list(writer.problems.values()) == [3]
    assert 'without a depth image' in next(iter(writer.problems))


def test_dropped_frames_leave_nothing(tmp_path: Path) -> None:
    writer = write(tmp_path, list(parse_synthetic(SMALL)))
    writer.drop(1)
    store = writer.finish()
    assert store.index.numbers == (0, 2)
    assert not list(tmp_path.glob('000001*'))
    assert isinstance(writer, FrameKeeper)
    again = FrameStore(tmp_path)
    assert again.index == store.index


def test_a_choice_with_a_budget_keeps_no_more_on_disk(tmp_path: Path) -> None:
    writer = FrameWriter(tmp_path, CONFIG, DepthConfig(), 5)
    config = FrameChoiceConfig(step=0.01, max_frames=5)
    sequence = parse_synthetic('synthetic:fast_turn?frames=60&width=200&height=150')
    records = choose_frames(sequence, writer, config)
    store = writer.finish()
    chosen = [record for record in records if record.fate is Fate.CHOSEN]
    assert len(records) == 60
    assert len(store) == len(chosen) == 5
    assert store.index.numbers == tuple(record.number for record in chosen)
    assert len(list(tmp_path.glob('*_grey.npy'))) == 5


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_too_little_space_is_told_before_the_first_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: Usage(10**9, 10**9, 10**6))
    with pytest.raises(OutputError, match='GB are free') as caught:
        write(tmp_path, list(parse_synthetic(SMALL)))
    assert '\n' not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_in_one_line_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = list(parse_synthetic(SMALL))
    writer = write(tmp_path, frames[:1])
    whole = sorted(tmp_path.iterdir())

    def full(file: object, *_: object, **__: object) -> None:
        file.write(b'half')  # type: ignore[attr-defined]
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(np, 'save', full)
    with pytest.raises(OutputError, match='No space left on device') as caught:
        writer.keep(record(1, frames[1]), frames[1])
    assert '\n' not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == whole
    monkeypatch.undo()
    assert writer.finish().index.numbers == (0,)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    frame = next(iter(parse_synthetic(SMALL)))
    gone = tmp_path / 'gone'
    writer = FrameWriter(gone, CONFIG, DepthConfig(), 1)
    with pytest.raises(OutputError, match='gone'):
        writer.keep(record(0, frame), frame)


def test_no_frame_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match='no frame'):
        FrameWriter(tmp_path, CONFIG, DepthConfig(), 1).finish()


@pytest.mark.parametrize('content', [None, '', '{}', '[1]', '{"original": 3}'])
def test_an_incomplete_store_is_told(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / 'frames.json').write_text(content)
    with pytest.raises(OutputError, match='holds no complete frames'):
        FrameStore(tmp_path)


def test_a_damaged_array_is_told(tmp_path: Path) -> None:
    store = write(tmp_path, list(parse_synthetic(SMALL))[:1]).finish()
    path = tmp_path / '000000_grey.npy'
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(OutputError, match='damaged'):
        store.grey(0)
    path.unlink()
    with pytest.raises(OutputError, match='000000_grey'):
        store.grey(0)


@given(st.integers(64, 4000), st.floats(0.5, 2.0), st.integers(40_000, 500_000))
def test_network_sizes_fit_the_stride_and_hardly_squeeze(
    width: int, aspect: float, pixels: int
) -> None:
    height = round(width / aspect)
    columns, rows = network_size(width, height, pixels)
    assert columns % 32 == 0 and rows % 32 == 0
    assert 0.75 < columns * rows / pixels < 1.35
    assert 0.8 < columns * height / (rows * width) < 1.25


@pytest.mark.parametrize(
    ('size', 'expected'), [((640, 480), (256, 192)), ((1280, 720), (288, 160))]
)
def test_usual_pictures_keep_their_shape(size: tuple[int, int], expected: tuple) -> None:
    assert network_size(*size, 43_200) == expected


def test_sampling_takes_the_pixel_below(tmp_path: Path) -> None:
    camera = CameraModel(4, 2, 4.0, 4.0, 1.5, 0.5)
    values = np.arange(8.0).reshape(2, 4)
    big = camera.resized(40, 20)
    pixels = np.array([[0.0, 0.0], [12.0, 3.0], [39.0, 19.0], [50.0, -7.0]])
    np.testing.assert_array_equal(sampled(values, camera, pixels, big), [0, 1, 7, 3])
