# SPDX-License-Identifier: Apache-2.0
"""View synthesis, all but gsplat's own kernels, which need a GPU: a plain renderer stands in."""

from __future__ import annotations

import importlib.util
import struct
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import splats
import torch
from scipy.spatial.transform import Rotation
from torch.nn import ParameterDict
from view_scenes import FOCAL, HEIGHT, WIDTH, write_scene

from flowcam_ros.errors import EvaluationError, FlowcamError, UsageError
from flowcam_ros.evaluation.views.backend import SplatBackend, load_gsplat
from flowcam_ros.evaluation.views.evaluate import evaluate_views, score_views
from flowcam_ros.evaluation.views.fit import fit_gaussians, photometric_loss, refine_poses
from flowcam_ros.evaluation.views.gaussians import SH_CONSTANT, initial_gaussians
from flowcam_ros.evaluation.views.pictures import TargetPicture, load_pictures
from flowcam_ros.evaluation.views.poses import PoseCorrections
from flowcam_ros.evaluation.views.scene import ViewScene, read_view_scene, split
from flowcam_ros.evaluation.views.scores import Scorer, psnr, ssim
from flowcam_ros.sequences.colmap_model import ColmapPoints

CPU = torch.device('cpu')
PLAIN = SimpleNamespace(rasterization=splats.rasterization, DefaultStrategy=splats.FixedStrategy)
needs_torchmetrics = pytest.mark.skipif(
    importlib.util.find_spec('torchmetrics') is None, reason='torchmetrics is not installed'
)


@pytest.fixture(scope='module')
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp('views') / 'scene')


@pytest.fixture(scope='module')
def scene(scene_folder: Path) -> ViewScene:
    return read_view_scene(scene_folder)


def test_the_folder_is_read(scene: ViewScene, scene_folder: Path) -> None:
    assert [view.name for view in scene.views] == [f'{k:04d}.png' for k in range(12)]
    assert scene.views[3].path == scene_folder / 'images' / '0003.png'
    assert scene.views[3].camera_from_world[0, 3] == pytest.approx(-0.15)
    assert len(scene.points.positions) == 150
    assert scene.radius() == pytest.approx(1.1 * 0.05 * 11 / 2)


@pytest.mark.parametrize(
    ('count', 'held'), [(10, [5]), (20, [5, 15]), (25, [5, 15]), (26, [5, 15, 25])]
)
def test_every_tenth_view_is_held_out(scene: ViewScene, count: int, held: list[int]) -> None:
    views = tuple((scene.views * 3)[:count])
    fitted, out = split(views)
    assert len(fitted) + len(out) == count
    assert out == [views[k] for k in held]


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='no sparse/0'):
        read_view_scene(tmp_path)
    folder = write_scene(tmp_path / 'few', views=9)
    with pytest.raises(EvaluationError, match='9 views; at least 10'):
        read_view_scene(folder)
    folder = write_scene(tmp_path / 'missing')
    (folder / 'images' / '0007.png').unlink()
    with pytest.raises(UsageError, match=r'0007\.png does not exist'):
        read_view_scene(folder)
    folder = write_scene(tmp_path / 'pointless')
    (folder / 'sparse' / '0' / 'points3D.bin').write_bytes(struct.pack('<Q', 0))
    with pytest.raises(EvaluationError, match='0 points'):
        read_view_scene(folder)


def test_pictures_are_what_the_files_hold(scene: ViewScene) -> None:
    picture = load_pictures(scene.views[2:3], 700_000)[0]
    stored = cv2.imread(str(scene.views[2].path))
    assert (picture.image.numpy() == stored[..., ::-1]).all()
    assert picture.valid.all()
    # COLMAP and gsplat count from the corner alike.
    assert picture.matrix.tolist() == [[60.0, 0, 32.0], [0, 60.0, 24.0], [0, 0, 1]]
    image, valid = picture.target(CPU)
    assert image.max() <= 1.0 and valid.all()


def test_large_pictures_are_reduced_with_their_camera(scene: ViewScene) -> None:
    picture = load_pictures(scene.views[:1], 1000)[0]
    height, width = picture.image.shape[:2]
    assert width * height <= 1200 and min(width, height) >= 32
    assert picture.matrix[0, 2] / width == pytest.approx(0.5)
    assert picture.matrix[0, 0] / width == pytest.approx(FOCAL / WIDTH)


def test_what_a_lens_hides_is_not_valid(tmp_path: Path) -> None:
    # A pincushion lens: the undistorted picture reaches beyond the recorded one.
    scene = read_view_scene(write_scene(tmp_path / 'bent', distortion=0.2))
    picture = load_pictures(scene.views[:1], 700_000)[0]
    assert 0.5 < picture.valid.float().mean() < 1.0
    image, valid = picture.target(CPU)
    assert (image[~valid] == 0).all()


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    folder = write_scene(tmp_path / 'odd')
    cv2.imwrite(str(folder / 'images' / '0001.png'), np.zeros((20, 30, 3), np.uint8))
    views = read_view_scene(folder).views
    with pytest.raises(EvaluationError, match=r'0001\.png: image of 30x20'):
        load_pictures(views, 700_000)


def test_gaussians_start_at_the_points() -> None:
    grid = np.stack(np.meshgrid(np.arange(3.0), np.arange(3.0), [1.0]), -1).reshape(-1, 3)
    colors = np.full((9, 3), (255, 0, 51), np.uint8)
    gaussians = initial_gaussians(ColmapPoints(grid, colors), 5.0)
    assert gaussians['means'].tolist() == grid.tolist()
    assert gaussians['opacities'].sigmoid().tolist() == pytest.approx([0.1] * 9)
    assert (gaussians['quats'] == torch.tensor([1.0, 0, 0, 0])).all()
    shown = 0.5 + SH_CONSTANT * gaussians['sh0'][:, 0]
    assert shown.detach().numpy() == pytest.approx(colors / 255.0, abs=1e-6)
    assert gaussians['shN'].shape == (9, 15, 3) and not gaussians['shN'].any()
    # The middle one has neighbours at 1; a corner two at 1 and one at the square root of 2.
    widths = gaussians['scales'].exp()
    assert widths[4].tolist() == pytest.approx([1.0] * 3)
    assert widths[0, 0].item() == pytest.approx(np.sqrt((1 + 1 + 2) / 3))


def test_gaussians_without_neighbours_still_have_a_width() -> None:
    same = np.zeros((5, 3))
    gaussians = initial_gaussians(ColmapPoints(same, np.zeros((5, 3), np.uint8)), 2.0)
    assert gaussians['scales'].exp().flatten().tolist() == pytest.approx([0.02] * 15)


def test_psnr_by_hand() -> None:
    truth = torch.zeros(4, 6, 3)
    image = truth + 0.1
    valid = torch.ones(4, 6, dtype=torch.bool)
    assert psnr(image, truth, valid) == pytest.approx(20.0, abs=1e-5)
    image[0] = 1.0
    valid[0] = False
    assert psnr(image, truth, valid) == pytest.approx(20.0, abs=1e-5)
    assert psnr(truth, truth, valid) == np.inf


@needs_torchmetrics
def test_ssim_against_its_definition() -> None:
    torch.manual_seed(0)
    first, second = torch.rand(32, 40, 3), torch.rand(32, 40, 3)
    assert ssim(first, first).item() == pytest.approx(1.0, abs=1e-6)
    # Two constant pictures differ by the first factor only.
    one, other = torch.full((32, 40, 3), 0.2), torch.full((32, 40, 3), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert ssim(one, other).item() == pytest.approx(expected, abs=2e-4)
    assert ssim(first, second).item() == pytest.approx(windowed(first, second), abs=2e-4)
    first.requires_grad_()
    ssim(first, second).backward()
    assert first.grad is not None and first.grad.abs().sum() > 0


def windowed(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the structural similarity after Wang et al. 2004, by OpenCV's filter."""
    a, b = first.numpy().astype(np.float64), second.numpy().astype(np.float64)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT_101)

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return float(value.mean())


@needs_torchmetrics
def test_the_loss_is_0_for_equal_pictures_only() -> None:
    picture = torch.rand(20, 20, 3, generator=torch.Generator().manual_seed(1))
    assert photometric_loss(picture, picture).item() == pytest.approx(0.0, abs=1e-6)
    assert photometric_loss(picture, 1 - picture).item() > 0.2


@needs_torchmetrics
def test_a_fit_makes_the_held_out_views_better(scene: ViewScene) -> None:
    scorer = Scorer(None, CPU)
    pictures = load_pictures(split(scene.views)[1], 700_000)
    before = initial_gaussians(scene.points, scene.radius())
    start = score_views(before, pictures, PLAIN, scorer)[0]
    done = []
    result = evaluate_views(
        scene,
        PLAIN,
        scorer,
        CPU,
        steps=60,
        max_pixels=700_000,
        on_step=lambda: done.append(1),
    )
    assert len(done) == result.steps == 60
    assert (result.fitted, result.held_out) == (11, 1)
    assert (result.width, result.height) == (WIDTH, HEIGHT)
    assert result.gaussians == 150
    assert result.psnr > start.psnr + 3.0
    assert result.ssim > start.ssim + 0.05
    assert result.lpips is None
    assert [view.name for view in result.views] == ['0005.png']


@needs_torchmetrics
def test_the_strategy_of_gsplat_takes_our_gaussians(scene: ViewScene) -> None:
    gsplat = pytest.importorskip('gsplat', reason='gsplat is not installed (extra views)')
    options = {'refine_start_iter': 5, 'refine_every': 5, 'grow_grad2d': 0.0}
    options['prune_scale3d'] = 100.0

    def eager(**given: int) -> object:
        # What the paper does over thousands of steps, in a few.
        return gsplat.DefaultStrategy(**{**given, **options})

    backend = SimpleNamespace(rasterization=splats.rasterization, DefaultStrategy=eager)
    gaussians = initial_gaussians(scene.points, scene.radius())
    pictures = load_pictures(scene.views[:3], 700_000)
    fit_gaussians(gaussians, pictures, backend, radius=scene.radius(), steps=24)
    assert len(gaussians['means']) > 150
    assert {len(value) for value in gaussians.values()} == {len(gaussians['means'])}


def opaque(scene: ViewScene) -> ParameterDict:
    """Return Gaussians that look much like the wall without a fit."""
    gaussians = initial_gaussians(scene.points, scene.radius())
    with torch.no_grad():
        gaussians['scales'] -= 0.9
        gaussians['opacities'] += 5.0
    return gaussians


def turned(picture: TargetPicture, degrees: float) -> TargetPicture:
    """Return the picture with its camera turned aside."""
    aside = np.eye(4, dtype=np.float32)
    aside[:3, :3] = Rotation.from_euler('y', degrees, degrees=True).as_matrix()
    return replace(picture, camera_from_world=torch.from_numpy(aside) @ picture.camera_from_world)


@needs_torchmetrics
def test_a_wrong_pose_is_seen_in_the_score(scene: ViewScene) -> None:
    right = load_pictures(scene.views[2:3], 700_000)[0]
    scorer = Scorer(None, CPU)
    good, bad = score_views(opaque(scene), [right, turned(right, 3.0)], PLAIN, scorer)
    assert good.psnr > bad.psnr + 3.0
    assert good.ssim > bad.ssim + 0.2


@needs_torchmetrics
def test_a_wrong_pose_is_found_again_under_fixed_gaussians(scene: ViewScene) -> None:
    gaussians = opaque(scene)
    before = {name: value.detach().clone() for name, value in gaussians.items()}
    right = load_pictures(scene.views[2:3], 700_000)[0]
    wrong = replace(turned(right, 1.5), name='wrong')
    both = [right, wrong]
    corrections = refine_poses(gaussians, both, PLAIN, radius=scene.radius(), steps=40)
    scorer = Scorer(None, CPU)
    _, bad = score_views(gaussians, both, PLAIN, scorer)
    best, good = score_views(gaussians, both, PLAIN, scorer, corrections)
    assert good.psnr == pytest.approx(best.psnr, abs=0.1)
    assert good.psnr > bad.psnr + 0.8
    for name, value in gaussians.items():
        assert (value == before[name]).all() and value.requires_grad


def test_a_correction_is_a_rigid_motion_in_camera_axes(scene: ViewScene) -> None:
    picture = load_pictures(scene.views[3:4], 700_000)[0]
    corrections = PoseCorrections([picture], 2.0, CPU)
    assert (corrections.camera_from_world(picture) == picture.camera_from_world).all()
    with torch.no_grad():
        corrections.values[0] = torch.tensor([0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    moved = corrections.camera_from_world(picture)
    assert moved[0, 3].item() == pytest.approx(picture.camera_from_world[0, 3].item() + 1.0)
    with torch.no_grad():
        corrections.values[0] = torch.tensor([0.0, 0.0, 0.0, 0.0, np.pi / 2, 0.0])
    turn = corrections.camera_from_world(picture)[:3, :3].detach().numpy()
    assert turn == pytest.approx(Rotation.from_euler('y', 90, degrees=True).as_matrix(), abs=1e-6)


@needs_torchmetrics
def test_poses_are_refined_only_when_asked_for(scene: ViewScene) -> None:
    pictures = load_pictures(scene.views[:2], 700_000)
    corrections = PoseCorrections(pictures, scene.radius(), CPU)
    fit_gaussians(
        opaque(scene), pictures, PLAIN, radius=scene.radius(), steps=4, corrections=corrections
    )
    assert (corrections.values.detach().abs().sum(dim=1) > 0).all()
    few = replace(scene, views=scene.views[:6])
    options = {'steps': 4, 'max_pixels': 700_000}
    kept = evaluate_views(few, PLAIN, Scorer(None, CPU), CPU, **options)
    again = evaluate_views(few, PLAIN, Scorer(None, CPU), CPU, **options)
    assert kept.views == again.views


@needs_torchmetrics
def test_gaussians_that_all_vanish_are_told(scene: ViewScene) -> None:
    class Removing(splats.FixedStrategy):
        def step_post_backward(self, params: Any, *others: Any, **named: Any) -> None:
            for name, value in params.items():
                params[name] = torch.nn.Parameter(value[:0])

    backend = SimpleNamespace(rasterization=splats.rasterization, DefaultStrategy=Removing)
    gaussians = initial_gaussians(scene.points, 1.0)
    pictures = load_pictures(scene.views[:1], 700_000)
    with pytest.raises(EvaluationError, match='no Gaussian is left'):
        fit_gaussians(gaussians, pictures, backend, radius=1.0, steps=3)


def test_gsplat_has_what_is_used_of_it() -> None:
    gsplat = pytest.importorskip('gsplat', reason='gsplat is not installed (extra views)')
    import inspect

    assert isinstance(gsplat, SplatBackend)
    known = set(inspect.signature(gsplat.rasterization).parameters)
    assert set(inspect.signature(splats.rasterization).parameters) <= known
    for name in ('check_sanity', 'initialize_state', 'step_pre_backward', 'step_post_backward'):
        assert hasattr(gsplat.DefaultStrategy, name)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_one_line_says_what_to_do() -> None:
    with pytest.raises(FlowcamError, match=r'NVIDIA GPU with CUDA.*flowcam_ros\[views\]'):
        load_gsplat()


def test_lpips_is_not_downloaded_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(UsageError, match=r'alexnet-owt-7be5be79\.pth into .*--lpips none'):
        Scorer('alex', CPU)
