# SPDX-License-Identifier: Apache-2.0
"""Publishes the messages of a bag over ROS 2: ``python -m flowcam_ros.ros.play BAG``.

The options are those of ``flowcam play``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import rclpy
import typer
from rclpy.signals import SignalHandlerOptions

from flowcam_ros.cli.guard import run_app
from flowcam_ros.cli.inputs import DONE_WITH_LOSSES
from flowcam_ros.cli.play import (
    BagArgument,
    ClockOption,
    DurationOption,
    LoopOption,
    NowOption,
    RateOption,
    RosArguments,
    StartOption,
    TopicOption,
    WaitOption,
    WaitTimeOption,
)
from flowcam_ros.errors import FlowcamError, UsageError
from flowcam_ros.ros.bag_messages import BagMessages
from flowcam_ros.ros.bag_player import BagPlayer, PlayReport
from flowcam_ros.ros.read_ahead import ReadAhead
from flowcam_ros.ros.transport import use_image_transport_profile

CLOCK_HZ = 100.0


def play(
    bag: BagArgument,
    ros_arguments: RosArguments = None,
    rate: RateOption = 1.0,
    loop: LoopOption = False,
    clock: ClockOption = False,
    now: NowOption = False,
    start: StartOption = 0.0,
    duration: DurationOption = None,
    topic: TopicOption = None,
    wait: WaitOption = None,
    wait_timeout: WaitTimeOption = 30.0,
) -> int:
    """Publish a bag's messages over ROS 2."""
    if now and clock:
        raise UsageError('--now and --clock contradict: the stamps are either of now or of then')
    messages = BagMessages(bag)
    topics = choose_topics(messages, topic, wait)
    if clock:
        topics.discard('/clock')  # this player tells the time itself
    use_image_transport_profile()
    rclpy.init(args=ros_arguments, signal_handler_options=SignalHandlerOptions.NO)
    try:
        player = BagPlayer(
            rclpy.create_node('flowcam_play'),
            [t for t in messages.topics if t.name in topics],
            rate=rate,
            clock_hz=CLOCK_HZ if clock else 0.0,
            now=now,
        )
        missing = player.wait_for_subscribers(wait or (), wait_timeout)
        if missing:
            raise FlowcamError(
                f'nobody subscribed to {", ".join(missing)} within {wait_timeout:g} s; '
                'compare with ros2 topic list, and remap with -r'
            )
        while True:
            with ReadAhead(messages.messages(player.topics, start, duration)) as ahead:
                player.play(ahead)
            if not player.report.messages:
                raise UsageError(f'{bag}: nothing to play; it may be shorter than --start')
            if not loop:
                break
        player.flush()
    finally:
        rclpy.try_shutdown()
    return conclude(player.report, messages.losses)


def choose_topics(
    messages: BagMessages, chosen: list[str] | None, wanted: list[str] | None
) -> set[str]:
    """Return the topics to play.

    Raises:
        UsageError: a topic that was asked for is not in the bag, or not played.
    """
    known = {topic.name for topic in messages.topics}
    listing = ', '.join(f'{t.name} ({t.type}, {t.messages})' for t in messages.topics)
    for name in [*(chosen or ()), *(wanted or ())]:
        if name not in known:
            raise UsageError(f'the bag has no topic {name}; it has {listing}')
    topics = set(chosen or known)
    left_out = set(wanted or ()) - topics
    if left_out:
        raise UsageError(f'--wait for {", ".join(sorted(left_out))}, which is not played')
    return topics


def conclude(report: PlayReport, losses: Sequence[str]) -> int:
    """Print the report as one line of JSON, warn of what was left out, return the exit code."""
    left_out = [f'{name} was not played: {why}' for name, why in report.skipped.items()]
    left_out += [f'{n} messages on {name} are damaged' for name, n in report.damaged.items()]
    for loss in [*left_out, *losses]:
        print(f'flowcam: warning: {loss}', file=sys.stderr)
    print(json.dumps(asdict(report)), flush=True)
    return DONE_WITH_LOSSES if left_out or losses else 0


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(play)


def main() -> int:
    """Play a bag with the arguments of this process."""
    return run_app(app, None, 'flowcam play')


if __name__ == '__main__':
    sys.exit(main())
