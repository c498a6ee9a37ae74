# SPDX-License-Identifier: Apache-2.0
"""Frames are chosen evenly by the motion of the picture; none is lost without a reason."""

import dataclasses
import gc
import itertools
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sliding_pictures import CAMERA, WIDTH, frame, sliding, texture

from flowcam_ros.flowmap.frame_choice import FrameChoice, FrameKeeper, choose_frames, evenly
from flowcam_ros.flowmap.frame_config import FrameChoiceConfig
from flowcam_ros.flowmap.frame_record import Fate, FrameRecord
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.sequences.open import open_sequence

STEP = 0.02
CONFIG = FrameChoiceConfig(step=STEP)


class Kept:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def keep(self, record: FrameRecord, frame: Frame) -> None:
        assert record.fate is Fate.CHOSEN
        assert record.stamp_ns == frame.stamp_ns
        self.numbers.append(record.number)

    def drop(self, number: int) -> None:
        self.numbers.remove(number)


def chosen(
    frames: Iterable[Frame], config: FrameChoiceConfig = CONFIG
) -> tuple[list[int], list[FrameRecord]]:
    kept = Kept()
    records = choose_frames(frames, kept, config)
    assert kept.numbers == [record.number for record in records if record.fate is Fate.CHOSEN]
    assert [record.number for record in records] == list(range(len(records)))
    return kept.numbers, records


def test_a_keeper_is_one() -> None:
    assert isinstance(Kept(), FrameKeeper)


@pytest.mark.parametrize('pace', [0.7, 1.5, 2.5])
def test_the_picture_moves_by_the_wanted_step_between_chosen_frames(pace: float) -> None:
    numbers, records = chosen(sliding(pace * np.arange(60)))
    steps = np.diff(numbers) * pace / WIDTH
    assert numbers[0] == 0
    assert numbers[-1] == 59
    assert np.all(np.abs(steps[1:-1] - STEP) <= 0.35 * STEP)
    assert records[-1].flow == pytest.approx(59 * pace / WIDTH, rel=0.05)


def test_a_still_camera_gives_one_frame_however_noisy() -> None:
    rng = np.random.default_rng(0)
    still = texture(0)[:, :WIDTH]
    noisy = [np.clip(still + rng.normal(0, 3, still.shape), 0, 255) for _ in range(15)]
    numbers, records = chosen(frame(k, p.astype(np.uint8)) for k, p in enumerate(noisy))
    assert numbers == [0]
    assert {record.fate for record in records[1:]} == {Fate.DUPLICATE}


def test_pictures_that_stand_between_moving_ones_are_duplicates() -> None:
    offsets = [0.0, 0.0, 0.0, 7.0, 7.0, 14.0, 14.0, 21.0]
    numbers, records = chosen(sliding(offsets))
    assert numbers == [0, 3, 5, 7]
    assert [k for k, record in enumerate(records) if record.fate is Fate.DUPLICATE] == [1, 2, 4, 6]


def test_the_sharp_picture_is_taken_when_the_camera_has_come_to_rest() -> None:
    frames = sliding([0.0, 2.0, 4.0, 6.2, 6.2, 6.2])
    frames[3] = dataclasses.replace(frames[3], image=cv2.blur(frames[3].image, (5, 5)))
    numbers, _ = chosen(frames)
    assert numbers == [0, 4]


def test_a_tremor_is_no_motion() -> None:
    numbers, _ = chosen(sliding(2.5 * np.sin(np.arange(60))))
    assert len(numbers) <= 3


def test_pictures_in_which_nothing_is_found_again_are_all_chosen() -> None:
    numbers, _ = chosen(frame(k, texture(k, WIDTH)) for k in range(12))
    assert numbers == list(range(12))


def test_both_sides_of_a_cut_are_chosen() -> None:
    before, after = sliding(np.arange(5.0)), sliding(np.arange(5.0), seed=1)
    frames = [dataclasses.replace(f, stamp_ns=k * 1000) for k, f in enumerate([*before, *after])]
    numbers, _ = chosen(frames)
    assert {4, 5} <= set(numbers)


def test_large_steps_of_photographs_are_all_chosen() -> None:
    numbers, _ = chosen(sliding(20.0 * np.arange(15)))
    assert numbers == list(range(15))


@pytest.mark.parametrize(
    ('pace', 'blurred'), [(2.0, {0, 9, 10, 11, 20, 29}), (12.0, {0, 9, 20, 29})]
)
def test_blurred_frames_are_not_chosen(pace: float, blurred: set[int]) -> None:
    numbers, records = chosen(sliding(pace * np.arange(30), blurred))
    assert not blurred & set(numbers)
    assert {records[k].fate for k in blurred} == {Fate.BLURRED}
    assert numbers[0] == 1
    assert numbers[-1] == 28


def test_a_blurred_frame_is_chosen_where_nothing_else_leads_on() -> None:
    numbers, records = chosen(sliding(12.0 * np.arange(20), {9, 10, 11}))
    assert len({9, 10, 11} & set(numbers)) == 1
    assert {8, 12} <= set(numbers)
    assert sum(record.fate is Fate.BLURRED for record in records) == 2


def test_a_recording_that_is_blurred_throughout_is_still_used() -> None:
    numbers, _ = chosen(sliding(3.0 * np.arange(30), range(30)))
    assert len(numbers) >= 10


def test_pictures_without_anything_to_follow_are_left_out() -> None:
    frames = sliding(8.0 * np.arange(9))
    for dark in (3, 4):
        frames[dark] = frame(dark, np.zeros_like(frames[dark].image))
    numbers, records = chosen(frames)
    assert numbers == [0, 1, 2, 5, 6, 7, 8]
    assert {records[3].fate, records[4].fate} == {Fate.FEATURELESS}


def test_unusable_frames_are_reported_with_their_reason() -> None:
    frames = sliding(8.0 * np.arange(6))
    frames[1] = dataclasses.replace(frames[1], stamp_ns=frames[0].stamp_ns)
    frames[2] = dataclasses.replace(frames[2], camera=CAMERA.resized(640, 480))
    frames[3] = dataclasses.replace(frames[3], camera=dataclasses.replace(CAMERA, fx=310.0))
    frames[4] = dataclasses.replace(frames[4], image=frames[4].image[:100].copy())
    numbers, records = chosen(frames)
    assert numbers == [0, 5]
    assert [record.fate for record in records[1:5]] == [Fate.UNORDERED, *[Fate.REJECTED] * 3]
    problems = [record.problem for record in records]
    assert [bool(problem) for problem in problems] == [False, True, True, True, True, False]
    assert 'not later' in problems[1]
    assert '640x480' in problems[2]
    assert '310' in problems[3]
    assert 'does not fit its camera' in problems[4]


def test_nothing_is_chosen_of_nothing() -> None:
    assert chosen([]) == ([], [])
    black = [frame(k, np.zeros((240, 320), np.uint8)) for k in range(3)]
    assert chosen(black)[0] == []


def test_one_frame_is_chosen_of_one() -> None:
    assert chosen(sliding([0.0]))[0] == [0]


def test_frames_have_names_of_their_own() -> None:
    frames = [
        dataclasses.replace(f, name=name)
        for f, name in zip(
            sliding(8.0 * np.arange(4)), ['a.jpg', 'a.jpg', '', 'frame_000002.png'], strict=True
        )
    ]
    names = [record.name for record in chosen(frames)[1]]
    assert names[0] == 'a.jpg'
    assert names[2] == 'frame_000002.png'
    assert len(set(names)) == 4


def test_a_budget_spreads_evenly_over_the_motion() -> None:
    config = dataclasses.replace(CONFIG, max_frames=12)
    numbers, records = chosen(sliding(6.0 * np.arange(100)), config)
    assert len(numbers) == 12
    assert numbers[0] == 0
    assert numbers[-1] == 99
    gaps = np.diff([records[number].flow for number in numbers])
    assert gaps.max() <= 2.1 * np.median(gaps)


def test_few_frames_are_in_memory_however_long_the_recording() -> None:
    alive: list[weakref.ref[Frame]] = []
    most = 0

    def watched() -> Iterator[Frame]:
        nonlocal most
        for one in itertools.islice(itertools.cycle(sliding(1.1 * np.arange(120))), 240):
            copy = dataclasses.replace(one, stamp_ns=len(alive) * 1000)
            alive.append(weakref.ref(copy))
            yield copy
            del copy
            most = max(most, sum(ref() is not None for ref in alive))

    gc.collect()
    choice = FrameChoice(Kept(), CONFIG)
    for one in watched():
        choice.add(one)
    choice.finish()
    assert most <= 6  # the newest twice


@given(
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60),
    st.integers(min_value=0, max_value=70),
)
@settings(deadline=None)
def test_evenly_keeps_the_ends_and_as_many_as_asked(steps: list[float], count: int) -> None:
    positions = np.cumsum(steps).tolist()
    keep = evenly(positions, count)
    assert len(keep) == min(len(positions), max(count, 2))
    assert keep == sorted(set(keep))
    assert keep[0] == 0
    assert keep[-1] == len(positions) - 1


@given(st.integers(3, 200), st.integers(2, 200))
@settings(deadline=None)
def test_evenly_leaves_no_gap_twice_another(size: int, count: int) -> None:
    gaps = np.diff(evenly([float(k) for k in range(size)], count))
    if count > 2:
        assert gaps.max() <= 2 * max(1, -(-(size - 1) // (count - 1)))


@pytest.mark.parametrize('name', ['fox', 'llff_fern', 'tum_fr3_cabinet'])
def test_photographs_are_all_chosen(shared_data: Path, name: str) -> None:
    numbers, records = chosen(open_sequence(shared_data / name), FrameChoiceConfig())
    assert numbers == list(range(len(records)))
    assert len({record.name for record in records}) == len(records)
    assert records[0].name.endswith(('.jpg', '.png'))
