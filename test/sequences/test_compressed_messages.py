# SPDX-License-Identifier: Apache-2.0
"""Compressed pictures and depth."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcam_ros.errors import FrameRejected
from flowcam_ros.sequences.compressed_messages import (
    decode_compressed,
    decode_compressed_depth,
    read_file_header,
)

WIDTH, HEIGHT = 64, 48
HEADER = struct.pack('<iff', 0, 0.0, 0.0)


def compressed(form, data):
    return SimpleNamespace(format=form, data=data)


def encode(image, suffix='.png'):
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.fixture(scope='module')
def picture():
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(scope='module')
def raw_depth():
    return np.random.default_rng(2).integers(0, 60000, (HEIGHT, WIDTH)).astype(np.uint16)


def rvl(depth):
    """Encode as Wilson's paper describes it, number by number."""
    nibbles, values = [], depth.ravel().astype(int)

    def put(number):
        while True:
            nibble, number = number & 7, number >> 3
            nibbles.append(nibble | (8 if number else 0))
            if not number:
                return

    position, previous = 0, 0
    while position < len(values):
        start = position
        while position < len(values) and values[position] == 0:
            position += 1
        put(position - start)
        end = position
        while end < len(values) and values[end] != 0:
            end += 1
        put(end - position)
        for value in values[position:end]:
            delta = value - previous
            put((delta << 1) ^ (delta >> 31))
            previous = value
        position = end
    nibbles += [0] * (-len(nibbles) % 8)
    words = [
        sum(n << (28 - 4 * i) for i, n in enumerate(nibbles[at : at + 8]))
        for at in range(0, len(nibbles), 8)
    ]
    return struct.pack('<ii', depth.shape[1], depth.shape[0]) + struct.pack(
        f'<{len(words)}I', *words
    )


@pytest.mark.parametrize('form', ['bgr8; png compressed bgr8', 'png', ''])
def test_png_is_lossless_whatever_the_format_says(form, picture):
    assert np.array_equal(decode_compressed(compressed(form, encode(picture))), picture)


def test_jpeg_is_close():
    ramp = np.add.outer(np.arange(HEIGHT), 2 * np.arange(WIDTH)).astype(np.uint8)
    grey = decode_compressed(compressed('mono8; jpeg compressed mono8', encode(ramp, '.jpg')))
    assert grey.ndim == 2 and np.abs(grey.astype(int) - ramp).max() < 12


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
@pytest.mark.parametrize('share', [0.3, 0.7, 0.99])
def test_a_file_that_was_cut_off_is_refused(suffix, share, picture):
    data = encode(picture, suffix)
    with pytest.raises(FrameRejected):
        decode_compressed(compressed('', data[: int(len(data) * share)]))


def test_alpha_and_sixteen_bits_become_eight_bit_bgr(picture):
    alpha = np.dstack([picture, picture[..., 0]])
    assert np.array_equal(decode_compressed(compressed('png', encode(alpha))), picture)
    wide = encode(picture * np.uint16(257))
    assert np.array_equal(decode_compressed(compressed('bgr16; png', wide)), picture)


def test_compressed_bayer_gets_its_colours():
    mosaic = np.zeros((HEIGHT, WIDTH), np.uint8)
    mosaic[::2, ::2] = 200
    image = decode_compressed(
        compressed('bayer_rggb8; png compressed bayer_rggb8', encode(mosaic))
    )
    assert tuple(image[20, 20]) == (0, 0, 200)


def test_compressed_depth_in_millimetres(raw_depth):
    message = compressed('16UC1; compressedDepth png', HEADER + encode(raw_depth))
    assert np.array_equal(decode_compressed_depth(message), raw_depth / np.float32(1000))
    plain = compressed('16UC1; png compressed', encode(raw_depth))
    assert np.array_equal(decode_compressed_depth(plain), raw_depth / np.float32(1000))


def test_compressed_float_depth_undoes_the_quantisation():
    depth = np.linspace(0.5, 8.0, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.float32)
    quant_a, quant_b = np.float32(100.0 * 101.0), np.float32(1.0 - 100.0 * 101.0 / 10.0)
    raw = np.rint(quant_a / depth + quant_b).astype(np.uint16)
    raw[0, 0] = 0
    data = struct.pack('<iff', 1, quant_a, quant_b) + encode(raw)
    decoded = decode_compressed_depth(compressed('32FC1; compressedDepth png', data))
    assert decoded[0, 0] == 0
    assert np.abs(decoded - depth)[1:].max() < 0.01


@pytest.mark.parametrize('zeros', [0.0, 0.3, 1.0])
def test_rvl_gives_the_exact_depth(zeros, raw_depth):
    depth = raw_depth.copy()
    depth[np.random.default_rng(3).random(depth.shape) < zeros] = 0
    message = compressed('16UC1; compressedDepth rvl', HEADER + rvl(depth))
    assert np.array_equal(decode_compressed_depth(message), depth / np.float32(1000))


def test_damaged_rvl_is_refused(raw_depth):
    data = rvl(raw_depth)
    for bad in (
        data[:4],
        data[:200],
        data[:8],
        struct.pack('<ii', 10**9, 10**9) + data[8:],
        struct.pack('<ii', 16, 16) + data[8:],
        data[:8] + b'\xff' * 400,
    ):
        with pytest.raises(FrameRejected):
            decode_compressed_depth(compressed('16UC1; compressedDepth rvl', HEADER + bad))


@pytest.mark.parametrize(
    ('form', 'data', 'reason'),
    [
        ('jpeg', b'', 'data'),
        ('jpeg', b'GIF89a' + bytes(100), 'format'),
        ('png', b'\x89PNG\r\n\x1a\n', 'data'),
        ('jpeg', b'\xff\xd8\xff\xe0\x00', 'data'),
        (None, b'abc', 'message'),
        ('jpeg', None, 'message'),
        ('jpeg', ['a'], 'data'),
    ],
)
def test_what_is_no_picture_is_refused(form, data, reason):
    with pytest.raises(FrameRejected) as error:
        decode_compressed(compressed(form, data))
    assert error.value.reason == reason


@pytest.mark.parametrize('form', ['8UC3; compressedDepth png', '; compressedDepth png'])
def test_depth_of_another_encoding_is_refused(form, raw_depth):
    with pytest.raises(FrameRejected, match='16UC1, 32FC1'):
        decode_compressed_depth(compressed(form, HEADER + encode(raw_depth)))


def test_eight_bit_depth_is_refused(picture):
    with pytest.raises(FrameRejected, match='16-bit'):
        decode_compressed_depth(compressed('16UC1; compressedDepth png', HEADER + encode(picture)))


def test_a_bomb_is_refused_before_it_is_unpacked():
    def chunk(kind, content):
        return (
            struct.pack('>I', len(content))
            + kind
            + content
            + struct.pack('>I', zlib.crc32(kind + content))
        )

    side = 60000
    rows = zlib.compress(bytes(10**6))
    bomb = b'\x89PNG\r\n\x1a\n' + chunk(
        b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0)
    )
    bomb += chunk(b'IDAT', rows) + chunk(b'IEND', b'')
    tracemalloc.start()
    try:
        with pytest.raises(FrameRejected, match='60000x60000'):
            decode_compressed(compressed('png', bomb))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
@pytest.mark.parametrize('shape', [(20, 333), (333, 20), (17, 16, 3)])
def test_the_header_tells_the_size(suffix, shape):
    header = read_file_header(encode(np.zeros(shape, np.uint8), suffix))
    assert (header.height, header.width) == shape[:2]


GOOD = [
    encode(np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH), np.uint8), s)
    for s in ('.png', '.jpg')
]
GOOD_DEPTH = HEADER + encode(np.full((HEIGHT, WIDTH), 1000, np.uint16))


@settings(max_examples=600, deadline=None)
@given(
    start=st.sampled_from([*GOOD, GOOD_DEPTH, HEADER + rvl(np.full((20, 20), 900, np.uint16))]),
    cut=st.integers(0, 4000),
    flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
    form=st.sampled_from(
        [
            'jpeg',
            '16UC1; compressedDepth png',
            '32FC1; compressedDepth png',
            '16UC1; compressedDepth rvl',
            'bayer_gbrg8; png',
            '',
        ]
    ),
)
def test_damaged_bytes_raise_nothing_but_frame_rejected(start, cut, flips, form):
    data = bytearray(start if cut > 3000 else start[:cut])
    for at, value in flips:
        if at < len(data):
            data[at] = value
    for decode in (decode_compressed, decode_compressed_depth):
        try:
            result = decode(compressed(form, bytes(data)))
        except FrameRejected as error:
            assert error.reason and '\n' not in str(error)
        else:
            assert np.isfinite(result).all()
