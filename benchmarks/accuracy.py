# SPDX-License-Identifier: Apache-2.0
"""Accuracy and speed on recordings with ground truth: one row each, with depth and without."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import describe_machine
from flowcam_ros.export.atomic import write_text

_DONE_WITH_LOSSES = 3

HEADER = (
    '| sequence | depth | ATE | of the path | turn a frame | tracked | states '
    '| frame ms p50 / p95 | frames/s | memory MB |\n|---|---|---|---|---|---|---|---|---|---|'
)


def main() -> None:
    """Run every recording given, print the table and save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folders', nargs='+', type=Path, help='folders with groundtruth.tum')
    parser.add_argument('--output', type=Path, help='file to write the table to')
    arguments = parser.parse_args()
    machine = describe_machine()
    lines = [
        f'# Accuracy, {machine["date"]}',
        '',
        f'{machine["processor"]}, {machine["cores"]} cores, {machine["memory"]}, Python '
        f'{machine["python"]}, commit {machine["commit"]}. ATE: RMSE after SE(3) alignment with '
        'depth, Sim(3) without; turn: median error of the rotation from frame to frame.',
        '',
        HEADER,
    ]
    for folder in arguments.folders:
        for depth in depth_modes(folder):
            lines.append(row(folder, depth))
            print(lines[-1], file=sys.stderr)
    table = '\n'.join(lines) + '\n'
    print(table)
    if arguments.output:
        write_text(arguments.output, table)


def depth_modes(folder: Path) -> Iterator[str]:
    """Yield how a recording can be run: with its depth if it has some, and without."""
    calibration = yaml.safe_load((folder / 'calibration.yaml').read_text(encoding='utf-8'))
    if 'depth_scale_units_per_m' in calibration:
        yield 'sensor'
    yield 'none'


def row(folder: Path, depth: str) -> str:
    """Run one recording in a process of its own and return its row of the table."""
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / 'run'
        flowcam('odometry', str(folder), '--output', str(output), '--depth', depth)
        align = 'se3' if depth == 'sensor' else 'sim3'
        truth = str(folder / 'groundtruth.tum')
        found = flowcam('evaluate', str(output / 'trajectory.tum'), truth, '--align', align)
        run: dict[str, Any] = json.loads((output / 'run.json').read_text(encoding='utf-8'))
    errors: dict[str, Any] = json.loads(found)
    states = ', '.join(f'{name} {count}' for name, count in run['states'].items())
    frame = run['frame_ms']
    return (
        f'| {folder.name} | {depth} | {1e3 * errors["ate_rmse"]:.1f} mm '
        f'| {errors["ate_percent"]:.2f} % | {errors["rpe"]["rotation_deg"]["median"]:.3f}° '
        f'| {run["tracked"]} of {run["frames"]} | {states} | {frame["p50"]:.1f} / '
        f'{frame["p95"]:.1f} | {run["fps"]:.0f} | {run["peak_rss_mb"]:.0f} |'
    )


def flowcam(*words: str) -> str:
    """Run the command line; return what it prints."""
    command = [sys.executable, '-m', 'flowcam_ros.cli.main', *words]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode not in (0, _DONE_WITH_LOSSES):
        raise SystemExit(result.stderr.strip())
    return result.stdout


if __name__ == '__main__':
    main()
