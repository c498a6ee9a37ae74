# SPDX-License-Identifier: Apache-2.0
"""Pictures beside their depth and its uncertainty, as data within the report page."""

from __future__ import annotations

import base64
from html import escape

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.errors import OutputError
from flowcam_ros.flowmap.report_data import DepthStrip, RefineReport
from flowcam_ros.visualization.canvas import TURBO, VIRIDIS, Lut, coloured
from flowcam_ros.visualization.depth import depth_limits, depth_picture
from flowcam_ros.visualization.report_parts import card

_WIDEST = 420  # pixels; wider pictures are made smaller
_JPEG_QUALITY = 82
# Share of the surest and the least sure pixels that do not stretch the colours.
_CLIPPED = 95.0
Picture = UInt8[np.ndarray, 'height width 3']
Map = Float[np.ndarray, 'height width']


def depth_card(report: RefineReport) -> str:
    """Return a row of pictures for each frame that is shown."""
    if not report.depth:
        return ''
    unit = 'm' if report.scale_source != 'none' else 'units'
    rows = ''.join(_strip(strip, unit) for strip in report.depth)
    note = (
        'Near is red, far is blue, each picture by itself; sigma is the standard deviation of the '
        'depth in percent of it. Dark is unknown.'
    )
    return card('Depth', rows, note, wide=True)


def _strip(strip: DepthStrip, unit: str) -> str:
    inverse, variance = strip.depth.inverse_depth, strip.depth.variance
    known = (inverse > 0) & np.isfinite(variance)
    z = np.divide(1.0, inverse, out=np.full(inverse.shape, np.nan), where=inverse > 0)
    sigma = np.full(inverse.shape, np.nan)
    sigma[known] = 100.0 * np.sqrt(variance[known]) / inverse[known]
    near, far = depth_limits(z)
    top = float(np.percentile(sigma[known], _CLIPPED)) if known.any() else 0.0
    level = sigma / top if top > 0 else np.where(known, 0.0, np.nan)
    figures = [
        _figure(_smaller(strip.depth.colors), 'picture', 'jpg', ''),
        _figure(
            _smaller(depth_picture(z), nearest=True),
            'depth',
            'png',
            _bar(f'{far:.3g} {unit}', f'{near:.3g} {unit}', TURBO) if near > 0 else 'unknown',
        ),
        _figure(
            _smaller(_rgb(coloured(level, VIRIDIS)), nearest=True),
            'sigma',
            'png',
            _bar('0 %', f'{top:.2g} %', VIRIDIS) if known.any() else 'unknown',
        ),
    ]
    title = f'<h3>{escape(strip.name)}</h3>'
    return f'<div class="strip">{title}<div class="triple">{"".join(figures)}</div></div>'


def _figure(picture: Picture, name: str, kind: str, scale: str) -> str:
    height, width = picture.shape[:2]
    image = f'<img src="{data_uri(picture, kind)}" alt="{name}" width="{width}" height="{height}">'
    return f'<figure>{image}<figcaption><span>{name}</span>{scale}</figcaption></figure>'


def _bar(low: str, high: str, colours: Lut) -> str:
    ramp = data_uri(_rgb(np.ascontiguousarray(colours[None])), 'png')
    return (
        f'<span class="scale">{escape(low)}<img src="{ramp}" alt="" width="70" height="9">'
        f'{escape(high)}</span>'
    )


def data_uri(picture: Picture, kind: str) -> str:
    """Return an RGB picture as the address of itself; ``kind`` is png or jpg.

    Raises:
        OutputError: the picture cannot be compressed.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if kind == 'jpg' else []
    done, content = cv2.imencode(f'.{kind}', _rgb(picture), options)
    if not done:
        raise OutputError(f'a picture of {picture.shape} cannot be written as {kind}')
    name = 'jpeg' if kind == 'jpg' else kind
    return f'data:image/{name};base64,' + base64.b64encode(content.tobytes()).decode()


def _rgb(picture: Picture) -> Picture:
    """Return the picture with red and blue swapped; the way back is the same."""
    return np.ascontiguousarray(picture[..., ::-1])


def _smaller(picture: Picture, *, nearest: bool = False) -> Picture:
    height, width = picture.shape[:2]
    if width <= _WIDEST:
        return picture
    size = (_WIDEST, max(1, round(height * _WIDEST / width)))
    return cv2.resize(
        picture, size, interpolation=cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_AREA
    )
