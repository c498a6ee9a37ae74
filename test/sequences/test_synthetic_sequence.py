# SPDX-License-Identifier: Apache-2.0
"""The synthetic world as a sequence: options, flaws, determinism, memory, and its short text."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from flowcam_ros.errors import CameraError, ConfigError, UsageError
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.sequences import SequenceOptions, open_sequence
from flowcam_ros.sequences.synthetic import SyntheticOptions, SyntheticSequence, parse_synthetic
from flowcam_ros.sequences.synthetic import sequence as module
from flowcam_ros.sequences.synthetic.room import World

SMALL = 'width=96&height=72'


@pytest.fixture(autouse=True, scope='module')
def shared_worlds() -> Iterator[None]:
    """Furnish each room once for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, 'World', functools.lru_cache(World))
        yield


def sequence(text: str) -> SyntheticSequence:
    trajectory, _, options = text.partition('?')
    return parse_synthetic(f'synthetic:{trajectory}?{SMALL}' + (f'&{options}' if options else ''))


def frames(text: str) -> list[Frame]:
    return list(sequence(text))


def first(text: str) -> Frame:
    return next(iter(sequence(text)))


def test_frames_are_whole() -> None:
    frame = first('walk?frames=2')
    assert frame.image.shape == (72, 96, 3) and frame.image.dtype == np.uint8
    assert frame.image.flags.c_contiguous
    assert (frame.camera.width, frame.camera.height) == (96, 72)
    assert frame.depth is not None and frame.depth.camera == frame.camera
    assert frame.depth.depth.shape == (72, 96) and frame.depth.depth.dtype == np.float32
    assert (frame.depth.depth > 0.3).all() and (frame.depth.depth < 12).all()
    assert frame.right is None and frame.mask is None


def test_stamps_and_ground_truth_belong_to_the_frames() -> None:
    walk = sequence('walk?frames=7&fps=15')
    truth = walk.ground_truth()
    stamps = [frame.stamp_ns for frame in walk]
    assert stamps == truth.stamps_ns.tolist()
    assert len(truth) == walk.expected_frames() == 7
    np.testing.assert_allclose(np.diff(stamps), 1e9 / 15, atol=1)
    for k in (0, 3, 6):
        view = walk.view(k)
        assert view.stamp_ns == stamps[k]
        np.testing.assert_array_equal(view.world_from_camera, truth.world_from_camera[k])


def test_dropped_frames_are_missing_everywhere() -> None:
    whole, holed = sequence('walk?frames=10'), sequence('walk?frames=10&dropped=2,5-7')
    kept = [0, 1, 3, 4, 8, 9]
    assert holed.expected_frames() == 6
    np.testing.assert_array_equal(
        holed.ground_truth().stamps_ns, whole.ground_truth().stamps_ns[kept]
    )
    images = [frame.image for frame in whole]
    for frame, k in zip(holed, kept, strict=True):
        np.testing.assert_array_equal(frame.image, images[k])


EVERYTHING = (
    'walk?frames=3&seed=7&noise=4&blur_samples=3&exposure_jump=0.6&exposure_jump_frame=1&'
    'exposure_swing=0.5&flicker=0.3&rolling_samples=3&dark=2&depth_noise=0.003&depth_holes=0.1&stereo=true&moving_objects=1'
)


def test_the_same_seed_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'World', World)
    again = sequence(EVERYTHING)
    for a, b, c in zip(sequence(EVERYTHING), again, again, strict=True):
        for other in (b, c):
            assert a.image.tobytes() == other.image.tobytes()
            assert a.depth is not None and other.depth is not None
            assert a.depth.depth.tobytes() == other.depth.depth.tobytes()
            assert a.right is not None and other.right is not None
            assert a.right.image.tobytes() == other.right.image.tobytes()
            assert a.stamp_ns == other.stamp_ns


def test_another_seed_is_another_room() -> None:
    a, b = (first(f'walk?seed={seed}').image.astype(float) for seed in (1, 2))
    assert np.abs(a - b).mean() > 8


def test_noise_has_the_given_size_and_changes() -> None:
    clean, noisy = frames('standstill?frames=2&grey=true'), frames('standstill?frames=2&noise=5')
    assert clean[0].image.shape == (72, 96)
    np.testing.assert_array_equal(clean[0].image, clean[1].image)
    reference = first('standstill').image.astype(float)
    inner = (reference > 25) & (reference < 230)
    assert (noisy[0].image - reference)[inner].std() == pytest.approx(5.0, rel=0.05)
    assert (noisy[0].image != noisy[1].image).mean() > 0.5


def test_blur_smears_along_the_motion_and_only_then() -> None:
    sharp, blurred = (
        first(f'fast_turn?frames=50&dropped=0-47&blur_samples={n}').image.astype(float)
        for n in (1, 8)
    )
    across = np.abs(np.diff(sharp, axis=1)).mean(), np.abs(np.diff(blurred, axis=1)).mean()
    assert across[1] < 0.6 * across[0]
    np.testing.assert_array_equal(
        first('standstill?blur_samples=4').image, first('standstill').image
    )


def test_exposure_jumps_at_its_frame() -> None:
    before, after = frames('standstill?frames=4&exposure_jump=0.5&exposure_jump_frame=2')[1:3]
    assert after.image.mean() == pytest.approx(0.5 * before.image.mean(), rel=0.02)


def test_blur_can_be_a_stretch() -> None:
    stretch = [f.image for f in frames('walk?frames=4&blur_samples=4&blur_frames=1-2')]
    for k, (part, sharp, blurred) in enumerate(
        zip(stretch, frames('walk?frames=4'), frames('walk?frames=4&blur_samples=4'), strict=True)
    ):
        np.testing.assert_array_equal(part, (blurred if k in (1, 2) else sharp).image)


def test_rows_of_a_rolling_shutter_have_times_of_their_own() -> None:
    rolled = first('fast_turn?frames=49&dropped=0-47&rolling_samples=17&readout=1').image
    twice_as_often = sequence('fast_turn?frames=99&fps=60')
    for row, position in ((0, 95), (71, 97)):
        np.testing.assert_array_equal(rolled[row], twice_as_often.view(position).image[row])
    middle = twice_as_often.view(96).image.astype(float)
    assert np.abs(rolled - middle)[35:37].mean() < 0.2 * np.abs(rolled - middle).mean()


def test_bars_of_artificial_light_roll_through_the_pictures() -> None:
    clean = first('standstill').image.mean((1, 2))
    shots = frames('standstill?frames=2&flicker=0.6&flicker_frequency=100&readout=0.9')
    bars = [shot.image.mean((1, 2)) / clean for shot in shots]
    for bar in bars:
        assert bar.min() == pytest.approx(0.4, abs=0.03)
        assert bar.max() == pytest.approx(1.0, abs=0.03)
        dips = (bar[1:-1] < bar[:-2]) & (bar[1:-1] < bar[2:]) & (bar[1:-1] < 0.5)
        assert dips.sum() in (2, 3)
    assert np.abs(bars[0] - bars[1]).max() > 0.3


def test_exposure_drifts_up_and_down() -> None:
    light = [
        f.image.mean()
        for f in frames('standstill?frames=5&fps=4&exposure_swing=1&exposure_period=1')
    ]
    np.testing.assert_allclose(np.array(light) / light[0], [1, 2, 1, 0.5, 1], rtol=0.15)


def test_pictures_without_light_are_black_and_keep_their_depth() -> None:
    lit, dark, noisy = (
        frames(f'walk?frames=3&{flaw}')[1] for flaw in ('', 'dark=1', 'dark=0-1&noise=3')
    )
    assert dark.image.max() == 0 and 0 < noisy.image.mean() < 3
    assert lit.depth is not None and dark.depth is not None
    np.testing.assert_array_equal(lit.depth.depth, dark.depth.depth)


def test_things_that_cross_can_be_large() -> None:
    shares = [
        (sequence(f'moving_object?frames=60&object_size={size}').view(40).body == 1).mean()
        for size in (1, 2)
    ]
    assert shares[1] > 3 * shares[0] > 0.05


def test_depth_noise_grows_with_the_square_of_the_depth() -> None:
    truth = sequence('walk').view(0).depth
    measured = first('walk?depth_noise=0.004').depth
    assert measured is not None
    error = (measured.depth - truth) / truth**2
    assert error.std() == pytest.approx(0.004, rel=0.05)
    assert abs(error.mean()) < 2e-4


@pytest.mark.parametrize('share', [0.05, 0.5, 1.0])
def test_depth_holes_have_the_given_share(share: float) -> None:
    depth = first(f'walk?depth_holes={share}').depth
    assert depth is not None
    assert (depth.depth == 0).mean() == pytest.approx(share, abs=0.01)


def test_depth_can_be_left_out() -> None:
    assert first('walk?depth=false').depth is None


def test_distortion_bends_and_its_camera_says_how() -> None:
    frame = first('walk?distortion_model=plumb_bob&distortion_coefficients=-0.2,0.05,0,0,0')
    assert frame.camera.distortion == (-0.2, 0.05, 0.0, 0.0, 0.0)
    assert np.abs(frame.image.astype(float) - first('walk').image).mean() > 1


def test_memory_does_not_grow_with_the_length() -> None:
    iterator = iter(sequence('walk?frames=200&noise=2&stereo=true'))
    for _ in range(5):
        next(iterator)
    tracemalloc.start()
    try:
        for _ in range(5):
            next(iterator)
        early = tracemalloc.get_traced_memory()[0]
        for _ in range(60):
            next(iterator)
        late = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert late - early < 300_000


def test_open_sequence_takes_the_text() -> None:
    opened = open_sequence(f'synthetic:orbit?{SMALL}&frames=2&seed=3')
    assert opened.name == 'synthetic_orbit_3'
    assert opened.losses == []
    assert len(list(opened)) == 2
    assert parse_synthetic('synthetic:').options.trajectory == 'walk'
    with pytest.raises(UsageError, match='depth-topic'):
        open_sequence('synthetic:walk', SequenceOptions(depth_topic='/depth'))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('synthetic:walk?frame=3', 'unknown option frame; did you mean frames'),
        ('synthetic:walk?frames=3&nose=1', 'did you mean noise'),
        ('synthetic:stroll', "'stroll' is not one of"),
        ('synthetic:walk?frames=0', r'frames: 0 is outside \[1'),
        ('synthetic:walk?frames=many', 'frames: expected int'),
        ('synthetic:walk?frames', "'frames' is not of the form option=value"),
        ('synthetic:walk?seed=1&seed=2', 'seed is given twice'),
        ('synthetic:walk?noise=[', 'neither a number nor true or false'),
        ('synthetic:walk?noise=.nan', 'not a finite number'),
        ('synthetic:walk?dropped=3-x', 'neither a number nor a range'),
        ('synthetic:walk?dark=no', "dark: 'no' is neither a number nor a range"),
        ('synthetic:walk?blur_samples=3&blur_frames=a', "blur_frames: 'a' is neither"),
        ('synthetic:walk?frames=3&dropped=0-99999999999', 'nothing is left'),
        ('synthetic:walk?distortion_coefficients=a,b', 'not a list of numbers'),
        ('synthetic:walk?stereo=true&distortion_model=plumb_bob', 'no lens distortion'),
        ('walk', 'does not begin with synthetic:'),
    ],
)
def test_bad_texts_are_answered_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_synthetic(text)


def test_too_few_coefficients_are_refused() -> None:
    with pytest.raises(CameraError, match='takes 4 or 5 coefficients, got 2'):
        parse_synthetic('synthetic:walk?distortion_model=plumb_bob&distortion_coefficients=1,2')


def test_a_lens_that_cannot_see_its_corners_is_refused() -> None:
    lens = 'distortion_model=plumb_bob&distortion_coefficients=-0.6,0,0,0,0&field_of_view=100'
    bent = sequence(f'walk?{lens}')
    with pytest.raises(CameraError, match='smaller field of view'):
        next(iter(bent))


def test_options_made_by_hand_are_checked_too() -> None:
    with pytest.raises(ConfigError):
        SyntheticSequence(SyntheticOptions(dropped='all'))
