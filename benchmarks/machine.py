# SPDX-License-Identifier: Apache-2.0
"""On what a benchmark ran, and what a process uses of it (Linux)."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def describe_machine() -> dict[str, str]:
    """Return date, processor, cores, memory, system, Python and commit."""
    return {
        'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        'processor': _field('/proc/cpuinfo', 'model name') or platform.processor(),
        'cores': str(len(os.sched_getaffinity(0))),
        'memory': _field('/proc/meminfo', 'MemTotal'),
        'system': platform.platform(),
        'python': platform.python_version(),
        'commit': _commit(),
    }


def machine_line(machine: Mapping[str, str]) -> str:
    """Return on what it ran, in a line."""
    return (
        f'{machine["processor"]}, {machine["cores"]} cores, {machine["memory"]}, Python '
        f'{machine["python"]}, commit {machine["commit"]}'
    )


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding='utf-8').splitlines():
        key, _, value = line.partition(':')
        if key.strip() == name:
            return value.strip()
    return ''


def _commit() -> str:
    result = subprocess.run(
        ['git', 'describe', '--always', '--dirty'],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return result.stdout.strip() or 'unknown'


class ProcessMeter:
    """Samples processor time and resident memory of a process once a second while a block lasts.

    Attributes:
        seconds: when each sample was taken, since the first.
        cpu_seconds: processor time used so far, at each sample.
        rss_mb: resident memory in units of 10^6 bytes, at each sample.
    """

    def __init__(self, pid: int) -> None:
        """Meter the process of that number."""
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.rss_mb: list[float] = []

    def __enter__(self) -> ProcessMeter:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def cpu_percent(self) -> float:
        """Return the processor use over all samples, in percent of one core."""
        span = self.seconds[-1] - self.seconds[0]
        return 100.0 * (self.cpu_seconds[-1] - self.cpu_seconds[0]) / span

    def slope_mb_per_10_min(self, skip_s: float) -> float:
        """Return the fitted growth of memory after the first ``skip_s`` seconds; NaN if short."""
        t, rss = np.array(self.seconds), np.array(self.rss_mb)
        late = t >= skip_s
        if late.sum() < 10:
            return float('nan')
        return float(np.polyfit(t[late], rss[late], 1)[0] * 600.0)

    def _run(self) -> None:
        begin = time.monotonic()
        tick, page = os.sysconf('SC_CLK_TCK'), os.sysconf('SC_PAGE_SIZE')
        while True:
            try:
                stat = Path(f'/proc/{self._pid}/stat').read_text(encoding='utf-8')
            except OSError:  # it has ended
                return
            # The name, in brackets, may hold blanks; the numbers come behind it.
            numbers = stat.rpartition(')')[2].split()
            self.seconds.append(time.monotonic() - begin)
            self.cpu_seconds.append((int(numbers[11]) + int(numbers[12])) / tick)
            self.rss_mb.append(int(numbers[21]) * page * 1e-6)
            if self._stop.wait(1.0):
                return
