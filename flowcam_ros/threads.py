# SPDX-License-Identifier: Apache-2.0
"""How the threads of numeric libraries wait: asleep, and not by spinning."""

from __future__ import annotations

import os

# OpenMP's threads wait by spinning, which makes a frame 20 times slower once another program wants
# the processor. Those of numpy's OpenBLAS spin, too: a second core is then kept busy by a work
# that one does as fast. Both are read when the libraries are loaded.
CALM = {'OMP_WAIT_POLICY': 'PASSIVE', 'OPENBLAS_NUM_THREADS': '1'}


def calm_threads() -> None:
    """Set what the user has not set; call it before numpy and torch are imported."""
    for name, value in CALM.items():
        os.environ.setdefault(name, value)
