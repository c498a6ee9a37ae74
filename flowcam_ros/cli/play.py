# SPDX-License-Identifier: Apache-2.0
"""``flowcam play``; the playing itself needs ROS and is flowcam_ros.ros.play."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowcam_ros.cli.inputs import finite

BagArgument = Annotated[Path, typer.Argument(metavar='BAG', help='A ROS 2 bag: folder or file.')]
RosArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar='ROS_ARGS', help='For ROS, e.g. --ros-args -r /camera:=/image.'),
]
RateOption = Annotated[
    float, typer.Option(help='2 plays twice as fast.', min=0.01, max=100.0, callback=finite)
]
LoopOption = Annotated[bool, typer.Option('--loop', help='Begin again at the end.')]
ClockOption = Annotated[
    bool, typer.Option('--clock', help='Publish /clock (100 Hz), for nodes with use_sim_time.')
]
NowOption = Annotated[
    bool,
    typer.Option(
        '--now',
        help='Move all header stamps by one amount so that the bag seems to be recorded now.',
    ),
]
StartOption = Annotated[
    float, typer.Option(help='Leave out that many seconds.', min=0.0, callback=finite)
]
DurationOption = Annotated[
    float | None,
    typer.Option(help='Play at most that many seconds of the bag.', min=0.0, callback=finite),
]
TopicOption = Annotated[
    list[str] | None, typer.Option('--topic', help='Play only these topics; repeat for several.')
]
WaitOption = Annotated[
    list[str] | None,
    typer.Option('--wait', metavar='TOPIC', help='Begin only when TOPIC has a subscriber.'),
]
WaitTimeOption = Annotated[
    float,
    typer.Option(help='Give up waiting after that many seconds.', min=0.0, callback=finite),
]


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
) -> None:
    """Publish a bag's messages of any type over ROS 2; prints how it went as one line of JSON."""
    from flowcam_ros.cli.ros_process import replace_by_ros_module

    flags = {'--loop': loop, '--clock': clock, '--now': now}
    words = [
        f'--rate={rate}',
        f'--start={start}',
        f'--wait-timeout={wait_timeout}',
        *(flag for flag, chosen in flags.items() if chosen),
        *(f'--topic={name}' for name in topic or ()),
        *(f'--wait={name}' for name in wait or ()),
    ]
    if duration is not None:
        words.append(f'--duration={duration}')
    replace_by_ros_module('play', [*words, '--', str(bag), *(ros_arguments or ())])
