"""Torch modules for ops that rearrange: where onnx2torch indexes with tensors or needs a known rank.

Each module computes with functions of torch that DeepLIFT has rules for, whatever the number of rows and the
rank of its input; no result depends on the values of the input other than by those functions.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _broadcast(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape)))  # type: ignore[no-untyped-call]


class Expand(nn.Module):
    """Broadcast with a constant shape (in both directions, as ONNX does)."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return _broadcast(x, self.shape)


class DynamicReshape(nn.Module):
    """Reshape to a shape that was worked out from the shapes of other tensors."""

    def forward(self, x: Tensor, shape: Tensor) -> Tensor:
        return x.reshape([x.shape[axis] if n == 0 else n for axis, n in enumerate(shape.tolist())])


class DynamicExpand(nn.Module):
    """Broadcast with a shape that was worked out from the shapes of other tensors."""

    def forward(self, x: Tensor, shape: Tensor) -> Tensor:
        return _broadcast(x, shape.tolist())


class Tile(nn.Module):
    """Repeat each axis."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.repeats = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(self.repeats)


class Squeeze(nn.Module):
    """Drop axes of length 1: the given ones, or all."""

    def __init__(self, axes: Sequence[int] | None = None) -> None:
        super().__init__()
        self.axes = None if axes is None else tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze() if self.axes is None else x.squeeze(self.axes)


class Unsqueeze(nn.Module):
    """Insert axes of length 1 at these places of the result."""

    def __init__(self, axes: Sequence[int]) -> None:
        super().__init__()
        self.axes = tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        rank = x.dim() + len(self.axes)
        for axis in sorted(axis % rank for axis in self.axes):
            x = x.unsqueeze(axis)
        return x


class Slice(nn.Module):
    """Slice along some axes, with steps of either sign."""

    def __init__(
        self,
        starts: Sequence[int],
        ends: Sequence[int],
        axes: Sequence[int] | None = None,
        steps: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        axes = range(len(starts)) if axes is None else axes
        steps = [1] * len(starts) if steps is None else steps
        self.slices = list(zip(starts, ends, axes, steps, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        for start, end, axis, step in self.slices:
            x = _slice(x, start, end, axis, step)
        return x


class DynamicSlice(nn.Module):
    """Slice by tensors that were worked out from the shapes of others."""

    def forward(
        self,
        x: Tensor,
        starts: Tensor,
        ends: Tensor,
        axes: Tensor | None = None,
        steps: Tensor | None = None,
    ) -> Tensor:
        rest = [None if value is None else value.tolist() for value in (axes, steps)]
        sliced: Tensor = Slice(starts.tolist(), ends.tolist(), *rest)(x)
        return sliced


def _slice(x: Tensor, start: int, end: int, axis: int, step: int) -> Tensor:
    length = x.shape[axis]
    if step < 0:  # torch takes positive steps only: turn the axis round
        picked = range(length)[start:end:step]
        if not picked:
            return x.narrow(axis, 0, 0)
        x, start, end, step = x.flip(axis), length - 1 - picked[0], length - picked[-1], -step
    index = [slice(None)] * x.dim()
    index[axis] = slice(start, end, step)
    return x[tuple(index)]


class Gather(nn.Module):
    """Take one index (its axis goes) or several along an axis."""

    def __init__(self, indices: Sequence[int], axis: int = 0, scalar: int = 0) -> None:
        super().__init__()
        self.axis, self.scalar = axis, bool(scalar)
        self.register_buffer("indices", torch.tensor(list(indices), dtype=torch.int64), persistent=False)
        self.indices: Tensor
        self.first = int(indices[0]) if scalar else 0
        self.from_end = any(index < 0 for index in indices)

    def forward(self, x: Tensor) -> Tensor:
        if self.scalar:
            return x.select(self.axis, self.first)
        indices = self.indices % x.shape[self.axis] if self.from_end else self.indices
        return x.index_select(self.axis, indices)


class Split(nn.Module):
    """Split into parts of given sizes, or into `parts` of one size (the last may be smaller)."""

    def __init__(self, parts: int, axis: int = 0, sizes: Sequence[int] | None = None) -> None:
        super().__init__()
        self.axis, self.parts, self.sizes = axis, parts, None if sizes is None else list(sizes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        sizes = self.sizes
        if sizes is None:
            length = x.shape[self.axis]
            even = -(-length // self.parts)
            sizes = [even] * (self.parts - 1) + [length - even * (self.parts - 1)]
        pieces = torch.split(x, sizes, dim=self.axis)
        # onnx2torch takes an element of what a node returns only where the node has several outputs
        return pieces if self.parts > 1 else pieces[0]


class Pad(nn.Module):
    """Pad with a constant, by reflection, with the edge, or round; negative amounts cut off."""

    def __init__(
        self,
        pads: Sequence[int],
        mode: str = "constant",
        value: float = 0.0,
        axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.mode, self.value = mode, value
        half = len(pads) // 2
        axes = range(half) if axes is None else axes
        self.amounts = {axis: (pads[i], pads[half + i]) for i, axis in enumerate(axes)}

    def forward(self, x: Tensor) -> Tensor:
        amounts = {axis % x.dim(): amount for axis, amount in self.amounts.items()}
        if self.mode != "constant":  # torch's other modes leave rows and channels alone
            for axis, (before, after) in amounts.items():
                if before or after:
                    x = x.index_select(axis, _drawn_on(x.shape[axis], before, after, self.mode).to(x.device))
            return x
        pads = [n for axis in range(x.dim() - 1, -1, -1) for n in amounts.get(axis, (0, 0))]
        while len(pads) > 2 and pads[-2:] == [0, 0]:
            pads = pads[:-2]
        return F.pad(x, pads, value=self.value)


def _drawn_on(length: int, before: int, after: int, mode: str) -> Tensor:
    """Positions of an axis that each position of the padded one draws on."""
    positions = torch.arange(-before, length + after)
    if mode == "edge":
        return positions.clamp(0, length - 1)
    if mode == "wrap":
        return positions % length
    turn = max(2 * (length - 1), 1)  # there and back
    return length - 1 - (positions % turn - (length - 1)).abs()
