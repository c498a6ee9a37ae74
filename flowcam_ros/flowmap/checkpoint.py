# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: tensors and facts of unfinished work in safetensors files, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from flowcam_ros.errors import OutputError

_SUFFIX = '.safetensors'


@dataclass(frozen=True)
class Checkpoint:
    """What was saved under a name.

    Attributes:
        tensors: by name, on the CPU.
        facts: the rest, as JSON has it.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """A folder of checkpoints; the last one under each name is kept.

    Args:
        folder: made when the first is saved.
        every: steps between two of them.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self._folder = folder
        self.every = every

    def child(self, name: str) -> Checkpoints:
        """Return the checkpoints of a part of the work, in a folder of their own."""
        return Checkpoints(self._folder / name, self.every)

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> None:
        """Replace what is saved under a name, at one stroke.

        Args:
            name: of the file.
            tensors: by name.
            facts: what JSON can hold.

        Raises:
            OutputError: the file cannot be written, the disk being full for example; what was
                saved before is still there.
        """
        # the format has no strides: what is kept channels last would else come back mixed up
        plain = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
        told = {'facts': json.dumps(facts)}
        content = save(plain, {**told, 'digest': _digest(plain, told['facts'])})
        path = self.file(name)
        temporary = path.with_name(f'.{path.name}.part')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open('wb') as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if isinstance(error, OSError):
                raise OutputError(
                    f'{path}: the checkpoint cannot be written ({error.strerror})'
                ) from error
            raise

    def load(self, name: str) -> Checkpoint | None:
        """Return what was saved under a name; None if nothing was.

        Raises:
            OutputError: the file is damaged or cannot be read.
        """
        path = self.file(name)
        if not path.exists():
            return None
        try:
            with safe_open(path, 'pt') as file:
                told = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            if told.get('digest') != _digest(tensors, told.get('facts', '')):
                raise ValueError('its digest does not fit')
            return Checkpoint(tensors, json.loads(told['facts']))
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            text = ' '.join(str(error).split())
            raise OutputError(
                f'{path}: the checkpoint cannot be read ({text}); delete it to do that part anew'
            ) from error

    def file(self, name: str) -> Path:
        """Return where a checkpoint is kept."""
        return self._folder / (name + _SUFFIX)


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    """Return a checksum: the format has none, and a wrong number would pass for a result."""
    digest = hashlib.blake2b(facts.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f'{name} {tuple(tensor.shape)} {tensor.dtype}\n'.encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
