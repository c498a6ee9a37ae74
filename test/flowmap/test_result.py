# SPDX-License-Identifier: Apache-2.0
"""The unit becomes a metre, and the parts of a refinement one reconstruction."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from flowcam_ros.correspondence.tracks import Tracks, sorted_tracks
from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.flowmap.camera_correction import CameraCorrection
from flowcam_ros.flowmap.depth_store import DepthStore
from flowcam_ros.flowmap.frame_config import FrameStoreConfig
from flowcam_ros.flowmap.frame_record import Fate, FrameRecord
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.frame_writer import FrameWriter
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.metric import to_metres
from flowcam_ros.flowmap.placing import PlacedFrame, Placement
from flowcam_ros.flowmap.polish import Polished
from flowcam_ros.flowmap.reconstruction import DepthMap, DepthMaps, Reconstruction
from flowcam_ros.flowmap.result import assemble, camera_of, correction_of, placed
from flowcam_ros.geometry.distortion import project
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.sequences import open_sequence

FACTOR = 3.0
CHOSEN = (0, 2, 4, 5)
MAX_PIXELS = 100_000


@dataclass(frozen=True)
class World:
    """Frames of the rendered world with exact depth, four of them chosen."""

    frames: list[Frame]
    poses: np.ndarray
    store: FrameStore
    records: list[FrameRecord]
    points: np.ndarray
    tracks: Tracks

    def polished(self, factor: float = FACTOR, held: tuple[bool, ...] = (True,) * 4) -> Polished:
        """Return the truth in units of ``factor`` metres."""
        poses = torch.from_numpy(self.poses[list(CHOSEN)].copy())
        poses[:, :3, 3] /= factor
        return Polished(
            poses, Lens.of_camera(self.store.index.tracking), 0.0, self.points / factor,
            np.arange(len(self.points)), self.tracks,
            np.full(len(self.tracks), 0.5), 1.0, 0.0, np.array(held),
        )  # fmt: skip


def made(folder: Path, spec: str) -> World:
    sequence = open_sequence(f'synthetic:orbit?frames=6&fps=6&width=200&height=150{spec}')
    frames = list(sequence)
    truth = sequence.ground_truth()
    assert truth is not None
    writer = FrameWriter(
        folder, FrameStoreConfig(max_pixels=MAX_PIXELS, pixels=4096), DepthConfig(), 6
    )
    records = []
    for k, frame in enumerate(frames):
        fate = Fate.CHOSEN if k in CHOSEN else Fate.BETWEEN
        records.append(FrameRecord(k, frame.stamp_ns, f'{k}.png', fate, 0.0, 1.0))
        if k in CHOSEN:
            writer.keep(records[-1], frame)
    store = writer.finish()
    points, tracks = exact_tracks(store, truth.world_from_camera)
    return World(frames, truth.world_from_camera, store, records, points, tracks)


def exact_tracks(store: FrameStore, poses: np.ndarray) -> tuple[np.ndarray, Tracks]:
    """Return corners of the second chosen frame, and where the others see them unhidden."""
    camera = store.index.tracking
    x, y = (a.ravel() for a in np.meshgrid(np.arange(8, 192, 7), np.arange(8, 142, 7)))
    shown = [store.measured_depth(k) for k in range(4)]
    assert shown[1] is not None
    z = 1 / shown[1].inverse_depth[y, x]
    local = np.stack([(x - camera.cx) / camera.fx * z, (y - camera.cy) / camera.fy * z, z], -1)
    host = poses[CHOSEN[1]]
    points = local @ host[:3, :3].T + host[:3, 3]
    rows = []
    for k, frame in enumerate(CHOSEN):
        local = (points - poses[frame, :3, 3]) @ poses[frame, :3, :3]
        pixel = project(camera, local)
        at = np.rint(pixel).astype(int)
        inside = (at >= 1).all(-1) & (at < (camera.width - 1, camera.height - 1)).all(-1)
        at[~inside] = 1
        measured = shown[k]
        assert measured is not None
        seen = measured.inverse_depth[at[:, 1], at[:, 0]] * local[:, 2]
        good = inside & (np.abs(seen - 1) < 0.02)
        rows.append((np.flatnonzero(good), np.full(good.sum(), k), pixel[good]))
    point, frame_number, pixel = (np.concatenate([r[i] for r in rows]) for i in range(3))
    tracks = sorted_tracks(
        point, frame_number, pixel.astype(np.float32), np.full(len(point), 0.4, np.float32)
    )
    kept = np.unique(point[np.isin(point, np.flatnonzero(np.bincount(point) > 1))])
    return points[kept], tracks


@pytest.fixture(scope='module')
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp('store'), '')


def test_measured_depth_tells_the_unit(world: World) -> None:
    result, scale = to_metres(world.store, world.polished(), None)
    assert scale is not None and scale.source == 'depth' and scale.factor is not None
    assert scale.factor == pytest.approx(FACTOR, rel=0.01)
    assert 0.0 < scale.sigma < 0.02
    assert np.allclose(result.poses.numpy(), world.poses[list(CHOSEN)], atol=0.03)
    assert np.allclose(result.points, world.points, atol=0.05)


def test_without_measured_depth_the_unit_stays(world: World, tmp_path: Path) -> None:
    blind = [dataclasses.replace(f, depth=None) for f in world.frames]
    writer = FrameWriter(tmp_path, FrameStoreConfig(pixels=4096), DepthConfig(), 6)
    for k in CHOSEN:
        writer.keep(world.records[k], blind[k])
    before = world.polished()
    result, scale = to_metres(writer.finish(), before, None)
    assert scale is None and result is before


def test_depth_that_contradicts_itself_tells_nothing(world: World) -> None:
    """Points at random distances, as of a reconstruction that went wrong."""
    random = np.random.default_rng(0)
    before = world.polished()
    factor = np.exp(random.normal(0.0, 1.0, (len(world.points), 1)))
    before = dataclasses.replace(before, points=before.points * factor)
    shaken = before.poses.clone()
    shaken[:, :3, 3] += torch.from_numpy(random.normal(0.0, 3.0, (4, 3)))
    before = dataclasses.replace(before, poses=shaken)
    result, scale = to_metres(world.store, before, None)
    assert scale is not None and scale.factor is None and scale.reason
    assert result is before


@pytest.fixture(scope='module')
def depth(world: World, tmp_path_factory: pytest.TempPathFactory) -> DepthStore:
    camera = world.store.index.tracking.resized(20, 15)
    store = DepthStore(tmp_path_factory.mktemp('depth'), camera)
    for k in (0, 1, 2):
        level = np.full((15, 20), k + 1.0, np.float32)
        store.add(k, DepthMap(camera, level, level, np.zeros((15, 20, 3), np.uint8)))
    return store


def test_every_frame_is_placed(world: World) -> None:
    held = (True, True, True, False)
    found = placed(world.frames, world.store, world.polished(1.0, held), MAX_PIXELS)
    assert [p.stamp_ns for p in found] == [f.stamp_ns for f in world.frames]
    kinds = [p.placement for p in found]
    assert [kinds[k] for k in (0, 2, 4)] == [Placement.OPTIMISED] * 3
    assert [kinds[k] for k in (1, 3)] == [Placement.MATCHED] * 2
    assert kinds[5] is not Placement.OPTIMISED, 'what is not held is placed like the others'
    for k in (0, 1, 2, 3, 4):
        assert np.abs(found[k].world_from_camera - world.poses[k]).max() < 0.02


def assembled(
    world: World, found: list[PlacedFrame], polished: Polished, depth: DepthStore, source: str
) -> Reconstruction:
    camera = camera_of(world.store, polished)
    return assemble(found, world.records, world.store, polished, camera, depth, source)


def test_the_parts_are_put_together(world: World, depth: DepthStore) -> None:
    polished = world.polished(1.0, (True, True, True, False))
    found = placed(world.frames, world.store, polished, MAX_PIXELS)
    result = assembled(world, found, polished, depth, 'depth')
    assert result.names == tuple(f'{k}.png' for k in range(6))
    assert result.chosen.tolist() == [True, False, True, False, True, False]
    assert result.camera == world.frames[0].camera, 'nothing was changed about the lens'
    assert result.scale_source == 'depth'
    points = result.points
    assert set(points.frame.tolist()) <= set(CHOSEN)
    assert points.error_px == pytest.approx(0.5)
    local = points.positions[points.point] - world.poses[points.frame, :3, 3]
    local = np.einsum('nij,ni->nj', world.poses[points.frame, :3, :3], local)
    assert np.abs(project(result.camera, local) - points.pixels).max() < 0.01
    assert isinstance(result.depth, DepthMaps)
    assert result.depth.frames() == [0, 2, 4]
    assert float(result.depth[4].inverse_depth[0, 0]) == 3.0
    with pytest.raises(KeyError):
        result.depth[1]


def test_points_have_the_colours_of_the_picture(world: World, depth: DepthStore) -> None:
    polished = world.polished(1.0)
    found = placed(world.frames, world.store, polished, MAX_PIXELS)
    result = assembled(world, found, polished, depth, 'none')
    first = np.searchsorted(result.points.point, np.arange(len(result.points.positions)))
    at = np.rint(result.points.pixels[first]).astype(int)
    frame = result.points.frame[first]
    shown = np.stack(
        [world.frames[f].image[y, x, ::-1] for f, (x, y) in zip(frame, at, strict=True)]
    )
    gap = np.abs(shown.astype(int) - result.points.colors.astype(int)).mean()
    assert gap < 25  # the colours are those of the smaller picture of the network
    other = np.random.default_rng(0).permutation(result.points.colors)
    assert gap < 0.7 * np.abs(shown.astype(int) - other.astype(int)).mean()


def test_a_changed_lens_changes_the_camera(world: World, depth: DepthStore) -> None:
    tracking = world.store.index.tracking
    own = Lens.of_camera(tracking).with_focal(1.05 * tracking.fx)
    own.numbers[3] = -0.02
    correction = correction_of(tracking, own)
    assert correction == CameraCorrection(correction.focal_scale, 0.0, 0.0, -0.02, 0.0)
    assert correction.focal_scale == pytest.approx(1.05)
    polished = dataclasses.replace(world.polished(1.0), lens=own)
    found = placed(world.frames, world.store, polished, MAX_PIXELS)
    camera = assembled(world, found, polished, depth, 'none').camera
    original = world.frames[0].camera
    assert camera.fx == pytest.approx(1.05 * original.fx)
    assert camera.distortion[0] == pytest.approx(-0.02)
    assert (camera.width, camera.height) == (original.width, original.height)
