# SPDX-License-Identifier: Apache-2.0
"""Frames left out get the poses they have; where nothing is found, that is said."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowcam_ros.correspondence.points import search_points, select_points, texture_map
from flowcam_ros.flowmap.anchor_search import AnchorSearch, sought_points
from flowcam_ros.flowmap.anchors import Anchors
from flowcam_ros.flowmap.placing import FramePlacer, PlacedFrame, Placement, place_frames
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import project
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer, PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4, inverse
from flowcam_ros.sequences.open import open_sequence
from flowcam_ros.sequences.synthetic import parse_synthetic
from flowcam_ros.sequences.synthetic.sequence import SyntheticSequence

MAX_PIXELS = 1_000_000
SIGMA_PX = 0.1
EVERY = 4
WALK = 'synthetic:walk?frames=13&fps=12&width=320&height=240&depth=false'


class Listed:
    """Pictures in memory that count how often each was read."""

    def __init__(self, frames: list[PreparedFrame]) -> None:
        self._frames = frames
        self.reads: list[int] = []

    def __len__(self) -> int:
        return len(self._frames)

    def grey(self, index: int) -> np.ndarray:
        self.reads.append(index)
        return self._frames[index].grey

    def usable(self, index: int) -> np.ndarray | None:
        return self._frames[index].usable


@dataclasses.dataclass
class World:
    """A rendered sequence, some of its frames as anchors with exact poses and points.

    ``moved`` is a similarity: everything of the reconstruction is seen through it.
    """

    sequence: SyntheticSequence
    moved: Matrix4 = dataclasses.field(default_factory=lambda: np.eye(4))
    unit: float = 1.0
    seen_as: CameraModel | None = None
    chosen: range | None = None

    def __post_init__(self) -> None:
        self.frames = list(self.sequence)
        if self.seen_as is not None:
            pinhole = self.seen_as.without_distortion()
            self.frames = [dataclasses.replace(f, camera=pinhole) for f in self.frames]
        self.chosen = self.chosen or range(0, len(self.frames), EVERY)
        self.original = self.frames[0].camera
        preparer = FramePreparer(MAX_PIXELS)
        self.prepared = [preparer.prepare(self.frames[k]) for k in self.chosen]
        self.pictures = Listed(self.prepared)
        truth = self.sequence.ground_truth()
        poses = self.moved @ truth.world_from_camera
        poses[:, :3, 3] *= self.unit
        self.truth = dict(zip(truth.stamps_ns.tolist(), poses, strict=True))

    @property
    def camera(self) -> CameraModel:
        """The camera of the tracking pictures."""
        return self.seen_as or self.prepared[0].camera

    def observations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return world points, which frame sees each, and where."""
        points, frames, pixels = [], [], []
        for index, number in enumerate(self.chosen or ()):
            view = self.sequence.view(number)
            grey = cv2.cvtColor(view.image, cv2.COLOR_BGR2GRAY)
            x, y = select_points(texture_map(grey), None, 300).astype(int).T
            local = self.unit * view.points()[y, x]
            pose = self.truth[view.stamp_ns]
            points.append(local @ pose[:3, :3].T + pose[:3, 3])
            frames.append(np.full(len(x), index))
            pixels.append(project(self.camera, local))
        return np.concatenate(points), np.concatenate(frames), np.concatenate(pixels)

    def anchors(self) -> Anchors:
        points, frames, pixels = self.observations()
        chosen = [self.frames[k].stamp_ns for k in self.chosen or ()]
        return Anchors(
            self.pictures,
            self.camera,
            np.array(chosen),
            np.array([self.truth[stamp] for stamp in chosen]),
            points,
            np.arange(len(points)),
            frames,
            pixels.astype(np.float32),
            np.full(len(points), SIGMA_PX, np.float32),
        )

    def place(self, frames: list[Frame] | None = None) -> Iterator[PlacedFrame]:
        return place_frames(frames or self.frames, self.anchors(), self.original, MAX_PIXELS)

    def error(self, placed: PlacedFrame) -> tuple[float, float]:
        """Return metres and degrees."""
        off = inverse(self.truth[placed.stamp_ns]) @ placed.world_from_camera
        metres = float(np.linalg.norm(off[:3, 3])) / self.unit
        return metres, float(np.degrees(se3.rotation_angle(off)))


def check_all_matched(world: World, metres: float = 0.003, degrees: float = 0.05) -> None:
    placed = list(world.place())
    assert [one.stamp_ns for one in placed] == [frame.stamp_ns for frame in world.frames]
    for number, one in enumerate(placed):
        assert world.chosen is not None
        optimised = number in world.chosen
        assert one.placement is (Placement.OPTIMISED if optimised else Placement.MATCHED)
        off = world.error(one)
        assert off[0] < metres and off[1] < degrees
        if not optimised:
            assert one.inliers > 0.6 * one.found > 50


@pytest.mark.parametrize(
    'text',
    [
        WALK,
        WALK + '&noise=4',
        WALK + '&distortion_model=plumb_bob',
        'synthetic:fast_turn?frames=13&fps=10&width=320&height=240&depth=false',
        'synthetic:walk?frames=13&fps=12&width=320&height=240&depth=false&moving_objects=2',
        WALK + '&exposure_jump=1.6&exposure_jump_frame=6',
    ],
)
def test_frames_between_are_placed(text: str) -> None:
    check_all_matched(World(parse_synthetic(text)))


@pytest.mark.parametrize('unit', [1e-4, 1.0, 1e4])
def test_unit_and_place_of_the_world_do_not_matter(unit: float) -> None:
    moved = se3.exp(np.array([40.0, -3.0, 20.0, 1.0, -2.0, 0.5]))
    check_all_matched(World(parse_synthetic(WALK), moved, unit))


def test_distortion_that_was_found_is_taken_into_account() -> None:
    sequence = parse_synthetic(WALK + '&distortion_model=plumb_bob')
    check_all_matched(World(sequence, seen_as=sequence.camera))


def test_the_covariance_covers_the_error() -> None:
    world = World(parse_synthetic(WALK + '&noise=4'), unit=3.0)
    ratios = []
    for one in world.place():
        if one.placement is Placement.MATCHED:
            off = one.world_from_camera[:3, 3] - world.truth[one.stamp_ns][:3, 3]
            ratios.append(off @ np.linalg.solve(one.covariance[:3, :3], off) / 3.0)
    assert 0.05 < np.median(ratios) < 4.0


def test_frames_outside_the_anchors_are_placed_by_the_nearest() -> None:
    check_all_matched(World(parse_synthetic(WALK), chosen=range(2, 11, 4)))


def test_each_anchor_is_read_once() -> None:
    world = World(parse_synthetic(WALK))
    list(world.place())
    assert world.pictures.reads == [0, 1, 2, 3]


def test_where_nothing_is_found_the_pose_is_interpolated_and_says_so() -> None:
    world = World(parse_synthetic(WALK))
    for dark in (5, 6):
        frame = world.frames[dark]
        world.frames[dark] = dataclasses.replace(frame, image=np.zeros_like(frame.image))
    placed = list(world.place())
    for dark in (5, 6):
        one = placed[dark]
        assert one.placement is Placement.INTERPOLATED
        assert one.inliers == 0
        off = one.world_from_camera[:3, 3] - world.truth[one.stamp_ns][:3, 3]
        assert np.linalg.norm(off) < 0.1
        assert off @ np.linalg.solve(one.covariance[:3, :3] + 1e-9 * np.eye(3), off) < 20.0
    assert placed[7].placement is Placement.MATCHED


def test_frames_of_another_camera_or_size_are_interpolated() -> None:
    world = World(parse_synthetic(WALK))
    frame = world.frames[5]
    world.frames[5] = dataclasses.replace(
        frame,
        image=np.ascontiguousarray(frame.image[:100, :100]),
        camera=CameraModel(100, 100, 200.0, 200.0, 49.5, 49.5),
    )
    world.frames[6] = dataclasses.replace(world.frames[6], image=frame.image[:50].copy())
    zoomed = dataclasses.replace(frame.camera, fx=1.1 * frame.camera.fx)
    world.frames[7] = dataclasses.replace(world.frames[7], camera=zoomed)
    placed = list(world.place())
    assert {one.placement for one in placed[5:8]} == {Placement.INTERPOLATED}


def test_stamps_that_go_back_have_no_pose() -> None:
    world = World(parse_synthetic(WALK))
    frames = [*world.frames[:3], world.frames[1], *world.frames[3:]]
    placed = list(world.place(frames))
    assert len(placed) == len(world.frames)


def test_without_points_everything_is_interpolated() -> None:
    world = World(parse_synthetic(WALK))
    stamps = np.array([world.frames[0].stamp_ns, world.frames[12].stamp_ns])
    none = np.zeros(0, np.int64)
    anchors = Anchors(
        Listed([world.prepared[0], world.prepared[3]]),
        world.prepared[0].camera,
        stamps,
        np.array([world.truth[stamp] for stamp in stamps.tolist()]),
        np.zeros((0, 3)),
        none,
        none,
        np.zeros((0, 2), np.float32),
        np.zeros(0, np.float32),
    )
    placed = [FramePlacer(anchors, world.original, MAX_PIXELS).place(f) for f in world.frames]
    assert {one.placement for one in placed[1:-1]} == {Placement.INTERPOLATED}
    assert np.isfinite([one.world_from_camera for one in placed]).all()


def test_observations_that_do_not_fit_their_point_are_left_out() -> None:
    world = World(parse_synthetic(WALK))
    points, frames, pixels = world.observations()
    wrong = np.arange(len(points)) % 5 == 0
    points[wrong] += 0.5
    anchors = world.anchors()
    anchors = Anchors(
        world.pictures,
        anchors.camera,
        anchors.stamps_ns,
        anchors.world_from_camera,
        points,
        np.arange(len(points)),
        frames,
        pixels.astype(np.float32),
        np.full(len(points), SIGMA_PX, np.float32),
    )
    for index in range(len(anchors)):
        kept = {tuple(point) for point in anchors[index].points}
        assert not kept & {tuple(point) for point in points[wrong]}
        assert len(kept) == np.count_nonzero(~wrong & (frames == index))


def test_one_anchor_places_its_neighbours() -> None:
    world = World(parse_synthetic(WALK), chosen=range(0, 1))
    placed = list(world.place(world.frames[:4]))
    assert [one.placement for one in placed[1:]] == [Placement.MATCHED] * 3
    assert max(world.error(one)[0] for one in placed) < 0.003


def real_anchors(frames: list[Frame], poses: dict[int, Matrix4]) -> Anchors:
    """Return frames as anchors, with points triangulated from each two neighbours."""
    preparer = FramePreparer(MAX_PIXELS)
    prepared = [preparer.prepare(frame) for frame in frames]
    camera = prepared[0].camera
    world_from = [poses[frame.stamp_ns] for frame in frames]
    positions, at, where = [], [], []
    for k in range(len(frames) - 1):
        one, other = prepared[k], prepared[k + 1]
        texture = texture_map(one.grey)
        pixels = select_points(texture, one.usable, 800)
        x, y = pixels.astype(int).T
        found = search_points(one.even.broad, other.even.broad, pixels, texture[y, x] + 1e-3, 0.5)
        views = np.stack([pixels, found.target], 1)
        for pair in views[found.valid]:
            point = midpoint(camera, pair, world_from[k], world_from[k + 1])
            if point is not None:
                positions.append(point)
                at += [k, k + 1]
                where += list(pair)
    return Anchors(
        Listed(prepared),
        camera,
        np.array([frame.stamp_ns for frame in frames]),
        np.array(world_from),
        np.array(positions),
        np.repeat(np.arange(len(positions)), 2),
        np.array(at),
        np.array(where, np.float32),
        np.full(len(at), 0.3, np.float32),
    )


def midpoint(
    camera: CameraModel, pair: np.ndarray, first: Matrix4, second: Matrix4
) -> np.ndarray | None:
    rays = (np.c_[pair, [1.0, 1.0]] @ np.linalg.inv(camera.matrix).T)[:, :, None]
    one, other = (first[:3, :3] @ rays[0])[:, 0], (second[:3, :3] @ rays[1])[:, 0]
    lengths, residual, rank, _ = np.linalg.lstsq(
        np.stack([one, -other], 1), second[:3, 3] - first[:3, 3], rcond=1e-3
    )
    if rank < 2 or (lengths < 0.1).any() or residual[0] > 4e-4:
        return None
    return first[:3, 3] + lengths[0] * one


def test_real_frames_are_placed_far_better_than_by_interpolation(shared_data: Path) -> None:
    sequence = open_sequence(shared_data / 'euroc_mh05_a')
    truth = sequence.ground_truth()
    assert truth is not None
    poses = dict(zip(truth.stamps_ns.tolist(), truth.world_from_camera, strict=True))
    frames = [frame for frame in sequence if frame.stamp_ns in poses][:17]
    anchors = real_anchors(frames[::2], poses)
    placer = FramePlacer(anchors, frames[0].camera, MAX_PIXELS)
    placed = [placer.place(frame) for frame in frames[1::2]]
    assert {one.placement for one in placed} == {Placement.MATCHED}
    off = [one.world_from_camera[:3, 3] - poses[one.stamp_ns][:3, 3] for one in placed]
    assert np.sqrt(np.mean(np.sum(np.square(off), 1))) < 0.002


@pytest.mark.parametrize('way', ['near', 'coarse_to_fine', 'along_flow'])
def test_each_way_of_looking_finds_the_points_where_they_are(way: str) -> None:
    world = World(parse_synthetic(WALK))
    frame = FramePreparer(MAX_PIXELS).prepare(world.frames[2])
    truth = world.truth[frame.stamp_ns]
    search = AnchorSearch(world.camera)
    sought = [sought_points(world.anchors()[index]) for index in (0, 1)]
    guess = truth @ se3.exp(np.array([0.01, 0.0, 0.0, 0.0, 0.005, 0.0]))
    arguments = (sought, frame, guess) if way == 'near' else (sought, frame)
    found = getattr(search, way)(*arguments)
    assert len(found) > 0.5 * sum(len(one.points) for one in sought)
    camera_from_world = inverse(truth)
    local = found.points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    off = np.linalg.norm(project(world.camera, local) - found.pixels, axis=1)
    assert np.median(off) < 0.3
    assert np.mean(off < 4.0 * np.sqrt(found.variance)) > 0.8
