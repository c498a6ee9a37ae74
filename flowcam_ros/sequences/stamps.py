# SPDX-License-Identifier: Apache-2.0
"""Time as text: decimal seconds to integer nanoseconds, without a float in between."""

from __future__ import annotations

from decimal import Decimal

NANOSECONDS = 1_000_000_000
_LARGEST = 2**63 - 1


def parse_stamp(text: str) -> int:
    """Return decimal seconds as integer nanoseconds, rounded half to even.

    Raises:
        ValueError: it is no finite number, or out of the range of 64 bits.
    """
    try:
        seconds = Decimal(text)
        if not seconds.is_finite() or abs(seconds) > _LARGEST // NANOSECONDS:
            raise ValueError(f'{text!r} is not a time in seconds')
        return int((seconds * NANOSECONDS).to_integral_value())
    # No number at all, or an exponent beyond all bounds.
    except ArithmeticError as error:
        raise ValueError(f'{text!r} is not a time in seconds') from error


def seconds_text(stamp_ns: int) -> str:
    """Return integer nanoseconds as decimal seconds for messages, without trailing zeros."""
    return f'{Decimal(stamp_ns) / NANOSECONDS:f}'
