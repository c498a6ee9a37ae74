# SPDX-License-Identifier: Apache-2.0
"""Depth as messages: images of depth and variance, a coloured cloud in the optical frame."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8, UInt32
from sensor_msgs.msg import Image, PointCloud2, PointField

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.ros.conversions import header

# A point of a cloud, and how the message describes it; rgb is packed 0xRRGGBB.
POINT = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<u4')])
FIELDS = [
    PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
    for i, name in enumerate(('x', 'y', 'z', 'rgb'))
]


def depth_image_msg(estimate: DepthEstimate, frame_id: str) -> Image:
    """Return the depth as 32FC1, metres, NaN where unknown (REP-118)."""
    return _float_image(estimate.depth(), estimate, frame_id)


def depth_variance_msg(estimate: DepthEstimate, frame_id: str) -> Image:
    """Return the variance of the depth as 32FC1, square metres, NaN where unknown."""
    return _float_image(depth_variance(estimate), estimate, frame_id)


def depth_variance(estimate: DepthEstimate) -> Float[np.ndarray, 'height width']:
    """Return the variance of z, float32, NaN where unknown: that of 1/z times z^4."""
    with np.errstate(over='ignore', invalid='ignore'):
        square = np.square(estimate.depth())
        variance = estimate.variance * np.square(square)
    variance[~np.isfinite(variance)] = np.nan
    return variance


def _float_image(
    values: Float[np.ndarray, 'height width'], estimate: DepthEstimate, frame_id: str
) -> Image:
    values = np.ascontiguousarray(values, dtype='<f4')
    height, width = values.shape
    msg = Image(
        header=header(estimate.stamp_ns, frame_id),
        height=height,
        width=width,
        encoding='32FC1',
        is_bigendian=0,
        step=4 * width,
    )
    msg.data.frombytes(values.view(np.uint8).data.cast('B'))
    return msg


def cloud_msg(estimate: DepthEstimate, frame_id: str, decimation: int) -> PointCloud2:
    """Return every ``decimation``-th row and column as a point with its colour.

    The cloud keeps the rows and columns of the image (organised); points of unknown depth are NaN,
    so it is not dense. Axes are those of the optical frame.
    """
    points = cloud_points(estimate, decimation)
    height, width = points.shape
    msg = PointCloud2(
        header=header(estimate.stamp_ns, frame_id),
        height=height,
        width=width,
        fields=FIELDS,
        is_bigendian=False,
        point_step=POINT.itemsize,
        row_step=POINT.itemsize * width,
        is_dense=False,
    )
    msg.data.frombytes(points.view(np.uint8).data.cast('B'))
    return msg


def cloud_points(estimate: DepthEstimate, decimation: int) -> np.ndarray:
    """Return the (height, width) points as records x, y, z, rgb (packed 0xRRGGBB)."""
    camera = estimate.camera
    inverse_depth = estimate.inverse_depth[::decimation, ::decimation]
    z = np.divide(
        np.float32(1.0),
        inverse_depth,
        out=np.full(inverse_depth.shape, np.nan, np.float32),
        where=inverse_depth > 0,
    )
    columns = np.arange(0, camera.width, decimation, dtype=np.float32)
    rows = np.arange(0, camera.height, decimation, dtype=np.float32)
    points = np.empty(z.shape, POINT)
    points['x'] = z * ((columns - np.float32(camera.cx)) / np.float32(camera.fx))
    points['y'] = z * ((rows - np.float32(camera.cy)) / np.float32(camera.fy))[:, None]
    points['z'] = z
    points['rgb'] = _packed_colour(estimate.image[::decimation, ::decimation])
    return points


def _packed_colour(
    image: UInt8[np.ndarray, 'height width *channels'],
) -> UInt32[np.ndarray, 'height width']:
    """Return grey or BGR as 0xRRGGBB."""
    wide = image.astype(np.uint32)
    if image.ndim == 2:
        return wide * np.uint32(0x010101)
    return (wide[..., 2] << 16) | (wide[..., 1] << 8) | wide[..., 0]
