# SPDX-License-Identifier: Apache-2.0
"""How the live node keeps up: a camera of 30 Hz in one process, the node in another, over DDS.

``python -m benchmarks.live``, run in the repository, prints a table and saves it; see README.md.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rclpy
from rclpy.signals import SignalHandlerOptions

from benchmarks.arguments import run_main
from benchmarks.machine import ProcessMeter, describe_machine
from flowcam_ros.cli.run_report import percentiles
from flowcam_ros.errors import FlowcamError
from flowcam_ros.export.atomic import write_text
from flowcam_ros.export.json_file import dumps
from flowcam_ros.ros.child_process import ChildProcess
from flowcam_ros.ros.isolation import isolated_environment
from flowcam_ros.ros.transport import use_image_transport_profile
from flowcam_ros.ros.witness import Witness
from flowcam_ros.sequences import open_sequence
from flowcam_ros.sequences.record import record_bag

TOPICS = {
    'rgbd': ('image', 'camera_info', 'depth/image', 'depth/camera_info'),
    'mono': ('image', 'camera_info'),
}
SOURCES = {'rgbd': 'sensor', 'mono': 'none'}
# Growth of memory is fitted after this time, when all buffers have found their size.
SETTLED_S = 60.0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--sizes', default='640x480,1280x720', help='image sizes')
    parser.add_argument('--modes', default='rgbd,mono', help='rgbd, mono or both')
    parser.add_argument('--rate', type=float, default=30.0, help='images per second')
    parser.add_argument('--seconds', type=float, default=20.0, help='length of each run')
    parser.add_argument('--minutes', type=float, help='soak: length of each run in minutes')
    parser.add_argument('--frames', type=int, default=60, help='different images, sent again')
    parser.add_argument('--set', action='append', default=[], help='node parameter, key:=value')
    parser.add_argument(
        '--output', type=Path, default=Path(__file__).parent / 'results', help='folder'
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run every combination of size and mode, print and save the table."""
    options = parse()
    os.environ.update(isolated_environment())
    use_image_transport_profile()
    seconds = options.seconds if options.minutes is None else options.minutes * 60.0
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for size, mode in itertools.product(options.sizes.split(','), options.modes.split(',')):
            width, height = map(int, size.split('x'))
            folder = Path(temporary) / f'{size}_{mode}'
            folder.mkdir()
            print(f'{size} {mode}: rendering', file=sys.stderr, flush=True)
            specification = f'synthetic:walk?width={width}&height={height}&frames={options.frames}'
            record_bag(open_sequence(specification), folder / 'bag')
            print(f'{size} {mode}: {seconds:g} s live', file=sys.stderr, flush=True)
            rows.append(
                {'size': size, 'mode': mode}
                | measure(folder, mode, options.rate, seconds, options.set)
            )
    report = {'machine': describe_machine(), 'rate_hz': options.rate, 'rows': rows}
    text = table(report)
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    name = datetime.datetime.now(datetime.timezone.utc).strftime('live_%Y%m%d_%H%M%S')
    write_text(options.output / f'{name}.md', text)
    write_text(options.output / f'{name}.json', dumps(report))
    print(f'saved as {options.output / name}.md and .json', file=sys.stderr)
    return 0


def measure(
    folder: Path, mode: str, rate: float, seconds: float, parameters: list[str]
) -> dict[str, Any]:
    """Run camera and node once and return the figures."""
    arguments = ['--ros-args', '-p', "base_frame:=''", '-p', f'depth.source:={SOURCES[mode]}']
    for parameter in parameters:
        arguments += ['-p', parameter]
    for topic in TOPICS[mode]:
        arguments += ['-r', f'{topic}:=/camera/{topic}']
    topics = [f'/camera/{topic}' for topic in TOPICS[mode]]
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        with (
            Witness(rclpy.create_node('benchmark_witness')) as witness,
            ChildProcess('node', 'flowcam_ros.ros.odometry_node', arguments, folder) as odometry,
            ChildProcess(
                'camera',
                'benchmarks.live_publisher',
                [str(folder / 'bag'), str(rate), str(seconds), *topics],
                folder,
            ) as camera,
        ):
            while witness.status is None or witness.status.frames_received == 0:
                check(odometry, camera)
                time.sleep(0.05)
            with ProcessMeter(odometry.process.pid) as meter:
                while not camera.ended:
                    check(odometry, None)
                    time.sleep(0.2)
            if camera.process.returncode != 0:
                raise FlowcamError(f'the camera failed: {camera.last_words()}')
            sent = json.loads(camera.output())
            witness.wait_for_answers(sent['sent'], 2.0)
    finally:
        rclpy.try_shutdown()
    return figures(witness, meter, sent)


def figures(witness: Witness, meter: ProcessMeter, sent: dict[str, float]) -> dict[str, Any]:
    """Return one row of the table."""
    status = witness.status
    assert status is not None
    latency = percentiles(witness.latencies_ms)
    return {
        'sent': sent['sent'],
        'received': status.frames_received,
        'answered': len(witness.poses),
        'dropped': status.frames_dropped,
        'rejected': status.frames_rejected,
        'latency_ms': latency,
        'camera_late_ms': sent['latest_ms'],
        'cpu_percent': meter.cpu_percent(),
        'rss_start_mb': meter.rss_mb[0],
        'rss_end_mb': meter.rss_mb[-1],
        'rss_slope_mb_per_10_min': meter.slope_mb_per_10_min(SETTLED_S),
        'reasons': dict(witness.reasons),
    }


def check(odometry: ChildProcess, camera: ChildProcess | None) -> None:
    """Raise FlowcamError if a process has ended that should not have."""
    for child in (odometry, camera):
        if child is not None and child.ended:
            raise FlowcamError(f'{child.name} ended early: {child.last_words()}')


def table(report: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    machine = report['machine']
    lines = [
        f'# Live benchmark, {machine["date"]}',
        '',
        ', '.join(str(machine[key]) for key in ('processor', 'memory', 'system'))
        + f', {machine["cores"]} cores, Python {machine["python"]}, commit {machine["commit"]}.',
        f'Images at {report["rate_hz"]:g} Hz over DDS between processes; latency from the stamp '
        'of an image to the arrival of its odom in a third process; CPU in % of one core.',
        '',
        '| images | sent | received | answered | dropped | rejected | latency ms p50 / p95 / max '
        '| CPU % | memory start / end MB | growth MB in 10 min |',
        '|---|---|---|---|---|---|---|---|---|---|',
    ]
    for row in report['rows']:
        latency = ' / '.join(
            '-' if value is None else f'{value:.0f}' for value in row['latency_ms'].values()
        )
        slope = row['rss_slope_mb_per_10_min']
        lines.append(
            f'| {row["size"]} {row["mode"]} | {row["sent"]} | {row["received"]} | '
            f'{row["answered"]} | {row["dropped"]} | {row["rejected"]} | {latency} | '
            f'{row["cpu_percent"]:.0f} | {row["rss_start_mb"]:.0f} / {row["rss_end_mb"]:.0f} | '
            f'{"-" if slope != slope else f"{slope:+.1f}"} |'
        )
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    run_main('live', main)
