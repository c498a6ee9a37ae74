# SPDX-License-Identifier: Apache-2.0
"""The whole package at work: a rendered bag is played over DDS into the real node, and judged.

``python -m flowcam_ros.ros.demo``; the options are those of ``flowcam demo``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import typer
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from tf2_ros import StaticTransformBroadcaster

from flowcam_ros.cli.demo import FramesOption, KeepOption, OutputOption, SeedOption
from flowcam_ros.cli.guard import run_app
from flowcam_ros.cli.progress import progress
from flowcam_ros.errors import FlowcamError
from flowcam_ros.export.atomic import new_folder
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.axes import BODY_FROM_OPTICAL
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.ros.child_process import ChildProcess
from flowcam_ros.ros.conversions import header, quaternion_msg, vector_msg
from flowcam_ros.ros.demo_result import DemoResult, cloud_stamp, picture_at
from flowcam_ros.ros.isolation import isolated_environment
from flowcam_ros.ros.transport import use_image_transport_profile
from flowcam_ros.ros.witness import Witness
from flowcam_ros.sequences import open_sequence
from flowcam_ros.sequences.record import record_bag

PATIENCE_S = 3.0
START_TIMEOUT_S = 40.0
TOPICS = ('image', 'camera_info', 'depth/image', 'depth/camera_info')
# A robot wants the newest image; here every image is wanted, also when the machine is busy.
PARAMETERS = {
    'depth.source': 'sensor',
    'always_process_most_recent_frame': 'false',
    'topic_queue_size': '100',
    'sync_queue_size': '100',
}


def demo(
    output: OutputOption = None,
    frames: FramesOption = 200,
    seed: SeedOption = 0,
    keep: KeepOption = False,
) -> int:
    """Show the odometry at work, and measure it."""
    os.environ.update(isolated_environment())
    use_image_transport_profile()
    target = output or free_name(Path('flowcam_demo'))
    with new_folder(target) as folder:
        bag = folder / 'bag'
        truth = render(bag, frames, seed)
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        try:
            problems = show(bag, truth, folder)
        finally:
            rclpy.try_shutdown()
        if not keep:
            shutil.rmtree(bag)
    say(f'picture   {target / "demo.png"}')
    for problem in problems:
        print(f'flowcam: error: {problem}', file=sys.stderr)
    return 1 if problems else 0


def render(bag: Path, frames: int, seed: int) -> Trajectory:
    """Render the walk into a bag and return its true path."""
    say(f'rendering {frames} frames (640x480, colour and depth) into a ROS 2 bag ...')
    sequence = open_sequence(f'synthetic:walk?frames={frames}&seed={seed}')
    with progress('rendering', frames) as advance:
        record_bag(sequence, bag, progress=lambda _: advance())
    truth = sequence.ground_truth()
    assert truth is not None, 'the synthetic world knows the truth'
    return truth


def show(bag: Path, truth: Trajectory, folder: Path) -> list[str]:
    """Play the bag into the node, write the results, and return what went wrong."""
    node = rclpy.create_node('flowcam_demo')
    base_from_camera = mount_camera(node)
    arguments = ['--ros-args']
    for key, value in PARAMETERS.items():
        arguments += ['-p', f'{key}:={value}']
    for topic in TOPICS:
        arguments += ['-r', f'{topic}:=/camera/{topic}']
    say('starting the odometry node ...')
    with (
        Witness(node, cloud_after=len(truth) // 2) as witness,
        ChildProcess('node', 'flowcam_ros.ros.odometry_node', arguments, folder) as odometry,
    ):
        wait_for_listener(node, '/tf_static', odometry)
        report = play(bag, folder, odometry)
        sent = report['messages']['/camera/image']
        witness.wait_for_answers(sent, PATIENCE_S)
    if not witness.poses:
        raise FlowcamError(f'the node sent no odometry: {odometry.last_words()}')
    offset = report['stamp_offset_ns']
    result = DemoResult.of(witness, truth, base_from_camera, sent, offset)
    image = picture_at(open_sequence(bag), cloud_stamp(witness) - offset)
    result.write(folder, witness, truth, image)
    for line in result.lines():
        say(line)
    return result.problems()


def play(bag: Path, folder: Path, odometry: ChildProcess) -> dict[str, Any]:
    """Play the bag once the node listens, and return the player's report.

    Raises:
        FlowcamError: the node or the player failed; names the reason.
    """
    words = ['--now', f'--wait-timeout={START_TIMEOUT_S}', str(bag)]
    words += [f'--wait=/camera/{topic}' for topic in TOPICS]
    with ChildProcess('play', 'flowcam_ros.ros.play', words, folder) as player:
        say('playing the bag over DDS ...')
        while not player.ended:
            if odometry.ended:
                raise FlowcamError(f'the node ended early: {odometry.last_words()}')
            time.sleep(0.05)
        if player.process.returncode != 0:
            raise FlowcamError(f'the bag could not be played: {player.last_words()}')
        report: dict[str, Any] = json.loads(player.output())
        return report


def wait_for_listener(node: Node, topic: str, odometry: ChildProcess) -> None:
    """Wait until the odometry node listens to a topic of this process.

    Raises:
        FlowcamError: it ended, or does not listen within START_TIMEOUT_S.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while node.count_subscribers(topic) == 0:
        if odometry.ended:
            raise FlowcamError(f'the node ended early: {odometry.last_words()}')
        if time.monotonic() > deadline:
            raise FlowcamError(f'the node does not listen to {topic}: {odometry.last_words()}')
        time.sleep(0.05)


def mount_camera(node: Node) -> np.ndarray:
    """Tell TF where the camera sits on the robot: 20 cm ahead, 40 cm up; return that pose."""
    base_from_camera = BODY_FROM_OPTICAL.copy()
    base_from_camera[:3, 3] = (0.2, 0.0, 0.4)
    now = node.get_clock().now().nanoseconds
    edge = TransformStamped(header=header(now, 'base_link'), child_frame_id='camera_optical_frame')
    edge.transform.translation = vector_msg(base_from_camera[:3, 3])
    edge.transform.rotation = quaternion_msg(se3.quaternion(base_from_camera))
    StaticTransformBroadcaster(node).sendTransform(edge)
    return base_from_camera


def free_name(wanted: Path) -> Path:
    """Return the name, or the first of name_2, name_3, ... that is free."""
    number, candidate = 1, wanted
    while os.path.lexists(candidate):
        number += 1
        candidate = wanted.with_name(f'{wanted.name}_{number}')
    return candidate


def say(text: str) -> None:
    """Tell the user what is going on, at once."""
    print(text, flush=True)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(demo)


def main() -> int:
    """Run the demonstration with the arguments of this process."""
    return run_app(app, None, 'flowcam demo')


if __name__ == '__main__':
    sys.exit(main())
