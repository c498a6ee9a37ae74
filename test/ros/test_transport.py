# SPDX-License-Identifier: Apache-2.0
"""The profile that lets images through, with no variable to set."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

import flowcam_ros
from flowcam_ros.errors import FlowcamError
from flowcam_ros.ros import transport
from flowcam_ros.ros.isolation import isolated_environment

VARIABLES = (*transport.PROFILE_VARIABLES, 'AMENT_PREFIX_PATH')


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        # Set and then removed, so that what the test sets is undone after it.
        monkeypatch.setenv(variable, '')
        monkeypatch.delenv(variable)


def test_the_profile_is_put_in_force() -> None:
    profile = transport.use_image_transport_profile()
    assert profile is not None
    assert transport.os.environ['FASTRTPS_DEFAULT_PROFILES_FILE'] == str(profile)
    sizes = [element.text for element in ET.parse(profile).iter() if 'segment_size' in element.tag]
    assert [int(size or 0) >= 2**24 for size in sizes] == [True]


@pytest.mark.parametrize('variable', transport.PROFILE_VARIABLES)
def test_a_profile_of_the_users_own_holds(variable, monkeypatch) -> None:
    monkeypatch.setenv(variable, '/my/profile.xml')
    before = {name: transport.os.environ.get(name) for name in transport.PROFILE_VARIABLES}
    assert transport.use_image_transport_profile() is None
    after = {name: transport.os.environ.get(name) for name in transport.PROFILE_VARIABLES}
    assert after == before


def test_an_installation_is_found_by_the_ament_prefixes(tmp_path, monkeypatch) -> None:
    (tmp_path / 'lib' / 'flowcam_ros').mkdir(parents=True)
    share = tmp_path / 'prefix' / 'share' / 'flowcam_ros'
    (share / 'config').mkdir(parents=True)
    monkeypatch.setattr(flowcam_ros, '__file__', str(tmp_path / 'lib/flowcam_ros/__init__.py'))
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nothing/here:{tmp_path / "prefix"}')
    assert transport.share_folder() == share
    with pytest.raises(FlowcamError, match=r'fastdds_images\.xml is missing'):
        transport.use_image_transport_profile()


def test_an_installation_without_its_files_says_what_to_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(flowcam_ros, '__file__', str(tmp_path / 'flowcam_ros' / '__init__.py'))
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    with pytest.raises(FlowcamError, match=r'source install/setup\.bash'):
        transport.share_folder()


def test_a_sourced_ros_installation_holds(monkeypatch) -> None:
    monkeypatch.setenv('AMENT_PREFIX_PATH', '/opt/ros/jazzy')
    transport.use_wheels_as_ament_prefix()
    assert transport.os.environ['AMENT_PREFIX_PATH'] == '/opt/ros/jazzy'


IMAGES = """
from flowcam_ros.ros.transport import use_image_transport_profile
use_image_transport_profile()
import sys, time, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node(sys.argv[1])
if sys.argv[1] == 'sender':
    publisher = node.create_publisher(Image, 'image', qos_profile_sensor_data)
    while not publisher.get_subscription_count():
        time.sleep(0.02)
    time.sleep(0.2)
    message = Image(height=480, width=640, encoding='bgr8', step=1920)
    message.data.frombytes(bytes(480 * 1920))
    for _ in range(60):
        publisher.publish(message)
        time.sleep(1 / 30)
    time.sleep(0.5)
else:
    heard = []
    node.create_subscription(Image, 'image', heard.append, qos_profile_sensor_data)
    print('ready', flush=True)
    end = time.monotonic() + 15
    while len(heard) < 60 and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.5)
    print(len(heard), flush=True)
rclpy.shutdown()
"""


def test_no_image_is_lost_between_processes() -> None:
    pytest.importorskip('rclpy')
    environment = isolated_environment()
    listener = subprocess.Popen(
        [sys.executable, '-c', IMAGES, 'listener'],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        sender = subprocess.run(
            [sys.executable, '-c', IMAGES, 'sender'], env=environment, timeout=60
        )
        heard, _ = listener.communicate(timeout=30)
    finally:
        listener.kill()
        listener.wait()
    assert sender.returncode == 0
    assert heard.split() == ['ready', '60']
