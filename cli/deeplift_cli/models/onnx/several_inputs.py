"""Models with several inputs, as models of one: what probing is written for.

Rows of all inputs are laid out flat, one after the other, and taken apart again before the module runs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deeplift_cli.models.probing import LENGTHS, one_hot, outputs_of

Shape = tuple[int | None, ...]


class Packed(nn.Module):
    """A module of several inputs as one of one input [N, values of all].

    Parameters
    ----------
    module : nn.Module
    shapes : sequence of tuple of int
        Of one row of each input.
    """

    def __init__(self, module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.module, self.shapes = module, list(shapes)

    def unpack(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the inputs that rows [N, values] stand for."""
        parts = torch.split(x, [torch.Size(shape).numel() for shape in self.shapes], dim=1)
        return tuple(part.reshape(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True))

    def forward(self, x: Tensor) -> Any:
        return self.module(*self.unpack(x))


def pack(inputs: Sequence[Tensor]) -> Tensor:
    """Lay the rows of all inputs out flat."""
    return torch.cat([value.flatten(1) for value in inputs], 1)


def example_inputs(module: nn.Module, shapes: Sequence[Shape | None], rows: int) -> tuple[Tensor, ...] | None:
    """Return random inputs of the declared shapes; None where none are found that the model runs on.

    An axis of 4 makes an input one-hot, others are numbers. Axes of any length all get the same.
    """
    if not all(shapes) or len({shape[0] for shape in shapes if shape}) != 1:
        return None
    declared = [shape for shape in shapes if shape]
    free = any(None in shape[1:] for shape in declared)
    for length in LENGTHS if free else LENGTHS[:1]:
        sizes = [tuple(length if n is None else n for n in shape[1:]) for shape in declared]
        inputs = tuple(_random(rows, size, seed) for seed, size in enumerate(sizes))
        one_batch = tuple(value[: declared[0][0] or 1] for value in inputs)
        if not isinstance(outputs_of(Packed(module, sizes), pack(one_batch)), str):
            return inputs
    return None


def _random(rows: int, size: tuple[int, ...], seed: int) -> Tensor:
    if 4 not in size:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(rows, *size, generator=generator)
    axis = size.index(4)
    others = size[:axis] + size[axis + 1 :]
    x = one_hot(rows, torch.Size(others).numel(), seed)
    return x.reshape(rows, 4, *others).movedim(1, axis + 1).contiguous()
