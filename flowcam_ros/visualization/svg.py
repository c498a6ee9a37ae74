# SPDX-License-Identifier: Apache-2.0
"""Line and bar charts as inline SVG, coloured by the style sheet of the page they stand in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.ticker import MaxNLocator

Values = Float[np.ndarray, ' n']
_LEFT, _RIGHT, _TOP, _BOTTOM = 60.0, 14.0, 10.0, 40.0
_LETTER = 6.5  # width of a letter, about
_DENSEST = 1500  # points of a line; more cannot be seen and make the page heavy


def element(tag: str, content: str = '', **attributes: object) -> str:
    """Return one element; ``content`` is markup, attributes are escaped, ``_`` becomes ``-``."""
    words = ''.join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for name, value in attributes.items()
    )
    return f'<{tag}{words}>{content}</{tag}>' if content else f'<{tag}{words}/>'


def _short(value: object) -> str:
    return f'{value:.2f}'.rstrip('0').rstrip('.') if isinstance(value, float) else str(value)


def text(words: str, x: float, y: float, class_: str) -> str:
    """Return words with their baseline at (x, y)."""
    return element('text', escape(words), x=x, y=y, class_=class_)


@dataclass(frozen=True)
class Scale:
    """Maps values to pixels along one axis.

    Attributes:
        low: value at ``start``.
        high: value at ``end``; above ``low``.
        start: pixel of ``low``.
        end: pixel of ``high``.
        logarithmic: whether pixels go with the logarithm; then ``low`` is positive.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, values: Float[np.ndarray, ' n'] | float) -> Values:
        """Return the pixels of values; NaN where the axis cannot show them."""
        level: Values = np.atleast_1d(np.asarray(values, float))
        low, high = self.low, self.high
        if self.logarithmic:
            level = np.log(np.where(level > 0, level, np.nan))
            low, high = math.log(low), math.log(high)
        share: Values = (level - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self, number: int) -> list[float]:
        """Return about so many round values within the axis."""
        if not self.logarithmic:
            found = MaxNLocator(number, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
            slack = 1e-9 * (self.high - self.low)
            return [float(v) for v in found if self.low - slack <= v <= self.high + slack]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            found = [d * 10.0**k for k in decades for d in digits]
            inside = [v for v in found if self.low <= v <= self.high]
            if len(inside) <= number + 2:
                return inside
        return inside[:: math.ceil(len(inside) / number)]


class Chart:
    """A drawing area with axes; parts are added in the order in which they are painted."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        size: tuple[float, float] = (528.0, 260.0),
        log_y: bool = False,
        equal: bool = False,
    ) -> None:
        """Make an empty chart.

        Args:
            x: least and largest value to the right.
            y: least and largest value upwards; positive if ``log_y``.
            size: width and height of the picture, pixels.
            log_y: whether the upward axis is logarithmic.
            equal: whether a unit is as long on both axes; widens one of the ranges.
        """
        self.width, self.height = size
        inner = (self.width - _LEFT - _RIGHT, self.height - _TOP - _BOTTOM)
        x, y = _spread(x), _spread_log(y) if log_y else _spread(y)
        if equal:
            x, y = _equalise(x, y, inner)
        self.x = Scale(*x, _LEFT, _LEFT + inner[0])
        self.y = Scale(*y, _TOP + inner[1], _TOP, log_y)
        self._parts: list[str] = []

    def axes(self, x_label: str, y_label: str, *, whole_x: bool = False) -> None:
        """Draw grid, numbers and labels; ``whole_x`` has whole numbers only along x."""
        for value in self.y.ticks(5):
            at = float(self.y(value)[0])
            self._add('line', x1=self.x.start, x2=self.x.end, y1=at, y2=at, class_='grid')
            self._parts.append(text(_number(value), self.x.start - 7, at + 4, 'tick end'))
        for value in self.x.ticks(7):
            if whole_x and value != round(value):
                continue
            at = float(self.x(value)[0])
            self._add('line', x1=at, x2=at, y1=self.y.start, y2=self.y.end, class_='grid')
            self._parts.append(text(_number(value), at, self.y.start + 16, 'tick middle'))
        middle = (self.x.start + self.x.end) / 2
        self._parts.append(text(x_label, middle, self.height - 5, 'label middle'))
        across = (self.y.start + self.y.end) / 2
        turned = f'translate(12 {across:.1f}) rotate(-90)'
        self._parts.append(
            element('text', escape(y_label), class_='label middle', transform=turned)
        )

    def line(self, x: Values, y: Values, class_: str) -> None:
        """Draw a line; it breaks where a value cannot be shown."""
        if len(x) > _DENSEST:
            keep = np.unique(np.linspace(0, len(x) - 1, _DENSEST).astype(int))
            x, y = np.asarray(x)[keep], np.asarray(y)[keep]
        right, up = self.x(x), self.y(y)
        shown = np.isfinite(right) & np.isfinite(up)
        path = ''.join(
            'M' + 'L'.join(f'{right[i]:.1f} {up[i]:.1f}' for i in run) for run in _runs(shown)
        )
        if path:
            self._add('path', d=path, class_=f'line {class_}')

    def marks(self, x: Values, y: Values, class_: str, radius: float = 2.2) -> None:
        """Draw a disc at each point."""
        for right, up in zip(self.x(x), self.y(y), strict=True):
            if math.isfinite(right) and math.isfinite(up):
                self._add('circle', cx=float(right), cy=float(up), r=radius, class_=class_)

    def bars(self, edges: Values, heights: Values, class_: str) -> None:
        """Draw a bar from each edge to the next, from the bottom up."""
        pixels, top = self.x(edges), self.y(heights)
        for left, right, up in zip(pixels[:-1], pixels[1:], top, strict=True):
            tall = self.y.start - float(up)
            if tall > 0:
                gap = 1.0 if right - left > 4.0 else 0.0
                wide = max(float(right - left) - gap, 0.5)
                self._add('rect', x=float(left), y=float(up), width=wide, height=tall,
                          class_=class_)  # fmt: skip

    def band(self, low: float, high: float, words: str, class_: str) -> None:
        """Colour a range of x from bottom to top, with words at its upper end if they fit."""
        left, right = float(self.x(low)[0]), float(self.x(high)[0])
        height = self.y.start - self.y.end
        self._add('rect', x=left, y=self.y.end, width=max(right - left, 0.0), height=height,
                  class_=class_)  # fmt: skip
        if right - left > _LETTER * len(words) + 12:
            self._parts.append(text(words, right - 6, self.y.end + 14, 'end'))

    def upright(self, x: float, words: str, class_: str) -> None:
        """Draw a vertical line with words at its upper end."""
        at = float(self.x(x)[0])
        self._add('line', x1=at, x2=at, y1=self.y.start, y2=self.y.end, class_=class_)
        near_end = at > (self.x.start + self.x.end) / 2
        place = at - 5 if near_end else at + 5
        align = 'end' if near_end else 'begin'
        self._parts.append(text(words, place, self.y.end + 12, align))

    def level(self, y: float, sigma: float = 0.0) -> None:
        """Draw a horizontal line, and a band of one sigma to either side of it."""
        at, top = float(self.y(y)[0]), float(self.y(y + sigma)[0])
        wide = self.x.end - self.x.start
        self._add('rect', x=self.x.start, y=top, width=wide, height=2 * (at - top), class_='sure')
        self._add('line', x1=self.x.start, x2=self.x.end, y1=at, y2=at, class_='rule')

    def svg(self, description: str) -> str:
        """Return the picture; the description is for those who cannot see it."""
        return element(
            'svg',
            f'<title>{escape(description)}</title>' + ''.join(self._parts),
            viewBox=f'0 0 {self.width:g} {self.height:g}',
            role='img',
        )

    def _add(self, tag: str, **attributes: object) -> None:
        self._parts.append(element(tag, '', **attributes))


def limits(*values: Float[np.ndarray, '*n'] | None, margin: float = 0.06) -> tuple[float, float]:
    """Return least and largest of all finite values, with some room; (0, 1) without any."""
    parts = [np.ravel(np.asarray(v, float)) for v in values if v is not None]
    finite = np.concatenate(parts) if parts else np.empty(0)
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = margin * (high - low)
    return low - room, high + room


def _number(value: float) -> str:
    return f'{value:g}'.replace('-', '\N{MINUS SIGN}')


def _runs(shown: Bool[np.ndarray, ' n']) -> Iterable[range]:
    """Return the stretches of what is shown."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], shown, [False]]).astype(int)))
    return [range(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _spread(bounds: tuple[float, float]) -> tuple[float, float]:
    """Give a range that is but a point some width."""
    low, high = bounds
    least = 1e-6 * max(1.0, abs(low), abs(high))
    return bounds if high - low > least else (low - max(0.5, least), high + max(0.5, least))


def _spread_log(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    return bounds if high > low * 1.05 else (low / 1.5, high * 1.5)


def _equalise(
    x: tuple[float, float], y: tuple[float, float], inner: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    unit = max((x[1] - x[0]) / inner[0], (y[1] - y[0]) / inner[1])
    return _widen(x, unit * inner[0]), _widen(y, unit * inner[1])


def _widen(bounds: tuple[float, float], width: float) -> tuple[float, float]:
    middle = (bounds[0] + bounds[1]) / 2
    return middle - width / 2, middle + width / 2
