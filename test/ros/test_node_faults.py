# SPDX-License-Identifier: Apache-2.0
"""Broken, late and too many images do no harm to a node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from node_process import MOUNT

pytest.importorskip('rclpy', reason='needs ROS 2')

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from flowcam_ros.msg import OdometryStatus
from flowcam_ros.ros.conversions import stamp_msg, stamp_ns

CAMERA = 'camera_optical_frame'


def test_depth_full_of_nan_loses_track_but_never_sends_nan(probe: Any, recording: Any) -> None:
    probe.follow(recording, 3)
    begin, nothing = len(probe.odom), np.zeros_like(recording.depths[0])
    for index in range(3, 7):
        stamp, before = probe.tick(), len(probe.status)
        probe.send(recording.images[index], nothing, recording.camera, stamp)
        probe.until(lambda n=before: len(probe.status) > n, 'an answer')
    for message in probe.odom[begin:]:
        assert np.isfinite(np.array(message.pose.covariance)).all()
        assert np.isfinite(message.pose.pose.position.x)
    for index in range(7, 14):  # depth comes back
        status = probe.track(recording, index)
    assert status.state == OdometryStatus.TRACKING


def test_duplicates_and_late_images_are_counted_and_ignored(probe: Any, recording: Any) -> None:
    probe.follow(recording, 4)
    rejected, sent = probe.status[-1].frames_rejected, len(probe.odom)
    for stamp in (probe.now, probe.now - 10_000_000):
        probe.send(recording.images[4], recording.depths[4], recording.camera, stamp)
        probe.spin(0.3)
    status = probe.track(recording, 5)
    assert status.state == OdometryStatus.TRACKING
    assert status.frames_rejected == rejected + 2
    assert len(probe.odom) == sent + 1


def test_a_bag_that_begins_again_begins_a_new_epoch(probe: Any, recording: Any) -> None:
    probe.follow(recording, 4)
    epoch, begin = probe.status[-1].epoch, len(probe.odom)
    start = probe.now - 60 * 10**9
    statuses = [probe.track(recording, index, start + index * 33_333_333) for index in range(6)]
    assert [s.state for s in statuses] == [OdometryStatus.TRACKING] * 6
    assert {s.epoch for s in statuses} == {epoch + 1}
    probe.until(lambda: len(probe.odom) - begin >= 6, 'odom')
    first, last = probe.odom[begin].pose.pose.position, probe.odom[begin + 5].pose.pose.position
    assert [first.x, first.y, first.z] == pytest.approx([0, 0, 0], abs=1e-9)
    truth = recording.path(MOUNT, 6)[5, :3, 3]
    assert [last.x, last.y, last.z] == pytest.approx(truth, abs=0.005)
    probe.now += 10**9


def test_malformed_images_are_counted_by_cause_and_survived(
    running: tuple[Any, Any], probe: Any, recording: Any
) -> None:
    process, _ = running
    probe.follow(recording, 2)
    rejected = probe.status[-1].frames_rejected
    publisher = probe.publisher(Image, 'image')
    depths = probe.publisher(Image, 'depth/image')
    good = Image(height=240, width=320, encoding='16UC1', step=640, data=bytes(240 * 640))
    kinds = [
        Image(encoding='bgr8'),
        Image(height=2**31, width=2**31, encoding='bgr8', step=3, data=b'123'),
        Image(height=240, width=320, encoding='nonsense', step=960, data=bytes(10)),
        Image(height=240, width=320, encoding='mono8', step=320, data=bytes(77)),
    ]
    for image in kinds * 50:
        stamp = stamp_msg(probe.tick(1_000_000))
        image.header = good.header = Header(stamp=stamp, frame_id=CAMERA)
        publisher.publish(image)
        depths.publish(good)
        probe.spin(0.005)
    probe.until(
        lambda: probe.status[-1].frames_rejected >= rejected + 50, 'a count of rejected images'
    )
    assert len(probe.follow(recording, 3)) == 3
    warnings = [line for line in process.log.splitlines() if 'image rejected' in line]
    assert 1 <= len(warnings) <= 12
    assert any("'nonsense' is not supported; accepted: mono8" in line for line in warnings)
    probe.until(
        lambda: any(
            v.key == 'rejected: encoding' for d in probe.diagnostics[-3:] for v in d.values
        ),
        'diagnostics',
    )


def test_in_a_burst_images_are_dropped_and_counted_not_queued(probe: Any, recording: Any) -> None:
    probe.follow(recording, 3)
    begin, dropped = len(probe.status), probe.status[-1].frames_dropped

    def some_were_dropped() -> bool:
        for index in range(3, 9):
            stamp = probe.tick(2_000_000)
            probe.send(recording.images[index], recording.depths[index], recording.camera, stamp)
        probe.spin(0.5)
        return bool(probe.status[-1].frames_dropped > dropped)

    probe.until(some_were_dropped, 'a count of dropped images')
    probe.track(recording, 9)
    stamps = [stamp_ns(s.header.stamp) for s in probe.status[begin:]]
    # a node that waits for images says so with the time of the clock
    stamps = [stamp for stamp in stamps if stamp <= probe.now]
    assert len(stamps) > 1 and stamps == sorted(stamps)
