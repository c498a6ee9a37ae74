# SPDX-License-Identifier: Apache-2.0
"""Pairing of streams."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.sequences.pairing import NearestPairing, Stamped

MS = 1_000_000


def run(events, tolerance=20 * MS, size=0):
    """Feed (stream, stamp in ms) events; return the pairs as (picture, partner) in ms."""
    pairing = NearestPairing(('depth',), tolerance)
    pairs = []
    for stream, stamp in events:
        item = Stamped(stamp * MS, stamp, size)
        if stream == 'image':
            pairs += pairing.add_picture(item)
        else:
            pairs += pairing.add_partner('depth', item)
    pairs += pairing.flush()
    return [
        (p.picture.content, p.partners['depth'] and p.partners['depth'].content) for p in pairs
    ]


def test_the_nearest_partner_wins_whichever_comes_first():
    events = [
        ('image', 0),
        ('depth', 5),
        ('depth', 28),
        ('image', 33),
        ('depth', 40),
        ('image', 66),
    ]
    assert run(events) == [(0, 5), (33, 28), (66, None)]


def test_nothing_is_paired_beyond_the_tolerance():
    assert run([('image', 0), ('depth', 21), ('image', 33), ('depth', 54)]) == [
        (0, None),
        (33, 21),
    ]


def test_a_silent_partner_holds_pictures_back_for_a_second_only():
    pairing = NearestPairing(('depth',), 20 * MS)
    waiting = 0
    for i in range(100):
        waiting += 1 - len(list(pairing.add_picture(Stamped(i * 33 * MS, None))))
        assert waiting <= 32


def test_large_pictures_wait_only_while_memory_lasts():
    pairing = NearestPairing(('depth',), 20 * MS)
    waiting = 0
    for i in range(20):
        waiting += 1 - len(list(pairing.add_picture(Stamped(i * MS, None, 100 * 2**20))))
        assert waiting <= 3


def test_partners_without_pictures_do_not_pile_up():
    pairing = NearestPairing(('depth',), 20 * MS)
    for i in range(1000):
        assert not list(pairing.add_partner('depth', Stamped(i * 33 * MS, None, 50 * 2**20)))
    assert len(pairing._partners['depth']) < 10


@given(
    pictures=st.lists(st.integers(0, 3000), unique=True, max_size=40),
    partners=st.lists(st.integers(0, 3000), unique=True, max_size=40),
    tolerance=st.integers(0, 50),
)
def test_in_order_of_time_every_picture_gets_its_truly_nearest_partner(
    pictures, partners, tolerance
):
    events = sorted([(t, 'image') for t in pictures] + [(t, 'depth') for t in partners])
    pairs = run([(stream, t) for t, stream in events], tolerance * MS)
    assert [picture for picture, _ in pairs] == sorted(pictures)
    for picture, partner in pairs:
        nearest = min((abs(picture - p) for p in partners), default=10**9)
        if nearest <= tolerance:
            assert partner is not None and abs(picture - partner) == nearest
        else:
            assert partner is None
