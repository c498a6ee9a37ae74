# SPDX-License-Identifier: Apache-2.0
"""Keeps the C library from holding on to memory that is no longer used."""

from __future__ import annotations

import ctypes
import gc

# Of glibc's mallopt.
_M_ARENA_MAX = -8


def share_one_heap() -> None:
    """Let all threads that begin from now on allocate from one heap, as far as glibc does it.

    Else each has its own, and what one has freed is of no use to the others: with the network's
    chunks worked on side by side that is a tenth of all memory. Waiting for each other was not
    measurable. Where the C library has no such call nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def give_memory_back() -> None:
    """Collect cycles, and let glibc return what it holds on to for later.

    Its heap keeps hundreds of megabytes after the optimisation, on top of which the adjustment
    would grow. Where the C library has no such call nothing is done.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)
