# SPDX-License-Identifier: Apache-2.0
"""The memory that is told is that of this process alone."""

import subprocess
import sys

import numpy as np

from flowcam_ros.memory import peak_memory_mb

_TELL = 'from flowcam_ros.memory import peak_memory_mb; print(peak_memory_mb())'


def test_what_was_needed_is_told_after_it_was_given_back() -> None:
    before = peak_memory_mb()
    assert 10 < before < 1e5
    block = np.ones(int(before * 1e6 / 8) + 10_000_000)
    del block
    assert peak_memory_mb() > before + 50


def test_a_process_does_not_count_what_its_starter_had() -> None:
    block = np.ones(40_000_000)
    told = subprocess.run(
        [sys.executable, '-c', _TELL], capture_output=True, text=True, check=True
    ).stdout
    assert float(told) < 100 < block.nbytes * 1e-6
