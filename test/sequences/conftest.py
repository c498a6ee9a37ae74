# SPDX-License-Identifier: Apache-2.0
"""Small sequences and messages for the tests of the input."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame, StereoImage
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.record import record_bag

WIDTH, HEIGHT = 64, 48
START_NS = 1_700_000_000_123_456_789
PERIOD_NS = 33_333_333


class ListSequence:
    """A sequence of frames in memory."""

    name = 'list'

    def __init__(self, frames, truth=None):
        self.frames, self.truth, self.losses = frames, truth, []

    def __iter__(self):
        return iter(self.frames)

    def expected_frames(self):
        return len(self.frames)

    def ground_truth(self):
        return self.truth


@pytest.fixture(scope='session')
def make_frames():
    """Return a function that makes frames with noise pictures, repeatable."""

    def make(count=10, depth=False, right=False, grey=False, metres=False, offset=None, seed=0):
        rng = np.random.default_rng(seed)
        lens = (0.1, -0.05, 0.0, 0.0, 0.01)
        camera = CameraModel(WIDTH, HEIGHT, 50.5, 51.25, 31.75, 23.5, 'plumb_bob', lens)
        if right:
            camera = camera.without_distortion()
        depth_camera = CameraModel(WIDTH, HEIGHT, 60.0, 60.0, 31.5, 23.5)
        shape = (HEIGHT, WIDTH) if grey else (HEIGHT, WIDTH, 3)

        def picture():
            return rng.integers(0, 256, shape, np.uint8)

        def measured():
            raw = rng.integers(0, 5000, (HEIGHT, WIDTH)).astype(np.float32)
            values = raw * np.float32(0.00123) if metres else raw / np.float32(1000)
            return DepthImage(values, depth_camera, np.eye(4) if offset is None else offset)

        return [
            Frame(
                START_NS + i * PERIOD_NS,
                picture(),
                camera,
                depth=measured() if depth else None,
                right=StereoImage(picture(), camera, 0.12) if right else None,
                frame_id='cam_optical',
            )
            for i in range(count)
        ]

    return make


@pytest.fixture(scope='session')
def make_sequence(make_frames):
    """Return a function that makes a sequence with a true path."""

    def make(count=10, **options):
        frames = make_frames(count, **options)
        stamps = np.array([frame.stamp_ns for frame in frames])
        poses = np.stack(
            [se3.exp(np.array([0.1, 0.02, 0.3, 0.01, 0.02, 0.03]) * i) for i in range(count)]
        )
        return ListSequence(frames, Trajectory(stamps, poses))

    return make


@pytest.fixture
def make_bag(make_sequence, tmp_path):
    """Return a function that records a small bag and gives its folder."""

    def make(name='bag', storage='mcap', compressed=False, count=10, **options):
        return record_bag(
            make_sequence(count, **options), tmp_path / name, storage, compressed
        ).path

    return make


@pytest.fixture
def make_folder(make_frames, tmp_path):
    """Return a function that writes a folder with times.txt."""

    def make(name='folder', count=5, depth=False, calibration=None):
        folder = tmp_path / name
        (folder / 'rgb').mkdir(parents=True)
        (folder / 'depth').mkdir()
        lines = ['# stamp_s rgb depth']
        for i, frame in enumerate(make_frames(count, depth=depth)):
            cv2.imwrite(str(folder / f'rgb/{i}.png'), frame.image)
            line = f'{i * 0.1 + 0.000000001:.9f} rgb/{i}.png'
            if depth:
                raw = np.rint(frame.depth.depth * 1000).astype(np.uint16)
                cv2.imwrite(str(folder / f'depth/{i}.png'), raw)
                line += f' depth/{i}.png'
            lines.append(line)
        (folder / 'times.txt').write_text('\n'.join(lines) + '\n')
        text = calibration if calibration is not None else calibration_text()
        (folder / 'calibration.yaml').write_text(text)
        return folder

    return make


@pytest.fixture
def calibration_file(tmp_path) -> Path:
    """Return a calibration file for the pictures of these tests."""
    path = tmp_path / 'camera.yaml'
    path.write_text(calibration_text())
    return path


def calibration_text() -> str:
    return (
        'camera_model: pinhole\nfx: 50.5\nfy: 51.25\ncx: 31.75\ncy: 23.5\nwidth: 64\nheight: 48\n'
        'distortion_model: radtan\ndistortion: [0.1, -0.05, 0.0, 0.0, 0.01]\n'
        'depth_scale_units_per_m: 1000\ndepth_invalid: [0, 4999]\n'
    )


def image_message(encoding, data, width=WIDTH, height=HEIGHT, step=None, big_endian=0, stamp=1):
    """Return a plain object with the fields of sensor_msgs/Image."""
    return SimpleNamespace(
        header=SimpleNamespace(
            stamp=SimpleNamespace(sec=stamp, nanosec=0), frame_id='cam_optical'
        ),
        encoding=encoding,
        width=width,
        height=height,
        step=len(data) // height if step is None else step,
        is_bigendian=big_endian,
        data=data,
    )


def camera_info(width=WIDTH, height=HEIGHT, **changes):
    """Return a plain object with the fields of sensor_msgs/CameraInfo."""
    fields = {
        'width': width,
        'height': height,
        'distortion_model': 'plumb_bob',
        'd': [0.1, 0.01, 0.0, 0.0, 0.0],
        'k': [50.0, 0.0, 31.5, 0.0, 52.0, 23.5, 0.0, 0.0, 1.0],
        'r': [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        'p': [49.0, 0.0, 31.0, -4.9, 0.0, 51.0, 23.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        'binning_x': 0,
        'binning_y': 0,
        'roi': SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False),
    }
    return SimpleNamespace(**{**fields, **changes})


@pytest.fixture(scope='session')
def messages():
    """Return the makers of plain message objects."""
    return SimpleNamespace(image=image_message, camera_info=camera_info)


@pytest.fixture(scope='session')
def ros():
    """Return what makes real messages and writes them into bags."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    from flowcam_ros.sequences.bag.messages import typestore

    store = typestore()

    def header(stamp_ns, frame_id):
        stamp = store.types['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 10**9))
        return store.types['std_msgs/msg/Header'](stamp, frame_id)

    def image(stamp_ns, encoding='mono8', pixels=None, frame_id='cam_optical'):
        pixels = np.zeros((HEIGHT, WIDTH), np.uint8) if pixels is None else pixels
        data = pixels.reshape(-1).view(np.uint8)
        return store.types['sensor_msgs/msg/Image'](
            header(stamp_ns, frame_id), *pixels.shape[:2], encoding, 0, pixels.strides[0], data
        )

    def info(stamp_ns, frame_id='cam_optical', **changes):
        plain = camera_info(**changes)
        region = store.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
        arrays = {key: np.array(getattr(plain, key), np.float64) for key in 'dkrp'}
        return store.types['sensor_msgs/msg/CameraInfo'](
            header=header(stamp_ns, frame_id),
            height=plain.height,
            width=plain.width,
            distortion_model=plain.distortion_model,
            binning_x=0,
            binning_y=0,
            roi=region,
            **arrays,
        )

    def static_transform(parent, child, translation, quaternion=(0.0, 0.0, 0.0, 1.0)):
        transform = store.types['geometry_msgs/msg/Transform'](
            store.types['geometry_msgs/msg/Vector3'](*translation),
            store.types['geometry_msgs/msg/Quaternion'](*quaternion),
        )
        stamped = store.types['geometry_msgs/msg/TransformStamped'](
            header(1, parent), child, transform
        )
        return store.types['tf2_msgs/msg/TFMessage']([stamped])

    def write(folder, items, storage='mcap'):
        """Write (topic, message, log_ns) or (topic, message, log_ns, bytes) in that order."""
        plugin = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}[storage]
        with Writer(folder, version=9, storage_plugin=plugin) as writer:
            connections = {}
            for topic, message, log_ns, *raw in items:
                kind = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=store)
                data = raw[0] if raw else store.serialize_cdr(message, kind)
                writer.write(connections[topic], log_ns, data)
        return folder

    return SimpleNamespace(
        image=image, info=info, static_transform=static_transform, write=write, store=store
    )
