# SPDX-License-Identifier: Apache-2.0
"""Between sensor_msgs images and arrays."""

from __future__ import annotations

import sys

import cv2
import numpy as np
from cv_bridge.conversion import convert
from cv_bridge.encodings import CV_NAMES, CvBridgeError, layout_of
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header


class CvBridge:
    """Converts images; keeps nothing."""

    def dtype_with_channels_to_cvtype2(self, dtype: np.dtype, n_channels: int) -> str:
        """Return OpenCV's name of a type, such as 8UC3."""
        if dtype.name not in CV_NAMES:
            raise CvBridgeError(f'OpenCV has no images of type {dtype.name}')
        return f'{CV_NAMES[dtype.name]}C{n_channels}'

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[str, int]:
        """Return numpy's name of the type, and the number of values a pixel has."""
        layout = layout_of(encoding)
        return layout.dtype, layout.channels

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = 'passthrough') -> np.ndarray:
        """Return (height, width[, channels]) pixels, a view of the message where nothing changes.

        Raises:
            CvBridgeError: an encoding is unknown, there is no conversion to the desired one, or
                the data are shorter than the size says.
        """
        name, channels = self.encoding_to_dtype_with_channels(img_msg.encoding)
        dtype = np.dtype(name).newbyteorder('>' if img_msg.is_bigendian else '<')
        row = img_msg.width * dtype.itemsize * channels
        # numpy does not check an empty buffer, and would read what lies behind it.
        if img_msg.step < row or len(img_msg.data) < img_msg.height * img_msg.step:
            raise CvBridgeError(
                f'{len(img_msg.data)} bytes of data in rows of {img_msg.step} do not hold '
                f'{img_msg.width}x{img_msg.height} pixels of {img_msg.encoding}'
            )
        shape = (img_msg.height, img_msg.width, channels)
        strides = (img_msg.step, dtype.itemsize * channels, dtype.itemsize)
        try:
            data = np.frombuffer(img_msg.data, np.uint8)
            image: np.ndarray = np.ndarray(shape, dtype, data, strides=strides)
        except (TypeError, ValueError) as error:
            raise CvBridgeError(f'the data do not hold the image: {error}') from error
        image = np.ascontiguousarray(image[:, :, 0] if channels == 1 else image)
        image = image.astype(dtype.newbyteorder('='), copy=False)
        if desired_encoding == 'passthrough':
            return image
        return convert(image, img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(
        self, cvim: np.ndarray, encoding: str = 'passthrough', header: Header | None = None
    ) -> Image:
        """Return the message of (height, width[, channels]) pixels.

        Raises:
            TypeError: `cvim` is no array.
            CvBridgeError: the encoding is unknown or does not suit the type of the array.
        """
        cv_type = self._cv_type(cvim)
        if encoding != 'passthrough':
            layout = layout_of(encoding)
            expected = f'{CV_NAMES[layout.dtype]}C{layout.channels}'
            if expected != cv_type:
                raise CvBridgeError(
                    f'encoding specified as {encoding}, but image has incompatible type {cv_type}'
                )
        message = Image()
        message.height, message.width = cvim.shape[:2]
        message.encoding = cv_type if encoding == 'passthrough' else encoding
        order = cvim.dtype.byteorder
        message.is_bigendian = int(order == '>' or (order == '=' and sys.byteorder == 'big'))
        # A byte view of the array, or of a contiguous copy, goes into the message in one copy.
        message.data.frombytes(np.ascontiguousarray(cvim).reshape(-1).view(np.uint8).data)
        message.step = cvim.nbytes // max(1, cvim.shape[0])
        if header is not None:
            message.header = header
        return message

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: CompressedImage, desired_encoding: str = 'passthrough'
    ) -> np.ndarray | None:
        """Return the pixels of a compressed image; None where OpenCV cannot read it.

        Raises:
            CvBridgeError: there is no conversion to the desired encoding.
        """
        data = np.frombuffer(cmprs_img_msg.data, np.uint8)
        try:
            image = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR)
        except cv2.error as error:
            raise CvBridgeError(str(error)) from error
        if image is None or desired_encoding == 'passthrough':
            return image
        return convert(image, 'mono8' if image.ndim == 2 else 'bgr8', desired_encoding)

    def cv2_to_compressed_imgmsg(
        self, cvim: np.ndarray, dst_format: str = 'jpg'
    ) -> CompressedImage:
        """Return a compressed image in a format that OpenCV writes (jpg, png, ...).

        Raises:
            TypeError: `cvim` is no array.
            CvBridgeError: OpenCV cannot write the array in this format.
        """
        self._cv_type(cvim)
        try:
            _, data = cv2.imencode(f'.{dst_format}', cvim)
        except cv2.error as error:
            raise CvBridgeError(str(error)) from error
        message = CompressedImage(format=dst_format)
        message.data.frombytes(data.data)
        return message

    def _cv_type(self, cvim: np.ndarray) -> str:
        if not isinstance(cvim, np.ndarray):
            raise TypeError('Your input type is not a numpy array')
        if cvim.ndim not in (2, 3):
            raise CvBridgeError(f'an image has two or three dimensions, not {cvim.ndim}')
        return self.dtype_with_channels_to_cvtype2(
            cvim.dtype, 1 if cvim.ndim == 2 else cvim.shape[2]
        )
