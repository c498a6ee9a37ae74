# SPDX-License-Identifier: Apache-2.0
"""Numbers as they stand in sentences."""

from __future__ import annotations


def count(number: int, thing: str) -> str:
    """Return '1 frame' or '2 frames'."""
    return f'{number} {thing}{"" if number == 1 else "s"}'


def several(number: int, one: str, many: str) -> str:
    """Return the word that goes with so many things."""
    return one if number == 1 else many


def percent(share: float, digits: int = 0) -> str:
    """Return a share as percent; never '0 %' for what is not nothing, nor '100 %' for less."""
    if 0.0 < share * 100 < 0.5 * 10**-digits:
        return f'less than {10.0**-digits:g} %'
    if 0.0 < (1.0 - share) * 100 < 0.5 * 10**-digits:
        return f'more than {100 - 10.0**-digits:g} %'
    return f'{share * 100:.{digits}f} %'


def pixels(value: float) -> str:
    """Return a length in pixels with two decimals below ten."""
    return f'{value:.2f} pixels' if value < 10 else f'{value:.0f} pixels'
