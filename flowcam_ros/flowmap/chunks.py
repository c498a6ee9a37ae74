# SPDX-License-Identifier: Apache-2.0
"""Exact back-propagation through a depth model a few frames at a time.

The loss needs the depth of all frames at once, the network does not: it is run without gradients,
the loss is differentiated down to the maps, and each chunk is then run again to take the gradient
of its maps to the parameters. The gradient is the same; activations of a few chunks are all that
is ever held. Where all chunks may be held, none is run twice.

Chunks are worked on side by side. That is faster than giving each operation more threads, which
wait for each other thousands of times a step, and far more so on a busy machine.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from flowcam_ros.flowmap.depth_model import DepthModel, Output
from flowcam_ros.flowmap.maps import Maps


class ChunkRunner:
    """Runs a depth model over all frames, chunk by chunk.

    Args:
        model: whose maps.
        chunk: most frames of a chunk.
        held: most frames whose activations may be held at a time.
        workers: chunks that are worked on side by side.
        size: width and height of the tracking pictures.
    """

    def __init__(
        self, model: DepthModel, chunk: int, held: int, workers: int, size: tuple[int, int]
    ) -> None:
        frames = len(model)
        chunk = max(1, min(chunk, -(-frames // workers), held // workers))
        self._model = model
        self._size = size
        self._chunks = [slice(i, min(i + chunk, frames)) for i in range(0, frames, chunk)]
        self._hold = frames <= held
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix='flowmap')

    def run(self) -> ChunkedMaps:
        """Return the maps of all frames, ready for back-propagation."""
        if not self._hold:
            return ChunkedMaps(self, self.frozen(), None)
        outputs = list(self._pool.map(self._model.maps, self._chunks))
        depth, features = (torch.cat([o[k].detach() for o in outputs]) for k in (0, 1))
        return ChunkedMaps(self, Maps(depth, features, *self._size), outputs)

    def frozen(self) -> Maps:
        """Return the maps of all frames, without gradients."""
        parts = list(self._pool.map(torch.no_grad()(self._model.maps), self._chunks))
        # a view of a parameter asks for gradients even where it was made without them
        depth, features = (torch.cat([p[k].detach() for p in parts]) for k in (0, 1))
        return Maps(depth, features, *self._size)

    def backward(self, maps: Maps, outputs: list[Output] | None) -> None:
        """Add the gradients that a loss left at the maps to those of the parameters."""
        parameters = self._model.parameters()

        def gradients(number: int) -> tuple[Tensor | None, ...]:
            chunk = self._chunks[number]
            output = self._model.maps(chunk) if outputs is None else outputs[number]
            carried = [
                (part, leaf.grad[chunk])
                for part, leaf in zip(output, (maps.log_inverse, maps.features), strict=True)
                if leaf.grad is not None and part.requires_grad
            ]
            return torch.autograd.grad(
                [part for part, _ in carried],
                parameters,
                [gradient for _, gradient in carried],
                allow_unused=True,
            )

        # summed in order, so that the result does not depend on which chunk is done first
        for found in self._pool.map(gradients, range(len(self._chunks))):
            for parameter, gradient in zip(parameters, found, strict=True):
                if gradient is None:
                    continue
                if parameter.grad is None:
                    parameter.grad = gradient
                else:
                    parameter.grad += gradient


class ChunkedMaps:
    """The maps of all frames as leaves of a graph, and the way from them to the parameters.

    Args:
        runner: that made them.
        maps: of all frames, detached.
        outputs: of each chunk with its graph; None to run the chunks again.
    """

    def __init__(self, runner: ChunkRunner, maps: Maps, outputs: list[Output] | None) -> None:
        self._runner = runner
        self._outputs = outputs
        maps.log_inverse.requires_grad_()
        maps.features.requires_grad_()
        self.maps = maps

    def backward(self) -> None:
        """Carry the gradients that a loss left at the maps on to the parameters."""
        self._runner.backward(self.maps, self._outputs)
