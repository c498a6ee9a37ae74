# SPDX-License-Identifier: Apache-2.0
"""Gives memory that is no longer used back to the system."""

from __future__ import annotations

import ctypes
import gc


def give_memory_back() -> None:
    """Collect cycles, and let glibc return what it holds on to for later.

    Its heap keeps hundreds of megabytes after the optimisation, on top of which the adjustment
    would grow. Where the C library has no such call nothing is done.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)
