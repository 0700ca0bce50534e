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
    examples : sequence of Tensor [N, ...]
        A batch of each input, for the shapes of its rows and for its type.
    """

    def __init__(self, module: nn.Module, examples: Sequence[Tensor]) -> None:
        super().__init__()
        self.module = module
        self._rows = [(value.shape[1:], value.dtype) for value in examples]

    def unpack(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the inputs that rows [N, values] stand for."""
        parts = torch.split(x, [shape.numel() for shape, _ in self._rows], dim=1)
        return tuple(
            part.reshape(-1, *shape).to(x.dtype if dtype.is_floating_point else dtype)
            for part, (shape, dtype) in zip(parts, self._rows, strict=True)
        )

    def forward(self, x: Tensor) -> Any:
        return self.module(*self.unpack(x))


def pack(inputs: Sequence[Tensor]) -> Tensor:
    """Lay the rows of all inputs out flat."""
    return torch.cat([value.reshape(len(value), -1) for value in inputs], 1)


def example_inputs(
    module: nn.Module, shapes: Sequence[Shape | None], dtypes: Sequence[str | None], rows: int
) -> tuple[Tensor, ...] | None:
    """Return random inputs of the declared shapes; None where none are found that the model runs on.

    An axis of 4 makes an input one-hot, others are numbers: 0 and 1 where the input takes whole numbers. Axes
    of any length all get the same.
    """
    if not all(shapes) or len({shape[0] for shape in shapes if shape}) != 1:
        return None
    declared = [shape for shape in shapes if shape]
    free = any(None in shape[1:] for shape in declared)
    for length in LENGTHS if free else LENGTHS[:1]:
        sizes = [tuple(length if n is None else n for n in shape[1:]) for shape in declared]
        inputs = tuple(
            _random(rows, size, dtype or "float32", seed)
            for seed, (size, dtype) in enumerate(zip(sizes, dtypes, strict=True))
        )
        one_batch = tuple(value[: declared[0][0] or 1] for value in inputs)
        if not isinstance(outputs_of(Packed(module, inputs), pack(one_batch)), str):
            return inputs
    return None


def _random(rows: int, size: tuple[int, ...], dtype: str, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if "float" not in dtype:
        return torch.randint(2, (rows, *size), generator=generator).to(getattr(torch, dtype))
    if 4 not in size:
        return torch.randn(rows, *size, generator=generator)
    axis = size.index(4)
    others = size[:axis] + size[axis + 1 :]
    x = one_hot(rows, torch.Size(others).numel(), seed)
    return x.reshape(rows, 4, *others).movedim(1, axis + 1).contiguous()
