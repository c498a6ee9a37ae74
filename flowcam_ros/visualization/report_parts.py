# SPDX-License-Identifier: Apache-2.0
"""Pieces of HTML that the sections of the report page are made of."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def card(title: str, body: str, note: str = '', *, wide: bool = False) -> str:
    """Return a titled box; ``body`` is markup, ``note`` a sentence below it."""
    below = f'<p class="remark">{escape(note)}</p>' if note else ''
    kind = 'card wide' if wide else 'card'
    return f'<section class="{kind}"><h2>{escape(title)}</h2>{body}{below}</section>'


def legend(items: Iterable[tuple[str, str]]) -> str:
    """Return the meaning of colours: pairs of a class of the style sheet and words."""
    entries = ''.join(
        f'<li><i class="{class_}"></i>{escape(words)}</li>' for class_, words in items
    )
    return f'<ul class="legend">{entries}</ul>'


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values."""
    lines = ''.join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table>{lines}</table>'


def bar_rows(rows: Iterable[tuple[str, float, str]], class_: str) -> str:
    """Return horizontal bars: name, share of the full width from 0 to 1, and words."""
    lines = ''.join(
        f'<tr><th scope="row">{escape(name)}</th><td class="track">'
        f'{_bar(share, class_)}</td><td class="value">{escape(words)}</td></tr>'
        for name, share, words in rows
    )
    return f'<table class="bars">{lines}</table>'


def _bar(share: float, class_: str) -> str:
    if share <= 0.0:
        return ''
    return f'<span class="bar {class_}" style="width:{100 * min(share, 1.0):.1f}%"></span>'


def seconds_text(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds < 10.0:
        return f'{seconds:.1f} s'
    if seconds < 120.0:
        return f'{seconds:.0f} s'
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f'{minutes} min {rest:02d} s'
    return f'{minutes // 60} h {minutes % 60:02d} min'


def memory_text(megabytes: float) -> str:
    """Return an amount of memory, given in 10^6 bytes."""
    return f'{megabytes:.0f} MB' if megabytes < 1000 else f'{megabytes / 1000:.2f} GB'
