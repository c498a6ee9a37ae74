# SPDX-License-Identifier: Apache-2.0
"""Options of the offline refinement."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.correspondence.config import FlowConfig, PairConfig, TrackConfig
from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.flowmap.dense_config import DenseConfig
from flowcam_ros.flowmap.frame_config import FrameChoiceConfig, FrameStoreConfig
from flowcam_ros.flowmap.optimizer_config import OptimizerConfig
from flowcam_ros.flowmap.polish_config import PolishConfig
from flowcam_ros.flowmap.window_config import WindowConfig
from flowcam_ros.settings import group, option


@dataclass(frozen=True)
class IntrinsicsConfig:
    """What is known of the camera."""

    mode: str = option(
        'refine',
        'known keeps the calibration, refine improves it, unknown ignores it and finds focal '
        'length and radial distortion from the pictures.',
        choices=('known', 'refine', 'unknown'),
    )
    centre: bool = option(True, 'Find the principal point, too, where the calibration is unknown.')


@dataclass(frozen=True)
class ModelConfig:
    """What FlowMap is made of; the defaults are the paper's, the others its ablations."""

    depth: str = option(
        'network',
        'Depth by a network, or a free number for each pixel.',
        choices=('network', 'explicit'),
    )
    poses: str = option(
        'procrustes',
        'Poses in closed form from depth, or free numbers for each frame started from that.',
        choices=('procrustes', 'regressed'),
    )
    weights: bool = option(True, 'Learn how far to trust each correspondence.')
    start: str = option(
        'auto',
        'Depth to begin with: of pairs of pictures (two_views), along the path that the online '
        'estimator finds, which needs a calibration (online), or none, where both a scene and '
        'the same inside out are tried (flat). auto: along the path of --odometry if given, else '
        'of pairs, else none.',
        choices=('auto', 'two_views', 'online', 'flat'),
    )
    start_weights: str = option(
        '', 'Weights that the network begins with: path of a network.safetensors of a result.'
    )
    depth_prior: str = option(
        '',
        'Folder of a depth model of Hugging Face transformers whose relief the network is fitted '
        'to first (docs/backends.md).',
    )
    precision: str = option(
        'auto',
        'Numbers of the inner layers of the network; auto: bfloat16 on CUDA, float32 elsewhere.',
        choices=('auto', 'float32', 'bfloat16'),
    )
    compile: bool = option(
        False,
        'Let torch compile the network; takes a minute and a compiler, and pays on CUDA with '
        'thousands of steps.',
    )


@dataclass(frozen=True)
class ScaleConfig:
    """What tells the metric scale where no depth is measured."""

    odometry: bool = option(
        True,
        'Take the scale from /odom of a bag; not where that is itself only known up to scale.',
    )


@dataclass(frozen=True)
class RefineConfig:
    """The offline refinement of a recording."""

    device: str = option('auto', 'Where to compute.', choices=('auto', 'cpu', 'cuda'))
    threads: int = option(
        2, 'Groups of frames that the CPU works on side by side.', unit='threads', ge=1, le=64
    )
    memory_gb: float = option(
        0.0,
        'Memory that may be used; what does not fit is worked on in smaller parts. 0: no limit.',
        unit='GB',
        ge=0.0,
        le=100000.0,
    )
    seed: int = option(0, 'Of everything that is drawn by chance.', ge=0, le=2**31 - 1)
    intrinsics: IntrinsicsConfig = group(IntrinsicsConfig)
    frames: FrameChoiceConfig = group(FrameChoiceConfig)
    store: FrameStoreConfig = group(FrameStoreConfig)
    flow: FlowConfig = group(FlowConfig)
    pairs: PairConfig = group(PairConfig)
    tracks: TrackConfig = group(TrackConfig)
    depth: DepthConfig = group(DepthConfig)
    model: ModelConfig = group(ModelConfig)
    windows: WindowConfig = group(WindowConfig)
    optimizer: OptimizerConfig = group(OptimizerConfig)
    polish: PolishConfig = group(PolishConfig)
    scale: ScaleConfig = group(ScaleConfig)
    dense: DenseConfig = group(DenseConfig)
