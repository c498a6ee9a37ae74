# SPDX-License-Identifier: Apache-2.0
"""Dense depth is the truth where flow is exact, and says honestly how sure it is."""

from __future__ import annotations

import dataclasses
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from exact_views import HEIGHT, WIDTH, ExactViews, lens, walk

from flowcam_ros.correspondence.flow import Flow
from flowcam_ros.errors import OutputError
from flowcam_ros.flowmap.dense import DenseView, dense_depth
from flowcam_ros.flowmap.dense_stage import _neighbours, aligned, pinhole_camera
from flowcam_ros.flowmap.depth_store import DepthStore
from flowcam_ros.flowmap.frame_store import MeasuredDepth
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.polish import Polished
from flowcam_ros.flowmap.reconstruction import DepthMap, DepthMaps
from flowcam_ros.geometry.camera import CameraModel

TRACKING = CameraModel(WIDTH, HEIGHT, 300.0, 300.0, 0.5 * (WIDTH - 1), 0.5 * (HEIGHT - 1))
CENTRE = 2


@pytest.fixture(scope='module', params=[0.0, -0.1])
def views(request: pytest.FixtureRequest) -> ExactViews:
    return ExactViews(walk(5), lens(300.0, request.param))


def grid(width: int, height: int) -> np.ndarray:
    """Return the tracking pixels at the centres of a coarser grid."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    at = np.stack([x, y], -1).reshape(-1, 2)
    return (at + 0.5) * (WIDTH / width, HEIGHT / height) - 0.5


def smooth(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return errors as flow has them: of unit variance, alike over regions."""
    coarse = np.random.default_rng(seed).normal(size=(shape[0] // 6, shape[1] // 6, 2))
    found = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return found / found.std()


def flow_to(views: ExactViews, other: int, noise: float = 0.0, seed: int = 0) -> Flow:
    """Return the exact flow from the centre, at half the size of the pictures."""
    at = grid(WIDTH // 2, HEIGHT // 2)
    there, _ = views.seen(other, views.world(CENTRE, at))
    inside = (there >= 0).all(-1) & (there <= (WIDTH - 1, HEIGHT - 1)).all(-1)
    shape = (HEIGHT // 2, WIDTH // 2)
    moved = ((there - at) * 0.5).reshape(*shape, 2)
    alike, own = (smooth(shape, k) for k in (99, seed))
    moved = moved + noise * (np.sqrt(0.7) * alike + np.sqrt(0.3) * own)
    return Flow(moved.astype(np.float32), inside.reshape(shape).astype(np.float32))


def everywhere() -> np.ndarray:
    """Return tracked points all over the picture."""
    return grid(WIDTH // 4, HEIGHT // 4)


def view(views: ExactViews, color: np.ndarray | None = None) -> DenseView:
    return DenseView(
        CENTRE,
        pinhole_camera(TRACKING, views.lens, 4800),
        views.lens,
        torch.from_numpy(views.poses[CENTRE]),
        np.zeros((24, 32, 3), np.uint8) if color is None else color,
        everywhere(),
    )


def truth(views: ExactViews, camera: CameraModel) -> np.ndarray:
    """Return the true inverse depth at the pixels of an undistorted camera."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, x * 0 + 1.0], -1)
    at = views.lens.project(torch.from_numpy(rays.reshape(-1, 3))).numpy()
    return (1.0 / views.depth(CENTRE, at)).reshape(camera.height, camera.width)


def wrong_maps(views: ExactViews) -> Maps:
    """Return depth by a network that is off by 20 % everywhere."""
    maps = views.maps(64, 48)
    return dataclasses.replace(maps, log_inverse=maps.log_inverse + 0.2)


def others(views: ExactViews, noise: float = 0.0) -> list[tuple[Flow, torch.Tensor]]:
    return [
        (flow_to(views, k, noise, seed=k), torch.from_numpy(views.poses[k])) for k in (1, 3, 4)
    ]


def known(found: DepthMap) -> np.ndarray:
    return found.inverse_depth > 0


def test_exact_flow_corrects_the_network(views: ExactViews) -> None:
    found = dense_depth(view(views), wrong_maps(views), others(views), 0.3)
    true = truth(views, found.camera)
    error = np.abs(found.inverse_depth / true - 1)[known(found)]
    assert known(found).mean() > 0.9
    assert np.median(error) < 0.005
    assert np.quantile(error, 0.9) < 0.05


def test_without_flow_the_network_is_all_there_is(views: ExactViews) -> None:
    found = dense_depth(view(views), wrong_maps(views), [], 0.3)
    good = known(found)
    ratio = found.inverse_depth[good] / truth(views, found.camera)[good]
    assert np.median(ratio) == pytest.approx(np.exp(0.2), rel=0.01)
    sigma = np.sqrt(found.variance[good]) / found.inverse_depth[good]
    assert sigma == pytest.approx(0.3, rel=0.01)


def test_the_variance_is_honest_under_noise(views: ExactViews) -> None:
    found = dense_depth(view(views), wrong_maps(views), others(views, noise=0.4), 0.3)
    good = known(found)
    error = (found.inverse_depth - truth(views, found.camera))[good]
    ratio = 1.4826 * np.median(np.abs(error / np.sqrt(found.variance[good])))
    # this flow smears no steps, of which the variance knows nothing
    assert 0.3 < ratio < 1.5


@pytest.mark.parametrize('lie', [(0.0, 9.0), (6.0, 0.0)])
def test_flow_that_lies_is_not_believed(views: ExactViews, lie: tuple[float, float]) -> None:
    """Across the epipolar lines, or about along them, where it claims another depth."""
    liar = flow_to(views, 0)
    shifted = dataclasses.replace(liar, displacement=liar.displacement + np.float32(lie))
    flows = [*others(views), (shifted, torch.from_numpy(views.poses[0]))]
    found = dense_depth(view(views), wrong_maps(views), flows, 0.3)
    good = known(found)
    error = np.abs(found.inverse_depth / truth(views, found.camera) - 1)[good]
    assert np.median(error) < 0.01


def test_flow_without_confidence_says_nothing(views: ExactViews) -> None:
    flow, pose = others(views)[0]
    mute = dataclasses.replace(flow, confidence=np.zeros_like(flow.confidence))
    one = dense_depth(view(views), wrong_maps(views), [(mute, pose)], 0.3)
    other = dense_depth(view(views), wrong_maps(views), [], 0.3)
    assert np.allclose(one.inverse_depth, other.inverse_depth, rtol=1e-4)
    assert np.allclose(one.variance, other.variance, rtol=1e-3)


def test_away_from_tracked_points_the_network_is_a_guess(views: ExactViews) -> None:
    left = everywhere()[everywhere()[:, 0] < 0.5 * WIDTH]
    found = dense_depth(dataclasses.replace(view(views), tracked=left), wrong_maps(views), [], 0.1)
    sigma = np.sqrt(found.variance) / np.maximum(found.inverse_depth, 1e-9)
    columns = found.camera.width
    assert np.median(sigma[5:-5, : columns // 2 - 2]) == pytest.approx(0.1, rel=0.05)
    # 0.25 widths away
    assert 0.5 < np.median(sigma[5:-5, 3 * columns // 4]) < 1.0


def test_what_a_mask_hides_is_unknown(views: ExactViews) -> None:
    usable = np.ones((HEIGHT, WIDTH), bool)
    usable[: HEIGHT // 3] = False
    found = dense_depth(
        dataclasses.replace(view(views), usable=usable), wrong_maps(views), others(views), 0.3
    )
    rows = found.camera.height
    assert not known(found)[: rows // 3 - 2].any()
    assert np.isinf(found.variance[: rows // 3 - 2]).all()
    assert known(found)[rows // 3 + 2 : -3, 5:-5].all()


def test_measured_depth_takes_part_where_it_is_known(views: ExactViews) -> None:
    inverse = truth(views, TRACKING).astype(np.float32)
    inverse[:, : WIDTH // 2] = 0.0
    variance = np.where(inverse > 0, np.square(0.01 * inverse), np.inf).astype(np.float32)
    measured = MeasuredDepth(TRACKING, inverse, variance)
    with_it = dense_depth(
        dataclasses.replace(view(views), measured=measured), wrong_maps(views), [], 0.3
    )
    without = dense_depth(view(views), wrong_maps(views), [], 0.3)
    half = with_it.camera.width // 2
    assert np.array_equal(
        with_it.inverse_depth[:, : half - 1], without.inverse_depth[:, : half - 1]
    )
    if abs(float(views.lens.numbers[3])) > 0:  # the sensor's camera is another one
        return
    error = with_it.inverse_depth / truth(views, with_it.camera) - 1.0
    assert np.median(np.abs(error[5:-5, half + 3 : -5])) < 0.01
    assert (with_it.variance < without.variance)[5:-5, half + 3 : -5].mean() > 0.95


def test_colours_come_from_the_picture_where_the_lens_shows_it(views: ExactViews) -> None:
    color = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    color[..., 0] = np.linspace(0, 250, WIDTH).astype(np.uint8)
    found = dense_depth(view(views, color), views.maps(64, 48), [], 0.3)
    middle = found.colors[30, :, 0].astype(float)
    assert (np.diff(middle) >= 0).all() and middle[0] < 10 and middle[-1] > 240
    unseen = ~known(found)
    assert np.isinf(found.variance[unseen]).all() and (found.variance[~unseen] > 0).all()


def test_the_camera_of_the_maps_is_the_refined_one_without_distortion() -> None:
    own = lens(310.0, -0.1, aspect=1.1)
    camera = pinhole_camera(TRACKING, own, WIDTH * HEIGHT // 4)
    assert not camera.is_distorted
    assert camera.fx / camera.width == pytest.approx(310.0 / WIDTH)
    assert camera.fy / camera.height == pytest.approx(341.0 / HEIGHT)
    assert camera.width * camera.height == pytest.approx(WIDTH * HEIGHT / 4, rel=0.05)


def test_maps_are_laid_over_the_points_frame_by_frame() -> None:
    views = ExactViews(walk(5), lens())
    points = views.points(300)
    tracks = views.tracks(points)
    shown = np.stack([views.seen(k, points)[1] for k in range(5)], -1).sum(-1) >= 2
    polished = Polished(
        torch.from_numpy(views.poses), views.lens, 0.0, points[shown],
        np.flatnonzero(shown), tracks, np.zeros(len(tracks)), 1.0, 0.0, np.ones(5, bool),
    )  # fmt: skip
    exact = views.maps(64, 48)
    shift = torch.tensor([0.3, -0.2, 0.0, 1.5, -2.0])[:, None, None]
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.05, (5, 48, 64))).float()
    off = dataclasses.replace(exact, log_inverse=exact.log_inverse + shift + noise)
    found, sigma = aligned(off, polished)
    gap = (found.log_inverse - exact.log_inverse - noise).numpy()
    assert np.abs(gap).max() < 0.02
    # read between pixels, noise of single ones is evened out
    assert 0.02 < sigma < 0.06


def test_neighbours_are_taken_at_growing_distance_on_both_sides() -> None:
    frames = np.array([0, 3, 4, 7, 8, 9, 12])
    assert _neighbours(frames, 3, 4) == [8, 4, 9, 3]
    assert _neighbours(frames, 0, 3) == [3, 4, 8]
    assert _neighbours(np.array([5]), 0, 4) == []


def depth_map() -> DepthMap:
    camera = TRACKING.resized(32, 24)
    inverse = np.full((24, 32), 0.25, np.float32)
    return DepthMap(camera, inverse, inverse / 100, np.full((24, 32, 3), 7, np.uint8))


def test_depth_maps_are_read_back_as_they_were_kept(tmp_path: Path) -> None:
    one = depth_map()
    store = DepthStore(tmp_path, one.camera)
    assert isinstance(store, DepthMaps)
    store.add(7, one)
    store.add(2, one)
    assert store.frames() == [2, 7]
    found = store[7]
    for name in ('inverse_depth', 'variance', 'colors'):
        assert np.array_equal(getattr(found, name), getattr(one, name))
    assert found.camera == one.camera
    with pytest.raises(KeyError):
        store[3]


@pytest.mark.parametrize('limit', [100, 3000])
def test_a_full_disk_is_named(tmp_path: Path, limit: int) -> None:
    """Full at the head of a file, or amid its numbers, of which numpy does not say why."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OutputError, match=r'File too large|the disk is full'):
            DepthStore(tmp_path, TRACKING).add(0, depth_map())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
