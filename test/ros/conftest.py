# SPDX-License-Identifier: Apache-2.0
"""The node in a process of its own, a camera and a listener in this one, over DDS."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from node_process import MOUNT, NodeProcess

pytest.importorskip('rclpy', reason='needs ROS 2')

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from tf2_ros import StaticTransformBroadcaster

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.msg import OdometryStatus
from flowcam_ros.ros.conversions import BODY_FROM_OPTICAL, stamp_msg, stamp_ns
from flowcam_ros.ros.isolation import isolated_environment
from flowcam_ros.ros.transport import use_image_transport_profile
from flowcam_ros.sequences.synthetic import SyntheticOptions, SyntheticSequence

CAMERA = 'camera_optical_frame'
PERIOD = 33_333_333
# The camera sits ahead of and above the base, and looks 10 degrees down.
BASE_FROM_CAMERA = se3.exp(np.array([0.2, 0.05, 0.4, 0.0, 0.1745, 0.0])) @ BODY_FROM_OPTICAL


@dataclass(frozen=True)
class Recording:
    """Pictures with depth, and where the camera truly was."""

    camera: CameraModel
    images: list[np.ndarray]
    depths: list[np.ndarray]
    world_from_camera: np.ndarray

    def path(self, base_from_camera: np.ndarray, count: int) -> np.ndarray:
        """True poses of the base in an odometry frame that begins at the first of them."""
        odom_from_world = base_from_camera @ se3.inverse(self.world_from_camera[0])
        camera_from_base = se3.inverse(base_from_camera)
        return np.stack(
            [odom_from_world @ pose @ camera_from_base for pose in self.world_from_camera[:count]]
        )


@pytest.fixture(scope='session')
def recording() -> Recording:
    """Return two thirds of a second in the synthetic room."""
    options = SyntheticOptions(width=320, height=240, frames=20)
    sequence = SyntheticSequence(options)
    frames = list(sequence)
    return Recording(
        sequence.camera,
        [frame.image for frame in frames],
        [frame.depth.depth for frame in frames if frame.depth],
        sequence.ground_truth().world_from_camera,
    )


@pytest.fixture(scope='session')
def ros_environment() -> dict[str, str]:
    """Return the environment of node processes: a domain nobody else uses."""
    environment = {k: v for k, v in os.environ.items() if k != 'ROS_DOMAIN_ID'}
    use_image_transport_profile()
    return isolated_environment({**environment, **_profile()})


def _profile() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k.endswith('_DEFAULT_PROFILES_FILE')}


class Probe:
    """A camera, a listener and a client in one node."""

    def __init__(self, domain: int, prefix: str = '') -> None:
        self.context = Context()
        self.context.init(domain_id=domain)
        self.node = Node('probe', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.odom: list[Odometry] = []
        self.status: list[OdometryStatus] = []
        self.transforms: list[TransformStamped] = []
        self.diagnostics: list[Any] = []
        reliable = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
        self.listen(Odometry, f'{prefix}odom', self.odom.append, reliable)
        self.listen(OdometryStatus, f'{prefix}odometry/status', self.status.append, reliable)
        self.listen(TFMessage, '/tf', lambda m: self.transforms.extend(m.transforms), reliable)
        self.listen(
            DiagnosticArray, '/diagnostics', lambda m: self.diagnostics.extend(m.status), reliable
        )
        self.prefix = prefix
        self._publishers: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self._static: StaticTransformBroadcaster | None = None
        self.now = 1_700_000_000_000_000_000

    def listen(
        self, kind: type, topic: str, callback: Callable[[Any], object], qos: QoSProfile
    ) -> Any:
        return self.node.create_subscription(kind, topic, callback, qos)

    def publisher(self, kind: type, topic: str) -> Any:
        if topic not in self._publishers:
            made = self.node.create_publisher(kind, topic, qos_profile_sensor_data)
            self._publishers[topic] = made
        return self._publishers[topic]

    def drop_publisher(self, topic: str) -> None:
        self.node.destroy_publisher(self._publishers.pop(topic))

    def until(self, done: Callable[[], object], what: str, timeout: float = 30.0) -> None:
        """Spin until something holds."""
        deadline = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < deadline, f'waited {timeout} s for {what}'
            self.executor.spin_once(timeout_sec=0.02)

    def spin(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def call(self, kind: type, name: str, request: Any = None) -> Any:
        future = self._client(kind, name).call_async(request or kind.Request())
        self.until(future.done, f'answer of {name}')
        return future.result()

    def _client(self, kind: type, name: str) -> Any:
        if name not in self._clients:
            client = self.node.create_client(kind, f'{self.prefix}odometry/{name}')
            self.until(client.service_is_ready, f'service {name}')
            # the server must have heard of the client as well, or its answer goes nowhere
            self.spin(0.5)
            self._clients[name] = client
        return self._clients[name]

    def hang_up_camera(self, parent: str, base_from_camera: np.ndarray) -> None:
        """Publish where the camera is, as robot_state_publisher does."""
        message = TransformStamped(header=Header(frame_id=parent), child_frame_id=CAMERA)
        t, q = message.transform.translation, message.transform.rotation
        t.x, t.y, t.z = map(float, base_from_camera[:3, 3])
        q.x, q.y, q.z, q.w = map(float, se3.quaternion(base_from_camera))
        self._static = self._static or StaticTransformBroadcaster(self.node)
        self._static.sendTransform(message)

    def tick(self, nanoseconds: int = PERIOD) -> int:
        """Go on in time; return the new stamp."""
        self.now += nanoseconds
        return self.now

    def send(
        self,
        image: np.ndarray,
        depth: np.ndarray | None,
        camera: CameraModel,
        stamp: int,
        *,
        with_info: bool = True,
    ) -> None:
        """Publish what an RGB-D camera does for one picture."""
        header = Header(stamp=stamp_msg(stamp), frame_id=CAMERA)
        if with_info:
            self.publisher(CameraInfo, 'camera_info').publish(info_msg(camera, header))
        self.publisher(Image, 'image').publish(image_msg(image, 'bgr8', header))
        if depth is not None:
            millimetres = np.rint(depth * 1000.0).astype(np.uint16)
            self.publisher(Image, 'depth/image').publish(image_msg(millimetres, '16UC1', header))

    def track(self, recording: Recording, index: int, stamp: int | None = None) -> OdometryStatus:
        """Send one picture and return the node's answer to it."""
        stamp = self.tick() if stamp is None else stamp
        before = len(self.status)
        self.send(recording.images[index], recording.depths[index], recording.camera, stamp)

        def answers() -> list[OdometryStatus]:
            return [s for s in self.status[before:] if stamp_ns(s.header.stamp) == stamp]

        self.until(answers, f'the answer to frame {index}')
        return answers()[0]

    def follow(self, recording: Recording, count: int) -> np.ndarray:
        """Begin anew, send pictures one by one; return the poses that odom said."""
        assert self.call(Trigger, 'reset').success
        begin = len(self.odom)
        for index in range(count):
            assert self.track(recording, index).state == OdometryStatus.TRACKING
        self.until(lambda: len(self.odom) - begin >= count, 'odom')
        return np.stack([pose_of(message) for message in self.odom[begin:]])

    def warm_up(self, recording: Recording) -> None:
        """Wait until the node hears the camera and this process hears the node."""
        topics = ('image', 'camera_info', 'depth/image')
        for topic in topics:
            self.publisher(CameraInfo if 'info' in topic else Image, topic)
        self.until(
            lambda: all(self._publishers[t].get_subscription_count() for t in topics),
            'the node to subscribe',
        )

        def answered() -> bool:
            stamp = self.tick()
            self.send(recording.images[0], recording.depths[0], recording.camera, stamp)
            self.spin(0.2)
            return any(s.frames_processed for s in self.status)

        self.until(answered, 'the first answer')

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


def image_msg(array: np.ndarray, encoding: str, header: Header) -> Image:
    message = Image(header=header, height=array.shape[0], width=array.shape[1], encoding=encoding)
    message.step = array[0].nbytes
    message.data.frombytes(np.ascontiguousarray(array).tobytes())
    return message


def info_msg(camera: CameraModel, header: Header) -> CameraInfo:
    message = CameraInfo(header=header, width=camera.width, height=camera.height)
    message.distortion_model = 'plumb_bob'
    message.k = camera.matrix.ravel()
    return message


def pose_of(message: Odometry) -> np.ndarray:
    p, q = message.pose.pose.position, message.pose.pose.orientation
    return se3.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


@pytest.fixture(scope='session')
def run_node(
    ros_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Return a context manager that runs a node with parameters, in a domain of its own."""

    @contextmanager
    def run(
        *arguments: str, prefix: str = '', module: str = 'odometry_node', **parameters: object
    ) -> Iterator[tuple[NodeProcess, Probe]]:
        environment = {k: v for k, v in ros_environment.items() if k != 'ROS_DOMAIN_ID'}
        environment = isolated_environment(environment)
        folder = tmp_path_factory.mktemp('node')
        parameters.setdefault('output_dir', str(folder))
        log = folder / 'log.txt'
        process = NodeProcess(environment, log, *arguments, module=module, **parameters)
        probe = Probe(int(environment['ROS_DOMAIN_ID']), prefix)
        try:
            yield process, probe
        finally:
            probe.close()
            process.kill()

    return run


@pytest.fixture(scope='module')
def running(run_node: Callable[..., Any], recording: Recording) -> Iterator[tuple[Any, Any]]:
    """A node that tracks, with its camera hung up on base_link; shared by the tests of a file."""
    with run_node(depth__source='sensor', depth_rate=0.0, path_rate=10.0) as (process, probe):
        probe.hang_up_camera('base_link', MOUNT)
        probe.warm_up(recording)
        yield process, probe


@pytest.fixture
def probe(running: tuple[Any, Any]) -> Any:
    """What talks to that node."""
    return running[1]
