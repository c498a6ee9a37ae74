# SPDX-License-Identifier: Apache-2.0
"""A bag's messages arrive over DDS, at the pace and with the stamps that were asked for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import serialize_message
from rosbags.interfaces import Qos, QosTime
from rosbags.interfaces import QosDurability as Durability
from rosbags.interfaces import QosHistory as History
from rosbags.interfaces import QosLiveliness as Liveliness
from rosbags.interfaces import QosReliability as Reliability
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from flowcam_ros.errors import UsageError
from flowcam_ros.ros.bag_messages import BagMessages, PlayedMessage, RecordedTopic
from flowcam_ros.ros.bag_player import BagPlayer, PlayReport
from flowcam_ros.ros.isolation import isolated_environment
from flowcam_ros.ros.play import conclude
from flowcam_ros.ros.read_ahead import ReadAhead
from flowcam_ros.ros.restamp import restamper_of

START = 1_700_000_000_123_456_789
PERIOD = 20_000_000
FRAMES = 25
LATCHED = Qos(
    History.KEEP_LAST,
    1,
    Reliability.RELIABLE,
    Durability.TRANSIENT_LOCAL,
    QosTime(0, 0),
    QosTime(0, 0),
    Liveliness.AUTOMATIC,
    QosTime(0, 0),
    False,
)


def image(index: int) -> Image:
    stamp = divmod(START + index * PERIOD, 10**9)
    message = Image(header=Header(frame_id='camera'), height=4, width=4, encoding='mono8', step=4)
    message.header.stamp.sec, message.header.stamp.nanosec = stamp
    message.data = bytes([index] * 16)
    return message


def transform(stamp_ns: int) -> TFMessage:
    from geometry_msgs.msg import TransformStamped

    message = TransformStamped(header=Header(frame_id='base'), child_frame_id='camera')
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return TFMessage(transforms=[message])


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bag of half a second: images, a latched transform, and a type nobody knows."""
    path = tmp_path_factory.mktemp('play') / 'bag'
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg('int32 x', 'unknown_msgs/msg/Thing'))
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        static = writer.add_connection(
            '/tf_static',
            'tf2_msgs/msg/TFMessage',
            typestore=store,
            offered_qos_profiles=[LATCHED],
        )
        images = writer.add_connection('/image', 'sensor_msgs/msg/Image', typestore=store)
        things = writer.add_connection('/thing', 'unknown_msgs/msg/Thing', typestore=store)
        writer.write(static, START, serialize_message(transform(0)))
        writer.write(things, START, bytes([0, 1, 0, 0, 7, 0, 0, 0]))
        for index in range(FRAMES):
            writer.write(images, START + index * PERIOD, serialize_message(image(index)))
    return path


@pytest.fixture(scope='module')
def environment() -> dict[str, str]:
    return isolated_environment({**os.environ, 'ROS_DOMAIN_ID': '45'})


class Listener:
    """Collects messages with the time of their arrival, in this process."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.context = Context()
        self.context.init(domain_id=int(environment['ROS_DOMAIN_ID']))
        self.node = Node('listener', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.received: dict[str, list[tuple[int, object]]] = {}

    def listen(self, kind: type, topic: str, qos: QoSProfile = qos_profile_sensor_data) -> None:
        into = self.received.setdefault(topic, [])
        self.node.create_subscription(kind, topic, lambda m: into.append((time.time_ns(), m)), qos)

    def spin_while(self, process: subprocess.Popen[str], timeout: float = 30.0) -> None:
        deadline = time.monotonic() + timeout
        while process.poll() is None and time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.05)
        for _ in range(200):
            self.executor.spin_once(timeout_sec=0.0)

    def messages(self, topic: str) -> list:
        return [message for _, message in self.received[topic]]

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def listener(environment: dict[str, str]) -> Iterator[Listener]:
    made = Listener(environment)
    yield made
    made.close()


def start(environment: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', 'flowcam_ros.cli.main', 'play', *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_every_message_arrives_in_order_and_on_time(
    bag: Path, environment: dict[str, str], listener: Listener
) -> None:
    latched = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
    listener.listen(Image, '/image', QoSProfile(depth=50))
    listener.listen(TFMessage, '/tf_static', latched)
    process = start(environment, bag, '--wait', '/image', '--wait', '/tf_static')
    listener.spin_while(process)
    output, errors = process.communicate()

    # The unknown type is a loss, told in one line; everything else was played.
    assert process.returncode == 3, errors
    assert 'unknown_msgs/msg/Thing is not installed' in errors
    assert 'Traceback' not in errors
    report = json.loads(output)
    assert report['messages'] == {'/image': FRAMES, '/tf_static': 1}
    assert report['stamp_offset_ns'] == 0
    images = listener.messages('/image')
    assert [bytes(m.data)[0] for m in images] == list(range(FRAMES))
    assert images == [image(index) for index in range(FRAMES)]
    assert len(listener.messages('/tf_static')) == 1
    arrivals = np.array([arrived for arrived, _ in listener.received['/image']])
    expected = (FRAMES - 1) * PERIOD
    assert abs(int(arrivals[-1] - arrivals[0]) - expected) < 0.2 * expected
    assert abs(report['seconds'] - expected * 1e-9) < 0.1


def test_stamps_can_be_moved_to_now(
    bag: Path, environment: dict[str, str], listener: Listener
) -> None:
    listener.listen(Image, '/image', QoSProfile(depth=50))
    process = start(environment, bag, '--now', '--topic=/image', '--wait=/image')
    listener.spin_while(process)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    offset = json.loads(output)['stamp_offset_ns']
    images = listener.messages('/image')
    assert len(images) == FRAMES
    for index, (arrived, message) in enumerate(listener.received['/image']):
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        assert stamp == START + index * PERIOD + offset
        assert -0.01 < (arrived - stamp) * 1e-9 < 0.5
        message.header.stamp = image(index).header.stamp
        assert message == image(index)


def test_clock_loop_rate_and_interrupt(
    bag: Path, environment: dict[str, str], listener: Listener
) -> None:
    listener.listen(Clock, '/clock', QoSProfile(depth=100))
    listener.listen(Image, '/image', QoSProfile(depth=100))
    process = start(environment, bag, '--clock', '--loop', '--rate=2', '--wait=/image')
    deadline = time.monotonic() + 20
    while len(listener.received['/image']) < 2 * FRAMES + 5 and time.monotonic() < deadline:
        listener.executor.spin_once(timeout_sec=0.05)
    process.send_signal(signal.SIGINT)
    listener.spin_while(process, 10.0)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == 'flowcam: interrupted'
    assert 'Traceback' not in errors
    times = np.array([m.clock.sec * 10**9 + m.clock.nanosec for m in listener.messages('/clock')])
    back = np.flatnonzero(np.diff(times) < 0)
    assert len(back) >= 2, 'the clock starts again with every pass'
    one_pass = times[back[0] + 1 : back[1] + 1]
    assert one_pass[0] >= START and one_pass[-1] <= START + FRAMES * PERIOD
    # A pass lasts a quarter of a second at double speed; at 40 Hz that would be 10 clocks.
    assert len(one_pass) > 10


def test_waiting_in_vain_says_for_what(bag: Path, environment: dict[str, str]) -> None:
    process = start(environment, bag, '--wait=/image', '--wait-timeout=0.2')
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert 'nobody subscribed to /image within 0.2 s' in errors


@pytest.mark.parametrize(
    ('arguments', 'code', 'message'),
    [
        (['--topic=/nothing'], 2, 'the bag has no topic /nothing; it has /image'),
        (['--start=100'], 2, 'nothing to play; it may be shorter'),
        (['--now', '--clock'], 2, 'contradict'),
        (['--rate=0'], 2, 'rate'),
    ],
)
def test_usage_errors(
    bag: Path, environment: dict[str, str], arguments: list[str], code: int, message: str
) -> None:
    process = start(environment, bag, *arguments)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert message in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_file_that_is_no_bag(tmp_path: Path, environment: dict[str, str]) -> None:
    path = tmp_path / 'a.mcap'
    path.write_bytes(b'nonsense')
    process = start(environment, path)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert 'is not an MCAP file' in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_late_start_still_sends_latched_messages(bag: Path) -> None:
    messages = BagMessages(bag)
    played = list(messages.messages({'/image', '/tf_static'}, skip_s=10 * PERIOD * 1e-9))
    assert played[0].topic == '/tf_static' and played[0].time_ns == START + 10 * PERIOD
    assert len(played) == 1 + FRAMES - 10
    assert {t.name for t in messages.topics if t.latched} == {'/tf_static'}
    short = list(messages.messages({'/image'}, skip_s=0.1, duration_s=0.1))
    assert [m.time_ns for m in short] == [START + i * PERIOD for i in range(5, 10)]


def test_a_bag_that_was_cut_off_is_played_as_far_as_it_goes(bag: Path, tmp_path: Path) -> None:
    cut = tmp_path / 'cut.mcap'
    whole = next(bag.glob('*.mcap')).read_bytes()
    cut.write_bytes(whole[: len(whole) * 4 // 10])
    messages = BagMessages(cut)
    played = list(messages.messages({'/image'}))
    assert 0 < len(played) < FRAMES
    assert any('truncated' in loss for loss in messages.losses)
    assert conclude(PlayReport(), messages.losses) == 3
    assert conclude(PlayReport(), []) == 0


def test_stamps_inside_transforms_are_moved() -> None:
    from rclpy.serialization import deserialize_message

    restamp = restamper_of(TFMessage)
    assert restamp is not None
    moved = restamp(bytes(serialize_message(transform(START))), lambda stamp: stamp + 5)
    assert deserialize_message(moved, TFMessage) == transform(START + 5)
    zero = bytes(serialize_message(transform(0)))
    assert deserialize_message(restamp(zero, lambda stamp: 7), TFMessage) == transform(0)
    assert restamper_of(Clock) is None


def test_big_endian_headers_are_moved() -> None:
    restamp = restamper_of(Image)
    assert restamp is not None
    message = b'\x00\x00\x00\x00' + (3).to_bytes(4, 'big') + (9).to_bytes(4, 'big') + b'rest'
    moved = restamp(message, lambda stamp: stamp + 1)
    assert moved[4:12] == (3).to_bytes(4, 'big') + (10).to_bytes(4, 'big')
    assert moved[12:] == b'rest'


def test_damaged_messages_are_left_out_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    context = Context()
    context.init(domain_id=97)
    node = Node('player', context=context)
    topic = RecordedTopic('/image', 'sensor_msgs/msg/Image', False, 3)
    player = BagPlayer(node, [topic], rate=1.0, clock_hz=0.0, now=True)
    whole = bytes(serialize_message(Image(header=Header(frame_id='camera'))))
    player.play(PlayedMessage('/image', START, data) for data in (b'', whole, whole[:9]))
    node.destroy_node()
    context.try_shutdown()
    assert (player.report.messages, player.report.damaged) == ({'/image': 1}, {'/image': 2})
    assert conclude(player.report, []) == 3
    assert '2 messages on /image are damaged' in capsys.readouterr().err


def test_reading_ahead_is_bounded_and_keeps_order() -> None:
    produced = 0

    def source() -> Iterator[PlayedMessage]:
        nonlocal produced
        for index in range(50):
            produced += 1
            yield PlayedMessage('/t', index, bytes(100))

    with ReadAhead(source(), budget_bytes=500) as ahead:
        iterator = iter(ahead)
        first = next(iterator)
        time.sleep(0.1)
        assert produced <= 8
        assert [first.time_ns, *(m.time_ns for m in iterator)] == list(range(50))


def test_an_error_while_reading_comes_after_what_was_read() -> None:
    def source() -> Iterator[PlayedMessage]:
        yield PlayedMessage('/t', 0, b'')
        raise ValueError('damaged')

    with ReadAhead(source()) as ahead:
        iterator = iter(ahead)
        assert next(iterator).time_ns == 0
        with pytest.raises(ValueError, match='damaged'):
            next(iterator)


def test_reading_ahead_can_be_abandoned() -> None:
    def source() -> Iterator[PlayedMessage]:
        while True:
            yield PlayedMessage('/t', 0, bytes(1000))

    begin = time.monotonic()
    with ReadAhead(source(), budget_bytes=10_000) as ahead:
        next(iter(ahead))
    assert time.monotonic() - begin < 1.0


def test_a_bag_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='nothing does not exist'):
        BagMessages(tmp_path / 'nothing')
