# SPDX-License-Identifier: Apache-2.0
"""Points followed by Lucas and Kanade: against the rendered truth, and where there is nothing."""

from pathlib import Path

import numpy as np
import pytest
from recordings import HeldPictures, moved, recorded, rendered, textured

from flowcam_ros.correspondence.config import FlowConfig, TrackConfig
from flowcam_ros.correspondence.dis import DisFlow
from flowcam_ros.correspondence.klt import KltTracks
from flowcam_ros.correspondence.registry import TRACK_BACKENDS, make_flow, make_tracks
from flowcam_ros.correspondence.tracks import TrackEstimator, Tracks
from flowcam_ros.settings import describe

CONFIG = TrackConfig(points=400)
WALK = 'orbit?frames=24&width=320&height=240&noise=2'


def follow(pictures: HeldPictures, config: TrackConfig = CONFIG) -> Tracks:
    return KltTracks(config, DisFlow(FlowConfig())).track(pictures)


@pytest.fixture(scope='module')
def walk() -> Tracks:
    return follow(rendered(WALK).pictures)


def from_the_first_sight(tracks: Tracks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true error, stated error and age of all later sights whose spot is visible."""
    world = rendered(WALK)
    first = np.searchsorted(tracks.point, tracks.point)
    error = np.full(len(tracks), np.inf)
    for begin in np.unique(tracks.frame[first]):
        for frame in range(begin + 1, 24):
            at = (tracks.frame[first] == begin) & (tracks.frame == frame)
            if at.any():
                source, target = tracks.pixel[first[at]], tracks.pixel[at]
                error[at] = world.error(int(begin), frame, source, target)
    seen = np.isfinite(error)
    age = tracks.frame - tracks.frame[first]
    return error[seen], tracks.sigma[seen], age[seen]


def test_points_stay_where_they_are_in_the_world(walk: Tracks) -> None:
    """The error hardly grows with the age of a track; the rest sits on silhouettes."""
    error, _, age = from_the_first_sight(walk)
    assert len(error) > 2000
    assert np.median(error[age <= 3]) < 0.15
    assert np.median(error[age >= 12]) < 0.3
    assert (error < 1.0).mean() > 0.85


def test_stated_errors_are_not_too_small(walk: Tracks) -> None:
    error, sigma, _ = from_the_first_sight(walk)
    assert (error < 3 * sigma).mean() > 0.88
    assert np.corrcoef(np.log(error + 0.01), np.log(sigma))[0, 1] > 0.1


def test_each_point_is_seen_once_a_picture_and_in_two(walk: Tracks) -> None:
    seen = np.stack([walk.point, walk.frame], 1)
    assert len(np.unique(seen, axis=0)) == len(walk)
    assert np.bincount(walk.point).min() >= 2
    assert (walk.pixel >= 0).all() and (walk.pixel <= (319, 239)).all()
    assert np.isfinite(walk.sigma).all() and walk.sigma.min() > 0


def test_points_are_renewed_and_spread(walk: Tracks) -> None:
    counts = np.bincount(walk.frame, minlength=24)
    assert counts.min() > 0.5 * counts.max()
    last = walk.pixel[walk.frame == 22]
    quarters = np.histogram2d(last[:, 0], last[:, 1], [[0, 160, 320], [0, 120, 240]])[0]
    assert quarters.min() > 0.4 * quarters.max()


def test_the_same_pictures_give_the_same_tracks(walk: Tracks) -> None:
    again = follow(rendered(WALK).pictures)
    np.testing.assert_array_equal(again.pixel, walk.pixel)
    np.testing.assert_array_equal(again.point, walk.point)


def test_masks_are_kept() -> None:
    picture = textured(0)
    usable = np.ones(picture.shape, bool)
    usable[:, 100:200] = False
    greys = [moved(picture, [[1, 0, 4 * k], [0, 1, 0]]) for k in range(12)]
    tracks = follow(HeldPictures(greys, [usable] * 12))
    assert tracks.points > 50
    assert not ((tracks.pixel[:, 0] > 99.5) & (tracks.pixel[:, 0] < 199.5)).any()


def test_a_point_is_lost_where_something_covers_it() -> None:
    picture = textured(1)
    greys = [picture.copy() for _ in range(4)]
    for k in (2, 3):
        greys[k][60:180, 80:240] = textured(2)[60:180, 80:240]
    tracks = follow(HeldPictures(greys))
    last = tracks.pixel[tracks.frame == 3]
    first = tracks.pixel[np.searchsorted(tracks.point, tracks.point[tracks.frame == 3])]
    begun = tracks.frame[np.searchsorted(tracks.point, tracks.point[tracks.frame == 3])]
    inner = (np.abs(first - (160, 120)) < (70, 50)).all(1) & (begun < 2)
    assert inner.sum() < 0.1 * (np.abs(last - (160, 120)) < (70, 50)).all(1).sum()


def test_light_that_changes_does_not_move_points() -> None:
    picture = textured(3)
    greys = [np.clip(picture * gain + 10, 0, 255).astype(np.uint8) for gain in (0.9, 0.6, 0.8)]
    tracks = follow(HeldPictures(greys))
    first = np.searchsorted(tracks.point, tracks.point)
    assert np.bincount(tracks.frame)[2] > 100
    assert np.percentile(np.linalg.norm(tracks.pixel - tracks.pixel[first], axis=1), 95) < 0.1


def test_points_follow_a_picture_that_turns_and_grows() -> None:
    picture = textured(4)
    centre = np.array([159.5, 119.5])
    greys, truth = [], []
    for k in range(10):
        angle, size = 0.04 * k, 1.05**k
        turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        truth.append(np.c_[turn, centre - turn @ centre])
        greys.append(moved(picture, truth[-1]))
    tracks = follow(HeldPictures(greys))
    first = np.searchsorted(tracks.point, tracks.point)
    late = (tracks.frame == 9) & (tracks.frame[first] == 0)
    there = tracks.pixel[first[late]] @ truth[9][:, :2].T + truth[9][:, 2]
    error = np.linalg.norm(there - tracks.pixel[late], axis=1)
    assert late.sum() > 50
    assert np.median(error) < 0.3
    assert (error < 3 * np.sqrt(2) * tracks.sigma[late]).mean() > 0.9


@pytest.mark.parametrize('size', [(32, 32), (40, 200), (240, 320)])
def test_blank_pictures_have_no_tracks(size: tuple[int, int]) -> None:
    assert len(follow(HeldPictures([np.full(size, 80, np.uint8)] * 3))) == 0


@pytest.mark.parametrize('count', [0, 1])
def test_one_picture_has_no_tracks(count: int) -> None:
    assert len(follow(HeldPictures([textured(5)] * count))) == 0


def test_masks_everywhere_leave_no_tracks() -> None:
    masks = [np.zeros((240, 320), bool)] * 3
    assert len(follow(HeldPictures([textured(6)] * 3, masks))) == 0


def test_a_cut_ends_all_tracks() -> None:
    tracks = follow(HeldPictures([textured(7), textured(7), textured(8), textured(8)]))
    first = np.searchsorted(tracks.point, tracks.point)
    across = (tracks.frame >= 2) & (tracks.frame[first] < 2)
    assert across.sum() < 0.05 * (tracks.frame == 3).sum()


def test_two_pictures_are_held_at_a_time() -> None:
    asked: list[int] = []

    class Counted(HeldPictures):
        def grey(self, index: int) -> np.ndarray:
            asked.append(index)
            return super().grey(index)

    follow(Counted([textured(9)] * 4))
    assert asked == [0, 1, 2, 3]


def test_backends_are_made_by_name() -> None:
    choices = next(o.choices for o in describe(TrackConfig) if o.name == 'backend')
    assert set(choices) == set(TRACK_BACKENDS)
    flow = make_flow(FlowConfig())
    assert isinstance(make_tracks(CONFIG, flow), TrackEstimator)
    assert make_tracks(TrackConfig(backend='none'), flow) is None


def test_a_drone_recording_keeps_to_its_epipolar_lines(shared_data: Path) -> None:
    pictures, camera, poses = recorded(shared_data / 'euroc_mh05_a')
    part = HeldPictures(pictures.greys[:12], pictures.masks[:12])
    tracks = follow(part, TrackConfig(points=800))
    first = np.searchsorted(tracks.point, tracks.point)
    late = (tracks.frame == 10) & (tracks.frame[first] == 0)
    motion = np.linalg.inv(poses[10]) @ poses[0]
    x, y, z = motion[:3, 3]
    inverse = np.linalg.inv(camera.matrix)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    lines = (
        np.c_[tracks.pixel[first[late]], np.ones(late.sum())]
        @ (inverse.T @ cross @ motion[:3, :3] @ inverse).T
    )
    along = (np.c_[tracks.pixel[late], np.ones(late.sum())] * lines).sum(1)
    error = np.abs(along) / np.linalg.norm(lines[:, :2], axis=1)
    assert late.sum() > 150
    assert np.median(error) < 0.7
    assert (error < 3).mean() > 0.9
