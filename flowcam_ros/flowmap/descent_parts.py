# SPDX-License-Identifier: Apache-2.0
"""Parts of the state of a gradient descent, each of which can be saved and restored exactly."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor


class Trained:
    """Tensors that are changed in place.

    Args:
        tensors: always in the same order.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors

    def state(self) -> dict[str, Tensor]:
        """See Stateful."""
        return {str(number): tensor.detach() for number, tensor in enumerate(self._tensors)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See Stateful."""
        copy_into(self._tensors, [state[str(n)] for n in range(len(self._tensors))])


class AdamMoments:
    """What Adam remembers of the gradients of its parameters.

    Args:
        adam: with the parameters in the same order each time.
    """

    def __init__(self, adam: torch.optim.Adam) -> None:
        self._adam = adam

    def state(self) -> dict[str, Tensor]:
        """See Stateful; parameters that never had a gradient are not in it."""
        return {
            f'{number}/{key}': tensor.detach()
            for number, parameter in enumerate(self._parameters())
            for key, tensor in self._adam.state.get(parameter, {}).items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See Stateful."""
        parameters = self._parameters()
        for name, tensor in state.items():
            number, key = name.split('/')
            parameter = parameters[int(number)]
            if key != 'step':  # as the parameter lies in memory, and where it is
                tensor = torch.empty_like(parameter).detach().copy_(tensor)
            self._adam.state[parameter][key] = tensor

    def _parameters(self) -> list[Tensor]:
        return [p for group in self._adam.param_groups for p in group['params']]


class BestState:
    """The state of least loss, the loss being smoothed as it is taken from samples."""

    _SMOOTHING = 0.9
    _GAIN = 0.995  # what counts as better

    def __init__(self) -> None:
        self._smooth: float | None = None
        self._least = float('inf')
        self._at = 0
        self._kept: list[Tensor] | None = None

    def offer(self, tensors: Sequence[Tensor], loss: float, step: int) -> None:
        """Take note of the loss of a step, and of a copy of the tensors if it is the least."""
        before = loss if self._smooth is None else self._smooth
        self._smooth = self._SMOOTHING * before + (1.0 - self._SMOOTHING) * loss
        if self._smooth < self._GAIN * self._least:
            self._least, self._at = self._smooth, step
            self._kept = [copy.deepcopy(part.detach()) for part in tensors]

    def steps_since(self, step: int) -> int:
        """Return how many steps ago the loss was least."""
        return step - self._at

    def copy_to(self, tensors: Sequence[Tensor]) -> None:
        """Make the tensors what they were when the loss was least."""
        if self._kept is not None:
            copy_into(tensors, self._kept)

    def state(self) -> dict[str, Tensor]:
        """See Stateful."""
        smooth = float('nan') if self._smooth is None else self._smooth
        numbers = torch.tensor([smooth, self._least, float(self._at)], dtype=torch.float64)
        return {'numbers': numbers, **Trained(self._kept or []).state()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See Stateful."""
        smooth, self._least, at = state['numbers'].tolist()
        self._smooth, self._at = None if smooth != smooth else smooth, int(at)
        kept = [state[str(number)] for number in range(len(state) - 1)]
        self._kept = kept or None


class RandomState:
    """The generators that samples are drawn with: one of numpy, and torch's own.

    Args:
        random: that of numpy.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def state(self) -> dict[str, Tensor]:
        """See Stateful."""
        text = json.dumps(self._random.bit_generator.state).encode()
        return {
            'numpy': torch.frombuffer(bytearray(text), dtype=torch.uint8),
            'torch': torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See Stateful."""
        self._random.bit_generator.state = json.loads(state['numpy'].numpy().tobytes())
        torch.set_rng_state(state['torch'])


@torch.no_grad()
def copy_into(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Overwrite tensors with others of the same shapes.

    Raises:
        ValueError: their number or shapes differ.
    """
    for target, source in zip(targets, sources, strict=True):
        if target.shape != source.shape:
            raise ValueError(f'{tuple(source.shape)} does not fit {tuple(target.shape)}')
        target.copy_(source)
