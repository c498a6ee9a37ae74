# SPDX-License-Identifier: Apache-2.0
"""How fast the synthetic world is furnished and rendered, on one core.

``python benchmarks/render.py`` prints a table: processor time, so that other work on the machine
changes it little.
"""

from __future__ import annotations

import itertools
import resource
import time

import cv2
from machine import describe_machine

from flowcam_ros.sequences.synthetic import parse_synthetic

CASES = (
    'synthetic:walk',
    'synthetic:walk?grey=true&depth=false',
    'synthetic:walk?distortion_model=plumb_bob',
    'synthetic:walk?noise=2&depth_noise=0.002&depth_holes=0.05',
    'synthetic:walk?stereo=true',
    'synthetic:walk?blur_samples=4',
    'synthetic:walk?width=320&height=240',
    'synthetic:walk?width=1280&height=720',
    'synthetic:moving_object',
    'synthetic:orbit',
)
FRAMES = 40


def main() -> None:
    """Print seconds until the first frame and milliseconds for each later one."""
    cv2.setNumThreads(1)
    print(', '.join(f'{name} {value}' for name, value in describe_machine().items()))
    print(f'{"sequence":62} {"first s":>8} {"ms/frame":>9}')
    for case in CASES:
        frames = iter(parse_synthetic(case))
        begin = time.process_time()
        next(frames)
        ready = time.process_time()
        count = sum(1 for _ in itertools.islice(frames, FRAMES))
        each = (time.process_time() - ready) / count * 1e3
        print(f'{case:62} {ready - begin:8.2f} {each:9.1f}', flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'peak memory of all: {peak:.0f} MB')


if __name__ == '__main__':
    main()
