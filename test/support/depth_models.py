# SPDX-License-Identifier: Apache-2.0
"""A depth model of transformers, small enough for tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

SETTINGS = {
    'do_normalize': True,
    'image_mean': [0.485, 0.456, 0.406],
    'image_std': [0.229, 0.224, 0.225],
    'size': {'height': 56, 'width': 56},
    'ensure_multiple_of': 14,
    'keep_aspect_ratio': True,
}


def save_depth_anything(folder: Path, kind: str = 'relative', **settings: object) -> str:
    """Save a tiny one of random weights, and return its folder."""
    transformers = pytest.importorskip('transformers', reason='the extra prior is not installed')
    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=56,
        patch_size=14, out_features=['stage1', 'stage2'], reshape_hidden_states=False,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, patch_size=14,
        reassemble_factors=[2, 1], neck_hidden_sizes=[8, 8], fusion_hidden_size=8,
        head_hidden_size=8, depth_estimation_type=kind, max_depth=10,
    )  # fmt: skip
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    text = json.dumps({**SETTINGS, **settings})
    (folder / 'preprocessor_config.json').write_text(text, encoding='utf-8')
    return str(folder)
