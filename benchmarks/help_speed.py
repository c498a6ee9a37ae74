# SPDX-License-Identifier: Apache-2.0
"""How long the help of each command takes, as a whole process: below half a second, please."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = ('', 'odometry', 'evaluate', 'record', 'demo', 'node', 'play', 'config', 'version')
RUNS = 5


def main() -> None:
    """Print the median of some runs with warm caches, and the slowest."""
    for command in COMMANDS:
        words = [sys.executable, '-m', 'flowcam_ros.cli.main', *command.split(), '--help']
        times = []
        for _ in range(RUNS + 1):
            begin = time.perf_counter()
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - begin)
        kept = times[1:]
        print(
            f'flowcam {command or "--help":9} median {statistics.median(kept):.3f} s, '
            f'slowest {max(kept):.3f} s'
        )


if __name__ == '__main__':
    main()
