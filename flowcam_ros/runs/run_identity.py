# SPDX-License-Identifier: Apache-2.0
"""What a refinement follows from: two of the same identity come to the same result."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from flowcam_ros import __version__
from flowcam_ros.code_version import code_version
from flowcam_ros.correspondence.cache import digest_of_file
from flowcam_ros.odometry.device import choose_device
from flowcam_ros.runs.online_start import TRAJECTORY
from flowcam_ros.runs.refine_config import RefineRunConfig
from flowcam_ros.runs.unfinished import unfinished_folder
from flowcam_ros.sequences import SequenceOptions
from flowcam_ros.settings import flatten

# Their sources make the part of the result that is kept.
_SOURCES = tuple(
    f'flowcam_ros.{name}'
    for name in (
        *('geometry', 'correspondence', 'depth', 'odometry', 'flowmap'),
        *('sequences', 'sequences.bag', 'sequences.synthetic'),
    )
)
# These change how the result is found or written, not what it is.
_FREE = ('cache.', 'export.')


def run_identity(
    source: str, output: Path, options: SequenceOptions, config: RefineRunConfig
) -> dict[str, dict[str, object]]:
    """Return it in parts that JSON can hold.

    Args:
        source: what ``open_sequence`` takes.
        output: of the refinement; may lie within the input.
        options: how the input is read.
        config: all options.
    """
    read = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    return {
        'versions': {
            'flowcam_ros': __version__,
            'its code': code_version(*_SOURCES)[:12],
            'torch': torch.__version__,
            'numpy': np.__version__,
            'OpenCV': cv2.__version__,
        },
        'input': {
            # where files lie does not matter
            'names, sizes and times of its files': _digest_of_input(source, output),
            **{
                name: f'content {digest_of_file(value)[:12]}' if isinstance(value, Path) else value
                for name, value in read.items()
                if value is not None
            },
            **{
                name: f'content {digest_of_file(file)[:12]}'
                for name, file in _started_from(config).items()
            },
        },
        'options': {
            **{k: v for k, v in flatten(config).items() if not k.startswith(_FREE)},
            'device': choose_device(config.device).type,
        },
    }


def _started_from(config: RefineRunConfig) -> dict[str, Path]:
    """Return the files by whose content a start is given, by the option that names them."""
    files = {
        'odometry': config.odometry and Path(config.odometry, TRAJECTORY),
        'model.start_weights': config.model.start_weights and Path(config.model.start_weights),
        'model.depth_prior': config.model.depth_prior
        and Path(config.model.depth_prior, 'model.safetensors'),
    }
    return {name: Path(file).expanduser() for name, file in files.items() if file}


def _digest_of_input(source: str, output: Path) -> str:
    """Return a text that differs when a file of the input has another size or time."""
    if source.startswith('synthetic:'):
        return source
    path = Path(source).expanduser()
    if path.name == 'metadata.yaml':
        path = path.parent
    digest = hashlib.blake2b(digest_size=6)
    for file in _files(path, {os.path.realpath(output), str(unfinished_folder(output))}):
        stat = file.stat()
        digest.update(f'{file.relative_to(path)!r} {stat.st_size} {stat.st_mtime_ns}\n'.encode())
    return digest.hexdigest()


def _files(path: Path, left_out: set[str]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith('.')
            and os.path.realpath(os.path.join(folder, name)) not in left_out
        )
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith('.') and file.exists():
                yield file
