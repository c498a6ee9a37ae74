# SPDX-License-Identifier: Apache-2.0
"""A small recording on disk, and the program as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

FRAMES = 6
WIDTH, HEIGHT, FOCAL, DEPTH_M = 160, 120, 150.0, 2.0


def write_folder(folder: Path, frames: int = FRAMES) -> Path:
    """Write a textured wall two metres away, past which the camera slides 2 cm a frame."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (HEIGHT, WIDTH + 3 * frames), np.uint8)
    wall = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)
    step_px = 3
    (folder / 'rgb').mkdir(parents=True)
    (folder / 'depth').mkdir()
    times, truth = [], []
    for index in range(frames):
        begin = index * step_px
        cv2.imwrite(str(folder / f'rgb/{index:04d}.png'), wall[:, begin : begin + WIDTH])
        depth = np.full((HEIGHT, WIDTH), round(DEPTH_M * 1000), np.uint16)
        cv2.imwrite(str(folder / f'depth/{index:04d}.png'), depth)
        stamp = f'{100 + index // 30}.{index % 30 * 33333333:09d}'
        times.append(f'{stamp} rgb/{index:04d}.png depth/{index:04d}.png')
        truth.append(f'{stamp} {index * step_px * DEPTH_M / FOCAL:.9f} 0 0 0 0 0 1')
    (folder / 'times.txt').write_text('\n'.join(times) + '\n')
    (folder / 'groundtruth.tum').write_text('\n'.join(truth) + '\n')
    (folder / 'calibration.yaml').write_text(
        f'fx: {FOCAL}\nfy: {FOCAL}\ncx: {WIDTH / 2}\ncy: {HEIGHT / 2}\n'
        f'width: {WIDTH}\nheight: {HEIGHT}\n'
        'distortion_model: none\ndistortion: []\ndepth_scale_units_per_m: 1000\n'
        'depth_registered_to_rgb: true\n'
    )
    return folder


@pytest.fixture(scope='session')
def make_recording() -> Callable[..., Path]:
    """Return a function that writes such a folder."""
    return write_folder


@pytest.fixture(scope='session')
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of six frames with depth and ground truth."""
    return write_folder(tmp_path_factory.mktemp('recording') / 'wall')


@pytest.fixture(scope='session')
def command() -> Callable[..., list[str]]:
    """Return a function that gives the words that start ``flowcam``."""
    return program_words


@pytest.fixture(scope='session')
def flowcam() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs ``flowcam`` in a process of its own."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            program_words(*arguments),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,  # type: ignore[call-overload]
        )

    return run


@pytest.fixture(scope='session')
def error_line() -> Callable[[subprocess.CompletedProcess[str]], str]:
    """Return a function that gives the message of a failed run: one line, no traceback."""

    def only_line(result: subprocess.CompletedProcess[str]) -> str:
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith('flowcam: error: ')
        return lines[0]

    return only_line


def program_words(*arguments: object) -> list[str]:
    """Return the words that start ``flowcam`` with some arguments."""
    return [sys.executable, '-m', 'flowcam_ros.cli.main', *map(str, arguments)]
